//! Folding: what becomes of a subject's records, in the order of the ledger.

use std::sync::Arc;

use marrowline_record::entry::Entry;
use marrowline_record::id::{Digest, Id16, RecordId};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, BedsideResult, StreamKind};

use super::{DoseState, Subject};
use crate::codes;

fn entry(number: u8, event: Event, flags: &[&str]) -> Entry {
    let mut flags: Vec<u16> = flags.iter().map(|f| codes::by_name(f).expect("a code").number).collect();
    flags.sort_unstable();
    Entry {
        index: u64::from(number),
        recorded_at_ms: 1_000 + i64::from(number),
        rule_set: 1,
        flags,
        digest: Digest([number; 32]),
        record: Arc::new(pb::Record {
            record_id: vec![number; 16],
            occurred_at: Some(pb::Instant { unix_ms: i64::from(number), offset_minutes: 0 }),
            streams: vec![pb::StreamExtension { kind: StreamKind::Subject.into(), id: vec![1; 16], head: None }],
            event: Some(event),
            ..pb::Record::default()
        }),
        signings: Vec::new(),
    }
}

fn prepared() -> Event {
    Event::DosePrepared(pb::DosePrepared {
        dose_id: vec![8; 16],
        order_id: vec![7; 16],
        contributions: vec![pb::Contribution { unit_id: vec![6; 16], total_cells: 100, volume_microlitres: 10 }],
        total_cells: 100,
        viability_basis_points: Some(9_000),
        ..pb::DosePrepared::default()
    })
}

fn ended(volume_microlitres: u64) -> Event {
    Event::InfusionEnded(pb::InfusionEnded {
        dose_id: vec![8; 16],
        infused: vec![pb::InfusedVolume { unit_id: vec![6; 16], volume_microlitres: Some(volume_microlitres) }],
        stopped_because: None,
    })
}

fn checked(result: BedsideResult) -> Event {
    Event::BedsideChecked(pb::BedsideChecked { dose_id: vec![8; 16], result: result.into() })
}

#[test]
fn a_dose_goes_through_its_states() {
    let mut subject = Subject::new(Id16([1; 16]));
    let ordered = Event::DoseOrdered(pb::DoseOrdered { order_id: vec![7; 16], ..pb::DoseOrdered::default() });
    let allocated = Event::UnitsAllocated(pb::UnitsAllocated { order_id: vec![7; 16], unit_ids: vec![vec![6; 16]] });
    subject.fold(&entry(1, ordered, &[]));
    subject.fold(&entry(2, allocated, &[]));
    assert_eq!(subject.orders[0].allocated, [(Id16([6; 16]), RecordId([2; 16]))]);
    let dispensed = Event::DoseDispensed(pb::DoseDispensed { dose_id: vec![8; 16] });
    let started = Event::InfusionStarted(pb::InfusionStarted { dose_id: vec![8; 16] });
    let steps = [
        (prepared(), DoseState::Prepared),
        (dispensed, DoseState::Dispensed),
        (checked(BedsideResult::Matched), DoseState::AtWard),
        (started, DoseState::Started),
        (ended(10), DoseState::Ended),
    ];
    for (number, (event, state)) in (3u8..).zip(steps) {
        subject.fold(&entry(number, event, &[]));
        assert_eq!(subject.doses[0].state(), state);
    }
    assert_eq!(subject.orders[0].dose_id, Some(Id16([8; 16])));
    assert_eq!(subject.doses[0].dispensed.map(|d| d.dispensed_at_ms), Some(1_004), "by the ledger's time");
    assert_eq!(subject.doses[0].infusion.as_ref().map(|i| i.started_at_ms), Some(6), "by the event's time");
    assert_eq!(subject.doses[0].viable_cells_rounded_up(), 90);
}

#[test]
fn an_infusion_of_a_part_is_stopped_and_counts_in_part() {
    let mut subject = Subject::new(Id16([1; 16]));
    subject.fold(&entry(1, prepared(), &[]));
    let started = Event::InfusionStarted(pb::InfusionStarted { dose_id: vec![8; 16] });
    subject.fold(&entry(2, started, &[]));
    assert_eq!(subject.doses[0].viable_cells_rounded_up(), 90, "while it runs it counts whole");
    subject.fold(&entry(3, ended(5), &[]));
    assert_eq!(subject.doses[0].state(), DoseState::Stopped);
    assert_eq!(subject.doses[0].viable_cells_rounded_up(), 45);
    subject.fold(&entry(4, ended(10), &[]));
    assert_eq!(subject.doses[0].state(), DoseState::Stopped, "the first end counts");
}

#[test]
fn a_mismatch_holds_the_dose_and_not_the_subject() {
    let mut subject = Subject::new(Id16([1; 16]));
    subject.fold(&entry(1, prepared(), &[]));
    subject.fold(&entry(2, checked(BedsideResult::Mismatched), &["BEDSIDE_MISMATCHED"]));
    let holds: Vec<_> = subject.upkeep.open_holds().map(|h| (h.code, h.dose_id)).collect();
    assert_eq!(holds, [("BEDSIDE_MISMATCHED", Some(Id16([8; 16])))]);
    assert!(!subject.doses[0].is_matched());
}

#[test]
fn a_dose_that_is_not_the_subjects_holds_the_subject() {
    let mut subject = Subject::new(Id16([1; 16]));
    subject.fold(&entry(1, checked(BedsideResult::Matched), &["DOSE_UNKNOWN"]));
    let holds: Vec<_> = subject.upkeep.open_holds().map(|h| (h.code, h.dose_id)).collect();
    assert_eq!(holds, [("DOSE_UNKNOWN", None)]);
}

#[test]
fn the_latest_weighing_is_latest_by_its_own_time() {
    let mut subject = Subject::new(Id16([1; 16]));
    for (number, weight_grams) in [(5, 70_000), (3, 60_000), (5, 71_000)] {
        let weighed = Event::SubjectWeighed(pb::SubjectWeighed { weight_grams, ..pb::SubjectWeighed::default() });
        subject.fold(&entry(number, weighed, &[]));
    }
    assert_eq!(subject.latest_weighing().map(|w| w.weight_grams), Some(71_000));
}

#[test]
fn the_arm_never_changes() {
    let mut subject = Subject::new(Id16([1; 16]));
    for (number, arm) in [(1, 2), (2, 1)] {
        let randomised = Event::SubjectRandomised(pb::SubjectRandomised { arm, ..pb::SubjectRandomised::default() });
        subject.fold(&entry(number, randomised, &[]));
    }
    assert_eq!(subject.randomised.map(|r| r.arm), Some(2));
}

#[test]
fn the_arm_rests_on_the_latest_screening_by_its_own_time() {
    let mut subject = Subject::new(Id16([1; 16]));
    let screened = |verdict: pb::ScreeningVerdict| {
        Event::SubjectScreened(pb::SubjectScreened { stated_verdict: verdict.into(), ..pb::SubjectScreened::default() })
    };
    let of_screening = |subject: &Subject| subject.screening().map(|s| (s.screened_at_ms, s.event.stated_verdict()));
    for (number, verdict) in [(5, pb::ScreeningVerdict::Ineligible), (3, pb::ScreeningVerdict::Eligible)] {
        subject.fold(&entry(number, screened(verdict), &[]));
        assert_eq!(of_screening(&subject), Some((5, pb::ScreeningVerdict::Ineligible)));
    }
    // Of two at the same time the one recorded later.
    subject.fold(&entry(5, screened(pb::ScreeningVerdict::Eligible), &[]));
    assert_eq!(of_screening(&subject), Some((5, pb::ScreeningVerdict::Eligible)));
    subject.fold(&entry(6, Event::SubjectRandomised(pb::SubjectRandomised::default()), &[]));
    for number in [4, 7] {
        subject.fold(&entry(number, screened(pb::ScreeningVerdict::Ineligible), &[]));
        assert_eq!(
            of_screening(&subject),
            Some((5, pb::ScreeningVerdict::Eligible)),
            "nothing moves the onset of a subject with an arm"
        );
    }
}

#[test]
fn whenever_a_preparation_is_recorded_its_dose_is_the_same() {
    let dispensed = Event::DoseDispensed(pb::DoseDispensed { dose_id: vec![8; 16] });
    let started = Event::InfusionStarted(pb::InfusionStarted { dose_id: vec![8; 16] });
    let rejected = Event::DoseRejected(pb::DoseRejected { dose_id: vec![8; 16], ..pb::DoseRejected::default() });
    let of_another = Event::InfusionStarted(pb::InfusionStarted { dose_id: vec![9; 16] });
    let later = [dispensed, checked(BedsideResult::Mismatched), started, of_another, ended(5), rejected];
    let mut later: Vec<Entry> = (2u8..).zip(later).map(|(number, event)| entry(number, event, &[])).collect();
    let folded = |entries: &[Entry]| {
        let mut subject = Subject::new(Id16([1; 16]));
        entries.iter().for_each(|entry| subject.fold(entry));
        let waiting: Vec<RecordId> = subject.waiting.iter().map(|entry| entry.record_id()).collect();
        let strays: Vec<(Id16, i64)> = subject.strays().iter().map(|(dose, start)| (*dose, start.started_at_ms)).collect();
        (subject.doses, waiting, strays)
    };
    later.insert(0, entry(1, prepared(), &[]));
    let first = folded(&later);
    assert_eq!((first.1.as_slice(), first.2.as_slice()), (&[RecordId([5; 16])][..], &[(Id16([9; 16]), 5)][..]));
    for place in 0..6 {
        later.swap(place, place + 1);
        assert_eq!(folded(&later), first, "the preparation after {} records", place + 1);
    }
}
