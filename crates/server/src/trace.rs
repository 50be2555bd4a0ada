//! Which records belong to the chain of one dose: all about its donors and lots as a whole, and of what is about units, orders and
//! doses only what is about this dose's own.

use std::collections::BTreeSet;

use marrowline_record::id::Id16;
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{Record, SampleSource, StreamKind};
use marrowline_rules::state::Subject;

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

    /// Whether a record belongs to it. What is amended or voided comes before what does so: `known` collects the ids of what belongs.
    pub fn holds(&self, record: &Record, known: &mut BTreeSet<Vec<u8>>) -> bool {
        let named = match &record.event {
            Some(Event::RecordAmended(e)) => e.target.as_ref(),
            Some(Event::RecordVoided(e)) => e.target.as_ref(),
            _ => None,
        };
        let belongs = match named {
            Some(target) => known.contains(&target.record_id),
            None => self.is_about(record),
        };
        if belongs {
            known.insert(record.record_id.clone());
        }
        belongs
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
    fn an_amendment_belongs_where_its_target_does() {
        let (chain, mut known) = (chain(true), BTreeSet::new());
        let with_id = |id: u8, record: Record| Record { record_id: vec![id; 16], ..record };
        let voided = |target: u8| {
            let target = pb::AmendedRecord { record_id: vec![target; 16], digest: vec![0; 32] };
            Event::RecordVoided(pb::RecordVoided { target: Some(target), ..pb::RecordVoided::default() })
        };
        assert!(chain.holds(&with_id(7, record(None, thawed(4))), &mut known));
        assert!(!chain.holds(&with_id(8, record(None, thawed(5))), &mut known));
        assert!(chain.holds(&with_id(9, record(None, voided(7))), &mut known));
        assert!(!chain.holds(&with_id(10, record(None, voided(8))), &mut known), "another unit's");
    }
}
