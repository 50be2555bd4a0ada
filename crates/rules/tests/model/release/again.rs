//! What falls when a report says something else, or something comes late that is dated before a decision: whatever came later is judged a
//! second time, beside what is known now, and falls if something is found that was not found before.

use std::collections::BTreeSet;

use super::{CONSEQUENCES, Content, Deed, Entry, Release};

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
        flags.extend((report.place + 1..self.history.len()).filter_map(|place| {
            let past = self.before(place);
            let mut other = past.clone();
            other.other.insert(target.to_owned(), content.cloned());
            self.falls(place, &past, &other)
        }));
        flags
    }

    /// What anything that came later is flagged with without a sample or a step.
    pub(super) fn fallen_without(&self, label: &str) -> BTreeSet<&'static str> {
        let step = self.history.iter().position(|entry| entry.label == label).unwrap_or_default();
        let falls = |place| {
            let past = self.before(place);
            let mut other = past.clone();
            other.gone.insert(label.to_owned());
            self.falls(place, &past, &other)
        };
        (step + 1..self.history.len()).filter_map(falls).collect()
    }

    /// What falls beside a fact that is dated before it and comes after it, if anything was decided in between.
    pub(super) fn fallen_beside(&self, late: &Entry) -> BTreeSet<&'static str> {
        if !self.history.iter().any(|entry| entry.is_decision && entry.recorded > late.at) {
            return BTreeSet::new();
        }
        let is_later = |entry: &Entry| if entry.is_decision { entry.recorded > late.at } else { entry.at > late.at };
        let falls = |place| {
            let past = self.before(place);
            let mut other = past.clone();
            // What its flags bring about, they bring about today.
            other.history.push(Entry { marks: BTreeSet::new(), ..late.clone() });
            self.falls(place, &past, &other)
        };
        let later = self.history.iter().enumerate().filter(|(_, entry)| is_later(entry));
        later.filter_map(|(place, _)| falls(place)).collect()
    }

    /// What is said if something is found about an entry that was not found before. A fact that is only marked otherwise stays what it was;
    /// a signature that is owed is asked for by whoever decides next.
    fn falls(&self, place: usize, known: &Release, now: &Release) -> Option<&'static str> {
        let deed = &self.history[place].deed;
        let is_judged = !matches!(deed, Deed::Amended { .. } | Deed::PanelAmended { .. } | Deed::Withdrawn { .. });
        // A report is judged again by what it says now; one that is void says nothing.
        let report = self.report_of(&self.history[place].label).filter(|_| matches!(deed, Deed::Reported { .. }));
        let said = |ledger: &Release| match &report {
            Some(report) => report.latest().map(|content| ledger.report_codes(content)).unwrap_or_default(),
            None => ledger.said_of(deed),
        };
        let (known, now) = (said(known), said(now));
        let anew: Vec<_> = now.difference(&known).filter(|code| **code != "LOT_SIGNATURE_OWED" && is_judged).collect();
        let is_fact =
            matches!(deed, Deed::Reported { .. } | Deed::Worked { .. } | Deed::Sampled { .. } | Deed::DeviationOpened { .. });
        let is_grave =
            |code: &&&str| CONSEQUENCES.iter().any(|(of, _, is_critical, holds, _)| *of == **code && (*is_critical || *holds));
        let code = if is_fact && !anew.iter().any(is_grave) { "DEPENDANT_DIFFERS" } else { "DEPENDANT_FALLS" };
        (!anew.is_empty()).then_some(code)
    }
}
