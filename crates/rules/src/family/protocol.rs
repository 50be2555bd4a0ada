//! Rules about a trial's protocol.

use marrowline_record::pb::ProtocolPublished;

use crate::context::Context;

pub(super) fn published(_c: &mut Context<'_>, _e: &ProtocolPublished) {}
