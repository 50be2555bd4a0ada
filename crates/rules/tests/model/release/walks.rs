//! Walks over what was accepted, one for each question.

use super::chance::Disposition;
use super::{CONSEQUENCES, Content, DAY, Deed, Entry, HOUR, Id, On, PANEL, REVISED, Release, Report, Version};

impl Release {
    pub(super) fn any(&self, holds: impl Fn(&Deed) -> bool) -> bool {
        self.history.iter().any(|entry| holds(&entry.deed))
    }

    pub(super) fn places(&self, holds: impl Fn(&Deed) -> bool) -> impl Iterator<Item = usize> {
        self.history.iter().enumerate().filter(move |(_, entry)| holds(&entry.deed)).map(|(place, _)| place)
    }

    pub(super) fn reports(&self) -> impl Iterator<Item = Report<'_>> {
        self.history.iter().enumerate().filter_map(|(place, entry)| match &entry.deed {
            Deed::Reported { content, .. } => {
                let versions = self.versions(&entry.label);
                Some(Report { label: &entry.label, place, test: content.test, versions })
            }
            _ => None,
        })
    }

    pub(super) fn report_of(&self, label: &str) -> Option<Report<'_>> {
        self.reports().find(|report| report.label == label)
    }

    pub(super) fn versions(&self, label: &str) -> Vec<Version<'_>> {
        let all = self.history.iter().enumerate().filter_map(|(place, entry)| match &entry.deed {
            Deed::Reported { content, analyst } if entry.label == label => {
                Some(Version { place, content: Some(content), author: analyst })
            }
            Deed::Amended { target, content, author, .. } if target == label => {
                // Who voids a result reports none.
                let author = if content.is_some() { author } else { "-" };
                Some(Version { place, content: content.as_ref(), author })
            }
            _ => None,
        });
        let mut all: Vec<Version<'_>> = all.collect();
        // What is said today was said then as well, and what was said first was said all the same.
        if let (Some(last), Some(content)) = (all.last(), self.other.get(label))
            && last.content != content.as_ref()
        {
            let (place, author) = (last.place, last.author);
            all.push(Version { place, content: content.as_ref(), author });
        }
        all
    }

    /// What a reviewer said of the version that counts.
    pub(super) fn review_of(&self, report: &Report<'_>) -> Option<bool> {
        let last = report.versions.last().map_or(0, |version| version.place);
        self.history.iter().skip(last).find_map(|entry| match &entry.deed {
            Deed::Reviewed { target, is_confirmed, .. } if target == report.label => Some(*is_confirmed),
            _ => None,
        })
    }

    /// Whether a result was invalidated after a place of the history.
    pub(super) fn is_invalidated_after(&self, label: &str, place: usize) -> bool {
        self.places(|deed| matches!(deed, Deed::Invalidated { target, .. } if target == label)).any(|other| other > place)
    }

    pub(super) fn is_invalidated(&self, report: &Report<'_>) -> bool {
        self.is_invalidated_after(report.label, report.place)
    }

    /// A failure stands, whatever its record says now, until it is invalidated.
    pub(super) fn has_failed(&self, report: &Report<'_>) -> bool {
        let mut failures = report.versions.iter().filter(|version| version.content.is_some_and(Content::fails));
        failures.any(|version| !self.is_invalidated_after(report.label, version.place))
    }

    /// Whether a sample or a step was voided.
    pub(super) fn is_gone(&self, label: &str) -> bool {
        self.gone.contains(label) || self.any(|deed| matches!(deed, Deed::Withdrawn { target, .. } if target == label))
    }

    /// The samples of the lot and when they were taken.
    pub(super) fn samples(&self) -> Vec<(String, i64)> {
        let taken = self.history.iter().filter_map(|entry| match &entry.deed {
            Deed::Sampled { sample, at, .. } if !self.is_gone(&entry.label) => Some((sample.clone(), *at)),
            _ => None,
        });
        std::iter::once(("SAMPLE".to_owned(), 27 * DAY + 12 * HOUR + HOUR / 2)).chain(taken).collect()
    }

    /// What flags brought about on a stream.
    pub(super) fn consequences(&self, on: On) -> impl Iterator<Item = (Id, (bool, bool, bool))> {
        self.history.iter().flat_map(move |entry| {
            let all = CONSEQUENCES.iter().chain([&REVISED]);
            all.filter(move |(code, of, ..)| *of == on && entry.marks.contains(code))
                .map(|(code, _, is_critical, holds, recalls)| ((entry.label.clone(), *code), (*is_critical, *holds, *recalls)))
        })
    }

    /// Deviations of a stream, opened by people and by rules, and whether they are critical.
    pub(super) fn deviations(&self, on: On) -> Vec<(Id, bool)> {
        let of_people = self.history.iter().filter_map(|entry| match &entry.deed {
            Deed::DeviationOpened { on: of, is_critical } if *of == on => {
                Some(((entry.label.clone(), "DEVIATION_OPENED"), *is_critical))
            }
            _ => None,
        });
        of_people.chain(self.consequences(on).map(|(id, (is_critical, ..))| (id, is_critical))).collect()
    }

    /// Holds of a stream, and whether they are on all of it.
    pub(super) fn holds(&self, on: On) -> Vec<(Id, bool)> {
        let of_people = self.history.iter().filter_map(|entry| match &entry.deed {
            Deed::HoldSet { on: of, is_whole, .. } if *of == on => Some(((entry.label.clone(), "HOLD_SET"), *is_whole)),
            _ => None,
        });
        let of_rules = self.consequences(on).filter(|(_, (_, holds, _))| *holds).map(|(id, _)| (id, true));
        of_people.chain(of_rules).chain(self.opened(on).map(|id| (id, true))).collect()
    }

    /// Recalls or look-backs that people opened.
    pub(super) fn opened(&self, on: On) -> impl Iterator<Item = Id> {
        let code = if on == On::Lot { "RECALL_OPENED" } else { "LOOK_BACK_OPENED" };
        let of_people = self.history.iter().filter(move |entry| matches!(entry.deed, Deed::RecallOpened(of) if of == on));
        of_people.map(move |entry| (entry.label.clone(), code))
    }

    pub(super) fn recalls(&self, on: On) -> Vec<Id> {
        let of_rules = self.consequences(on).filter(|(_, (_, _, recalls))| *recalls).map(|(id, _)| id);
        self.opened(on).chain(of_rules).collect()
    }

    pub(super) fn is_lifted(&self, id: &Id) -> bool {
        self.any(|deed| matches!(deed, Deed::HoldLifted { id: lifted, .. } if lifted == id))
    }

    pub(super) fn is_traced(&self, id: &Id) -> bool {
        self.any(|deed| matches!(deed, Deed::Traced { id: traced, .. } if traced == id))
    }

    pub(super) fn is_closed(&self, id: &Id) -> bool {
        self.any(|deed| matches!(deed, Deed::DeviationClosed { id: closed, .. } if closed == id))
    }

    /// Whoever made, sampled or labelled the lot, or verified that: void or not, they had it in their hands.
    pub(super) fn is_operator(&self, who: &str) -> bool {
        let did = |deed: &Deed| match deed {
            Deed::Worked { who: first, second } => *first == who || *second == who,
            Deed::Signed { who: one, .. } | Deed::Sampled { who: one, .. } => *one == who,
            _ => false,
        };
        who != "-" && (["olga", "pavel"].contains(&who) || self.any(did))
    }

    pub(super) fn has_worked(&self, who: &str) -> bool {
        self.is_operator(who) || self.reports().any(|report| report.is_analyst(who))
    }

    /// Whether somebody still has to sign a step.
    pub(super) fn is_owed(&self, entry: &Entry) -> bool {
        matches!(entry.deed, Deed::Worked { second: "-", .. })
            && !self.is_gone(&entry.label)
            && !self.any(|deed| matches!(deed, Deed::Signed { target, .. } if *target == entry.label))
    }

    /// The decisions on the lot, the last one first.
    pub(super) fn decisions(&self) -> impl Iterator<Item = Disposition> {
        self.history.iter().rev().filter_map(|entry| match &entry.deed {
            Deed::Disposed { how, .. } => Some(*how),
            _ => None,
        })
    }

    /// Units of a lot that was ever released, to all or to one subject, may have been given.
    pub(super) fn is_out(&self) -> bool {
        self.decisions().any(|how| how != Disposition::Rejected) || self.any(|deed| matches!(deed, Deed::Exempted { .. }))
    }

    pub(super) fn is_rejected(&self) -> bool {
        self.decisions().any(|how| how == Disposition::Rejected)
    }

    /// What the donor was found to be last.
    pub(super) fn eligibility(&self) -> &'static str {
        let last = self.history.iter().rev().find_map(|entry| match entry.deed {
            Deed::Determined(word) => Some(word),
            _ => None,
        });
        last.unwrap_or("ELIGIBLE")
    }

    /// Whether a result of the donor was reviewed since it says what it says.
    pub(super) fn is_panel_reviewed(&self, test: usize) -> bool {
        let amended = self.places(|deed| matches!(deed, Deed::PanelAmended { test: of, .. } if *of == test)).last();
        let reviewed = self.places(|deed| matches!(deed, Deed::PanelReviewed { test: of, .. } if *of == Some(test))).last();
        amended.is_none() || reviewed > amended
    }

    pub(super) fn is_panel_complete(&self) -> bool {
        (0..PANEL.len()).all(|test| self.is_panel_reviewed(test))
    }
}
