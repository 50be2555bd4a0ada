//! A device: its status through time, and how far its sensors were logged.

use std::collections::BTreeMap;

use marrowline_record::entry::Entry;
use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, EquipmentStatus, StreamKind};

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

/// A time that some readings account for: from an interval before the first to an interval after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first moment.
    pub from_ms: i64,
    /// Its last.
    pub until_ms: i64,
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
    /// What its sensors together account for: ascending, apart from each other.
    pub watched: Vec<Span>,
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
            upkeep: Upkeep::new(StreamKind::Equipment),
        }
    }

    /// How it stood at a moment.
    pub fn at(&self, at_ms: i64) -> Option<&Standing> {
        self.standings.iter().rfind(|standing| standing.from_ms <= at_ms)
    }

    /// The first moment of a time that no reading accounts for; `None` if all of it is.
    pub fn unwatched_from(&self, from_ms: i64, until_ms: i64) -> Option<i64> {
        let mut reached = from_ms;
        for span in &self.watched {
            if span.from_ms <= reached && reached <= span.until_ms {
                reached = span.until_ms;
            }
        }
        (from_ms < until_ms && reached < until_ms).then_some(reached)
    }

    fn watch(&mut self, e: &pb::ReadingsLogged) {
        let first_ms = e.first_at.as_ref().map_or(0, |at| at.unix_ms);
        let interval_ms = i64::from(e.interval_seconds).saturating_mul(1_000);
        let mut span =
            Span { from_ms: first_ms.saturating_sub(interval_ms), until_ms: last_reading_ms(e).saturating_add(interval_ms) };
        self.watched.retain(|known| {
            let is_apart = known.until_ms < span.from_ms || span.until_ms < known.from_ms;
            if !is_apart {
                span = Span { from_ms: span.from_ms.min(known.from_ms), until_ms: span.until_ms.max(known.until_ms) };
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
            Some(Event::ReadingsLogged(e)) => {
                self.watch(e);
                let logged = Logged { record_id: entry.record_id(), until_ms: last_reading_ms(e) };
                let known = self.sensors.entry(e.sensor.clone()).or_insert(logged);
                if known.until_ms < logged.until_ms {
                    *known = logged;
                }
            }
            _ => {}
        }
    }
}

/// When the last of some readings was taken.
pub fn last_reading_ms(e: &pb::ReadingsLogged) -> i64 {
    let steps = i64::try_from(e.millicelsius.len()).unwrap_or(i64::MAX).saturating_sub(1);
    let first_ms = e.first_at.as_ref().map_or(0, |at| at.unix_ms);
    first_ms.saturating_add(steps.saturating_mul(i64::from(e.interval_seconds)).saturating_mul(1_000))
}

/// Whether a device may be used.
pub fn is_in_service(standing: &Standing) -> bool {
    standing.event.status() == EquipmentStatus::InService
}
