//! Files that somebody changed who knows the format: the checksum is right, what is inside is not. Nothing panics, and nothing is taken
//! for what it is not. A few thousand cases in every run, `MARROWLINE_HOSTILE_CASES` for more.

use std::path::Path;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use marrowline_ledger::conformance::Samples;
use marrowline_ledger::store::{Batch, NoteKind};
use marrowline_merkle::{Checkpoint, Edge, leaf_hash};
use marrowline_record::id::{RecordId, StreamKey};
use marrowline_record::leaf::Leaf;
use marrowline_record::testing::{Noise, cases};

use super::simulated_disk::SimulatedDisk;
use crate::checkpoint;
use crate::codec;
use crate::disk::Disk;
use crate::durable::Durable;
use crate::epoch;
use crate::frame::{self, Frame, Item, Kind};
use crate::pending::PendingNotes;
use crate::projection::Projection;
use crate::recover::batch_of;
use crate::segment::{self, Scanner};

/// Where the items' numbers begin in a frame, and how many bytes follow them.
const BEFORE: usize = 8;
const AFTER: usize = 8;
const SEGMENT_BYTES: u64 = 65_536;

fn items_of(batch: &Batch) -> Vec<Item<'_>> {
    batch.records.iter().map(|record| (record.leaf.as_slice(), record.record.as_ref())).collect()
}

/// Three commits and three frames of notes, each frame behind the other.
fn frames(kind: Kind) -> Vec<Vec<u8>> {
    let mut samples = Samples::default();
    let mut link = segment::first_link(Kind::Notes);
    let mut first = 0;
    let mut next = |count: u64| match kind {
        Kind::Records => {
            let batch = samples.batch(count);
            frame::encode(kind, batch.first, &batch.root_after, &items_of(&batch)).unwrap()
        }
        Kind::Notes => {
            let notes: Vec<([u8; 1], Vec<u8>)> =
                (0..count).map(|n| ([NoteKind::ALL[n as usize % 6] as u8], format!("{{\"at_ms\":{n}}}").into_bytes())).collect();
            let items: Vec<Item<'_>> = notes.iter().map(|(note, body)| (note.as_slice(), body.as_slice())).collect();
            let bytes = frame::encode(kind, first, &link, &items).unwrap();
            link = segment::hash_of(&bytes);
            first += count;
            bytes
        }
    };
    vec![next(2), next(5), next(3)]
}

/// A frame around these bytes, with their length and the checksum over both.
fn sealed(kind: Kind, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let mut bytes = [kind.magic().as_slice(), &length, body].concat();
    bytes.extend(crc32c::crc32c(&bytes).to_be_bytes());
    bytes.extend(frame::end_bytes());
    bytes
}

fn body_of(frame: &[u8]) -> &[u8] {
    &frame[BEFORE..frame.len() - AFTER]
}

#[test]
fn spoiled_frames_with_a_right_checksum_are_read_in_one_way_or_refused() {
    let cases = cases(4_000);
    for kind in [Kind::Records, Kind::Notes] {
        let good = frames(kind);
        assert_eq!(sealed(kind, body_of(&good[0])), good[0]);
        let mut noise = Noise(0x6672_616d_6573);
        let (mut read, mut continued, mut ended) = (0, 0, 0);
        for _ in 0..cases {
            let which = noise.below(good.len());
            let mut segment = good.clone();
            // Half of them beyond first number, count and hash, where the items are.
            let body = body_of(&good[which]);
            let from = if noise.one_in(2) { 44 } else { 0 };
            segment[which] = sealed(kind, &[&body[..from], &noise.spoiled(&body[from..])].concat());
            if let Ok(found) = frame::decode(kind, &segment[which]) {
                read += 1;
                let items: Vec<Item<'_>> = found.frame.items.iter().map(|(h, b)| (h.as_slice(), b.as_slice())).collect();
                assert_eq!(frame::encode(kind, found.frame.first, &found.frame.hash, &items).unwrap(), segment[which]);
                if kind == Kind::Notes {
                    let kinds = found.frame.items.iter().map(|(kind, body)| (kind[0], body.as_slice()));
                    assert_eq!(PendingNotes::new(found.frame.first, kinds, [0; 32]).end, found.frame.end());
                }
            }
            let mut bytes = segment.concat();
            bytes.resize(bytes.len() + noise.below(600), 0);
            let mut scanner = Scanner::new(kind, 0, true);
            let path = Path::new("0.mlj");
            match scanner.segment((0, path), &bytes, 0, &mut |_, _| Ok(true)) {
                Ok(scan) => {
                    continued += 1;
                    ended += u64::from(scanner.size == 10);
                    let _ = segment::whole_frame_follows(kind, scanner.size, &bytes, scan.end_offset);
                    let _ = frame::is_torn(&bytes, scan.end_offset);
                    // A note that was changed breaks the chain, unless it is the last one.
                    assert!(kind == Kind::Records || scanner.size < 10 || which == 2);
                }
                Err(error) => assert!(error.to_string().contains("offset"), "{error}"),
            }
        }
        println!("{}: {cases} spoiled frames, {read} read, {continued} segments read, {ended} to their end", kind.title());
        assert!(read > cases / 5 && continued > cases / 5 && ended > cases / 40, "{read} {continued} {ended} of {cases}");
    }
}

/// What the projection is rebuilt from: leaf and record that were spoiled, in a frame whose root is that of its leaves.
#[test]
fn spoiled_leaves_and_records_of_a_frame_become_a_batch_of_what_they_say_or_none() {
    let cases = cases(3_000);
    let mut noise = Noise(0x0062_6174_6368);
    let good = Samples::default().batch(14);
    let (mut made, mut refused) = (0, 0);
    for _ in 0..cases {
        let record = noise.of(&good.records).unwrap();
        let (mut leaf, mut bytes) = (record.leaf.clone(), record.record.to_vec());
        if noise.one_in(2) {
            leaf = noise.spoiled(&leaf);
        } else {
            bytes = noise.spoiled(&bytes);
        }
        let mut edge = Edge::default();
        edge.append(leaf_hash(&leaf), &mut Vec::new());
        let hash = if noise.one_in(16) { [0; 32] } else { edge.root() };
        let frame = Frame { first: 0, hash, items: vec![(leaf.clone(), bytes.clone())] };
        match batch_of(frame, &mut Edge::default()) {
            Ok(batch) => {
                made += 1;
                assert!(hash == edge.root() && batch.records.len() == 1);
                let leaf = Leaf::decode(&leaf).unwrap();
                let record = marrowline_record::decode(&bytes).unwrap();
                assert_eq!(batch.records[0].signed_hash, leaf.signed_hash());
                assert_eq!(batch.records[0].record_id.0.as_slice(), record.record_id);
            }
            Err(_) => refused += 1,
        }
    }
    println!("{cases} spoiled records of frames: {made} batches, {refused} refused");
    assert!(made > cases / 20 && refused > cases / 5, "{made} {refused} of {cases}");
}

fn put(disk: &SimulatedDisk, path: &Path, bytes: &[u8]) {
    disk.create_folder(path.parent().unwrap()).unwrap();
    let file = disk.create(path).unwrap();
    file.truncate(0).unwrap();
    file.write_all_at(bytes, 0).unwrap();
}

/// A store of ten records on a disk, with these files beside its journals.
fn store(folder: &Path, journals: &[(Kind, Vec<u8>)], checkpoint: &[u8], epoch: &[u8]) -> Arc<dyn Disk> {
    let disk = SimulatedDisk::default();
    disk.create_folder(folder).unwrap();
    for (kind, bytes) in journals {
        let least = if *kind == Kind::Records { SEGMENT_BYTES } else { SEGMENT_BYTES / 16 };
        let mut bytes = bytes.clone();
        bytes.resize(bytes.len().max(usize::try_from(least).unwrap()), 0);
        put(&disk, &segment::path(&folder.join(kind.name()), 0), &bytes);
    }
    put(&disk, &folder.join("checkpoint"), checkpoint);
    put(&disk, &folder.join("epoch"), epoch);
    Arc::new(disk)
}

/// The checkpoint file: one that is taken states a size and a root that the journal has, whatever else is in it.
#[test]
fn a_spoiled_checkpoint_file_never_states_what_the_journal_does_not_hold() {
    let cases = cases(2_000);
    let mut noise = Noise(0x6368_6563_6b70);
    let mut samples = Samples::default();
    let mut ends = vec![(0, segment::first_link(Kind::Records))];
    let mut notes = Vec::new();
    for count in [2, 5, 3] {
        let batch = samples.batch(count);
        ends.push((batch.first + count, batch.root_after));
        notes.push(samples.checkpoint());
    }
    // Also sizes and roots that do not belong together, under a signature of their own.
    for (size, root) in [(2, ends[2].1), (7, ends[3].1), (8, ends[2].1), (11, ends[3].1), (u64::MAX, [9; 32])] {
        let wrong = Checkpoint::new("example.org/ledger/0a", size, root).unwrap();
        notes.push(wrong.sign(&SigningKey::from_bytes(&[7; 32])).unwrap());
    }
    let folder = Path::new("/ledger");
    let journals = [(Kind::Records, frames(Kind::Records).concat()), (Kind::Notes, frames(Kind::Notes).concat())];
    let (mut parsed, mut taken) = (0, 0);
    for case in 0..cases {
        let note = noise.of(&notes).unwrap();
        let bytes = noise.spoiled(note.as_bytes());
        let text = String::from_utf8(bytes.clone()).ok();
        let stated = text.and_then(|text| checkpoint::parse(&text));
        parsed += u64::from(stated.is_some());
        // To open a store takes longer than to parse a note.
        if stated.is_none() && case % 8 != 0 {
            continue;
        }
        let disk = store(folder, &journals, &bytes, b"3\n");
        match Durable::open(disk, folder, SEGMENT_BYTES) {
            Ok(durable) => {
                taken += 1;
                let stated = stated.unwrap();
                assert!(stated.size() == 0 || ends.contains(&(stated.size(), *stated.root())), "{stated:?}");
                assert_eq!(durable.checkpoint().unwrap().as_bytes(), bytes);
            }
            Err(error) => assert!(stated.is_none() || !error.to_string().contains("not a signed checkpoint"), "{error}"),
        }
    }
    println!("{cases} spoiled checkpoint files: {parsed} parsed, {taken} taken (who signed them is for the ledger)");
    assert!(parsed > cases / 10 && taken > cases / 40 && taken < parsed, "{parsed} {taken} of {cases}");
}

/// Journals as somebody left them who computed every checksum anew, and the epoch file: opening and settling panic at nothing.
#[test]
fn a_store_with_spoiled_journals_opens_or_says_where() {
    // Each opens a whole store: what decodes has its million above.
    let cases = cases(600).min(200_000);
    let mut noise = Noise(0x006f_7065_6e73);
    let folder = Path::new("/ledger");
    let good = [Kind::Records, Kind::Notes].map(frames);
    let mut samples = Samples::default();
    samples.batch(2);
    let note = samples.checkpoint();
    let (mut opened, mut refused) = (0, 0);
    for case in 0..cases {
        let mut journals = good.clone();
        let kind = if noise.one_in(2) { Kind::Records } else { Kind::Notes };
        let frames = &mut journals[kind as usize];
        let which = noise.below(frames.len());
        let body = noise.spoiled(body_of(&frames[which]));
        frames[which] = sealed(kind, &body);
        let epoch = if case % 8 == 0 { noise.spoiled(b"18446744073709551615\n") } else { b"3\n".to_vec() };
        let journals = [(Kind::Records, journals[0].concat()), (Kind::Notes, journals[1].concat())];
        let disk = store(folder, &journals, note.as_bytes(), &epoch);
        match Durable::open(Arc::clone(&disk), folder, SEGMENT_BYTES).and_then(|mut durable| {
            durable.settle()?;
            Ok(durable)
        }) {
            Ok(mut durable) => {
                opened += 1;
                // What was acknowledged and published is still there.
                assert!(durable.journal().size() >= 2);
                durable.claim().unwrap();
                assert!(epoch::read(disk.as_ref(), folder).is_ok_and(|epoch| epoch > 0));
            }
            Err(_) => refused += 1,
        }
    }
    println!("{cases} spoiled journals: {opened} opened, {refused} refused");
    assert!(opened > cases / 20 && refused > cases / 20, "{opened} {refused} of {cases}");
}

#[test]
fn spoiled_values_of_the_projection_are_read_in_one_way_or_refused() {
    fn read<T: serde::Serialize + serde::de::DeserializeOwned>(noise: &mut Noise, good: &T) -> bool {
        let bytes = noise.spoiled(&codec::encode(good).unwrap());
        let value = codec::decode::<T>(&bytes);
        if let Ok(value) = &value {
            assert_eq!(codec::encode(value).unwrap(), bytes);
        }
        value.is_ok()
    }
    let cases = cases(20_000);
    let mut noise = Noise(0x7661_6c75_6573);
    let mut taken = [0; 3];
    for _ in 0..cases {
        taken[0] += u64::from(read(&mut noise, &7u32));
        taken[1] += u64::from(read(&mut noise, &9u64));
        taken[2] += u64::from(read(&mut noise, &(7u64, [9u8; 32])));
    }
    println!("{cases} spoiled values of each type: {taken:?} read");
    assert!(taken.iter().all(|taken| *taken > cases / 10), "{taken:?} of {cases}");
}

/// The same in sled itself, through everything that reads it.
#[test]
fn a_projection_with_spoiled_values_answers_or_says_that_it_is_damaged() {
    // sled keeps what was overwritten for a while: a million would fill the disk, and decode what the test above does.
    let cases = cases(2_000).min(50_000);
    let mut noise = Noise(0x0073_6c65_6421);
    let owned = tempfile::tempdir().unwrap();
    let Ok(projection) = Projection::open(&owned.path().join("sled")) else { panic!("no projection") };
    let batch = Samples::default().batch(1);
    let record = &batch.records[0];
    let length = u32::try_from(record.leaf.len()).unwrap().to_be_bytes();
    let link = codec::encode(&(7u64, [9u8; 32])).unwrap();
    let one = |prefix: &[u8], key: &[u8]| [prefix, key].concat();
    let number = 0u64.to_be_bytes();
    let values: Vec<(Vec<u8>, Vec<u8>)> = vec![
        (one(b"L", &number), [length.as_slice(), &record.leaf, &record.record].concat()),
        (one(b"R", &[1; 16]), codec::encode(&5u64).unwrap()),
        (one(b"H", &[2; 32]), link.clone()),
        ([b"S".as_slice(), &[2; 32], &number].concat(), link.clone()),
        (one(b"I", b"index"), vec![3; 16]),
        ([b"T".as_slice(), &[0], &number].concat(), vec![4; 256 * 32]),
        (one(b"A", b""), link.clone()),
        (one(b"B", b""), link),
    ];
    let answers = |at: usize| match at {
        0 => projection.entry(0).map(|entry| entry.is_some()),
        1 => projection.index_of(&RecordId([1; 16])).map(|index| index.is_some()),
        2 => projection.head(&StreamKey([2; 32])).map(|head| head.is_some()),
        3 => projection.link(&StreamKey([2; 32]), 0).map(|link| link.is_some()),
        4 => projection.scan(b"index", b"", 9).and_then(|_| projection.lookup(b"index")).map(|value| value.is_some()),
        5 => projection.tile(0, 0).map(|tile| tile.is_some()),
        6 => projection.applied().map(|_| true),
        _ => projection.applied_notes().map(|_| true),
    };
    let (mut answered, mut damaged) = ([0u64; 8], [0u64; 8]);
    for _ in 0..cases {
        let at = noise.below(values.len());
        let (key, good) = &values[at];
        projection.put(key, good);
        assert!(answers(at).unwrap(), "{at}");
        projection.put(key, &noise.spoiled(good));
        match answers(at) {
            Ok(is_there) => answered[at] += u64::from(is_there),
            Err(error) => {
                damaged[at] += 1;
                assert!(error.to_string().contains("projection"), "{error}");
            }
        }
    }
    println!("{cases} spoiled values in sled: {answered:?} answered, {damaged:?} damaged");
    assert!(answered.iter().zip(&damaged).all(|(answered, damaged)| *answered > 0 && *damaged > 0), "{answered:?} {damaged:?}");
}
