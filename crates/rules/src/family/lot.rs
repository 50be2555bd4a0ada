//! Manufacture: opening, isolation, seeding, passages, harvest.

use std::sync::Arc;

use marrowline_record::id::Id16;
use marrowline_record::pb::{self, StreamKind};

use crate::codes::lot as codes;
use crate::context::Context;
use crate::finding::Look;
use crate::index::{CODE_LOT, Holder, holder, id16};
use crate::state::Lot;
use crate::state::lot::Culture;
use crate::view::View;

pub(super) fn field(path: impl Into<String>) -> Vec<Look> {
    vec![Look::Field(path.into())]
}

/// The lot of the record's only lot stream; empty before it was opened.
pub(super) fn lot(c: &Context<'_>) -> Arc<Lot> {
    let id = c.stream_id(StreamKind::Lot);
    c.view.lot(&id).unwrap_or_else(|| Arc::new(Lot::new(id)))
}

/// The specification that governs a lot.
pub(crate) fn specification(view: &dyn View, lot: &Lot) -> Option<Arc<pb::SpecificationPublished>> {
    let document = lot.specification()?;
    view.specification(&Id16(id16(&document.id)))?.version(document.version).cloned()
}

/// Whose opening is void has the code no more, and of a lot that has it the first opening told.
fn code_is_new(c: &mut Context<'_>, lot: &Lot, lot_code: &str) {
    let has_it = |lot: &Lot| lot.opened.as_ref().is_some_and(|(_, opened)| opened.lot_code == lot_code);
    let is_other = |id: &Id16| c.view.lot(id).is_none_or(|other| has_it(&other));
    let (code, found) = match holder(c.view, CODE_LOT, lot_code, &lot.id, is_other).filter(|_| !has_it(lot)) {
        Some(Holder::Has(other)) => (&codes::LOT_CODE_TAKEN, format!("code {lot_code} of lot {other}")),
        Some(Holder::Had) => (&codes::LOT_CODE_REUSED, format!("code {lot_code} of a void opening")),
        None => return,
    };
    c.find(code, found, "a code of its own", field("lot_opened.lot_code"));
}

pub(super) fn opened(c: &mut Context<'_>, e: &pb::LotOpened) {
    let lot = lot(c);
    if let Some((record, _)) = &lot.opened {
        c.find(&codes::LOT_ALREADY_OPENED, "a second opening", "one", vec![Look::Record(*record)]);
    }
    code_is_new(c, &lot, &e.lot_code);
    let named = e.specification.as_ref();
    let document = named.and_then(|s| c.view.specification(&Id16(id16(&s.id)))?.version(s.version).cloned());
    c.demand(
        document.is_some(),
        &codes::LOT_SPECIFICATION_UNKNOWN,
        || "a specification that is not published".to_owned(),
        || "a published version".to_owned(),
        || field("lot_opened.specification"),
    );
    let donor = c.view.donor(&c.stream_id(StreamKind::Donor));
    if let Some(donor) = &donor {
        super::donor::not_withdrawn(c, donor);
    }
    let at = c.judged_at_ms();
    c.demand(
        donor.as_ref().is_some_and(|d| super::donor::was_eligible(d, at) && d.is_eligible()),
        &codes::LOT_DONOR_NOT_ELIGIBLE,
        || "a donor who is not eligible".to_owned(),
        || "an eligible donor".to_owned(),
        || donor.iter().filter_map(|d| d.eligibility).map(|(record, _)| Look::Record(record)).collect(),
    );
    if let (Some(donor), Some(document)) = (&donor, &document) {
        super::donor::panel_of_lot(c, donor, document);
    }
    c.demand(
        donor.as_ref().is_some_and(|d| d.collections.iter().any(|collection| collection.event.din == e.din)),
        &codes::LOT_DIN_NOT_OF_DONOR,
        || format!("{}, which is no collection of the donor", e.din),
        || "a donation number of the donor".to_owned(),
        || field("lot_opened.din"),
    );
}

pub(super) fn mnc_isolated(c: &mut Context<'_>, e: &pb::MncIsolated) {
    let lot = lot(c);
    if let Some((record, _)) = &lot.isolation {
        c.find(&codes::ISOLATION_REPEATED, "a second isolation", "one", vec![Look::Record(*record)]);
    }
    let opened_din = lot.opened.as_ref().map(|(_, opened)| opened.din.clone());
    c.demand(
        opened_din.as_ref().is_none_or(|din| *din == e.din),
        &codes::LOT_DIN_NOT_OF_DONOR,
        || e.din.clone(),
        || opened_din.clone().unwrap_or_default(),
        || field("mnc_isolated.din"),
    );
    if let Some(balance) = &e.aspirate {
        let parts = [
            balance.microlitres_out.unwrap_or(0),
            balance.microlitres_sampled.unwrap_or(0),
            balance.microlitres_discarded.unwrap_or(0),
        ];
        check_balance(
            c,
            &lot,
            balance.microlitres_in,
            parts,
            balance.microlitres_unaccounted.unwrap_or(0),
            "µL",
            "mnc_isolated.aspirate",
        );
        let collected = lot.donor_id.and_then(|d| c.view.donor(&d)).and_then(|d| {
            d.collections.iter().find(|k| k.event.din == e.din).map(|k| (k.event.aspirate_microlitres(), k.record_id))
        });
        if let Some((volume, record)) = collected {
            c.demand(
                balance.microlitres_in == volume,
                &codes::STEP_INPUT_DIFFERS,
                || format!("{} µL", balance.microlitres_in),
                || format!("{volume} µL, as collected"),
                || vec![Look::Field("mnc_isolated.aspirate.microlitres_in".to_owned()), Look::Record(record)],
            );
        }
    }
    if let Some(limit) = specification(c.view, &lot).map(|s| s.min_isolation_viability_basis_points) {
        let found = e.viability_basis_points.unwrap_or(0);
        c.demand(
            found >= limit,
            &codes::ISOLATION_VIABILITY_LOW,
            || percent(found),
            || format!("{} or more", percent(limit)),
            || field("mnc_isolated.viability_basis_points"),
        );
    }
}

/// Basis points as per cent.
pub(crate) fn percent(basis_points: u32) -> String {
    format!("{}.{:02} %", basis_points / 100, basis_points % 100)
}

/// The balance closes exactly, and what is unaccounted is within the tolerance.
fn check_balance(c: &mut Context<'_>, lot: &Lot, taken: u64, parts: [u64; 3], unaccounted: i64, unit: &str, path: &str) {
    let sum: i128 = parts.iter().map(|p| i128::from(*p)).sum::<i128>() + i128::from(unaccounted);
    c.demand(
        sum == i128::from(taken),
        &codes::BALANCE_NOT_CLOSED,
        || format!("{sum} {unit} out of {taken} {unit}"),
        || "out + sampled + discarded + unaccounted = in".to_owned(),
        || field(path),
    );
    let Some(tolerance) = specification(c.view, lot).and_then(|s| s.balance_tolerance_basis_points) else {
        return;
    };
    let share = u128::from(unaccounted.unsigned_abs()) * 10_000;
    c.demand(
        share <= u128::from(taken) * u128::from(tolerance),
        &codes::BALANCE_OUTSIDE_TOLERANCE,
        || format!("{unaccounted} of {taken} {unit} unaccounted"),
        || format!("at most {} of {taken} {unit}", percent(tolerance)),
        || field(format!("{path}.unaccounted")),
    );
}

pub(super) fn check_cells(c: &mut Context<'_>, lot: &Lot, balance: &pb::CellBalance, path: &str) {
    let parts = [balance.cells_out.unwrap_or(0), balance.cells_sampled.unwrap_or(0), balance.cells_discarded.unwrap_or(0)];
    check_balance(c, lot, balance.cells_in(), parts, balance.cells_unaccounted.unwrap_or(0), "cells", path);
}

pub(super) fn culture_seeded(c: &mut Context<'_>, e: &pb::CultureSeeded) {
    let lot = lot(c);
    check_new_culture(c, &lot, &e.culture_id, "culture_seeded.culture_id");
    let Some(cells) = &e.cells else { return };
    check_cells(c, &lot, cells, "culture_seeded.cells");
    let isolated = lot.isolation.as_ref().map(|(record, isolation)| (isolation.total_cells(), *record));
    // Several cultures may be seeded from one isolation; together they cannot take more than there was.
    let available = isolated.map_or(0, |(total, _)| u128::from(total)).saturating_sub(lot.cells_taken_from_isolation);
    c.demand(
        u128::from(cells.cells_in()) <= available,
        &codes::STEP_INPUT_DIFFERS,
        || format!("{} cells", cells.cells_in()),
        || format!("at most {available} cells, what is left of the isolation"),
        || {
            let record = isolated.map(|(_, record)| Look::Record(record));
            std::iter::once(Look::Field("culture_seeded.cells.cells_in".to_owned())).chain(record).collect()
        },
    );
}

fn check_new_culture(c: &mut Context<'_>, lot: &Lot, culture_id: &[u8], path: &str) {
    let id = Id16(id16(culture_id));
    c.demand(
        !lot.cultures.contains_key(&id) && !lot.harvests.contains_key(&id),
        &codes::CULTURE_ID_REUSED,
        || format!("culture {id}, which exists"),
        || "a new id".to_owned(),
        || field(path),
    );
}

pub(super) fn passaged(c: &mut Context<'_>, e: &pb::Passaged) {
    let lot = lot(c);
    check_new_culture(c, &lot, &e.culture_id, "passaged.culture_id");
    if let Some(cells) = &e.cells {
        check_cells(c, &lot, cells, "passaged.cells");
    }
    let Some(parent) = parent_of(c, &lot, &e.parent_culture_id, "passaged.parent_culture_id") else {
        return;
    };
    c.demand(
        Some(e.passage) == parent.passage.checked_add(1),
        &codes::PASSAGE_NOT_PARENT_PLUS_ONE,
        || format!("passage {}", e.passage),
        || format!("passage {}", parent.passage.saturating_add(1)),
        || vec![Look::Field("passaged.passage".to_owned()), Look::Record(parent.record_id)],
    );
    let detached = e.cells.as_ref().map_or(0, |b| b.cells_in());
    check_doublings(c, &parent, detached, e.milli_doublings, "passaged.milli_doublings");
    let doublings = parent.doublings_after(detached, e.milli_doublings);
    check_limits(c, &lot, parent.passage_after(e.passage), doublings, "passaged");
}

/// The culture that a step uses up, if it is known; whether it is free is flagged.
fn parent_of(c: &mut Context<'_>, lot: &Lot, parent_id: &[u8], path: &str) -> Option<Culture> {
    let id = Id16(id16(parent_id));
    let Some(parent) = lot.cultures.get(&id) else {
        c.find(&codes::PARENT_CULTURE_UNKNOWN, format!("culture {id}"), "a culture of the lot", field(path));
        return None;
    };
    if let Some(record) = parent.consumed_by {
        c.find(
            &codes::PARENT_CULTURE_CONSUMED,
            format!("culture {id}, which is used up"),
            "a culture that is not used up",
            vec![Look::Record(record)],
        );
    }
    Some(parent.clone())
}

/// Doublings are stated from passage 1 on: passage 0 seeds mononuclear cells, of which few are stromal.
fn check_doublings(c: &mut Context<'_>, parent: &Culture, detached: u64, stated: Option<i32>, path: &str) {
    let computed = parent.doublings_to(detached);
    let right = match (computed, stated) {
        (Some(computed), Some(stated)) => computed.abs_diff(stated) <= 1,
        (computed, stated) => computed.is_none() && stated.is_none(),
    };
    let show = |value: Option<i32>| value.map_or_else(|| "none".to_owned(), |v| format!("{v} thousandths"));
    c.demand(
        right,
        &codes::DOUBLINGS_WRONG,
        || show(stated),
        || format!("{} (log2 of {detached} / {})", show(computed), parent.seeded_cells),
        || vec![Look::Field(path.to_owned()), Look::Record(parent.record_id)],
    );
}

/// The limits hold for what follows from the counts as well as for what was stated, whichever is more.
fn check_limits(c: &mut Context<'_>, lot: &Lot, passage: u32, milli_doublings: i64, path: &str) {
    let Some(document) = specification(c.view, lot) else {
        return;
    };
    c.demand(
        passage <= document.max_passage,
        &codes::PASSAGE_LIMIT_EXCEEDED,
        || format!("passage {passage}"),
        || format!("at most passage {}", document.max_passage),
        || field(format!("{path}.passage")),
    );
    c.demand(
        milli_doublings <= i64::from(document.max_milli_doublings),
        &codes::DOUBLING_LIMIT_EXCEEDED,
        || format!("{milli_doublings} thousandths since passage 1"),
        || format!("at most {}", document.max_milli_doublings),
        || field(format!("{path}.milli_doublings")),
    );
}

pub(super) fn harvested(c: &mut Context<'_>, e: &pb::Harvested) {
    let lot = lot(c);
    check_new_culture(c, &lot, &e.harvest_id, "harvested.harvest_id");
    if let Some(cells) = &e.cells {
        check_cells(c, &lot, cells, "harvested.cells");
    }
    let Some(parent) = parent_of(c, &lot, &e.parent_culture_id, "harvested.parent_culture_id") else {
        return;
    };
    let detached = e.cells.as_ref().map_or(0, |b| b.cells_in());
    check_doublings(c, &parent, detached, e.milli_doublings, "harvested.milli_doublings");
    check_limits(c, &lot, parent.passage, parent.doublings_after(detached, e.milli_doublings), "harvested");
}
