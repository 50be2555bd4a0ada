//! What holds for all records and leaves: one meaning, one encoding. What was spoiled in several places: [`hostile`](crate::hostile).

use marrowline_record::id::{Digest, KeyId, StreamKey};
use marrowline_record::leaf::{Leaf, LeafError, Link};
use marrowline_record::signing::Signing;
use marrowline_record::testing::sample;
use marrowline_record::{EventKind, decode, encode, shape};
use proptest::prelude::*;

fn kinds() -> impl Strategy<Value = EventKind> {
    proptest::sample::select(EventKind::all())
}

/// Whatever is accepted must be the only encoding of its content.
fn assert_one_encoding(bytes: &[u8]) {
    if let Ok(record) = decode(bytes) {
        assert_eq!(encode(&record), bytes);
    }
}

#[test]
fn every_kind_has_valid_samples() {
    for kind in EventKind::all() {
        for seed in 0..40 {
            let record = sample(*kind, seed);
            assert_eq!(decode(&encode(&record)).as_ref(), Ok(&record), "{kind} {seed}");
            assert_eq!(record.event.as_ref().map(EventKind::of), Some(*kind));
        }
    }
}

#[test]
fn every_flip_of_every_bit_of_a_record_is_refused_or_has_one_encoding() {
    let bytes = encode(&sample(EventKind::UnitsFilled, 1));
    for position in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[position] ^= 1 << bit;
            assert_one_encoding(&flipped);
        }
    }
}

#[test]
fn a_record_cut_anywhere_is_refused() {
    let bytes = encode(&sample(EventKind::DosePrepared, 2));
    for length in 0..bytes.len() {
        assert!(decode(&bytes[..length]).is_err(), "{length}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn records_are_read_as_they_were_written(kind in kinds(), seed: u64) {
        let record = sample(kind, seed);
        prop_assert_eq!(decode(&encode(&record)), Ok(record));
    }

    #[test]
    fn mutated_records_have_at_most_one_encoding(
        kind in kinds(),
        seed: u64,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..4),
    ) {
        let mut bytes = encode(&sample(kind, seed));
        for (position, value, what) in changes {
            let position = position.index(bytes.len());
            match what {
                0 => bytes[position] = value,
                1 => bytes.insert(position, value),
                _ => drop(bytes.remove(position)),
            }
        }
        assert_one_encoding(&bytes);
    }

    #[test]
    fn the_shape_check_lets_nothing_through_that_prost_writes_otherwise(kind in kinds(), seed: u64, at: prop::sample::Index, value: u8) {
        let mut bytes = encode(&sample(kind, seed));
        let position = at.index(bytes.len());
        bytes[position] = value;
        if shape::check(&bytes).is_ok() {
            use prost::Message as _;
            let record = marrowline_record::pb::Record::decode(bytes.as_slice()).expect("prost reads what passed");
            prop_assert_eq!(encode(&record), bytes);
        }
    }
}

prop_compose! {
    fn signings()(count in 1..=8u8)(
        parts in proptest::collection::vec((any::<[u8; 16]>(), 1..=17u8, 1..=8u8, 1..=253_402_300_799_999i64, -1080..=1080i16), usize::from(count)),
    ) -> Vec<Signing> {
        (0u8..).zip(parts).map(|(slot, (random, role, meaning, signed_at_ms, offset_minutes))| {
            let mut key_id = [slot; 32];
            key_id[..16].copy_from_slice(&random);
            Signing { slot, key_id: KeyId(key_id), role, meaning, signed_at_ms, offset_minutes, signature: [random[0]; 64] }
        }).collect()
    }
}

prop_compose! {
    fn leaves()(
        recorded_at_ms in 1..=253_402_300_799_999i64,
        rule_set in 1..=u32::MAX,
        flags in proptest::collection::btree_set(any::<u16>(), 0..=32),
        links in proptest::collection::btree_map(any::<[u8; 32]>(), (1..=u64::MAX, any::<[u8; 31]>()), 1..=16),
        digest: [u8; 32],
        signings in signings(),
        map_root in proptest::option::of(any::<[u8; 32]>()),
    ) -> Leaf {
        let link = |(key, (seq, random)): ([u8; 32], (u64, [u8; 31]))| {
            let mut prev = [1; 32];
            prev[..31].copy_from_slice(&random);
            Link { stream_key: StreamKey(key), seq, prev: if seq == 1 { [0; 32] } else { prev } }
        };
        Leaf {
            recorded_at_ms,
            rule_set,
            flags: flags.into_iter().collect(),
            links: links.into_iter().map(link).collect(),
            digest: Digest(digest),
            signings,
            map_root,
        }
    }
}

pub fn leaf() -> Leaf {
    let signing = |slot: u8| Signing {
        slot,
        key_id: KeyId([0x40 + slot; 32]),
        role: 6,
        meaning: 1,
        signed_at_ms: 1_795_414_200_000,
        offset_minutes: 180,
        signature: [0x50 + slot; 64],
    };
    Leaf {
        recorded_at_ms: 1_795_414_201_000,
        rule_set: 1,
        flags: vec![7, 300],
        links: vec![
            Link { stream_key: StreamKey([0x10; 32]), seq: 1, prev: [0; 32] },
            Link { stream_key: StreamKey([0x20; 32]), seq: 9, prev: [0x21; 32] },
        ],
        digest: Digest([0x30; 32]),
        signings: vec![signing(0), signing(2)],
        map_root: Some([0x60; 32]),
    }
}

#[test]
fn every_byte_of_a_leaf_in_every_value_is_refused_or_means_something_else() {
    for map_root in [None, Some([0x60; 32])] {
        let good = Leaf { map_root, ..leaf() };
        let bytes = good.encode();
        assert_eq!(Leaf::decode(&bytes).as_ref(), Ok(&good));
        for position in 0..bytes.len() {
            for change in 1..=255u8 {
                let mut changed = bytes.clone();
                changed[position] ^= change;
                if let Ok(other) = Leaf::decode(&changed) {
                    assert_ne!(other, good);
                    assert_eq!(other.encode(), changed);
                }
            }
        }
        for length in 0..bytes.len() {
            assert!(Leaf::decode(&bytes[..length]).is_err(), "{length}");
        }
        assert_eq!(Leaf::decode(&[bytes, vec![0]].concat()), Err(LeafError::TrailingBytes));
    }
}

pub fn refused_leaves() -> Vec<(&'static str, Leaf, LeafError)> {
    let with = |change: &dyn Fn(&mut Leaf)| {
        let mut leaf = leaf();
        change(&mut leaf);
        leaf
    };
    let links =
        |count: u8| (0..count).map(|n| Link { stream_key: StreamKey([n; 32]), seq: 1, prev: [0; 32] }).collect::<Vec<_>>();
    vec![
        ("time zero", with(&|l| l.recorded_at_ms = 0), LeafError::TimeOutOfRange),
        ("time after 9999", with(&|l| l.recorded_at_ms = 253_402_300_800_000), LeafError::TimeOutOfRange),
        ("no rule set", with(&|l| l.rule_set = 0), LeafError::RuleSetZero),
        ("33 flags", with(&|l| l.flags = (0..33).collect()), LeafError::TooManyFlags),
        ("a flag twice", with(&|l| l.flags = vec![7, 7]), LeafError::FlagsNotAscending),
        ("flags descending", with(&|l| l.flags = vec![8, 7]), LeafError::FlagsNotAscending),
        ("no link", with(&|l| l.links.clear()), LeafError::LinkCount(0)),
        ("17 links", with(&|l| l.links = links(17)), LeafError::LinkCount(17)),
        ("a link twice", with(&|l| l.links[1].stream_key = l.links[0].stream_key), LeafError::LinksNotAscending),
        ("links descending", with(&|l| l.links.swap(0, 1)), LeafError::LinksNotAscending),
        ("sequence number zero", with(&|l| l.links[0].seq = 0), LeafError::LinkWrong),
        ("a first record with a predecessor", with(&|l| l.links[0].prev = [1; 32]), LeafError::LinkWrong),
        ("a later record without one", with(&|l| l.links[1].prev = [0; 32]), LeafError::LinkWrong),
        ("no signing", with(&|l| l.signings.clear()), LeafError::SigningCount(0)),
        ("nine signings", with(&|l| l.signings = vec![l.signings[0].clone(); 9]), LeafError::SigningCount(9)),
        ("a slot twice", with(&|l| l.signings[1].slot = 0), LeafError::SlotsNotAscending),
        ("slots descending", with(&|l| l.signings.swap(0, 1)), LeafError::SlotsNotAscending),
        ("slot eight", with(&|l| l.signings[1].slot = 8), LeafError::SlotsNotAscending),
        ("a key twice", with(&|l| l.signings[1].key_id = l.signings[0].key_id), LeafError::KeyTwice),
        ("role zero", with(&|l| l.signings[1].role = 0), LeafError::SigningOutOfRange),
        ("role unknown", with(&|l| l.signings[1].role = 18), LeafError::SigningOutOfRange),
        ("meaning zero", with(&|l| l.signings[1].meaning = 0), LeafError::SigningOutOfRange),
        ("meaning unknown", with(&|l| l.signings[1].meaning = 9), LeafError::SigningOutOfRange),
        ("signed at zero", with(&|l| l.signings[1].signed_at_ms = 0), LeafError::SigningOutOfRange),
        ("offset too far", with(&|l| l.signings[1].offset_minutes = -1081), LeafError::SigningOutOfRange),
    ]
}

#[test]
fn leaves_out_of_bounds_are_refused() {
    for (name, leaf, error) in refused_leaves() {
        assert_eq!(leaf.check(), Err(error), "{name}");
        assert_eq!(Leaf::decode(&leaf.encode()), Err(error), "{name}");
    }
}

#[test]
fn leaves_at_their_bounds_are_accepted() {
    let most = Leaf {
        recorded_at_ms: 253_402_300_799_999,
        rule_set: u32::MAX,
        flags: (0..32).collect(),
        links: (0..16).map(|n| Link { stream_key: StreamKey([n; 32]), seq: 1, prev: [0; 32] }).collect(),
        signings: (0..8).map(|slot| Signing { slot, key_id: KeyId([slot; 32]), ..leaf().signings[0].clone() }).collect(),
        ..leaf()
    };
    let least = Leaf {
        recorded_at_ms: 1,
        flags: vec![],
        links: vec![leaf().links[0]],
        signings: vec![leaf().signings[1].clone()],
        map_root: None,
        ..leaf()
    };
    for leaf in [most, least] {
        assert_eq!(Leaf::decode(&leaf.encode()), Ok(leaf));
    }
}

proptest! {
    #[test]
    fn leaves_are_read_as_they_were_written(leaf in leaves()) {
        prop_assert_eq!(Leaf::decode(&leaf.encode()), Ok(leaf));
    }
}
