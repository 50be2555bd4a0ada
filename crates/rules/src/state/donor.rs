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
    /// The last consent, with its event time.
    pub consent: Option<(RecordId, pb::DonorConsented, i64)>,
    /// The withdrawal of that consent, with its event time.
    pub withdrawn: Option<(RecordId, i64)>,
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
            consent: None,
            withdrawn: None,
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

    /// Adds the next record.
    pub fn fold(&mut self, entry: &Entry) {
        self.upkeep.fold(entry);
        let record_id = entry.record_id();
        match &entry.record.event {
            Some(Event::DonorRegistered(e)) => {
                self.registered.get_or_insert_with(|| (record_id, e.clone()));
            }
            Some(Event::DonorConsented(e)) => {
                self.consent = Some((record_id, e.clone(), entry.occurred_at_ms()));
                // A consent that was given after the withdrawal counts again; one that is only recorded later does not.
                self.withdrawn = self.withdrawn.filter(|(_, at_ms)| *at_ms >= entry.occurred_at_ms());
            }
            Some(Event::ConsentWithdrawn(_)) => self.withdrawn = Some((record_id, entry.occurred_at_ms())),
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
}
