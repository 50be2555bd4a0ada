//! Rules from the order of a dose to the end of its infusion.

use marrowline_record::pb;

use crate::context::Context;

pub(super) fn ordered(_c: &mut Context<'_>, _e: &pb::DoseOrdered) {}
pub(super) fn units_allocated(_c: &mut Context<'_>, _e: &pb::UnitsAllocated) {}
pub(super) fn thaw_ordered(_c: &mut Context<'_>, _e: &pb::ThawOrdered) {}
pub(super) fn units_thawed(_c: &mut Context<'_>, _e: &pb::UnitsThawed) {}
pub(super) fn prepared(_c: &mut Context<'_>, _e: &pb::DosePrepared) {}
pub(super) fn dispensed(_c: &mut Context<'_>, _e: &pb::DoseDispensed) {}
pub(super) fn bedside_checked(_c: &mut Context<'_>, _e: &pb::BedsideChecked) {}
pub(super) fn infusion_started(_c: &mut Context<'_>, _e: &pb::InfusionStarted) {}
pub(super) fn infusion_ended(_c: &mut Context<'_>, _e: &pb::InfusionEnded) {}
