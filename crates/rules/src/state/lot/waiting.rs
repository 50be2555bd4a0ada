//! What was recorded about units before their filling: it is applied once the filling is there.
//!
//! A filling may be entered late, or voided and recorded anew. What happened to the units meanwhile happened all the same.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use marrowline_record::entry::Entry;
use marrowline_record::id::Id16;
use marrowline_record::pb::record::Event;

use super::{Lot, Unit, fold};
use crate::index::id16;

/// Keeps a record that names a unit which the lot does not have. While there is one, it also keeps what may be about units that it does not
/// name: a take-over without one that should have come, and what settles it.
pub(super) fn keep(lot: &mut Lot, entry: &Entry, event: &Event) {
    let is_about_others = match event {
        Event::CustodyAccepted(_) => true,
        Event::HoldLifted(e) => fold::take_over_settled(lot, e).is_some(),
        _ => false,
    };
    if names_unknown(lot, event) || is_about_others && !lot.waiting.is_empty() {
        lot.waiting.push(Arc::new(entry.clone()));
    }
}

/// Adds units, with everything that was recorded about them before.
pub(super) fn replay(lot: &mut Lot, new: BTreeMap<Id16, Unit>) {
    let is_about_new = |entry: &Arc<Entry>| entry.event().is_some_and(|e| units_named(e).iter().any(|u| new.contains_key(u)));
    if !lot.waiting.iter().any(is_about_new) {
        lot.units.extend(new);
        return;
    }
    let waiting = mem::take(&mut lot.waiting);
    // The other units have had it: the records see the new ones alone.
    let others = mem::replace(&mut lot.units, new);
    for entry in &waiting {
        if let Some(event) = entry.event() {
            fold::units(lot, entry, event);
        }
    }
    lot.units.extend(others);
    let names_unknown = |entry: &Arc<Entry>| entry.event().is_some_and(|event| names_unknown(lot, event));
    if waiting.iter().any(names_unknown) {
        lot.waiting = waiting;
    }
}

fn names_unknown(lot: &Lot, event: &Event) -> bool {
    units_named(event).iter().any(|unit| !lot.units.contains_key(unit))
}

/// The units that an event changes by their ids.
fn units_named(event: &Event) -> Vec<Id16> {
    let ids = match event {
        Event::CustodyRelinquished(e) => &e.unit_ids,
        Event::CustodyAccepted(e) => &e.unit_ids,
        Event::CustodyRefused(e) => &e.unit_ids,
        Event::UnitsAllocated(e) => &e.unit_ids,
        Event::AllocationReleased(e) => &e.unit_ids,
        Event::ThawOrdered(e) => &e.unit_ids,
        Event::ExceptionalRelease(e) => &e.unit_ids,
        Event::ContainerEvent(e) => &e.unit_ids,
        Event::UnitsReturned(e) => &e.unit_ids,
        Event::UnitsDestroyed(e) => &e.unit_ids,
        Event::UnitsMoved(e) => return e.places.iter().map(|place| Id16(id16(&place.unit_id))).collect(),
        Event::UnitsThawed(e) => return e.units.iter().map(|unit| Id16(id16(&unit.unit_id))).collect(),
        Event::DosePrepared(e) => return e.contributions.iter().map(|part| Id16(id16(&part.unit_id))).collect(),
        Event::InfusionEnded(e) => return e.infused.iter().map(|infused| Id16(id16(&infused.unit_id))).collect(),
        Event::SampleTaken(e) if e.source() == marrowline_record::pb::SampleSource::Unit => {
            return e.source_id.iter().map(|source| Id16(id16(source))).collect();
        }
        _ => return Vec::new(),
    };
    ids.iter().map(|unit| Id16(id16(unit))).collect()
}

#[cfg(test)]
mod tests {
    use marrowline_record::id::{Digest, KeyId};
    use marrowline_record::pb::{self, StreamKind};
    use marrowline_record::signing::Signing;

    use super::*;

    const UNIT: [u8; 16] = [6; 16];
    const OTHER: [u8; 16] = [5; 16];

    fn entry(number: u8, event: Event) -> Entry {
        let slot = pb::SignatureSlot { facility_id: vec![3; 16], ..pb::SignatureSlot::default() };
        Entry {
            index: u64::from(number),
            recorded_at_ms: 1_000 + i64::from(number),
            rule_set: 1,
            flags: Vec::new(),
            digest: Digest([number; 32]),
            record: Arc::new(pb::Record {
                record_id: vec![number; 16],
                occurred_at: Some(pb::Instant { unix_ms: i64::from(number), offset_minutes: 0 }),
                streams: vec![pb::StreamExtension { kind: StreamKind::Lot.into(), id: vec![1; 16], head: None }],
                slots: vec![slot],
                event: Some(event),
                ..pb::Record::default()
            }),
            signings: vec![Signing {
                slot: 0,
                key_id: KeyId([2; 32]),
                role: 1,
                meaning: 1,
                signed_at_ms: 1,
                offset_minutes: 0,
                signature: [0; 64],
            }],
        }
    }

    fn filled(unit: [u8; 16]) -> Event {
        let units = vec![pb::FilledUnit { unit_id: unit.to_vec(), ..pb::FilledUnit::default() }];
        Event::UnitsFilled(pb::UnitsFilled { units, ..pb::UnitsFilled::default() })
    }

    fn later() -> Vec<Event> {
        let (id, dose_id) = (UNIT.to_vec(), vec![8; 16]);
        let places = vec![pb::UnitPlace { unit_id: id.clone(), location: Some(pb::Location::default()) }];
        let thawed = vec![pb::ThawedUnit { unit_id: id.clone(), ..pb::ThawedUnit::default() }];
        let contributions = vec![pb::Contribution { unit_id: id.clone(), ..pb::Contribution::default() }];
        let relinquished = pb::CustodyRelinquished {
            transfer_id: vec![4; 16],
            to_facility_id: vec![3; 16],
            unit_ids: vec![id.clone(), OTHER.to_vec()],
            ..pb::CustodyRelinquished::default()
        };
        vec![
            Event::UnitsMoved(pb::UnitsMoved { places }),
            Event::CustodyRelinquished(relinquished),
            // Only the other unit came.
            Event::CustodyAccepted(pb::CustodyAccepted {
                transfer_id: vec![4; 16],
                unit_ids: vec![OTHER.to_vec()],
                seal_intact: true,
                ..pb::CustodyAccepted::default()
            }),
            Event::UnitsAllocated(pb::UnitsAllocated { order_id: vec![7; 16], unit_ids: vec![id.clone()] }),
            Event::UnitsThawed(pb::UnitsThawed { units: thawed }),
            Event::InfusionStarted(pb::InfusionStarted { dose_id: dose_id.clone() }),
            Event::DosePrepared(pb::DosePrepared { dose_id, contributions, ..pb::DosePrepared::default() }),
            Event::UnitsDestroyed(pb::UnitsDestroyed { unit_ids: vec![id], ..pb::UnitsDestroyed::default() }),
        ]
    }

    /// The units after the filling was recorded behind so many of these records.
    fn folded(place: usize, events: &[Event]) -> Lot {
        let mut entries: Vec<Entry> = (3u8..).zip(events).map(|(number, event)| entry(number, event.clone())).collect();
        entries.insert(place, entry(2, filled(UNIT)));
        entries.insert(0, entry(1, filled(OTHER)));
        let mut lot = Lot::new(Id16([1; 16]));
        entries.iter().for_each(|entry| lot.fold(entry));
        lot
    }

    #[test]
    fn whenever_a_filling_is_recorded_its_units_are_the_same() {
        let later = later();
        for length in 0..=later.len() {
            let events = &later[..length];
            let first = folded(0, events);
            for place in 0..=length {
                let lot = folded(place, events);
                assert_eq!(lot.units, first.units, "{length} records, filled after {place} of them");
                assert!(lot.waiting.is_empty(), "nothing is unknown any more");
            }
        }
    }

    #[test]
    fn a_unit_of_a_dose_that_was_begun_is_infused() {
        let later = later();
        let lot = folded(7, &later[..7]);
        assert_eq!(lot.units[&Id16(UNIT)].processing, super::super::Processing::Infused);
    }
}
