use super::*;
use crate::hash::{leaf_hash, node_hash};
use crate::note::NoteError;
use ed25519_dalek::SigningKey;
use proptest::prelude::*;

const ORIGIN: &str = "a.example/log";

fn key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn verifier() -> VerifierKey {
    VerifierKey::new(ORIGIN, key().verifying_key()).unwrap()
}

/// The proof of the second of two leaves, and the hash of that leaf.
fn example() -> (TlogProof, Hash) {
    let (left, right) = (leaf_hash(b"left"), leaf_hash(b"right"));
    let checkpoint = Checkpoint::new(ORIGIN, 2, node_hash(&left, &right)).unwrap();
    let note = checkpoint.sign(&key()).unwrap();
    (TlogProof::new(1, vec![left], &note).unwrap(), right)
}

#[test]
fn read_written_and_verified() {
    let (proof, leaf) = example();
    let with_extra = proof.clone().with_extra(vec![1, 2]).unwrap();
    assert!(with_extra.to_string().contains("@v1\nextra AQI=\nindex 1\n"));
    for proof in [proof, with_extra] {
        let text = proof.to_string();
        let read = TlogProof::parse(&text).unwrap();
        assert_eq!(read, proof);
        assert_eq!(read.to_string(), text);
        let verified = read.verify(&leaf, &verifier()).unwrap();
        assert_eq!(verified.index(), 1);
        assert_eq!(verified.leaf_hash(), &leaf);
        assert_eq!(verified.checkpoint().checkpoint().size(), 2);
    }
}

#[test]
fn a_log_of_one_leaf_has_a_proof_without_hashes() {
    let leaf = leaf_hash(b"only");
    let note = Checkpoint::new(ORIGIN, 1, leaf).unwrap().sign(&key()).unwrap();
    let proof = TlogProof::new(0, vec![], &note).unwrap();
    let text = proof.to_string();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nindex 0\n\na.example/log\n1\n"));
    let read = TlogProof::parse(&text).unwrap();
    assert!(read.verify(&leaf, &verifier()).is_ok());
}

#[test]
fn whatever_does_not_hold_is_refused() {
    let (proof, leaf) = example();
    assert_eq!(proof.verify(&leaf_hash(b"other"), &verifier()), Err(TlogProofError::Inclusion(ProofError::RootDiffers)));
    let moved = TlogProof::parse(&proof.to_string().replace("index 1", "index 0")).unwrap();
    assert_eq!(moved.verify(&leaf, &verifier()), Err(TlogProofError::Inclusion(ProofError::RootDiffers)));
    let stranger = SigningKey::from_bytes(&[2; 32]).verifying_key();
    assert_eq!(
        proof.verify(&leaf, &VerifierKey::new(ORIGIN, stranger).unwrap()),
        Err(TlogProofError::Checkpoint(CheckpointError::Note(NoteError::NoKnownSignature)))
    );
    let note = proof.note().to_string();
    for hashes in [vec![], vec![proof.hashes()[0]; 2]] {
        let length = hashes.len();
        let verdict = TlogProof::new(1, hashes, &note).unwrap().verify(&leaf, &verifier());
        let expected = if length == 0 { ProofError::TooShort } else { ProofError::TooLong };
        assert_eq!(verdict, Err(TlogProofError::Inclusion(expected)));
    }
}

#[test]
fn each_malformed_proof_has_its_own_error() {
    let (proof, _) = example();
    let text = proof.with_extra(vec![1]).unwrap().to_string();
    let change = |from: &str, to: &str| {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        TlogProof::parse(&changed).unwrap_err()
    };
    assert_eq!(change("@v1", "@v2"), TlogProofError::FirstLine);
    assert_eq!(change("c2sp", "\nc2sp"), TlogProofError::FirstLine);
    assert_eq!(change("AQ==", "AQ="), TlogProofError::Extra);
    assert_eq!(change("AQ==", ""), TlogProofError::ExtraLength { bytes: 0 });
    assert_eq!(change("extra ", "extra"), TlogProofError::Index);
    assert_eq!(change("index 1", "index 01"), TlogProofError::Index);
    assert_eq!(change("index 1", "index  1"), TlogProofError::Index);
    assert_eq!(change("index 1", "index"), TlogProofError::Index);
    assert_eq!(change("index 1\n", ""), TlogProofError::Index);
    assert_eq!(change("index 1", "extra AQ==\nindex 1"), TlogProofError::Index);
    assert_eq!(change("index 1\n", "index 1\nAAAA\n"), TlogProofError::Hash);
    assert_eq!(change("index 1", "index 2"), TlogProofError::IndexOutside { index: 2, size: 2 });
    // A blank line too many moves what follows it into the checkpoint.
    for (from, to) in [("index 1\n", "index 1\n\n"), ("a.example/log\n2\n", "a.example/log\n2\n\n")] {
        assert_eq!(change(from, to), TlogProofError::Checkpoint(CheckpointError::ExtensionLine));
    }
    assert_eq!(TlogProof::parse("c2sp.org/tlog-proof@v1\nindex 0\n"), Err(TlogProofError::NoBlankLine));
}

#[test]
fn bounds_on_both_sides() {
    let (proof, _) = example();
    let note = proof.note().to_string();
    assert!(TlogProof::new(1, vec![[0; 32]; MAX_HASHES], &note).is_ok());
    assert_eq!(TlogProof::new(1, vec![[0; 32]; MAX_HASHES + 1], &note), Err(TlogProofError::TooManyHashes));
    let line = format!("{}\n", to_base64(&[0; 32]));
    let long = |count: usize| {
        let text = format!("{FIRST_LINE}\nindex 1\n{}\n{note}", line.repeat(count));
        TlogProof::parse(&text)
    };
    assert!(long(MAX_HASHES).is_ok());
    assert_eq!(long(MAX_HASHES + 1), Err(TlogProofError::TooManyHashes));
    assert!(proof.clone().with_extra(vec![0; MAX_EXTRA_BYTES]).is_ok());
    for bytes in [0, MAX_EXTRA_BYTES + 1] {
        assert_eq!(proof.clone().with_extra(vec![0; bytes]), Err(TlogProofError::ExtraLength { bytes }));
    }
}

proptest! {
    /// Whatever is accepted has one spelling, and only the untouched text verifies.
    #[test]
    fn a_changed_byte_is_never_overlooked(at in 0_usize..400, to in 0_u8..128) {
        let (proof, leaf) = example();
        let text = proof.to_string();
        let mut bytes = text.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] = to;
        if let Ok(changed) = String::from_utf8(bytes)
            && let Ok(read) = TlogProof::parse(&changed)
        {
            prop_assert_eq!(read.to_string(), changed.clone());
            prop_assert_eq!(read.verify(&leaf, &verifier()).is_ok(), changed == text);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(c2sp.org/tlog-proof@v1\n)?(index [0-9]{1,3}\n)?[\\PC\n—]{0,200}") {
        let _ = TlogProof::parse(&text);
        let _ = Note::parse(&text);
        let _ = Checkpoint::parse(&text);
        let _ = VerifierKey::parse(&text);
    }
}
