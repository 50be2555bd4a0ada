//! A trial subject: consent, screening, arm, weighings, orders and doses.
//!
//! Nothing of the protocol is known here: whether a consent is in force, a subject eligible or a dose within its band is asked of
//! the rules, with the protocol in hand.

use std::collections::BTreeSet;
use std::sync::Arc;

use marrowline_record::entry::Entry;
use marrowline_record::id::{Id16, KeyId, RecordId};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, StreamKind};

use crate::codes::dose::OVERRIDE_USED;
use crate::index::id16;
use crate::state::Upkeep;

pub mod dose;
pub mod reaction;

pub use reaction::Reaction;

pub use dose::{BedsideCheck, Dispensing, Dose, DoseState, Infusion, InfusionEnd, Portion};

/// A consent.
#[derive(Clone, Debug, PartialEq)]
pub struct Consent {
    /// The record.
    pub record_id: RecordId,
    /// When it was given.
    pub consented_at_ms: i64,
    /// What was recorded.
    pub event: pb::SubjectConsented,
}

/// A screening.
#[derive(Clone, Debug, PartialEq)]
pub struct Screening {
    /// The record.
    pub record_id: RecordId,
    /// When.
    pub screened_at_ms: i64,
    /// What was recorded.
    pub event: pb::SubjectScreened,
}

impl Screening {
    /// Onset of the condition.
    pub fn onset_at_ms(&self) -> Option<i64> {
        self.event.onset_at.as_ref().map(|onset| onset.unix_ms)
    }
}

/// The arm that the subject was given. Never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Randomisation {
    /// The record.
    pub record_id: RecordId,
    /// When the ledger recorded it.
    pub recorded_at_ms: i64,
    /// The slot.
    pub slot: u32,
    /// The arm.
    pub arm: u32,
    /// Place in [`Subject::screenings`] of the screening that it rests on.
    pub screening: usize,
}

/// A weighing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weighing {
    /// The record.
    pub record_id: RecordId,
    /// When.
    pub weighed_at_ms: i64,
    /// Mass.
    pub weight_grams: u32,
    /// How.
    pub method: pb::WeighingMethod,
}

/// An order of a dose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The order.
    pub id: Id16,
    /// The record.
    pub record_id: RecordId,
    /// When the ledger recorded it.
    pub ordered_at_ms: i64,
    /// Target.
    pub target_viable_cells_per_kg: u64,
    /// The weighing that it rests on.
    pub weighing_record_id: RecordId,
    /// Planned duration of the infusion.
    pub planned_duration_seconds: u32,
    /// Units assigned to it, with the record that assigned them, in order.
    pub allocated: Vec<(Id16, RecordId)>,
    /// The dose that was prepared for it, which closes it.
    pub dose_id: Option<Id16>,
    /// The record that cancelled it.
    pub cancelled_by: Option<RecordId>,
}

/// What an investigator recorded of a subject's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vital {
    /// The record.
    pub record_id: RecordId,
    /// When it was so.
    pub at_ms: i64,
    /// Whether the subject had died.
    pub is_dead: bool,
}

/// A value of an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// The record.
    pub record_id: RecordId,
    /// What was recorded.
    pub event: pb::EndpointObserved,
}

/// An emergency override.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The record.
    pub record_id: RecordId,
    /// When the ledger recorded it.
    pub signed_at_ms: i64,
    /// Codes of the gates that it passes.
    pub codes: Vec<String>,
    /// The decision that used it.
    pub used_by: Option<RecordId>,
    /// The record with which QA ratified it.
    pub ratified_by: Option<RecordId>,
}

impl Override {
    /// How long it can be used.
    pub const LIFE_MS: i64 = 3_600_000;
    /// How long QA has to ratify it.
    pub const RATIFY_MS: i64 = 86_400_000;

    /// Whether a decision may still use it.
    pub fn is_usable(&self, at_ms: i64) -> bool {
        self.used_by.is_none() && at_ms <= self.signed_at_ms.saturating_add(Self::LIFE_MS)
    }
}

/// The subject stream.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The subject.
    pub id: Id16,
    /// Consents in the order in which they were recorded; the first one says which trial it is.
    pub consents: Vec<Consent>,
    /// Screenings in the order in which they were recorded.
    pub screenings: Vec<Screening>,
    /// The arm.
    pub randomised: Option<Randomisation>,
    /// Weighings in the order in which they were recorded.
    pub weighings: Vec<Weighing>,
    /// Orders in the order in which they were recorded.
    pub orders: Vec<Order>,
    /// Doses in the order in which they were recorded.
    pub doses: Vec<Dose>,
    /// Records about doses whose preparation is not known, in their order, until it is: it may be entered late, be recorded anew, or be
    /// another subject's.
    pub waiting: Vec<Arc<Entry>>,
    /// What was recorded of the subject's life, in the order in which it was recorded.
    pub vitals: Vec<Vital>,
    /// The record with which the subject withdrew from treatment, and when it did.
    pub withdrawn: Option<(RecordId, i64)>,
    /// Withdrawals of consent with their own times, in the order of these.
    pub consent_withdrawals: Vec<(RecordId, i64)>,
    /// Emergency overrides in the order in which they were signed.
    pub overrides: Vec<Override>,
    /// Adverse reactions in the order in which they were first reported.
    pub reactions: Vec<Reaction>,
    /// Endpoints in the order in which they were recorded.
    pub endpoints: Vec<Endpoint>,
    /// Keys of the investigators who took consent or screened, with the record.
    pub investigated_by: Vec<(KeyId, RecordId)>,
    /// Holds, deviations, signatures.
    pub upkeep: Upkeep,
}

impl Subject {
    /// Before the first record.
    pub fn new(id: Id16) -> Subject {
        Subject {
            id,
            consents: Vec::new(),
            screenings: Vec::new(),
            randomised: None,
            weighings: Vec::new(),
            orders: Vec::new(),
            doses: Vec::new(),
            waiting: Vec::new(),
            vitals: Vec::new(),
            withdrawn: None,
            consent_withdrawals: Vec::new(),
            overrides: Vec::new(),
            reactions: Vec::new(),
            endpoints: Vec::new(),
            investigated_by: Vec::new(),
            upkeep: Upkeep::new(StreamKind::Subject),
        }
    }

    /// The trial that the subject's first consent named.
    pub fn protocol_id(&self) -> Option<Id16> {
        let reference = self.consents.first()?.event.protocol.as_ref()?;
        Some(Id16(id16(&reference.id)))
    }

    /// Consents for the subject's trial, in the order in which they were recorded.
    fn consents_to_trial(&self) -> impl Iterator<Item = &Consent> {
        let trial = self.protocol_id();
        self.consents.iter().filter(move |consent| {
            trial.is_some_and(|trial| consent.event.protocol.as_ref().is_some_and(|p| id16(&p.id) == trial.0))
        })
    }

    /// The consent for the subject's trial that was given last, whenever it was entered; of two at one moment the one recorded later. Its
    /// version of the protocol governs the subject.
    pub fn consent(&self) -> Option<&Consent> {
        self.consents_to_trial().max_by_key(|consent| consent.consented_at_ms)
    }

    /// The withdrawal of consent in force at a time. A consent that was given after it counts again; one that is only recorded later does not.
    pub fn consent_withdrawal_at(&self, at_ms: i64) -> Option<(RecordId, i64)> {
        let last = self.consent_withdrawals.iter().rfind(|(_, withdrawn_at_ms)| *withdrawn_at_ms <= at_ms);
        last.copied().filter(|(_, withdrawn_at_ms)| {
            !self
                .consents_to_trial()
                .any(|consent| *withdrawn_at_ms < consent.consented_at_ms && consent.consented_at_ms <= at_ms)
        })
    }

    /// Trial and version that govern the subject.
    pub fn protocol(&self) -> Option<(Id16, u32)> {
        let reference = self.consent()?.event.protocol.as_ref()?;
        Some((Id16(id16(&reference.id)), reference.version))
    }

    /// The screening that the arm rests on, or the latest one before there is an arm.
    pub fn screening(&self) -> Option<&Screening> {
        match &self.randomised {
            Some(randomised) => self.screenings.get(randomised.screening),
            None => self.latest_screening().map(|(_, screening)| screening),
        }
    }

    /// The latest screening by its own time, with its place; of two at the same time the one recorded later.
    pub fn latest_screening(&self) -> Option<(usize, &Screening)> {
        self.screenings.iter().enumerate().max_by_key(|(_, screening)| screening.screened_at_ms)
    }

    /// The latest weighing by its own time; of two at the same time the one recorded later.
    pub fn latest_weighing(&self) -> Option<&Weighing> {
        self.weighings.iter().max_by_key(|weighing| weighing.weighed_at_ms)
    }

    /// A weighing by its record.
    pub fn weighing(&self, record_id: &RecordId) -> Option<&Weighing> {
        self.weighings.iter().find(|w| w.record_id == *record_id)
    }

    /// The subject's death, if it is recorded: the first that was.
    pub fn death(&self) -> Option<&Vital> {
        self.vitals.iter().find(|vital| vital.is_dead)
    }

    /// An order by its id.
    pub fn order(&self, id: &Id16) -> Option<&Order> {
        self.orders.iter().find(|order| order.id == *id)
    }

    /// A dose by its id.
    pub fn dose(&self, id: &Id16) -> Option<&Dose> {
        self.doses.iter().find(|dose| dose.id == *id)
    }

    /// The first start of each dose whose preparation is not known to the subject: something was given.
    pub fn strays(&self) -> Vec<(Id16, Infusion)> {
        let mut seen = BTreeSet::new();
        let starts = self.waiting.iter().filter_map(|entry| match entry.event() {
            Some(Event::InfusionStarted(e)) => Some((Id16(id16(&e.dose_id)), entry)),
            _ => None,
        });
        let first = starts.filter(|(dose, _)| seen.insert(*dose)).map(|(dose, entry)| {
            let (record_id, started_at_ms) = (entry.record_id(), entry.occurred_at_ms());
            (dose, Infusion { record_id, started_at_ms, end: None })
        });
        first.collect()
    }

    /// Adds the next record.
    pub fn fold(&mut self, entry: &Entry) {
        let holds_before = self.upkeep.holds.len();
        self.upkeep.fold(entry);
        let Some(event) = entry.event() else { return };
        self.fold_use_of_override(entry);
        match event {
            Event::SubjectConsented(e) => {
                self.note_investigators(entry);
                self.consents.push(Consent {
                    record_id: entry.record_id(),
                    consented_at_ms: entry.occurred_at_ms(),
                    event: e.clone(),
                });
            }
            Event::SubjectScreened(e) => {
                self.note_investigators(entry);
                self.screenings.push(Screening {
                    record_id: entry.record_id(),
                    screened_at_ms: entry.occurred_at_ms(),
                    event: e.clone(),
                });
            }
            Event::SubjectRandomised(e) => {
                let screening = self.latest_screening().map_or(0, |(place, _)| place);
                self.randomised.get_or_insert(Randomisation {
                    record_id: entry.record_id(),
                    recorded_at_ms: entry.recorded_at_ms(),
                    slot: e.slot.unwrap_or(0),
                    arm: e.arm,
                    screening,
                });
            }
            Event::SubjectWeighed(e) => self.weighings.push(Weighing {
                record_id: entry.record_id(),
                weighed_at_ms: entry.occurred_at_ms(),
                weight_grams: e.weight_grams,
                method: e.method(),
            }),
            Event::DoseOrdered(e) => self.fold_order(entry, e),
            Event::UnitsAllocated(e) => self.fold_allocation(entry, e),
            Event::OrderCancelled(e) => {
                for order in self.orders.iter_mut().filter(|order| order.id.0[..] == e.order_id[..]) {
                    order.cancelled_by.get_or_insert(entry.record_id());
                }
            }
            Event::AllocationReleased(e) => {
                for order in self.orders.iter_mut().filter(|order| order.id.0[..] == e.order_id[..]) {
                    order.allocated.retain(|(unit, _)| e.unit_ids.iter().all(|released| unit.0[..] != released[..]));
                }
            }
            Event::VitalStatusRecorded(e) => self.vitals.push(Vital {
                record_id: entry.record_id(),
                at_ms: entry.occurred_at_ms(),
                is_dead: e.status() == pb::VitalStatus::Dead,
            }),
            Event::AdverseReactionReported(e) => reaction::fold(&mut self.reactions, entry.record_id(), e),
            Event::ConsentWithdrawn(_) => {
                self.consent_withdrawals.push((entry.record_id(), entry.occurred_at_ms()));
                self.consent_withdrawals.sort_by_key(|(_, withdrawn_at_ms)| *withdrawn_at_ms);
            }
            Event::EmergencyOverride(_) | Event::OverrideRatified(_) => self.fold_override(entry, event),
            Event::EndpointObserved(e) => self.endpoints.push(Endpoint { record_id: entry.record_id(), event: e.clone() }),
            Event::SubjectWithdrawn(e) => {
                if e.scope().any(|scope| scope == pb::WithdrawalScope::Treatment) {
                    self.withdrawn.get_or_insert((entry.record_id(), entry.occurred_at_ms()));
                }
            }
            _ => self.fold_dose(entry, event, holds_before),
        }
    }

    fn fold_use_of_override(&mut self, entry: &Entry) {
        if entry.flags.contains(&OVERRIDE_USED.number) {
            let is_cited =
                |signed: &&mut Override| entry.record.cites.iter().any(|cite| cite.record_id[..] == signed.record_id.0);
            for signed in self.overrides.iter_mut().filter(is_cited) {
                signed.used_by.get_or_insert(entry.record_id());
            }
        }
    }

    fn fold_override(&mut self, entry: &Entry, event: &Event) {
        match event {
            Event::EmergencyOverride(e) => self.overrides.push(Override {
                record_id: entry.record_id(),
                signed_at_ms: entry.recorded_at_ms(),
                codes: e.codes.clone(),
                used_by: None,
                ratified_by: None,
            }),
            Event::OverrideRatified(e) => {
                for signed in self.overrides.iter_mut().filter(|signed| signed.record_id.0[..] == e.override_record_id[..]) {
                    signed.ratified_by.get_or_insert(entry.record_id());
                }
            }
            _ => {}
        }
    }

    fn note_investigators(&mut self, entry: &Entry) {
        let record_id = entry.record_id();
        self.investigated_by.extend(entry.signings.iter().map(|signing| (signing.key_id, record_id)));
    }

    fn fold_order(&mut self, entry: &Entry, e: &pb::DoseOrdered) {
        let id = Id16(id16(&e.order_id));
        if self.order(&id).is_some() {
            return;
        }
        self.orders.push(Order {
            id,
            record_id: entry.record_id(),
            ordered_at_ms: entry.recorded_at_ms(),
            target_viable_cells_per_kg: e.target_viable_cells_per_kg,
            weighing_record_id: RecordId(id16(&e.weighing_record_id)),
            planned_duration_seconds: e.planned_duration_seconds,
            allocated: Vec::new(),
            dose_id: None,
            cancelled_by: None,
        });
    }

    fn fold_allocation(&mut self, entry: &Entry, e: &pb::UnitsAllocated) {
        let id = Id16(id16(&e.order_id));
        if let Some(order) = self.orders.iter_mut().find(|order| order.id == id) {
            let record_id = entry.record_id();
            order.allocated.extend(e.unit_ids.iter().map(|unit| (Id16(id16(unit)), record_id)));
        }
    }

    fn fold_dose(&mut self, entry: &Entry, event: &Event, holds_before: usize) {
        if let Event::DosePrepared(e) = event {
            let mut dose = Dose::prepared(entry, e);
            if let Some(order) = self.orders.iter_mut().find(|order| order.id == dose.order_id) {
                order.dose_id.get_or_insert(dose.id);
            }
            if self.dose(&dose.id).is_none() {
                for (earlier, event) in self.waiting.iter().filter_map(|earlier| Some((earlier, earlier.event()?))) {
                    dose.fold(earlier, event);
                }
                self.waiting.retain(|earlier| earlier.event().and_then(dose::named_by) != Some(dose.id));
                self.doses.push(dose);
            }
        } else if dose::named_by(event).is_some_and(|id| self.dose(&id).is_none()) {
            self.waiting.push(Arc::new(entry.clone()));
        } else {
            for dose in &mut self.doses {
                dose.fold(entry, event);
            }
        }
        self.narrow_holds(event, holds_before);
    }

    /// A rule's hold about one known dose stops that dose, not the subject. About a dose that is not the subject's, it stops everything.
    fn narrow_holds(&mut self, event: &Event, holds_before: usize) {
        let Some(dose_id) = dose::named_by(event).filter(|id| self.dose(id).is_some()) else {
            return;
        };
        for hold in self.upkeep.holds.iter_mut().skip(holds_before) {
            hold.dose_id.get_or_insert(dose_id);
        }
    }
}

#[cfg(test)]
mod tests;
