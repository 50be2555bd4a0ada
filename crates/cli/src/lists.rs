//! `lot list`, `unit list`, `owed`, `trace forward`: what is there, page after page.

use marrowline_client::Client;
use marrowline_client::v1::trace_forward_request::From;
use marrowline_client::v1::{
    ListLotsRequest, ListObligationsRequest, ListRefusalsRequest, ListUnitsRequest, LotSummary, Obligation, RefusedAttempt,
    RefusedRecord, TraceForwardRequest, TraceForwardResponse, UnitView,
};
use marrowline_record::pb::Role;

use crate::args::{Connection, Output, Owed, Refusals, Show, ShowCommand, ShowOrList, ShowOrListCommand};
use crate::ask::{connect, to_json};
use crate::exit::{Exit, say, tell};
use crate::failure::Failure;
use crate::show::{self, Thing};
use crate::words;

/// `lot …` and `unit …`.
pub async fn show_or_list(thing: Thing, what: ShowOrList, output: Output) -> Result<Exit, Failure> {
    let (held, connection) = match what.command {
        ShowOrListCommand::Show { id, connection } => {
            return show::run(thing, Show { command: ShowCommand::Show { id, connection } }, output).await;
        }
        ShowOrListCommand::List { held, connection } => (held, connection),
    };
    let client = connect(&connection).await?;
    let nothing = |what: &str| format!("nothing {}: no {what} that you may see", if held { "is held" } else { "is there" });
    if thing == Thing::Unit {
        let units = units(&client, held).await?;
        return print(output, "UnitView", &units, &nothing("unit"), unit_line);
    }
    let lots = lots(&client, held).await?;
    print(output, "LotSummary", &lots, &nothing("lot"), lot_line)
}

/// A list; that it is empty is told beside it.
fn print<T: prost::Message>(
    output: Output,
    name: &str,
    items: &[T],
    nothing: &str,
    line: impl Fn(&T) -> String,
) -> Result<Exit, Failure> {
    if items.is_empty() {
        tell!("{nothing}");
    }
    match output {
        Output::Json => {
            let items = items.iter().map(|item| to_json(name, item)).collect::<Result<Vec<_>, _>>()?;
            say!("{:#}", serde_json::Value::from(items));
        }
        Output::Table => items.iter().for_each(|item| say!("{}", line(item))),
    }
    Ok(Exit::Done)
}

async fn lots(client: &Client, held: bool) -> Result<Vec<LotSummary>, Failure> {
    let (mut lots, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListLotsRequest { page_size: 500, page_token, held, ..ListLotsRequest::default() };
        let page = client.custody().list_lots(request).await?.into_inner();
        client.follow(&page.checkpoint).await?;
        lots.extend(page.lots);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(lots);
        }
    }
}

async fn units(client: &Client, held: bool) -> Result<Vec<UnitView>, Failure> {
    let (mut units, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListUnitsRequest { page_size: 100, page_token, held, ..ListUnitsRequest::default() };
        let page = client.custody().list_units(request).await?.into_inner();
        client.follow(&page.checkpoint).await?;
        units.extend(page.units);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(units);
        }
    }
}

fn lot_line(lot: &LotSummary) -> String {
    let word = lot.disposition().as_str_name().trim_start_matches("DISPOSITION_").to_lowercase();
    let word = if word == "unspecified" { "no disposition".to_owned() } else { word };
    let recalled = if lot.recalls == 0 { "" } else { "  RECALL" };
    format!(
        "{:16} {word:16} P{:<3} {:3} units {:3} holds {:3} deviations {:3} signatures owed{recalled}",
        lot.lot_code, lot.passage, lot.units, lot.holds, lot.deviations, lot.owed
    )
}

/// A unit in one line.
pub fn unit_line(unit: &UnitView) -> String {
    let holds: Vec<&str> = unit.holds.iter().map(|hold| hold.code.as_str()).collect();
    let held = if holds.is_empty() { String::new() } else { format!("  HELD {}", holds.join(", ")) };
    format!("{:16} lot {:16} {:10} {}{held}", unit.unit_code, unit.lot_code, unit.processing, words::place(unit))
}

/// `owed`.
pub async fn owed(options: Owed, output: Output) -> Result<Exit, Failure> {
    let role = match &options.role {
        None => Role::Unspecified,
        Some(name) => words::role_named(name)?,
    };
    let client = connect(&options.connection).await?;
    let now_ms = client.clock().await?.now_unix_ms;
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let request =
            ListObligationsRequest { page_size: 500, page_token, role: role.into(), ..ListObligationsRequest::default() };
        let page = client.custody().list_obligations(request).await?.into_inner();
        client.follow(&page.checkpoint).await?;
        all.extend(page.obligations);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return print(output, "Obligation", &all, "nothing is owed", |owed| obligation_line(owed, now_ms));
        }
    }
}

/// What is owed by whom, by when or from when on, and for which record.
fn obligation_line(owed: &Obligation, now_ms: i64) -> String {
    let kind = words::lower(owed.kind().as_str_name(), "OBLIGATION_KIND_");
    let role = words::role(owed.role());
    let when = words::moment(owed.due_at_ms);
    let due = match (owed.due_at_ms, owed.is_deadline) {
        (0, _) => String::new(),
        (due_at_ms, true) if due_at_ms < now_ms => format!("  by {when} OVERDUE"),
        (_, true) => format!("  by {when}"),
        (_, false) => format!("  from {when}"),
    };
    let record = format!("{} record {}", owed.event, words::id(&owed.record_id));
    format!("{:24} {kind:16} {:28} {role}{due}  {}", owed.thing, owed.what, record.trim_start())
}

/// `trace forward`.
pub async fn forward(from: &str, connection: &Connection, output: Output) -> Result<Exit, Failure> {
    let wrong = || Failure::usage(format!("`{from}`: write donor:CODE, lot:CODE, unit:CODE or material:CODE"));
    let from = match from.split_once(':').ok_or_else(wrong)? {
        ("donor", code) => From::Donor(code.to_owned()),
        ("lot", code) => From::Lot(code.to_owned()),
        ("unit", code) => From::Unit(code.to_owned()),
        ("material", id) => From::Material(id.to_owned()),
        _ => return Err(wrong()),
    };
    let client = connect(connection).await?;
    let answer = client.custody().trace_forward(TraceForwardRequest { from: Some(from) }).await?.into_inner();
    client.follow(&answer.checkpoint).await?;
    if output == Output::Json {
        say!("{:#}", to_json("TraceForwardResponse", &answer)?);
        return Ok(Exit::Done);
    }
    print_forward(&answer);
    Ok(Exit::Done)
}

/// The lots, and each unit with its dose and subject.
pub fn print_forward(answer: &TraceForwardResponse) {
    for lot in &answer.lots {
        say!("{}", lot_line(lot));
    }
    for traced in &answer.units {
        let dose = traced.dose.as_ref().map_or_else(String::new, |d| match d.dose_code.as_str() {
            "" => format!("  dose {} without a preparation", words::id(&d.dose_id)),
            code => format!("  dose {code} {}", d.state),
        });
        let subject = if traced.subject_code.is_empty() { String::new() } else { format!("  subject {}", traced.subject_code) };
        let unit = traced.unit.as_ref().map_or_else(|| "given of no known unit".to_owned(), unit_line);
        say!("{unit}{dose}{subject}");
    }
    if !answer.affected_digest.is_empty() {
        say!("AFFECTED {} units, doses and subjects, digest {}", answer.affected_count, hex::encode(&answer.affected_digest));
    }
    if answer.incomplete {
        say!("NOT ALL: a lot is left out that you may not see");
    }
}

/// `refusals`: every attempt that the reader may see, page after page.
pub async fn refusals(asked: Refusals, output: Output) -> Result<Exit, Failure> {
    let client = connect(&asked.connection).await?;
    let (mut attempts, mut page_token) = (Vec::new(), String::new());
    loop {
        let code = asked.code.clone().unwrap_or_default();
        let request = ListRefusalsRequest { page_size: 500, page_token, code, from_ms: 0 };
        let page = client.custody().list_refusals(request).await?.into_inner();
        attempts.extend(page.attempts);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return print(output, "RefusedAttempt", &attempts, "nothing was refused that you may see", refusal_line);
        }
    }
}

fn refusal_line(attempt: &RefusedAttempt) -> String {
    let record = |record: &RefusedRecord| {
        format!("{} on {} by {}", record.event, record.streams.join(" and "), record.signed_by.join(" and "))
    };
    let records: Vec<String> = attempt.records.iter().map(record).collect();
    format!("{}  {}  {}", words::moment(attempt.at_ms), records.join("; "), attempt.codes.join(" "))
}

#[cfg(test)]
mod tests {
    use marrowline_client::v1::ObligationKind;

    use super::*;

    #[test]
    fn a_deadline_is_told_from_what_becomes_possible() {
        let owed = |kind: ObligationKind, is_deadline: bool, due_at_ms: i64| Obligation {
            kind: kind.into(),
            thing: "subject S-1".to_owned(),
            role: Role::QualityAssurance.into(),
            what: "tell".to_owned(),
            record_id: vec![1; 16],
            event: "LotOpened".to_owned(),
            due_at_ms,
            is_deadline,
            ..Obligation::default()
        };
        let line = |owed: &Obligation| obligation_line(owed, 1_790_000_000_000).split("assurance").nth(1).map(str::to_owned);
        let record = "LotOpened record 01010101-0101-0101-0101-010101010101";
        let when = "2026-09-21 14:13:20 +00:00";
        let told = |words: &str| Some(format!("  {words}{record}"));
        assert_eq!(line(&owed(ObligationKind::SafetyReport, true, 1_790_000_000_000)), told(&format!("by {when}  ")));
        assert_eq!(
            line(&owed(ObligationKind::Ratification, true, 1_789_999_999_000)),
            told("by 2026-09-21 14:13:19 +00:00 OVERDUE  ")
        );
        assert_eq!(line(&owed(ObligationKind::IncubatedTest, false, 1_790_000_000_000)), told(&format!("from {when}  ")));
        assert_eq!(line(&owed(ObligationKind::Deviation, false, 0)), told(""));
    }
}
