//! What every stream keeps: holds, deviations, recalls and look-backs, signatures owed, and who signed each of its records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use marrowline_record::entry::Entry;
use marrowline_record::id::{Digest, Id16, KeyId, RecordId};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{AmendedRecord, Meaning, Role, Severity, StreamKind};
use sha2::{Digest as _, Sha256};

use crate::codes::frame::STREAM_NOT_OPENED;
use crate::codes::lot::UNIT_UNKNOWN;
use crate::codes::quality::HELD_THING_UNKNOWN;
use crate::codes::{self, Across, Code};
use crate::frame::AHEAD_LIMIT_MS;
use crate::index::id16;
use crate::table;

/// Rule code that a person's own hold is derived with.
pub const HOLD_SET: &str = "HOLD_SET";
/// Rule code that a person's own deviation is derived with.
pub const DEVIATION_OPENED: &str = "DEVIATION_OPENED";
/// Rule code that a person's own recall is derived with.
pub const RECALL_OPENED: &str = "RECALL_OPENED";
/// Rule code that a person's own look-back is derived with.
pub const LOOK_BACK_OPENED: &str = "LOOK_BACK_OPENED";

/// SHA-256(record digest ‖ rule code): the id of a deviation or hold that a record brought about.
pub fn derived_id(digest: &Digest, code: &str) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(digest.0);
    hasher.update(code.as_bytes());
    hasher.finalize().into()
}

/// A hold on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Its id.
    pub id: [u8; 32],
    /// The rule's code, or `HOLD_SET`.
    pub code: &'static str,
    /// Why, in words.
    pub reason: String,
    /// The record that set it.
    pub record_id: RecordId,
    /// When that happened.
    pub set_at_ms: i64,
    /// Units that are held; none: everything in the stream.
    pub unit_ids: Vec<Id16>,
    /// The dose that is held; none: everything in the stream.
    pub dose_id: Option<Id16>,
    /// The record that lifted it.
    pub lifted_by: Option<RecordId>,
}

/// A deviation on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deviation {
    /// Its id.
    pub id: [u8; 32],
    /// The rule's code, or `DEVIATION_OPENED`.
    pub code: &'static str,
    /// How bad.
    pub severity: Severity,
    /// What happened.
    pub description: String,
    /// The record that opened it.
    pub record_id: RecordId,
    /// The record that closed it.
    pub closed_by: Option<RecordId>,
}

/// A recall or a look-back of a lot or a donor. A hold with the same id stops the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recall {
    /// Its id.
    pub id: [u8; 32],
    /// Which of the two.
    pub across: Across,
    /// The rule's code, `RECALL_OPENED` or `LOOK_BACK_OPENED`.
    pub code: &'static str,
    /// Why, in words.
    pub reason: String,
    /// The record that opened it.
    pub record_id: RecordId,
    /// The record that closed it.
    pub closed_by: Option<RecordId>,
}

/// A signature that a fact still owes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// The record that owes it.
    pub record_id: RecordId,
    /// That record's digest.
    pub digest: Digest,
    /// The slot.
    pub slot: u8,
    /// In which role.
    pub role: Role,
    /// With which meaning.
    pub meaning: Meaning,
    /// For which facility.
    pub facility_id: Id16,
    /// Units that the record is about; empty if it is about all of the stream.
    pub unit_ids: Vec<Id16>,
}

/// Who signed a record of the stream, and when the ledger recorded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRecord {
    /// The record.
    pub record_id: RecordId,
    /// Its digest.
    pub digest: Digest,
    /// When it was recorded.
    pub recorded_at_ms: i64,
    /// The keys that signed it.
    pub key_ids: Vec<KeyId>,
}

/// What became of a record that was amended or voided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// The record of the last amendment, or the one that voided it.
    pub record_id: RecordId,
    /// Whether the record no longer counts.
    pub is_void: bool,
}

/// What every stream keeps.
#[derive(Clone, Debug)]
pub struct Upkeep {
    /// Kind of the stream.
    pub kind: StreamKind,
    /// Number of records.
    pub length: u64,
    /// All holds, lifted ones too.
    pub holds: Vec<Hold>,
    /// All deviations, closed ones too.
    pub deviations: Vec<Deviation>,
    /// All recalls and look-backs, closed ones too.
    pub recalls: Vec<Recall>,
    /// Signatures still owed.
    pub owed: Vec<Owed>,
    /// Who signed each record, in order.
    pub signed: Arc<Vec<SignedRecord>>,
    /// Signatures that were added later: the target's digest and the keys.
    pub added: Vec<(Digest, Vec<KeyId>)>,
    /// Facilities that a record of the stream was signed for.
    pub facilities: BTreeSet<Id16>,
    /// The latest versions of records that were amended or voided.
    pub amended: BTreeMap<RecordId, Version>,
    /// The latest moment at which an authorisation of the stream was recorded.
    pub decided_at_ms: Option<i64>,
}

impl Default for Upkeep {
    fn default() -> Self {
        Upkeep::new(StreamKind::Authority)
    }
}

impl Hold {
    /// Whether it stood at a time: what was done before it did not go against it (law 2). Two clocks may be a minute apart.
    pub fn stood_at(&self, at_ms: i64) -> bool {
        self.set_at_ms <= at_ms.saturating_add(AHEAD_LIMIT_MS)
    }
}

impl Upkeep {
    /// Before the first record.
    pub fn new(kind: StreamKind) -> Upkeep {
        Upkeep {
            kind,
            length: 0,
            holds: Vec::new(),
            deviations: Vec::new(),
            recalls: Vec::new(),
            owed: Vec::new(),
            signed: Arc::new(Vec::new()),
            added: Vec::new(),
            facilities: BTreeSet::new(),
            amended: BTreeMap::new(),
            decided_at_ms: None,
        }
    }

    /// Holds that are in force.
    pub fn open_holds(&self) -> impl Iterator<Item = &Hold> {
        self.holds.iter().filter(|h| h.lifted_by.is_none())
    }

    /// Holds in force that stop this unit.
    pub fn holds_on_unit(&self, unit: &Id16) -> impl Iterator<Item = &Hold> {
        self.open_holds().filter(move |h| h.dose_id.is_none() && (h.unit_ids.is_empty() || h.unit_ids.contains(unit)))
    }

    /// Holds in force that stop this dose.
    pub fn holds_on_dose(&self, dose: &Id16) -> impl Iterator<Item = &Hold> {
        self.open_holds().filter(move |h| h.dose_id.is_none_or(|d| d == *dose))
    }

    /// Signatures owed for a step of this unit: its lot's manufacture, or its own thaw, preparation, return or destruction, whoever owes
    /// them. What was done to another unit does not stop this one, and a nurse's missing signature at one bedside stops no unit.
    pub fn owed_on_unit(&self, unit: &Id16) -> impl Iterator<Item = &Owed> {
        let is_manufacture = |o: &Owed| matches!(o.role, Role::Operator | Role::VerifyingOperator);
        self.owed.iter().filter(move |o| if o.unit_ids.is_empty() { is_manufacture(o) } else { o.unit_ids.contains(unit) })
    }

    /// Signatures of operators that are owed.
    pub fn owed_in_manufacture(&self) -> impl Iterator<Item = &Owed> {
        self.owed.iter().filter(|o| matches!(o.role, Role::Operator | Role::VerifyingOperator))
    }

    /// Deviations that are open.
    pub fn open_deviations(&self) -> impl Iterator<Item = &Deviation> {
        self.deviations.iter().filter(|d| d.closed_by.is_none())
    }

    /// Recalls and look-backs that are open.
    pub fn open_recalls(&self) -> impl Iterator<Item = &Recall> {
        self.recalls.iter().filter(|recall| recall.closed_by.is_none())
    }

    /// Adds the stream's next record.
    pub fn fold(&mut self, entry: &Entry) {
        self.length = self.length.saturating_add(1);
        self.fold_facilities(entry);
        Arc::make_mut(&mut self.signed).push(SignedRecord {
            record_id: entry.record_id(),
            digest: entry.digest,
            recorded_at_ms: entry.recorded_at_ms,
            key_ids: entry.signings.iter().map(|s| s.key_id).collect(),
        });
        self.fold_effects(entry);
        self.fold_opening(entry);
        self.fold_owed(entry);
        if entry.event().is_some_and(|event| table::category(event) == table::Category::Authorisation) {
            self.decided_at_ms = self.decided_at_ms.max(Some(entry.recorded_at_ms));
        }
        match &entry.record.event {
            Some(Event::DeviationOpened(e)) => self.open(entry, DEVIATION_OPENED, e.severity(), &e.description),
            Some(Event::DeviationClosed(e)) => {
                for deviation in self.deviations.iter_mut().filter(|d| d.id[..] == e.deviation_id[..]) {
                    deviation.closed_by.get_or_insert(entry.record_id());
                }
            }
            // Whoever stops a thing that the stream does not have meant another one of it: a stop must stop, so all of it is held.
            Some(Event::HoldSet(e)) if entry.flags.contains(&HELD_THING_UNKNOWN.number) => {
                self.hold(entry, HOLD_SET, &e.reason, Vec::new(), None);
            }
            Some(Event::HoldSet(e)) => {
                let dose = e.dose_id.as_deref().map(|d| Id16(id16(d)));
                self.hold(entry, HOLD_SET, &e.reason, ids(&e.unit_ids), dose);
            }
            Some(Event::HoldLifted(e)) => {
                for hold in self.holds.iter_mut().filter(|h| h.id[..] == e.hold_id[..]) {
                    hold.lifted_by.get_or_insert(entry.record_id());
                }
            }
            Some(Event::RecallOpened(e)) => self.recall(entry, Across::Recall, RECALL_OPENED, &e.reason),
            Some(Event::LookBackOpened(e)) => self.recall(entry, Across::LookBack, LOOK_BACK_OPENED, &e.reason),
            Some(Event::RecallClosed(e)) => self.close_recall(entry, Across::Recall, &e.recall_id),
            Some(Event::LookBackClosed(e)) => self.close_recall(entry, Across::LookBack, &e.look_back_id),
            Some(Event::RecordAmended(e)) => self.amend(entry, e.target.as_ref(), false),
            Some(Event::RecordVoided(e)) => self.amend(entry, e.target.as_ref(), true),
            _ => {}
        }
    }

    /// Taking part lets a facility's people read the stream, so nobody may give that to themselves: holds, deviations and added
    /// signatures, which everyone may record everywhere, do not count. About a subject a facility begins to take part only with a record
    /// that one which takes part has signed too, or with what needs a slot of the sealed list or an order: randomising, allocating,
    /// dispensing. Who opened the stream takes part in any case.
    fn fold_facilities(&mut self, entry: &Entry) {
        let Some(event) = &entry.record.event else {
            return;
        };
        let by_anyone = matches!(
            event,
            Event::HoldSet(_)
                | Event::HoldLifted(_)
                | Event::RecallOpened(_)
                | Event::RecallClosed(_)
                | Event::LookBackOpened(_)
                | Event::LookBackClosed(_)
                | Event::DeviationOpened(_)
                | Event::DeviationClosed(_)
                | Event::ContainerEvent(_)
                | Event::DoseRejected(_)
                | Event::AdverseReactionReported(_)
                | Event::SignatureAdded(_)
                | Event::RecordAmended(_)
                | Event::RecordVoided(_)
                | Event::AuditNoted(_)
        );
        let signed_for: BTreeSet<Id16> = entry.record.slots.iter().map(|slot| Id16(id16(&slot.facility_id))).collect();
        let is_stranger = self.kind == StreamKind::Subject
            && !matches!(event, Event::SubjectRandomised(_) | Event::UnitsAllocated(_) | Event::DoseDispensed(_))
            && self.facilities.is_disjoint(&signed_for);
        if self.facilities.is_empty() || !by_anyone && !is_stranger {
            self.facilities.extend(signed_for);
        }
    }

    /// Holds and deviations that the record's flags bring about by themselves.
    fn fold_effects(&mut self, entry: &Entry) {
        for code in entry.flags.iter().filter_map(|n| codes::by_number(*n)) {
            if let Some(severity) = code.effect.deviation {
                self.open(entry, code.name, severity, code.demands);
            }
            if code.effect.holds.contains(&self.kind) {
                self.hold_by_rule(entry, code);
            }
        }
    }

    /// What held a stream because nothing had opened it is over once the record that opened it before comes.
    fn fold_opening(&mut self, entry: &Entry) {
        let opened = match entry.event() {
            Some(Event::DonorRegistered(_)) => StreamKind::Donor,
            Some(Event::LotOpened(_)) => StreamKind::Lot,
            Some(Event::SubjectConsented(_)) => StreamKind::Subject,
            _ => return,
        };
        let was_waiting = |hold: &&mut Hold| hold.code == STREAM_NOT_OPENED.name && hold.set_at_ms >= entry.occurred_at_ms();
        if opened == self.kind {
            for hold in self.holds.iter_mut().filter(was_waiting) {
                hold.lifted_by.get_or_insert(entry.record_id());
            }
        }
    }

    fn hold_by_rule(&mut self, entry: &Entry, code: &'static Code) {
        let reason = format!("not met: {}", code.demands);
        // A record that names a dose and no unit holds the whole stream, and so does an excursion that names a unit nobody knows here.
        let is_mistaken =
            matches!(entry.event(), Some(Event::TemperatureExcursion(_))) && entry.flags.contains(&UNIT_UNKNOWN.number);
        let of_units = code.effect.of_units && !is_mistaken;
        let units = entry.record.event.as_ref().filter(|_| of_units).map_or_else(Vec::new, units_of);
        match code.effect.across {
            Some(across) => self.recall(entry, across, code.name, &reason),
            None => self.hold(entry, code.name, &reason, units, None),
        }
    }

    /// A recall stops what it is about.
    fn recall(&mut self, entry: &Entry, across: Across, code: &'static str, reason: &str) {
        self.hold(entry, code, reason, Vec::new(), None);
        let id = derived_id(&entry.digest, code);
        self.recalls.push(Recall { id, across, code, reason: reason.to_owned(), record_id: entry.record_id(), closed_by: None });
    }

    fn close_recall(&mut self, entry: &Entry, across: Across, id: &[u8]) {
        for recall in self.recalls.iter_mut().filter(|recall| recall.across == across && recall.id[..] == *id) {
            recall.closed_by.get_or_insert(entry.record_id());
        }
    }

    fn amend(&mut self, entry: &Entry, target: Option<&AmendedRecord>, is_void: bool) {
        if let Some(target) = target {
            let version = Version { record_id: entry.record_id(), is_void };
            self.amended.insert(RecordId(id16(&target.record_id)), version);
        }
    }

    fn open(&mut self, entry: &Entry, code: &'static str, severity: Severity, description: &str) {
        self.deviations.push(Deviation {
            id: derived_id(&entry.digest, code),
            code,
            severity,
            description: description.to_owned(),
            record_id: entry.record_id(),
            closed_by: None,
        });
    }

    fn hold(&mut self, entry: &Entry, code: &'static str, reason: &str, unit_ids: Vec<Id16>, dose_id: Option<Id16>) {
        self.holds.push(Hold {
            id: derived_id(&entry.digest, code),
            code,
            reason: reason.to_owned(),
            record_id: entry.record_id(),
            set_at_ms: entry.occurred_at_ms(),
            unit_ids,
            dose_id,
            lifted_by: None,
        });
    }

    fn fold_owed(&mut self, entry: &Entry) {
        if let Some(Event::SignatureAdded(e)) = &entry.record.event {
            let slot = e.slot.unwrap_or(u32::MAX);
            self.owed.retain(|o| !(o.digest.0[..] == e.target_digest[..] && u32::from(o.slot) == slot));
            if let Some(target) = Digest::from_slice(&e.target_digest) {
                self.added.push((target, entry.signings.iter().map(|s| s.key_id).collect()));
            }
            return;
        }
        let Some(event) = &entry.record.event else {
            return;
        };
        if table::category(event) != table::Category::Fact {
            return;
        }
        for (number, slot) in (0u8..).zip(&entry.record.slots) {
            if entry.signings.iter().all(|s| s.slot != number) {
                self.owed.push(Owed {
                    record_id: entry.record_id(),
                    digest: entry.digest,
                    slot: number,
                    role: slot.role(),
                    meaning: slot.meaning(),
                    facility_id: Id16(id16(&slot.facility_id)),
                    unit_ids: units_of(event),
                });
            }
        }
    }
}

/// The units that a step after filling is about.
fn units_of(event: &Event) -> Vec<Id16> {
    match event {
        Event::UnitsThawed(e) => e.units.iter().map(|unit| Id16(id16(&unit.unit_id))).collect(),
        Event::DosePrepared(e) => e.contributions.iter().map(|part| Id16(id16(&part.unit_id))).collect(),
        Event::CustodyRefused(e) => ids(&e.unit_ids),
        Event::ContainerEvent(e) => ids(&e.unit_ids),
        Event::UnitsReturned(e) => ids(&e.unit_ids),
        Event::UnitsDestroyed(e) => ids(&e.unit_ids),
        Event::TemperatureExcursion(e) => ids(&e.unit_ids),
        _ => Vec::new(),
    }
}

fn ids(units: &[Vec<u8>]) -> Vec<Id16> {
    units.iter().map(|unit| Id16(id16(unit))).collect()
}
