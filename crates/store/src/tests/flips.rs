//! One bit is flipped, a file is cut or removed: opening puts it right and says so, or refuses and says why. It never panics, and never
//! answers wrongly. `fsck` finds every flipped bit of both journals and of the checkpoint file.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ed25519_dalek::SigningKey;
use marrowline_ledger::conformance::{Expected, Samples};
use marrowline_ledger::store::{Epoch, NoteKind, Store, StoreError};
use marrowline_merkle::{SignedCheckpoint, VerifierKey};

use crate::checkpoint;
use crate::disk::{Disk, RealDisk};
use crate::local::{LocalStore, OpenReport};
use crate::projection::Projection;
use crate::verify::{journal_on, notes_on};
use marrowline_record::testing::Noise as Random;

const SEGMENT_BYTES: u64 = 16_384;

type Damage<'d> = &'d dyn Fn(&Path);
type Opened = Result<(LocalStore, OpenReport), StoreError>;

fn open(folder: &Path) -> Opened {
    LocalStore::open_on(Arc::new(RealDisk), folder, SEGMENT_BYTES, &mut |_, _| {})
}

/// A store of several segments that was closed, and what it must answer.
struct Reference {
    folder: tempfile::TempDir,
    expected: Expected,
    notes: Vec<(u64, Vec<u8>)>,
    checkpoint: String,
    samples: Samples,
}

fn reference() -> &'static Reference {
    static REFERENCE: OnceLock<Reference> = OnceLock::new();
    REFERENCE.get_or_init(|| build(12, 5))
}

/// One whose sled fills several of sled's own segments, written over many flushes.
fn large_reference() -> &'static Reference {
    static REFERENCE: OnceLock<Reference> = OnceLock::new();
    REFERENCE.get_or_init(|| build(14, 110))
}

fn build(rounds: u64, most: u64) -> Reference {
    let folder = tempfile::tempdir().unwrap();
    let (mut samples, mut expected) = (Samples::default(), Expected::default());
    let mut checkpoint = String::new();
    let mut notes = Vec::new();
    let (mut store, _) = open(folder.path()).unwrap();
    for round in 0..rounds {
        let epoch = store.claim().unwrap();
        let batch = samples.batch(1 + round * 7 % most);
        store.commit(epoch, &batch).unwrap();
        expected.add(&batch);
        store.note(epoch, &[(NoteKind::Access, vec![round as u8 + 1; 100])]).unwrap();
        if round % 4 == 1 {
            checkpoint = samples.checkpoint();
            store.publish(epoch, &checkpoint).unwrap();
        }
        if round % 5 == 4 {
            store.close().unwrap();
            store = open(folder.path()).unwrap().0;
        }
        notes = store.reader().notes(NoteKind::Access, 0, 100).unwrap();
    }
    store.close().unwrap();
    Reference { folder, expected, notes, checkpoint, samples }
}

impl Reference {
    fn copy(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(self.folder.path(), copy.path());
        copy
    }

    fn files(&self, folder: &str) -> Vec<PathBuf> {
        let mut names: Vec<PathBuf> = fs::read_dir(self.folder.path().join(folder))
            .unwrap()
            .map(|e| Path::new(folder).join(e.unwrap().file_name()))
            .filter(|p| self.folder.path().join(p).is_file())
            .collect();
        names.sort();
        names
    }

    /// Answers are right, and appending goes on.
    fn is_whole(&self, store: &mut LocalStore, what: &str) {
        let reader = store.reader();
        assert_eq!(self.expected.differences(reader.as_ref()).unwrap(), Vec::<String>::new(), "{what}");
        assert_eq!(reader.notes(NoteKind::Access, 0, 100).unwrap(), self.notes, "{what}");
        let epoch = store.claim().unwrap();
        store.commit(epoch, &self.samples.clone().batch(3)).unwrap_or_else(|e| panic!("{what}: {e}"));
        store.note(epoch, &[(NoteKind::Access, vec![1])]).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(reader.size(), self.expected.size() + 3, "{what}");
    }
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&to).unwrap();
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).unwrap();
        }
    }
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn flip(path: &Path, at: usize, bit: usize) {
    change(path, |bytes| bytes[at] ^= 1 << bit);
}

/// Opens, and does not panic.
fn outcome(folder: &Path, what: &str) -> Opened {
    catch_unwind(AssertUnwindSafe(|| open(folder))).unwrap_or_else(|_| panic!("{what}: opening panicked"))
}

/// A refusal names what is damaged, where, and what to do.
fn is_clear(error: &StoreError, what: &str) {
    let StoreError::Damaged { what: part, place, next } = error else { panic!("{what}: {error}") };
    assert!(part.len() > 5 && place.len() > 5 && next.len() > 10, "{what}: {error}");
}

fn fsck(folder: &Path) -> Result<u64, StoreError> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    Ok(journal_on(&disk, folder, SEGMENT_BYTES, |_| ())? + notes_on(&disk, folder, SEGMENT_BYTES)?)
}

/// Places in a file: all kinds of places in what is used, a few in the zeros after it.
fn places(bytes: &[u8], count: usize, random: &mut Random) -> Vec<usize> {
    let used = crate::frame::used(bytes);
    let mut places: Vec<usize> = (0..count).map(|_| random.below(used)).collect();
    places.extend([0, 4, 7, 8, 19, 20, 51, 52, used - 1, used - 4, used - 5, used - 8]);
    places.extend([used, used + 600, bytes.len() - 1].into_iter().filter(|at| *at < bytes.len()));
    places
}

#[test]
fn a_flipped_bit_of_a_journal_is_found_by_fsck_and_never_changes_an_answer() {
    let reference = reference();
    fsck(reference.folder.path()).unwrap();
    let mut random = Random(3);
    let (mut refused, mut healed, mut untouched) = (0, 0, 0);
    for name in reference.files("journal").into_iter().chain(reference.files("notes")) {
        let bytes = fs::read(reference.folder.path().join(&name)).unwrap();
        if crate::frame::is_zero(&bytes) {
            continue;
        }
        for at in places(&bytes, 6, &mut random) {
            let bit = random.below(8);
            let what = format!("bit {bit} of byte {at} of {}", name.display());
            let copy = reference.copy();
            flip(&copy.path().join(&name), at, bit);
            is_clear(&fsck(copy.path()).expect_err(&what), &what);
            match outcome(copy.path(), &what) {
                Ok((mut store, report)) => {
                    reference.is_whole(&mut store, &what);
                    let says = report.torn.is_some() || report.torn_notes.is_some() || !report.healed.is_empty();
                    assert_eq!(report.rebuilt, None, "{what}");
                    *(if says { &mut healed } else { &mut untouched }) += 1;
                    store.close().unwrap();
                    assert_eq!(says, fsck(copy.path()).is_ok(), "{what}: put right if it is said, else as it was");
                }
                Err(error) => {
                    is_clear(&error, &what);
                    assert!(error.to_string().contains("offset") || error.to_string().contains("ends at"), "{what}: {error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 20 && healed > 2 && untouched > 20, "{refused} refused, {healed} put right, {untouched} in older segments");
}

#[test]
fn with_sled_gone_a_flipped_bit_of_a_journal_is_refused_and_nothing_is_set_aside() {
    let reference = reference();
    let mut random = Random(4);
    for name in reference.files("journal").into_iter().chain(reference.files("notes")) {
        let bytes = fs::read(reference.folder.path().join(&name)).unwrap();
        let used = crate::frame::used(&bytes);
        if used == 0 {
            continue;
        }
        let (at, bit) = (random.below(used - 4), random.below(8));
        let what = format!("bit {bit} of byte {at} of {}", name.display());
        let copy = reference.copy();
        flip(&copy.path().join(&name), at, bit);
        // Not a sled any more, but not nothing either.
        fs::remove_dir_all(copy.path().join("sled")).unwrap();
        fs::create_dir(copy.path().join("sled")).unwrap();
        fs::write(copy.path().join("sled/conf"), b"nothing that sled knows").unwrap();
        is_clear(&outcome(copy.path(), &what).err().unwrap_or_else(|| panic!("{what}: opened")), &what);
        assert!(!copy.path().join("sled.aside-1").exists(), "{what}: set aside before the journal was checked");
    }
}

#[test]
fn a_flipped_bit_of_the_checkpoint_file_is_found() {
    let reference = reference();
    let key = VerifierKey::new("example.org/ledger/0a", SigningKey::from_bytes(&[7; 32]).verifying_key()).unwrap();
    SignedCheckpoint::open(&reference.checkpoint, &key).unwrap();
    for at in 0..reference.checkpoint.len() {
        let what = format!("byte {at} of the checkpoint file");
        let copy = reference.copy();
        flip(&copy.path().join("checkpoint"), at, at % 8);
        // Text that is still a checkpoint is not signed: the ledger, which has the key, refuses it.
        if let Ok(Some((note, _))) = checkpoint::read(&RealDisk, copy.path()) {
            assert!(SignedCheckpoint::open(&note, &key).is_err(), "{what}");
        }
        if at % 9 == 0 {
            match outcome(copy.path(), &what) {
                Ok((mut store, _)) => reference.is_whole(&mut store, &what),
                Err(error) => is_clear(&error, &what),
            }
        }
    }
}

#[test]
fn a_flipped_bit_of_sled_is_found_and_sled_is_rebuilt() {
    let reference = large_reference();
    let mut random = Random(5);
    for name in reference.files("sled") {
        let bytes = fs::read(reference.folder.path().join(&name)).unwrap();
        for _ in 0..if bytes.len() > 10_000 { 8 } else { 3 } {
            let (at, bit) = (random.below(bytes.len()), random.below(8));
            let what = format!("bit {bit} of byte {at} of {}", name.display());
            let copy = reference.copy();
            flip(&copy.path().join(&name), at, bit);
            let (mut store, report) = outcome(copy.path(), &what).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert!(report.rebuilt.is_some() && copy.path().join("sled.aside-1").exists(), "{what}");
            reference.is_whole(&mut store, &what);
        }
    }
}

/// After a crash there is no seal, and a flipped bit may cost sled keys without a word: `fsck` finds that. But it never panics, records
/// and hashes are right or refused, and nothing that a journal does not have is made up.
#[test]
fn a_flipped_bit_of_an_unsealed_sled_gives_no_wrong_record() {
    let reference = large_reference();
    let mut random = Random(6);
    for name in reference.files("sled") {
        let bytes = fs::read(reference.folder.path().join(&name)).unwrap();
        for _ in 0..if bytes.len() > 10_000 { 12 } else { 3 } {
            let (at, bit) = (random.below(bytes.len()), random.below(8));
            let what = format!("bit {bit} of byte {at} of {}", name.display());
            let copy = reference.copy();
            fs::remove_file(copy.path().join("sled.seal")).unwrap();
            flip(&copy.path().join(&name), at, bit);
            let store = match outcome(copy.path(), &what) {
                Ok((store, _)) => store,
                Err(error) => {
                    is_clear(&error, &what);
                    continue;
                }
            };
            let reader = store.reader();
            assert_eq!(reader.size(), reference.expected.size(), "{what}");
            for index in 0..reader.size() {
                match reader.entry(index) {
                    Ok(entry) => assert_eq!(entry.as_ref(), reference.expected.entry(index), "{what}: record {index}"),
                    Err(error) => is_clear(&error, &what),
                }
            }
        }
    }
}

#[test]
fn a_sled_that_is_gone_or_is_no_sled_is_rebuilt() {
    let reference = reference();
    let copy = reference.copy();
    fs::remove_dir_all(copy.path().join("sled")).unwrap();
    let (mut store, report) = open(copy.path()).unwrap();
    assert_eq!((report.caught_up, report.rebuilt), (reference.expected.size(), None));
    reference.is_whole(&mut store, "without sled");

    let copy = reference.copy();
    change(&copy.path().join("sled/conf"), |bytes| *bytes = b"nothing that sled knows".to_vec());
    fs::remove_file(copy.path().join("sled.seal")).unwrap();
    let (mut store, report) = open(copy.path()).unwrap();
    assert!(report.rebuilt.is_some() && report.caught_up == reference.expected.size(), "{report:?}");
    assert!(copy.path().join("sled.aside-1").exists());
    reference.is_whole(&mut store, "another sled");
}

/// An index that an older version did not write would make things that exist look as if they did not.
#[test]
fn a_sled_with_the_indexes_of_another_version_is_rebuilt() {
    let reference = reference();
    let copy = reference.copy();
    let projection = Projection::open(&copy.path().join("sled")).ok().unwrap();
    projection.forget_indexes();
    projection.close().unwrap();
    let (mut store, report) = open(copy.path()).unwrap();
    let reason = report.rebuilt.unwrap();
    assert!(reason.contains("indexes of another version"), "{reason}");
    reference.is_whole(&mut store, "after another version's indexes");
}

#[test]
fn a_sled_of_another_ledger_is_rebuilt() {
    let reference = reference();
    let other = tempfile::tempdir().unwrap();
    let (mut store, _) = open(other.path()).unwrap();
    let epoch = store.claim().unwrap();
    // Fewer records than the reference, and not the same ones: one batch more makes another log.
    let mut samples = Samples::default();
    samples.batch(1);
    let shifted = samples.batch(2);
    let batch = marrowline_ledger::store::Batch { first: 0, ..shifted };
    store.commit(epoch, &batch).unwrap();
    store.close().unwrap();
    for is_sealed in [true, false] {
        let copy = reference.copy();
        fs::remove_dir_all(copy.path().join("sled")).unwrap();
        fs::create_dir(copy.path().join("sled")).unwrap();
        copy_folder(&other.path().join("sled"), &copy.path().join("sled"));
        if !is_sealed {
            fs::remove_file(copy.path().join("sled.seal")).unwrap();
        }
        let (mut store, report) = open(copy.path()).unwrap();
        let reason = report.rebuilt.unwrap();
        assert_eq!(reason.contains("when the store was closed"), is_sealed, "{reason}");
        reference.is_whole(&mut store, "after another ledger's sled");
    }
}

#[test]
fn a_journal_that_lost_its_end_is_refused() {
    let reference = reference();
    for kind in ["journal", "notes"] {
        let files = reference.files(kind);
        let last = files.iter().rfind(|f| !crate::frame::is_zero(&fs::read(reference.folder.path().join(f)).unwrap())).unwrap();
        let damage: [(&str, Damage<'_>); 5] = [
            ("its folder is gone", &|copy| fs::remove_dir_all(copy.join(kind)).unwrap()),
            ("its last segment is gone", &|copy| fs::remove_file(copy.join(last)).unwrap()),
            ("its first segment is gone", &|copy| fs::remove_file(copy.join(&files[0])).unwrap()),
            ("its last segment is empty", &|copy| change(&copy.join(last), Vec::clear)),
            ("its last frame is zeros", &|copy| {
                change(&copy.join(last), |bytes| {
                    let used = crate::frame::used(bytes);
                    let magic = if kind == "notes" { b"MLJ2" } else { b"MLJ1" };
                    let frame = bytes[..used].windows(4).rposition(|w| w == magic).unwrap();
                    bytes[frame..].fill(0);
                });
            }),
        ];
        for (what, damage) in damage {
            let what = format!("{kind}: {what}");
            let copy = reference.copy();
            damage(copy.path());
            is_clear(&outcome(copy.path(), &what).err().unwrap_or_else(|| panic!("{what}: opened")), &what);
            assert!(!copy.path().join("sled.aside-1").exists(), "{what}");
        }
    }
}

#[test]
fn a_cut_segment_is_refused_even_if_nobody_else_knows_of_what_it_held() {
    let reference = reference();
    for kind in ["journal", "notes"] {
        let last = reference
            .files(kind)
            .into_iter()
            .rfind(|f| !crate::frame::is_zero(&fs::read(reference.folder.path().join(f)).unwrap()));
        let copy = reference.copy();
        fs::remove_dir_all(copy.path().join("sled")).unwrap();
        fs::remove_file(copy.path().join("checkpoint")).unwrap();
        change(&copy.path().join(last.unwrap()), |bytes| bytes.truncate(crate::frame::used(bytes)));
        is_clear(&outcome(copy.path(), kind).err().unwrap(), kind);
    }
}

#[test]
fn a_second_journal_of_another_ledger_is_refused() {
    let reference = reference();
    let other = tempfile::tempdir().unwrap();
    let (mut store, _) = open(other.path()).unwrap();
    let Epoch(_) = store.claim().unwrap();
    for round in 0..20 {
        store.note(Epoch(1), &[(NoteKind::Access, vec![round; 100])]).unwrap();
    }
    store.close().unwrap();
    let copy = reference.copy();
    fs::remove_dir_all(copy.path().join("notes")).unwrap();
    fs::create_dir(copy.path().join("notes")).unwrap();
    copy_folder(&other.path().join("notes"), &copy.path().join("notes"));
    let error = outcome(copy.path(), "another's notes").err().unwrap();
    is_clear(&error, "another's notes");
    assert!(error.to_string().contains("not the ones that sled was filled from"), "{error}");
}

#[test]
fn a_folder_is_opened_once() {
    let folder = tempfile::tempdir().unwrap();
    let (mut first, _) = open(folder.path()).unwrap();
    let error = open(folder.path()).err().unwrap().to_string();
    assert!(error.contains(&folder.path().display().to_string()) && error.contains("in use"), "{error}");
    let reader = first.reader();
    first.close().unwrap();
    assert!(reader.entry(0).is_err(), "a reader of a closed store says so");
    let (second, report) = open(folder.path()).unwrap();
    assert_eq!(report, OpenReport::default());
    drop(second);
    open(folder.path()).unwrap();
}
