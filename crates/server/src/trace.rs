//! Which records belong to the chain of one dose: all about its donors and lots as a whole, and of what is about units, orders and
//! doses only what is about this dose's own.

use std::collections::BTreeSet;
use std::sync::Arc;

use marrowline_ledger::Snapshot;
use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{Record, SampleSource, StreamKind};
use marrowline_rules::View as _;
use marrowline_rules::index::IndexKey;
use marrowline_rules::state::Subject;
use prost::Message as _;

/// How a record names the one that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    /// By its id.
    Id(&'a [u8]),
    /// By its digest.
    Digest(&'a [u8]),
}

/// The record that another one amends, voids or signs.
fn target(record: &Record) -> Option<Named<'_>> {
    match &record.event {
        Some(Event::RecordAmended(e)) => e.target.as_ref().map(|target| Named::Id(&target.record_id)),
        Some(Event::RecordVoided(e)) => e.target.as_ref().map(|target| Named::Id(&target.record_id)),
        Some(Event::SignatureAdded(e)) => Some(Named::Digest(&e.target_digest)),
        _ => None,
    }
}

/// A record of the log by how it is named.
pub fn find(snapshot: &Snapshot, named: &Named<'_>) -> Option<Arc<Record>> {
    let id = match named {
        Named::Id(id) => RecordId::from_slice(id)?,
        Named::Digest(digest) => RecordId(snapshot.lookup(&IndexKey::Digest((*digest).try_into().ok()?))?),
    };
    snapshot.entry(&id).map(|entry| Arc::clone(&entry.record))
}

/// Whether a record, or the one that it amends, voids or signs, names a unit.
pub fn names_unit(snapshot: &Snapshot, record: &Record, unit: &Id16) -> bool {
    match target(record) {
        Some(named) => find(snapshot, &named).is_some_and(|target| names_unit(snapshot, &target, unit)),
        // An id is made at random: bytes that are the same are the same id, in whatever field.
        None => record.encode_to_vec().windows(unit.0.len()).any(|bytes| bytes == unit.0),
    }
}

/// A dose with what it was made of.
pub struct Chain {
    subject_id: Option<Id16>,
    order_id: Option<Id16>,
    dose_id: Id16,
    unit_ids: BTreeSet<Id16>,
}

impl Chain {
    /// Of a dose of this subject; without the subject's own records for a reader who must not see them.
    pub fn of(subject: &Subject, dose_id: &Id16, sees_subject: bool) -> Chain {
        let dose = subject.dose(dose_id);
        Chain {
            subject_id: sees_subject.then_some(subject.id),
            order_id: dose.map(|dose| dose.order_id),
            dose_id: *dose_id,
            unit_ids: dose.iter().flat_map(|dose| &dose.portions).map(|portion| portion.unit_id).collect(),
        }
    }

    /// Whether a record belongs to it. What amends, voids or signs another record belongs where that one does.
    pub fn holds(&self, record: &Record, find: &dyn Fn(&Named<'_>) -> Option<Arc<Record>>) -> bool {
        match target(record) {
            Some(named) => find(&named).is_some_and(|target| self.holds(&target, find)),
            None => self.is_about(record),
        }
    }

    fn is_about(&self, record: &Record) -> bool {
        let mut subjects = record.streams.iter().filter(|s| s.kind() == StreamKind::Subject).peekable();
        let is_of_subject = subjects.peek().is_none() || subjects.any(|s| self.subject_id.is_some_and(|id| s.id == id.0));
        is_of_subject && record.event.as_ref().is_none_or(|event| self.concerns(event))
    }

    fn concerns(&self, event: &Event) -> bool {
        let is_dose = |id: &[u8]| id == self.dose_id.0;
        let is_order = |id: &[u8]| self.order_id.is_some_and(|order| id == order.0);
        match event {
            Event::UnitsMoved(e) => e.places.iter().any(|place| self.has_unit(&place.unit_id)),
            Event::CustodyRelinquished(e) => e.unit_ids.iter().any(|unit| self.has_unit(unit)),
            Event::CustodyAccepted(e) => e.unit_ids.iter().any(|unit| self.has_unit(unit)),
            Event::CustodyRefused(e) => e.unit_ids.iter().any(|unit| self.has_unit(unit)),
            Event::ContainerEvent(e) => e.unit_ids.iter().any(|unit| self.has_unit(unit)),
            Event::UnitsReturned(e) => e.unit_ids.iter().any(|unit| self.has_unit(unit)),
            Event::UnitsDestroyed(e) => e.unit_ids.iter().any(|unit| self.has_unit(unit)),
            Event::LabelsApplied(e) => e.unit_ids.iter().any(|unit| self.has_unit(unit)),
            Event::ThawOrdered(e) => e.unit_ids.iter().any(|unit| self.has_unit(unit)),
            Event::UnitsThawed(e) => e.units.iter().any(|unit| self.has_unit(&unit.unit_id)),
            Event::SampleTaken(e) => {
                e.source() != SampleSource::Unit || e.source_id.as_deref().is_none_or(|unit| self.has_unit(unit))
            }
            Event::HoldSet(e) => {
                (e.unit_ids.is_empty() || e.unit_ids.iter().any(|unit| self.has_unit(unit)))
                    && e.dose_id.as_deref().is_none_or(is_dose)
            }
            Event::DoseOrdered(e) => is_order(&e.order_id),
            Event::UnitsAllocated(e) => is_order(&e.order_id),
            Event::DosePrepared(e) => is_dose(&e.dose_id),
            Event::OrderCancelled(e) => is_order(&e.order_id),
            Event::AllocationReleased(e) => is_order(&e.order_id),
            Event::DoseRejected(e) => is_dose(&e.dose_id),
            Event::DoseDispensed(e) => is_dose(&e.dose_id),
            Event::BedsideChecked(e) => is_dose(&e.dose_id),
            Event::InfusionStarted(e) => is_dose(&e.dose_id),
            Event::InfusionEnded(e) => is_dose(&e.dose_id),
            _ => true,
        }
    }

    fn has_unit(&self, unit_id: &[u8]) -> bool {
        <[u8; 16]>::try_from(unit_id).is_ok_and(|id| self.unit_ids.contains(&Id16(id)))
    }
}

#[cfg(test)]
mod tests {
    use marrowline_record::pb;

    use super::*;

    fn chain(sees_subject: bool) -> Chain {
        Chain {
            subject_id: sees_subject.then_some(Id16([1; 16])),
            order_id: Some(Id16([2; 16])),
            dose_id: Id16([3; 16]),
            unit_ids: BTreeSet::from([Id16([4; 16])]),
        }
    }

    fn record(subject: Option<u8>, event: Event) -> Record {
        let streams = subject.map(|id| pb::StreamExtension { kind: StreamKind::Subject.into(), id: vec![id; 16], head: None });
        Record { streams: streams.into_iter().collect(), event: Some(event), ..Record::default() }
    }

    fn thawed(unit: u8) -> Event {
        let unit = pb::ThawedUnit { unit_id: vec![unit; 16], ..pb::ThawedUnit::default() };
        Event::UnitsThawed(pb::UnitsThawed { units: vec![unit] })
    }

    fn dispensed(dose: u8) -> Event {
        Event::DoseDispensed(pb::DoseDispensed { dose_id: vec![dose; 16] })
    }

    #[test]
    fn only_its_own_units_orders_and_doses() {
        let chain = chain(true);
        assert!(chain.is_about(&record(None, thawed(4))));
        assert!(!chain.is_about(&record(None, thawed(5))), "another unit of the lot");
        let broke = |unit: u8| Event::ContainerEvent(pb::ContainerEvent { unit_ids: vec![vec![unit; 16]], ..Default::default() });
        assert!(chain.is_about(&record(None, broke(4))));
        assert!(!chain.is_about(&record(None, broke(5))), "another unit of the lot broke");
        assert!(chain.is_about(&record(Some(1), dispensed(3))));
        assert!(!chain.is_about(&record(Some(1), dispensed(9))), "another dose of the subject");
        assert!(!chain.is_about(&record(Some(8), dispensed(3))), "another subject");
        let allocated =
            |order: u8| Event::UnitsAllocated(pb::UnitsAllocated { order_id: vec![order; 16], unit_ids: vec![vec![4; 16]] });
        assert!(chain.is_about(&record(Some(1), allocated(2))));
        assert!(!chain.is_about(&record(Some(1), allocated(7))), "another order");
        assert!(chain.is_about(&record(None, Event::Harvested(pb::Harvested::default()))), "the whole lot's");
    }

    #[test]
    fn nothing_of_the_subject_for_who_must_not_see_it() {
        assert!(chain(false).is_about(&record(None, thawed(4))));
        assert!(!chain(false).is_about(&record(Some(1), dispensed(3))));
    }

    #[test]
    fn what_is_about_another_record_belongs_where_that_one_does() {
        let chain = chain(true);
        let voided = |target: u8| {
            let target = pb::AmendedRecord { record_id: vec![target; 16], digest: vec![0; 32] };
            record(None, Event::RecordVoided(pb::RecordVoided { target: Some(target), ..pb::RecordVoided::default() }))
        };
        let signed = |target: u8| {
            record(None, Event::SignatureAdded(pb::SignatureAdded { target_digest: vec![target; 32], slot: Some(1) }))
        };
        let find = |named: &Named<'_>| match named {
            Named::Id([7, ..]) | Named::Digest([7, ..]) => Some(Arc::new(record(None, thawed(4)))),
            Named::Id([8, ..]) | Named::Digest([8, ..]) => Some(Arc::new(record(None, thawed(5)))),
            Named::Digest([9, ..]) => Some(Arc::new(voided(7))),
            _ => None,
        };
        assert!(chain.holds(&voided(7), &find) && chain.holds(&signed(7), &find) && chain.holds(&signed(9), &find));
        assert!(!chain.holds(&voided(8), &find) && !chain.holds(&signed(8), &find), "another unit's");
        assert!(!chain.holds(&signed(6), &find), "nobody's");
    }
}
