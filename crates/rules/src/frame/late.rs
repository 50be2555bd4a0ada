//! Late entries: a fact that is entered after the limit of its protocol or specification is kept and flagged.

use marrowline_record::id::Id16;
use marrowline_record::pb::StreamKind;

use crate::codes::frame as codes;
use crate::context::Context;
use crate::finding::Look;
use crate::index::id16;
use crate::table::Category;

/// The shortest limit of the documents that govern the streams of the record. A donor has none before a lot is made from it.
fn limit_seconds(c: &Context<'_>) -> Option<u32> {
    let of_stream = |kind: StreamKind, id: Id16| match kind {
        StreamKind::Lot => {
            let lot = c.view.lot(&id)?;
            let (_, opened) = lot.opened.as_ref()?;
            let document = opened.specification.as_ref()?;
            let specification = c.view.specification(&Id16(id16(&document.id)))?;
            specification.version(document.version).map(|s| s.late_entry_limit_seconds)
        }
        StreamKind::Subject => {
            let (id, version) = c.view.subject(&id)?.protocol()?;
            c.view.protocol(&id)?.version(version).map(|p| p.late_entry_limit_seconds)
        }
        StreamKind::Donor => {
            let donor = c.view.donor(&id)?;
            donor.lots.iter().find_map(|lot| {
                let lot = c.view.lot(lot)?;
                let document = lot.opened.as_ref()?.1.specification.clone()?;
                let specification = c.view.specification(&Id16(id16(&document.id)))?;
                specification.version(document.version).map(|s| s.late_entry_limit_seconds)
            })
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
