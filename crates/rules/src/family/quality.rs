//! Deviations and holds, on any stream.

use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, StreamKind};

use crate::codes::quality as codes;
use crate::context::Context;
use crate::finding::Look;
use crate::index::id16;
use crate::state::Upkeep;

/// Nothing about an opened deviation can be wrong beyond its form.
pub(super) fn deviation_opened(_: &mut Context<'_>, _: &pb::DeviationOpened) {}

/// What the record's only stream keeps.
fn upkeep(c: &Context<'_>) -> Upkeep {
    let Some(stream) = c.record.streams.first() else {
        return Upkeep::default();
    };
    let id = Id16(id16(&stream.id));
    let found = match stream.kind() {
        StreamKind::Authority => Some(c.authority.upkeep.clone()),
        StreamKind::Protocol => c.view.protocol(&id).map(|s| s.upkeep.clone()),
        StreamKind::Specification => c.view.specification(&id).map(|s| s.upkeep.clone()),
        StreamKind::Donor => c.view.donor(&id).map(|s| s.upkeep.clone()),
        StreamKind::Lot => c.view.lot(&id).map(|s| s.upkeep.clone()),
        StreamKind::Subject => c.view.subject(&id).map(|s| s.upkeep.clone()),
        StreamKind::Facility => c.view.facility(&id).map(|s| s.upkeep.clone()),
        StreamKind::Equipment => c.view.equipment(&id).map(|s| s.upkeep.clone()),
        StreamKind::Unspecified => None,
    };
    found.unwrap_or_else(|| Upkeep::new(stream.kind()))
}

pub(super) fn deviation_closed(c: &mut Context<'_>, e: &pb::DeviationClosed) {
    let upkeep = upkeep(c);
    let look = || vec![Look::Field("deviation_closed.deviation_id".to_owned())];
    match upkeep.deviations.iter().find(|d| d.id[..] == e.deviation_id[..]) {
        None => {
            let open: Vec<_> = upkeep.open_deviations().map(|d| d.code).collect();
            c.find(
                &codes::DEVIATION_UNKNOWN,
                "a deviation that this stream does not have",
                if open.is_empty() { "no open deviation".to_owned() } else { open.join(", ") },
                look(),
            );
        }
        Some(deviation) => {
            if let Some(record) = deviation.closed_by {
                c.find(
                    &codes::DEVIATION_ALREADY_CLOSED,
                    "a deviation that is closed",
                    "an open deviation",
                    vec![Look::Record(record)],
                );
            }
        }
    }
}

pub(super) fn hold_set(c: &mut Context<'_>, e: &pb::HoldSet) {
    let lots: Vec<_> = c.stream_ids(StreamKind::Lot).filter_map(|id| c.view.lot(&id)).collect();
    for (number, unit) in e.unit_ids.iter().enumerate() {
        let id = Id16(id16(unit));
        c.demand(
            lots.iter().any(|lot| lot.units.contains_key(&id)),
            &codes::HELD_THING_UNKNOWN,
            || format!("unit {id}"),
            || "a unit of the lot".to_owned(),
            || vec![Look::Field(format!("hold_set.unit_ids[{number}]"))],
        );
    }
    if let Some(dose) = e.dose_id.as_deref().map(|d| Id16(id16(d))) {
        let known =
            c.stream_ids(StreamKind::Subject).filter_map(|id| c.view.subject(&id)).any(|subject| subject.dose(&dose).is_some());
        c.demand(
            known,
            &codes::HELD_THING_UNKNOWN,
            || format!("dose {dose}"),
            || "a dose of the subject".to_owned(),
            || vec![Look::Field("hold_set.dose_id".to_owned())],
        );
    }
}

pub(super) fn hold_lifted(c: &mut Context<'_>, e: &pb::HoldLifted) {
    let upkeep = upkeep(c);
    let look = || vec![Look::Field("hold_lifted.hold_id".to_owned())];
    match upkeep.holds.iter().find(|h| h.id[..] == e.hold_id[..]) {
        None => {
            let open: Vec<_> = upkeep.open_holds().map(|h| h.code).collect();
            c.find(
                &codes::HOLD_UNKNOWN,
                "a hold that this stream does not have",
                if open.is_empty() { "no open hold".to_owned() } else { open.join(", ") },
                look(),
            );
        }
        Some(hold) => {
            if let Some(record) = hold.lifted_by {
                c.find(&codes::HOLD_ALREADY_LIFTED, "a hold that is lifted", "an open hold", vec![Look::Record(record)]);
            }
        }
    }
    if let Some(recall) = upkeep.open_recalls().find(|recall| recall.id[..] == e.hold_id[..]) {
        let found = format!("the hold of `{}`, which is open", recall.code);
        c.find(&codes::HOLD_OF_OPEN_RECALL, found, "a recall or look-back that is closed", vec![Look::Record(recall.record_id)]);
    }
    let operators: Vec<Id16> = c
        .stream_ids(StreamKind::Lot)
        .filter_map(|id| c.view.lot(&id))
        .flat_map(|lot| lot.operated_by.clone())
        .filter_map(|(key, _)| c.authority.person_of(&key))
        .collect();
    for signer in c.signers.clone() {
        c.demand(
            !signer.person_id.is_some_and(|p| operators.contains(&p)),
            &codes::HOLD_LIFTED_BY_OPERATOR,
            || "a signature of someone who operated on the lot".to_owned(),
            || "QA and another person, neither of whom operated on it".to_owned(),
            || vec![Look::Field(format!("slots[{}]", signer.slot))],
        );
    }
    resolution(c, e, upkeep.holds.iter().find(|h| h.id[..] == e.hold_id[..]).map(|hold| hold.record_id));
}

/// What resolves a hold is a record of its own: that which brought the hold about resolves nothing, nor does the founding.
fn resolution(c: &mut Context<'_>, e: &pb::HoldLifted, held_by: Option<RecordId>) {
    let look = || vec![Look::Field("hold_lifted.resolution_record_id".to_owned())];
    let resolution = RecordId(id16(&e.resolution_record_id));
    let cited = c.record.cites.iter().any(|cite| cite.record_id == e.resolution_record_id);
    let entry = c.view.entry(&resolution);
    c.demand(
        cited && entry.is_some(),
        &codes::RESOLUTION_UNKNOWN,
        || format!("record {resolution}{}", if cited { "" } else { ", not cited" }),
        || "a record of this ledger that is also cited".to_owned(),
        look,
    );
    let is_founding = entry.is_some_and(|entry| matches!(entry.event(), Some(Event::LedgerFounded(_))));
    c.demand(
        held_by != Some(resolution) && !is_founding,
        &codes::RESOLUTION_RESOLVES_NOTHING,
        || format!("record {resolution}, {}", if is_founding { "the founding" } else { "which brought the hold about" }),
        || "a record that says how it was resolved".to_owned(),
        look,
    );
}
