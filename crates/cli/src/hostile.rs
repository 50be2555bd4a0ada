//! What people hand to the command line, spoiled: event files, foundings, `--set` words, times and `log.vkey`. Each is said to be wrong or
//! is read as what it says; nothing panics. A few thousand in every run, `MARROWLINE_HOSTILE_CASES` for more.

use marrowline_merkle::VerifierKey;
use marrowline_record::pb::Record;
use marrowline_record::testing::{Noise, cases, sample, signing_key};
use marrowline_record::{EventKind, encode};
use serde_json::{Value, json};

use crate::{ask, fields, json, serve, write};

/// The event of a sample as a person would write it.
fn event_of(kind: EventKind, seed: u64) -> Value {
    let name = kind.field_name();
    let record = json::record_to_json(&sample(kind, seed)).unwrap();
    json!({ name: record[name] })
}

/// Puts a strange value in some place.
fn twist(noise: &mut Noise, value: &mut Value) {
    let goes_on = !noise.one_in(4);
    match value {
        Value::Object(object) if goes_on && !object.is_empty() => {
            let at = noise.below(object.len());
            if let Some(inner) = object.values_mut().nth(at) {
                twist(noise, inner);
            }
        }
        Value::Array(items) if goes_on && !items.is_empty() => {
            let at = noise.below(items.len());
            twist(noise, &mut items[at]);
        }
        _ => {
            let strange = [
                Value::Null,
                json!(true),
                json!(-1),
                json!(1.5e300),
                json!(u64::MAX),
                json!(i64::MIN),
                json!("0"),
                json!("-9223372036854775808"),
                json!(""),
                json!("new"),
                json!("-"),
                json!("0a0"),
                json!("\u{202e}\u{0}"),
                json!("9999-12-31 23:59:59.999 +18:00"),
                json!("0000-00-00 00:00:00 -18:00"),
                json!("1970-01-01 00:00:00.001 +00:00"),
                json!("x".repeat(9_000)),
                json!([]),
                json!({}),
                json!([[[[]]]]),
                json!({"": {"": null}}),
            ];
            value.clone_from(noise.of(&strange).unwrap());
        }
    }
}

/// What is read as an event can be encoded, shown and read again as the same.
fn holds(event: &marrowline_record::pb::record::Event) -> bool {
    let record = Record { event: Some(event.clone()), ..Record::default() };
    let _ = marrowline_record::decode(&encode(&record));
    let name = EventKind::of(event).field_name();
    let shown = json::record_to_json(&record).unwrap();
    let again = json::event_from_json(&json!({ name: shown[name] }), &mut || panic!("no id is to be made"));
    again.as_ref() == Ok(event)
}

#[test]
fn spoiled_event_files_are_wrong_or_say_what_is_read() {
    let cases = cases(4_000);
    let mut noise = Noise(0x6576_656e_7473);
    let (mut parsed, mut read, mut good) = (0, 0, Value::Null);
    for case in 0..cases {
        if case % 16 == 0 {
            let seed = noise.number();
            good = event_of(*noise.of(EventKind::all()).unwrap(), seed);
        }
        let value = if case % 2 == 0 {
            serde_json::from_str(&noise.spoiled_text(&good.to_string())).ok()
        } else {
            let mut value = good.clone();
            twist(&mut noise, &mut value);
            Some(value)
        };
        let Some(value) = value else { continue };
        parsed += 1;
        match json::event_from_json(&value, &mut || [7; 16]) {
            Ok(event) => {
                read += 1;
                assert!(holds(&event), "{value}");
            }
            Err(error) => assert!(!error.path.is_empty() && error.found.len() < 300, "{error}"),
        }
    }
    println!("{cases} spoiled event files: {parsed} are JSON, {read} are events");
    assert!(parsed > cases / 2 && read > cases / 10 && read < parsed, "{parsed} {read} of {cases}");
}

#[test]
fn spoiled_assignments_are_wrong_or_say_what_is_read() {
    let cases = cases(4_000);
    let mut noise = Noise(0x0000_7365_7473);
    let good = ["units[0].unit_id=new", "units[0].total_cells=5", "units[1].total_cells=6", "codes=[\"a\",\"b\"]", "x={\"y\":1}"];
    let weighed = ["weight_grams=70_000", "method=MEASURED"];
    let (mut made, mut events) = (0, 0);
    for case in 0..cases {
        let (name, mut words) = match case % 2 {
            0 => ("units_thawed", good.map(str::to_owned).to_vec()),
            _ => ("subject_weighed", weighed.map(str::to_owned).to_vec()),
        };
        let which = noise.below(words.len());
        words[which] = noise.spoiled_text(&words[which]);
        if noise.one_in(8) {
            words[which] = words.concat();
        }
        let Ok(value) = fields::event(name, &words) else { continue };
        made += 1;
        if let Ok(event) = json::event_from_json(&value, &mut || [7; 16]) {
            events += 1;
            assert!(holds(&event), "{value}");
        }
    }
    println!("{cases} spoiled assignments: {made} make JSON, {events} an event");
    assert!(made > cases / 4 && events > cases / 100, "{made} {events} of {cases}");
}

#[test]
fn spoiled_foundings_are_wrong_or_name_facility_and_grants() {
    let cases = cases(4_000);
    let mut noise = Noise(0x666f_756e_6473);
    let good = serve::TEMPLATE.replace("\"public_key\": \"\"", &format!("\"public_key\": \"{}\"", "0a".repeat(32)));
    let (file, event) = serve::read(&good).unwrap();
    assert_eq!((file.hosts.len(), event.grants.len()), (2, 2));
    let (mut parsed, mut read) = (0, 0);
    for case in 0..cases {
        let text = if case % 2 == 0 {
            noise.spoiled_text(&good)
        } else {
            let mut value: Value = serde_json::from_str(&good).unwrap();
            twist(&mut noise, &mut value);
            value.to_string()
        };
        parsed += u64::from(serde_json::from_str::<Value>(&text).is_ok());
        if let Ok((_, event)) = serve::read(&text) {
            read += 1;
            let event = marrowline_record::pb::record::Event::LedgerFounded(event);
            assert!(holds(&event), "{text}");
        }
    }
    println!("{cases} spoiled foundings: {parsed} are JSON, {read} are foundings");
    assert!(parsed > cases / 2 && read > cases / 10 && read < parsed, "{parsed} {read} of {cases}");
}

#[test]
fn spoiled_times_are_none_or_what_they_say() {
    let cases = cases(10_000);
    let mut noise = Noise(0x0074_696d_6573);
    let good =
        ["2026-11-23 09:10:00 +03:00", "2026-11-23 09:10 +03:00", "2026-11-23T09:10:00.250Z", "9999-12-31 23:59:59 -18:00"];
    let mut read = 0;
    for _ in 0..cases {
        let time = *noise.of(&good).unwrap();
        let text = noise.spoiled_text(time);
        if let Some(at) = write::time(&text) {
            read += 1;
            let shown = marrowline_record::instant::format(at.unix_ms, at.offset_minutes);
            assert_eq!(write::time(&shown), Some(at), "{text}");
        }
    }
    println!("{cases} spoiled times: {read} read");
    assert!(read > cases / 50 && read < cases, "{read} of {cases}");
}

/// `log.vkey`: what is taken is the same key, with other white space around it, or one whose short id somebody computed anew.
#[test]
fn a_spoiled_log_key_is_another_key_only_if_its_id_is_right() {
    let cases = cases(10_000);
    let mut noise = Noise(0x0076_6b65_7973);
    let key = VerifierKey::new("example.org/ledger/0a", signing_key(1).verifying_key()).unwrap();
    let good = format!("{key}\n");
    assert_eq!(ask::log_key(&good).unwrap(), key);
    let mut taken = 0;
    for _ in 0..cases {
        let text = noise.spoiled_text(&good);
        if let Ok(read) = ask::log_key(&text) {
            taken += 1;
            assert_eq!(read, key, "{text}");
        }
    }
    // With the id computed anew, points that are none and weak ones come to light.
    let (mut points, mut refused) = (0, 0);
    for _ in 0..cases.min(200_000) {
        let bytes = noise.spoiled(key.public_key().as_bytes());
        let Ok(public) = <[u8; 32]>::try_from(bytes) else { continue };
        match ed25519_dalek::VerifyingKey::from_bytes(&public).ok().and_then(|k| VerifierKey::new(key.name(), k).ok()) {
            Some(other) => {
                points += 1;
                assert_eq!(ask::log_key(&other.to_string()).unwrap(), other);
            }
            None => refused += 1,
        }
    }
    println!("{cases} spoiled log keys: {taken} the same key; {points} other points, {refused} none");
    assert!(taken > 0 && points > 0 && refused > 0, "{taken} {points} {refused}");
}
