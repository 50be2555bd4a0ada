//! Rules about orders and the allocation of units to them.

use std::collections::BTreeSet;

use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::{self, StreamKind};

use crate::codes::dose as code;
use crate::context::Context;
use crate::family::donor::not_withdrawn;
use crate::family::dose::case::{SeenUnit, Sight, sights};
use crate::family::dose::exposure::{self, Addition};
use crate::family::dose::findings::{Findings, field, record, thing};
use crate::family::dose::words::grouped;
use crate::family::dose::{portions, weight};
use crate::family::subject::standing::Standing;
use crate::index::{IndexKey, id16};
use crate::state::Subject;
use crate::state::subject::Order;

pub(in crate::family) fn ordered(c: &mut Context<'_>, e: &pb::DoseOrdered) {
    let Some(subject) = c.view.subject(&c.stream_id(StreamKind::Subject)) else {
        return;
    };
    let at_ms = c.judged_at_ms();
    let standing = Standing::of(c.view, &subject);
    let mut f = standing.everything(at_ms);
    let order_id = Id16(id16(&e.order_id));
    id_is_new(c, &mut f, &subject, &order_id);
    weighing_is_latest(&mut f, &subject, e);
    weight::recent(&mut f, &standing, at_ms);
    target(&mut f, &standing, e);
    if let Some(weighing) = subject.weighing(&RecordId(id16(&e.weighing_record_id))) {
        let addition = Addition::target(e.target_viable_cells_per_kg, weighing.weight_grams);
        exposure::cap(&mut f, &standing, at_ms, addition);
    }
    // The interval is asked when the dose goes out: what is ordered today may be for tomorrow.
    f.into_context(c);
}

/// No subject has an order with this id: units are allocated, and doses made, by it.
fn id_is_new(c: &Context<'_>, f: &mut Findings, subject: &Subject, order_id: &Id16) {
    let used = subject.order(order_id);
    let owner = c.view.lookup(&IndexKey::Order(order_id.0)).map(Id16);
    f.demand(
        used.is_none() && owner.is_none(),
        &code::ORDER_ID_USED,
        || format!("order {order_id} for the second time"),
        || "a new id".to_owned(),
        || {
            let other = owner.filter(|owner| *owner != subject.id).map(|_| thing("order", order_id));
            used.map(|order| record(order.record_id)).into_iter().chain(other).collect()
        },
    );
}

fn weighing_is_latest(f: &mut Findings, subject: &Subject, e: &pb::DoseOrdered) {
    let cited = RecordId(id16(&e.weighing_record_id));
    let latest = subject.latest_weighing();
    f.demand(
        latest.is_some_and(|latest| latest.record_id == cited),
        &code::WEIGHING_NOT_LATEST,
        || match subject.weighing(&cited) {
            Some(weighing) => format!("record {cited}, an earlier weighing of {} g", grouped(weighing.weight_grams)),
            None => format!("record {cited}, which is no weighing of this subject"),
        },
        || match latest {
            Some(latest) => format!("record {} ({} g)", latest.record_id, grouped(latest.weight_grams)),
            None => "a weighing; the subject was not weighed yet".to_owned(),
        },
        || latest.map(|latest| record(latest.record_id)).into_iter().collect(),
    );
}

fn target(f: &mut Findings, standing: &Standing<'_>, e: &pb::DoseOrdered) {
    let Some(protocol) = &standing.protocol else {
        return;
    };
    // A protocol without a band allows no dose.
    let band = protocol.dose_band.unwrap_or_default();
    let target = e.target_viable_cells_per_kg;
    f.demand(
        (band.min_viable_cells_per_kg..=band.max_viable_cells_per_kg).contains(&target),
        &code::TARGET_OUTSIDE_BAND,
        || format!("{} viable cells/kg", grouped(target)),
        || format!("{} to {} viable cells/kg", grouped(band.min_viable_cells_per_kg), grouped(band.max_viable_cells_per_kg)),
        || vec![field("dose_ordered.target_viable_cells_per_kg")],
    );
}

pub(in crate::family) fn units_allocated(c: &mut Context<'_>, e: &pb::UnitsAllocated) {
    let Some(subject) = c.view.subject(&c.stream_id(StreamKind::Subject)) else {
        return;
    };
    let at_ms = c.judged_at_ms();
    let standing = Standing::of(c.view, &subject);
    let mut f = standing.everything(at_ms);
    let order = known_and_open(&mut f, &subject, &Id16(id16(&e.order_id)), None);
    weight::of_order(&mut f, &standing, order);
    let sights = sights(c.view, &e.unit_ids);
    portions::known(&mut f, &sights);
    portions::named_once(&mut f, e.unit_ids.iter().map(|unit| Id16(id16(unit))));
    portions::lots_extended(c, &mut f, &sights);
    for seen in sights.iter().filter_map(Sight::seen) {
        portions::fit_for_use(&mut f, c.view, seen, &subject.id, at_ms);
        portions::free(&mut f, c.view, &seen.unit, at_ms);
    }
    let donors: BTreeSet<Id16> = sights.iter().filter_map(Sight::seen).filter_map(|seen| seen.lot.donor_id).collect();
    // Units that the order has already count: what is prepared from it may come from any of them.
    let before: Vec<Sight> =
        order.map(|order| order.allocated.iter().map(|(unit, _)| Sight::of(c.view, *unit)).collect()).unwrap_or_default();
    // A unit that was returned is the order's no more.
    let still =
        |seen: &&SeenUnit| seen.unit.allocation.is_some_and(|a| order.is_some_and(|order| a.is_to(&subject.id, &order.id)));
    let before = before.iter().filter_map(Sight::seen).filter(still);
    let all: Vec<&SeenUnit> = sights.iter().filter_map(Sight::seen).chain(before).collect();
    portions::donors(&mut f, all.iter().copied());
    f.into_context(c);
    for donor in donors.iter().filter_map(|id| c.view.donor(id)) {
        not_withdrawn(c, &donor);
    }
}

pub(in crate::family) fn cancelled(c: &mut Context<'_>, e: &pb::OrderCancelled) {
    let Some(subject) = c.view.subject(&c.stream_id(StreamKind::Subject)) else {
        return;
    };
    let mut f = Findings::default();
    known_and_open(&mut f, &subject, &Id16(id16(&e.order_id)), None);
    f.into_context(c);
}

/// Units go back to the store that were assigned to the order and are still frozen.
pub(in crate::family) fn allocation_released(c: &mut Context<'_>, e: &pb::AllocationReleased) {
    let order_id = Id16(id16(&e.order_id));
    let mut f = Findings::default();
    let sights = sights(c.view, &e.unit_ids);
    portions::known(&mut f, &sights);
    portions::named_once(&mut f, e.unit_ids.iter().map(|unit| Id16(id16(unit))));
    portions::lots_extended(c, &mut f, &sights);
    let subject_id = c.stream_id(StreamKind::Subject);
    for seen in sights.iter().filter_map(Sight::seen) {
        portions::allocated_to(&mut f, &seen.unit, &subject_id, &order_id);
        portions::exists(&mut f, &seen.unit);
        portions::frozen(&mut f, &seen.unit);
    }
    f.into_context(c);
}

/// The order is one of the subject's, and no dose but this one was prepared for it.
pub(in crate::family) fn known_and_open<'a>(
    f: &mut Findings,
    subject: &'a Subject,
    order_id: &Id16,
    dose_id: Option<&Id16>,
) -> Option<&'a Order> {
    let order = subject.order(order_id);
    f.demand(
        order.is_some(),
        &code::ORDER_UNKNOWN,
        || format!("order {order_id}, which is not of subject {}", subject.id),
        || match subject.orders.last() {
            Some(last) => format!("an order of this subject; the last one is {}", last.id),
            None => "an order of this subject; it has none".to_owned(),
        },
        || vec![thing("order", order_id)],
    );
    let order = order?;
    f.demand(
        order.cancelled_by.is_none(),
        &code::ORDER_CANCELLED,
        || format!("order {order_id}, which was cancelled"),
        || "an order that stands".to_owned(),
        || [Some(order.record_id), order.cancelled_by].into_iter().flatten().map(record).collect(),
    );
    let other = order.dose_id.filter(|dose| Some(dose) != dose_id);
    f.demand(
        other.is_none(),
        &code::ORDER_CLOSED,
        || format!("order {order_id}, for which dose {} was prepared", other.map_or_else(String::new, |o| o.to_string())),
        || "an order without a dose".to_owned(),
        || {
            let dose = other.and_then(|other| subject.dose(&other));
            vec![record(order.record_id)].into_iter().chain(dose.map(|d| record(d.record_id))).collect()
        },
    );
    Some(order)
}
