//! A lot: its cultures, units, samples, results and disposition.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use marrowline_record::entry::Entry;
use marrowline_record::id::{Id16, RecordId};
use marrowline_record::milli::log2_milli;
use marrowline_record::pb::{self, Disposition, Location, ThawPurpose};

use crate::frame::AHEAD_LIMIT_MS;
use crate::state::Upkeep;
use crate::state::custody::{Custody, TakeOver};
use crate::state::lot::labels::LabelBatch;

pub mod container;
pub(crate) mod fold;
pub mod labels;
pub mod places;
pub mod results;
pub(crate) mod waiting;

pub use places::{PlaceChange, Stay};
pub use results::{ReportedResult, ResultVersion};

/// What was done with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Processing {
    /// Filled and frozen, not yet in a place.
    Filled,
    /// In a freezer place.
    Stored,
    /// Assigned to an order.
    Allocated,
    /// Thawed; never goes back.
    Thawed,
    /// Part of a dose.
    Prepared,
    /// Its dose was released to the ward.
    Dispensed,
    /// Its dose is being, or was, infused.
    Infused,
    /// Used up for testing.
    Sampled,
    /// Came back for destruction, and is good for nothing else.
    Returned,
    /// Destroyed; nothing changes it any more.
    Destroyed,
}

/// What a thaw found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thaw {
    /// The record.
    pub record_id: RecordId,
    /// When.
    pub thawed_at_ms: i64,
    /// Cells counted, dead and alive.
    pub total_cells: u64,
    /// Viable share.
    pub viability_basis_points: u32,
}

impl Thaw {
    /// What counts of two records of one thaw: nobody knows which is right, so the earlier time, the fewer cells, the lower viability.
    pub(crate) fn beside(&self, other: &Thaw) -> Thaw {
        let first = if other.thawed_at_ms < self.thawed_at_ms { other } else { self };
        Thaw {
            total_cells: self.total_cells.min(other.total_cells),
            viability_basis_points: self.viability_basis_points.min(other.viability_basis_points),
            ..*first
        }
    }
}

/// A thaw that was ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThawOrder {
    /// The record.
    pub record_id: RecordId,
    /// What for.
    pub purpose: ThawPurpose,
    /// The order, for a patient.
    pub order_id: Option<Id16>,
}

/// An assignment of a unit to a subject's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// The record.
    pub record_id: RecordId,
    /// The order.
    pub order_id: Id16,
    /// The subject.
    pub subject_id: Id16,
}

impl Allocation {
    /// Whether it is to this order of this subject.
    pub fn is_to(&self, subject_id: &Id16, order_id: &Id16) -> bool {
        self.subject_id == *subject_id && self.order_id == *order_id
    }
}

/// One container.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    /// The unit.
    pub id: Id16,
    /// Code on its label.
    pub code: String,
    /// The record that filled it.
    pub filled_by: RecordId,
    /// When it was filled.
    pub filled_at_ms: i64,
    /// Cells in it when filled, dead and alive.
    pub total_cells: u64,
    /// Volume when filled.
    pub volume_microlitres: u64,
    /// Viable share when filled.
    pub fill_viability_basis_points: u32,
    /// DMSO by volume.
    pub dmso_basis_points: u32,
    /// What was done with it.
    pub processing: Processing,
    /// Who holds it.
    pub custody: Custody,
    /// Its freezer place.
    pub location: Option<Location>,
    /// Where it was kept so far.
    pub stays: Vec<Stay>,
    /// What was recorded of its places, in the order in which it happened.
    pub places: Vec<PlaceChange>,
    /// Who undisputedly held it from each moment on; nobody while it was on its way or disputed.
    pub holders: Vec<(i64, Option<Id16>)>,
    /// When it was first thawed or used up.
    pub used_at_ms: Option<i64>,
    /// Its assignment, which stays when it is thawed and prepared.
    pub allocation: Option<Allocation>,
    /// The thaw that was ordered.
    pub thaw_order: Option<ThawOrder>,
    /// The thaw.
    pub thaw: Option<Thaw>,
    /// The doses that it is said to have become part of, in the order of the log. More than one is a contradiction.
    pub dose_ids: Vec<Id16>,
    /// What happened to its container.
    pub container: container::Container,
}

/// What a culture, the isolation or a harvest gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Culture {
    /// The record.
    pub record_id: RecordId,
    /// The culture that it came from.
    pub parent_id: Option<Id16>,
    /// Passage: the one that was stated, or the parent's plus 1 if that is more.
    pub passage: u32,
    /// Cells seeded, dead and alive.
    pub seeded_cells: u64,
    /// Population doublings since P1 up to the seeding of this culture: of each step what was stated or what its counts say, whichever is
    /// more.
    pub milli_doublings: i64,
    /// When it was seeded.
    pub seeded_at_ms: i64,
    /// The record that used it up.
    pub consumed_by: Option<RecordId>,
    /// When it was used up.
    pub consumed_at_ms: Option<i64>,
}

impl Culture {
    /// Doublings in this culture by its counts; none at passage 0, which seeds mononuclear cells of which few are stromal.
    pub fn doublings_to(&self, detached_cells: u64) -> Option<i32> {
        if self.passage == 0 { None } else { log2_milli(detached_cells, self.seeded_cells) }
    }

    /// Doublings since P1 when its cells are detached. Nobody gets below a limit by stating less than the counts say.
    pub fn doublings_after(&self, detached_cells: u64, stated: Option<i32>) -> i64 {
        let grown = self.doublings_to(detached_cells).max(stated).unwrap_or(0);
        self.milli_doublings.saturating_add(i64::from(grown))
    }

    /// The passage of a culture that is made of it.
    pub fn passage_after(&self, stated: u32) -> u32 {
        stated.max(self.passage.saturating_add(1))
    }
}

/// A harvest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Harvest {
    /// The record.
    pub record_id: RecordId,
    /// Cells harvested, dead and alive.
    pub total_cells: u64,
    /// Viable share.
    pub viability_basis_points: u32,
    /// Population doublings since P1.
    pub milli_doublings: i64,
    /// The record that filled it.
    pub consumed_by: Option<RecordId>,
}

/// A sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The record.
    pub record_id: RecordId,
    /// Code on the sample.
    pub code: String,
    /// When it was taken.
    pub taken_at_ms: i64,
}

/// What a step of manufacture was done with.
#[derive(Clone, Debug, PartialEq)]
pub struct MaterialsUse {
    /// The step.
    pub record_id: RecordId,
    /// The event's name.
    pub event: &'static str,
    /// The facility that did it.
    pub facility_id: Id16,
    /// What was named.
    pub materials: pb::Materials,
}

/// The lot stream.
#[derive(Clone, Debug)]
pub struct Lot {
    /// The lot.
    pub id: Id16,
    /// The record that opened it.
    pub opened: Option<(RecordId, pb::LotOpened)>,
    /// The facility that opened it.
    pub facility_id: Option<Id16>,
    /// The donor.
    pub donor_id: Option<Id16>,
    /// The isolation: record and what it stated.
    pub isolation: Option<(RecordId, pb::MncIsolated)>,
    /// Cultures by id.
    pub cultures: BTreeMap<Id16, Culture>,
    /// Harvests by id.
    pub harvests: BTreeMap<Id16, Harvest>,
    /// Units by id.
    pub units: BTreeMap<Id16, Unit>,
    /// Samples by id.
    pub samples: BTreeMap<Id16, Sample>,
    /// Results in the order in which they were reported.
    pub results: Vec<ReportedResult>,
    /// What each version of the results that were amended or voided said.
    pub result_versions: Vec<ResultVersion>,
    /// The last disposition.
    pub disposition: Option<(RecordId, Disposition)>,
    /// From when on it was rejected, by the rejection's own time.
    pub rejected_at_ms: Option<i64>,
    /// The last disposition that released it, whatever was decided afterwards.
    pub released: Option<RecordId>,
    /// What each step was done with, in order.
    pub materials: Vec<MaterialsUse>,
    /// Units that were released for one subject, whatever the disposition: unit, subject, record.
    pub exceptional: Vec<(Id16, Id16, RecordId)>,
    /// Batches of labels by id.
    pub labels: BTreeMap<Id16, LabelBatch>,
    /// Cells that all seedings together took from the isolation: seeded, sampled, discarded or lost.
    pub cells_taken_from_isolation: u128,
    /// Transfers that units of it were handed over with, finished ones too.
    pub transfers: BTreeSet<Id16>,
    /// How far each dose got that a record of the lot names, whether its preparation is known or not.
    pub doses_reached: BTreeMap<Id16, Processing>,
    /// Each dose with each subject whose record says that it was given to them.
    pub given: BTreeSet<(Id16, Id16)>,
    /// Records about units whose filling is not known, in their order, until it is.
    pub waiting: Vec<Arc<Entry>>,
    /// Take-overs of units that nobody had handed over by then.
    pub unannounced: Vec<TakeOver>,
    /// Keys that signed an operator's work on it (manufacture, sampling, thawing, destroying), voided or not, with the record.
    pub operated_by: Vec<(marrowline_record::id::KeyId, RecordId)>,
    /// Holds, deviations, signatures.
    pub upkeep: Upkeep,
}

impl Lot {
    /// Before the first record.
    pub fn new(id: Id16) -> Lot {
        Lot {
            id,
            opened: None,
            facility_id: None,
            donor_id: None,
            isolation: None,
            cultures: BTreeMap::new(),
            harvests: BTreeMap::new(),
            units: BTreeMap::new(),
            samples: BTreeMap::new(),
            results: Vec::new(),
            result_versions: Vec::new(),
            disposition: None,
            rejected_at_ms: None,
            released: None,
            materials: Vec::new(),
            exceptional: Vec::new(),
            labels: BTreeMap::new(),
            cells_taken_from_isolation: 0,
            transfers: BTreeSet::new(),
            doses_reached: BTreeMap::new(),
            given: BTreeSet::new(),
            waiting: Vec::new(),
            unannounced: Vec::new(),
            operated_by: Vec::new(),
            upkeep: Upkeep::new(marrowline_record::pb::StreamKind::Lot),
        }
    }

    /// Adds the next record.
    pub fn fold(&mut self, entry: &Entry) {
        self.upkeep.fold(entry);
        fold::fold(self, entry);
    }

    /// Keeps of a record that was amended or voided what no later version undoes: who worked on the lot, and what a result said.
    pub(crate) fn fold_first_version(&mut self, entry: &Entry) {
        fold::first_version(self, entry);
    }

    /// The record that let cells of the lot go out: its release, an exceptional one, or the assignment of a unit that was dispensed.
    pub fn went_out(&self) -> Option<RecordId> {
        let exceptional = self.exceptional.first().map(|(_, _, record)| *record);
        let dispensed = |unit: &&Unit| unit.processing >= Processing::Dispensed && !unit.dose_ids.is_empty();
        let of_unit = |unit: &Unit| unit.allocation.map_or(unit.filled_by, |allocation| allocation.record_id);
        self.released.or(exceptional).or_else(|| self.units.values().find(dispensed).map(of_unit))
    }

    /// The take-over that a hand-over which is entered after it is about: of the same units, transfer and seal, by the facility that they
    /// were sent to, after they were sent.
    pub fn announced(&self, e: &pb::CustodyRelinquished, at_ms: i64) -> Option<&TakeOver> {
        self.unannounced.iter().find(|take_over| take_over.is_of(e, at_ms))
    }

    /// Whether a lot that was released is rejected only from a later time on: what was given before was given of a released lot.
    pub fn is_rejected_after(&self, at_ms: i64) -> bool {
        let is_later = |rejected_at_ms: i64| rejected_at_ms > at_ms.saturating_add(AHEAD_LIMIT_MS);
        self.released.is_some() && self.rejected_at_ms.is_some_and(is_later)
    }

    /// The last disposition's decision.
    pub fn disposition(&self) -> Option<Disposition> {
        self.disposition.map(|(_, disposition)| disposition)
    }

    /// The specification that governs the lot.
    pub fn specification(&self) -> Option<&pb::VersionRef> {
        self.opened.as_ref().and_then(|(_, opened)| opened.specification.as_ref())
    }

    /// The furthest passage that was reached.
    pub fn passage(&self) -> u32 {
        self.cultures.values().map(|c| c.passage).max().unwrap_or(0)
    }

    /// Most population doublings that cells of the lot went through since P1, thousandths.
    pub fn milli_doublings(&self) -> i64 {
        let cultures = self.cultures.values().map(|c| c.milli_doublings);
        cultures.chain(self.harvests.values().map(|h| h.milli_doublings)).max().unwrap_or(0)
    }
}
