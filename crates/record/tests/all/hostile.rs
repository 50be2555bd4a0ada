//! Records and leaves that were valid and are spoiled: no decoder panics, what is read has one encoding, and no signing holds that was
//! changed. A few thousand in every run, `MARROWLINE_HOSTILE_CASES` for more.

use marrowline_record::leaf::{Leaf, Link};
use marrowline_record::stream::stream_key;
use marrowline_record::testing::{Noise, cases, keyring, sample, sign_every_slot};
use marrowline_record::{EventKind, OpenError, decode, digest, encode, open_stored, shape};

use crate::properties;

#[test]
fn spoiled_records_are_refused_or_have_one_encoding() {
    let cases = cases(6_000);
    let mut noise = Noise(0x7265_636f_7264);
    let (mut shaped, mut read) = (0, 0);
    let mut good = Vec::new();
    for case in 0..cases {
        // A sample takes longer to make than its mutants to read.
        if case % 16 == 0 {
            let seed = noise.number();
            good = encode(&sample(*noise.of(EventKind::all()).unwrap(), seed));
        }
        let bytes = noise.spoiled(&good);
        shaped += u64::from(shape::check(&bytes).is_ok());
        if let Ok(record) = decode(&bytes) {
            read += 1;
            assert_eq!(encode(&record), bytes);
            assert!(shape::check(&bytes).is_ok());
        }
    }
    println!("{cases} spoiled records: {shaped} of the right shape, {read} read");
    assert!(shaped > read && read > cases / 10, "{shaped} {read} of {cases}");
}

#[test]
fn spoiled_leaves_are_refused_or_have_one_encoding() {
    let cases = cases(20_000);
    let mut noise = Noise(0x6c65_6176_6573);
    let good = properties::leaf();
    let mut read = 0;
    for _ in 0..cases {
        let bytes = noise.spoiled(&good.encode());
        if let Ok(leaf) = Leaf::decode(&bytes) {
            read += 1;
            assert!(leaf.encode() == bytes && leaf != good && leaf.check().is_ok());
        }
    }
    println!("{cases} spoiled leaves: {read} read");
    assert!(read > cases / 10, "{read} of {cases}");
}

/// The signings inside a leaf: whatever is changed in them, the record does not open beside it.
#[test]
fn a_record_does_not_open_beside_spoiled_signings() {
    let cases = cases(3_000);
    let mut noise = Noise(0x0073_6967_6e69_6e67);
    let ring = keyring();
    // Both slots of what takes two, and a founding, which brings its keys.
    let records = ["FacilityRegistered", "UnitsFilled", "LedgerFounded"].map(|name| {
        let kind = EventKind::from_name(name).unwrap();
        (0..).map(|seed| sample(kind, seed)).find(|record| record.slots.len() >= 2).unwrap()
    });
    let stored = records.map(|record| {
        let bytes = encode(&record);
        let signings = sign_every_slot(&record, digest(&bytes));
        let link = Link { stream_key: stream_key(1, &[1; 16]), seq: 1, prev: [0; 32] };
        let leaf = Leaf { digest: digest(&bytes), signings, links: vec![link], map_root: None, ..properties::leaf() };
        (bytes, leaf)
    });
    let (mut read, mut unsigned) = (0, 0);
    for _ in 0..cases {
        let (record, leaf) = noise.of(&stored).unwrap();
        let bytes = leaf.encode();
        // From the first signing on, whose number stands before them, up to the map's flag.
        let end = bytes.len() - 1;
        let begin = end - leaf.signings.iter().map(|signing| signing.to_bytes().len()).sum::<usize>();
        let spoiled = noise.spoiled(&bytes[begin..end]);
        let spoiled = [&bytes[..begin], &spoiled, &bytes[end..]].concat();
        let Ok(other) = Leaf::decode(&spoiled) else { continue };
        read += 1;
        assert_eq!(other.encode(), spoiled);
        match open_stored(record.clone(), &other, &ring) {
            Ok(_) => panic!("{:?} opens instead of {:?}", other.signings, leaf.signings),
            Err(error) => unsigned += u64::from(matches!(error, OpenError::SignatureWrong { .. })),
        }
    }
    for (record, leaf) in &stored {
        assert!(open_stored(record.clone(), leaf, &ring).is_ok());
    }
    println!("{cases} spoiled signings: {read} leaves read, {unsigned} reach the signature");
    assert!(read > cases / 4 && unsigned > cases / 8, "{read} {unsigned} of {cases}");
}
