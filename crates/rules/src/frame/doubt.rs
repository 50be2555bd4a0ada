//! Doubt: what was signed with a key that was in other hands by then stands until somebody asks for it, and carries no decision until QA and
//! somebody with its role have reaffirmed it. A key that such a record brought into the ledger makes what it signs doubtful as well.

use std::collections::BTreeSet;

use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, StreamKind};

use crate::codes::frame as codes;
use crate::context::Context;
use crate::finding::Look;
use crate::index::id16;
use crate::state::upkeep::{SignedRecord, Upkeep};
use crate::state::{Authority, Donor, Lot, Subject};
use crate::table::Category;
use crate::view::View;

/// Records of a stream that are in doubt.
pub fn records_in_doubt<'u>(authority: &Authority, upkeep: &'u Upkeep) -> Vec<&'u SignedRecord> {
    // Nearly always there is none, and streams are long.
    if !authority.has_doubt() {
        return Vec::new();
    }
    let is_in_doubt = authority.doubts();
    let is_void = |record: &SignedRecord| {
        let version = upkeep.amended.get(&record.record_id).filter(|version| version.is_void);
        let by = version.and_then(|version| upkeep.signed.iter().find(|by| by.record_id == version.record_id));
        by.is_some_and(|by| !is_in_doubt(by))
    };
    // What was voided by people whose keys were their own says nothing any more.
    upkeep.signed.iter().filter(|record| is_in_doubt(record) && !is_void(record)).collect()
}

/// Collects what is in doubt of what a decision rests on.
pub(crate) struct Doubt<'a> {
    view: &'a dyn View,
    authority: &'a Authority,
    records: BTreeSet<RecordId>,
}

impl<'a> Doubt<'a> {
    pub(crate) fn new(view: &'a dyn View, authority: &'a Authority) -> Doubt<'a> {
        Doubt { view, authority, records: BTreeSet::new() }
    }

    /// The records in doubt.
    pub(crate) fn into_records(self) -> BTreeSet<RecordId> {
        self.records
    }

    fn ask(&mut self, upkeep: &Upkeep) {
        self.records.extend(records_in_doubt(self.authority, upkeep).iter().map(|record| record.record_id));
    }

    fn donor(&mut self, donor: &Donor) {
        self.ask(&donor.upkeep);
    }

    /// A lot with its donor, its specification, what it was made with, and the devices that it is kept in.
    pub(crate) fn lot(&mut self, lot: &Lot) {
        self.ask(&lot.upkeep);
        if let Some(donor) = lot.donor_id.and_then(|donor| self.view.donor(&donor)) {
            self.donor(&donor);
        }
        let reference = lot.specification().map(|reference| Id16(id16(&reference.id)));
        if let Some(specification) = reference.and_then(|id| self.view.specification(&id)) {
            self.ask(&specification.upkeep);
        }
        for used in &lot.materials {
            self.reagents(&used.facility_id, &used.materials.reagent_lot_ids);
        }
        let made_with = lot.materials.iter().flat_map(|used| &used.materials.equipment_ids).map(|id| Id16(id16(id)));
        let kept_in = lot.units.values().flat_map(|unit| &unit.stays).filter_map(|stay| stay.equipment_id);
        for device in made_with.chain(kept_in).collect::<BTreeSet<_>>() {
            if let Some(device) = self.view.equipment(&device) {
                self.ask(&device.upkeep);
            }
        }
    }

    /// What is recorded of these reagent lots; another lot's record in the facility's stream says nothing of them.
    fn reagents(&mut self, facility_id: &Id16, ids: &[Vec<u8>]) {
        let Some(facility) = self.view.facility(facility_id) else { return };
        let about: BTreeSet<RecordId> = ids
            .iter()
            .filter_map(|id| facility.reagents.get(&Id16(id16(id))))
            .flat_map(|reagent| [Some(reagent.record_id), reagent.released.map(|(record, _)| record)].into_iter().flatten())
            .collect();
        let doubted = records_in_doubt(self.authority, &facility.upkeep);
        self.records.extend(doubted.iter().map(|record| record.record_id).filter(|record| about.contains(record)));
    }

    /// A subject with its trial's protocol.
    pub(crate) fn subject(&mut self, subject: &Subject) {
        self.ask(&subject.upkeep);
        if let Some(protocol) = subject.protocol().and_then(|(id, _)| self.view.protocol(&id)) {
            self.ask(&protocol.upkeep);
        }
    }
}

/// What undoes: it takes away what a decision could rest on, and nobody need trust the record that it takes away.
fn undoes(event: &Event) -> bool {
    matches!(
        event,
        Event::RecordAmended(_)
            | Event::RecordVoided(_)
            | Event::OrderCancelled(_)
            | Event::AllocationReleased(_)
            | Event::TrialClosed(_)
    )
}

pub(super) fn check(c: &mut Context<'_>, event: &Event) {
    if c.category != Category::Authorisation {
        return;
    }
    let authority = c.authority.clone();
    if !authority.has_doubt() {
        return;
    }
    let mut doubt = Doubt::new(c.view, &authority);
    // Who decides with a key that was granted by somebody else's hand may be somebody else, too.
    let granted: Vec<RecordId> =
        c.signers.iter().filter_map(|signer| authority.key(&signer.key_id)).map(|key| key.granted_by).collect();
    let grants = authority.grants_in_doubt();
    // Of those who reaffirm one beyond doubt is enough, as long as nobody reaffirms the grant of their own key.
    let is_freed = |e: &pb::RecordReaffirmed| {
        let names_own = e.records.iter().any(|named| granted.contains(&RecordId(id16(&named.record_id))));
        !names_own && granted.iter().any(|grant| !grants.contains(grant))
    };
    if !matches!(event, Event::RecordReaffirmed(e) if is_freed(e)) {
        doubt.records.extend(granted.iter().filter(|grant| grants.contains(grant)));
    }
    if !undoes(event) {
        for stream in &c.record.streams {
            let id = Id16(id16(&stream.id));
            match stream.kind() {
                StreamKind::Donor => c.view.donor(&id).iter().for_each(|donor| doubt.donor(donor)),
                StreamKind::Subject => c.view.subject(&id).iter().for_each(|subject| doubt.subject(subject)),
                StreamKind::Lot => c.view.lot(&id).iter().for_each(|lot| doubt.lot(lot)),
                StreamKind::Protocol => c.view.protocol(&id).iter().for_each(|protocol| doubt.ask(&protocol.upkeep)),
                StreamKind::Specification => c.view.specification(&id).iter().for_each(|s| doubt.ask(&s.upkeep)),
                _ => {}
            }
        }
        for subject in subjects_of_thaw(c, event) {
            c.view.subject(&subject).iter().for_each(|subject| doubt.subject(subject));
        }
    }
    for record in doubt.into_records() {
        c.find(
            &codes::RECORD_IN_DOUBT,
            format!("record {record} was signed with a key that was compromised at the time, or granted with one"),
            "records signed with keys that were in their holder's hands",
            vec![Look::Record(record)],
        );
    }
}

/// The subjects that units are thawed for: a thaw extends their lots alone.
fn subjects_of_thaw(c: &Context<'_>, event: &Event) -> BTreeSet<Id16> {
    let Event::ThawOrdered(e) = event else { return BTreeSet::new() };
    let units: BTreeSet<Id16> = e.unit_ids.iter().map(|unit| Id16(id16(unit))).collect();
    let lots: Vec<_> = c.stream_ids(StreamKind::Lot).filter_map(|lot| c.view.lot(&lot)).collect();
    let of_lot = lots.iter().flat_map(|lot| lot.units.values());
    of_lot.filter(|unit| units.contains(&unit.id)).filter_map(|unit| unit.allocation).map(|a| a.subject_id).collect()
}
