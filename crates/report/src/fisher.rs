//! Fisher's exact test of a table of two by two, two-sided.
//!
//! With the margins fixed, the first cell is hypergeometric. The p-value adds up the tables that are no more likely than the one that was
//! observed. Two tables count as equally likely when their probabilities agree to 1 part in 10⁷, so that rounding splits no tie.

use serde::Serialize;
use statrs::distribution::{Discrete as _, Hypergeometric};

use crate::computed::Computed;

/// Counts of two arms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TwoByTwo {
    /// First arm, with the event.
    pub first_with: u64,
    /// First arm, without it.
    pub first_without: u64,
    /// Second arm, with the event.
    pub second_with: u64,
    /// Second arm, without it.
    pub second_without: u64,
}

/// The test's result.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fisher {
    /// The counts.
    pub counts: TwoByTwo,
    /// Two-sided p-value.
    pub p_value: f64,
}

const TIE: f64 = 1.0 + 1e-7;

/// The test. An arm without anybody, or an outcome that everybody or nobody had, leaves nothing to compare.
pub fn fisher(counts: TwoByTwo) -> Computed<Fisher> {
    let TwoByTwo { first_with, first_without, second_with, second_without } = counts;
    let sums = (
        first_with.checked_add(first_without),
        second_with.checked_add(second_without),
        first_with.checked_add(second_with),
        first_without.checked_add(second_without),
    );
    let (Some(first), Some(second), Some(with), Some(without)) = sums else {
        return Computed::not("more subjects than can be counted");
    };
    if first == 0 || second == 0 {
        return Computed::not("an arm without subjects");
    }
    if with == 0 || without == 0 {
        return Computed::not("the same outcome for all");
    }
    let Some(distribution) = first.checked_add(second).and_then(|all| Hypergeometric::new(all, with, first).ok()) else {
        return Computed::not("more subjects than can be counted");
    };
    let limit = distribution.pmf(first_with) * TIE;
    let possible = with.saturating_sub(second)..=with.min(first);
    let sum: f64 = possible.map(|count| distribution.pmf(count)).filter(|probability| *probability <= limit).sum();
    Computed::Value(Fisher { counts, p_value: sum.min(1.0) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn p(first_with: u64, first_without: u64, second_with: u64, second_without: u64) -> f64 {
        let computed = fisher(TwoByTwo { first_with, first_without, second_with, second_without });
        computed.value().unwrap_or_else(|| panic!("{computed:?}")).p_value
    }

    fn close(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() < tolerance, "{found} is not {expected}");
    }

    #[test]
    fn published_examples() {
        // Fisher's lady tasting tea: three of four right.
        close(p(3, 1, 1, 3), 34.0 / 70.0, 1e-12);
        // All right: one of seventy on either side.
        close(p(4, 0, 0, 4), 2.0 / 70.0, 1e-12);
        // Fisher's twins: 10 of 13 monozygotic and 2 of 17 dizygotic convicted.
        close(p(10, 3, 2, 15), 0.000_536_7, 5e-7);
    }

    #[test]
    fn the_published_trial_at_day_28() {
        // By hand: with 12 of 30 alive, the tables with 0 to 3 and 9 to 12 alive in one arm of 15.
        let c = |n: u64, k: u64| (0..k).fold(1.0, |product, i| product * (n - i) as f64 / (i + 1) as f64);
        let as_rare: f64 = (0..=12).filter(|k| *k <= 3 || *k >= 9).map(|k| c(15, k) * c(15, 12 - k)).sum();
        close(p(9, 6, 3, 12), as_rare / c(30, 12), 1e-12);
        close(p(9, 6, 3, 12), 0.0604, 5e-4);
    }

    #[test]
    fn nothing_to_compare_is_said_in_words() {
        let reason = |a, b, c, d| match fisher(TwoByTwo { first_with: a, first_without: b, second_with: c, second_without: d }) {
            Computed::NotComputable(reason) => reason,
            Computed::Value(value) => panic!("{value:?}"),
        };
        assert_eq!(reason(0, 0, 1, 1), "an arm without subjects");
        assert_eq!(reason(1, 1, 0, 0), "an arm without subjects");
        assert_eq!(reason(0, 5, 0, 5), "the same outcome for all");
        assert_eq!(reason(5, 0, 5, 0), "the same outcome for all");
        assert_eq!(reason(u64::MAX, 1, 0, 5), "more subjects than can be counted");
    }

    proptest! {
        #[test]
        fn a_probability_that_does_not_know_left_from_right(a in 0u64..40, b in 0u64..40, c in 0u64..40, d in 0u64..40) {
            prop_assume!(a + b > 0 && c + d > 0 && a + c > 0 && b + d > 0);
            let found = p(a, b, c, d);
            prop_assert!(found > 0.0 && found <= 1.0);
            for other in [p(c, d, a, b), p(b, a, d, c), p(a, c, b, d)] {
                prop_assert!((found - other).abs() < 1e-9, "{found} {other}");
            }
        }
    }
}
