//! Clauses about how much is in a dose: cells, viability, DMSO, endotoxin. Limits per kg are held against the weight of the order.
//!
//! Ratios are compared by cross-multiplication, from total and viability: `min × g × 10⁴ ≤ total × bp × 1000 ≤ max × g × 10⁴`.

use std::collections::BTreeMap;

use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::{Comparator, ResultKind, ReviewDecision, TestKind, TestResult};

use crate::codes::dose as code;
use crate::family::dose::case::{Case, SeenUnit};
use crate::family::dose::findings::{Findings, record, thing};
use crate::family::dose::words::{duration, grouped, percent, tenths};
use crate::state::lot::Thaw;

/// UCUM codes of endotoxin units per millilitre.
const ENDOTOXIN_UNITS: [&str; 2] = ["[EU]/mL", "[EU]/ml"];

/// Cells are the sum of the portions, and within the band for the order's weight.
pub(in crate::family) fn cells(f: &mut Findings, case: &Case<'_>) {
    let dose = case.dose;
    let sum: u128 = dose.portions.iter().map(|portion| u128::from(portion.total_cells)).sum();
    f.demand(
        sum == u128::from(dose.total_cells),
        &code::CONTRIBUTIONS_DIFFER_FROM_TOTAL,
        || format!("{} cells in the dose, {} from its units", grouped(dose.total_cells), grouped(sum)),
        || "the same number".to_owned(),
        || vec![record(dose.record_id)],
    );
    band(f, case);
}

fn band(f: &mut Findings, case: &Case<'_>) {
    let dose = case.dose;
    let (Some(protocol), Some(weighing)) = (&case.standing.protocol, case.order_weighing()) else {
        return;
    };
    // A protocol without a band allows no dose.
    let band = protocol.dose_band.unwrap_or_default();
    let weight = u128::from(weighing.weight_grams);
    let viable = |basis_points: u32| u128::from(dose.total_cells) * u128::from(basis_points) * 1_000;
    let found = |basis_points: u32| {
        format!(
            "{} viable cells/kg ({} cells × {} ÷ {} g)",
            tenths(viable(basis_points), weight * 10_000),
            grouped(dose.total_cells),
            percent(basis_points),
            grouped(weight)
        )
    };
    let (min, max) = (band.min_viable_cells_per_kg, band.max_viable_cells_per_kg);
    let allowed = |limit: String, basis_points: u32| {
        format!(
            "{} to {} viable cells/kg: {limit} cells at {} for {} g",
            grouped(min),
            grouped(max),
            percent(basis_points),
            grouped(weight)
        )
    };
    let share = |basis_points: u32| (u128::from(basis_points) * 1_000).max(1);
    let look_at = || vec![record(dose.record_id), record(weighing.record_id)];
    // Nothing comes to life after the thaw: the dose has no more viable cells than its units had, and no fewer than it states.
    let stated = dose.viability_basis_points;
    let least = most_viable(case).map_or(stated, |best| best.viability_basis_points.min(stated));
    let fewest = u128::from(min) * weight * 10_000;
    f.demand(
        fewest <= viable(least),
        &code::DOSE_BELOW_BAND,
        || found(least),
        || allowed(format!("at least {}", grouped(fewest.div_ceil(share(least)))), least),
        look_at,
    );
    let most = u128::from(max) * weight * 10_000;
    f.demand(
        viable(stated) <= most,
        &code::DOSE_ABOVE_BAND,
        || found(stated),
        || allowed(format!("at most {}", grouped(most / share(stated))), stated),
        look_at,
    );
}

/// The thaw of the unit that was the most viable after it.
fn most_viable(case: &Case<'_>) -> Option<Thaw> {
    case.seen().filter_map(|(_, seen)| seen.unit.thaw).max_by_key(|thaw| thaw.viability_basis_points)
}

/// Viability and DMSO are within the strictest of the units' specifications.
pub(in crate::family) fn quality(f: &mut Findings, case: &Case<'_>) {
    let dose = case.dose;
    if let Some(lowest) = case.specifications().map(|s| s.min_thaw_viability_basis_points).max() {
        f.demand(
            dose.viability_basis_points >= lowest,
            &code::DOSE_VIABILITY_LOW,
            || format!("{} viable", percent(dose.viability_basis_points)),
            || format!("{} or more", percent(lowest)),
            || vec![record(dose.record_id)],
        );
    }
    let limit = case.specifications().map(|s| s.max_dmso_milligrams_per_kg).min();
    let (Some(limit), Some(weighing)) = (limit, case.order_weighing()) else {
        return;
    };
    let weight = u128::from(weighing.weight_grams);
    let dmso = u128::from(dose.dmso_milligrams);
    f.demand(
        dmso * 1_000 <= u128::from(limit) * weight,
        &code::DMSO_TOO_HIGH,
        || format!("{} mg/kg ({} mg ÷ {} g)", tenths(dmso * 1_000, weight), grouped(dmso), grouped(weight)),
        || {
            let most = u128::from(limit) * weight / 1_000;
            format!("{} mg/kg: at most {} mg for {} g", grouped(limit), grouped(most), grouped(weight))
        },
        || vec![record(dose.record_id), record(weighing.record_id)],
    );
}

/// What the preparation states of the dose, beside its units. Two counts of the same cells differ and DMSO can be washed out, and no document
/// says by how much: what does not agree is flagged, and QA judges it.
pub(in crate::family) fn as_its_units(f: &mut Findings, case: &Case<'_>) {
    as_counted_after_thaw(f, case);
    dmso_of_units(f, case);
}

/// A dose is no more viable than the most viable of its units was after its thaw: cells die, and none comes back to life.
fn as_counted_after_thaw(f: &mut Findings, case: &Case<'_>) {
    let dose = case.dose;
    let Some(best) = most_viable(case) else {
        return;
    };
    f.demand(
        dose.viability_basis_points <= best.viability_basis_points,
        &code::DOSE_VIABILITY_ABOVE_UNITS,
        || format!("{} viable", percent(dose.viability_basis_points)),
        || format!("{} or less, as was counted after the thaw", percent(best.viability_basis_points)),
        || vec![record(dose.record_id), record(best.record_id)],
    );
}

/// The dose has all DMSO that came with the volumes of its units: µL × share by volume × 1.1 mg/µL, to the milligram.
fn dmso_of_units(f: &mut Findings, case: &Case<'_>) {
    let dose = case.dose;
    // In hundred-thousandths of a milligram: a basis point of a microlitre weighs eleven of them.
    let brought = case.seen().fold(0, |sum: u128, (portion, seen)| {
        let share = u128::from(seen.unit.dmso_basis_points);
        sum.saturating_add(u128::from(portion.volume_microlitres) * share * 11)
    });
    let milligrams = brought / 100_000;
    f.demand(
        u128::from(dose.dmso_milligrams) >= milligrams,
        &code::DMSO_BELOW_UNITS,
        || format!("{} mg of DMSO", grouped(dose.dmso_milligrams)),
        || format!("{} mg or more, as came with the volumes of the units", grouped(milligrams)),
        || vec![record(dose.record_id)],
    );
}

/// At the planned rate the dose brings no more endotoxin per kg and hour than allowed.
///
/// The highest reviewed result of each lot counts; of a result below its limit of quantification the limit.
pub(in crate::family) fn endotoxin(f: &mut Findings, case: &Case<'_>) {
    let lots: BTreeMap<Id16, &SeenUnit> = case.seen().map(|(_, seen)| (seen.lot.id, seen)).collect();
    for (lot_id, seen) in lots {
        let results = endotoxin_results(seen);
        f.demand(
            !results.is_empty(),
            &code::ENDOTOXIN_UNKNOWN,
            || "no reviewed endotoxin result in EU/mL".to_owned(),
            || "a reviewed result, given as `=`, `<` or below the limit of quantification".to_owned(),
            || vec![thing("lot", &lot_id)],
        );
        for (value, record_id) in results {
            endotoxin_rate(f, case, seen, &value, record_id);
        }
    }
}

/// value EU/mL × µL ÷ 1000 ÷ (g ÷ 1000) ÷ (s ÷ 3600) ≤ limit ÷ 1000 EU/kg/h, that is: value ≤ limit × g × s ÷ (µL × 3 600 000).
fn endotoxin_rate(f: &mut Findings, case: &Case<'_>, seen: &SeenUnit, value: &str, record_id: RecordId) {
    let (Some(specification), Some(order), Some(weighing)) = (&seen.specification, case.order, case.order_weighing()) else {
        return;
    };
    let dose = case.dose;
    let from_units: u64 = dose.portions.iter().fold(0, |sum, p| sum.saturating_add(p.volume_microlitres));
    let volume = dose.volume_microlitres.max(from_units);
    let limit = specification.max_endotoxin_milli_eu_per_kg_per_hour;
    let (weight, seconds) = (weighing.weight_grams, order.planned_duration_seconds);
    let numerator = u128::from(limit) * u128::from(weight) * u128::from(seconds);
    let denominator = u128::from(volume) * 3_600_000;
    f.demand(
        is_at_most(value, numerator, denominator),
        &code::ENDOTOXIN_TOO_HIGH,
        || {
            format!(
                "{value} EU/mL × {} µL in {} for {} g",
                grouped(volume),
                duration(i64::from(seconds) * 1_000),
                grouped(weight)
            )
        },
        || {
            let per_hour = tenths(u128::from(limit), 1_000);
            format!(
                "{per_hour} EU/kg/h: at most {} thousandths of EU/mL at this rate",
                grouped(numerator.saturating_mul(1_000) / denominator.max(1))
            )
        },
        || vec![record(record_id), record(order.record_id), record(dose.record_id), record(weighing.record_id)],
    );
}

fn endotoxin_results(seen: &SeenUnit) -> Vec<(String, RecordId)> {
    let Some(specification) = &seen.specification else {
        return Vec::new();
    };
    let is_endotoxin = |test_code: &str| {
        let mut tests = specification.tests.iter();
        tests.any(|test| test.code == test_code && test.kind() == TestKind::Endotoxin)
    };
    let reviewed = |review: &Option<(RecordId, ReviewDecision)>| matches!(review, Some((_, ReviewDecision::Accepted)));
    seen.lot
        .results
        .iter()
        .filter(|result| is_endotoxin(&result.test_code) && reviewed(&result.review) && result.invalidated.is_none())
        .filter_map(|result| Some((upper_bound(result.event.result.as_ref()?)?.to_owned(), result.record_id)))
        .collect()
}

/// The highest concentration that a result leaves possible.
fn upper_bound(result: &TestResult) -> Option<&str> {
    let bounded = matches!(result.comparator(), Comparator::Equal | Comparator::Less | Comparator::BelowQuantification);
    let unit = result.unit_ucum.as_deref()?;
    let value = result.value.as_deref()?;
    let usable = result.kind() == ResultKind::Quantitative && bounded && ENDOTOXIN_UNITS.contains(&unit);
    (usable && !value.starts_with('-')).then_some(value)
}

/// Whether a decimal text is at most `numerator ÷ denominator`, digit by digit and exactly. What is no such number is not.
fn is_at_most(value: &str, numerator: u128, denominator: u128) -> bool {
    if denominator == 0 {
        return true;
    }
    let (integer, fraction) = value.split_once('.').unwrap_or((value, ""));
    let Ok(integer) = integer.parse::<u128>() else {
        return false;
    };
    let whole = numerator / denominator;
    if integer != whole {
        return integer < whole;
    }
    let mut rest = numerator % denominator;
    for digit in fraction.chars() {
        let Some(digit) = digit.to_digit(10) else {
            return false;
        };
        let Some(scaled) = rest.checked_mul(10) else {
            return false;
        };
        let expected = scaled / denominator;
        if u128::from(digit) != expected {
            return u128::from(digit) < expected;
        }
        rest = scaled % denominator;
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimals_are_held_against_fractions_exactly() {
        for (value, numerator, denominator, expected) in [
            ("0.5", 1, 2, true),
            ("0.50000000000000000000000000000", 1, 2, true),
            ("0.5000000000000000000000000000001", 1, 2, false),
            ("0.3", 1, 3, true),
            ("0.3333333333333333333333333333333", 1, 3, true),
            ("0.3333333333333333333333333333334", 1, 3, false),
            ("10", 10, 1, true),
            ("11", 10, 1, false),
            ("9.9", 10, 1, true),
            ("0", 0, 7, true),
            ("0.1", 0, 7, false),
            ("1", 0, 0, true),
            ("x", 9, 1, false),
        ] {
            assert_eq!(is_at_most(value, numerator, denominator), expected, "{value} ≤ {numerator}/{denominator}");
        }
    }

    proptest! {
        #[test]
        fn a_thousandth_is_compared_as_by_cross_multiplication(thousandths in 0u64..5_000, numerator in 0u64..10_000, denominator in 1u64..3_000) {
            let value = format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000);
            prop_assert_eq!(
                is_at_most(&value, u128::from(numerator), u128::from(denominator)),
                u128::from(thousandths) * u128::from(denominator) <= u128::from(numerator) * 1_000
            );
        }
    }

    #[test]
    fn only_results_with_an_upper_bound_are_used() {
        let result = |kind: ResultKind, comparator: Comparator, unit: &str| TestResult {
            kind: kind.into(),
            value: Some("0.05".to_owned()),
            unit_ucum: Some(unit.to_owned()),
            comparator: Some(comparator.into()),
        };
        use Comparator::{AboveQuantification, BelowQuantification, Equal, Greater, Less};
        for (comparator, usable) in
            [(Equal, true), (Less, true), (BelowQuantification, true), (Greater, false), (AboveQuantification, false)]
        {
            let result = result(ResultKind::Quantitative, comparator, "[EU]/mL");
            assert_eq!(upper_bound(&result).is_some(), usable, "{comparator:?}");
        }
        assert_eq!(upper_bound(&result(ResultKind::Quantitative, Equal, "[EU]/L")), None);
        assert_eq!(upper_bound(&result(ResultKind::Invalid, Equal, "[EU]/mL")), None);
    }
}
