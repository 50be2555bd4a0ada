//! A donor: consent, panel results, eligibility, collections.

use marrowline_record::entry::Entry;
use marrowline_record::id::{Id16, KeyId, RecordId};
use marrowline_record::pb;
use marrowline_record::pb::record::Event;

use crate::index::id16;
use crate::state::Upkeep;

/// A result of the donor's panel.
#[derive(Clone, Debug, PartialEq)]
pub struct PanelResult {
    /// The record.
    pub record_id: RecordId,
    /// What was reported.
    pub event: pb::DonorTestReported,
    /// Keys of the analysts who signed.
    pub analysts: Vec<KeyId>,
    /// The review with its decision.
    pub review: Option<(RecordId, pb::ReviewDecision)>,
}

/// A consent.
#[derive(Clone, Debug, PartialEq)]
pub struct DonorConsent {
    /// The record.
    pub record_id: RecordId,
    /// When it was given.
    pub consented_at_ms: i64,
    /// What was recorded.
    pub event: pb::DonorConsented,
}

/// A collection of marrow.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    /// The record.
    pub record_id: RecordId,
    /// What was recorded.
    pub event: pb::MarrowCollected,
    /// When.
    pub collected_at_ms: i64,
}

/// The donor stream.
#[derive(Clone, Debug)]
pub struct Donor {
    /// The donor.
    pub id: Id16,
    /// The registration.
    pub registered: Option<(RecordId, pb::DonorRegistered)>,
    /// Consents in the order in which they were given, whenever they were entered; of two at one moment the one recorded later is last.
    pub consents: Vec<DonorConsent>,
    /// Withdrawals with their own times, in the order of these.
    pub withdrawals: Vec<(RecordId, i64)>,
    /// Panel results in order.
    pub results: Vec<PanelResult>,
    /// The last determination.
    pub eligibility: Option<(RecordId, pb::Eligibility)>,
    /// Every determination with the time that it holds from (recorded at, for "eligible"; event time for a stop).
    pub determinations: Vec<(i64, pb::Eligibility, RecordId)>,
    /// Collections in order.
    pub collections: Vec<Collection>,
    /// Lots that were opened from it.
    pub lots: Vec<Id16>,
    /// Holds, deviations, signatures.
    pub upkeep: Upkeep,
}

impl Donor {
    /// Before the first record.
    pub fn new(id: Id16) -> Donor {
        Donor {
            id,
            registered: None,
            consents: Vec::new(),
            withdrawals: Vec::new(),
            results: Vec::new(),
            eligibility: None,
            determinations: Vec::new(),
            collections: Vec::new(),
            lots: Vec::new(),
            upkeep: Upkeep::new(pb::StreamKind::Donor),
        }
    }

    /// Whether the last determination says eligible.
    pub fn is_eligible(&self) -> bool {
        matches!(self.eligibility, Some((_, pb::Eligibility::Eligible)))
    }

    /// The consent that was given last.
    pub fn consent(&self) -> Option<&DonorConsent> {
        self.consents.last()
    }

    /// The consent that had been given last by a time.
    pub fn consent_at(&self, at_ms: i64) -> Option<&DonorConsent> {
        self.consents.iter().rfind(|consent| consent.consented_at_ms <= at_ms)
    }

    /// The withdrawal in force at a time. A consent that was given after it counts again; one that is only recorded later does not.
    pub fn withdrawal_at(&self, at_ms: i64) -> Option<(RecordId, i64)> {
        let consent = self.consent_at(at_ms);
        let last = self.withdrawals.iter().rfind(|(_, withdrawn_at_ms)| *withdrawn_at_ms <= at_ms);
        last.copied().filter(|(_, withdrawn_at_ms)| consent.is_none_or(|c| c.consented_at_ms <= *withdrawn_at_ms))
    }

    /// Adds the next record.
    pub fn fold(&mut self, entry: &Entry) {
        self.upkeep.fold(entry);
        let record_id = entry.record_id();
        match &entry.record.event {
            Some(Event::DonorRegistered(e)) => {
                self.registered.get_or_insert_with(|| (record_id, e.clone()));
            }
            Some(Event::DonorConsented(e)) => {
                self.consents.push(DonorConsent { record_id, consented_at_ms: entry.occurred_at_ms(), event: e.clone() });
                self.consents.sort_by_key(|consent| consent.consented_at_ms);
            }
            Some(Event::ConsentWithdrawn(_)) => {
                self.withdrawals.push((record_id, entry.occurred_at_ms()));
                self.withdrawals.sort_by_key(|(_, withdrawn_at_ms)| *withdrawn_at_ms);
            }
            Some(Event::DonorTestReported(e)) => self.results.push(PanelResult {
                record_id,
                event: e.clone(),
                analysts: entry.signings.iter().map(|s| s.key_id).collect(),
                review: None,
            }),
            Some(Event::DonorTestReviewed(e)) => {
                let reviewed = RecordId(id16(&e.reported_record_id));
                for result in self.results.iter_mut().filter(|r| r.record_id == reviewed) {
                    result.review.get_or_insert((record_id, e.decision()));
                }
            }
            Some(Event::RecordAmended(e)) => self.fold_amendment(entry, e),
            Some(Event::DonorEligibilityDetermined(e)) => {
                // A yes holds from the ledger's time; a no from the time that it states.
                let from =
                    if e.eligibility() == pb::Eligibility::Eligible { entry.recorded_at_ms } else { entry.occurred_at_ms() };
                self.eligibility = Some((record_id, e.eligibility()));
                self.determinations.push((from, e.eligibility(), record_id));
                self.determinations.sort_by_key(|(from, _, _)| *from);
            }
            Some(Event::MarrowCollected(e)) => {
                self.collections.push(Collection { record_id, event: e.clone(), collected_at_ms: entry.occurred_at_ms() })
            }
            Some(Event::LotOpened(_)) => self.lots.push(Id16(entry.stream_id(pb::StreamKind::Lot))),
            _ => {}
        }
    }

    /// A review is of what the reviewer saw, and not of what replaced it. Who wrote the new result has to be another than who reviews it.
    fn fold_amendment(&mut self, entry: &Entry, e: &pb::RecordAmended) {
        let Some(target) = &e.target else { return };
        for result in self.results.iter_mut().filter(|result| result.record_id.0[..] == target.record_id[..]) {
            result.review = None;
            result.analysts.extend(entry.signings.iter().filter(|signing| signing.slot == 0).map(|signing| signing.key_id));
        }
    }
}
