//! The power is cut at every single operation of a workload, and once more during recovery. Whatever survives: nothing that was
//! acknowledged is lost, no commit is there by halves, the log extends the last checkpoint, and appending goes on.

use std::path::Path;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use marrowline_ledger::store::{NoteKind, StoreError};
use marrowline_merkle::{Checkpoint, Hash};

use super::simulated_disk::{SimulatedDisk, Survives};
use crate::checkpoint;
use crate::durable::Durable;
use crate::frame::Item;
use crate::journal::Journal;
use crate::segment;
use marrowline_record::testing::Noise as Random;

const FOLDER: &str = "/store";
const SEGMENT_BYTES: u64 = 4_096;
const STEPS: u64 = 14;

type Records = Vec<(Vec<u8>, Vec<u8>)>;
type Notes = Vec<(NoteKind, Vec<u8>)>;

/// What was asked for, and how much of it was acknowledged.
#[derive(Clone, Default)]
struct History {
    commits: Vec<(Hash, Records)>,
    acknowledged_commits: usize,
    notes: Vec<Notes>,
    acknowledged_notes: usize,
    checkpoints: Vec<u64>,
    acknowledged_checkpoints: usize,
    epochs: u64,
    acknowledged_epochs: u64,
}

fn root(number: usize) -> Hash {
    [number as u8 + 1; 32]
}

fn signed(size: u64, root: Hash) -> String {
    let checkpoint = Checkpoint::new("example.org/ledger/0a", size, root).unwrap();
    checkpoint.sign(&SigningKey::from_bytes(&[7; 32])).unwrap()
}

fn open(disk: &SimulatedDisk) -> Result<Durable, StoreError> {
    let mut durable = Durable::open(Arc::new(disk.clone()), Path::new(FOLDER), SEGMENT_BYTES)?;
    durable.settle()?;
    Ok(durable)
}

impl History {
    fn size(&self) -> u64 {
        self.commits.iter().map(|(_, records)| records.len() as u64).sum()
    }

    fn commit(&mut self, durable: &mut Durable, random: &mut Random) -> Result<(), StoreError> {
        let first = self.size();
        let records: Records = (0..1 + random.below(5))
            .map(|_| (vec![random.number() as u8; 40 + random.below(60)], vec![random.number() as u8; random.below(700)]))
            .collect();
        let root = root(self.commits.len());
        let items: Vec<Item<'_>> = records.iter().map(|(l, r)| (l.as_slice(), r.as_slice())).collect();
        self.commits.push((root, records.clone()));
        durable.commit(marrowline_ledger::store::Epoch(self.acknowledged_epochs), first, root, &items)?;
        self.acknowledged_commits = self.commits.len();
        Ok(())
    }

    fn note(&mut self, durable: &mut Durable, random: &mut Random) -> Result<(), StoreError> {
        let notes: Notes =
            (0..1 + random.below(3)).map(|_| (NoteKind::Access, vec![random.number() as u8; random.below(200)])).collect();
        self.notes.push(notes.clone());
        durable.note(marrowline_ledger::store::Epoch(self.acknowledged_epochs), &notes)?;
        self.acknowledged_notes = self.notes.len();
        Ok(())
    }

    fn publish(&mut self, durable: &mut Durable) -> Result<(), StoreError> {
        let size = self.size();
        self.checkpoints.push(size);
        let note = signed(size, root(self.commits.len() - 1));
        durable.publish(marrowline_ledger::store::Epoch(self.acknowledged_epochs), &note)?;
        self.acknowledged_checkpoints = self.checkpoints.len();
        Ok(())
    }

    fn claim(&mut self, durable: &mut Durable) -> Result<(), StoreError> {
        self.epochs += 1;
        self.acknowledged_epochs = durable.claim()?.0;
        Ok(())
    }

    fn work(&mut self, disk: &SimulatedDisk) -> Result<(), StoreError> {
        let mut random = Random(1);
        let mut durable = open(disk)?;
        self.claim(&mut durable)?;
        for step in 0..STEPS {
            self.commit(&mut durable, &mut random)?;
            if step % 2 == 0 {
                self.note(&mut durable, &mut random)?;
            }
            if step % 3 == 2 {
                self.publish(&mut durable)?;
            }
        }
        Ok(())
    }

    /// Opens what has survived and holds it against the history; forgets what was in flight and did not make it.
    fn check(&mut self, disk: &SimulatedDisk, what: &str) -> Durable {
        let durable = open(disk).unwrap_or_else(|e| panic!("{what}: does not open: {e}"));
        let commits = frames(durable.journal());
        let asked: Vec<(Hash, Records)> = self.commits.iter().take(commits.len()).cloned().collect();
        assert_eq!(commits, asked, "{what}");
        assert!(commits.len() >= self.acknowledged_commits, "{what}: an acknowledged commit is lost");
        assert!(commits.len() <= self.acknowledged_commits + 1, "{what}: more than was in flight");
        self.commits.truncate(commits.len());
        assert_eq!(durable.journal().size(), self.size(), "{what}");

        let notes: Vec<Vec<Vec<u8>>> =
            frames(durable.notes()).into_iter().map(|(_, n)| n.into_iter().map(|(_, body)| body).collect()).collect();
        let asked: Vec<Vec<Vec<u8>>> =
            self.notes.iter().take(notes.len()).map(|n| n.iter().map(|(_, body)| body.clone()).collect()).collect();
        assert_eq!(notes, asked, "{what}");
        assert!(notes.len() >= self.acknowledged_notes, "{what}: acknowledged notes are lost");
        self.notes.truncate(notes.len());

        let size = durable.checkpoint().map(|note| checkpoint::parse(note).unwrap().size());
        let least = self.acknowledged_checkpoints.checked_sub(1).map(|at| self.checkpoints[at]);
        assert!(size >= least && size <= self.checkpoints.last().copied(), "{what}: checkpoint {size:?}");
        assert!(size.is_none_or(|size| size <= self.size()), "{what}: the log does not reach its checkpoint");
        durable
    }

    /// Appending goes on, and what is appended is there.
    fn goes_on(mut self, disk: &SimulatedDisk, what: &str) {
        let mut durable = self.check(disk, what);
        let before = self.acknowledged_epochs;
        self.claim(&mut durable).unwrap();
        assert!(self.acknowledged_epochs > before, "{what}: an epoch is given twice");
        let mut random = Random(2);
        for _ in 0..3 {
            self.commit(&mut durable, &mut random).unwrap_or_else(|e| panic!("{what}: {e}"));
            self.note(&mut durable, &mut random).unwrap_or_else(|e| panic!("{what}: {e}"));
        }
        self.publish(&mut durable).unwrap_or_else(|e| panic!("{what}: {e}"));
        drop(durable);
        let disk = disk.after_power_cut(Survives::Nothing);
        let (commits, notes) = (self.commits.len(), self.notes.len());
        self.check(&disk, what);
        assert_eq!((self.commits.len(), self.notes.len()), (commits, notes), "{what}");
    }
}

fn frames(journal: &Journal) -> Vec<(Hash, Records)> {
    let mut frames = Vec::new();
    segment::read(journal.place(), 0, &mut |frame, _| {
        frames.push((frame.hash, frame.items));
        Ok(true)
    })
    .unwrap();
    frames
}

/// Runs the workload until the power is cut at an operation.
fn cut(operation: u64) -> (History, SimulatedDisk) {
    let disk = SimulatedDisk::default().cut_at(operation);
    let mut history = History::default();
    assert!(history.work(&disk).is_err());
    (history, disk)
}

fn operations() -> u64 {
    let disk = SimulatedDisk::default();
    let mut history = History::default();
    history.work(&disk).unwrap();
    let segments = disk.files().iter().filter(|p| p.extension().is_some_and(|e| e == "mlj")).count();
    assert!(segments > 6, "the workload fills several segments of both journals");
    disk.operations()
}

#[test]
fn nothing_acknowledged_is_lost_wherever_the_power_is_cut() {
    let operations = operations();
    assert!(operations > 100);
    for operation in 1..=operations {
        let (history, disk) = cut(operation);
        let survivors = [Survives::Nothing, Survives::Everything];
        for survives in survivors.into_iter().chain((0..12).map(|n| Survives::Some(operation * 100 + n))) {
            let what = format!("cut at {operation} of {operations}, survives {survives:?}");
            history.clone().goes_on(&disk.after_power_cut(survives), &what);
        }
    }
}

#[test]
fn the_power_is_cut_again_during_recovery() {
    let operations = operations();
    for operation in 1..=operations {
        let (history, disk) = cut(operation);
        for seed in 0..3 {
            let survived = disk.after_power_cut(Survives::Some(operation * 100 + seed));
            for again in 1.. {
                let recovering = survived.after_power_cut(Survives::Everything).cut_at(again);
                if open(&recovering).is_ok() {
                    assert!(again > 3, "recovery writes");
                    break;
                }
                let what = format!("cut at {operation} and again at {again} of recovery, seed {seed}");
                history.clone().goes_on(&recovering.after_power_cut(Survives::Some(again + seed)), &what);
            }
        }
    }
}

/// A process that was killed leaves a frame that is in memory only. Once it was read, a power cut must not take it back.
#[test]
fn what_was_read_after_a_kill_is_durable() {
    for operation in 1..=operations() {
        let (mut history, disk) = cut(operation);
        let killed = disk.after_kill();
        let seen = history.check(&killed, "after a kill");
        let (commits, notes) = (history.commits.len(), history.notes.len());
        drop(seen);
        history.check(&killed.after_power_cut(Survives::Nothing), "after a power cut");
        assert_eq!((history.commits.len(), history.notes.len()), (commits, notes), "cut at {operation}");
    }
}

#[test]
fn a_full_disk_writes_nothing_and_goes_on_when_there_is_room() {
    let disk = SimulatedDisk::default();
    let mut history = History::default();
    let mut random = Random(3);
    let mut durable = open(&disk).unwrap();
    history.claim(&mut durable).unwrap();
    disk.set_full(true);
    let mut refused = 0;
    for round in 0..30 {
        disk.set_full(round % 5 != 4);
        let before = history.commits.clone();
        match history.commit(&mut durable, &mut random) {
            Ok(()) => {}
            Err(StoreError::Full { .. }) => {
                refused += 1;
                history.commits = before;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 3 && history.commits.len() > 10, "{refused} refused, {} written", history.commits.len());
    drop(durable);
    history.goes_on(&disk.after_power_cut(Survives::Nothing), "after a full disk");
}

#[test]
fn after_a_failed_sync_nothing_is_accepted_until_the_store_is_opened_again() {
    for survives in [Survives::Nothing, Survives::Everything, Survives::Some(1)] {
        let disk = SimulatedDisk::default();
        let mut history = History::default();
        let mut random = Random(4);
        let mut durable = open(&disk).unwrap();
        history.claim(&mut durable).unwrap();
        history.commit(&mut durable, &mut random).unwrap();
        disk.fail_one_sync();
        history.commit(&mut durable, &mut random).unwrap_err();
        let operations = disk.operations();
        let epoch = marrowline_ledger::store::Epoch(1);
        let size = durable.journal().size();
        assert!(matches!(durable.commit(epoch, size, root(1), &[(&[1], &[1])]), Err(StoreError::Failed(_))));
        assert!(matches!(durable.note(epoch, &[(NoteKind::Access, vec![1])]), Err(StoreError::Failed(_))));
        assert!(matches!(durable.publish(epoch, &signed(size, root(0))), Err(StoreError::Failed(_))));
        assert!(matches!(durable.claim(), Err(StoreError::Failed(_))));
        assert_eq!(disk.operations(), operations, "the disk is not asked again");
        drop(durable);
        history.goes_on(&disk.after_power_cut(survives), "after a failed sync");
    }
}
