//! A dose from its preparation to the end of its infusion.

use marrowline_record::entry::Entry;
use marrowline_record::id::{Digest, Id16, KeyId, RecordId};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, BedsideResult};

use crate::index::id16;
use crate::state::lot::Processing;

/// What became of a dose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DoseState {
    /// Made, in the pharmacy or cell laboratory.
    Prepared,
    /// Released to the ward.
    Dispensed,
    /// Compared with the subject at the bedside.
    AtWard,
    /// Being infused.
    Started,
    /// Infused whole.
    Ended,
    /// Infused in part.
    Stopped,
    /// Rejected: never to be given.
    Rejected,
    /// Never begun, and all its units came back for destruction.
    Returned,
    /// Never begun, and all its units were destroyed.
    Destroyed,
}

/// What a unit gave to a dose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    /// The unit.
    pub unit_id: Id16,
    /// Cells from it, dead and alive.
    pub total_cells: u64,
    /// Volume from it.
    pub volume_microlitres: u64,
}

impl Portion {
    /// Viable cells of the infused volume in ten-thousandths of a cell, so that cells are rounded up once for the whole dose.
    fn ten_thousandths_infused(&self, infused_microlitres: u128, viability_basis_points: u128) -> u128 {
        let volume = u128::from(self.volume_microlitres);
        let cells = u128::from(self.total_cells);
        if infused_microlitres >= volume {
            return cells.saturating_mul(viability_basis_points);
        }
        // Divided before it is multiplied: the product of all three has no room in 128 bits.
        let product = cells.saturating_mul(infused_microlitres);
        let (whole, rest) = (product / volume.max(1), product % volume.max(1));
        let share = rest.saturating_mul(viability_basis_points).div_ceil(volume.max(1));
        whole.saturating_mul(viability_basis_points).saturating_add(share)
    }
}

/// The release to the ward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dispensing {
    /// The record.
    pub record_id: RecordId,
    /// When the ledger recorded it.
    pub dispensed_at_ms: i64,
    /// The facility that dispensed it.
    pub facility_id: Id16,
}

/// A check at the bedside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BedsideCheck {
    /// The record.
    pub record_id: RecordId,
    /// When.
    pub checked_at_ms: i64,
    /// Whether wristband, label and order agreed.
    pub matched: bool,
}

/// The end of an infusion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfusionEnd {
    /// The record.
    pub record_id: RecordId,
    /// When.
    pub ended_at_ms: i64,
    /// Volume infused of each unit's portion.
    pub infused: Vec<(Id16, u64)>,
    /// Why it was stopped before its end.
    pub stopped_because: Option<String>,
}

/// An infusion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Infusion {
    /// The record of its start.
    pub record_id: RecordId,
    /// When it began.
    pub started_at_ms: i64,
    /// Its end.
    pub end: Option<InfusionEnd>,
}

/// A dose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dose {
    /// The dose.
    pub id: Id16,
    /// Code on its label.
    pub code: String,
    /// The order that it was made for.
    pub order_id: Id16,
    /// The record of its preparation.
    pub record_id: RecordId,
    /// That record's digest, which added signatures name.
    pub digest: Digest,
    /// The facility that prepared it.
    pub facility_id: Id16,
    /// When it was prepared.
    pub prepared_at_ms: i64,
    /// Keys that signed its preparation, later added ones too.
    pub prepared_by: Vec<KeyId>,
    /// What each unit gave.
    pub portions: Vec<Portion>,
    /// Cells in it, dead and alive.
    pub total_cells: u64,
    /// Viable share.
    pub viability_basis_points: u32,
    /// Diluent.
    pub diluent: String,
    /// Final volume.
    pub volume_microlitres: u64,
    /// DMSO in it.
    pub dmso_milligrams: u32,
    /// Last moment of use as stated, inclusive.
    pub expires_at_ms: i64,
    /// The release to the ward.
    pub dispensed: Option<Dispensing>,
    /// Checks at the bedside in the order in which they were made, whenever they were entered.
    pub checks: Vec<BedsideCheck>,
    /// The infusion.
    pub infusion: Option<Infusion>,
    /// The record that rejected it first by its own time, and that time.
    pub rejection: Option<(RecordId, i64)>,
}

impl Dose {
    /// A dose as its preparation states it.
    pub fn prepared(entry: &Entry, e: &pb::DosePrepared) -> Dose {
        let facility = entry.record.slots.first().map_or([0; 16], |slot| id16(&slot.facility_id));
        Dose {
            digest: entry.digest,
            prepared_by: entry.signings.iter().map(|signing| signing.key_id).collect(),
            ..Dose::stated(e, entry.record_id(), Id16(facility), entry.occurred_at_ms())
        }
    }

    /// The same before its record is accepted: who signed it is not looked at yet.
    pub(crate) fn stated(e: &pb::DosePrepared, record_id: RecordId, facility_id: Id16, prepared_at_ms: i64) -> Dose {
        Dose {
            id: Id16(id16(&e.dose_id)),
            code: e.dose_code.clone(),
            order_id: Id16(id16(&e.order_id)),
            record_id,
            digest: Digest([0; 32]),
            facility_id,
            prepared_at_ms,
            prepared_by: Vec::new(),
            portions: e
                .contributions
                .iter()
                .map(|c| Portion {
                    unit_id: Id16(id16(&c.unit_id)),
                    total_cells: c.total_cells,
                    volume_microlitres: c.volume_microlitres,
                })
                .collect(),
            total_cells: e.total_cells,
            viability_basis_points: e.viability_basis_points.unwrap_or(0),
            diluent: e.diluent.clone(),
            volume_microlitres: e.volume_microlitres,
            dmso_milligrams: e.dmso_milligrams.unwrap_or(u32::MAX),
            expires_at_ms: e.expires_at.as_ref().map_or(0, |at| at.unix_ms),
            dispensed: None,
            checks: Vec::new(),
            infusion: None,
            rejection: None,
        }
    }

    /// What became of it so far.
    pub fn state(&self) -> DoseState {
        match (&self.infusion, &self.dispensed) {
            (Some(infusion), _) => match &infusion.end {
                None => DoseState::Started,
                Some(end) if self.is_whole(end) => DoseState::Ended,
                Some(_) => DoseState::Stopped,
            },
            (None, _) if self.rejection.is_some() => DoseState::Rejected,
            (None, Some(_)) if self.checks.is_empty() => DoseState::Dispensed,
            (None, Some(_)) => DoseState::AtWard,
            (None, None) => DoseState::Prepared,
        }
    }

    /// The same with what became of its units, which their lots know.
    pub fn state_with(&self, units: &[Processing]) -> DoseState {
        match units.iter().min() {
            Some(Processing::Destroyed) if self.infusion.is_none() => DoseState::Destroyed,
            Some(Processing::Returned) if self.infusion.is_none() => DoseState::Returned,
            _ => self.state(),
        }
    }

    /// Whether an end says that all of the dose was infused.
    pub fn is_whole(&self, end: &InfusionEnd) -> bool {
        self.portions
            .iter()
            .all(|portion| infused_volume(&end.infused, &portion.unit_id) >= u128::from(portion.volume_microlitres))
    }

    /// Viable cells that went, or may still go, into the subject, rounded up: those of the infused volume once the infusion has
    /// ended, else those of the whole dose.
    pub fn viable_cells_rounded_up(&self) -> u128 {
        let viability = u128::from(self.viability_basis_points);
        let end = self.infusion.as_ref().and_then(|infusion| infusion.end.as_ref());
        let ten_thousandths = match end.filter(|end| self.has_only_its_units(end)) {
            None => u128::from(self.total_cells).saturating_mul(viability),
            Some(end) => self.portions.iter().fold(0, |sum: u128, portion| {
                let infused = infused_volume(&end.infused, &portion.unit_id);
                sum.saturating_add(portion.ten_thousandths_infused(infused, viability))
            }),
        };
        ten_thousandths.div_ceil(10_000)
    }

    /// Viable cells of the whole dose, rounded up, whatever became of it.
    pub fn whole_rounded_up(&self) -> u128 {
        u128::from(self.total_cells).saturating_mul(u128::from(self.viability_basis_points)).div_ceil(10_000)
    }

    /// Whether an end names no unit but the dose's own. One that names another says nothing of how much of this dose went in.
    fn has_only_its_units(&self, end: &InfusionEnd) -> bool {
        end.infused.iter().all(|(unit, _)| self.portions.iter().any(|portion| portion.unit_id == *unit))
    }

    /// Whether a bedside check found agreement and none since found otherwise.
    pub fn is_matched(&self) -> bool {
        self.checks.last().is_some_and(|check| check.matched)
    }

    /// Adds a record of the subject's stream that may be about this dose.
    pub(super) fn fold(&mut self, entry: &Entry, event: &Event) {
        if let Event::SignatureAdded(e) = event {
            if e.target_digest[..] == self.digest.0[..] {
                self.prepared_by.extend(entry.signings.iter().map(|signing| signing.key_id));
            }
            return;
        }
        if named_by(event) != Some(self.id) {
            return;
        }
        let (record_id, occurred_at_ms) = (entry.record_id(), entry.occurred_at_ms());
        match event {
            Event::DoseDispensed(_) => {
                let facility = entry.record.slots.first().map_or([0; 16], |slot| id16(&slot.facility_id));
                self.dispensed.get_or_insert(Dispensing {
                    record_id,
                    dispensed_at_ms: entry.recorded_at_ms(),
                    facility_id: Id16(facility),
                });
            }
            Event::DoseRejected(_) => {
                let first = self.rejection.filter(|(_, before_ms)| *before_ms <= occurred_at_ms);
                self.rejection = first.or(Some((record_id, occurred_at_ms)));
            }
            Event::BedsideChecked(e) => {
                let matched = e.result() == BedsideResult::Matched;
                self.checks.push(BedsideCheck { record_id, checked_at_ms: occurred_at_ms, matched });
                self.checks.sort_by_key(|check| check.checked_at_ms);
            }
            Event::InfusionStarted(_) => {
                self.infusion.get_or_insert(Infusion { record_id, started_at_ms: occurred_at_ms, end: None });
            }
            Event::InfusionEnded(e) => {
                // One that is dated before the start says nothing of how much went in, and the true end is still to come.
                if let Some(infusion) = self.infusion.as_mut().filter(|infusion| infusion.started_at_ms <= occurred_at_ms) {
                    infusion.end.get_or_insert_with(|| InfusionEnd::recorded(record_id, occurred_at_ms, e));
                }
            }
            _ => {}
        }
    }
}

impl InfusionEnd {
    pub(crate) fn recorded(record_id: RecordId, ended_at_ms: i64, e: &pb::InfusionEnded) -> InfusionEnd {
        InfusionEnd {
            record_id,
            ended_at_ms,
            infused: e.infused.iter().map(|i| (Id16(id16(&i.unit_id)), i.volume_microlitres.unwrap_or(0))).collect(),
            stopped_because: e.stopped_because.clone(),
        }
    }
}

fn infused_volume(infused: &[(Id16, u64)], unit_id: &Id16) -> u128 {
    infused.iter().filter(|(unit, _)| unit == unit_id).map(|(_, volume)| u128::from(*volume)).sum()
}

/// The dose that an event names.
pub(crate) fn named_by(event: &Event) -> Option<Id16> {
    let id = match event {
        Event::DosePrepared(e) => &e.dose_id,
        Event::DoseDispensed(e) => &e.dose_id,
        Event::DoseRejected(e) => &e.dose_id,
        Event::BedsideChecked(e) => &e.dose_id,
        Event::InfusionStarted(e) => &e.dose_id,
        Event::InfusionEnded(e) => &e.dose_id,
        _ => return None,
    };
    Some(Id16(id16(id)))
}
