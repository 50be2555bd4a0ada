//! What falls when a report says something else, or something comes late that is dated before a decision: whatever came later is judged a
//! second time, beside what is known now, and falls if something is found that was not found before.

use std::collections::BTreeSet;

use super::{Content, Deed, Entry, Release};

impl Release {
    /// The ledger as it was before a place of the history, if every report had said then what it says today.
    fn before(&self, place: usize) -> Release {
        let history = self.history.iter().take(place).cloned().collect();
        let other = self.reports().map(|report| (report.label.to_owned(), report.latest().cloned())).collect();
        let gone = self.history.iter().filter(|entry| self.is_gone(&entry.label)).map(|entry| entry.label.clone()).collect();
        Release { history, pending: None, other, gone, ..*self }
    }

    /// What an amendment is flagged with: what is new about the report itself, and whether anything that came later falls. A recall does not
    /// depend on what was known when the result was reported: the cells are out there today.
    pub(super) fn amendment_flags(&self, target: &str, content: Option<&Content>) -> BTreeSet<&'static str> {
        let Some(report) = self.report_of(target) else { return BTreeSet::new() };
        let own = |content: Option<&Content>| {
            let past = self.before(report.place);
            content.map(|content| past.report_codes(content)).unwrap_or_default()
        };
        let (known, now) = (own(report.latest()), own(content));
        let mut flags: BTreeSet<&'static str> = now.difference(&known).copied().collect();
        // A failure with another value is another failure: what was decided about the one before was not about this one.
        let value = |content: &Content| content.fails().then(|| content.value());
        let fails_anew = content.and_then(value).is_some_and(|fails| report.latest().and_then(value) != Some(fails));
        flags.extend(fails_anew.then_some("OUT_OF_SPECIFICATION"));
        flags.extend((fails_anew && self.is_out()).then_some("POSITIVE_AFTER_RELEASE"));
        let falls = (report.place + 1..self.history.len()).any(|place| {
            let past = self.before(place);
            let mut other = past.clone();
            other.other.insert(target.to_owned(), content.cloned());
            self.falls(place, &past, &other)
        });
        flags.extend(falls.then_some("DEPENDANT_FALLS"));
        flags
    }

    /// Whether anything that came later falls without a sample or a step.
    pub(super) fn falls_without(&self, label: &str) -> bool {
        let step = self.history.iter().position(|entry| entry.label == label).unwrap_or_default();
        (step + 1..self.history.len()).any(|place| {
            let past = self.before(place);
            let mut other = past.clone();
            other.gone.insert(label.to_owned());
            self.falls(place, &past, &other)
        })
    }

    /// Whether a decision that was recorded since falls beside a fact that is dated before it and comes after it.
    pub(super) fn falls_beside(&self, late: &Entry) -> bool {
        let is_decided = self.history.iter().any(|entry| entry.is_decision && entry.recorded > late.at);
        is_decided
            && self.history.iter().enumerate().any(|(place, entry)| {
                let judged_at = if entry.is_decision { entry.recorded } else { entry.at };
                judged_at > late.at && {
                    let past = self.before(place);
                    let mut other = past.clone();
                    // What its flags bring about, they bring about today.
                    other.history.push(Entry { marks: BTreeSet::new(), ..late.clone() });
                    self.falls(place, &past, &other)
                }
            })
    }

    /// Whether something is found about an entry that was not found before.
    fn falls(&self, place: usize, known: &Release, now: &Release) -> bool {
        let deed = &self.history[place].deed;
        let is_judged = !matches!(deed, Deed::Amended { .. } | Deed::PanelAmended { .. } | Deed::Withdrawn { .. });
        is_judged && now.said_of(deed).difference(&known.said_of(deed)).next().is_some()
    }
}
