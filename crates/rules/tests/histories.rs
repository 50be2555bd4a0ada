//! Plays every history of `histories/`: one test for each file.

use std::path::Path;

use marrowline_rules::testing;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("histories")
}

fn play(name: &str) {
    let read = |file: &str| std::fs::read_to_string(folder().join(file)).map_err(|e| format!("{file}: {e}"));
    let played = testing::play(name, &read);
    let failures = played.as_ref().err().map(String::as_str).unwrap_or_default();
    assert!(failures.is_empty(), "\n{failures}");
    assert!(played.is_ok_and(|rows| rows > 0), "{name} has no rows");
}

macro_rules! histories {
    ($($name:ident)+) => {
        $(
            #[test]
            fn $name() {
                play(stringify!($name));
            }
        )+

        #[test]
        fn every_file_is_played() {
            let listed = [$(stringify!($name)),+];
            for file in std::fs::read_dir(folder()).unwrap() {
                let name = file.unwrap().file_name().into_string().unwrap();
                let Some(name) = name.strip_suffix(".txt") else { continue };
                assert!(name == "defaults" || listed.contains(&name), "add {name} to tests/histories.rs");
            }
        }
    };
}

histories! {
    founding
    amendment
    authority
    beginnings
    container
    culture
    custody
    disposition
    disposition_without
    late_facts
    operators
    result_versions
    donor
    doubt
    doubt_dose
    early_sterility
    emergency
    emergency_subject
    eligible_donor
    frame
    excursion
    excursions_apart
    filled_lot
    harvested_lot
    hindsight
    late_withdrawal

    kept_cold
    invalidation
    labels
    lot
    medium
    moved_late
    ordered_dose
    thawed_units
    prepared_dose
    preparation
    subject_life
    release_units
    protocol
    subject
    subject_records
    order
    dose
    thawing
    dose_band
    exposure
    weighing
    doses
    two_donors
    endotoxin
    unit_fitness
    quality
    recorded_anew
    recall
    refused_custody
    released_lot
    returned_units
    rule_set
    signatures
    specification
    stops_afterwards
    storage
    tested_lot
    testing
    units
    units_afterwards
    supplies
    withdrawal
    entered_late
    mistaken_identity
}
