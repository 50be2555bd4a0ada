//! Every code of a malformed record has bytes that produce it, and where there is a bound, its other side is accepted.

use std::collections::BTreeSet;

use marrowline_record::pb::record::Event;
use marrowline_record::{Malformed, MalformedCode as Code, decode, encode, pb};

use crate::bytes::{delimited, fields, number, replaced, varint, weighing, with_after, with_event, with_event_bytes};

pub struct Case {
    pub name: String,
    pub bytes: Vec<u8>,
    pub code: Code,
    pub path: &'static str,
}

fn case(name: &str, bytes: Vec<u8>, code: Code, path: &'static str) -> Case {
    Case { name: name.to_owned(), bytes, code, path }
}

fn changed(name: &str, code: Code, path: &'static str, change: impl FnOnce(&mut pb::Record)) -> Case {
    let mut record = weighing();
    change(&mut record);
    case(name, encode(&record), code, path)
}

fn noted(note: &str) -> pb::Record {
    pb::Record { note: Some(note.to_owned()), ..weighing() }
}

fn ordered_dose(planned_duration_seconds: u32) -> Event {
    Event::DoseOrdered(pb::DoseOrdered {
        order_id: vec![1; 16],
        target_viable_cells_per_kg: 1_000_000,
        weighing_record_id: vec![2; 16],
        planned_duration_seconds,
    })
}

fn collected(din: &str) -> Event {
    Event::MarrowCollected(pb::MarrowCollected {
        din: din.to_owned(),
        aspirate_microlitres: Some(30_000),
        site: "posterior iliac crest".to_owned(),
        anticoagulant: "heparin".to_owned(),
        chain_of_identity: None,
    })
}

fn reported(value: &str) -> Event {
    Event::DonorTestReported(pb::DonorTestReported {
        test_code: "HIV".to_owned(),
        method: "NAT".to_owned(),
        sampled_at: Some(pb::Instant { unix_ms: 1, offset_minutes: 0 }),
        result: Some(pb::TestResult {
            kind: pb::ResultKind::Quantitative.into(),
            value: Some(value.to_owned()),
            unit_ucum: Some("[iU]/mL".to_owned()),
            comparator: Some(pb::Comparator::Less.into()),
        }),
    })
}

fn consented(scope: Vec<i32>) -> Event {
    Event::DonorConsented(pb::DonorConsented {
        consent_version: "v3".to_owned(),
        scope,
        document_digest: vec![7; 32],
        withdrawal_effect: pb::WithdrawalEffect::KeepUnits.into(),
    })
}

fn prepared(dose_code: &str) -> Event {
    Event::DosePrepared(pb::DosePrepared {
        dose_id: vec![8; 16],
        dose_code: dose_code.to_owned(),
        order_id: vec![7; 16],
        contributions: vec![pb::Contribution { unit_id: vec![5; 16], total_cells: 80_000_000, volume_microlitres: 10_000 }],
        total_cells: 80_000_000,
        viability_basis_points: Some(9_000),
        diluent: "saline".to_owned(),
        volume_microlitres: 100_000,
        dmso_milligrams: Some(1_000),
        expires_at: Some(pb::Instant { unix_ms: 1, offset_minutes: 0 }),
        chain_of_identity: None,
    })
}

/// A filling whose only unit has a Single European Code.
fn coded(code: &str) -> Event {
    let mut event = filled("07945", 1);
    if let Event::UnitsFilled(e) = &mut event {
        e.units[0].single_european_code = Some(code.to_owned());
    }
    event
}

/// A collection with a Chain of Identity identifier.
fn in_chain(identifier: &str) -> Event {
    let mut event = collected("G123498654321H");
    if let Event::MarrowCollected(e) = &mut event {
        e.chain_of_identity = Some(identifier.to_owned());
    }
    event
}

fn filled(unit_code: &str, units: usize) -> Event {
    let unit = pb::FilledUnit {
        unit_id: vec![5; 16],
        unit_code: unit_code.to_owned(),
        total_cells: 50_000_000,
        volume_microlitres: 10_000,
        single_european_code: None,
    };
    Event::UnitsFilled(pb::UnitsFilled {
        materials: None,
        harvest_id: vec![6; 16],
        units: vec![unit; units],
        containers_taken: 1,
        containers_broken: Some(0),
        containers_returned: Some(0),
        cells: Some(pb::CellBalance {
            cells_in: Some(50_000_000),
            cells_out: Some(50_000_000),
            cells_sampled: Some(0),
            cells_discarded: Some(0),
            cells_unaccounted: Some(0),
        }),
        viability_basis_points: Some(9_500),
        dmso_basis_points: Some(1_000),
        freezer_run: "RUN-1".to_owned(),
    })
}

fn founded(name: &str) -> pb::Record {
    let mut record = marrowline_record::testing::sample(marrowline_record::EventKind::LedgerFounded, 1);
    let Some(Event::LedgerFounded(event)) = &mut record.event else { unreachable!() };
    event.name = name.to_owned();
    record.origin = name.to_owned();
    record
}

fn wire_cases() -> Vec<Case> {
    let whole = encode(&weighing());
    let weighed = |bytes: Vec<u8>| with_event_bytes(233, &bytes);
    let swapped = {
        let mut fields = fields();
        fields.swap(1, 2);
        fields.into_iter().flat_map(|(_, bytes)| bytes).collect()
    };
    let cut = whole[..whole.len() - 1].to_vec();
    let instant = |bytes: Vec<u8>| replaced(5, delimited(5, &bytes));
    vec![
        case("8193 bytes", vec![0; 8193], Code::RecordTooLarge, ""),
        case("last byte missing", cut, Code::RecordTruncated, "subject_weighed"),
        case("number cut off", with_after(233, vec![0x80]), Code::RecordTruncated, ""),
        case("nested length beyond its message", weighed(vec![0x0a, 0x05]), Code::WireTypeWrong, "subject_weighed.weight_grams"),
        case(
            "number of 11 bytes",
            instant([varint(1 << 3), vec![0xff; 10], vec![1]].concat()),
            Code::VarintTooLong,
            "occurred_at.unix_ms",
        ),
        case(
            "number of 65 bits",
            instant([varint(1 << 3), vec![0xff; 9], vec![3]].concat()),
            Code::VarintTooLong,
            "occurred_at.unix_ms",
        ),
        case("number as bytes", weighed(delimited(1, b"x")), Code::WireTypeWrong, "subject_weighed.weight_grams"),
        case("bytes as number", replaced(2, number(2, 7)), Code::WireTypeWrong, "record_id"),
        case(
            "fixed 64-bit number",
            weighed([varint(1 << 3 | 1), vec![0; 8]].concat()),
            Code::WireTypeWrong,
            "subject_weighed.weight_grams",
        ),
        case("unpacked numbers", with_event_bytes(151, &number(2, 1)), Code::WireTypeWrong, "donor_consented.scope"),
        case("unknown field", with_after(6, delimited(9, b"x")), Code::FieldUnknown, ""),
        case("unknown field at the end", with_after(233, delimited(999, b"")), Code::FieldUnknown, ""),
        case(
            "unknown nested field",
            weighed([number(1, 70_000), number(2, 1), number(3, 1)].concat()),
            Code::FieldUnknown,
            "subject_weighed",
        ),
        case("field number zero", with_after(6, vec![0x02, 0x00]), Code::FieldUnknown, ""),
        case("event that was never defined", with_event_bytes(152, b""), Code::FieldUnknown, ""),
        case("single field twice", with_after(2, fields()[1].1.clone()), Code::FieldRepeated, "record_id"),
        case(
            "packed list twice",
            with_event_bytes(151, &[delimited(2, &[1]), delimited(2, &[2])].concat()),
            Code::FieldRepeated,
            "donor_consented.scope",
        ),
        case("salt before record id", swapped, Code::FieldOutOfOrder, "record_id"),
        case("event before note", with_after(233, delimited(8, b"late")), Code::FieldOutOfOrder, "note"),
        case(
            "length with a needless byte",
            replaced(3, [vec![0x1a, 0x90, 0x00], vec![9; 16]].concat()),
            Code::NotCanonical,
            "salt",
        ),
        case("key with a needless byte", replaced(3, [vec![0x9a, 0x00, 0x10], vec![9; 16]].concat()), Code::NotCanonical, ""),
        case(
            "zero offset written out",
            instant([number(1, 5), number(2, 0)].concat()),
            Code::NotCanonical,
            "occurred_at.offset_minutes",
        ),
        case("empty text written out", replaced(1, delimited(1, b"")), Code::NotCanonical, "origin"),
        case("empty list written out", with_event_bytes(151, &delimited(2, b"")), Code::NotCanonical, "donor_consented.scope"),
        case(
            "false written out",
            with_event_bytes(211, &[delimited(1, &[1; 16]), delimited(2, &[2; 16]), delimited(3, b"S"), number(4, 0)].concat()),
            Code::NotCanonical,
            "custody_accepted.seal_intact",
        ),
        case(
            "true as two",
            with_event_bytes(211, &[delimited(1, &[1; 16]), delimited(2, &[2; 16]), delimited(3, b"S"), number(4, 2)].concat()),
            Code::NotCanonical,
            "custody_accepted.seal_intact",
        ),
        case(
            "plain enum written as zero",
            weighed([number(1, 70_000), number(2, 0)].concat()),
            Code::NotCanonical,
            "subject_weighed.method",
        ),
        case("two events", with_after(233, delimited(241, &delimited(1, &[3; 16]))), Code::EventTwice, "dose_dispensed"),
        case("same event twice", with_after(233, fields()[6].1.clone()), Code::FieldRepeated, "subject_weighed"),
        case("no event", replaced(233, Vec::new()), Code::EventMissing, ""),
        case("empty bytes", Vec::new(), Code::FieldMissing, "origin"),
        case("text that is not UTF-8", with_after(6, delimited(8, &[0xff, 0xfe])), Code::TextNotUtf8, "note"),
        case("UTF-8 of a surrogate", with_after(6, delimited(8, &[0xed, 0xa0, 0x80])), Code::TextNotUtf8, "note"),
    ]
}

fn value_cases() -> Vec<Case> {
    let event = |name: &str, event: Event, code, path| case(name, encode(&with_event(event)), code, path);
    vec![
        changed("unknown role", Code::EnumUnknown, "slots[0].role", |r| r.slots[0].role = 18),
        changed("negative role", Code::EnumUnknown, "slots[0].role", |r| r.slots[0].role = -1),
        event("zero in an enum list", consented(vec![1, 0]), Code::EnumZero, "donor_consented.scope"),
        event("unknown in an enum list", consented(vec![3]), Code::EnumUnknown, "donor_consented.scope"),
        event("too few in an enum list", consented(vec![]), Code::TooFewItems, "donor_consented.scope"),
        event("too many in an enum list", consented(vec![1; 5]), Code::TooManyItems, "donor_consented.scope"),
        changed("plain enum absent", Code::FieldMissing, "slots[0].meaning", |r| r.slots[0].meaning = 0),
        changed("no salt", Code::FieldMissing, "salt", |r| r.salt.clear()),
        changed("no time", Code::FieldMissing, "occurred_at", |r| r.occurred_at = None),
        changed("no slots", Code::TooFewItems, "slots", |r| r.slots.clear()),
        changed("nine slots", Code::TooManyItems, "slots", |r| r.slots = vec![r.slots[0].clone(); 9]),
        changed("no streams", Code::TooFewItems, "streams", |r| r.streams.clear()),
        changed("seventeen streams", Code::TooManyItems, "streams", |r| {
            r.streams = (1..=17).map(|n| pb::StreamExtension { id: vec![n; 16], ..r.streams[0].clone() }).collect();
        }),
        changed("head number zero", Code::FieldMissing, "streams[0].head.seq", |r| r.streams[0].head.as_mut().unwrap().seq = 0),
        changed("time zero", Code::FieldMissing, "occurred_at.unix_ms", |r| r.occurred_at.as_mut().unwrap().unix_ms = 0),
        changed("time before 1970", Code::NumberOutOfRange, "occurred_at.unix_ms", |r| {
            r.occurred_at.as_mut().unwrap().unix_ms = -1
        }),
        changed("time after 9999", Code::NumberOutOfRange, "occurred_at.unix_ms", |r| {
            r.occurred_at.as_mut().unwrap().unix_ms = 253_402_300_800_000
        }),
        changed("offset too far west", Code::NumberOutOfRange, "occurred_at.offset_minutes", |r| {
            r.occurred_at.as_mut().unwrap().offset_minutes = -1081
        }),
        changed("offset too far east", Code::NumberOutOfRange, "occurred_at.offset_minutes", |r| {
            r.occurred_at.as_mut().unwrap().offset_minutes = 1081
        }),
        event("duration too long", ordered_dose(86_401), Code::NumberOutOfRange, "dose_ordered.planned_duration_seconds"),
        case(
            "number beyond its 32 bits",
            with_event_bytes(233, &number(1, 1 << 32)),
            Code::NumberOutOfRange,
            "subject_weighed.weight_grams",
        ),
        changed("record id of version 4", Code::RecordIdNotUuidv7, "record_id", |r| r.record_id[6] = 0x4c),
        changed("record id of 15 bytes", Code::BytesLengthWrong, "record_id", |r| r.record_id.truncate(15)),
        changed("record id of 17 bytes", Code::BytesLengthWrong, "record_id", |r| r.record_id.push(0)),
        changed("streams equal", Code::StreamsNotAscending, "streams[1]", |r| r.streams.push(r.streams[0].clone())),
        changed("streams descending by kind", Code::StreamsNotAscending, "streams[1]", |r| {
            r.streams.push(pb::StreamExtension { kind: 7, ..r.streams[0].clone() });
        }),
        changed("streams descending by id", Code::StreamsNotAscending, "streams[2]", |r| {
            let with = |n| pb::StreamExtension { id: vec![n; 16], ..weighing().streams[0].clone() };
            r.streams = vec![with(1), with(3), with(2)];
        }),
        changed("authority stream with an id", Code::StreamIdWrong, "streams[0].id", |r| r.streams[0].kind = 1),
        changed("subject stream without an id", Code::StreamIdWrong, "streams[0].id", |r| r.streams[0].id = vec![0; 16]),
        changed("origin without digest", Code::OriginMalformed, "origin", |r| r.origin = "example.org/ledger".to_owned()),
        changed("origin in capitals", Code::OriginMalformed, "origin", |r| r.origin = r.origin.replace('a', "A")),
        case("founding with a plus in its name", encode(&founded("a+b")), Code::OriginMalformed, "ledger_founded.name"),
        case(
            "founding under another name",
            encode(&pb::Record { origin: "b".to_owned(), ..founded("a") }),
            Code::OriginMalformed,
            "origin",
        ),
        event(
            "unit code with a wrong digit",
            filled("07944", 1),
            Code::UnitCodeCheckDigitWrong,
            "units_filled.units[0].unit_code",
        ),
        event("unit code of letters", filled("U-1", 1), Code::UnitCodeCheckDigitWrong, "units_filled.units[0].unit_code"),
        event("dose code with a wrong digit", prepared("70000"), Code::DoseCodeCheckDigitWrong, "dose_prepared.dose_code"),
        event("dose code of letters", prepared("DOSE-1"), Code::DoseCodeCheckDigitWrong, "dose_prepared.dose_code"),
        event("sixty-five units", filled("07945", 65), Code::TooManyItems, "units_filled.units"),
        event("no units", filled("07945", 0), Code::TooFewItems, "units_filled.units"),
    ]
}

fn text_cases() -> Vec<Case> {
    let event = |name: &str, event: Event, code, path| case(name, encode(&with_event(event)), code, path);
    let note = |name: &str, text: &str, code| case(name, encode(&noted(text)), code, "note");
    vec![
        note("empty note", "", Code::TextEmpty),
        note("note of 1001 bytes", &"n".repeat(1001), Code::TextTooLong),
        note("note decomposed", "Gro\u{0308}sse", Code::TextNotNfc),
        note("note with a carriage return", "a\r\nb", Code::TextControlCharacter),
        note("note with a tab", "a\tb", Code::TextControlCharacter),
        note("note with a delete", "a\u{7f}", Code::TextControlCharacter),
        note("note with a C1 control", "a\u{85}", Code::TextControlCharacter),
        note("note with a line separator", "a\u{2028}b", Code::TextControlCharacter),
        note("note with an override", "a\u{202e}b", Code::TextBidirectionalCharacter),
        note("note with an isolate", "a\u{2066}b", Code::TextBidirectionalCharacter),
        note("note with a right-to-left mark", "a\u{200f}b", Code::TextBidirectionalCharacter),
        note("note with an unassigned character", "a\u{0378}b", Code::TextUnassignedCharacter),
        note("note with a private character", "a\u{e000}b", Code::TextUnassignedCharacter),
        event(
            "two lines where one is allowed",
            Event::SignatureAdded(pb::SignatureAdded { target_digest: vec![1; 31], slot: Some(0) }),
            Code::BytesLengthWrong,
            "signature_added.target_digest",
        ),
        event(
            "slot absent that may be zero",
            Event::SignatureAdded(pb::SignatureAdded { target_digest: vec![1; 32], slot: None }),
            Code::FieldMissing,
            "signature_added.slot",
        ),
        event(
            "slot beyond the last",
            Event::SignatureAdded(pb::SignatureAdded { target_digest: vec![1; 32], slot: Some(8) }),
            Code::NumberOutOfRange,
            "signature_added.slot",
        ),
        event(
            "line feed in one line",
            Event::MarrowCollected(pb::MarrowCollected {
                site: "a\nb".to_owned(),
                ..match collected("G123498654321H") {
                    Event::MarrowCollected(e) => e,
                    _ => unreachable!(),
                }
            }),
            Code::TextControlCharacter,
            "marrow_collected.site",
        ),
        event(
            "text of 201 bytes",
            Event::MarrowCollected(pb::MarrowCollected {
                site: "n".repeat(201),
                ..match collected("G123498654321H") {
                    Event::MarrowCollected(e) => e,
                    _ => unreachable!(),
                }
            }),
            Code::TextTooLong,
            "marrow_collected.site",
        ),
        event(
            "code with a space",
            Event::DonorRegistered(pb::DonorRegistered { donor_code: "D 1".to_owned(), birth_year: 1980 }),
            Code::TextNotCode,
            "donor_registered.donor_code",
        ),
        event(
            "code beyond ASCII",
            Event::DonorRegistered(pb::DonorRegistered { donor_code: "Dö".to_owned(), birth_year: 1980 }),
            Code::TextNotCode,
            "donor_registered.donor_code",
        ),
        event(
            "year too early",
            Event::DonorRegistered(pb::DonorRegistered { donor_code: "D1".to_owned(), birth_year: 1899 }),
            Code::NumberOutOfRange,
            "donor_registered.birth_year",
        ),
        event("decimal with an exponent", reported("1e3"), Code::TextNotDecimal, "donor_test_reported.result.value"),
        event("decimal with a leading zero", reported("01"), Code::TextNotDecimal, "donor_test_reported.result.value"),
        event(
            "donation number with a wrong check character",
            collected("G123498654321K"),
            Code::DinCheckCharacterWrong,
            "marrow_collected.din",
        ),
        event("donation number without check character", collected("G123498654321"), Code::TextNotDin, "marrow_collected.din"),
        event(
            "Single European Code of 39 characters",
            coded("DE000001G123498654321A0S139300020271231"),
            Code::TextNotSingleEuropeanCode,
            "units_filled.units[0].single_european_code",
        ),
        event(
            "Single European Code of 41 characters",
            coded("DE000001G123498654321A0S13930001202712310"),
            Code::TextTooLong,
            "units_filled.units[0].single_european_code",
        ),
        event(
            "Single European Code in small letters",
            coded("de000001g123498654321a0s1393000120271231"),
            Code::TextNotSingleEuropeanCode,
            "units_filled.units[0].single_european_code",
        ),
        event(
            "Single European Code that expires in a thirteenth month",
            coded("DE000001G123498654321A0S1393000120271331"),
            Code::TextNotSingleEuropeanCode,
            "units_filled.units[0].single_european_code",
        ),
        event(
            "Chain of Identity identifier with a space",
            in_chain("A 1"),
            Code::TextNotCode,
            "marrow_collected.chain_of_identity",
        ),
        event(
            "Chain of Identity identifier of 65 characters",
            in_chain(&"1".repeat(65)),
            Code::TextTooLong,
            "marrow_collected.chain_of_identity",
        ),
        event("donation number in small letters", collected("g123498654321H"), Code::TextNotDin, "marrow_collected.din"),
    ]
}

pub fn cases() -> Vec<Case> {
    wire_cases().into_iter().chain(value_cases()).chain(text_cases()).collect()
}

#[test]
fn every_case_has_its_code_and_path() {
    for case in cases() {
        let Malformed { code, path, found, allowed } = decode(&case.bytes).expect_err(&case.name);
        assert_eq!((code, path.as_str()), (case.code, case.path), "{}", case.name);
        assert!(!found.is_empty() && !allowed.is_empty(), "{}", case.name);
    }
}

#[test]
fn every_code_has_a_case() {
    let shown: BTreeSet<Code> = cases().iter().map(|c| c.code).collect();
    let missing: Vec<&Code> = Code::ALL.iter().filter(|c| !shown.contains(c)).collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
    let texts: BTreeSet<&str> = Code::ALL.iter().map(|c| c.as_str()).collect();
    assert_eq!(texts.len(), Code::ALL.len());
}

/// The accepted sides of the bounds above.
pub fn accepted() -> Vec<(&'static str, pb::Record)> {
    let changed = |change: fn(&mut pb::Record)| {
        let mut record = weighing();
        change(&mut record);
        record
    };
    vec![
        ("a weighing", weighing()),
        ("first moment, UTC", changed(|r| r.occurred_at = Some(pb::Instant { unix_ms: 1, offset_minutes: 0 }))),
        (
            "last moment, far west",
            changed(|r| r.occurred_at = Some(pb::Instant { unix_ms: 253_402_300_799_999, offset_minutes: -1080 })),
        ),
        ("far east", changed(|r| r.occurred_at = Some(pb::Instant { unix_ms: 1, offset_minutes: 1080 }))),
        ("eight slots", changed(|r| r.slots = vec![r.slots[0].clone(); 8])),
        (
            "sixteen streams",
            changed(|r| {
                r.streams = (1..=16).map(|n| pb::StreamExtension { id: vec![n; 16], ..r.streams[0].clone() }).collect();
            }),
        ),
        ("no head", changed(|r| r.streams[0].head = None)),
        ("authority stream", changed(|r| r.streams[0] = pb::StreamExtension { kind: 1, id: vec![0; 16], head: None })),
        ("note of 1000 bytes", noted(&"n".repeat(1000))),
        ("note of two lines, composed", noted("Größe\n第二批")),
        ("Hebrew and Arabic", noted("שלום سلام")),
        ("lightest", with_event(Event::SubjectWeighed(pb::SubjectWeighed { weight_grams: 300, method: 1 }))),
        ("heaviest", with_event(Event::SubjectWeighed(pb::SubjectWeighed { weight_grams: 500_000, method: 2 }))),
        ("longest duration", with_event(ordered_dose(86_400))),
        ("dose code with its check digit", with_event(prepared("70009"))),
        ("unit with a Single European Code", with_event(coded("DE000001G123498654321A0S1393000120271231"))),
        ("Single European Code without expiry", with_event(coded("DE000001G123498654321A0S1393000100000000"))),
        ("Chain of Identity identifier of 64 characters", with_event(in_chain(&"1".repeat(64)))),
        ("all scopes", with_event(consented(vec![1, 2, 1, 2]))),
        ("last slot", with_event(Event::SignatureAdded(pb::SignatureAdded { target_digest: vec![1; 32], slot: Some(7) }))),
        ("slot zero", with_event(Event::SignatureAdded(pb::SignatureAdded { target_digest: vec![1; 32], slot: Some(0) }))),
        (
            "seal broken",
            with_event(Event::CustodyAccepted(pb::CustodyAccepted {
                transfer_id: vec![1; 16],
                unit_ids: vec![vec![2; 16]],
                seal: "S".to_owned(),
                seal_intact: false,
                condition: "wet".to_owned(),
            })),
        ),
        ("donation number", with_event(collected("G123498654321H"))),
        ("decimal with trailing zero", with_event(reported("-0.50"))),
        ("sixty-four units", with_event(filled("07945", 64))),
        ("founding", founded("example.org/ledger")),
    ]
}

#[test]
fn the_other_side_of_each_bound_is_accepted() {
    for (name, record) in accepted() {
        let bytes = encode(&record);
        assert_eq!(decode(&bytes).as_ref(), Ok(&record), "{name}");
    }
}

#[test]
fn exactly_8192_bytes_are_accepted_and_8193_are_not() {
    let mut record = marrowline_record::testing::sample(marrowline_record::EventKind::ProtocolPublished, 1);
    record.cites = vec![pb::Cite { record_id: vec![1; 16], digest: vec![2; 32] }; 20];
    let noted = |record: &pb::Record, length: usize| encode(&pb::Record { note: Some("n".repeat(length)), ..record.clone() });
    while noted(&record, 500).len() < 7950 {
        let Some(Event::ProtocolPublished(event)) = &mut record.event else { unreachable!() };
        event.exclusions.push(pb::Exclusion { code: "X".to_owned(), description: "n".repeat(200) });
    }
    let length = 500 + 8192 - noted(&record, 500).len();
    assert!((128..1000).contains(&length), "{length}");
    let (most, over) = (noted(&record, length), noted(&record, length + 1));
    assert_eq!((most.len(), decode(&most).err()), (8192, None));
    assert_eq!(decode(&over).unwrap_err().code, Code::RecordTooLarge);
}
