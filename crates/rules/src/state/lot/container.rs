//! What happens to a container: refused, broken, lost and found, returned, destroyed.

use marrowline_record::entry::Entry;
use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::{self, ContainerEventKind, ReturnPurpose};

use super::fold::disputed;
use super::{Processing, Unit};
use crate::index::id16;
use crate::state::custody::{Custody, TakingBack};

/// What is known of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// The first record that said it was broken or leaking. It never becomes whole again.
    pub damaged_by: Option<RecordId>,
    /// The record that said it was lost, while it is.
    pub lost_by: Option<RecordId>,
}

/// The facility of a slot, whether it was signed or not.
fn facility_of_slot(entry: &Entry, slot: usize) -> Option<Id16> {
    entry.record.slots.get(slot).map(|slot| Id16(id16(&slot.facility_id)))
}

pub(super) fn refused<'u>(units: impl Iterator<Item = &'u mut Unit>, entry: &Entry, e: &pb::CustodyRefused) {
    let by = facility_of_slot(entry, 0);
    for unit in units {
        let back = TakingBack { transfer_id: Id16(id16(&e.transfer_id)), seal: e.seal.clone() };
        unit.pass(unit.custody.refused(by.as_ref(), back, entry.record_id()), entry.occurred_at_ms());
    }
}

pub(super) fn happened<'u>(units: impl Iterator<Item = &'u mut Unit>, entry: &Entry, e: &pb::ContainerEvent) {
    for unit in units {
        match e.kind() {
            ContainerEventKind::Broken | ContainerEventKind::Leaking => {
                unit.container.damaged_by.get_or_insert(entry.record_id());
            }
            ContainerEventKind::Lost => {
                unit.container.lost_by.get_or_insert(entry.record_id());
                unit.leave(entry);
            }
            ContainerEventKind::Found => {
                unit.container.lost_by = None;
                unit.arrive(entry);
            }
            ContainerEventKind::Unspecified => {}
        }
    }
}

/// The facility that the courier signs for has the units from now on, if the one that the pharmacist signs for had them.
pub(super) fn returned<'u>(units: impl Iterator<Item = &'u mut Unit>, entry: &Entry, e: &pb::UnitsReturned) {
    let (from, to) = (facility_of_slot(entry, 0), facility_of_slot(entry, 1));
    for unit in units {
        unit.leave(entry);
        unit.arrive(entry);
        let custody = match (unit.custody.holder() == from.as_ref(), to) {
            (true, Some(facility_id)) => Custody::Held { facility_id },
            _ => disputed(&unit.custody, entry, to),
        };
        unit.pass(custody, entry.occurred_at_ms());
        if e.purpose() == ReturnPurpose::Storage && unit.is_frozen() {
            unit.processing = Processing::Stored;
            unit.allocation = None;
            unit.thaw_order = None;
        } else {
            unit.advance(Processing::Returned, entry);
        }
    }
}

pub(super) fn destroyed<'u>(units: impl Iterator<Item = &'u mut Unit>, entry: &Entry) {
    for unit in units {
        unit.advance(Processing::Destroyed, entry);
        unit.leave(entry);
    }
}
