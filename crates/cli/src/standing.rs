//! What stands against a thing: holds in force, open recalls and deviations, signatures that are owed. Nobody who looks at a lot, a dose, a
//! donor or a subject should have to ask for it separately.

use std::collections::BTreeMap;

use marrowline_client::v1::{DeviationView, DoseView, HoldView, OwedView, RecallView, StepView, StreamView};

use crate::words;

/// What stands against something.
#[derive(Default)]
pub struct Standing<'a> {
    /// Holds; lifted ones are left out.
    pub holds: &'a [HoldView],
    /// Recalls and look-backs; closed ones are left out.
    pub recalls: &'a [RecallView],
    /// Deviations; closed ones are left out.
    pub deviations: &'a [DeviationView],
    /// Signatures.
    pub owed: &'a [OwedView],
    /// The thing's records, for their events.
    pub steps: &'a [StepView],
    /// Codes of units and doses.
    pub codes: BTreeMap<Vec<u8>, String>,
}

impl<'a> Standing<'a> {
    /// Of a stream.
    pub fn of_stream(stream: &'a StreamView, codes: BTreeMap<Vec<u8>, String>) -> Standing<'a> {
        let StreamView { holds, recalls, deviations, owed, steps, .. } = stream;
        Standing { holds, recalls, deviations, owed, steps, codes }
    }

    /// Of a dose.
    pub fn of_dose(dose: &'a DoseView) -> Standing<'a> {
        let DoseView { holds, recalls, deviations, owed, .. } = dose;
        let codes = BTreeMap::from([(dose.dose_id.clone(), dose.dose_code.clone())]);
        Standing { holds, recalls, deviations, owed, steps: &[], codes }
    }

    /// One line for each thing, the gravest first.
    pub fn lines(&self) -> Vec<String> {
        let recalls = self.recalls.iter().filter(|recall| recall.closed_by.is_empty()).map(|recall| {
            let (word, kind) = if recall.look_back { ("LOOK-BACK", "look-back") } else { ("RECALL", "recall") };
            let id = hex::encode(&recall.recall_id);
            format!("{word} {}: {}; {kind} {id}, {}", recall.code, recall.reason, self.record(&recall.record_id))
        });
        let holds = self.holds.iter().filter(|hold| hold.lifted_by.is_empty()).map(|hold| {
            let what: Vec<String> = hold.unit_ids.iter().map(|id| format!("unit {}", self.code(id))).collect();
            let dose = (!hold.dose_id.is_empty()).then(|| format!("dose {}", self.code(&hold.dose_id)));
            let what: Vec<String> = what.into_iter().chain(dose).collect();
            let on = if what.is_empty() { String::new() } else { format!(" ({})", what.join(", ")) };
            format!(
                "HELD {}{on}: {}; hold {}, {}",
                hold.code,
                hold.reason,
                hex::encode(&hold.hold_id),
                self.record(&hold.record_id)
            )
        });
        let deviations = self.deviations.iter().filter(|deviation| deviation.closed_by.is_empty()).map(|deviation| {
            let severity = words::lower(deviation.severity().as_str_name(), "SEVERITY_");
            let id = hex::encode(&deviation.deviation_id);
            let (code, record) = (&deviation.code, self.record(&deviation.record_id));
            format!("DEVIATION {code}, {severity}: {}; deviation {id}, {record}", deviation.description)
        });
        let owed = self.owed.iter().map(|owed| {
            let (role, meaning) = (words::role(owed.role()), words::meaning(owed.meaning()));
            format!("OWED slot {}, {meaning} by {role}: {}", owed.slot, self.record(&owed.record_id))
        });
        recalls.chain(holds).chain(deviations).chain(owed).collect()
    }

    fn code(&self, id: &[u8]) -> String {
        self.codes.get(id).filter(|code| !code.is_empty()).cloned().unwrap_or_else(|| words::id(id))
    }

    fn record(&self, id: &[u8]) -> String {
        let event = self.steps.iter().find(|step| step.record_id == id).map_or("", |step| step.event.as_str());
        format!("record {} {event}", words::id(id)).trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use marrowline_record::pb::{Meaning, Role, Severity};

    use super::*;

    #[test]
    fn what_stands_against_a_lot_is_told_with_ids_and_codes() {
        let record_id = vec![1; 16];
        let hold = |hold_id: u8, unit_ids: Vec<Vec<u8>>, lifted_by: Vec<u8>| HoldView {
            hold_id: vec![hold_id; 32],
            code: "HOLD_SET".to_owned(),
            reason: "a complaint".to_owned(),
            record_id: record_id.clone(),
            unit_ids,
            lifted_by,
            ..HoldView::default()
        };
        let stream = StreamView {
            holds: vec![hold(2, vec![vec![9; 16]], Vec::new()), hold(3, Vec::new(), vec![4; 16])],
            recalls: vec![RecallView {
                recall_id: vec![5; 32],
                code: "RECALL_OPENED".to_owned(),
                reason: "mould".to_owned(),
                record_id: record_id.clone(),
                ..RecallView::default()
            }],
            deviations: vec![DeviationView {
                deviation_id: vec![6; 32],
                code: "LATE_ENTRY".to_owned(),
                severity: Severity::Minor.into(),
                description: "written a day later".to_owned(),
                record_id: record_id.clone(),
                ..DeviationView::default()
            }],
            owed: vec![OwedView {
                record_id: record_id.clone(),
                slot: 1,
                role: Role::VerifyingOperator.into(),
                meaning: Meaning::Verified.into(),
                ..OwedView::default()
            }],
            steps: vec![StepView { record_id, event: "LotOpened".to_owned(), ..StepView::default() }],
            ..StreamView::default()
        };
        let lines = Standing::of_stream(&stream, BTreeMap::from([(vec![9; 16], "1001".to_owned())])).lines();
        let record = "record 01010101-0101-0101-0101-010101010101 LotOpened";
        assert_eq!(
            lines,
            [
                format!("RECALL RECALL_OPENED: mould; recall {}, {record}", "05".repeat(32)),
                format!("HELD HOLD_SET (unit 1001): a complaint; hold {}, {record}", "02".repeat(32)),
                format!("DEVIATION LATE_ENTRY, minor: written a day later; deviation {}, {record}", "06".repeat(32)),
                format!("OWED slot 1, verified by verifying operator: {record}"),
            ]
        );
    }
}
