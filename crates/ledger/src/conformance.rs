//! What every store must do: one suite for all of them, behind the feature `testing`.
//!
//! A store is given as a way to open it. Opened again, after it was closed, it must have everything that it acknowledged.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests: what is not as expected panics")]

mod samples;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

pub use samples::{Expected, Samples};

use crate::store::{Batch, Epoch, IndexedValue, MAX_BATCH, NoteKind, Reader, Store, StoreError};

/// Opens a store, or opens it again after it was closed.
pub type Open<'o> = dyn FnMut() -> Box<dyn Store> + 'o;

/// One thing that every store must do. It gets a store of its own, empty.
pub struct Check {
    /// What, in words.
    pub name: &'static str,
    /// Panics if the store does not do it.
    pub run: fn(&mut Open<'_>),
}

/// Everything that every store must do.
pub const CHECKS: [Check; 10] = [
    Check { name: "an empty store has nothing", run: empty },
    Check { name: "what was committed is read back", run: read_back },
    Check { name: "index values: the first stays or the last counts", run: index_values_win },
    Check { name: "scans are ordered and cut at the limit", run: scans },
    Check { name: "a batch that does not continue the store is refused", run: out_of_order },
    Check { name: "a batch is neither empty nor too large", run: batch_bounds },
    Check { name: "notes are numbered, kept by kind and seen at once", run: notes },
    Check { name: "the last checkpoint replaces the one before", run: checkpoints },
    Check { name: "an earlier claim is void", run: fencing },
    Check { name: "readers see whole batches while they are written", run: readers_beside_a_writer },
];

/// Runs every check, each on a store of its own.
pub fn all<'o>(mut new_store: impl FnMut() -> Box<Open<'o>>) {
    for check in CHECKS {
        println!("{}", check.name);
        (check.run)(&mut *new_store());
    }
}

fn claimed(open: &mut Open<'_>) -> (Box<dyn Store>, Epoch, Arc<dyn Reader>) {
    let mut store = open();
    let epoch = store.claim().unwrap();
    let reader = store.reader();
    (store, epoch, reader)
}

/// Closes a store and opens it again.
fn again(mut store: Box<dyn Store>, open: &mut Open<'_>) -> (Box<dyn Store>, Epoch, Arc<dyn Reader>) {
    store.close().unwrap();
    drop(store);
    claimed(open)
}

fn empty(open: &mut Open<'_>) {
    let (store, _, reader) = claimed(open);
    Expected::default().check(reader.as_ref());
    assert_eq!(reader.checkpoint().unwrap(), None);
    assert_eq!(reader.notes(NoteKind::Access, 0, 10).unwrap(), []);
    store.room_for(0).unwrap();
    let (_store, _, reader) = again(store, open);
    Expected::default().check(reader.as_ref());
}

fn read_back(open: &mut Open<'_>) {
    let (mut store, mut epoch, mut reader) = claimed(open);
    let (mut samples, mut expected) = (Samples::default(), Expected::default());
    // Past two tiles, with both bounds of a batch.
    for (number, count) in [1, 2, 13, 256, 7, 1, 240].into_iter().enumerate() {
        let batch = samples.batch(count);
        store.commit(epoch, &batch).unwrap();
        expected.add(&batch);
        assert_eq!(reader.size(), expected.size());
        if number % 3 == 0 {
            expected.check(reader.as_ref());
            (store, epoch, reader) = again(store, open);
            expected.check(reader.as_ref());
        }
    }
    expected.check(reader.as_ref());
}

/// Key, value, whether an existing value stays.
type Write<'w> = (&'w str, u8, bool);

/// A batch with these index writes, one list for each record.
fn indexed(samples: &mut Samples, writes: &[&[Write<'_>]]) -> Batch {
    let mut batch = samples.batch(u64::try_from(writes.len()).unwrap());
    for (record, writes) in batch.records.iter_mut().zip(writes) {
        record.index_writes = writes
            .iter()
            .map(|(key, value, first_wins)| IndexedValue {
                key: key.as_bytes().to_vec(),
                value: [*value; 16],
                first_wins: *first_wins,
            })
            .collect();
    }
    batch
}

fn index_values_win(open: &mut Open<'_>) {
    let (mut store, mut epoch, mut reader) = claimed(open);
    let (mut samples, mut expected) = (Samples::default(), Expected::default());
    let history: [&[&[Write<'_>]]; 6] = [
        &[&[("first", 1, true), ("last", 1, false), ("mixed", 1, true)]],
        &[&[("first", 2, true), ("last", 2, false)], &[("last", 3, false), ("mixed", 2, false), ("first", 3, true)]],
        &[&[("mixed", 3, true), ("other", 1, false), ("other", 2, true)]],
        &[&[("other", 3, true)], &[("last", 4, true)]],
        &[&[("new", 1, true), ("new", 2, true), ("new", 3, false)]],
        &[&[("new", 4, true)]],
    ];
    for (number, writes) in history.into_iter().enumerate() {
        let batch = indexed(&mut samples, writes);
        store.commit(epoch, &batch).unwrap();
        expected.add(&batch);
        expected.check(reader.as_ref());
        if number % 2 == 1 {
            (store, epoch, reader) = again(store, open);
            expected.check(reader.as_ref());
        }
    }
    let values: Vec<u8> =
        ["first", "last", "mixed", "other", "new"].iter().map(|key| reader.lookup(key.as_bytes()).unwrap().unwrap()[0]).collect();
    assert_eq!(values, [1, 3, 2, 1, 3]);
}

fn scans(open: &mut Open<'_>) {
    let (mut store, epoch, reader) = claimed(open);
    let mut samples = Samples::default();
    // Written in no order, over several batches; "a" is a prefix of others, "b" is not.
    for keys in [["a3", "b", "a1"], ["a", "aa", "a2"], ["a1", "\u{7f}", ""]] {
        let writes: Vec<[Write<'_>; 1]> = keys.iter().map(|key| [(*key, 1, true)]).collect();
        let writes: Vec<&[Write<'_>]> = writes.iter().map(|w| w.as_slice()).collect();
        store.commit(epoch, &indexed(&mut samples, &writes)).unwrap();
    }
    let keys = |prefix: &str, limit: usize| -> Vec<String> {
        let found = reader.scan(prefix.as_bytes(), &[], limit).unwrap();
        found.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect()
    };
    assert_eq!(keys("a", 10), ["a", "a1", "a2", "a3", "aa"]);
    assert_eq!(keys("a", 2), ["a", "a1"]);
    assert_eq!(keys("", 100), ["", "a", "a1", "a2", "a3", "aa", "b", "\u{7f}"]);
    assert_eq!(keys("a1", 10), ["a1"]);
    assert!(keys("c", 10).is_empty() && keys("a", 0).is_empty());
    // The next page begins where the last one ended; a beginning outside of the prefix is none.
    let from =
        |from: &str| -> Vec<Vec<u8>> { reader.scan(b"a", from.as_bytes(), 2).unwrap().into_iter().map(|(key, _)| key).collect() };
    assert_eq!(from("a2"), [b"a2".to_vec(), b"a3".to_vec()]);
    assert_eq!(from("a1\0"), [b"a2".to_vec(), b"a3".to_vec()]);
    assert_eq!(from("aa"), [b"aa".to_vec()]);
    assert_eq!(from(""), [b"a".to_vec(), b"a1".to_vec()]);
    assert!(from("b").is_empty());
}

fn out_of_order(open: &mut Open<'_>) {
    let (mut store, epoch, reader) = claimed(open);
    let (mut samples, mut expected) = (Samples::default(), Expected::default());
    let first = samples.batch(2);
    let second = samples.batch(3);
    let early = store.commit(epoch, &second);
    assert!(matches!(early, Err(StoreError::OutOfOrder { first: 2, size: 0 })), "{early:?}");
    expected.check(reader.as_ref());
    store.commit(epoch, &first).unwrap();
    expected.add(&first);
    let twice = store.commit(epoch, &first);
    assert!(matches!(twice, Err(StoreError::OutOfOrder { first: 0, size: 2 })), "{twice:?}");
    expected.check(reader.as_ref());
    store.commit(epoch, &second).unwrap();
    expected.add(&second);
    expected.check(reader.as_ref());
}

fn batch_bounds(open: &mut Open<'_>) {
    let (mut store, epoch, reader) = claimed(open);
    let mut samples = Samples::default();
    let too_many = samples.clone().batch(u64::try_from(MAX_BATCH).unwrap() + 1);
    let most = samples.batch(u64::try_from(MAX_BATCH).unwrap());
    for refused in [&too_many, &Batch { records: Vec::new(), ..most.clone() }] {
        assert!(matches!(store.commit(epoch, refused), Err(StoreError::Failed(_))));
        assert_eq!(reader.size(), 0);
    }
    store.commit(epoch, &most).unwrap();
    assert_eq!(reader.size(), most.records.len() as u64);
}

fn notes(open: &mut Open<'_>) {
    let (mut store, mut epoch, mut reader) = claimed(open);
    let mut all: Vec<(NoteKind, Vec<u8>)> = Vec::new();
    let kinds = NoteKind::ALL;
    for round in 0..8usize {
        let notes: Vec<(NoteKind, Vec<u8>)> =
            (0..round).map(|n| (kinds[(n * n + round) % kinds.len()], vec![n as u8; round * 40])).collect();
        store.note(epoch, &notes).unwrap();
        all.extend(notes);
        let check = |reader: &dyn Reader| {
            for kind in kinds {
                for (from, limit) in [(0, usize::MAX), (0, 1), (3, 2), (all.len() as u64, 5), (7, 0)] {
                    let expected: Vec<(u64, Vec<u8>)> = (0u64..)
                        .zip(&all)
                        .filter(|(number, (k, _))| *number >= from && *k == kind)
                        .take(limit)
                        .map(|(number, (_, body))| (number, body.clone()))
                        .collect();
                    assert_eq!(reader.notes(kind, from, limit).unwrap(), expected, "{kind:?} from {from}, at most {limit}");
                }
            }
        };
        check(reader.as_ref());
        if round % 3 == 2 {
            (store, epoch, reader) = again(store, open);
            check(reader.as_ref());
        }
    }
}

fn checkpoints(open: &mut Open<'_>) {
    let (mut store, mut epoch, mut reader) = claimed(open);
    let mut samples = Samples::default();
    for count in [1, 4, 2] {
        store.commit(epoch, &samples.batch(count)).unwrap();
        let checkpoint = samples.checkpoint();
        store.publish(epoch, &checkpoint).unwrap();
        assert_eq!(reader.checkpoint().unwrap().as_deref(), Some(checkpoint.as_str()));
        // The store may be ahead of it.
        store.commit(epoch, &samples.batch(1)).unwrap();
        (store, epoch, reader) = again(store, open);
        assert_eq!(reader.checkpoint().unwrap(), Some(checkpoint));
    }
}

fn fencing(open: &mut Open<'_>) {
    let (mut store, first, reader) = claimed(open);
    let mut samples = Samples::default();
    store.commit(first, &samples.batch(1)).unwrap();
    let checkpoint = samples.checkpoint();
    let second = store.claim().unwrap();
    assert!(second > first);
    let next = samples.batch(1);
    let outcomes = |store: &mut Box<dyn Store>| {
        [store.commit(first, &next), store.note(first, &[(NoteKind::Access, vec![1])]), store.publish(first, &checkpoint)]
    };
    for outcome in outcomes(&mut store) {
        assert!(
            matches!(outcome, Err(StoreError::Fenced { current, held }) if (current, held) == (second.0, first.0)),
            "{outcome:?}"
        );
    }
    let nothing = (reader.size(), reader.notes(NoteKind::Access, 0, 9).unwrap(), reader.checkpoint().unwrap());
    assert_eq!(nothing, (1, Vec::new(), None));
    let (mut store, third, _) = again(store, open);
    assert!(third > second, "an epoch is never given twice");
    assert!(matches!(store.commit(second, &next), Err(StoreError::Fenced { .. })));
    store.commit(third, &next).unwrap();
}

fn readers_beside_a_writer(open: &mut Open<'_>) {
    let (mut store, epoch, reader) = claimed(open);
    let mut samples = Samples::default();
    let ends_of_batches: Vec<u64> = (0..60)
        .scan(0, |end, n| {
            *end += 1 + n % 3;
            Some(*end)
        })
        .collect();
    let keys: Vec<String> = (0..*ends_of_batches.last().unwrap()).map(|n| format!("k{n:05}")).collect();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = 0;
                while !is_done.load(Ordering::SeqCst) {
                    last = look(reader.as_ref(), &ends_of_batches, last);
                }
            });
        }
        let mut from = 0usize;
        for end in &ends_of_batches {
            let end = usize::try_from(*end).unwrap();
            let writes: Vec<[Write<'_>; 1]> = keys[from..end].iter().map(|key| [(key.as_str(), 1, true)]).collect();
            let writes: Vec<&[Write<'_>]> = writes.iter().map(|w| w.as_slice()).collect();
            store.commit(epoch, &indexed(&mut samples, &writes)).unwrap();
            store.note(epoch, &[(NoteKind::Access, vec![1])]).unwrap();
            from = end;
        }
        is_done.store(true, Ordering::SeqCst);
    });
    assert_eq!(look(reader.as_ref(), &ends_of_batches, 0), *ends_of_batches.last().unwrap());
}

/// Holds what a reader sees at some moment against what it saw before; returns the size.
fn look(reader: &dyn Reader, ends_of_batches: &[u64], last: u64) -> u64 {
    let size = reader.size();
    assert!(size >= last && (size == 0 || ends_of_batches.contains(&size)), "size {size} after {last}");
    if let Some(newest) = size.checked_sub(1) {
        assert!(reader.entry(newest).unwrap().is_some() && reader.entry(newest / 2).unwrap().is_some());
    }
    let keys: Vec<Vec<u8>> = reader.scan(b"k", &[], usize::MAX).unwrap().into_iter().map(|(key, _)| key).collect();
    assert!(keys.len() as u64 >= size, "{} keys for {size} records", keys.len());
    assert!((0u64..).zip(&keys).all(|(n, key)| *key == format!("k{n:05}").into_bytes()), "a gap or a key twice");
    let notes: Vec<u64> = reader.notes(NoteKind::Access, 0, usize::MAX).unwrap().into_iter().map(|(number, _)| number).collect();
    assert!((0u64..).zip(&notes).all(|(n, number)| n == *number), "a gap or a note twice");
    let batches = ends_of_batches.iter().filter(|end| **end <= size).count();
    assert!(notes.len() + 1 >= batches, "{} notes after {batches} batches", notes.len());
    size
}
