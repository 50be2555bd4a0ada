//! Look-ups across streams: which record or thing a code, a donation number, a unit or a place belongs to.
//!
//! An index is computed from accepted records alone and can be thrown away and rebuilt. Keys are bytes so that a store needs to know
//! nothing of cells.

use marrowline_record::entry::Entry;
use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{Location, StreamKind};

use crate::codes::donor::{DIN_USED_BEFORE, DONOR_CODE_REUSED, DONOR_CODE_TAKEN};
use crate::codes::lot::{EXCURSION_WITHOUT_LOT, LOCATION_TAKEN, LOT_CODE_REUSED, LOT_CODE_TAKEN};
use crate::codes::subject::{SUBJECT_CODE_REUSED, SUBJECT_CODE_TAKEN};
use crate::view::View;

/// What is looked up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IndexKey {
    /// Record by digest; value: record id.
    Digest([u8; 32]),
    /// First use of a donation number; value: the donor's id.
    Din(String),
    /// Last use of a donation number; value: the donor's id. Differs from the first use if two donors were given one number.
    DinLast(String),
    /// The lot of a unit; value: the lot's id. Ask [`lot_of_unit`].
    Unit([u8; 16]),
    /// The last lot that a unit was filled in; differs from the first if that record was wrong.
    UnitLast([u8; 16]),
    /// The subject of a dose; value: the subject's id. Ask [`subject_of_dose`].
    Dose([u8; 16]),
    /// Who was put last into a freezer place, or last while it was free; value: the unit's id. They differ once a second unit was put there.
    Place {
        /// The facility.
        facility: [u8; 16],
        /// The rack.
        rack: String,
        /// The position.
        position: String,
        /// While it was free.
        free: bool,
    },
    /// The device whose excursion named a unit first, or last; value: the device's id.
    Warmed {
        /// The unit.
        unit: [u8; 16],
        /// The last one.
        last: bool,
    },
    /// A stream; value: its id. Its first record writes it, so that all streams of a kind can be listed.
    Stream {
        /// Number of the kind.
        kind: u8,
        /// The id.
        id: [u8; 16],
    },
    /// A record that names an evidence file.
    Evidence {
        /// SHA-256 of the file.
        digest: [u8; 32],
        /// The record.
        record: [u8; 16],
    },
    /// A lot that a reagent lot or a device was used for.
    Use {
        /// The reagent lot or device.
        thing: [u8; 16],
        /// The lot.
        lot: [u8; 16],
    },
    /// The subject of an order; value: the subject's id.
    Order([u8; 16]),
    /// Last preparation of a dose with this id; value: its record's id. Differs from the dose's own record exactly if two doses were
    /// given one id.
    DoseLast([u8; 16]),
    /// Last preparation of a dose with this code on its label; value: its record's id.
    DoseCodeLast(String),
    /// First preparation that names a unit, whichever lots it extends; value: its record's id.
    Preparation([u8; 16]),
    /// Last preparation that names a unit; value: its record's id.
    PreparationLast([u8; 16]),
    /// A human code of a kind of thing (donor, lot, subject, unit, dose, facility, trial registration); value: the thing's id.
    Code {
        /// One of the `CODE_*` constants.
        kind: u8,
        /// The code.
        code: String,
    },
    /// A donation number, or the code of a donor, lot or subject, that was given to one more although somebody had it, as the flag says; value:
    /// the first one more, or the last. Who had it first is found under [`IndexKey::Din`] or [`IndexKey::Code`].
    Again {
        /// One of the `CODE_*` constants.
        kind: u8,
        /// The code.
        code: String,
        /// The last one more, or the first.
        last: bool,
    },
}

/// Kind of human code: donor.
pub const CODE_DONOR: u8 = 1;
/// Kind of human code: lot.
pub const CODE_LOT: u8 = 2;
/// Kind of human code: subject.
pub const CODE_SUBJECT: u8 = 3;
/// Kind of human code: unit.
pub const CODE_UNIT: u8 = 4;
/// Kind of human code: dose.
pub const CODE_DOSE: u8 = 5;
/// Kind of human code: trial registration.
pub const CODE_TRIAL: u8 = 6;
/// Kind of human code: product.
pub const CODE_PRODUCT: u8 = 7;
/// Kind of human code: donation number.
pub const CODE_DONATION: u8 = 8;

impl IndexKey {
    /// The key of a freezer place. Which device a rack is in does not make it another place.
    pub fn of_place(location: &Location, free: bool) -> IndexKey {
        IndexKey::Place {
            facility: id16(&location.facility_id),
            rack: location.rack.clone(),
            position: location.position.clone(),
            free,
        }
    }

    /// Whether the record gave something its name: it is looked up by it for ever, and an amendment says the same.
    pub(crate) fn is_name(&self) -> bool {
        use IndexKey::{Code, Din, Dose, Order, Unit};
        matches!(self, Din(_) | Unit(_) | Dose(_) | Order(_) | Code { .. })
    }

    /// Whether it may be another one in another version of the record.
    fn is_of_the_version(&self) -> bool {
        use IndexKey::{Evidence, Place, Preparation, PreparationLast, Use, Warmed};
        matches!(self, Place { .. } | Preparation(_) | PreparationLast(_) | Warmed { .. } | Use { .. } | Evidence { .. })
    }

    /// The key as bytes: a tag, then fields, strings followed by a zero byte.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(40);
        match self {
            IndexKey::Digest(digest) => {
                out.push(1);
                out.extend_from_slice(digest);
            }
            IndexKey::Din(din) => {
                out.push(2);
                out.extend_from_slice(din.as_bytes());
            }
            IndexKey::DinLast(din) => {
                out.push(7);
                out.extend_from_slice(din.as_bytes());
            }
            IndexKey::Unit(id) => {
                out.push(3);
                out.extend_from_slice(id);
            }
            IndexKey::Dose(id) => {
                out.push(4);
                out.extend_from_slice(id);
            }
            IndexKey::UnitLast(id) => {
                out.push(11);
                out.extend_from_slice(id);
            }
            IndexKey::Warmed { unit, last } => {
                out.push(if *last { 32 } else { 31 });
                out.extend_from_slice(unit);
            }
            IndexKey::Place { facility, rack, position, free } => {
                out.push(if *free { 33 } else { 5 });
                out.extend_from_slice(facility);
                out.extend_from_slice(rack.as_bytes());
                out.push(0);
                out.extend_from_slice(position.as_bytes());
            }
            IndexKey::Stream { kind, id } => {
                out.push(8);
                out.push(*kind);
                out.extend_from_slice(id);
            }
            IndexKey::Evidence { digest, record } => {
                out.push(9);
                out.extend_from_slice(digest);
                out.extend_from_slice(record);
            }
            IndexKey::Use { thing, lot } => {
                out.push(10);
                out.extend_from_slice(thing);
                out.extend_from_slice(lot);
            }
            IndexKey::Order(id) => tagged(&mut out, 21, id),
            IndexKey::DoseLast(id) => tagged(&mut out, 22, id),
            IndexKey::DoseCodeLast(code) => tagged(&mut out, 23, code.as_bytes()),
            IndexKey::Preparation(id) => tagged(&mut out, 24, id),
            IndexKey::PreparationLast(id) => tagged(&mut out, 25, id),
            IndexKey::Code { kind, code } => {
                out.push(6);
                out.push(*kind);
                out.extend_from_slice(code.as_bytes());
            }
            IndexKey::Again { kind, code, last } => {
                out.push(12);
                out.push(*kind);
                out.push(u8::from(*last));
                out.extend_from_slice(code.as_bytes());
            }
        }
        out
    }
}

fn tagged(out: &mut Vec<u8>, tag: u8, field: &[u8]) {
    out.push(tag);
    out.extend_from_slice(field);
}

/// A change of an index by one accepted record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexWrite {
    /// The key.
    pub key: IndexKey,
    /// The value; the first one stays where `first_wins`.
    pub value: [u8; 16],
    /// Whether an existing value stays.
    pub first_wins: bool,
}

/// The index changes that an accepted record brings.
pub fn writes(entry: &Entry) -> Vec<IndexWrite> {
    let mut out = vec![IndexWrite { key: IndexKey::Digest(entry.digest.0), value: entry.record_id().0, first_wins: true }];
    // Who has seen no head of a stream opened it, or knew no better: the first one stays.
    for stream in entry.record.streams.iter().filter(|stream| stream.head.is_none()) {
        let id = id16(&stream.id);
        let key = IndexKey::Stream { kind: u8::try_from(stream.kind).unwrap_or(0), id };
        out.push(IndexWrite { key, value: id, first_wins: true });
    }
    let Some(event) = &entry.record.event else {
        return out;
    };
    out.extend(last_writes(entry, event));
    let mut first = |key, value| {
        out.push(IndexWrite { key, value, first_wins: true });
    };
    if let Some(digest) = evidence(event).and_then(|digest| digest.try_into().ok()) {
        let record = entry.record_id().0;
        first(IndexKey::Evidence { digest, record }, record);
    }
    if let Some(Some(materials)) = crate::state::lot::fold::materials_of(event) {
        let lot = entry.stream_id(marrowline_record::pb::StreamKind::Lot);
        for thing in materials.reagent_lot_ids.iter().chain(&materials.equipment_ids) {
            first(IndexKey::Use { thing: id16(thing), lot }, lot);
        }
    }
    let code = |kind, code: &str| IndexKey::Code { kind, code: code.to_owned() };
    use marrowline_record::pb::StreamKind::{Donor, Lot, Protocol, Specification, Subject};
    match event {
        Event::ProtocolPublished(e) => first(code(CODE_TRIAL, &e.registration), entry.stream_id(Protocol)),
        Event::SpecificationPublished(e) => first(code(CODE_PRODUCT, &e.product_code), entry.stream_id(Specification)),
        Event::DonorRegistered(e) => first(code(CODE_DONOR, &e.donor_code), entry.stream_id(Donor)),
        Event::MarrowCollected(e) => {
            first(IndexKey::Din(e.din.clone()), entry.stream_id(Donor));
            out.push(IndexWrite { key: IndexKey::DinLast(e.din.clone()), value: entry.stream_id(Donor), first_wins: false });
        }
        Event::LotOpened(e) => first(code(CODE_LOT, &e.lot_code), entry.stream_id(Lot)),
        Event::SubjectConsented(e) => first(code(CODE_SUBJECT, &e.subject_code), entry.stream_id(Subject)),
        Event::UnitsFilled(e) => {
            for unit in &e.units {
                let id = id16(&unit.unit_id);
                first(IndexKey::Unit(id), entry.stream_id(Lot));
                first(code(CODE_UNIT, &unit.unit_code), id);
            }
        }
        Event::DoseOrdered(e) => first(IndexKey::Order(id16(&e.order_id)), entry.stream_id(Subject)),
        Event::DosePrepared(e) => {
            let id = id16(&e.dose_id);
            first(IndexKey::Dose(id), entry.stream_id(Subject));
            first(code(CODE_DOSE, &e.dose_code), id);
            out.extend(preparation(entry, e));
        }
        Event::RecordAmended(e) => out.extend(amended(entry, e)),
        Event::UnitsMoved(e) => {
            let is_taken = entry.flags.contains(&LOCATION_TAKEN.number);
            for place in &e.places {
                for free in [false, true] {
                    if let Some(location) = place.location.as_ref().filter(|_| !free || !is_taken) {
                        let key = IndexKey::of_place(location, free);
                        out.push(IndexWrite { key, value: id16(&place.unit_id), first_wins: false });
                    }
                }
            }
        }
        // An excursion on the units' own lots stands in these: it would hide the one that has to be found here.
        Event::TemperatureExcursion(e) if leaves_lots_out(entry) => {
            let device = entry.stream_id(marrowline_record::pb::StreamKind::Equipment);
            for unit in e.unit_ids.iter().map(|unit| id16(unit)) {
                for last in [false, true] {
                    out.push(IndexWrite { key: IndexKey::Warmed { unit, last }, value: device, first_wins: !last });
                }
            }
        }
        _ => {}
    }
    out.extend(given_again(entry, event));
    out
}

/// Whether an excursion is on the device alone, or names units of other lots than it extends.
fn leaves_lots_out(entry: &Entry) -> bool {
    let has_lot = entry.record.streams.iter().any(|stream| stream.kind() == marrowline_record::pb::StreamKind::Lot);
    !has_lot || entry.flags.contains(&EXCURSION_WITHOUT_LOT.number)
}

/// Who claimed a unit last: the one that counts if the first one's record was voided and recorded anew elsewhere.
fn last_writes(entry: &Entry, event: &Event) -> Vec<IndexWrite> {
    use marrowline_record::pb::StreamKind::Lot;
    let last = |key, value| IndexWrite { key, value, first_wins: false };
    match event {
        Event::UnitsFilled(e) => {
            let units = e.units.iter().map(|unit| IndexKey::UnitLast(id16(&unit.unit_id)));
            units.map(|key| last(key, entry.stream_id(Lot))).collect()
        }
        _ => Vec::new(),
    }
}

/// The lot that a unit is in: of the first and the last that it was filled in the one that has it still. A record that is voided takes
/// its units away, in whichever order it is voided and recorded anew.
pub fn lot_of_unit(view: &dyn View, unit_id: &Id16) -> Option<Id16> {
    let first = view.lookup(&IndexKey::Unit(unit_id.0)).map(Id16)?;
    let has = |lot: &Id16| view.lot(lot).is_some_and(|lot| lot.units.contains_key(unit_id));
    let last = || view.lookup(&IndexKey::UnitLast(unit_id.0)).map(Id16);
    // A lot that cannot be seen is told by its id: whoever asks for it learns that it is not shown.
    if has(&first) { Some(first) } else { last().filter(has).or(Some(first)) }
}

/// Whether a unit is some lot's: one that was filled by mistake, and whose record was voided, is nobody's. A lot that cannot be seen may
/// have it.
pub fn is_unit(view: &dyn View, unit_id: &Id16) -> bool {
    lot_of_unit(view, unit_id).is_some_and(|lot| view.lot(&lot).is_none_or(|lot| lot.units.contains_key(unit_id)))
}

/// Whether a dose is some subject's, as [`is_unit`].
pub fn is_dose(view: &dyn View, dose_id: &Id16) -> bool {
    subject_of_dose(view, dose_id).is_some_and(|id| view.subject(&id).is_none_or(|subject| subject.dose(dose_id).is_some()))
}

/// The subject that a dose was prepared for: of the first and the last the one that has it still.
pub fn subject_of_dose(view: &dyn View, dose_id: &Id16) -> Option<Id16> {
    let first = view.lookup(&IndexKey::Dose(dose_id.0)).map(Id16)?;
    let has = |subject: &Id16| view.subject(subject).is_some_and(|subject| subject.dose(dose_id).is_some());
    let last = || {
        let record = view.lookup(&IndexKey::DoseLast(dose_id.0)).map(RecordId)?;
        view.entry(&record).map(|entry| Id16(entry.stream_id(marrowline_record::pb::StreamKind::Subject)))
    };
    if has(&first) { Some(first) } else { last().filter(has).or(Some(first)) }
}

/// What an amended record says of places, units, materials and evidence is looked up as of any other; whatever a record gave a name to
/// keeps it.
fn amended(entry: &Entry, e: &marrowline_record::pb::RecordAmended) -> Vec<IndexWrite> {
    let Ok(record) = marrowline_record::decode(&e.replacement) else {
        return Vec::new();
    };
    let amended = Entry { record: std::sync::Arc::new(record), ..entry.clone() };
    writes(&amended).into_iter().filter(|write| write.key.is_of_the_version()).collect()
}

/// What a preparation is found by. Its record may extend the wrong lots, so that those of its units never learn of the dose.
fn preparation(entry: &Entry, e: &marrowline_record::pb::DosePrepared) -> Vec<IndexWrite> {
    let value = entry.record_id().0;
    let last = |key| IndexWrite { key, value, first_wins: false };
    let mut out = vec![last(IndexKey::DoseLast(id16(&e.dose_id))), last(IndexKey::DoseCodeLast(e.dose_code.clone()))];
    for contribution in &e.contributions {
        let unit = id16(&contribution.unit_id);
        // Not one of the names that an amendment has to keep: it may be about the units.
        out.push(IndexWrite { key: IndexKey::Preparation(unit), value, first_wins: true });
        out.push(last(IndexKey::PreparationLast(unit)));
    }
    out
}

/// Who was given a code that somebody has, or had before their record was voided, is flagged for it. A later record of whoever had it first is
/// not, and so hides nobody.
fn given_again(entry: &Entry, event: &Event) -> Vec<IndexWrite> {
    let (flags, kind, code, stream) = match event {
        Event::MarrowCollected(e) => ([&DIN_USED_BEFORE; 2], CODE_DONATION, &e.din, StreamKind::Donor),
        Event::DonorRegistered(e) => ([&DONOR_CODE_TAKEN, &DONOR_CODE_REUSED], CODE_DONOR, &e.donor_code, StreamKind::Donor),
        Event::LotOpened(e) => ([&LOT_CODE_TAKEN, &LOT_CODE_REUSED], CODE_LOT, &e.lot_code, StreamKind::Lot),
        Event::SubjectConsented(e) => {
            ([&SUBJECT_CODE_TAKEN, &SUBJECT_CODE_REUSED], CODE_SUBJECT, &e.subject_code, StreamKind::Subject)
        }
        _ => return Vec::new(),
    };
    if !flags.iter().any(|flag| entry.flags.contains(&flag.number)) {
        return Vec::new();
    }
    let value = entry.stream_id(stream);
    let write = |last: bool| IndexWrite { key: IndexKey::Again { kind, code: code.clone(), last }, value, first_wins: !last };
    vec![write(false), write(true)]
}

/// Whom else a code was given to.
pub(crate) enum Holder {
    /// Somebody who has it.
    Has(Id16),
    /// Somebody whose record with it is void.
    Had,
}

/// Who else was given a code, of those who were given it first, one more time, and last. Who cannot be seen has it.
pub(crate) fn holder(view: &dyn View, kind: u8, code: &str, this: &Id16, has_it: impl Fn(&Id16) -> bool) -> Option<Holder> {
    let again = |last| IndexKey::Again { kind, code: code.to_owned(), last };
    let keys = [IndexKey::Code { kind, code: code.to_owned() }, again(false), again(true)];
    let others: Vec<Id16> = keys.iter().filter_map(|key| view.lookup(key).map(Id16)).filter(|other| other != this).collect();
    let had = (!others.is_empty()).then_some(Holder::Had);
    others.into_iter().find(has_it).map(Holder::Has).or(had)
}

/// The digest of the file that a record is evidenced by.
pub fn evidence(event: &Event) -> Option<&[u8]> {
    match event {
        Event::DonorConsented(e) => Some(&e.document_digest),
        Event::SubjectConsented(e) => Some(&e.document_digest),
        Event::ConsentWithdrawn(e) => e.document_digest.as_deref(),
        Event::ExceptionalRelease(e) => Some(&e.document_digest),
        Event::TestResultReported(e) => e.evidence_digest.as_deref(),
        Event::ReagentReceived(e) => Some(&e.certificate_digest),
        _ => None,
    }
}

/// A 16-byte field as an array; a field of another length never passes the shape check, so zeros are never seen.
pub(crate) fn id16(bytes: &[u8]) -> [u8; 16] {
    bytes.try_into().unwrap_or([0; 16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_kinds_of_key_begin_alike() {
        let (id, code) = ([7; 16], || "7".to_owned());
        let place = |free| IndexKey::Place { facility: id, rack: code(), position: code(), free };
        let keys = [
            IndexKey::Digest([7; 32]),
            IndexKey::Din(code()),
            IndexKey::DinLast(code()),
            IndexKey::Unit(id),
            IndexKey::UnitLast(id),
            IndexKey::Dose(id),
            IndexKey::DoseLast(id),
            IndexKey::DoseCodeLast(code()),
            IndexKey::Preparation(id),
            IndexKey::PreparationLast(id),
            IndexKey::Order(id),
            place(false),
            place(true),
            IndexKey::Stream { kind: 1, id },
            IndexKey::Evidence { digest: [7; 32], record: id },
            IndexKey::Use { thing: id, lot: id },
            IndexKey::Code { kind: 1, code: code() },
            IndexKey::Warmed { unit: id, last: false },
            IndexKey::Warmed { unit: id, last: true },
            IndexKey::Again { kind: 1, code: code(), last: false },
        ];
        let tags: std::collections::BTreeSet<u8> = keys.iter().map(|key| key.to_bytes()[0]).collect();
        assert_eq!(tags.len(), keys.len());
    }
}
