//! A device: its status through time, how far its sensors were logged, and when it was too warm.

use std::collections::BTreeMap;
use std::sync::Arc;

use marrowline_record::entry::Entry;
use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, EquipmentStatus, StreamKind};

use crate::index::id16;
use crate::state::Upkeep;

/// How a device stands from a moment on.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The record.
    pub record_id: RecordId,
    /// From when.
    pub from_ms: i64,
    /// What was recorded.
    pub event: pb::EquipmentStatusRecorded,
}

/// How far a sensor was logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The record of the last readings.
    pub record_id: RecordId,
    /// When the last of them was taken.
    pub until_ms: i64,
}

/// A time that readings of one interval account for: from an interval before the first to an interval after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first moment.
    pub from_ms: i64,
    /// Its last.
    pub until_ms: i64,
    /// From one reading to the next.
    pub interval_ms: i64,
}

/// The readings of a sensor that one record logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The record.
    pub record_id: RecordId,
    /// The sensor.
    pub sensor: String,
    /// When the first of them was taken.
    pub first_ms: i64,
    /// From one to the next.
    pub interval_ms: i64,
    /// Those up to the record's own time: nobody has read what is still to come.
    pub millicelsius: Vec<i32>,
    /// The warmest of them.
    pub max_millicelsius: i32,
}

/// A time in which a sensor was warmer than a limit, reading after reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmSpell {
    /// The record of its first reading.
    pub record_id: RecordId,
    /// When the first warm reading was taken.
    pub from_ms: i64,
    /// When the last one was taken.
    pub last_ms: i64,
    /// An interval later: each reading stands for the time to the next one.
    pub until_ms: i64,
    /// The warmest.
    pub peak_millicelsius: i32,
}

/// An excursion that somebody recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excursion {
    /// The record.
    pub record_id: RecordId,
    /// When it began.
    pub from_ms: i64,
    /// When it was over, or noticed.
    pub until_ms: i64,
    /// The warmest.
    pub peak_millicelsius: i32,
    /// How long it was above the limit.
    pub seconds_above_limit: u32,
    /// The lots that the record extends.
    pub lot_ids: Vec<Id16>,
    /// The units that it names; none: all of the lots.
    pub unit_ids: Vec<Id16>,
}

impl Excursion {
    /// Whether it was warmer than a storage limit for longer than that allows.
    pub fn is_beyond(&self, limit: &pb::StorageLimit) -> bool {
        self.peak_millicelsius > limit.max_millicelsius && self.seconds_above_limit > limit.max_seconds_above
    }

    /// Whether it is on a unit's lot and names the unit, or all of the lot.
    pub fn is_about(&self, lot: &Id16, unit: &Id16) -> bool {
        self.lot_ids.contains(lot) && (self.unit_ids.is_empty() || self.unit_ids.contains(unit))
    }
}

/// The equipment stream.
#[derive(Clone, Debug)]
pub struct Equipment {
    /// The device.
    pub id: Id16,
    /// Its standings by the time from which they hold.
    pub standings: Vec<Standing>,
    /// Its sensors.
    pub sensors: BTreeMap<String, Logged>,
    /// What its sensors together account for: ascending, those of one interval apart from each other.
    pub watched: Vec<Span>,
    /// Its readings, in the order of the log.
    pub chunks: Vec<Arc<Chunk>>,
    /// Its excursions, in the order of the log.
    pub excursions: Vec<Excursion>,
    /// Holds, deviations, signatures.
    pub upkeep: Upkeep,
}

impl Equipment {
    /// Before the first record.
    pub fn new(id: Id16) -> Equipment {
        Equipment {
            id,
            standings: Vec::new(),
            sensors: BTreeMap::new(),
            watched: Vec::new(),
            chunks: Vec::new(),
            excursions: Vec::new(),
            upkeep: Upkeep::new(StreamKind::Equipment),
        }
    }

    /// How it stood at a moment.
    pub fn at(&self, at_ms: i64) -> Option<&Standing> {
        self.standings.iter().rfind(|standing| standing.from_ms <= at_ms)
    }

    /// The parts of a time, first moment and last, that no reading accounts for, if only those count that are at most an interval apart.
    pub fn unwatched(&self, from_ms: i64, until_ms: i64, longest_ms: i64) -> Vec<(i64, i64)> {
        let mut reached = from_ms;
        let mut gaps = Vec::new();
        for span in self.watched.iter().filter(|span| span.interval_ms <= longest_ms && span.from_ms < until_ms) {
            if reached < span.from_ms {
                gaps.push((reached, span.from_ms));
            }
            reached = reached.max(span.until_ms);
        }
        if reached < until_ms {
            gaps.push((reached, until_ms));
        }
        gaps
    }

    /// Times in which a sensor was warmer than a limit. What lies between two warm readings was warm if no reading is missing there.
    pub fn warm_spells(&self, limit_millicelsius: i32) -> Vec<WarmSpell> {
        let mut readings: BTreeMap<(&str, i64), (i32, &Chunk)> = BTreeMap::new();
        for chunk in self.chunks.iter().filter(|chunk| chunk.max_millicelsius > limit_millicelsius) {
            let timed = (0i64..).zip(chunk.millicelsius.iter());
            for (number, warm) in timed.filter(|(_, millicelsius)| **millicelsius > limit_millicelsius) {
                let at_ms = chunk.first_ms.saturating_add(number.saturating_mul(chunk.interval_ms));
                let known = readings.entry((&chunk.sensor, at_ms)).or_insert((*warm, chunk));
                known.0 = known.0.max(*warm);
            }
        }
        let mut spells: Vec<WarmSpell> = Vec::new();
        let mut last_sensor = "";
        for ((sensor, at_ms), (millicelsius, chunk)) in readings {
            let until_ms = at_ms.saturating_add(chunk.interval_ms);
            match spells.last_mut() {
                Some(spell) if sensor == last_sensor && at_ms < spell.until_ms.saturating_add(chunk.interval_ms) => {
                    spell.last_ms = at_ms;
                    spell.until_ms = spell.until_ms.max(until_ms);
                    spell.peak_millicelsius = spell.peak_millicelsius.max(millicelsius);
                }
                _ => spells.push(WarmSpell {
                    record_id: chunk.record_id,
                    from_ms: at_ms,
                    last_ms: at_ms,
                    until_ms,
                    peak_millicelsius: millicelsius,
                }),
            }
            last_sensor = sensor;
        }
        spells
    }

    fn log(&mut self, entry: &Entry, e: &pb::ReadingsLogged) {
        let readings: Vec<i32> = e.millicelsius.iter().take(readings_until(e, entry.occurred_at_ms())).copied().collect();
        let Some(max_millicelsius) = readings.iter().max().copied() else {
            return;
        };
        let chunk = Chunk {
            record_id: entry.record_id(),
            sensor: e.sensor.clone(),
            first_ms: e.first_at.as_ref().map_or(0, |at| at.unix_ms),
            interval_ms: i64::from(e.interval_seconds).saturating_mul(1_000),
            millicelsius: readings,
            max_millicelsius,
        };
        self.watch(&chunk, entry.occurred_at_ms());
        let logged = Logged { record_id: chunk.record_id, until_ms: chunk.last_ms() };
        let known = self.sensors.entry(chunk.sensor.clone()).or_insert(logged);
        if known.until_ms < logged.until_ms {
            *known = logged;
        }
        self.chunks.push(Arc::new(chunk));
    }

    fn watch(&mut self, chunk: &Chunk, occurred_at_ms: i64) {
        let mut span = Span {
            from_ms: chunk.first_ms.saturating_sub(chunk.interval_ms),
            until_ms: chunk.last_ms().saturating_add(chunk.interval_ms).min(occurred_at_ms),
            interval_ms: chunk.interval_ms,
        };
        self.watched.retain(|known| {
            let is_apart =
                known.until_ms < span.from_ms || span.until_ms < known.from_ms || known.interval_ms != span.interval_ms;
            if !is_apart {
                span.from_ms = span.from_ms.min(known.from_ms);
                span.until_ms = span.until_ms.max(known.until_ms);
            }
            is_apart
        });
        let place = self.watched.partition_point(|known| known.from_ms < span.from_ms);
        self.watched.insert(place, span);
    }

    /// Adds the next record.
    pub fn fold(&mut self, entry: &Entry) {
        self.upkeep.fold(entry);
        match entry.event() {
            Some(Event::EquipmentStatusRecorded(e)) => {
                let standing = Standing { record_id: entry.record_id(), from_ms: entry.occurred_at_ms(), event: e.clone() };
                let place = self.standings.partition_point(|known| known.from_ms <= standing.from_ms);
                self.standings.insert(place, standing);
            }
            Some(Event::ReadingsLogged(e)) => self.log(entry, e),
            Some(Event::TemperatureExcursion(e)) => self.excursions.push(Excursion {
                record_id: entry.record_id(),
                from_ms: e.began_at.as_ref().map_or(entry.occurred_at_ms(), |at| at.unix_ms),
                until_ms: entry.occurred_at_ms(),
                peak_millicelsius: e.peak_millicelsius(),
                seconds_above_limit: e.seconds_above_limit(),
                lot_ids: entry.record.streams.iter().filter(|s| s.kind() == StreamKind::Lot).map(|s| Id16(id16(&s.id))).collect(),
                unit_ids: e.unit_ids.iter().map(|unit| Id16(id16(unit))).collect(),
            }),
            _ => {}
        }
    }
}

impl Chunk {
    /// When the last of them was taken.
    fn last_ms(&self) -> i64 {
        let steps = i64::try_from(self.millicelsius.len()).unwrap_or(i64::MAX).saturating_sub(1);
        self.first_ms.saturating_add(steps.saturating_mul(self.interval_ms))
    }
}

/// How many of some readings were taken up to a moment.
pub fn readings_until(e: &pb::ReadingsLogged, at_ms: i64) -> usize {
    let first_ms = e.first_at.as_ref().map_or(0, |at| at.unix_ms);
    if first_ms > at_ms {
        return 0;
    }
    let interval_ms = i64::from(e.interval_seconds).saturating_mul(1_000);
    let steps = at_ms.saturating_sub(first_ms).checked_div(interval_ms).unwrap_or(i64::MAX);
    usize::try_from(steps.saturating_add(1)).unwrap_or(usize::MAX).min(e.millicelsius.len())
}

/// Whether a device may be used.
pub fn is_in_service(standing: &Standing) -> bool {
    standing.event.status() == EquipmentStatus::InService
}
