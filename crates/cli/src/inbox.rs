//! `inbox`: decisions that wait for a second person. What is shown is read from the bytes that are signed; from the server come only the
//! codes that people know ids by.

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _, Write as _};

use marrowline_client::v1::{self, ProposalState};
use marrowline_client::{Client, Countersigned};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{Record, StreamKind};
use marrowline_record::{EventKind, instant};
use serde_json::Value;

use crate::args::{InboxCommand, Output};
use crate::exit::{Exit, say};
use crate::failure::Failure;
use crate::{ask, json, keys, names, write};

/// Runs `inbox …`.
pub async fn run(command: InboxCommand, output: Output) -> Result<Exit, Failure> {
    match command {
        InboxCommand::List { connection } => {
            let client = ask::connect(&connection).await?;
            let proposals = client.awaiting().await?;
            match output {
                Output::Json => {
                    let all = proposals.iter().map(|p| ask::to_json("Proposal", p)).collect::<Result<Vec<_>, _>>()?;
                    say!("{:#}", Value::from(all));
                }
                Output::Table => {
                    for proposal in &proposals {
                        show(proposal)?;
                    }
                }
            }
            Ok(Exit::Done)
        }
        InboxCommand::Sign { record, slot, yes, connection } => {
            let client = ask::connect(&connection).await?;
            let proposal = find(&client, &record).await?;
            let key = keys::load(&connection.key, connection.passphrase_file.as_deref())?;
            sign(&client, &proposal, slot, yes, &key).await
        }
        InboxCommand::Withdraw { record, reason, connection } => {
            let client = ask::connect(&connection).await?;
            client.withdraw(names::uuid(&record)?, &reason).await?;
            say!("withdrawn");
            Ok(Exit::Done)
        }
    }
}

async fn find(client: &Client, text: &str) -> Result<v1::Proposal, Failure> {
    let id = names::uuid(text)?;
    let mut all = client.awaiting().await?.into_iter();
    let named = all.find(|proposal| decoded(proposal).is_ok_and(|record| record.record_id == id));
    named.ok_or_else(|| Failure::usage(format!("no proposal {text} awaits you; `marrowline inbox list` shows what does")))
}

async fn sign(
    client: &Client,
    proposal: &v1::Proposal,
    slot: Option<u8>,
    yes: bool,
    key: &ed25519_dalek::SigningKey,
) -> Result<Exit, Failure> {
    show(proposal)?;
    let slot = match (slot, proposal.your_slots.as_slice()) {
        (Some(slot), _) => slot,
        (None, [one]) => u8::try_from(*one).map_err(Failure::unexpected)?,
        (None, []) => return Err(Failure::usage("no slot of this proposal is open to you")),
        (None, several) => return Err(Failure::usage(format!("several slots are open to you, {several:?}: give --slot"))),
    };
    if !yes && !agreed()? {
        say!("not signed");
        return Ok(Exit::Done);
    }
    let record = decoded(proposal)?;
    let bytes = proposal.record.as_ref().map(|signed| signed.record.clone()).unwrap_or_default();
    let signing = marrowline_client::sign(&record, &bytes, slot, key, &write::now(client).await?);
    match client.countersign(&bytes, &signing).await? {
        Countersigned::Appended(done) => {
            say!("record {} is leaf {}, receipt verified", json::bytes_to_text(&record.record_id), done.receipt.index);
            for finding in &done.flags {
                say!("flagged {}: found {}; allowed {}; next: {}", finding.code, finding.found, finding.allowed, finding.next);
            }
        }
        Countersigned::Awaiting { open_slots } => say!("signed; slots {open_slots:?} are still open"),
    }
    Ok(Exit::Done)
}

/// Asks whether to sign what was shown.
pub fn agreed() -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("nobody can be asked here; give --yes if you have read it"));
    }
    let _ = write!(std::io::stdout(), "sign this? type yes: ").and_then(|()| std::io::stdout().flush());
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(Failure::unexpected)?;
    Ok(answer.trim() == "yes")
}

fn decoded(proposal: &v1::Proposal) -> Result<Record, Failure> {
    let signed = proposal.record.as_ref().ok_or_else(|| Failure::unexpected("a proposal without a record"))?;
    marrowline_record::decode(&signed.record).map_err(|e| Failure::unexpected(format!("a proposal that cannot be read: {e}")))
}

fn show(proposal: &v1::Proposal) -> Result<(), Failure> {
    let record = decoded(proposal)?;
    let known: BTreeMap<&str, &str> = proposal.fields.iter().map(|f| (f.path.as_str(), f.value.as_str())).collect();
    let event = record.event.as_ref().map(EventKind::of);
    let state = proposal.state().as_str_name().trim_start_matches("PROPOSAL_STATE_").to_lowercase();
    say!(
        "{} {}: {state}, until {}",
        json::bytes_to_text(&record.record_id),
        event.map_or("?", EventKind::name),
        instant::format(proposal.expires_at_ms, 0)
    );
    for (extended, said) in record.streams.iter().zip(&proposal.streams) {
        let kind = extended.kind().as_str_name().trim_start_matches("STREAM_KIND_").to_lowercase();
        if extended.kind() == StreamKind::Authority {
            say!("  on {kind}");
        } else {
            let id = json::bytes_to_text(&extended.id);
            say!("  on {kind} {}", with_code(&id, said.strip_prefix(&format!("{kind} "))));
        }
    }
    let name = event.map_or("", EventKind::field_name);
    let body = json::record_to_json(&record).and_then(|value| value.get(name).cloned()).unwrap_or(Value::Null);
    let mut fields = Vec::new();
    flatten("", &body, &mut fields);
    if let Some(Event::RecordAmended(e)) = &record.event {
        fields.retain(|(path, _)| path != "replacement");
        let replacement = marrowline_record::decode(&e.replacement).ok();
        let event = replacement.as_ref().and_then(|record| Some((json::record_to_json(record)?, record.event.as_ref()?)));
        if let Some((whole, event)) = event {
            flatten("after", whole.get(EventKind::of(event).field_name()).unwrap_or(&Value::Null), &mut fields);
        }
        // What it says now is the server's word; what is signed is what it is to say.
        fields.extend(
            known.iter().filter(|(path, _)| path.starts_with("before.")).map(|(p, v)| ((*p).to_owned(), (*v).to_owned())),
        );
    }
    for (path, value) in &fields {
        say!("  {path:32} {}", with_code(value, known.get(path.as_str()).copied()));
    }
    for signature in &proposal.signatures {
        let at = signature.signed_at.map(|at| at.to_string()).unwrap_or_default();
        let role = signature.role().as_str_name().trim_start_matches("ROLE_").to_lowercase();
        say!("  signed by {} as {role}, {at}", signature.printed_name);
    }
    for finding in &proposal.findings {
        say!(
            "  the ledger would say {}: found {}; allowed {}; next: {}",
            finding.code,
            finding.found,
            finding.allowed,
            finding.next
        );
    }
    for words in &proposal.moved_by {
        say!("  came in between: {words}");
    }
    match proposal.state() {
        ProposalState::Moved => say!("  make it anew on the streams as they are now, and both sign again"),
        ProposalState::Withdrawn => say!("  {}", proposal.ended_because),
        ProposalState::Appended => say!("  it is leaf {}", proposal.index.unwrap_or_default()),
        _ => {}
    }
    Ok(())
}

/// The server's words for an id count only if they name the same id.
fn with_code(value: &str, said: Option<&str>) -> String {
    match said {
        Some(said) if said.ends_with(&format!("({value})")) => said.to_owned(),
        _ => value.to_owned(),
    }
}

pub fn flatten(path: &str, value: &Value, fields: &mut Vec<(String, String)>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                flatten(&if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, value, fields);
            }
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                flatten(&format!("{path}[{number}]"), item, fields);
            }
        }
        Value::String(text) => fields.push((path.to_owned(), text.clone())),
        other => fields.push((path.to_owned(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_shown_only_beside_the_id_that_is_signed() {
        assert_eq!(with_code("0190-a", Some("L-1 (0190-a)")), "L-1 (0190-a)");
        assert_eq!(with_code("0190-a", Some("L-1 (0190-b)")), "0190-a");
        assert_eq!(with_code("0190-a", None), "0190-a");
    }

    #[test]
    fn every_field_has_its_path() {
        let mut fields = Vec::new();
        flatten("", &serde_json::json!({"units": [{"cells": 5}, {"id": "x"}], "ok": true}), &mut fields);
        let lines: Vec<String> = fields.iter().map(|(path, value)| format!("{path}={value}")).collect();
        assert_eq!(lines, ["units[0].cells=5", "units[1].id=x", "ok=true"]);
    }
}
