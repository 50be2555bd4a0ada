//! Folding a lot's records. Total: a flagged record that names an unknown unit or culture changes nothing of what is known.

use std::collections::{BTreeMap, BTreeSet};

use marrowline_record::entry::Entry;
use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, SampleSource, StreamKind};

use super::{
    Allocation, Culture, Harvest, Lot, MaterialsUse, Processing, Sample, Thaw, ThawOrder, Unit, container, labels, results,
    waiting,
};
use crate::index::id16;
use crate::state::custody::{Custody, TakeOver};

fn id(bytes: &[u8]) -> Id16 {
    Id16(id16(bytes))
}

pub(super) fn fold(lot: &mut Lot, entry: &Entry) {
    let Some(event) = &entry.record.event else {
        return;
    };
    if let Some(named) = materials_of(event) {
        lot.materials.push(MaterialsUse {
            record_id: entry.record_id(),
            event: marrowline_record::EventKind::of(event).name(),
            facility_id: signing_facility(entry).unwrap_or(Id16([0; 16])),
            materials: named.cloned().unwrap_or_default(),
        });
    }
    if is_operators_work(event, entry) {
        operated(lot, entry);
    }
    waiting::keep(lot, entry, event);
    match event {
        Event::LotOpened(e) => {
            if lot.opened.is_none() {
                lot.opened = Some((entry.record_id(), e.clone()));
                lot.facility_id = signing_facility(entry);
                lot.donor_id = Some(Id16(entry.stream_id(StreamKind::Donor)));
            }
        }
        Event::MncIsolated(e) => {
            if lot.isolation.is_none() {
                lot.isolation = Some((entry.record_id(), e.clone()));
            }
        }
        Event::CultureSeeded(_) | Event::Passaged(_) | Event::Harvested(_) | Event::UnitsFilled(_) => {
            manufacture(lot, entry, event)
        }
        Event::TestResultReported(_) | Event::TestResultReviewed(_) | Event::ResultInvalidated(_) | Event::RecordAmended(_) => {
            results::fold(lot, entry, event);
        }
        Event::LabelsPrinted(_) | Event::LabelsApplied(_) | Event::LabelsReconciled(_) => labels::fold(lot, entry, event),
        Event::LotDispositionDecided(e) => {
            lot.disposition = Some((entry.record_id(), e.disposition()));
            if matches!(e.disposition(), pb::Disposition::Conditional | pb::Disposition::Final) {
                lot.released = Some(entry.record_id());
            } else {
                let at_ms = entry.occurred_at_ms();
                lot.rejected_at_ms = Some(lot.rejected_at_ms.map_or(at_ms, |before_ms| before_ms.min(at_ms)));
            }
        }
        _ => units(lot, entry, event),
    }
}

/// The facility of the first slot that was signed: where the step was done.
fn signing_facility(entry: &Entry) -> Option<Id16> {
    let first = entry.signings.first()?;
    let slot = entry.record.slots.get(usize::from(first.slot))?;
    Some(id(&slot.facility_id))
}

/// Whoever signs one of these has had the lot in their hands.
fn is_operators_work(event: &Event, entry: &Entry) -> bool {
    match event {
        Event::LotOpened(_) | Event::MncIsolated(_) | Event::CultureSeeded(_) | Event::MediumChanged(_) => true,
        Event::Passaged(_) | Event::Harvested(_) | Event::UnitsFilled(_) | Event::SampleTaken(_) => true,
        Event::LabelsPrinted(_) | Event::LabelsApplied(_) | Event::LabelsReconciled(_) => true,
        Event::UnitsThawed(_) | Event::UnitsDestroyed(_) => true,
        // A signature that is added to an operator's work makes its signer one of the lot's operators.
        Event::SignatureAdded(_) => {
            entry.record.slots.iter().any(|s| matches!(s.role(), pb::Role::Operator | pb::Role::VerifyingOperator))
        }
        _ => false,
    }
}

/// What stays of a record that was amended or voided since.
pub(super) fn first_version(lot: &mut Lot, entry: &Entry) {
    let Some(event) = entry.event() else {
        return;
    };
    // An amended record has been folded, with its signatures, as the version that counts.
    let is_known = lot.operated_by.iter().any(|(_, record)| *record == entry.record_id());
    if is_operators_work(event, entry) && !is_known {
        operated(lot, entry);
    }
    if let Event::TestResultReported(e) = event {
        results::first_version(lot, entry, e);
    }
}

fn operated(lot: &mut Lot, entry: &Entry) {
    for signing in &entry.signings {
        lot.operated_by.push((signing.key_id, entry.record_id()));
    }
}

fn manufacture(lot: &mut Lot, entry: &Entry, event: &Event) {
    match event {
        Event::CultureSeeded(e) => {
            let taken = e.cells.as_ref().map_or(0, |c| c.cells_in());
            lot.cells_taken_from_isolation = lot.cells_taken_from_isolation.saturating_add(u128::from(taken));
            lot.cultures.entry(id(&e.culture_id)).or_insert_with(|| Culture {
                record_id: entry.record_id(),
                parent_id: None,
                passage: 0,
                seeded_cells: e.cells.as_ref().and_then(|c| c.cells_out).unwrap_or(0),
                milli_doublings: 0,
                seeded_at_ms: entry.occurred_at_ms(),
                consumed_by: None,
                consumed_at_ms: None,
            });
        }
        Event::Passaged(e) => {
            let parent = consume(lot, &id(&e.parent_culture_id), entry);
            let detached = e.cells.as_ref().map_or(0, |c| c.cells_in());
            lot.cultures.entry(id(&e.culture_id)).or_insert_with(|| Culture {
                record_id: entry.record_id(),
                parent_id: Some(id(&e.parent_culture_id)),
                passage: parent.as_ref().map_or(e.passage, |parent| parent.passage_after(e.passage)),
                seeded_cells: e.cells.as_ref().and_then(|c| c.cells_out).unwrap_or(0),
                milli_doublings: doublings(parent.as_ref(), detached, e.milli_doublings),
                seeded_at_ms: entry.occurred_at_ms(),
                consumed_by: None,
                consumed_at_ms: None,
            });
        }
        Event::Harvested(e) => {
            let parent = consume(lot, &id(&e.parent_culture_id), entry);
            let detached = e.cells.as_ref().map_or(0, |c| c.cells_in());
            lot.harvests.entry(id(&e.harvest_id)).or_insert_with(|| Harvest {
                record_id: entry.record_id(),
                total_cells: e.cells.as_ref().and_then(|c| c.cells_out).unwrap_or(0),
                viability_basis_points: e.viability_basis_points.unwrap_or(0),
                milli_doublings: doublings(parent.as_ref(), detached, e.milli_doublings),
                consumed_by: None,
            });
        }
        Event::UnitsFilled(e) => filled(lot, entry, e),
        _ => {}
    }
}

/// Marks a culture as used up and returns it.
fn consume(lot: &mut Lot, parent: &Id16, entry: &Entry) -> Option<Culture> {
    let culture = lot.cultures.get_mut(parent)?;
    culture.consumed_by.get_or_insert(entry.record_id());
    culture.consumed_at_ms.get_or_insert(entry.occurred_at_ms());
    Some(culture.clone())
}

/// Doublings since P1 when a culture was detached; of an unknown culture only what was stated.
fn doublings(parent: Option<&Culture>, detached_cells: u64, stated: Option<i32>) -> i64 {
    parent.map_or_else(|| i64::from(stated.unwrap_or(0)), |parent| parent.doublings_after(detached_cells, stated))
}

fn filled(lot: &mut Lot, entry: &Entry, e: &pb::UnitsFilled) {
    if let Some(harvest) = lot.harvests.get_mut(&id(&e.harvest_id)) {
        harvest.consumed_by.get_or_insert(entry.record_id());
    }
    let facility_id = signing_facility(entry).or(lot.facility_id).unwrap_or(Id16([0; 16]));
    let mut new = BTreeMap::new();
    for unit in e.units.iter().filter(|unit| !lot.units.contains_key(&id(&unit.unit_id))) {
        new.entry(id(&unit.unit_id)).or_insert_with(|| Unit {
            id: id(&unit.unit_id),
            code: unit.unit_code.clone(),
            filled_by: entry.record_id(),
            filled_at_ms: entry.occurred_at_ms(),
            total_cells: unit.total_cells,
            volume_microlitres: unit.volume_microlitres,
            fill_viability_basis_points: e.viability_basis_points.unwrap_or(0),
            dmso_basis_points: e.dmso_basis_points.unwrap_or(0),
            processing: Processing::Filled,
            custody: Custody::Held { facility_id },
            location: None,
            stays: Vec::new(),
            places: Vec::new(),
            holders: vec![(entry.occurred_at_ms(), Some(facility_id))],
            used_at_ms: None,
            allocation: None,
            thaw_order: None,
            thaw: None,
            dose_ids: Vec::new(),
            container: container::Container::default(),
        });
    }
    waiting::replay(lot, new);
}

fn sampled(lot: &mut Lot, entry: &Entry, e: &pb::SampleTaken) {
    lot.samples.entry(id(&e.sample_id)).or_insert_with(|| Sample {
        record_id: entry.record_id(),
        code: e.sample_code.clone(),
        taken_at_ms: entry.occurred_at_ms(),
    });
    if e.source() == SampleSource::Unit
        && let Some(unit) = e.source_id.as_deref().and_then(|source| existing(lot, source))
    {
        unit.advance(Processing::Sampled, entry);
        unit.leave(entry);
    }
}

/// What a record changes of units.
pub(super) fn units(lot: &mut Lot, entry: &Entry, event: &Event) {
    match event {
        Event::HoldLifted(e) => settled(lot, e),
        Event::SampleTaken(e) => sampled(lot, entry, e),
        Event::ExceptionalRelease(e) => {
            let (subject_id, record_id) = (Id16(entry.stream_id(StreamKind::Subject)), entry.record_id());
            let units = e.unit_ids.iter().map(|unit| id(unit)).filter(|unit| lot.units.contains_key(unit));
            let released: Vec<_> = units.map(|unit| (unit, subject_id, record_id)).collect();
            lot.exceptional.extend(released);
        }
        Event::UnitsMoved(e) => moved(lot, entry, e),
        Event::CustodyRelinquished(e) => relinquished(lot, entry, e),
        Event::CustodyAccepted(e) => accepted(lot, entry, e),
        Event::UnitsAllocated(e) => {
            let allocation = Allocation {
                record_id: entry.record_id(),
                order_id: id(&e.order_id),
                subject_id: Id16(entry.stream_id(StreamKind::Subject)),
            };
            for unit in each(lot, &e.unit_ids) {
                unit.allocation = Some(allocation);
                // A thaw was ordered for whoever had it before.
                unit.thaw_order = None;
                unit.advance(Processing::Allocated, entry);
            }
        }
        Event::AllocationReleased(e) => {
            // What was sampled or came back for destruction meanwhile stays that, and is nobody's.
            for unit in each(lot, &e.unit_ids).filter(|unit| unit.thaw.is_none()) {
                if unit.is_frozen() {
                    unit.processing = Processing::Stored;
                }
                unit.allocation = None;
                unit.thaw_order = None;
            }
        }
        Event::ThawOrdered(e) => {
            for unit in each(lot, &e.unit_ids) {
                unit.thaw_order = Some(ThawOrder {
                    record_id: entry.record_id(),
                    purpose: e.purpose(),
                    order_id: e.order_id.as_deref().map(id),
                });
            }
        }
        Event::UnitsThawed(e) => thawed(lot, entry, e),
        Event::DosePrepared(e) => {
            let dose = id(&e.dose_id);
            // It may have been given out or begun before its preparation was recorded.
            let to = lot.doses_reached.get(&dose).map_or(Processing::Prepared, |reached| *reached);
            for contribution in &e.contributions {
                if let Some(unit) = existing(lot, &contribution.unit_id) {
                    if !unit.dose_ids.contains(&dose) {
                        unit.dose_ids.push(dose);
                    }
                    unit.advance(to, entry);
                }
            }
        }
        Event::DoseDispensed(e) => of_dose(lot, entry, &e.dose_id, Processing::Dispensed),
        Event::InfusionStarted(e) => given(lot, entry, &e.dose_id),
        Event::InfusionEnded(e) => {
            given(lot, entry, &e.dose_id);
            infused(lot, entry, e);
        }
        Event::CustodyRefused(e) => container::refused(each(lot, &e.unit_ids), entry, e),
        Event::ContainerEvent(e) => container::happened(each(lot, &e.unit_ids), entry, e),
        Event::UnitsReturned(e) => container::returned(each(lot, &e.unit_ids), entry, e),
        Event::UnitsDestroyed(e) => container::destroyed(each(lot, &e.unit_ids), entry),
        _ => {}
    }
}

/// The units named that still exist: nothing that people record changes a unit that was destroyed.
fn each<'l>(lot: &'l mut Lot, ids: &[Vec<u8>]) -> impl Iterator<Item = &'l mut Unit> + use<'l> {
    let wanted: Vec<Id16> = ids.iter().map(|i| id(i)).collect();
    lot.units.values_mut().filter(move |u| wanted.contains(&u.id) && u.processing != Processing::Destroyed)
}

/// A unit, unless it was destroyed.
fn existing<'l>(lot: &'l mut Lot, unit_id: &[u8]) -> Option<&'l mut Unit> {
    lot.units.get_mut(&id(unit_id)).filter(|unit| unit.processing != Processing::Destroyed)
}

fn of_dose(lot: &mut Lot, entry: &Entry, dose_id: &[u8], to: Processing) {
    let dose = id(dose_id);
    lot.doses_reached.entry(dose).and_modify(|reached| *reached = to.max(*reached)).or_insert(to);
    for unit in lot.units.values_mut().filter(|u| u.dose_ids.contains(&dose)) {
        unit.advance(to, entry);
    }
}

/// Whose record says that it was given to them got it, whoever it was prepared for.
fn given(lot: &mut Lot, entry: &Entry, dose_id: &[u8]) {
    lot.given.insert((id(dose_id), Id16(entry.stream_id(StreamKind::Subject))));
    of_dose(lot, entry, dose_id, Processing::Infused);
}

/// Of whichever dose a unit was part: what went in is in somebody.
fn infused(lot: &mut Lot, entry: &Entry, e: &pb::InfusionEnded) {
    for infused in e.infused.iter().filter(|infused| infused.volume_microlitres() > 0) {
        if let Some(unit) = existing(lot, &infused.unit_id) {
            unit.advance(Processing::Infused, entry);
        }
    }
}

fn moved(lot: &mut Lot, entry: &Entry, e: &pb::UnitsMoved) {
    for place in &e.places {
        if let Some(unit) = existing(lot, &place.unit_id) {
            unit.put(place.location.clone(), entry);
            unit.advance(Processing::Stored, entry);
        }
    }
}

fn thawed(lot: &mut Lot, entry: &Entry, e: &pb::UnitsThawed) {
    for thawed in &e.units {
        if let Some(unit) = existing(lot, &thawed.unit_id) {
            let said = Thaw {
                record_id: entry.record_id(),
                thawed_at_ms: entry.occurred_at_ms(),
                total_cells: thawed.total_cells.unwrap_or(0),
                viability_basis_points: thawed.viability_basis_points.unwrap_or(0),
            };
            unit.thaw = Some(unit.thaw.map_or(said, |known| known.beside(&said)));
            unit.leave(entry);
            unit.advance(Processing::Thawed, entry);
        }
    }
}

/// The dispute that a record brings about. What was refused waits for the one who takes it back, whatever else is recorded.
pub(super) fn disputed(custody: &Custody, entry: &Entry, facility: Option<Id16>) -> Custody {
    if let Custody::Disputed { taking_back: Some(_), .. } = custody {
        return custody.clone();
    }
    Custody::Disputed { facility_id: facility.unwrap_or(Id16([0; 16])), record_id: entry.record_id(), taking_back: None }
}

/// Holds of a take-over that was disputed: once QA and another person have lifted the last one, the facility that took the units over
/// holds them. A hand-over by who did not hold the units says nothing of where they are; it stays disputed until they are taken over.
const DISPUTED_TAKE_OVER: [&str; 3] = ["ACCEPTED_WITHOUT_TRANSFER", "SEAL_DIFFERS", "COUNT_DIFFERS"];

/// The take-over whose last hold this lifts.
pub(super) fn take_over_settled(lot: &Lot, e: &pb::HoldLifted) -> Option<RecordId> {
    let lifted = lot.upkeep.holds.iter().find(|hold| hold.id[..] == e.hold_id[..] && DISPUTED_TAKE_OVER.contains(&hold.code));
    let record = lifted?.record_id;
    lot.upkeep.open_holds().all(|hold| hold.record_id != record).then_some(record)
}

fn settled(lot: &mut Lot, e: &pb::HoldLifted) {
    let Some(record) = take_over_settled(lot, e) else {
        return;
    };
    lot.units.values_mut().filter(|unit| unit.processing != Processing::Destroyed).for_each(|unit| unit.settle(&record));
}

fn relinquished(lot: &mut Lot, entry: &Entry, e: &pb::CustodyRelinquished) {
    let (from, at_ms) = (signing_facility(entry), entry.occurred_at_ms());
    lot.transfers.insert(id(&e.transfer_id));
    let announced = lot.announced(e, at_ms).map(|take_over| take_over.record_id);
    for unit in each(lot, &e.unit_ids) {
        unit.leave(entry);
        // Both sides say the same, only the order of entry was another: nothing is disputed any more, and QA still lifts the hold.
        if let Some(take_over) = announced.filter(|_| unit.holder_at(at_ms) == from.as_ref()) {
            unit.was_on_its_way(at_ms);
            unit.settle(&take_over);
            continue;
        }
        let custody = match (&unit.custody, from) {
            (Custody::Held { facility_id }, Some(from)) if *facility_id == from => Custody::InTransit {
                transfer_id: id(&e.transfer_id),
                from_facility_id: from,
                to_facility_id: id(&e.to_facility_id),
                seal: e.seal.clone(),
            },
            (custody, _) => disputed(custody, entry, from),
        };
        unit.pass(custody, at_ms);
    }
}

fn accepted(lot: &mut Lot, entry: &Entry, e: &pb::CustodyAccepted) {
    let at = signing_facility(entry);
    let transfer = id(&e.transfer_id);
    let counted: BTreeSet<Id16> = e.unit_ids.iter().map(|u| id(u)).collect();
    let is_awaited = |unit: &Unit| at.as_ref().is_some_and(|at| unit.custody.expected_seal(&transfer, at).is_some());
    // What is said of units whose filling is not known yet waits for it, with the hand-over that may be known by then.
    let is_known = counted.iter().any(|unit| lot.units.contains_key(unit));
    if let Some(facility_id) = at.filter(|_| is_known && !lot.units.values().any(is_awaited)) {
        lot.unannounced.push(TakeOver {
            record_id: entry.record_id(),
            at_ms: entry.occurred_at_ms(),
            transfer_id: transfer,
            facility_id,
            seal: e.seal_intact.then(|| e.seal.clone()),
            unit_ids: counted.clone(),
        });
    }
    for unit in lot.units.values_mut().filter(|u| u.processing != Processing::Destroyed) {
        let seal = at.as_ref().and_then(|at| unit.custody.expected_seal(&transfer, at));
        let is_counted = counted.contains(&unit.id);
        if !is_counted && seal.is_none() {
            continue;
        }
        let agrees = is_counted && e.seal_intact && seal == Some(e.seal.as_str());
        let custody = match (at, &unit.custody) {
            (Some(facility_id), _) if agrees => Custody::Held { facility_id },
            (_, custody) => disputed(custody, entry, at),
        };
        unit.pass(custody, entry.occurred_at_ms());
        if is_counted {
            unit.arrive(entry);
        }
    }
}

/// What a step of manufacture was done with, if it is one and says so.
pub(crate) fn materials_of(event: &Event) -> Option<Option<&pb::Materials>> {
    Some(match event {
        Event::MncIsolated(e) => e.materials.as_ref(),
        Event::CultureSeeded(e) => e.materials.as_ref(),
        Event::MediumChanged(e) => e.materials.as_ref(),
        Event::Passaged(e) => e.materials.as_ref(),
        Event::Harvested(e) => e.materials.as_ref(),
        Event::UnitsFilled(e) => e.materials.as_ref(),
        _ => return None,
    })
}
