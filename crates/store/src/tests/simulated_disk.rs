//! A disk in memory that remembers what was synced and what was not, and whose power can be cut at any operation.
//!
//! It promises no more than a disk does: a file's bytes are there once the file was synced, a name once its folder was. Of the rest
//! nothing, everything or any part may survive, in sectors, in any order.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::disk::{Disk, DiskFile};
use marrowline_record::testing::Noise as Random;

const SECTOR: usize = 512;

/// What survives of that which was not synced.
#[derive(Clone, Copy, Debug)]
pub enum Survives {
    Nothing,
    /// What a killed process leaves behind.
    Everything,
    /// Some of the names in order, and of each write all, nothing, a beginning or some sectors.
    Some(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    File(u64),
    Folder,
}

#[derive(Clone)]
enum NameChange {
    Made(PathBuf, Node),
    Renamed(PathBuf, PathBuf),
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Clone, Default)]
struct Content {
    synced: Vec<u8>,
    current: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone, Default)]
struct State {
    names: BTreeMap<PathBuf, Node>,
    synced_names: BTreeMap<PathBuf, Node>,
    unsynced_names: Vec<NameChange>,
    files: HashMap<u64, Content>,
    operations: u64,
    cut_at: Option<u64>,
    is_off: bool,
    is_full: bool,
    fails_to_sync: bool,
}

#[derive(Clone, Default)]
pub struct SimulatedDisk(Arc<Mutex<State>>);

impl SimulatedDisk {
    /// Operations so far that change something or sync.
    pub fn operations(&self) -> u64 {
        self.0.lock().unwrap().operations
    }

    /// Cuts the power at this operation, counted from 1: it fails, and so does everything after it.
    pub fn cut_at(self, operation: u64) -> SimulatedDisk {
        self.0.lock().unwrap().cut_at = Some(operation);
        self
    }

    /// Whether files can grow from now on.
    pub fn set_full(&self, is_full: bool) {
        self.0.lock().unwrap().is_full = is_full;
    }

    /// The next sync fails; the one after it would say that all is well.
    pub fn fail_one_sync(&self) {
        self.0.lock().unwrap().fails_to_sync = true;
    }

    /// The disk as it is when the power is back. This one stays as it is.
    pub fn after_power_cut(&self, survives: Survives) -> SimulatedDisk {
        let old = self.0.lock().unwrap().clone();
        let mut random = Random(match survives {
            Survives::Some(seed) => seed,
            _ => 0,
        });
        let mut names = old.synced_names;
        let kept = match survives {
            Survives::Nothing => 0,
            Survives::Everything => old.unsynced_names.len(),
            Survives::Some(_) => random.below(old.unsynced_names.len() + 1),
        };
        old.unsynced_names.iter().take(kept).for_each(|change| change.apply(&mut names));
        let is_reachable = |path: &PathBuf| path.ancestors().skip(1).all(|a| a.parent().is_none() || names.contains_key(a));
        let names: BTreeMap<PathBuf, Node> =
            names.iter().filter(|(p, _)| is_reachable(p)).map(|(p, n)| (p.clone(), *n)).collect();
        let mut files = HashMap::new();
        let mut numbers: Vec<&u64> = old.files.keys().collect();
        numbers.sort();
        for number in numbers {
            let content = &old.files[number];
            let bytes = match survives {
                Survives::Nothing => content.synced.clone(),
                Survives::Everything => content.current.clone(),
                Survives::Some(_) => content.some(&mut random),
            };
            files.insert(*number, Content { synced: bytes.clone(), current: bytes, unsynced: Vec::new() });
        }
        let state = State { synced_names: names.clone(), names, files, ..State::default() };
        SimulatedDisk(Arc::new(Mutex::new(state)))
    }

    /// The disk as it is after the process was killed and nothing else: everything is there, and no more of it is durable than before.
    pub fn after_kill(&self) -> SimulatedDisk {
        let state = State { operations: 0, cut_at: None, is_off: false, ..self.0.lock().unwrap().clone() };
        SimulatedDisk(Arc::new(Mutex::new(state)))
    }

    /// Paths of all files.
    pub fn files(&self) -> Vec<PathBuf> {
        let state = self.0.lock().unwrap();
        state.names.iter().filter(|(_, n)| **n != Node::Folder).map(|(p, _)| p.clone()).collect()
    }

    /// Counts an operation, carries it out unless it is a sync, and cuts the power if it is time.
    fn operate(&self, change: impl FnOnce(&mut State) -> io::Result<()>, sync: impl FnOnce(&mut State)) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.on()?;
        state.operations += 1;
        change(&mut state)?;
        if state.cut_at.is_some_and(|at| state.operations >= at) {
            state.is_off = true;
        }
        state.on()?;
        sync(&mut state);
        Ok(())
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            NameChange::Made(path, node) => {
                names.insert(path.clone(), *node);
            }
            NameChange::Renamed(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
        }
    }

    fn is_in(&self, folder: &Path) -> bool {
        let (NameChange::Made(path, _) | NameChange::Renamed(_, path)) = self;
        path.parent() == Some(folder)
    }
}

impl Content {
    fn apply(bytes: &mut Vec<u8>, change: &Change) {
        match change {
            Change::Write(at, new) => {
                bytes.resize(bytes.len().max(at + new.len()), 0);
                bytes[*at..at + new.len()].copy_from_slice(new);
            }
            Change::Length(length) => bytes.resize(*length, 0),
        }
    }

    fn change(&mut self, change: Change) {
        Content::apply(&mut self.current, &change);
        self.unsynced.push(change);
    }

    fn some(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        for change in &self.unsynced {
            match (random.below(4), change) {
                (0, _) => {}
                (1, _) | (_, Change::Length(_)) => Content::apply(&mut bytes, change),
                (2, Change::Write(at, new)) => {
                    let kept = random.below(new.len() + 1);
                    Content::apply(&mut bytes, &Change::Write(*at, new[..kept].to_vec()));
                }
                (_, Change::Write(at, new)) => {
                    let mut from = 0;
                    while from < new.len() {
                        let to = new.len().min(from + SECTOR - (at + from) % SECTOR);
                        if random.below(2) == 0 {
                            Content::apply(&mut bytes, &Change::Write(at + from, new[from..to].to_vec()));
                        }
                        from = to;
                    }
                }
            }
        }
        bytes
    }
}

impl State {
    fn on(&self) -> io::Result<()> {
        if self.is_off { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }

    fn node(&self, path: &Path) -> io::Result<Node> {
        if path.parent().is_none() {
            return Ok(Node::Folder);
        }
        self.names.get(path).copied().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, path.display().to_string()))
    }

    fn name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    fn make(&mut self, path: &Path, node: Node) -> io::Result<()> {
        self.node(path.parent().unwrap())?;
        self.name(NameChange::Made(path.to_owned(), node));
        Ok(())
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    number: u64,
}

impl SimulatedFile {
    fn current(&self) -> io::Result<Vec<u8>> {
        let state = self.disk.0.lock().unwrap();
        state.on()?;
        Ok(state.files[&self.number].current.clone())
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let apply = |state: &mut State| {
            state.files.get_mut(&self.number).unwrap().change(change);
            Ok(())
        };
        self.disk.operate(apply, |_| ())
    }
}

impl DiskFile for SimulatedFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.change(Change::Write(offset as usize, bytes.to_vec()))
    }

    fn read_all(&self) -> io::Result<Vec<u8>> {
        self.current()
    }

    fn preallocate(&self, length: u64) -> io::Result<()> {
        if self.current()?.len() as u64 >= length {
            return Ok(());
        }
        if self.disk.0.lock().unwrap().is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.change(Change::Length(length as usize))
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.change(Change::Length(length as usize))
    }

    fn sync_data(&self) -> io::Result<()> {
        if std::mem::take(&mut self.disk.0.lock().unwrap().fails_to_sync) {
            return Err(io::Error::other("the disk did not answer"));
        }
        let sync = |state: &mut State| {
            let content = state.files.get_mut(&self.number).unwrap();
            content.synced.clone_from(&content.current);
            content.unsynced.clear();
        };
        self.disk.operate(|_| Ok(()), sync)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Disk for SimulatedDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        if self.open(path).is_err() {
            let make = |state: &mut State| {
                let number = state.files.len() as u64;
                state.make(path, Node::File(number))?;
                state.files.insert(number, Content::default());
                Ok(())
            };
            self.operate(make, |_| ())?;
        }
        self.open(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.0.lock().unwrap();
        state.on()?;
        match state.node(path)? {
            Node::File(number) => Ok(Arc::new(SimulatedFile { disk: self.clone(), number })),
            Node::Folder => Err(io::Error::other("a folder")),
        }
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.open(path)?.read_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let rename = |state: &mut State| {
            state.node(from)?;
            state.name(NameChange::Renamed(from.to_owned(), to.to_owned()));
            Ok(())
        };
        self.operate(rename, |_| ())
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let sync = |state: &mut State| {
            let (synced, rest) = std::mem::take(&mut state.unsynced_names).into_iter().partition(|c: &NameChange| c.is_in(path));
            let synced: Vec<NameChange> = synced;
            synced.iter().for_each(|change| change.apply(&mut state.synced_names));
            state.unsynced_names = rest;
        };
        self.operate(|state| state.node(path).map(|_| ()), sync)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let exists = self.0.lock().unwrap().node(path).is_ok();
        if exists { Ok(()) } else { self.operate(|state| state.make(path, Node::Folder), |_| ()) }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.0.lock().unwrap();
        state.on()?;
        Ok(state.names.keys().filter(|p| p.parent() == Some(path)).cloned().collect())
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

#[test]
fn only_what_was_synced_survives_for_certain() {
    let disk = SimulatedDisk::default();
    let (folder, path, other) = (Path::new("/a"), Path::new("/a/b"), Path::new("/a/c"));
    let after = |survives| disk.after_power_cut(survives);
    disk.create_folder(folder).unwrap();
    let file = disk.create(path).unwrap();
    file.write_all_at(b"one", 0).unwrap();
    file.sync_data().unwrap();
    assert!(after(Survives::Nothing).read(path).is_err());
    assert_eq!(after(Survives::Everything).read(path).unwrap(), b"one");
    disk.sync_folder(folder).unwrap();
    assert!(after(Survives::Nothing).read(path).is_err(), "the folder itself has no durable name yet");
    disk.sync_folder(Path::new("/")).unwrap();
    assert_eq!(after(Survives::Nothing).read(path).unwrap(), b"one");
    file.write_all_at(b"two", 3).unwrap();
    disk.rename(path, other).unwrap();
    assert_eq!(after(Survives::Nothing).read(path).unwrap(), b"one");
    assert_eq!(after(Survives::Everything).read(other).unwrap(), b"onetwo");
    let lengths: std::collections::BTreeSet<usize> = (0..100)
        .map(|seed| after(Survives::Some(seed)))
        .map(|d| d.read(path).or_else(|_| d.read(other)).unwrap().len())
        .collect();
    assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [3, 4, 5, 6]);
    let operations = disk.operations();
    let disk = disk.cut_at(operations + 1);
    assert!(file.sync_data().is_err() && disk.read(other).is_err());
    assert_eq!(disk.after_power_cut(Survives::Nothing).read(path).unwrap(), b"one");
}
