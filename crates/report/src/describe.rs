//! What a set of values is like: how many, mean, median, quartiles, range.

use serde::Serialize;

/// A set of values, described.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// How many.
    pub n: usize,
    /// Mean.
    pub mean: f64,
    /// Smallest.
    pub min: f64,
    /// First quartile.
    pub lower_quartile: f64,
    /// Median.
    pub median: f64,
    /// Third quartile.
    pub upper_quartile: f64,
    /// Largest.
    pub max: f64,
}

impl Summary {
    /// Of these values; none of none, and none of what is not finite.
    pub fn of(values: &[f64]) -> Option<Summary> {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        Some(Summary {
            n: sorted.len(),
            mean: sorted.iter().sum::<f64>() / sorted.len() as f64,
            min,
            lower_quartile: quantile(&sorted, 1),
            median: quantile(&sorted, 2),
            upper_quartile: quantile(&sorted, 3),
            max,
        })
    }
}

/// The quarter-th quartile of sorted values, between the two nearest ones (Hyndman and Fan, type 7).
fn quantile(sorted: &[f64], quarter: usize) -> f64 {
    let place = quarter * sorted.len().saturating_sub(1);
    let (below, share) = (place / 4, (place % 4) as f64 / 4.0);
    let at = |index: usize| sorted.get(index).or(sorted.last()).copied().unwrap_or(0.0);
    at(below) + share * (at(below + 1) - at(below))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quartiles_lie_between_values() {
        let of = |values: &[f64]| Summary::of(values).map(|s| (s.n, s.min, s.lower_quartile, s.median, s.upper_quartile, s.max));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[f64::NAN]), None);
        assert_eq!(of(&[3.0]), Some((1, 3.0, 3.0, 3.0, 3.0, 3.0)));
        assert_eq!(of(&[4.0, 1.0, 3.0, 2.0]), Some((4, 1.0, 1.75, 2.5, 3.25, 4.0)));
        assert_eq!(of(&[5.0, 1.0, 3.0, 2.0, 4.0]), Some((5, 1.0, 2.0, 3.0, 4.0, 5.0)));
        assert_eq!(Summary::of(&[1.0, 2.0, 6.0]).map(|s| s.mean), Some(3.0));
    }

    proptest! {
        #[test]
        fn in_order(values in prop::collection::vec(-1e6..1e6, 1..50)) {
            let s = Summary::of(&values).unwrap();
            let ordered = [s.min, s.lower_quartile, s.median, s.upper_quartile, s.max];
            prop_assert!(ordered.is_sorted(), "{ordered:?}");
            prop_assert!(s.min - 1e-6 <= s.mean && s.mean <= s.max + 1e-6);
        }
    }
}
