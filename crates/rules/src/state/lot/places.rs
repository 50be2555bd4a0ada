//! Where a unit was kept and who held it, by the time at which it happened: what is entered late goes where it belongs, and changes nothing
//! of what came after it.

use marrowline_record::entry::Entry;
use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::Location;

use super::{Processing, Unit};
use crate::index::id16;
use crate::state::custody::Custody;

/// A time in one place, or in a facility's hands without a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay {
    /// The record that put it there.
    pub record_id: RecordId,
    /// Whether it had a place.
    pub is_placed: bool,
    /// The device that the place is in, if it was named.
    pub equipment_id: Option<Id16>,
    /// Since when.
    pub from_ms: i64,
    /// Until when; `None` while it is there.
    pub until_ms: Option<i64>,
}

/// What a record says of where a unit is from a moment on.
#[derive(Clone, Debug, PartialEq)]
pub struct PlaceChange {
    record_id: RecordId,
    at_ms: i64,
    to: Whereabouts,
}

#[derive(Clone, Debug, PartialEq)]
enum Whereabouts {
    In(Option<Location>),
    /// In somebody's hands, unless it is in a place.
    Arrived,
    Gone,
}

impl Unit {
    /// Puts it into a place.
    pub(super) fn put(&mut self, location: Option<Location>, entry: &Entry) {
        self.change(entry, Whereabouts::In(location));
    }

    /// A facility has it from now on and has not put it into a place yet.
    pub(super) fn arrive(&mut self, entry: &Entry) {
        self.change(entry, Whereabouts::Arrived);
    }

    /// Takes it out of its place.
    pub(super) fn leave(&mut self, entry: &Entry) {
        self.change(entry, Whereabouts::Gone);
    }

    fn change(&mut self, entry: &Entry, to: Whereabouts) {
        let change = PlaceChange { record_id: entry.record_id(), at_ms: entry.occurred_at_ms(), to };
        if !self.is_moved_after(change.at_ms) {
            self.follow(&change);
            self.places.push(change);
            return;
        }
        let place = self.places.partition_point(|known| known.at_ms <= change.at_ms);
        self.places.insert(place, change);
        let places = std::mem::take(&mut self.places);
        self.stays.clear();
        self.location = None;
        places.iter().for_each(|change| self.follow(change));
        self.places = places;
    }

    fn follow(&mut self, change: &PlaceChange) {
        let PlaceChange { record_id, at_ms, to } = change;
        let is_somewhere = self.stays.last().is_some_and(|stay| stay.until_ms.is_none());
        let location = match to {
            Whereabouts::Arrived if is_somewhere => return,
            Whereabouts::In(location) => location.clone(),
            Whereabouts::Arrived | Whereabouts::Gone => None,
        };
        if let Some(stay) = self.stays.last_mut() {
            stay.until_ms.get_or_insert(*at_ms);
        }
        if *to != Whereabouts::Gone {
            let equipment_id = location.as_ref().and_then(|there| there.equipment_id.as_deref()).map(|id| Id16(id16(id)));
            let is_placed = location.is_some();
            self.stays.push(Stay { record_id: *record_id, is_placed, equipment_id, from_ms: *at_ms, until_ms: None });
        }
        self.location = location;
    }

    /// Whether it was put somewhere else, taken out or handed over after a moment: what is said of that moment is of the past.
    pub fn is_moved_after(&self, at_ms: i64) -> bool {
        self.places.last().is_some_and(|last| at_ms < last.at_ms)
    }

    /// The facility that undisputedly held it at a moment, by what is known now.
    pub fn holder_at(&self, at_ms: i64) -> Option<&Id16> {
        let known = self.holders.iter().rfind(|(from_ms, _)| *from_ms <= at_ms).or(self.holders.first());
        known.map_or_else(|| self.custody.holder(), |(_, holder)| holder.as_ref())
    }

    /// Gives it to somebody, or into a dispute. What was recorded last holds from then on, whatever its time.
    pub(super) fn pass(&mut self, custody: Custody, at_ms: i64) {
        if self.custody == custody {
            return;
        }
        let from_ms = self.holders.last().map_or(at_ms, |(last_ms, _)| at_ms.max(*last_ms));
        self.holders.push((from_ms, custody.holder().copied()));
        self.custody = custody;
    }

    /// Ends a dispute that a take-over brought about: the facility has held the unit since then.
    pub(super) fn settle(&mut self, take_over: &RecordId) {
        if let Custody::Disputed { facility_id, record_id, taking_back: None } = self.custody
            && record_id == *take_over
        {
            self.custody = Custody::Held { facility_id };
            if let Some((_, holder)) = self.holders.last_mut() {
                *holder = Some(facility_id);
            }
        }
    }

    /// It was on its way from a moment of the past on, as is learned now.
    pub(super) fn was_on_its_way(&mut self, from_ms: i64) {
        let place = self.holders.partition_point(|(known_ms, _)| *known_ms <= from_ms);
        self.holders.insert(place, (from_ms, None));
    }

    /// A unit never goes back: thawed stays thawed, used up stays used up.
    pub(super) fn advance(&mut self, to: Processing, entry: &Entry) {
        if to > self.processing {
            self.processing = to;
        }
        if to > Processing::Allocated {
            let at_ms = entry.occurred_at_ms();
            self.used_at_ms = Some(self.used_at_ms.map_or(at_ms, |known| known.min(at_ms)));
        }
    }

    /// Whether it was never thawed nor used up.
    pub fn is_frozen(&self) -> bool {
        matches!(self.processing, Processing::Filled | Processing::Stored | Processing::Allocated)
    }

    /// Whether it was not yet thawed nor used up at a moment.
    pub fn is_frozen_at(&self, at_ms: i64) -> bool {
        self.is_frozen() || self.used_at_ms.is_some_and(|used_ms| at_ms < used_ms)
    }
}
