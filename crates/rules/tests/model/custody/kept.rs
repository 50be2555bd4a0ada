//! Where units were kept: freezer places, their devices, and whether these were cold.

use super::units::{Entry, Fact, History, UNITS, Warm};

/// A freezer place, and the device that was named with it.
type Place<'a> = (&'a str, Option<&'static str>);

/// A time in a device.
struct Stay {
    device: &'static str,
    from: i64,
    until: i64,
}

impl History {
    /// Where a unit was put, or taken out of, at each entry that moved it, in the order in which it happened.
    fn put(&self, unit: usize) -> Vec<(i64, Option<Place<'_>>)> {
        let mut put = Vec::new();
        for (_, entry) in self.life(unit).filter(|(_, entry)| entry.fact.units().contains(&unit)) {
            match &entry.fact {
                Fact::Moved { units, places, devices } => {
                    let number = units.iter().position(|moved| *moved == unit);
                    put.push((entry.at, number.map(|number| (places[number].as_str(), devices[number]))));
                }
                Fact::HandedOver { .. }
                | Fact::Returned { .. }
                | Fact::Thawed { .. }
                | Fact::Sampled { .. }
                | Fact::Happened { kind: "LOST", .. }
                | Fact::Destroyed { .. } => put.push((entry.at, None)),
                _ => {}
            }
        }
        put.sort_by_key(|(at, _)| *at);
        put
    }

    /// Where a unit is. In the beginning all of them are just taken out of their shipper.
    pub fn place(&self, unit: usize) -> Option<Place<'_>> {
        self.put(unit).last().and_then(|(_, place)| *place)
    }

    pub fn occupants(&self, place: &str) -> Vec<usize> {
        (0..UNITS).filter(|unit| self.place(*unit).is_some_and(|(there, _)| there == place)).collect()
    }

    /// Whether a unit was put somewhere else, taken out or taken over after a moment.
    pub fn is_moved_after(&self, unit: usize, at: i64) -> bool {
        let arrives = |fact: &Fact| matches!(fact, Fact::TakenOver { .. } | Fact::Happened { kind: "FOUND", .. });
        let arrived =
            self.life(unit).any(|(_, entry)| entry.at > at && entry.fact.units().contains(&unit) && arrives(&entry.fact));
        arrived || self.put(unit).iter().any(|(moved, _)| *moved > at)
    }

    fn stays(&self, unit: usize, now: i64) -> Vec<Stay> {
        let put = self.put(unit);
        let ends = put.iter().skip(1).map(|(at, _)| *at).chain([now]);
        let stays = put.iter().zip(ends).filter_map(|((from, place), until)| {
            let (_, device) = (*place)?;
            Some(Stay { device: device?, from: *from, until })
        });
        stays.collect()
    }

    /// The times in which devices were too warm, with the units that the records name.
    fn warm(&self) -> Vec<(Warm, &[usize])> {
        let warm = |entry: &Entry| if let Fact::Warm { warm, .. } = &entry.fact { Some(*warm) } else { None };
        let all = self.0.iter().filter_map(|entry| warm(entry).map(|warm| (warm, entry.fact.units())));
        all.filter(|(warm, _)| warm.is_beyond).collect()
    }

    /// Whether a unit was kept in a device that was too warm, or is said to have been, and no record on the unit's lot says so for the
    /// whole time: that one holds the unit, and QA decides. One that names no unit is about all units of its lots.
    pub fn is_kept_too_warm(&self, unit: usize, now: i64) -> bool {
        let all = self.warm();
        let is_answered = |device: &str, from: i64, until: i64| {
            all.iter().any(|(warm, named)| {
                let is_about = warm.is_on_lot && (named.is_empty() || named.contains(&unit));
                is_about && warm.device == device && warm.from <= from && until <= warm.until
            })
        };
        let in_it = self.stays(unit, now).into_iter().any(|stay| {
            all.iter().any(|(warm, _)| {
                let (from, until) = (warm.from.max(stay.from), warm.until.min(stay.until));
                warm.device == stay.device && from < until && !is_answered(warm.device, from, until)
            })
        });
        let is_named = all
            .iter()
            .any(|(warm, named)| !warm.is_on_lot && named.contains(&unit) && !is_answered(warm.device, warm.from, warm.until));
        in_it || is_named
    }
}
