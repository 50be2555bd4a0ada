//! Look-ups across streams: which record or thing a code, a donation number, a unit or a place belongs to.
//!
//! An index is computed from accepted records alone and can be thrown away and rebuilt. Keys are bytes so that a store needs to know
//! nothing of cells.

use marrowline_record::entry::Entry;
use marrowline_record::pb::record::Event;

/// What is looked up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IndexKey {
    /// Record by digest; value: record id.
    Digest([u8; 32]),
    /// First use of a donation number; value: the donor's id.
    Din(String),
    /// Last use of a donation number; value: the donor's id. Differs from the first use exactly if two donors were given one number.
    DinLast(String),
    /// The lot of a unit; value: the lot's id.
    Unit([u8; 16]),
    /// The subject of a dose; value: the subject's id.
    Dose([u8; 16]),
    /// Who was put last into a freezer place; value: the unit's id.
    Place {
        /// The facility.
        facility: [u8; 16],
        /// The rack.
        rack: String,
        /// The position.
        position: String,
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

impl IndexKey {
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
            IndexKey::Place { facility, rack, position } => {
                out.push(5);
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
            for place in &e.places {
                if let Some(location) = &place.location {
                    out.push(IndexWrite {
                        key: IndexKey::Place {
                            facility: id16(&location.facility_id),
                            rack: location.rack.clone(),
                            position: location.position.clone(),
                        },
                        value: id16(&place.unit_id),
                        first_wins: false,
                    });
                }
            }
        }
        _ => {}
    }
    out
}

/// Places of an amended move and units of an amended preparation are looked up as any others; whatever a record gave a name to keeps it.
fn amended(entry: &Entry, e: &marrowline_record::pb::RecordAmended) -> Vec<IndexWrite> {
    let Ok(record) = marrowline_record::decode(&e.replacement) else {
        return Vec::new();
    };
    let amended = Entry { record: std::sync::Arc::new(record), ..entry.clone() };
    let is_changed =
        |key: &IndexKey| matches!(key, IndexKey::Place { .. } | IndexKey::Preparation(_) | IndexKey::PreparationLast(_));
    writes(&amended).into_iter().filter(|write| is_changed(&write.key)).collect()
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
