//! How a unit was kept: in devices that were watched where the specification asks for it, and that were cold enough by whatever is known.

use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::{self, EvidenceKind};

use crate::codes::lot as codes;
use crate::family::dose::words::moment;
use crate::finding::{Finding, Look};
use crate::index::IndexKey;
use crate::state::Lot;
use crate::state::equipment::{Equipment, Excursion};
use crate::state::lot::{Stay, Unit};
use crate::view::View;

/// What is known against how a unit was kept up to a time.
pub(super) fn findings(
    view: &dyn View,
    document: &pb::SpecificationPublished,
    lot: &Lot,
    unit: &Unit,
    at_ms: i64,
) -> Vec<Finding> {
    let mut found = missing_readings(view, document, lot, unit, at_ms);
    if let Some(limit) = document.storage {
        found.extend(unit.stays.iter().filter_map(|stay| too_warm(view, &limit, lot, unit, stay, at_ms)));
        found.extend(named_elsewhere(view, &limit, lot, unit));
    }
    found
}

/// Loggers of freezers measure every few minutes. Where a limit allows less above it than this, they count all the same.
const SHORTEST_INTERVAL_SECONDS: u32 = 600;

/// How far apart readings may be to show that a limit was kept: what was too warm for longer than allowed between two of them is not seen.
fn longest_interval_ms(document: &pb::SpecificationPublished) -> i64 {
    document.storage.map_or(i64::MAX, |limit| i64::from(limit.max_seconds_above.max(SHORTEST_INTERVAL_SECONDS)) * 1_000)
}

/// Devices logged how cold a unit was wherever it was kept, where the specification asks for it. What a logger has measured within the
/// specification's late-entry limit may still be on its way; a unit that stays in nobody's place for no longer is in its shipper.
fn missing_readings(view: &dyn View, document: &pb::SpecificationPublished, lot: &Lot, unit: &Unit, at_ms: i64) -> Vec<Finding> {
    if !document.required_evidence().any(|kind| kind == EvidenceKind::Readings) {
        return Vec::new();
    }
    let due_ms = at_ms.saturating_sub(i64::from(document.late_entry_limit_seconds).saturating_mul(1_000));
    let finding = |found: String, record_id: RecordId| Finding {
        code: &codes::READINGS_MISSING,
        found: format!("unit {}: {found}", unit.code),
        allowed: "a named device, and its readings without a gap".to_owned(),
        look_at: vec![Look::Record(record_id)],
    };
    let Some(first) = unit.stays.first().filter(|_| unit.stays.iter().any(|stay| stay.is_placed)) else {
        return vec![finding("in no place since it was filled".to_owned(), unit.filled_by)];
    };
    let limit_ms = at_ms.saturating_sub(due_ms);
    let of_stay = |stay: &Stay| {
        if !stay.is_placed {
            let out_ms = stay.until_ms.unwrap_or(at_ms).saturating_sub(stay.from_ms);
            return (out_ms > limit_ms).then(|| finding(format!("in no place from {} on", moment(stay.from_ms)), stay.record_id));
        }
        let until_ms = stay.until_ms.unwrap_or(due_ms).min(due_ms);
        let Some(device) = stay.equipment_id else {
            return Some(finding("in a place without a device".to_owned(), stay.record_id));
        };
        let gap_ms = match view.equipment(&device) {
            Some(equipment) => unanswered_gap(&equipment, document, lot, unit, (stay.from_ms, until_ms))?,
            None => (stay.from_ms < until_ms).then_some(stay.from_ms)?,
        };
        Some(finding(format!("no readings of device {device} from {} on", moment(gap_ms)), stay.record_id))
    };
    let before_first = (first.from_ms.saturating_sub(unit.filled_at_ms) > limit_ms)
        .then(|| finding(format!("in no place from {} on", moment(unit.filled_at_ms)), unit.filled_by));
    before_first.into_iter().chain(unit.stays.iter().filter_map(of_stay)).collect()
}

/// When a device began not to be watched in a time that no excursion on the unit's lot covers.
fn unanswered_gap(
    equipment: &Equipment,
    document: &pb::SpecificationPublished,
    lot: &Lot,
    unit: &Unit,
    (from_ms, until_ms): (i64, i64),
) -> Option<i64> {
    let gaps = equipment.unwatched(from_ms, until_ms, longest_interval_ms(document));
    let is_open = |(from_ms, until_ms): &(i64, i64)| {
        document.storage.is_none_or(|limit| !is_answered(equipment, &limit, lot, unit, *from_ms, *until_ms))
    };
    gaps.into_iter().find(is_open).map(|(from_ms, _)| from_ms)
}

/// A time in which a device was too warm while a unit was in it, by its readings or by an excursion, and no excursion on the unit's lot
/// covers: that one would hold the unit until QA has decided.
fn too_warm(view: &dyn View, limit: &pb::StorageLimit, lot: &Lot, unit: &Unit, stay: &Stay, at_ms: i64) -> Option<Finding> {
    let device = stay.equipment_id?;
    let equipment = view.equipment(&device)?;
    let stay_until_ms = stay.until_ms.unwrap_or(at_ms);
    // Put somewhere and moved on at the same moment: it was there for no time.
    if stay.until_ms == Some(stay.from_ms) {
        return None;
    }
    let (record_id, from_ms, peak) = warm_times(&equipment, limit)
        .into_iter()
        .filter(|warm| warm.from_ms < stay_until_ms && stay.from_ms < warm.until_ms)
        .filter(|warm| {
            let there_ms = warm.until_ms.min(stay_until_ms).saturating_sub(warm.from_ms.max(stay.from_ms));
            !warm.is_by_readings || there_ms > i64::from(limit.max_seconds_above).saturating_mul(1_000)
        })
        .find(|warm| {
            let (from_ms, last_ms) = (warm.from_ms.max(stay.from_ms), warm.last_ms.min(stay_until_ms));
            !is_answered(&equipment, limit, lot, unit, from_ms, last_ms)
        })
        .map(|warm| (warm.record_id, warm.from_ms, warm.peak_millicelsius))?;
    Some(Finding {
        code: &codes::UNIT_KEPT_TOO_WARM,
        found: format!("unit {}: device {device} at {peak} m°C from {} on", unit.code, moment(from_ms)),
        allowed: format!("up to {} m°C, or above it for up to {} s", limit.max_millicelsius, limit.max_seconds_above),
        look_at: vec![Look::Record(record_id), Look::Record(stay.record_id)],
    })
}

/// Whether an excursion on the unit's lot covers a time: it holds the unit, and QA decides.
fn is_answered(equipment: &Equipment, limit: &pb::StorageLimit, lot: &Lot, unit: &Unit, from_ms: i64, last_ms: i64) -> bool {
    let mut answers = equipment.excursions.iter().filter(|x| x.is_beyond(limit) && x.is_about(&lot.id, &unit.id));
    answers.any(|x| x.from_ms <= from_ms && last_ms <= x.until_ms)
}

/// An excursion that names the unit and does not extend its lot, wherever the unit was said to be.
fn named_elsewhere(view: &dyn View, limit: &pb::StorageLimit, lot: &Lot, unit: &Unit) -> Option<Finding> {
    let devices = [false, true].map(|last| view.lookup(&IndexKey::Warmed { unit: unit.id.0, last }));
    devices.into_iter().flatten().find_map(|device| {
        let equipment = view.equipment(&Id16(device))?;
        let names_it = |x: &&Excursion| x.is_beyond(limit) && x.unit_ids.contains(&unit.id);
        let open = |x: &&Excursion| !is_answered(&equipment, limit, lot, unit, x.from_ms, x.until_ms);
        let excursion = equipment.excursions.iter().filter(names_it).find(open)?;
        Some(Finding {
            code: &codes::UNIT_KEPT_TOO_WARM,
            found: format!("unit {}: named by an excursion to {} m°C", unit.code, excursion.peak_millicelsius),
            allowed: "excursions on the unit's own lot, about which QA decides".to_owned(),
            look_at: vec![Look::Record(excursion.record_id)],
        })
    })
}

/// A time in which a device was warmer than a limit.
struct WarmTime {
    record_id: RecordId,
    from_ms: i64,
    last_ms: i64,
    until_ms: i64,
    peak_millicelsius: i32,
    is_by_readings: bool,
}

fn warm_times(equipment: &Equipment, limit: &pb::StorageLimit) -> Vec<WarmTime> {
    let read = equipment.warm_spells(limit.max_millicelsius).into_iter().map(|spell| WarmTime {
        record_id: spell.record_id,
        from_ms: spell.from_ms,
        last_ms: spell.last_ms,
        until_ms: spell.until_ms,
        peak_millicelsius: spell.peak_millicelsius,
        is_by_readings: true,
    });
    let recorded = equipment.excursions.iter().filter(|excursion| excursion.is_beyond(limit)).map(|excursion| WarmTime {
        record_id: excursion.record_id,
        from_ms: excursion.from_ms,
        last_ms: excursion.until_ms,
        until_ms: excursion.until_ms,
        peak_millicelsius: excursion.peak_millicelsius,
        is_by_readings: false,
    });
    read.chain(recorded).collect()
}
