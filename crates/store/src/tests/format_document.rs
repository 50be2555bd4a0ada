//! The examples of `docs/format-store.md` are what is written.

use std::fs;
use std::path::Path;

use marrowline_ledger::store::{Epoch, NoteKind};

use crate::codec;
use crate::disk::RealDisk;
use crate::durable::Durable;
use crate::frame::used;
use crate::segment::hash_of;

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/format-store.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, after) = text.split_once(&format!("```example {name}\n")).unwrap_or_else(|| panic!("no example {name}"));
    after.split_once("```").unwrap().0.split_whitespace().collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn written(folder: &Path, journal: &str) -> Vec<u8> {
    let mut bytes = fs::read(folder.join(journal).join("00000000000000000000.mlj")).unwrap();
    assert_eq!(bytes.len(), if journal == "notes" { 1_048_576 } else { 16_777_216 });
    bytes.truncate(used(&bytes));
    bytes
}

#[test]
fn the_examples_are_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let disk = std::sync::Arc::new(RealDisk);
    let mut durable = Durable::open(disk, folder.path(), crate::journal::SEGMENT_BYTES).unwrap();
    durable.settle().unwrap();
    assert_eq!(durable.claim().unwrap(), Epoch(1));
    durable.commit(Epoch(1), 0, [0xaa; 32], &[(&[1, 2], &[3]), (&[4], &[5, 6, 7])]).unwrap();
    let clock = 0x0000_019a_b000_0000u64.to_be_bytes().to_vec();
    durable.note(Epoch(1), &[(NoteKind::Access, b"hi".to_vec()), (NoteKind::Clock, clock)]).unwrap();
    let first = written(folder.path(), "notes");
    durable.note(Epoch(1), &[(NoteKind::Access, b"!".to_vec())]).unwrap();

    assert_eq!(hex(&written(folder.path(), "journal")), example("journal"));
    assert_eq!(hex(&written(folder.path(), "notes")), example("notes"));
    assert_eq!(first.len(), 80);
    assert_eq!(hex(&hash_of(&first)), example("link"));
    assert_eq!(fs::read_to_string(folder.path().join("epoch")).unwrap(), "1\n");
    assert_eq!(hex(&codec::encode(&(3u64, [0xbbu8; 32])).unwrap()), example("head"));
}
