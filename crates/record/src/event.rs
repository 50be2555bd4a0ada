//! The kinds of events, generated from the record's oneof.

use crate::pb::record::Event;

include!(concat!(env!("OUT_DIR"), "/event.rs"));

impl EventKind {
    /// The kind of this event.
    pub fn of(event: &Event) -> EventKind {
        of(event)
    }

    /// Every kind, ascending by number.
    pub fn all() -> &'static [EventKind] {
        ALL
    }

    /// The kind with this number.
    pub fn from_number(number: u32) -> Option<EventKind> {
        ALL.iter().copied().find(|kind| kind.number() == number)
    }

    /// The kind with this name, e.g. `CultureSeeded`.
    pub fn from_name(wanted: &str) -> Option<EventKind> {
        ALL.iter().copied().find(|kind| kind.name() == wanted)
    }

    /// The tag of the event's field in the record.
    pub fn number(self) -> u32 {
        self as u32
    }

    /// The message's name, e.g. `CultureSeeded`.
    pub fn name(self) -> &'static str {
        name(self)
    }

    /// The field's name in the record, e.g. `culture_seeded`.
    pub fn field_name(self) -> &'static str {
        field_name(self)
    }
}

impl std::fmt::Display for EventKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb;

    #[test]
    fn numbers_and_names_are_the_proto_s() {
        let seeded = EventKind::of(&Event::CultureSeeded(pb::CultureSeeded::default()));
        assert_eq!((seeded.number(), seeded.name(), seeded.field_name()), (172, "CultureSeeded", "culture_seeded"));
        assert_eq!(EventKind::from_number(172), Some(seeded));
        assert_eq!(EventKind::from_number(199), None);
        assert_eq!(EventKind::from_name("MncIsolated"), Some(EventKind::MncIsolated));
        assert_eq!(EventKind::from_name("mnc_isolated"), None);
    }

    #[test]
    fn all_are_ascending_and_found_again() {
        assert!(EventKind::all().windows(2).all(|w| w[0].number() < w[1].number()));
        for kind in EventKind::all() {
            assert_eq!(EventKind::from_number(kind.number()), Some(*kind));
            assert_eq!(EventKind::from_name(kind.name()), Some(*kind));
        }
    }
}
