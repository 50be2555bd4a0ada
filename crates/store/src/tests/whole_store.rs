//! The whole store, sled included: after power cuts with sled lost or kept, and while batches wait for sled.

use std::path::Path;
use std::sync::Arc;

use marrowline_ledger::conformance::{Expected, Samples};
use marrowline_ledger::store::{NoteKind, Reader as _, Store as _, StoreError};

use super::simulated_disk::{SimulatedDisk, Survives};
use crate::disk::Disk as _;
use crate::local::{LocalStore, OpenReport};
use crate::pending::PendingBatch;
use crate::projection::Projection;
use crate::reading::Shelf;

const SEGMENT_BYTES: u64 = 16_384;

fn open(disk: &SimulatedDisk, folder: &Path) -> Result<(LocalStore, OpenReport), StoreError> {
    LocalStore::open_on(Arc::new(disk.clone()), folder, SEGMENT_BYTES, &mut |_, _| {})
}

/// A disk that has the folder's parents and nothing else.
fn disk_with(folder: &Path) -> SimulatedDisk {
    let disk = SimulatedDisk::default();
    let mut parents: Vec<&Path> = folder.ancestors().skip(1).collect();
    parents.reverse();
    for parent in parents {
        if let Some(above) = parent.parent() {
            disk.create_folder(parent).unwrap();
            disk.sync_folder(above).unwrap();
        }
    }
    disk
}

/// Commits until the power is cut; returns what must be there and what may be.
fn work(disk: &SimulatedDisk, folder: &Path) -> (Expected, Expected) {
    let (mut samples, mut acknowledged, mut asked) = (Samples::default(), Expected::default(), Expected::default());
    let Ok((mut store, _)) = open(disk, folder) else { return (acknowledged, asked) };
    let Ok(epoch) = store.claim() else { return (acknowledged, asked) };
    for round in 0..10u64 {
        let batch = samples.batch(1 + round % 4);
        asked.add(&batch);
        if store.commit(epoch, &batch).is_err() {
            break;
        }
        acknowledged.add(&batch);
        asked.check(store.reader().as_ref());
        if round % 3 == 0 && store.note(epoch, &[(NoteKind::Clock, vec![round as u8])]).is_err() {
            break;
        }
        if round % 4 == 3 && store.publish(epoch, &samples.checkpoint()).is_err() {
            break;
        }
    }
    // The applier may finish: sled is not on this disk, and gets nothing that was not acknowledged.
    let _ = store.close();
    (acknowledged, asked)
}

#[test]
fn the_whole_store_comes_back_after_every_power_cut_with_and_without_sled() {
    let folder = tempfile::tempdir().unwrap();
    let whole = disk_with(folder.path());
    let before = whole.operations();
    work(&whole, folder.path());
    let operations = whole.operations();
    for operation in before + 1..=operations {
        let folder = tempfile::tempdir().unwrap();
        let store_folder = folder.path().join("store");
        let disk = disk_with(&store_folder).cut_at(operation);
        let (acknowledged, asked) = work(&disk, &store_folder);
        for (survives, keeps_sled) in [(Survives::Nothing, true), (Survives::Some(operation), false)] {
            let what = format!("cut at {operation} of {operations}, survives {survives:?}");
            if !keeps_sled {
                std::fs::remove_dir_all(store_folder.join("sled")).ok();
            }
            let survived = disk.after_power_cut(survives);
            let (mut store, report) = open(&survived, &store_folder).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(report.rebuilt, None, "{what}");
            let reader = store.reader();
            let expected = if reader.size() == acknowledged.size() { &acknowledged } else { &asked };
            assert_eq!(expected.differences(reader.as_ref()).unwrap(), Vec::<String>::new(), "{what}");
            store.claim().unwrap();
            store.close().unwrap();
        }
    }
}

/// The same answers before a batch is in sled, while some are, and after.
#[test]
fn answers_are_the_same_wherever_a_batch_is() {
    let folder = tempfile::tempdir().unwrap();
    let Ok(projection) = Projection::open(&folder.path().join("sled")) else { panic!("sled does not open") };
    let shelf = Shelf::new(projection, 0, None);
    let (mut samples, mut expected) = (Samples::default(), Expected::default());
    let mut waiting = std::collections::VecDeque::new();
    for (count, applied) in [(5, 0), (130, 1), (200, 0), (3, 0), (31, 3), (1, 2)] {
        let batch = samples.batch(count);
        expected.add(&batch);
        let batch = Arc::new(PendingBatch::new(batch));
        shelf.show(Arc::clone(&batch));
        waiting.push_back(batch);
        expected.check(&shelf);
        for _ in 0..applied {
            shelf.apply(&waiting.pop_front().unwrap()).unwrap();
            expected.check(&shelf);
        }
    }
    assert!(waiting.is_empty());
    assert_eq!(shelf.size(), 370);
}

/// A batch that is in sled and still waits, as in the moment between the two, is seen once.
#[test]
fn a_batch_that_is_in_sled_and_still_waits_is_seen_once() {
    let folder = tempfile::tempdir().unwrap();
    let Ok(projection) = Projection::open(&folder.path().join("sled")) else { panic!("sled does not open") };
    let (mut samples, mut expected) = (Samples::default(), Expected::default());
    let batches: Vec<Arc<PendingBatch>> = (0..4).map(|n| Arc::new(PendingBatch::new(samples.batch(3 + n)))).collect();
    for batch in &batches {
        projection.apply(batch).unwrap();
        expected.add(&batch.batch);
    }
    let shelf = Shelf::new(projection, 0, None);
    for batch in batches {
        shelf.show(batch);
    }
    expected.check(&shelf);
}

#[test]
fn a_store_that_was_never_closed_is_whole_when_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk_with(folder.path());
    let (mut samples, mut expected) = (Samples::default(), Expected::default());
    for round in 0..6 {
        let (mut store, report) = open(&disk, folder.path()).unwrap();
        assert_eq!(report, OpenReport::default());
        expected.check(store.reader().as_ref());
        let epoch = store.claim().unwrap();
        for count in [1, 7, 100] {
            let batch = samples.batch(count);
            store.commit(epoch, &batch).unwrap();
            expected.add(&batch);
        }
        store.note(epoch, &[(NoteKind::Proposal, vec![round])]).unwrap();
        let reader = store.reader();
        expected.check(reader.as_ref());
        assert_eq!(reader.notes(NoteKind::Proposal, 0, 10).unwrap().len(), usize::from(round) + 1);
    }
}
