//! Rules about a subject's consent, screening, randomisation and weighing.

use marrowline_record::pb;

use crate::context::Context;

pub(super) fn consented(_c: &mut Context<'_>, _e: &pb::SubjectConsented) {}
pub(super) fn screened(_c: &mut Context<'_>, _e: &pb::SubjectScreened) {}
pub(super) fn randomised(_c: &mut Context<'_>, _e: &pb::SubjectRandomised) {}
pub(super) fn weighed(_c: &mut Context<'_>, _e: &pb::SubjectWeighed) {}
