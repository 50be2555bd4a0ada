//! Late entries: a fact that is entered after the limit of its protocol or specification is kept and flagged.

use marrowline_record::id::Id16;
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{StreamKind, VersionRef};

use crate::codes::frame as codes;
use crate::context::Context;
use crate::finding::Look;
use crate::index::id16;
use crate::table::Category;

/// The shortest limit of the documents that govern the streams of the record. A donor has none before a lot is made from it; a lot or
/// subject that the record itself opens has those that the record names.
fn limit_seconds(c: &Context<'_>) -> Option<u32> {
    let of_specification = |document: &VersionRef| {
        let specification = c.view.specification(&Id16(id16(&document.id)))?;
        specification.version(document.version).map(|s| s.late_entry_limit_seconds)
    };
    let of_protocol = |id: Id16, version: u32| c.view.protocol(&id)?.version(version).map(|p| p.late_entry_limit_seconds);
    let of_stream = |kind: StreamKind, id: Id16| match (kind, c.event()) {
        (StreamKind::Lot, event) => match (c.view.lot(&id).and_then(|lot| lot.specification().cloned()), event) {
            (None, Some(Event::LotOpened(e))) => of_specification(e.specification.as_ref()?),
            (document, _) => of_specification(document.as_ref()?),
        },
        (StreamKind::Subject, event) => match (c.view.subject(&id).and_then(|subject| subject.protocol()), event) {
            (None, Some(Event::SubjectConsented(e))) => {
                let document = e.protocol.as_ref()?;
                of_protocol(Id16(id16(&document.id)), document.version)
            }
            (document, _) => document.and_then(|(id, version)| of_protocol(id, version)),
        },
        (StreamKind::Donor, _) => {
            let donor = c.view.donor(&id)?;
            donor.lots.iter().find_map(|lot| of_specification(c.view.lot(lot)?.specification()?))
        }
        _ => None,
    };
    c.record.streams.iter().filter_map(|s| of_stream(s.kind(), Id16(id16(&s.id)))).min()
}

pub(super) fn check(c: &mut Context<'_>) {
    if c.category == Category::Authorisation {
        return;
    }
    let Some(limit) = limit_seconds(c) else {
        return;
    };
    let age_ms = c.recorded_at_ms.saturating_sub(c.occurred_at_ms);
    c.demand(
        age_ms <= i64::from(limit).saturating_mul(1_000),
        &codes::LATE_ENTRY,
        || format!("entered {} s after it happened", age_ms / 1_000),
        || format!("at most {limit} s"),
        || vec![Look::Field("occurred_at".to_owned())],
    );
}
