//! Questions: `lot show` and its like, `trace back`, `check`.

use std::fs;

use marrowline_client::v1::{
    Answer, CheckDoseRequest, CheckDoseResponse, GetDonorRequest, GetDoseRequest, GetLotRequest, GetSubjectRequest,
    GetUnitRequest, StepView, TraceBackRequest,
};
use marrowline_client::{Client, Trust};
use marrowline_merkle::{VerifierKey, VerifierKeyError};
use marrowline_record::instant;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};

use crate::args::{Check, Connection, Output, Show, ShowCommand, Trace, TraceCommand};
use crate::exit::Exit;
use crate::exit::say;
use crate::failure::Failure;
use crate::{json, keys, lists};

/// Validity of the token that a command makes for itself, s.
pub const TOKEN_SECONDS: i64 = 600;

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

/// Connects as the person whose key it is.
pub async fn connect(connection: &Connection) -> Result<Client, Failure> {
    let key = keys::load(&connection.key, connection.passphrase_file.as_deref())?;
    let trust = trust(&connection.ca, &connection.log)?;
    Ok(Client::connect(&connection.server, trust, &key, TOKEN_SECONDS).await?)
}

/// What is trusted: files that were handed over by other means than the server.
pub fn trust(ca: &std::path::Path, log: &std::path::Path) -> Result<Trust, Failure> {
    let ca_pem = fs::read_to_string(ca).map_err(|e| Failure::file(ca, &e))?;
    let text = fs::read_to_string(log).map_err(|e| Failure::file(log, &e))?;
    Ok(Trust { log: log_key(&text).map_err(|e| Failure::key(format!("{}: {e}", log.display())))?, ca_pem })
}

/// The log's key as its file says it.
pub(crate) fn log_key(text: &str) -> Result<VerifierKey, VerifierKeyError> {
    VerifierKey::parse(text.trim())
}

/// A message of the service as JSON.
pub fn to_json(name: &str, message: &impl Message) -> Result<serde_json::Value, Failure> {
    let pool = DescriptorPool::decode(marrowline_api::FILE_DESCRIPTOR_SET).map_err(Failure::unexpected)?;
    let descriptor =
        pool.get_message_by_name(&format!("marrowline.v1.{name}")).ok_or_else(|| Failure::unexpected("no descriptor"))?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).map_err(Failure::unexpected)?;
    Ok(json::message_to_json(&dynamic))
}

/// Shows a thing.
pub async fn show(thing: Thing, show: Show, output: Output) -> Result<Exit, Failure> {
    let ShowCommand::Show { id, connection } = show.command;
    let client = connect(&connection).await?;
    let mut custody = client.custody();
    let (checkpoint, value, steps) = match thing {
        Thing::Lot => {
            let answer = custody.get_lot(GetLotRequest { lot: id }).await?.into_inner();
            let lot = answer.lot.unwrap_or_default();
            (answer.checkpoint, to_json("LotView", &lot)?, lot.stream.map(|s| s.steps))
        }
        Thing::Unit => {
            let answer = custody.get_unit(GetUnitRequest { unit: id }).await?.into_inner();
            let unit = answer.unit.unwrap_or_default();
            (answer.checkpoint, to_json("UnitView", &unit)?, None)
        }
        Thing::Dose => {
            let answer = custody.get_dose(GetDoseRequest { dose: id }).await?.into_inner();
            let dose = answer.dose.unwrap_or_default();
            (answer.checkpoint, to_json("DoseView", &dose)?, None)
        }
        Thing::Subject => {
            let answer = custody.get_subject(GetSubjectRequest { subject: id }).await?.into_inner();
            let subject = answer.subject.unwrap_or_default();
            (answer.checkpoint, to_json("SubjectView", &subject)?, subject.stream.map(|s| s.steps))
        }
        Thing::Donor => {
            let answer = custody.get_donor(GetDonorRequest { donor: id }).await?.into_inner();
            let donor = answer.donor.unwrap_or_default();
            (answer.checkpoint, to_json("DonorView", &donor)?, donor.stream.map(|s| s.steps))
        }
    };
    client.follow(&checkpoint).await?;
    match output {
        Output::Json => say!("{value:#}"),
        Output::Table => {
            print_fields(&value);
            for step in steps.iter().flatten() {
                say!("{}", step_line(step));
            }
        }
    }
    Ok(Exit::Done)
}

/// The plain fields of a view, one a line; lists and streams are for `--output json`.
fn print_fields(value: &serde_json::Value) {
    for (name, field) in value.as_object().into_iter().flatten() {
        match field {
            serde_json::Value::Object(_) => {}
            serde_json::Value::Array(items) => say!("{name:24} {}", items.len()),
            serde_json::Value::String(text) => say!("{name:24} {text}"),
            other => say!("{name:24} {other}"),
        }
    }
}

/// A record in one line: when, what, who with which meaning, flags.
pub fn step_line(step: &StepView) -> String {
    let when = step.occurred_at.map_or_else(String::new, |i| instant::format(i.unix_ms, i.offset_minutes));
    let people: Vec<String> = step
        .signatures
        .iter()
        .map(|s| {
            let meaning = s.meaning().as_str_name().trim_start_matches("MEANING_").to_lowercase();
            format!("{} {meaning}", s.printed_name)
        })
        .collect();
    let flags = if step.flags.is_empty() { String::new() } else { format!("  FLAGGED {}", step.flags.join(", ")) };
    format!("{when}  {:26} {}{flags}", step.event, people.join(", "))
}

/// `trace back`.
pub async fn trace(trace: Trace, output: Output) -> Result<Exit, Failure> {
    let (dose, connection) = match trace.command {
        TraceCommand::Back { dose, connection } => (dose, connection),
        TraceCommand::Forward { from, connection } => return lists::forward(&from, &connection, output).await,
    };
    let client = connect(&connection).await?;
    let response = client.custody().trace_back(TraceBackRequest { dose }).await?.into_inner();
    client.follow(&response.checkpoint).await?;
    match output {
        Output::Json => say!("{:#}", to_json("TraceBackResponse", &response)?),
        Output::Table => {
            for step in &response.steps {
                say!("{:18} {}", step.stream, step_line(&step.step.clone().unwrap_or_default()));
            }
        }
    }
    Ok(Exit::Done)
}

/// `check`.
pub async fn check(check: Check, output: Output) -> Result<Exit, Failure> {
    let client = connect(&check.connection).await?;
    let response = client.custody().check_dose(CheckDoseRequest { dose: check.dose }).await?.into_inner();
    client.follow(&response.checkpoint).await?;
    match output {
        Output::Json => say!("{:#}", to_json("CheckDoseResponse", &response)?),
        Output::Table => say!("{}", answer(&response)),
    }
    Ok(match response.answer() {
        Answer::Green => Exit::Done,
        Answer::Red => Exit::Refused,
        Answer::NoAnswer | Answer::Unspecified => Exit::NoAnswer,
    })
}

/// A dose check's answer on one screen.
pub fn answer(response: &CheckDoseResponse) -> String {
    let word = match response.answer() {
        Answer::Green => "GREEN: may be released",
        Answer::Red => "RED: must not be released",
        Answer::NoAnswer | Answer::Unspecified => "NO ANSWER: treat as RED",
    };
    let dose = response.dose.clone().unwrap_or_default();
    let training = if response.training { "  TRAINING" } else { "" };
    let per_kg = match dose.viable_cells_per_kg {
        0 => "cells per kg not shown".to_owned(),
        number => format!("{number} viable cells per kg"),
    };
    let mut text = format!(
        "{word}{training}\n  dose {}, {}, {per_kg}, as of {}, valid for 60 s",
        dose.dose_code,
        dose.state,
        instant::format(response.as_of_ms, 0)
    );
    for reason in &response.reasons {
        let look: Vec<String> = reason.look_at.iter().map(|l| format!("{} {}", l.kind, l.id)).collect();
        text.push_str(&format!("\n  {}: found {}; allowed {}", reason.code, reason.found, reason.allowed));
        if !look.is_empty() {
            text.push_str(&format!("; see {}", look.join(", ")));
        }
        text.push_str(&format!("; next: {}", reason.next));
    }
    text
}
