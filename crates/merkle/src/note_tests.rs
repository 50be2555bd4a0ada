use super::*;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors");

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn verifier(name: &str, seed: u8) -> VerifierKey {
    VerifierKey::new(name, key(seed).verifying_key()).unwrap()
}

/// A line of an unknown key; base64 of five bytes and more.
const STRANGER: &str = "— stranger.example AAECAwQF\n";

#[test]
fn signed_and_verified() {
    let note = sign("one\n\ntwo\n", "a.example/log", &key(1)).unwrap();
    let parsed = Note::parse(&note).unwrap();
    assert_eq!(parsed.text(), "one\n\ntwo\n");
    assert_eq!(parsed.to_string(), note);
    let known = [verifier("b.example", 2), verifier("a.example/log", 1)];
    assert_eq!(parsed.verify(&known).unwrap(), [&known[1]]);
}

#[test]
fn the_published_note_of_the_go_package() {
    // From the documentation of golang.org/x/mod/sumdb/note.
    let key = VerifierKey::parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
    let text = "If you think cryptography is the answer to your problem,\n\
                then you don't know what your problem is.\n";
    let line = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    let note = Note::parse(&format!("{text}\n{line}")).unwrap();
    assert_eq!(note.verify(std::slice::from_ref(&key)).unwrap(), [&key]);
    let spoiled = Note::parse(&format!("{}\n{line}", text.replace("your problem is", "it is")));
    assert!(matches!(spoiled.unwrap().verify(&[key]), Err(NoteError::BadSignature { .. })));
}

#[test]
fn unknown_lines_are_kept_and_say_nothing() {
    let signed = sign("text\n", "a", &key(1)).unwrap();
    let note = format!("{signed}{STRANGER}");
    let parsed = Note::parse(&note).unwrap();
    assert_eq!(parsed.signatures().len(), 2);
    assert_eq!(parsed.to_string(), note);
    let known = [verifier("a", 1)];
    assert_eq!(parsed.verify(&known).unwrap(), [&known[0]]);
    // The same name with another key, or the same key under another name, is a stranger.
    for other in [verifier("a", 2), verifier("b", 1)] {
        assert_eq!(parsed.verify(&[other]), Err(NoteError::NoKnownSignature));
    }
    assert_eq!(parsed.verify(&[]), Err(NoteError::NoKnownSignature));
}

#[test]
fn one_bad_line_of_a_known_key_spoils_the_note() {
    let good = sign("text\n", "a", &key(1)).unwrap();
    let bad = sign("other\n", "a", &key(1)).unwrap();
    let (_, bad_line) = bad.rsplit_once("\n\n").unwrap();
    let known = [verifier("a", 1)];
    let refused = Err(NoteError::BadSignature { name: "a".to_owned(), key_id: known[0].key_id() });
    let note = Note::parse(&format!("{good}{bad_line}")).unwrap();
    assert_eq!(note.verify(&known), refused);
    let cut = SignatureLine { name: "a".to_owned(), key_id: known[0].key_id(), signature: vec![1; 63] };
    let note = Note::parse(&format!("{good}{cut}")).unwrap();
    assert_eq!(note.verify(&known), refused);
    let (_, good_line) = good.rsplit_once("\n\n").unwrap();
    let twice = Note::parse(&format!("{good}{good_line}")).unwrap();
    assert_eq!(twice.verify(&known).unwrap().len(), 1);
}

#[test]
fn keys_that_cannot_be_told_apart_are_refused() {
    let mut twin = verifier("a", 2);
    twin.key_id = verifier("a", 1).key_id;
    let note = Note::parse(&sign("text\n", "a", &key(1)).unwrap()).unwrap();
    assert!(matches!(note.verify(&[verifier("a", 1), twin]), Err(NoteError::AmbiguousKey { .. })));
    assert!(note.verify(&[verifier("a", 1), verifier("a", 1)]).is_ok());
}

#[test]
fn each_malformed_note_has_its_own_error() {
    let parse = |text: &str| Note::parse(text).unwrap_err();
    assert_eq!(parse("text\n"), NoteError::NoBlankLine);
    assert_eq!(parse(&format!("text\n{STRANGER}")), NoteError::NoBlankLine);
    assert_eq!(parse("text\n\n"), NoteError::NoFinalNewline);
    assert_eq!(parse(&format!("text\n\n{}", STRANGER.trim_end())), NoteError::NoFinalNewline);
    for control in ["te\txt", "te\rxt", "te\0xt", "te\u{1f}xt"] {
        let note = format!("{control}\n\n{STRANGER}");
        assert_eq!(parse(&note), NoteError::ControlCharacter);
    }
    let line = |line: &str| parse(&format!("text\n\n{line}\n"));
    for bad in ["- a AAECAwQF", "—a AAECAwQF", "— aAAECAwQF", " — a AAECAwQF", "— ", "—"] {
        assert_eq!(line(bad), NoteError::SignatureLine, "{bad:?}");
    }
    for bad in ["—  AAECAwQF", "— a+b AAECAwQF", "— a\u{a0}b AAECAwQF", "— a\tb AAECAwQF"] {
        assert_eq!(line(bad), NoteError::KeyName, "{bad:?}");
    }
    for bad in ["— a AAECAwQ", "— a AAECAwR=", "— a AAECAwQF ", "— a  AAECAwQF", "— a b AAECAwQF"] {
        assert_eq!(line(bad), NoteError::SignatureBase64, "{bad:?}");
    }
    for bad in ["— a ", "— a AAECAw=="] {
        assert_eq!(line(bad), NoteError::SignatureLength, "{bad:?}");
    }
    assert!(Note::parse("text\n\n— a AAECAwQ=\n").is_ok());
    assert_eq!(sign("text\n", "a b", &key(1)), Err(NoteError::KeyName));
    assert_eq!(sign("text", "a", &key(1)), Err(NoteError::NoFinalNewline));
    assert_eq!(sign("", "a", &key(1)), Err(NoteError::NoFinalNewline));
}

#[test]
fn bounds_on_both_sides() {
    let signed = |count: usize| format!("text\n\n{}", STRANGER.repeat(count));
    assert!(Note::parse(&signed(MAX_SIGNATURES)).is_ok());
    assert_eq!(Note::parse(&signed(MAX_SIGNATURES + 1)), Err(NoteError::TooManySignatures));
    let text = |bytes: usize| format!("{}\n", "x".repeat(bytes - 1));
    let note = sign(&text(MAX_TEXT_BYTES), "a", &key(1)).unwrap();
    assert!(Note::parse(&note).is_ok());
    let too_long = Err(NoteError::TooLong { bytes: MAX_TEXT_BYTES + 1 });
    assert_eq!(sign(&text(MAX_TEXT_BYTES + 1), "a", &key(1)), too_long);
    let note = format!("{}\n{STRANGER}", text(MAX_TEXT_BYTES + 1));
    assert!(matches!(Note::parse(&note), Err(NoteError::TooLong { .. })));
    let long_line = |bytes: usize| {
        let empty = SignatureLine { name: "a".to_owned(), key_id: 0, signature: vec![0; 5] };
        let fixed = format!("text\n\n{empty}").len();
        let room = (bytes - fixed) / 4 * 3;
        let line = SignatureLine { signature: vec![0; 5 + room], ..empty };
        format!("text\n\n{line}")
    };
    assert!(Note::parse(&long_line(MAX_NOTE_BYTES)).is_ok());
    assert!(matches!(Note::parse(&long_line(MAX_NOTE_BYTES + 4)), Err(NoteError::TooLong { .. })));
}

#[test]
fn verification_keys_have_one_spelling() {
    let key = verifier("a.example/log", 1);
    let text = key.to_string();
    assert_eq!(VerifierKey::parse(&text), Ok(key.clone()));
    let parse = |text: &str| VerifierKey::parse(text).unwrap_err();
    let id = format!("{:08x}", key.key_id());
    let (_, encoded) = text.split_once(&format!("+{id}+")).unwrap();
    assert_eq!(parse("a"), VerifierKeyError::Parts);
    assert_eq!(parse(&format!("a+{id}")), VerifierKeyError::Parts);
    assert_eq!(parse(&format!("+{id}+{encoded}")), VerifierKeyError::Name);
    assert_eq!(parse(&format!("a b+{id}+{encoded}")), VerifierKeyError::Name);
    for bad in ["", "1234567", "123456789", "ABCDEF01", "+1234567", "0x123456"] {
        let bad = format!("a.example/log+{bad}+{encoded}");
        // A plus as a digit moves the parts, and is refused all the same.
        assert_eq!(parse(&bad), VerifierKeyError::KeyIdHex, "{bad}");
    }
    assert_eq!(parse(&format!("{text}\n")), VerifierKeyError::Base64);
    assert_eq!(parse(&format!("{text}=")), VerifierKeyError::Base64);
    assert_eq!(parse(&format!("a+{id}+")), VerifierKeyError::KeyLength);
    assert_eq!(parse(&format!("a+{id}+AQID")), VerifierKeyError::KeyLength);
    let mirror = std::fs::read_to_string(format!("{VECTORS}/tlog-tiles-sunlight/witness/mirror/mirror.v0.json")).unwrap();
    let mirror: serde_json::Value = serde_json::from_str(&mirror).unwrap();
    assert_eq!(parse(mirror["verifier_keys"][0].as_str().unwrap()), VerifierKeyError::UnknownType { found: 4 });
    assert_eq!(
        parse(&format!("a.example/log+{:08x}+{encoded}", key.key_id() ^ 1)),
        VerifierKeyError::KeyIdDiffers { stated: key.key_id() ^ 1, computed: key.key_id() }
    );
    assert_eq!(
        parse(&text.replace("a.example/log", "b.example/log")),
        VerifierKeyError::KeyIdDiffers { stated: key.key_id(), computed: verifier("b.example/log", 1).key_id() }
    );
}

fn raw_key(bytes: [u8; 32]) -> Result<VerifierKey, VerifierKeyError> {
    let id = key_id("a", TYPE_ED25519, &bytes);
    let encoded = to_base64(&[&[TYPE_ED25519], bytes.as_slice()].concat());
    VerifierKey::parse(&format!("a+{id:08x}+{encoded}"))
}

#[test]
fn weak_and_ambiguous_points_are_no_keys() {
    let mut identity = [0; 32];
    identity[0] = 1;
    assert_eq!(raw_key(identity), Err(VerifierKeyError::Weak));
    assert_eq!(raw_key([0; 32]), Err(VerifierKeyError::Weak));
    // y = 2 is on no point of the curve; y = p + 3 is another spelling of the point at y = 3.
    let mut two = [0; 32];
    two[0] = 2;
    assert_eq!(raw_key(two), Err(VerifierKeyError::Point));
    let mut three = [0; 32];
    three[0] = 3;
    assert!(raw_key(three).is_ok());
    let mut three_and_p = [0xff; 32];
    three_and_p[0] = 0xed + 3;
    three_and_p[31] = 0x7f;
    assert_eq!(raw_key(three_and_p), Err(VerifierKeyError::Point));
}

fn bytes(value: &serde_json::Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn accepts(key: &serde_json::Value, message: &[u8], signature: &serde_json::Value) -> bool {
    raw_key(bytes(key).try_into().unwrap()).is_ok_and(|key| key.accepts(message, &bytes(signature)))
}

#[test]
fn of_the_914_edge_cases_exactly_43_are_accepted() {
    let cases = std::fs::read(format!("{VECTORS}/cctv/ed25519/ed25519vectors.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_slice(&cases).unwrap();
    assert_eq!(cases.len(), 914);
    let accepted =
        cases.iter().filter(|case| accepts(&case["key"], case["msg"].as_str().unwrap().as_bytes(), &case["sig"])).count();
    assert_eq!(accepted, 43);
}

#[test]
fn the_151_wycheproof_cases() {
    let path = format!("{VECTORS}/wycheproof/testvectors_v1/ed25519_test.json");
    let file: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut seen = (0, 0);
    for group in file["testGroups"].as_array().unwrap() {
        for case in group["tests"].as_array().unwrap() {
            let accepted = accepts(&group["publicKey"]["pk"], &bytes(&case["msg"]), &case["sig"]);
            assert_eq!(accepted, case["result"] == "valid", "{case}");
            if accepted {
                seen.0 += 1;
            } else {
                seen.1 += 1;
            }
        }
    }
    assert_eq!(seen, (88, 63));
}
