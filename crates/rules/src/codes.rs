//! Every rule's stable code, once.
//!
//! A code has a number (written into leaves as a flag), a name (sent to clients), a class, and what follows from it. Numbers and names
//! are never reused. Each family has its own range: 1–99 frame (time, heads, signatures), 100–149 authority, 150–199 protocol,
//! 200–249 specification, 250–299 quality (deviations, holds), 300–399 donor, 400–599 lot, 600–649 custody, 650–749 subject, 750–899 dose.

use marrowline_record::pb::{Severity, StreamKind};

pub mod authority;
pub mod custody;
pub mod donor;
pub mod dose;
pub mod frame;
pub mod lot;
pub mod protocol;
pub mod quality;
pub mod specification;
pub mod subject;

/// How a finding with this code is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Refuses every record, facts included: malformed, not authentic, ahead of time, or without authority.
    Refuses,
    /// Refuses an authorisation; flags a fact or a stop.
    Gate,
    /// Only ever flags.
    Flag,
}

/// What an accepted record's flag brings about by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Opens a deviation of this severity.
    pub deviation: Option<Severity>,
    /// Holds the streams of these kinds that the record extends.
    pub holds: &'static [StreamKind],
    /// The hold is on the units that the record names, not on the whole stream.
    pub of_units: bool,
    /// Opens a recall or a look-back on the streams that it holds.
    pub across: Option<Across>,
}

/// What is traced from a lot or a donor to every unit, dose and subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Across {
    /// A product that may do harm is taken back.
    Recall,
    /// What came of a donor is traced because of what was learned of the donor.
    LookBack,
}

/// One rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// Number, as written into leaves.
    pub number: u16,
    /// Name, as sent to clients.
    pub name: &'static str,
    /// How a finding is treated.
    pub class: Class,
    /// What a flag brings about.
    pub effect: Effect,
    /// What the rule demands, in one sentence.
    pub demands: &'static str,
    /// What may lawfully be done next.
    pub next: &'static str,
    /// The kinds of streams that the rule reads, beside the record itself.
    pub reads: &'static [StreamKind],
    /// The first rule set that has the rule.
    pub since: u32,
}

/// No effect beyond the mark.
pub const NOTHING: Effect = Effect { deviation: None, holds: &[], of_units: false, across: None };

/// Declares a family's codes: `number NAME Class [effect] (streams read) "demand" => "next step";`, with `since 2` before the semicolon if
/// the rule is not of the first rule set.
#[macro_export]
#[doc(hidden)]
macro_rules! codes {
    ($($number:literal $name:ident $class:ident $effect:tt ($($reads:ident),*) $demands:literal => $next:literal $(since $since:literal)?;)+) => {
        $(
            #[doc = $demands]
            pub static $name: $crate::codes::Code = $crate::codes::Code {
                number: $number,
                name: stringify!($name),
                class: $crate::codes::Class::$class,
                effect: $crate::effect!($effect),
                demands: $demands,
                next: $next,
                reads: &[$(marrowline_record::pb::StreamKind::$reads),*],
                since: $crate::since!($($since)?),
            };
        )+
        /// All codes of this family, in order of their numbers.
        pub static ALL: &[&$crate::codes::Code] = &[$(&$name),+];
    };
}

/// The rule set that a rule came with: the first, unless it is named.
#[macro_export]
#[doc(hidden)]
macro_rules! since {
    () => {
        1
    };
    ($since:literal) => {
        $since
    };
}

/// `[]`, `[deviation Major]`, `[holds Lot]`, `[deviation Major holds Lot Donor]`; `[holds units]` and `[deviation Major holds units]` hold
/// the units that the record names; `[deviation Critical recalls Lot]` and `[deviation Critical looks_back Donor]` hold the stream and open
/// a recall or a look-back.
#[macro_export]
#[doc(hidden)]
macro_rules! effect {
    ([]) => { $crate::codes::NOTHING };
    ([deviation $severity:ident]) => {
        $crate::codes::Effect { deviation: Some(marrowline_record::pb::Severity::$severity), holds: &[], of_units: false, across: None }
    };
    ([holds units]) => {
        $crate::codes::Effect { deviation: None, holds: &[marrowline_record::pb::StreamKind::Lot], of_units: true, across: None }
    };
    ([deviation $severity:ident holds units]) => {
        $crate::codes::Effect {
            deviation: Some(marrowline_record::pb::Severity::$severity),
            holds: &[marrowline_record::pb::StreamKind::Lot],
            of_units: true,
            across: None,
        }
    };
    ([deviation $severity:ident recalls $kind:ident]) => {
        $crate::codes::Effect {
            deviation: Some(marrowline_record::pb::Severity::$severity),
            holds: &[marrowline_record::pb::StreamKind::$kind],
            of_units: false,
            across: Some($crate::codes::Across::Recall),
        }
    };
    ([deviation $severity:ident looks_back $kind:ident]) => {
        $crate::codes::Effect {
            deviation: Some(marrowline_record::pb::Severity::$severity),
            holds: &[marrowline_record::pb::StreamKind::$kind],
            of_units: false,
            across: Some($crate::codes::Across::LookBack),
        }
    };
    ([holds $($kind:ident)+]) => {
        $crate::codes::Effect { deviation: None, holds: &[$(marrowline_record::pb::StreamKind::$kind),+], of_units: false, across: None }
    };
    ([deviation $severity:ident holds $($kind:ident)+]) => {
        $crate::codes::Effect {
            deviation: Some(marrowline_record::pb::Severity::$severity),
            holds: &[$(marrowline_record::pb::StreamKind::$kind),+],
            of_units: false,
            across: None,
        }
    };
}

/// All families' codes.
pub fn all() -> impl Iterator<Item = &'static Code> {
    [
        frame::ALL,
        authority::ALL,
        protocol::ALL,
        specification::ALL,
        quality::ALL,
        donor::ALL,
        lot::ALL,
        custody::ALL,
        subject::ALL,
        dose::ALL,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// The code with this number.
pub fn by_number(number: u16) -> Option<&'static Code> {
    all().find(|code| code.number == number)
}

/// The code with this name.
pub fn by_name(name: &str) -> Option<&'static Code> {
    all().find(|code| code.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique_and_ascend_within_their_family() {
        let codes: Vec<_> = all().collect();
        for pair in codes.windows(2) {
            assert!(pair[0].number < pair[1].number, "{} {}", pair[0].name, pair[1].name);
        }
        let mut names: Vec<_> = codes.iter().map(|c| c.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), codes.len());
    }
}
