use proptest::prelude::*;

use super::*;

fn died(days: &[u32]) -> Vec<Followed> {
    days.iter().map(|day| Followed { day: *day, died: true }).collect()
}

fn seen(days: &[u32]) -> Vec<Followed> {
    days.iter().map(|day| Followed { day: *day, died: false }).collect()
}

/// Freireich and others 1963: weeks of remission of children with leukaemia under 6-mercaptopurine, and under placebo.
fn freireich() -> (Vec<Followed>, Vec<Followed>) {
    let mut treated = died(&[6, 6, 6, 7, 10, 13, 16, 22, 23]);
    treated.extend(seen(&[6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]));
    let placebo = died(&[1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]);
    (treated, placebo)
}

fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() < tolerance, "{found} is not {expected}");
}

#[test]
fn the_published_curve_of_6_mercaptopurine() {
    let (treated, placebo) = freireich();
    assert_eq!((treated.len(), placebo.len()), (21, 21));
    let curve = curve(&treated);
    let published = [
        (6, 21, 3, 0.8571),
        (7, 17, 1, 0.8067),
        (10, 15, 1, 0.7529),
        (13, 12, 1, 0.6902),
        (16, 11, 1, 0.6275),
        (22, 7, 1, 0.5378),
    ];
    for (day, at_risk, deaths, survival) in published {
        let point = curve.at(day).unwrap();
        assert_eq!((point.day, point.at_risk, point.deaths), (day, at_risk, deaths));
        close(point.survival, survival, 5e-5);
        close(curve.survival(day).unwrap(), survival, 5e-5);
    }
    close(curve.at(23).unwrap().survival, 0.4482, 5e-5);
    assert_eq!(curve.median_day, Some(23));
    assert_eq!(super::curve(&placebo).median_day, Some(8));
    assert_eq!(curve.at(5), None);
    assert_eq!(curve.survival(5), Some(1.0));
    assert_eq!((curve.at_risk(0), curve.at_risk(6), curve.at_risk(8), curve.at_risk(35), curve.at_risk(36)), (21, 21, 16, 1, 0));
    assert_eq!(curve.survival(36), None, "nobody was seen after week 35");
}

#[test]
fn the_interval_is_greenwoods_on_the_scale_of_log_minus_log() {
    let (treated, _) = freireich();
    let point = *curve(&treated).at(10).unwrap();
    // By hand: the sum of d / (n (n − d)) at 6, 7 and 10 weeks.
    let variance: f64 = 3.0 / (21.0 * 18.0) + 1.0 / (17.0 * 16.0) + 1.0 / (15.0 * 14.0);
    let s: f64 = point.survival;
    let half = 1.96 * variance.sqrt() / s.ln();
    close(point.lower.unwrap(), s.powf((-half).exp()), 1e-4);
    close(point.upper.unwrap(), s.powf(half.exp()), 1e-4);
    // As other programs print it.
    close(point.lower.unwrap(), 0.503, 1e-3);
    close(point.upper.unwrap(), 0.889, 1e-3);
}

#[test]
fn the_published_log_rank_test() {
    let (treated, placebo) = freireich();
    let computed = log_rank(&treated, &placebo);
    let test = computed.value().unwrap();
    assert_eq!(test.observed, 9);
    close(test.expected, 19.25, 5e-3);
    close(test.chi_squared, 16.79, 5e-3);
    close(test.p_value, 4.17e-5, 1e-6);
}

#[test]
fn what_cannot_be_computed_is_said() {
    let reason = |first: &[Followed], second: &[Followed]| match log_rank(first, second) {
        Computed::NotComputable(reason) => reason,
        Computed::Value(value) => panic!("{value:?}"),
    };
    assert_eq!(reason(&[], &[]), "an arm without subjects");
    assert_eq!(reason(&died(&[1]), &[]), "an arm without subjects");
    assert_eq!(reason(&seen(&[5]), &seen(&[6])), "no deaths");
    let all_at_once = "no day on which both arms were at risk and somebody lived on";
    assert_eq!(reason(&died(&[5]), &died(&[5])), all_at_once);
    assert_eq!(reason(&died(&[5]), &seen(&[1])), all_at_once);
}

#[test]
fn the_ends_of_a_curve() {
    assert_eq!(curve(&[]), Curve { points: Vec::new(), median_day: None });
    assert_eq!(curve(&[]).survival(0), None);
    let nobody_died = curve(&seen(&[28, 90]));
    assert!(
        nobody_died.points.iter().all(|p| p.survival.to_bits() == 1.0_f64.to_bits() && p.lower.is_none() && p.upper.is_none())
    );
    assert_eq!(nobody_died.median_day, None);
    let all_died = curve(&died(&[0, 3]));
    assert_eq!(all_died.survival(0), Some(0.5));
    assert_eq!(all_died.median_day, Some(0));
    assert_eq!(all_died.survival(400), Some(0.0), "who is dead stays dead");
    assert_eq!(all_died.points.last().map(|p| (p.lower, p.upper)), Some((None, None)));
}

prop_compose! {
    fn arm(most: usize)(followed in prop::collection::vec((0u32..60, any::<bool>()), 1..most)) -> Vec<Followed> {
        followed.into_iter().map(|(day, died)| Followed { day, died }).collect()
    }
}

proptest! {
    #[test]
    fn a_curve_never_rises_and_its_interval_holds_it(followed in arm(40)) {
        let curve = curve(&followed);
        let mut before = 1.0;
        for point in &curve.points {
            prop_assert!((0.0..=before).contains(&point.survival));
            before = point.survival;
            for (lower, upper) in point.lower.iter().zip(&point.upper) {
                prop_assert!(0.0 <= *lower && *lower <= point.survival && point.survival <= *upper && *upper <= 1.0);
            }
        }
        let gone: u64 = curve.points.iter().map(|p| p.deaths + p.censored).sum();
        prop_assert_eq!(gone, followed.len() as u64);
        prop_assert_eq!(curve.at_risk(0), followed.len() as u64);
    }

    #[test]
    fn without_losses_the_estimate_is_the_share_alive(days in prop::collection::vec(0u32..40, 1..40), day in 0u32..50) {
        let alive = days.iter().filter(|d| **d > day).count() as f64 / days.len() as f64;
        prop_assert!((curve(&died(&days)).survival(day).unwrap() - alive).abs() < 1e-9);
    }

    #[test]
    fn arms_may_be_swapped(first in arm(30), second in arm(30)) {
        match (log_rank(&first, &second), log_rank(&second, &first)) {
            (Computed::Value(one), Computed::Value(other)) => {
                prop_assert!((one.chi_squared - other.chi_squared).abs() < 1e-6 * (1.0 + one.chi_squared));
                prop_assert!((one.p_value - other.p_value).abs() < 1e-6);
                prop_assert!((0.0..=1.0).contains(&one.p_value));
            }
            (one, other) => prop_assert_eq!(one, other),
        }
    }
}
