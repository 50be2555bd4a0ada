//! Appending: commits in groups, the same record again, several writers at one head.

use std::sync::Barrier;
use std::thread;

use marrowline_ledger::Refusal;
use marrowline_ledger::store::MAX_BATCH;
use marrowline_record::pb::Meaning;

use super::world::{self, QUINN, Signed, World, accepted, refused};

#[test]
fn records_that_wait_are_committed_together_and_nobody_is_answered_before() {
    let world = World::new();
    world.gate.shut();
    let mut first = world.submit(&[&world.donor(0)]);
    world.gate.wait_for_commits(2);
    let mut answers: Vec<_> = (1..=600).map(|n| world.submit(&[&world.donor(n)])).collect();
    assert!(first.try_recv().is_err() && answers.iter_mut().all(|a| a.try_recv().is_err()), "answered before it is durable");
    assert_eq!((world.ledger.size(), world.ledger.entry(1).unwrap().is_none()), (1, true), "seen before it is durable");
    world.gate.open(&[]);
    assert_eq!(accepted(first.blocking_recv().unwrap()).index, 1);
    let log = world.ledger.verifier_key().unwrap();
    for (number, answer) in (2u64..).zip(answers) {
        let appended = accepted(answer.blocking_recv().unwrap());
        assert_eq!((appended.index, appended.duplicate), (number, false));
        world.ledger.receipt_of(&appended).unwrap().verify(&log, None).unwrap();
    }
    let commits = world.gate.asked();
    assert_eq!(commits.iter().sum::<usize>(), 602);
    // The founding, the first, at most one that was being judged and one that was waiting, then full ones.
    assert!(commits.len() <= 4 + 3, "{commits:?}");
    assert!(commits.iter().all(|count| *count <= MAX_BATCH), "{commits:?}");
}

#[test]
fn records_of_one_request_are_appended_together_or_not_at_all() {
    let world = World::new();
    let (good, other) = (world.donor(1), world.donor(2));
    let stale = world.enrolment(20, &good.head(1));
    assert!(matches!(refused(world.answer(&[&good, &stale, &other])), Refusal::Violations { .. }));
    assert!(world.is_unknown(&good) && world.is_unknown(&other));
    assert_eq!(world.ledger.size(), 1);
    // What stands on a record of the same request is judged after it.
    let first = world.enrolment(20, &world.founded);
    let second = world.enrolment(21, &first.head(2));
    let appended = world.answer(&[&good, &first, &second, &other]).unwrap();
    assert_eq!(appended.iter().map(|a| a.index).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(*world.gate.asked().last().unwrap(), 4, "one commit");
}

#[test]
fn the_same_record_again_has_the_same_place() {
    let world = World::new();
    let donor = world.donor(1);
    let first = accepted(world.answer(&[&donor]));
    accepted(world.answer(&[&world.donor(2)]));
    let again = accepted(world.answer(&[&donor]));
    assert_eq!((first.index, first.duplicate), (1, false));
    assert_eq!((again.index, again.duplicate), (1, true));
    assert_eq!(world.ledger.size(), 3);
    let log = world.ledger.verifier_key().unwrap();
    let (one, two) = (world.ledger.receipt_of(&first).unwrap(), world.ledger.receipt_of(&again).unwrap());
    one.verify(&log, None).unwrap();
    two.verify(&log, None).unwrap();
    assert_eq!((one.index, &one.leaf, &one.record), (two.index, &two.leaf, &two.record));
    // Twice in one request, too.
    let donor = world.donor(3);
    let twice = world.answer(&[&donor, &donor]).unwrap();
    assert_eq!(twice.iter().map(|a| (a.index, a.duplicate)).collect::<Vec<_>>(), [(3, false), (3, true)]);
}

#[test]
fn the_same_record_while_it_is_on_its_way_waits_for_its_commit() {
    let world = World::new();
    world.gate.shut();
    let donor = world.donor(1);
    let first = world.submit(&[&donor]);
    world.gate.wait_for_commits(2);
    let mut again = world.submit(&[&donor]);
    assert!(again.try_recv().is_err());
    world.gate.open(&[]);
    assert_eq!(accepted(first.blocking_recv().unwrap()).index, 1);
    let again = accepted(again.blocking_recv().unwrap());
    assert_eq!((again.index, again.duplicate, again.checkpoint.size), (1, true, 2));
    assert_eq!(world.gate.asked(), [1, 1]);
}

#[test]
fn the_same_id_with_other_content_or_other_signatures_is_refused() {
    let world = World::new();
    let enrolment = world.enrolment(20, &world.founded);
    let index = accepted(world.answer(&[&enrolment])).index;
    let mut other = enrolment.clone();
    other.record.note = Some("Something else.".to_owned());
    let refusal = refused(world.answer(&[&other]));
    assert!(matches!(refusal, Refusal::AlreadyExistsDifferent { index: i, .. } if i == index), "{refusal:?}");
    // The same bytes, and a signature that is not in the leaf.
    let mut signings = enrolment.signings();
    let statement = marrowline_record::signing::Statement {
        slot: 1,
        role: enrolment.record.slots[1].role(),
        meaning: Meaning::Approved,
        signed_at_ms: world::NOW_MS - 400,
        offset_minutes: 0,
    };
    let digest = marrowline_record::digest(&marrowline_record::encode(&enrolment.record));
    signings[1] = marrowline_record::signing::sign(&world::key(QUINN), digest, statement);
    let opened = world.opened_with(&enrolment, signings);
    let refusal = refused(world.ledger.submit(vec![opened]).unwrap().blocking_recv().unwrap());
    assert!(matches!(refusal, Refusal::SigningsDiffer { index: i, .. } if i == index), "{refusal:?}");
    assert_eq!(world.ledger.size(), 2);
}

#[test]
fn of_several_authorisations_that_saw_one_head_exactly_one_is_appended() {
    let world = World::new();
    let mut head = world.founded.clone();
    for round in 0..5u8 {
        let rivals: Vec<Signed> = (0..8).map(|n| world.enrolment(20 + round * 8 + n, &head)).collect();
        let start = Barrier::new(rivals.len());
        let answers: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = rivals
                .iter()
                .map(|rival| {
                    scope.spawn(|| {
                        let opened = world.opened(rival);
                        start.wait();
                        world.ledger.submit(vec![opened]).unwrap().blocking_recv().unwrap()
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let winners: Vec<usize> = (0..rivals.len()).filter(|n| answers[*n].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{answers:?}");
        for answer in answers.into_iter().filter(|a| a.is_err()) {
            let Refusal::Violations { violations, moved } = refused(answer) else { panic!("refused for another reason") };
            assert_eq!(violations.iter().map(|v| v.code.name).collect::<Vec<_>>(), ["HEAD_MOVED"]);
            let since: Vec<(&[u8], u64)> = moved.iter().map(|m| (m.record_id.0.as_slice(), m.seq)).collect();
            assert_eq!(since, [(rivals[winners[0]].record.record_id.as_slice(), u64::from(round) + 2)]);
        }
        head = rivals[winners[0]].head(u64::from(round) + 2);
        assert_eq!(world.ledger.size(), u64::from(round) + 2);
    }
}

#[test]
fn who_is_refused_because_of_a_record_on_its_way_hears_of_it_once_it_is_durable() {
    let world = World::new();
    world.gate.shut();
    let (winner, loser) = (world.enrolment(20, &world.founded), world.enrolment(21, &world.founded));
    let first = world.submit(&[&winner]);
    world.gate.wait_for_commits(2);
    let mut second = world.submit(&[&loser]);
    world.gate.wait_until_judged(&loser);
    assert!(second.try_recv().is_err());
    world.gate.open(&[]);
    accepted(first.blocking_recv().unwrap());
    let Refusal::Violations { moved, .. } = refused(second.blocking_recv().unwrap()) else { panic!("another refusal") };
    assert_eq!(moved.iter().map(|m| m.record_id.0.as_slice()).collect::<Vec<_>>(), [winner.record.record_id.as_slice()]);
    assert_eq!(moved[0].event, "KeyGranted");
    assert_eq!(world.gate.asked(), [1, 1], "a refusal writes nothing");
    // With nothing on its way it is answered at once.
    refused(world.answer(&[&loser]));
}

#[test]
fn a_full_queue_says_when_to_come_back_and_loses_nothing() {
    let world = World::new();
    world.gate.shut();
    let opened = world.opened(&world.donor(0));
    let mut answers = Vec::new();
    // Requests of 64 records each fill the queue by their records, long before there are too many requests.
    let busy = loop {
        match world.ledger.submit(vec![opened.clone(); 64]) {
            Ok(answer) => answers.push(answer),
            Err(busy) => break busy,
        }
        assert!(answers.len() < 4_096, "records without end may wait");
    };
    assert!((50..=5_000).contains(&busy.retry_after_ms));
    world.gate.open(&[]);
    for answer in answers {
        let appended = answer.blocking_recv().unwrap().unwrap();
        assert!(appended.iter().all(|a| a.index == 1), "all of them are the same record");
    }
    let next = world.donor(1);
    assert_eq!(accepted(world.answer(&[&next])).index, 2, "there is room again");
}

#[test]
fn a_history_that_a_client_has_seen_otherwise_takes_no_more_records() {
    let founding = world::founding("example.org/lab");
    let (one, other) = (World::founded_by(&founding), World::founded_by(&founding));
    let common = one.ledger.checkpoint().note.clone();
    accepted(one.answer(&[&one.donor(1)]));
    let seen = one.ledger.checkpoint().note.clone();
    // The other was restored to the founding and has grown past what the client has seen.
    accepted(other.answer(&[&other.donor(2)]));
    accepted(other.answer(&[&other.donor(3)]));
    for note in ["", "no note", &common, &other.ledger.checkpoint().note] {
        other.ledger.seen_checkpoint(note);
        other.ledger.seen_checkpoint(note);
        assert_eq!(other.ledger.stopped(), None, "{note}");
    }
    other.ledger.seen_checkpoint(&seen);
    assert!(other.ledger.stopped().is_some_and(|why| why.contains("2 records")));
    assert!(matches!(refused(other.answer(&[&other.donor(4)])), Refusal::ReadOnly { .. }));
    one.ledger.seen_checkpoint(&seen);
    accepted(one.answer(&[&one.donor(5)]));
}
