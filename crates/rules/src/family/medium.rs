//! Fresh medium for a culture.

use marrowline_record::id::Id16;
use marrowline_record::pb;

use super::lot::{field, lot};
use crate::codes::lot as codes;
use crate::context::Context;
use crate::finding::Look;
use crate::index::id16;

pub(super) fn changed(c: &mut Context<'_>, e: &pb::MediumChanged) {
    let lot = lot(c);
    let id = Id16(id16(&e.culture_id));
    let Some(culture) = lot.cultures.get(&id) else {
        c.find(
            &codes::MEDIUM_CULTURE_UNKNOWN,
            format!("culture {id}"),
            "a culture of the lot",
            field("medium_changed.culture_id"),
        );
        return;
    };
    // By the event's own time: a change that is entered after the passage happened before it.
    let at = c.judged_at_ms();
    let is_growing = at >= culture.seeded_at_ms && culture.consumed_at_ms.is_none_or(|end| at <= end);
    c.demand(
        is_growing,
        &codes::MEDIUM_CHANGED_OUTSIDE_CULTURE,
        || format!("culture {id}, which was not growing at the time"),
        || "a moment between its seeding and its detachment".to_owned(),
        || std::iter::once(culture.record_id).chain(culture.consumed_by).map(Look::Record).collect(),
    );
}
