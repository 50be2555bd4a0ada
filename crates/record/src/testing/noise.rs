//! Input that nobody meant well: numbers that look random and are the same in every run, and valid bytes that were spoiled.
//!
//! Random bytes are refused at the first check. What was valid and is changed in one place, or in a few, gets past it, and reaches the
//! code behind: a test that spoils samples asserts that some of them did.

/// How many cases a test tries: `MARROWLINE_HOSTILE_CASES`, or what is quick in every run.
pub fn cases(usual: u64) -> u64 {
    std::env::var("MARROWLINE_HOSTILE_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// SplitMix64: small, and the same everywhere.
pub struct Noise(pub u64);

impl Noise {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below a bound; 0 if there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound.max(1) as u64) as usize
    }

    /// Whether it is this time: on average once in so many.
    pub fn one_in(&mut self, most: usize) -> bool {
        self.below(most) == 0
    }

    /// One of these.
    pub fn of<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let at = self.below(items.len());
        items.get(at)
    }

    /// Bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.number() as u8).collect()
    }

    /// Changes bytes in one place: a bit or a byte is another, there is one more or one less, the rest is cut off, a piece is there twice,
    /// was copied over another, or is a number at its bounds.
    pub fn spoil(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        let value = self.number() as u8;
        let end = at.saturating_add(1 + self.below(16)).min(bytes.len());
        let to = self.below(bytes.len());
        match self.below(9) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, value),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => {
                let piece = bytes.get(at..end).unwrap_or_default().to_vec();
                drop(bytes.splice(to..to, piece));
            }
            4 => {
                let piece = bytes.get(at..end).unwrap_or_default().to_vec();
                let over = to.saturating_add(piece.len()).min(bytes.len());
                drop(bytes.splice(to..over, piece));
            }
            5 => {
                let bound = if value & 1 == 0 { 0 } else { 0xff };
                bytes.get_mut(at..end).unwrap_or_default().fill(bound);
            }
            6 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (value % 8);
                }
            }
        }
    }

    /// A copy that was spoiled in one place, seldom in up to four. It is another one.
    pub fn spoiled(&mut self, good: &[u8]) -> Vec<u8> {
        let mut bytes = good.to_vec();
        let places = if self.one_in(4) { 1 + self.below(4) } else { 1 };
        for _ in 0..places {
            self.spoil(&mut bytes);
        }
        if bytes == good {
            bytes.push(self.number() as u8);
        }
        bytes
    }

    /// The same for a text; what is no UTF-8 any more is replaced. It is another one.
    pub fn spoiled_text(&mut self, good: &str) -> String {
        let mut text = String::from_utf8_lossy(&self.spoiled(good.as_bytes())).into_owned();
        if text == good {
            text.push('\u{fffd}');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spoiled_is_another_and_the_same_in_every_run() {
        let spoil = |seed: u64| {
            let mut noise = Noise(seed);
            (0..500)
                .map(|case| {
                    let good = vec![7; case % 9];
                    let bad = noise.spoiled(&good);
                    assert_ne!(bad, good);
                    assert_ne!(noise.spoiled_text("{}"), "{}");
                    bad
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(spoil(1), spoil(1));
        assert_ne!(spoil(1), spoil(2));
    }
}
