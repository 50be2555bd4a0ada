//! The log's key is followed by another, and the power fails in between.

use marrowline_ledger::store::{NoteKind, Reader as _};
use marrowline_ledger::{LogKeys, OpenFailure, Refusal};
use marrowline_merkle::{SignedCheckpoint, VerifierKey};

use super::world::{World, key, opened_with, refused};

fn both() -> LogKeys {
    LogKeys { present: key(9), successor: Some(key(10)) }
}

#[test]
fn a_handover_that_was_not_written_is_made_at_the_next_start() {
    let mut world = World::new();
    let origin = world.ledger.origin().unwrap().to_string();
    let log_key = |number: u8| VerifierKey::new(&origin, key(number).verifying_key()).unwrap();
    let rotation = world.rotation(10);
    assert_eq!(refused(world.answer(&[&rotation])), Refusal::SuccessorNotHeld);
    world.ledger.shutdown();

    world.ledger = opened_with(&world.gate, both()).unwrap();
    assert_eq!(refused(world.answer(&[&world.rotation(11)])), Refusal::SuccessorNotHeld, "another one than is held");
    world.gate.fail_notes(true);
    assert!(matches!(refused(world.answer(&[&rotation])), Refusal::Stopped { .. }));
    world.gate.fail_notes(false);
    assert_eq!((world.gate.size(), world.gate.notes(NoteKind::Handover, 0, 9).unwrap().len()), (2, 0));

    // The record is durable: the old key alone does not open the ledger any more.
    assert!(matches!(opened_with(&world.gate, key(9)), Err(OpenFailure::KeyDiffers)));
    for _ in 0..2 {
        let ledger = opened_with(&world.gate, both()).unwrap();
        assert_eq!(ledger.verifier_key(), Some(log_key(10)));
        let keys = ledger.log_keys().unwrap();
        assert_eq!(keys.iter().map(|known| known.key.since_index).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(keys[0].handover, None);
        let handover = keys[1].handover.as_ref().unwrap();
        for number in [9, 10] {
            assert_eq!(SignedCheckpoint::open(&handover.note, &log_key(number)).unwrap().checkpoint().size(), 2);
        }
        assert!(SignedCheckpoint::open(&ledger.checkpoint().note, &log_key(9)).is_err(), "the old key signs no more");
        ledger.shutdown();
    }
    assert_eq!(world.gate.notes(NoteKind::Handover, 0, 9).unwrap().len(), 1);
    opened_with(&world.gate, key(10)).unwrap();
}
