//! Handing units over and taking them over.

use std::collections::BTreeSet;

use marrowline_record::id::Id16;
use marrowline_record::pb::{self, StreamKind};

use crate::codes::custody as codes;
use crate::codes::lot::UNIT_UNKNOWN;
use crate::context::Context;
use crate::finding::Look;
use crate::index::id16;
use crate::state::custody::Custody;
use crate::state::lot::{Processing, Unit};

fn field(path: impl Into<String>) -> Vec<Look> {
    vec![Look::Field(path.into())]
}

/// All units of the lots that the record extends.
pub(super) fn units(c: &Context<'_>) -> Vec<Unit> {
    c.stream_ids(StreamKind::Lot)
        .filter_map(|id| c.view.lot(&id))
        .flat_map(|lot| lot.units.values().cloned().collect::<Vec<_>>())
        .collect()
}

/// The facility that the first signatory signs for.
pub(super) fn facility(c: &Context<'_>) -> Option<Id16> {
    c.signers.first().map(|s| s.facility_id)
}

pub(super) fn relinquished(c: &mut Context<'_>, e: &pb::CustodyRelinquished) {
    let units = units(c);
    let from = facility(c);
    let to = Id16(id16(&e.to_facility_id));
    c.demand(
        c.authority.facility(&to).is_some(),
        &codes::RECEIVER_UNKNOWN,
        || format!("facility {to}"),
        || "a registered facility".to_owned(),
        || field("custody_relinquished.to_facility_id"),
    );
    let transfer = Id16(id16(&e.transfer_id));
    let is_used = c.stream_ids(StreamKind::Lot).filter_map(|id| c.view.lot(&id)).any(|lot| lot.transfers.contains(&transfer));
    c.demand(
        !is_used,
        &codes::TRANSFER_ID_REUSED,
        || format!("transfer {transfer}, which was used before"),
        || "a new id".to_owned(),
        || field("custody_relinquished.transfer_id"),
    );
    let at_ms = c.occurred_at_ms;
    let is_announced =
        c.stream_ids(StreamKind::Lot).filter_map(|id| c.view.lot(&id)).any(|lot| lot.announced(e, at_ms).is_some());
    for (number, unit_id) in e.unit_ids.iter().enumerate() {
        let path = format!("custody_relinquished.unit_ids[{number}]");
        let id = Id16(id16(unit_id));
        let Some(unit) = units.iter().find(|u| u.id == id) else {
            c.find(&UNIT_UNKNOWN, format!("unit {id}"), "a unit of the lots named", field(path));
            continue;
        };
        let holder = if is_announced { unit.holder_at(at_ms) } else { unit.custody.holder() };
        c.demand(
            holder.is_some() && holder == from.as_ref(),
            &codes::RELINQUISHED_WITHOUT_CUSTODY,
            || format!("unit {} is not held by the facility that hands it over", unit.code),
            || "a unit that the facility holds".to_owned(),
            || field(path.clone()),
        );
        check_unused(c, unit, path);
    }
}

fn check_unused(c: &mut Context<'_>, unit: &Unit, path: String) {
    c.demand(
        unit.is_frozen_at(c.occurred_at_ms),
        &codes::TRANSFER_OF_USED_UNIT,
        || format!("unit {} is {:?}", unit.code, unit.processing).to_lowercase(),
        || "a frozen unit".to_owned(),
        || field(path),
    );
}

pub(super) fn accepted(c: &mut Context<'_>, e: &pb::CustodyAccepted) {
    let units = units(c);
    let at = facility(c);
    for (number, unit_id) in e.unit_ids.iter().enumerate() {
        let id = Id16(id16(unit_id));
        c.demand(
            units.iter().any(|unit| unit.id == id),
            &UNIT_UNKNOWN,
            || format!("unit {id}"),
            || "a unit of the lots named".to_owned(),
            || field(format!("custody_accepted.unit_ids[{number}]")),
        );
    }
    let transfer = Id16(id16(&e.transfer_id));
    let seal_of = |unit: &Unit| at.and_then(|at| unit.custody.expected_seal(&transfer, &at).map(str::to_owned));
    let exists = |unit: &&Unit| unit.processing != Processing::Destroyed;
    let mut sent: Vec<&Unit> = units.iter().filter(exists).filter(|unit| seal_of(unit).is_some()).collect();
    // What was refused at different times goes back under different seals, each in a record of its own.
    let has_seal = |unit: &&Unit| seal_of(unit).is_some_and(|seal| seal == e.seal);
    if sent.iter().any(has_seal) {
        sent.retain(|unit| has_seal(unit) || !matches!(unit.custody, Custody::Disputed { .. }));
    }
    if sent.is_empty() {
        c.find(
            &codes::ACCEPTED_WITHOUT_TRANSFER,
            format!("transfer {transfer}, of which nothing is on its way to this facility"),
            "units that were handed over to this facility",
            field("custody_accepted.transfer_id"),
        );
        return;
    }
    let seals: BTreeSet<String> = sent.iter().filter_map(|unit| seal_of(unit)).collect();
    c.demand(
        e.seal_intact && seals.len() == 1 && seals.contains(&e.seal),
        &codes::SEAL_DIFFERS,
        || format!("{}, {}", e.seal, if e.seal_intact { "whole" } else { "broken" }),
        || format!("{}, whole", seals.iter().cloned().collect::<Vec<_>>().join(", ")),
        || field("custody_accepted.seal"),
    );
    let counted: BTreeSet<Id16> = e.unit_ids.iter().map(|u| Id16(id16(u))).collect();
    let expected: BTreeSet<Id16> = sent.iter().map(|u| u.id).collect();
    c.demand(
        counted == expected && counted.len() == e.unit_ids.len(),
        &codes::COUNT_DIFFERS,
        || format!("{} units counted, {} of them expected", e.unit_ids.len(), counted.intersection(&expected).count()),
        || format!("the {} units that were handed over", expected.len()),
        || field("custody_accepted.unit_ids"),
    );
}

/// The others of the transfer are still on their way and can be taken over.
pub(super) fn refused(c: &mut Context<'_>, e: &pb::CustodyRefused) {
    let units = units(c);
    let at = facility(c);
    let transfer = Id16(id16(&e.transfer_id));
    for (number, unit_id) in e.unit_ids.iter().enumerate() {
        let path = format!("custody_refused.unit_ids[{number}]");
        let id = Id16(id16(unit_id));
        let Some(unit) = units.iter().find(|u| u.id == id) else {
            c.find(&UNIT_UNKNOWN, format!("unit {id}"), "a unit of the lots named", field(path));
            continue;
        };
        let is_sent_here = matches!(&unit.custody, Custody::InTransit { transfer_id, to_facility_id, .. }
            if *transfer_id == transfer && Some(*to_facility_id) == at);
        if is_sent_here {
            c.find(
                &codes::CUSTODY_REFUSED,
                format!("unit {}: {}", unit.code, e.reason),
                "a unit that the receiver takes over",
                field(path),
            );
        } else {
            c.find(
                &codes::REFUSED_WITHOUT_TRANSFER,
                format!("unit {}, which is not on its way to this facility with transfer {transfer}", unit.code),
                "a unit that was handed over to this facility",
                field(path),
            );
        }
    }
}
