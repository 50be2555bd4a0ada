//! What is decided about a lot and its donor: closing, lifting, tracing, eligibility, and the release itself.

use std::collections::BTreeSet;

use super::chance::{Disposition, Held, Pick, Resolution, Signed, Step};
use super::deeds::{Law, Said, found, person, pick, strange};
use super::results::TESTS;
use super::{Deed, Id, On, PANEL, Release};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const ASSURANCE: [&str; 3] = ["quinn", "quentin", "anna~3"];
const CERTIFIERS: [&str; 5] = ["petra", "bea", "anna~2", "olga~2", "frida"];

impl Release {
    pub(super) fn close(&self, on: On, which: Pick) -> Option<Said> {
        let all: Vec<Id> = self.deviations(on).into_iter().map(|(id, _)| id).collect();
        let picked = pick(which, &all, |id| !self.is_closed(id));
        let id = picked.or_else(|| matches!(which, Pick::Unknown).then(|| strange("DEVIATION_OPENED")))?;
        let what = format!("quinn/QA | DeviationClosed on {} | deviation_id=@deviation:{}/{}", on.stream(), id.0, id.1);
        Some(Said::new(Law::Decision, what, Deed::DeviationClosed { on, id }))
    }

    pub(super) fn lift(&self, on: On, which: Pick, second: &'static str, resolution: Resolution) -> Option<Said> {
        let all: Vec<Id> = self.holds(on).into_iter().map(|(id, _)| id).collect();
        let picked = pick(which, &all, |id| !self.is_lifted(id));
        let id = picked.or_else(|| matches!(which, Pick::Unknown).then(|| strange("HOLD_SET")))?;
        // Neither a device nor an auditor decides.
        let is_of_no_decider = ["DEV", "AUD"].iter().any(|role| second.ends_with(role));
        let codes = found([
            (second == "-", "SIGNATURE_MISSING"),
            (is_of_no_decider, "SLOTS_WRONG"),
            (person(second) == "quinn", "SIGNERS_NOT_DIFFERENT"),
        ]);
        let resolving = match resolution {
            Resolution::Stored | Resolution::Uncited => "STORED",
            Resolution::Itself => &id.0,
            Resolution::Founding => "FOUND",
        };
        let cites = if resolution == Resolution::Uncited { String::new() } else { format!(" citing {resolving}") };
        let what = format!(
            "quinn/QA {second} | HoldLifted on {}{cites} | hold_id=@hold:{}/{} resolution_record_id=@rec:{resolving}",
            on.stream(),
            id.0,
            id.1
        );
        Some(Said { codes, ..Said::new(Law::Decision, what, Deed::HoldLifted { on, id, second, resolution }) })
    }

    /// A recall or look-back is closed with the list of what it reaches: six units, which nobody was given.
    pub(super) fn trace(&self, on: On, which: Pick, is_complete: bool) -> Option<Said> {
        let (all, code) = (self.recalls(on), if on == On::Lot { "RECALL_OPENED" } else { "LOOK_BACK_OPENED" });
        let picked = pick(which, &all, |id| !self.is_traced(id));
        let id = picked.or_else(|| matches!(which, Pick::Unknown).then(|| strange(code)))?;
        let (event, field, digest) = match on {
            On::Lot => ("RecallClosed", "recall_id", "lot/L1"),
            On::Donor => ("LookBackClosed", "look_back_id", "donor/D1"),
        };
        let what = format!(
            "quinn/QA petra/QP | {event} on {} | {field}=@hold:{}/{} affected_count={} affected_digest=@affected:{digest}",
            on.stream(),
            id.0,
            id.1,
            if is_complete { 6 } else { 5 }
        );
        Some(Said::new(Law::Decision, what, Deed::Traced { on, id, is_complete }))
    }

    /// Another method is written down for a result of the donor: the result is what it was.
    pub(super) fn amend_panel(&self, test: usize, author: &'static str) -> Said {
        let name = PANEL[test];
        let is_same = |deed: &Deed| matches!(deed, Deed::PanelAmended { test: of, .. } if *of == test);
        let last = self.history.iter().rev().find(|entry| is_same(&entry.deed)).map_or(name, |entry| &entry.label);
        let what = format!(
            "{author}/QC quinn/QA | RecordAmended on donor:D1 | target=@rec:{name}/@digest:{name} replaces_record_id=@rec:{last} \
             replacement=\"@amended:{name}/method=PCR{}\"",
            self.rows
        );
        Said::new(Law::Decision, what, Deed::PanelAmended { test, author })
    }

    pub(super) fn review_panel(&self, test: usize, reviewer: &'static str) -> Said {
        let name = PANEL.get(test).copied();
        let target = name.unwrap_or("YES");
        let what = format!("{reviewer}/QR | DonorTestReviewed on donor:D1 | reported_record_id=@rec:{target}");
        Said::new(Law::Decision, what, Deed::PanelReviewed { test: name.map(|_| test), reviewer })
    }

    /// The donor is found eligible, ineligible or deferred.
    pub(super) fn determine(&self, how: usize, signed: Signed) -> Said {
        let word = ["ELIGIBLE", "INELIGIBLE", "DEFERRED"][how];
        let (law, people) = (if how == 0 { Law::Decision } else { Law::Fact }, signatures("dora/PHY", "quinn/QA", signed));
        let what = format!("{people} | DonorEligibilityDetermined on donor:D1 | eligibility={word}");
        Said { codes: signature_codes(law, signed), ..Said::new(law, what, Deed::Determined(word)) }
    }

    pub(super) fn dispose(&self, step: &Step) -> Option<Said> {
        let Step::Dispose { how, assurance, certifier, signed, waivers, ago, has_seen } = step else { return None };
        let (qa, qp) = (ASSURANCE[*assurance], CERTIFIERS[*certifier]);
        let law = if *how == Disposition::Rejected { Law::Fact } else { Law::Decision };
        let mut codes = signature_codes(law, *signed);
        let waivers: Vec<&'static str> =
            if law == Law::Fact { Vec::new() } else { waivers.iter().map(|place| TESTS[*place].code).collect() };
        if law == Law::Decision {
            // One signature travels at once, two take up to an hour.
            let limit = if codes.contains("SLOTS_WRONG") { 5 * MINUTE } else { HOUR };
            codes.extend(found([(*ago > limit, "AUTHORISATION_BACKDATED"), (!has_seen, "HEAD_MOVED")]));
        } else {
            codes.extend(found([(!has_seen, "HEAD_ADVANCED")]));
        }
        codes.extend(found([(*signed == Signed::Both && person(qa) == person(qp), "SIGNERS_NOT_DIFFERENT")]));
        let word = match how {
            Disposition::Conditional => "CONDITIONAL",
            Disposition::Final => "FINAL",
            Disposition::Rejected => "REJECTED",
        };
        let list: Vec<String> = waivers.iter().map(|code| format!("{code}/\"no cells left\"")).collect();
        let list = if list.is_empty() { String::new() } else { format!(" waivers=[{}]", list.join(",")) };
        let people = signatures(&format!("{qa}/QA"), &format!("{qp}/QP"), *signed);
        let what = format!("{people} | LotDispositionDecided on lot:L1 | disposition={word}{list}");
        let options = if *has_seen { "" } else { "seen=stale " };
        let certifier = (*signed != Signed::FirstOnly).then_some(qp);
        let deed = Deed::Disposed { how: *how, certifier, waivers };
        Some(Said { ago: *ago, options, codes, ..Said::new(law, what, deed) })
    }

    /// A unit is released for one subject.
    pub(super) fn exempt(&self, certifier: usize, is_of_lot: bool) -> Said {
        let (certifier, unit) = (CERTIFIERS[certifier], if is_of_lot { "U1" } else { "U9" });
        let what = format!("ines/INV@WARD quinn/QA {certifier}/QP | ExceptionalRelease on subject:S1 lot:L1 | unit_ids=[{unit}]");
        Said::new(Law::Decision, what, Deed::Exempted { certifier, is_of_lot })
    }
}

/// The people of a row.
fn signatures(first: &str, second: &str, signed: Signed) -> String {
    match signed {
        Signed::Both => format!("{first} {second}"),
        Signed::FirstOnly => format!("{first} -"),
        Signed::SecondOnly => format!("- {second}"),
        Signed::FirstAlone => format!("{first} alone"),
        Signed::SecondAlone => format!("{second} alone"),
    }
}

/// Stopping takes one signature, of either, however many are asked for; a decision asks for both and has both.
fn signature_codes(law: Law, signed: Signed) -> BTreeSet<&'static str> {
    let is_missing = matches!(signed, Signed::FirstOnly | Signed::SecondOnly);
    let is_alone = matches!(signed, Signed::FirstAlone | Signed::SecondAlone);
    found([(law == Law::Decision && is_missing, "SIGNATURE_MISSING"), (law == Law::Decision && is_alone, "SLOTS_WRONG")])
}

pub(super) fn hold(held: Held) -> Said {
    let (on, units) = match held {
        Held::Lot => (On::Lot, ""),
        Held::Unit => (On::Lot, "unit_ids=[U1]"),
        Held::StrangeUnit => (On::Lot, "unit_ids=[U9]"),
        Held::Donor => (On::Donor, ""),
    };
    let what = format!("olga/OP:APPROVED | HoldSet on {} | {units}", on.stream());
    // Who names a unit that the lot does not have means one of its units, and nobody knows which.
    let is_strange = held == Held::StrangeUnit;
    Said::new(Law::Fact, what, Deed::HoldSet { on, is_whole: held != Held::Unit, is_strange })
}
