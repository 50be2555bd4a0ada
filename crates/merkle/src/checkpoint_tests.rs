use super::*;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn verifier(name: &str, seed: u8) -> VerifierKey {
    VerifierKey::new(name, key(seed).verifying_key()).unwrap()
}

const ROOT: &str = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";

#[test]
fn the_example_of_the_specification() {
    let text = format!("example.com/behind-the-sofa\n20852163\n{ROOT}\n");
    let checkpoint = Checkpoint::parse(&text).unwrap();
    assert_eq!(checkpoint.origin(), "example.com/behind-the-sofa");
    assert_eq!(checkpoint.size(), 20_852_163);
    assert_eq!(to_base64(checkpoint.root()), ROOT);
    assert_eq!(checkpoint.to_string(), text);
}

#[test]
fn signed_and_opened() {
    let checkpoint = Checkpoint::new("a.example/log", 7, [9; 32]).unwrap();
    let note = checkpoint.sign(&key(1)).unwrap();
    assert_eq!(note, checkpoint.sign(&key(1)).unwrap(), "a restart signs the same bytes");
    let opened = SignedCheckpoint::open(&note, &verifier("a.example/log", 1)).unwrap();
    assert_eq!(opened.checkpoint(), &checkpoint);
    assert_eq!(opened.note().to_string(), note);
    for other in [verifier("a.example/log", 2), verifier("b.example/log", 1)] {
        assert_eq!(SignedCheckpoint::open(&note, &other), Err(CheckpointError::Note(NoteError::NoKnownSignature)));
    }
    let grown = note.replacen("\n7\n", "\n8\n", 1);
    assert!(matches!(
        SignedCheckpoint::open(&grown, &verifier("a.example/log", 1)),
        Err(CheckpointError::Note(NoteError::BadSignature { .. }))
    ));
}

#[test]
fn a_key_cannot_speak_for_another_log() {
    let text = Checkpoint::new("b.example/log", 7, [9; 32]).unwrap().to_string();
    let note = note::sign(&text, "a.example/log", &key(1)).unwrap();
    assert_eq!(
        SignedCheckpoint::open(&note, &verifier("a.example/log", 1)),
        Err(CheckpointError::OtherOrigin { found: "b.example/log".to_owned(), expected: "a.example/log".to_owned() })
    );
}

#[test]
fn a_signed_text_that_is_no_checkpoint_is_refused() {
    let note = note::sign("hello\n", "a", &key(1)).unwrap();
    assert_eq!(SignedCheckpoint::open(&note, &verifier("a", 1)), Err(CheckpointError::Lines));
}

#[test]
fn each_malformed_checkpoint_has_its_own_error() {
    let parse = |text: String| Checkpoint::parse(&text).unwrap_err();
    assert_eq!(parse(String::new()), CheckpointError::Lines);
    assert_eq!(parse(format!("a\n1\n{ROOT}")), CheckpointError::Lines);
    assert_eq!(parse("a\n1\n".to_owned()), CheckpointError::Lines);
    for extension in ["more\n", "\n"] {
        let text = format!("a\n1\n{ROOT}\n{extension}");
        assert_eq!(parse(text), CheckpointError::ExtensionLine);
    }
    for origin in ["", "a\u{7f}", "a\tb"] {
        assert_eq!(parse(format!("{origin}\n1\n{ROOT}\n")), CheckpointError::Origin);
    }
    for size in ["", "01", "+1", "1 ", "-1", "18446744073709551616"] {
        assert_eq!(parse(format!("a\n{size}\n{ROOT}\n")), CheckpointError::Size);
    }
    for root in ["", "AAAA", ROOT.trim_end_matches('='), &ROOT.replace("q2I=", "q2J=")] {
        assert_eq!(parse(format!("a\n1\n{root}\n")), CheckpointError::Root, "{root}");
    }
    assert_eq!(parse(format!("a\n0\n{ROOT}\n")), CheckpointError::RootOfEmptyTree);
    let empty = to_base64(&empty_root());
    assert!(Checkpoint::parse(&format!("a\n0\n{empty}\n")).is_ok());
    // Another log may have a space in its origin; ours could then not sign.
    let spaced = Checkpoint::parse(&format!("go.sum database tree\n1\n{ROOT}\n")).unwrap();
    assert_eq!(spaced.sign(&key(1)), Err(CheckpointError::Note(NoteError::KeyName)));
}
