//! The facts of a trial as plain values. Whoever fills them in has read them from one state of the ledger.

use marrowline_record::instant;

const DAY_MS: i64 = 86_400_000;

/// A moment with the offset of the place where it was noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub unix_ms: i64,
    /// Offset from UTC.
    pub offset_minutes: i32,
}

impl Moment {
    /// The calendar day at that place, counted from 1970-01-01.
    pub fn calendar_day(&self) -> i64 {
        self.unix_ms.saturating_add(i64::from(self.offset_minutes).saturating_mul(60_000)).div_euclid(DAY_MS)
    }

    /// Calendar days since another moment: 0 on the same day, and for what came before it.
    pub fn days_since(&self, start: &Moment) -> u32 {
        u32::try_from(self.calendar_day().saturating_sub(start.calendar_day()).max(0)).unwrap_or(u32::MAX)
    }

    /// As people read it, with the offset.
    pub fn in_words(&self) -> String {
        instant::format(self.unix_ms, self.offset_minutes)
    }
}

/// The state of the ledger that the facts were read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log.
    pub origin: String,
    /// Leaves in the log.
    pub tree_size: u64,
    /// Root of the log, hexadecimal.
    pub root: String,
}

/// An arm of the trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arm {
    /// Its number.
    pub arm: u32,
    /// Short code.
    pub code: String,
    /// Name as printed.
    pub name: String,
    /// Whether it receives cells.
    pub receives_cells: bool,
}

/// An infusion that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dose {
    /// Code on its label.
    pub code: String,
    /// When the infusion began.
    pub started_at: Moment,
    /// Viable cells per kg that were prepared, if the subject was weighed.
    pub viable_cells_per_kg: Option<u64>,
    /// From the onset to the beginning of the infusion.
    pub seconds_from_onset: Option<i64>,
    /// Why it was stopped before its end.
    pub stopped_because: Option<String>,
}

/// One value of an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Code of the scale or analyte.
    pub scale: String,
    /// Unit, UCUM.
    pub unit: String,
    /// Day of the visit; 0 is the baseline.
    pub day: u32,
    /// The value.
    pub value: f64,
}

/// One subject.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subject {
    /// Pseudonymous code.
    pub code: String,
    /// Number of the arm.
    pub arm: Option<u32>,
    /// When it was screened.
    pub screened_at: Option<Moment>,
    /// Whether it may take part by the protocol.
    pub eligible: Option<bool>,
    /// When it was given its arm.
    pub randomised_at: Option<Moment>,
    /// Onset of the condition.
    pub onset_at: Option<Moment>,
    /// Infusions that were begun, in order.
    pub doses: Vec<Dose>,
    /// When it died.
    pub died_at: Option<Moment>,
    /// When it was last known to live.
    pub last_alive_at: Option<Moment>,
    /// When it withdrew from treatment.
    pub withdrawn_at: Option<Moment>,
    /// Endpoints, in the order in which they were recorded.
    pub endpoints: Vec<Observation>,
}

/// What a remark is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RemarkKind {
    /// A deviation.
    Deviation,
    /// An emergency override.
    Override,
    /// A record that came late.
    LateEntry,
}

/// Something that whoever reads the results has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// What it is.
    pub kind: RemarkKind,
    /// What it is about, e.g. `subject R-01`.
    pub thing: String,
    /// The rule, e.g. `INFUSION_LATE`.
    pub code: String,
    /// The record.
    pub record: String,
    /// When.
    pub at: Moment,
    /// Whether it still awaits its end.
    pub is_open: bool,
}

/// The facts of a trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Registration number.
    pub registration: String,
    /// Title.
    pub title: String,
    /// Version of the protocol.
    pub protocol_version: u32,
    /// Whether the ledger is a TRAINING ledger.
    pub is_training: bool,
    /// Arms.
    pub arms: Vec<Arm>,
    /// Days after randomisation at which subjects are followed up.
    pub follow_up_days: Vec<u32>,
    /// Subjects planned.
    pub planned: u32,
    /// The ledger's time: what was recorded later is not in the facts.
    pub cut_off: Moment,
    /// The state of the ledger that the facts were read from.
    pub checkpoint: Checkpoint,
    /// Everybody who consented.
    pub subjects: Vec<Subject>,
    /// Deviations, overrides and late entries.
    pub remarks: Vec<Remark>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_place() {
        let moment = |unix_ms, offset_minutes| Moment { unix_ms, offset_minutes };
        // 23:59 and 00:01 in Moscow are two days, and 21:01 UTC is already the second one there.
        let evening = moment(20 * DAY_MS - 3 * 3_600_000 - 60_000, 180);
        let night = moment(20 * DAY_MS - 3 * 3_600_000 + 60_000, 180);
        assert_eq!(night.days_since(&evening), 1);
        assert_eq!(evening.days_since(&evening), 0);
        assert_eq!(evening.days_since(&night), 0, "what came before is day 0");
        assert_eq!(moment(night.unix_ms, 0).days_since(&evening), 0);
        assert_eq!(moment(-1, 0).calendar_day(), -1);
    }
}
