//! How long subjects live: the Kaplan–Meier estimate, and the log-rank test of two arms.
//!
//! Times are whole days. On each day with deaths, the estimate is multiplied by 1 − deaths / at risk; who was last seen on that day is
//! still at risk on it. The 95 % interval is Greenwood's on the scale of log(−log S), which stays within 0 and 1; where the estimate is 1
//! or 0 there is none. The log-rank test compares the deaths of the first arm with those expected if the arms did not differ, with the
//! hypergeometric variance, by χ² with one degree of freedom.

use std::collections::BTreeSet;

use serde::Serialize;
use statrs::distribution::{ChiSquared, ContinuousCDF as _};

use crate::computed::Computed;

/// What is known of one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Followed {
    /// Day of death, or on which it was last known to live.
    pub day: u32,
    /// Whether it died on that day.
    pub died: bool,
}

/// The estimate from a day on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// The day.
    pub day: u32,
    /// At risk on that day.
    pub at_risk: u64,
    /// Died on that day.
    pub deaths: u64,
    /// Last seen on that day.
    pub censored: u64,
    /// Share that lives after that day.
    pub survival: f64,
    /// Lower end of the 95 % interval.
    pub lower: Option<f64>,
    /// Upper end of it.
    pub upper: Option<f64>,
}

/// The curve of one arm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curve {
    /// A point for each day on which somebody died or was last seen, in order.
    pub points: Vec<Point>,
    /// First day on which at most half live.
    pub median_day: Option<u32>,
}

/// 97.5 % quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}

fn at_risk(followed: &[Followed], day: u32) -> u64 {
    count(followed.iter().filter(|f| f.day >= day).count())
}

fn deaths(followed: &[Followed], day: u32) -> u64 {
    count(followed.iter().filter(|f| f.died && f.day == day).count())
}

/// The Kaplan–Meier estimate.
pub fn curve(followed: &[Followed]) -> Curve {
    let days: BTreeSet<u32> = followed.iter().map(|f| f.day).collect();
    let (mut survival, mut variance) = (1.0_f64, 0.0_f64);
    let mut points = Vec::with_capacity(days.len());
    for day in days {
        let (n, d) = (at_risk(followed, day), deaths(followed, day));
        let (risk, died) = (n as f64, d as f64);
        if d == n {
            survival = 0.0;
        } else {
            survival *= (risk - died) / risk;
            variance += died / (risk * (risk - died));
        }
        let (lower, upper) = interval(survival, variance);
        let last_seen = count(followed.iter().filter(|f| !f.died && f.day == day).count());
        points.push(Point { day, at_risk: n, deaths: d, censored: last_seen, survival, lower, upper });
    }
    // A product of shares such as 14/15 may lie a rounding above one half.
    let median_day = points.iter().find(|point| point.survival <= 0.5 + 1e-12).map(|point| point.day);
    Curve { points, median_day }
}

/// Greenwood's 95 % interval on the scale of log(−log S).
fn interval(survival: f64, variance: f64) -> (Option<f64>, Option<f64>) {
    if survival <= 0.0 || survival >= 1.0 {
        return (None, None);
    }
    let width = (Z * variance.sqrt() / survival.ln().abs()).exp();
    (Some(survival.powf(width)), Some(survival.powf(width.recip())))
}

impl Curve {
    /// The last point on or before a day; none before the first.
    pub fn at(&self, day: u32) -> Option<&Point> {
        self.points.iter().take_while(|point| point.day <= day).last()
    }

    /// How many are at risk on a day.
    pub fn at_risk(&self, day: u32) -> u64 {
        self.points.iter().find(|point| point.day >= day).map_or(0, |point| point.at_risk)
    }

    /// Share that lives after a day, as far as it is known: none after the last day on which anybody was seen.
    pub fn survival(&self, day: u32) -> Option<f64> {
        let last = self.points.last()?;
        if day > last.day && last.survival > 0.0 {
            return None;
        }
        Some(self.at(day).map_or(1.0, |point| point.survival))
    }
}

/// The result of the log-rank test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LogRank {
    /// Deaths in the first arm.
    pub observed: u64,
    /// Deaths expected in it if the arms did not differ.
    pub expected: f64,
    /// Variance of the difference.
    pub variance: f64,
    /// χ² with one degree of freedom.
    pub chi_squared: f64,
    /// p-value.
    pub p_value: f64,
}

/// The log-rank test of two arms.
pub fn log_rank(first: &[Followed], second: &[Followed]) -> Computed<LogRank> {
    if first.is_empty() || second.is_empty() {
        return Computed::not("an arm without subjects");
    }
    let days: BTreeSet<u32> = first.iter().chain(second).filter(|f| f.died).map(|f| f.day).collect();
    if days.is_empty() {
        return Computed::not("no deaths");
    }
    let (mut observed, mut expected, mut variance) = (0, 0.0_f64, 0.0_f64);
    for day in days {
        let (n1, n2) = (at_risk(first, day) as f64, at_risk(second, day) as f64);
        let in_first = deaths(first, day);
        let (n, d) = (n1 + n2, (in_first + deaths(second, day)) as f64);
        observed += in_first;
        expected += d * n1 / n;
        if n > 1.0 {
            variance += d * (n1 / n) * (n2 / n) * (n - d) / (n - 1.0);
        }
    }
    if variance <= 0.0 {
        return Computed::not("no day on which both arms were at risk and somebody lived on");
    }
    let chi_squared = (observed as f64 - expected).powi(2) / variance;
    match ChiSquared::new(1.0) {
        Ok(distribution) => {
            Computed::Value(LogRank { observed, expected, variance, chi_squared, p_value: distribution.sf(chi_squared) })
        }
        Err(error) => Computed::not(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
