//! `lot list`, `unit list`, `owed`, `trace forward`: what is there, page after page.

use marrowline_client::Client;
use marrowline_client::v1::trace_forward_request::From;
use marrowline_client::v1::{
    ListLotsRequest, ListObligationsRequest, ListRefusalsRequest, ListUnitsRequest, LotSummary, Obligation, RefusedAttempt,
    RefusedRecord, TraceForwardRequest, TraceForwardResponse, UnitView,
};
use marrowline_record::instant;
use marrowline_record::pb::Role;

use crate::args::{Connection, Output, Owed, Refusals, Show, ShowCommand, ShowOrList, ShowOrListCommand};
use crate::ask::{self, Thing, connect, to_json};
use crate::exit::Exit;
use crate::exit::say;
use crate::failure::Failure;

/// `lot …` and `unit …`.
pub async fn show_or_list(thing: Thing, what: ShowOrList, output: Output) -> Result<Exit, Failure> {
    let (held, connection) = match what.command {
        ShowOrListCommand::Show { id, connection } => {
            return ask::show(thing, Show { command: ShowCommand::Show { id, connection } }, output).await;
        }
        ShowOrListCommand::List { held, connection } => (held, connection),
    };
    let client = connect(&connection).await?;
    if thing == Thing::Unit {
        let units = units(&client, held).await?;
        return print(output, "UnitView", &units, unit_line);
    }
    let lots = lots(&client, held).await?;
    print(output, "LotSummary", &lots, lot_line)
}

fn print<T: prost::Message>(output: Output, name: &str, items: &[T], line: fn(&T) -> String) -> Result<Exit, Failure> {
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
    format!(
        "{:16} {word:16} P{:<3} {:3} units {:3} holds {:3} deviations {:3} signatures owed",
        lot.lot_code, lot.passage, lot.units, lot.holds, lot.deviations, lot.owed
    )
}

fn unit_line(unit: &UnitView) -> String {
    let place = unit.location.as_ref().map_or_else(String::new, |l| format!("{} {}", l.rack, l.position));
    let holds: Vec<&str> = unit.holds.iter().map(|hold| hold.code.as_str()).collect();
    let held = if holds.is_empty() { String::new() } else { format!("  HELD {}", holds.join(", ")) };
    format!("{:16} lot {:16} {:10} {:12} {place}{held}", unit.unit_code, unit.lot_code, unit.processing, unit.custody)
}

/// `owed`.
pub async fn owed(options: Owed, output: Output) -> Result<Exit, Failure> {
    let role = match &options.role {
        None => Role::Unspecified,
        Some(name) => Role::from_str_name(&format!("ROLE_{name}")).ok_or_else(|| Failure::usage(format!("no role `{name}`")))?,
    };
    let client = connect(&options.connection).await?;
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let request =
            ListObligationsRequest { page_size: 500, page_token, role: role.into(), ..ListObligationsRequest::default() };
        let page = client.custody().list_obligations(request).await?.into_inner();
        client.follow(&page.checkpoint).await?;
        all.extend(page.obligations);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return print(output, "Obligation", &all, obligation_line);
        }
    }
}

fn obligation_line(owed: &Obligation) -> String {
    let kind = owed.kind().as_str_name().trim_start_matches("OBLIGATION_KIND_").to_lowercase().replace('_', " ");
    let role = owed.role().as_str_name().trim_start_matches("ROLE_").to_lowercase().replace('_', " ");
    let due = if owed.due_at_ms == 0 { String::new() } else { format!("  from {}", instant::format(owed.due_at_ms, 0)) };
    format!("{:24} {kind:16} {:28} {role}{due}", owed.thing, owed.what)
}

/// `trace forward`.
pub async fn forward(from: &str, connection: &Connection, output: Output) -> Result<Exit, Failure> {
    let wrong = || Failure::usage(format!("`{from}`: write donor:CODE, lot:CODE or unit:CODE"));
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
        let dose = traced.dose.as_ref().map_or_else(String::new, |d| format!("  dose {} {}", d.dose_code, d.state));
        let subject = if traced.subject_code.is_empty() { String::new() } else { format!("  subject {}", traced.subject_code) };
        say!("{}{dose}{subject}", unit_line(&traced.unit.clone().unwrap_or_default()));
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
            return print(output, "RefusedAttempt", &attempts, refusal_line);
        }
    }
}

fn refusal_line(attempt: &RefusedAttempt) -> String {
    let record = |record: &RefusedRecord| {
        format!("{} on {} by {}", record.event, record.streams.join(" and "), record.signed_by.join(" and "))
    };
    let records: Vec<String> = attempt.records.iter().map(record).collect();
    format!("{}  {}  {}", instant::format(attempt.at_ms, 0), records.join("; "), attempt.codes.join(" "))
}
