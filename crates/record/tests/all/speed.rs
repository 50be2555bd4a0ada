//! How long the decoding of a record takes. Run by hand, optimised:
//! `cargo test --release -p marrowline-record --test all speed -- --ignored --nocapture`.

use std::hint::black_box;
use std::time::Instant;

use marrowline_record::testing::sample;
use marrowline_record::{EventKind, decode, encode, shape};

fn nanoseconds_each(work: impl Fn()) -> u128 {
    const ROUNDS: u32 = 200_000;
    let run = || {
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| work());
        start.elapsed().as_nanos() / u128::from(ROUNDS)
    };
    (0..5).map(|_| run()).min().unwrap_or_default()
}

#[test]
#[ignore = "a measurement"]
fn decoding() {
    for kind in [EventKind::SubjectWeighed, EventKind::Harvested, EventKind::UnitsFilled, EventKind::DosePrepared] {
        let bytes = encode(&sample(kind, 1));
        let check = nanoseconds_each(|| drop(black_box(shape::check(black_box(&bytes)))));
        let whole = nanoseconds_each(|| drop(black_box(decode(black_box(&bytes)))));
        println!("{kind}, {} bytes: shape check {check} ns, whole decoding {whole} ns", bytes.len());
    }
}
