//! Population doublings in thousandths, by integers only, so that every machine gets the same number.
//!
//! For n/d, with n and d from 1 to 2^64 − 1:
//!
//! 1. e is the integer with 2^e ≤ n/d < 2^(e+1).
//! 2. x = floor(2^62 × n / (d × 2^e)), so 2^62 ≤ x < 2^63: the mantissa in fixed point.
//! 3. y = e. Then 32 times: x = floor(x² / 2^62); if x ≥ 2^63, x = floor(x / 2) and the bit is 1, else 0; y = 2y + bit.
//! 4. The answer is floor((1000 y + 2^31) / 2^32): log2(n/d) in thousandths, rounded to the nearest.

const MANTISSA_BITS: u32 = 62;
const FRACTION_BITS: u32 = 32;

/// log2(numerator / denominator) in thousandths, rounded to the nearest; none if either is zero.
pub fn log2_milli(numerator: u64, denominator: u64) -> Option<i32> {
    let (n, d) = (u128::from(numerator), u128::from(denominator));
    let mut exponent = i64::from(n.checked_ilog2()?) - i64::from(d.checked_ilog2()?);
    let scaled = |exponent: i64| {
        let shift = u32::try_from(exponent.unsigned_abs()).ok()?;
        // Both stay below 2^65: one number is brought to the other's bit length.
        Some(if exponent >= 0 { (n, d << shift) } else { (n << shift, d) })
    };
    let (top, bottom) = scaled(exponent)?;
    if top < bottom {
        exponent -= 1;
    }
    let (top, bottom) = scaled(exponent)?;
    let mut x = (top << MANTISSA_BITS) / bottom;
    let mut y = exponent;
    for _ in 0..FRACTION_BITS {
        x = (x * x) >> MANTISSA_BITS;
        let bit = x >> (MANTISSA_BITS + 1);
        x >>= bit;
        y = 2 * y + i64::try_from(bit).ok()?;
    }
    i32::try_from((1000 * y + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn worked_values() {
        for (numerator, denominator, expected) in [
            (1, 1, 0),
            (2, 1, 1000),
            (1, 2, -1000),
            (3, 2, 585),
            (2, 3, -585),
            (3, 1, 1585),
            (10, 1, 3322),
            (1, 10, -3322),
            (12_000_000, 1_500_000, 3000),
            (11_999_999, 1_500_000, 3000),
            (48_300_000, 5_000_000, 3272),
            (1_000_693, 1_000_000, 1),
            (1_000_346, 1_000_000, 0),
            (1_000_347, 1_000_000, 1),
            (u64::MAX, 1, 64_000),
            (1, u64::MAX, -64_000),
            (u64::MAX, u64::MAX - 1, 0),
            (u64::MAX - 1, u64::MAX, 0),
        ] {
            assert_eq!(log2_milli(numerator, denominator), Some(expected), "{numerator}/{denominator}");
        }
    }

    #[test]
    fn zero_has_no_logarithm() {
        assert_eq!(log2_milli(0, 1), None);
        assert_eq!(log2_milli(1, 0), None);
        assert_eq!(log2_milli(0, 0), None);
    }

    #[test]
    fn powers_of_two_are_exact() {
        for power in 0..64 {
            assert_eq!(log2_milli(1 << power, 1), Some(1000 * power));
            assert_eq!(log2_milli(1, 1 << power), Some(-1000 * power));
            assert_eq!(log2_milli(3 << power.min(62), 3), if power <= 62 { Some(1000 * power) } else { Some(62_000) });
        }
    }

    proptest! {
        #[test]
        fn it_is_the_rounded_logarithm(a in 1u64.., b in 1u64.., shift_a in 0u32..64, shift_b in 0u32..64) {
            let (numerator, denominator) = ((a >> shift_a).max(1), (b >> shift_b).max(1));
            let exact = 1000.0 * ((numerator as f64).log2() - (denominator as f64).log2());
            let found = f64::from(log2_milli(numerator, denominator).unwrap());
            prop_assert!((found - exact).abs() <= 0.5 + 1e-6, "{} {}", found, exact);
        }
    }
}
