//! A write that fails takes everything with it that was judged on top of it, and nothing of it is ever seen.

use marrowline_ledger::store::Store as _;
use marrowline_ledger::{OpenFailure, Refusal};
use marrowline_record::pb::record::Event;

use super::gate::{Fate, Gate};
use super::world::{World, accepted, founding, key, ledger, refused};

#[test]
fn a_full_disk_drops_what_was_judged_on_top_and_the_next_is_judged_again() {
    let world = World::new();
    let before = world.ledger.checkpoint();
    let lost = world.enrolment(20, &world.founded);
    let on_top = world.enrolment(21, &lost.head(2));
    let donor = world.donor(1);
    world.gate.shut();
    let first = world.submit(&[&lost]);
    world.gate.wait_for_commits(2);
    // One more batch is judged while this one is written.
    let second = world.submit(&[&on_top, &donor]);
    let stale = world.enrolment(22, &world.founded);
    let mut third = world.submit(&[&stale]);
    world.gate.wait_until_judged(&stale);
    assert!(third.try_recv().is_err(), "told of a record that is not durable");
    world.gate.open(&[Fate::Full]);
    assert!(matches!(refused(first.blocking_recv().unwrap()), Refusal::StoreFull { .. }));
    // The third was refused because of the first, which does not exist: it is to be sent again.
    for answer in [second, third] {
        assert!(matches!(refused(answer.blocking_recv().unwrap()), Refusal::Stopped { .. }));
    }
    assert_eq!((world.ledger.size(), world.ledger.stopped()), (1, None));
    assert_eq!(world.ledger.checkpoint(), before);
    assert!(world.is_unknown(&lost) && world.is_unknown(&on_top) && world.is_unknown(&donor));

    // Nothing stands on what was lost; its head, its id and its index are free.
    let Refusal::Violations { violations, .. } = refused(world.answer(&[&on_top])) else { panic!("another refusal") };
    assert_eq!(violations.iter().map(|v| v.code.name).collect::<Vec<_>>(), ["HEAD_UNKNOWN"]);
    let mut other = stale;
    other.record.record_id.clone_from(&lost.record.record_id);
    let appended = accepted(world.answer(&[&other]));
    assert_eq!((appended.index, appended.duplicate, appended.checkpoint.size), (1, false, 2));
    assert_eq!(accepted(world.answer(&[&donor])).index, 2);
    let log = world.ledger.verifier_key().unwrap();
    world.ledger.receipt_of(&appended).unwrap().verify(&log, None).unwrap();
    // The tree of the store is the tree of the checkpoint.
    world.ledger.shutdown();
    let again = ledger(&world.gate);
    assert_eq!(again.checkpoint(), world.ledger.checkpoint());
}

#[test]
fn the_same_record_sent_twice_is_lost_twice_and_accepted_once() {
    let world = World::new();
    let donor = world.donor(1);
    world.gate.shut();
    let first = world.submit(&[&donor]);
    world.gate.wait_for_commits(2);
    let duplicate = world.submit(&[&donor]);
    let after = world.donor(2);
    let third = world.submit(&[&after]);
    world.gate.wait_until_judged(&after);
    world.gate.open(&[Fate::Full]);
    refused(first.blocking_recv().unwrap());
    refused(duplicate.blocking_recv().unwrap());
    refused(third.blocking_recv().unwrap());
    let appended = accepted(world.answer(&[&donor]));
    assert_eq!((appended.index, appended.duplicate), (1, false));
}

#[test]
fn a_failed_write_stops_the_ledger_until_it_is_opened_again() {
    let world = World::new();
    let donor = world.donor(1);
    world.gate.open(&[Fate::Fails]);
    assert!(matches!(refused(world.answer(&[&donor])), Refusal::Stopped { .. }));
    assert!(world.ledger.stopped().unwrap().contains("the disk is gone"));
    assert!(matches!(refused(world.answer(&[&world.donor(2)])), Refusal::Stopped { .. }));
    assert_eq!(world.gate.asked(), [1, 1], "the store is not asked again");
    assert!(world.ledger.entry(0).unwrap().is_some(), "reads go on");
    let ledger = ledger(&world.gate);
    let opened = world.opened(&donor);
    assert_eq!(accepted(ledger.submit(vec![opened]).unwrap().blocking_recv().unwrap()).index, 1);
}

#[test]
fn a_founding_that_was_lost_founded_nothing() {
    let gate = Gate::default();
    let ledger = ledger(&gate);
    gate.open(&[Fate::Full]);
    let submit = |name: &str| {
        let founding = founding(name);
        let bytes = marrowline_record::encode(&founding.record);
        let opened = marrowline_record::open(bytes, founding.signings(), ledger.keyring().as_ref()).unwrap();
        ledger.submit(vec![opened]).unwrap().blocking_recv().unwrap()
    };
    assert!(matches!(refused(submit("example.org/lost")), Refusal::StoreFull { .. }));
    assert!(ledger.origin().is_none() && ledger.verifier_key().is_none());
    assert!(ledger.keyring().is_empty());
    accepted(submit("example.org/found"));
    assert!(ledger.origin().unwrap().to_string().starts_with("example.org/found/"));
    let Some(Event::LedgerFounded(founded)) = ledger.entry(0).unwrap().unwrap().event().cloned() else { panic!("no founding") };
    assert_eq!(founded.name, "example.org/found");
}

#[test]
fn a_store_behind_its_checkpoint_is_not_served() {
    let world = World::new();
    accepted(world.answer(&[&world.donor(1)]));
    world.ledger.shutdown();
    let mut behind = Gate::default();
    let epoch = behind.claim().unwrap();
    // The same founding, and the checkpoint of the ledger that has more.
    let (leaf, record) = world.ledger.verbatim(0).unwrap().unwrap();
    let decoded = marrowline_record::leaf::Leaf::decode(&leaf).unwrap();
    let root = marrowline_merkle::leaf_hash(&leaf);
    let staged = marrowline_ledger::store::StagedRecord {
        index: 0,
        record_id: marrowline_record::id::RecordId::from_slice(&marrowline_record::decode(&record).unwrap().record_id).unwrap(),
        links: decoded.links.iter().map(|l| (l.stream_key, l.seq)).collect(),
        signed_hash: decoded.signed_hash(),
        index_writes: Vec::new(),
        leaf,
        record: record.into(),
    };
    let batch = marrowline_ledger::store::Batch { first: 0, records: vec![staged], root_after: root, tiles: Vec::new() };
    behind.commit(epoch, &batch).unwrap();
    behind.publish(epoch, &world.ledger.checkpoint().note).unwrap();
    let opened =
        marrowline_ledger::Ledger::open(Box::new(behind), key(9), Box::new(marrowline_ledger::SystemTimeSource::default()));
    assert!(matches!(opened.err(), Some(OpenFailure::Behind { size: 1, checkpoint: 2, .. })));
}
