//! `lot show` and its like: a thing with what stands against it and its records.

use std::collections::BTreeMap;

use marrowline_client::v1::{
    DoseView, EndOfTreatmentView, GetDonorRequest, GetDoseRequest, GetLotRequest, GetSubjectRequest, GetUnitRequest, LotView,
    MaterialView, OrderView, RecallView, StepView, StreamView, SubjectView, UnitView,
};
use marrowline_record::instant;
use serde_json::Value;

use crate::args::{Output, Show, ShowCommand};
use crate::ask::{connect, to_json};
use crate::exit::{Exit, say};
use crate::failure::Failure;
use crate::lists::unit_line;
use crate::standing::Standing;
use crate::words;

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A lot.
    Lot,
    /// A unit.
    Unit,
    /// A dose.
    Dose,
    /// A subject.
    Subject,
    /// A donor.
    Donor,
}

/// Shows a thing.
pub async fn run(thing: Thing, show: Show, output: Output) -> Result<Exit, Failure> {
    let ShowCommand::Show { id, connection } = show.command;
    let client = connect(&connection).await?;
    let mut custody = client.custody();
    let (checkpoint, value, lines) = match thing {
        Thing::Lot => {
            let answer = custody.get_lot(GetLotRequest { lot: id }).await?.into_inner();
            let lot = answer.lot.unwrap_or_default();
            (answer.checkpoint, to_json("LotView", &lot)?, lot_lines(&lot))
        }
        Thing::Unit => {
            let answer = custody.get_unit(GetUnitRequest { unit: id }).await?.into_inner();
            let unit = answer.unit.unwrap_or_default();
            (answer.checkpoint, to_json("UnitView", &unit)?, unit_lines(&unit))
        }
        Thing::Dose => {
            let answer = custody.get_dose(GetDoseRequest { dose: id }).await?.into_inner();
            let dose = answer.dose.unwrap_or_default();
            (answer.checkpoint, to_json("DoseView", &dose)?, dose_lines(&dose))
        }
        Thing::Subject => {
            let answer = custody.get_subject(GetSubjectRequest { subject: id }).await?.into_inner();
            let subject = answer.subject.unwrap_or_default();
            (answer.checkpoint, to_json("SubjectView", &subject)?, subject_lines(&subject))
        }
        Thing::Donor => {
            let answer = custody.get_donor(GetDonorRequest { donor: id }).await?.into_inner();
            let donor = answer.donor.unwrap_or_default();
            let lines = stream_lines(&donor.stream.clone().unwrap_or_default(), BTreeMap::new());
            (answer.checkpoint, to_json("DonorView", &donor)?, lines)
        }
    };
    client.follow(&checkpoint).await?;
    match output {
        Output::Json => say!("{value:#}"),
        Output::Table => rows(&value).into_iter().chain(lines).for_each(|line| say!("{line}")),
    }
    Ok(Exit::Done)
}

/// What the lines below tell in other words.
const TOLD_BELOW: &[&str] = &[
    "stream",
    "holds",
    "deviations",
    "owed",
    "recalls",
    "units",
    "doses",
    "materials",
    "custody",
    "facility_id",
    "facility_code",
    "location",
    "container",
    "thaw",
    "total_cells",
    "viability_basis_points",
    "orders",
    "died",
    "withdrew",
    "subject_id",
    "order_id",
    "unit_ids",
    "dispensed_at_ms",
    "dispensed_by",
    "ordered_at_ms",
    "ordered_by",
];

/// The plain fields of a view, one a line, in the units that people read.
fn rows(view: &Value) -> Vec<String> {
    let plain = view.as_object().into_iter().flatten().filter(|(name, _)| !TOLD_BELOW.contains(&name.as_str()));
    plain.map(|(name, field)| row(name, field)).collect()
}

fn row(name: &str, field: &Value) -> String {
    let (name, text) = match (field, name.strip_suffix("_at_ms"), name.strip_suffix("_basis_points")) {
        (Value::Number(number), Some(name), _) => (name, words::moment(number.as_i64().unwrap_or_default())),
        (Value::Number(number), _, Some(name)) => (name, words::share(number.as_u64().unwrap_or_default())),
        (Value::Number(number), ..) if name == "milli_doublings" => {
            ("doublings", words::thousandths(number.as_i64().unwrap_or_default()))
        }
        (Value::String(text), ..) => (name, text.clone()),
        (Value::Array(items), ..) if items.iter().all(Value::is_string) => {
            (name, items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "))
        }
        (Value::Array(items), ..) => (name, items.len().to_string()),
        (Value::Object(version), ..) => {
            let part = |part: &str| version.get(part).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
            (name, format!("{} version {}", part("id").unwrap_or_default(), part("version").unwrap_or_default()))
        }
        (other, ..) => (name, other.to_string()),
    };
    format!("{name:24} {text}")
}

fn lot_lines(lot: &LotView) -> Vec<String> {
    let codes = lot.units.iter().map(|unit| (unit.unit_id.clone(), unit.unit_code.clone())).collect();
    let materials = lot.materials.iter().map(material_line);
    let units = lot.units.iter().map(unit_line);
    materials.chain(units).chain(stream_lines(&lot.stream.clone().unwrap_or_default(), codes)).collect()
}

fn material_line(material: &MaterialView) -> String {
    let named = format!("{} {}", material.code, material.name);
    format!("made with {} {}, material:{}", material.kind, named.trim(), words::id(&material.id))
}

/// A field in the column of the others.
fn field(name: &str, text: &str) -> String {
    format!("{name:24} {text}")
}

/// What was counted, and when it was.
fn counted(total_cells: u64, viability_basis_points: u32, when: &str) -> [String; 2] {
    let share = words::share(u64::from(viability_basis_points));
    [field("total_cells", &format!("{total_cells} {when}")), field("viability", &format!("{share} {when}"))]
}

fn unit_lines(unit: &UnitView) -> Vec<String> {
    let mut lines = vec![field("where", &words::place(unit))];
    if let Some(thaw) = &unit.thaw {
        lines.push(field("thawed", &format!("{}, record {}", words::moment(thaw.thawed_at_ms), words::id(&thaw.record_id))));
        lines.extend(counted(thaw.total_cells, thaw.viability_basis_points, "at thaw"));
    }
    lines.extend(counted(unit.total_cells, unit.viability_basis_points, "at filling"));
    let codes = BTreeMap::from([(unit.unit_id.clone(), unit.unit_code.clone())]);
    let standing = Standing { holds: &unit.holds, deviations: &unit.deviations, codes, ..Standing::default() };
    lines.extend(standing.lines());
    lines
}

fn dose_lines(dose: &DoseView) -> Vec<String> {
    let mut lines = Vec::new();
    if !dose.order_id.is_empty() {
        let (at, by) = (words::moment(dose.ordered_at_ms), dose.ordered_by.join(" and "));
        lines.push(field("order", &format!("of {at} by {by} ({})", words::id(&dose.order_id))));
    }
    if dose.dispensed_at_ms != 0 {
        lines
            .push(field("dispensed", &format!("{} by {}", words::moment(dose.dispensed_at_ms), dose.dispensed_by.join(" and "))));
    }
    lines.extend(counted(dose.total_cells, dose.viability_basis_points, "in the dose"));
    lines.extend(Standing::of_dose(dose).lines());
    lines
}

fn subject_lines(subject: &SubjectView) -> Vec<String> {
    let codes = subject.doses.iter().map(|dose| (dose.dose_id.clone(), dose.dose_code.clone())).collect();
    let ended = |word: &str, end: &Option<EndOfTreatmentView>| {
        end.as_ref().map(|end| format!("{word} {}, record {}", words::moment(end.at_ms), words::id(&end.record_id)))
    };
    let ended = ended("DEAD", &subject.died).into_iter().chain(ended("WITHDRAWN", &subject.withdrew));
    let recalls = subject.recalls.iter().map(recall_line);
    let orders = subject.orders.iter().map(order_line);
    let doses = subject.doses.iter().map(dose_line);
    let stream = stream_lines(&subject.stream.clone().unwrap_or_default(), codes);
    ended.chain(recalls).chain(orders).chain(doses).chain(stream).collect()
}

/// What was infused stays infused: a recall is told after it was closed, too.
fn recall_line(recall: &RecallView) -> String {
    let word = if recall.look_back { "LOOK-BACK" } else { "RECALL" };
    let closed =
        if recall.closed_by.is_empty() { String::new() } else { format!(", closed by record {}", words::id(&recall.closed_by)) };
    format!("{word} of {}, infused: {}; record {}{closed}", recall.thing, recall.reason, words::id(&recall.record_id))
}

fn order_line(order: &OrderView) -> String {
    let (at, by) = (words::moment(order.ordered_at_ms), order.ordered_by.join(" and "));
    let state = match (order.cancelled_by.as_slice(), order.dose_code.as_str()) {
        ([], "") => "open".to_owned(),
        ([], code) => format!("dose {code}"),
        (by, _) => format!("CANCELLED by record {}", words::id(by)),
    };
    let units = if order.unit_codes.is_empty() { "none".to_owned() } else { order.unit_codes.join(", ") };
    let (id, record) = (words::id(&order.order_id), words::id(&order.record_id));
    format!(
        "order {id} of {at} by {by}, {} viable cells per kg, units {units}, {state}, record {record}",
        order.target_viable_cells_per_kg
    )
}

fn dose_line(dose: &DoseView) -> String {
    let share = words::share(u64::from(dose.viability_basis_points));
    format!(
        "dose {:16} {:10} {} viable cells per kg, viability {share}, expires {}",
        dose.dose_code,
        dose.state,
        dose.viable_cells_per_kg,
        words::moment(dose.expires_at_ms)
    )
}

/// What stands against it, then its records.
fn stream_lines(stream: &StreamView, codes: BTreeMap<Vec<u8>, String>) -> Vec<String> {
    let standing = Standing::of_stream(stream, codes).lines();
    standing.into_iter().chain(stream.steps.iter().map(step_line)).collect()
}

/// A record in one line: when, what, who with which meaning, flags, its id. One that no longer counts, or not as it was, says so before
/// anything else.
pub fn step_line(step: &StepView) -> String {
    let when = step.occurred_at.map_or_else(String::new, |i| instant::format(i.unix_ms, i.offset_minutes));
    let people: Vec<String> =
        step.signatures.iter().map(|s| format!("{} {}", s.printed_name, words::meaning(s.meaning()))).collect();
    let flags = if step.flags.is_empty() { String::new() } else { format!("  FLAGGED {}", step.flags.join(", ")) };
    let says = if step.says.is_empty() { String::new() } else { format!("{}  ", step.says) };
    let (mark, by) = match (step.is_void, step.amended_by.as_slice()) {
        (_, []) => ("", String::new()),
        (true, by) => ("VOID ", format!("  VOID by record {}", words::id(by))),
        (false, by) => ("AMENDED ", format!("  AMENDED by record {}", words::id(by))),
    };
    let event = format!("{mark}{}", step.event);
    format!("{when}  {event:26} {says}{}{flags}{by}  record {}", people.join(", "), words::id(&step.record_id))
}

#[cfg(test)]
mod tests {
    use marrowline_client::v1::SignatureView;
    use marrowline_record::pb::{Instant, Meaning};
    use serde_json::json;

    use super::*;

    fn step(event: &str) -> StepView {
        StepView {
            record_id: vec![1; 16],
            event: event.to_owned(),
            occurred_at: Some(Instant { unix_ms: 1_790_000_000_000, offset_minutes: 180 }),
            signatures: vec![SignatureView {
                printed_name: "Vera".to_owned(),
                meaning: Meaning::Performed.into(),
                ..SignatureView::default()
            }],
            ..StepView::default()
        }
    }

    #[test]
    fn a_record_that_no_longer_counts_says_so() {
        let when = "2026-09-21 17:13:20 +03:00";
        let id = "record 01010101-0101-0101-0101-010101010101";
        assert_eq!(step_line(&step("LotOpened")), format!("{when}  LotOpened                  Vera performed  {id}"));
        let by = "record 02020202-0202-0202-0202-020202020202";
        let void = StepView { is_void: true, amended_by: vec![2; 16], ..step("LotOpened") };
        assert_eq!(step_line(&void), format!("{when}  VOID LotOpened             Vera performed  VOID by {by}  {id}"));
        let amended = StepView { amended_by: vec![2; 16], says: "CD73 98 %".to_owned(), ..step("TestResultReported") };
        assert_eq!(
            step_line(&amended),
            format!("{when}  AMENDED TestResultReported CD73 98 %  Vera performed  AMENDED by {by}  {id}")
        );
    }

    #[test]
    fn fields_are_told_in_the_units_that_people_read() {
        let view = json!({
            "expires_at_ms": 1_790_000_000_000_i64, "milli_doublings": -7_045, "share_basis_points": 9_250, "stream": {"id": "x"}, "custody": "held",
            "dose_ids": ["a", "b"], "specification": {"id": "s", "version": 2}, "labels": [{"batch_id": "b"}],
        });
        assert_eq!(
            rows(&view),
            [
                "expires                  2026-09-21 14:13:20 +00:00",
                "doublings                -7.045",
                "share                    92.50 %",
                "dose_ids                 a, b",
                "specification            s version 2",
                "labels                   1",
            ]
        );
    }
}
