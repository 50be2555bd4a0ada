//! `inbox`: decisions that wait for a second person. What is shown is read from the bytes that are signed; from the server come only the
//! codes that people know ids by.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use marrowline_client::v1::{self, ProposalState};
use marrowline_client::{Client, Countersigned};
use marrowline_record::pb::Record;
use serde_json::{Value, json as object};

use crate::args::{InboxCommand, Output};
use crate::exit::{Exit, say, tell};
use crate::failure::Failure;
use crate::names::Facilities;
use crate::{ask, json, keys, names, record, told, words, write};

/// Runs `inbox …`.
pub async fn run(command: InboxCommand, output: Output) -> Result<Exit, Failure> {
    match command {
        InboxCommand::List { connection } => list(&ask::connect(&connection).await?, output).await,
        InboxCommand::Sign { record, slot, yes, connection } => {
            let client = ask::connect(&connection).await?;
            let proposal = find(&client, &record).await?;
            for line in lines(&proposal, &Facilities::of(&client).await?)? {
                tell!("{line}");
            }
            let slot = slot_to_sign(&proposal, slot, yes)?;
            let key = keys::load(&connection.key, connection.passphrase_file.as_deref())?;
            sign(&client, &proposal, slot, yes, &key, output).await
        }
        InboxCommand::Withdraw { record, reason, connection } => {
            let client = ask::connect(&connection).await?;
            client.withdraw(names::uuid(&record)?, &reason).await?;
            match output {
                Output::Json => say!("{:#}", object!({"record_id": record, "state": "WITHDRAWN"})),
                Output::Table => say!("withdrawn"),
            }
            Ok(Exit::Done)
        }
    }
}

async fn list(client: &Client, output: Output) -> Result<Exit, Failure> {
    let proposals = client.awaiting().await?;
    if proposals.is_empty() {
        tell!("nothing awaits you");
    }
    match output {
        Output::Json => {
            let all = proposals.iter().map(|p| ask::to_json("Proposal", p)).collect::<Result<Vec<_>, _>>()?;
            say!("{:#}", Value::from(all));
        }
        Output::Table => {
            let facilities = Facilities::of(client).await?;
            for proposal in &proposals {
                lines(proposal, &facilities)?.iter().for_each(|line| say!("{line}"));
            }
        }
    }
    Ok(Exit::Done)
}

async fn find(client: &Client, text: &str) -> Result<v1::Proposal, Failure> {
    let id = names::uuid(text)?;
    let mut all = client.awaiting().await?.into_iter();
    let named = all.find(|proposal| decoded(proposal).is_ok_and(|record| record.record_id == id));
    named.ok_or_else(|| Failure::not_found(format!("no proposal {text} awaits you; `marrowline inbox list` shows what does")))
}

/// The slot that this person signs, if it can still be signed. With --yes the server says why it cannot, with every reason.
fn slot_to_sign(proposal: &v1::Proposal, slot: Option<u8>, yes: bool) -> Result<u8, Failure> {
    let how_it_ended = match proposal.state() {
        ProposalState::Moved if !yes => {
            let by = proposal.moved_by.join("; ");
            return Err(Failure::moved(format!("came in between: {by}; next: make it anew on the streams as they are now")));
        }
        ProposalState::Appended => Some(format!("it is leaf {} of the log already", proposal.index.unwrap_or_default())),
        ProposalState::Withdrawn => Some(format!("it was withdrawn: {}", proposal.ended_because)),
        ProposalState::Expired => Some("it has expired; make it anew if it is still wanted".to_owned()),
        _ => None,
    };
    match (how_it_ended, slot, proposal.your_slots.as_slice()) {
        (Some(words), ..) => Err(Failure::too_late(words)),
        (None, Some(slot), _) => Ok(slot),
        (None, None, [one]) => u8::try_from(*one).map_err(Failure::unexpected),
        (None, None, []) if proposal.state() == ProposalState::Moved => Err(Failure::moved("a stream has moved on")),
        (None, None, []) => Err(Failure::key("no slot of this proposal is open to you")),
        (None, None, several) => Err(Failure::usage(format!("several slots are open to you, {several:?}: give --slot"))),
    }
}

async fn sign(
    client: &Client,
    proposal: &v1::Proposal,
    slot: u8,
    yes: bool,
    key: &ed25519_dalek::SigningKey,
    output: Output,
) -> Result<Exit, Failure> {
    let record = decoded(proposal)?;
    let record_id = words::id(&record.record_id);
    if !yes && !agreed()? {
        return not_signed(&record_id, output);
    }
    let bytes = proposal.record.as_ref().map(|signed| signed.record.clone()).unwrap_or_default();
    let signing = marrowline_client::sign(&record, &bytes, slot, key, &write::now(client).await?);
    match (client.countersign(&bytes, &signing).await?, output) {
        (Countersigned::Appended(done), Output::Json) => {
            let flags: Vec<&str> = done.flags.iter().map(|f| f.code.as_str()).collect();
            let event = json::record_to_json(&record);
            say!("{:#}", object!({"index": done.receipt.index, "record_id": record_id, "flags": flags, "event": event}));
        }
        (Countersigned::Appended(done), Output::Table) => {
            say!("record {record_id} is leaf {}, receipt verified", done.receipt.index);
            for finding in &done.flags {
                say!("flagged {}: found {}; allowed {}; next: {}", finding.code, finding.found, finding.allowed, finding.next);
            }
        }
        (Countersigned::Awaiting { open_slots }, Output::Json) => {
            say!("{:#}", object!({"record_id": record_id, "open_slots": open_slots}));
        }
        (Countersigned::Awaiting { open_slots }, Output::Table) => say!("signed; slots {open_slots:?} are still open"),
    }
    Ok(Exit::Done)
}

/// Somebody read it and did not say yes.
pub fn not_signed(record_id: &str, output: Output) -> Result<Exit, Failure> {
    match output {
        Output::Json => say!("{:#}", object!({"record_id": record_id, "signed": false})),
        Output::Table => say!("not signed"),
    }
    Ok(Exit::Done)
}

/// Asks whether to sign what was shown.
pub fn agreed() -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("nobody can be asked here; give --yes if you have read it"));
    }
    let _ = write!(std::io::stderr(), "sign this? type yes: ").and_then(|()| std::io::stderr().flush());
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(Failure::unexpected)?;
    Ok(answer.trim() == "yes")
}

fn decoded(proposal: &v1::Proposal) -> Result<Record, Failure> {
    let signed = proposal.record.as_ref().ok_or_else(|| Failure::unexpected("a proposal without a record"))?;
    marrowline_record::decode(&signed.record).map_err(|e| Failure::unexpected(format!("a proposal that cannot be read: {e}")))
}

/// A proposal in words: what it says, who has signed, for whom it waits, how it stands.
fn lines(proposal: &v1::Proposal, facilities: &Facilities) -> Result<Vec<String>, Failure> {
    let record = decoded(proposal)?;
    let state = words::lower(proposal.state().as_str_name(), "PROPOSAL_STATE_");
    let (id, event, until) = (words::id(&record.record_id), told::event(&record), words::moment(proposal.expires_at_ms));
    let mut lines = vec![format!("{id} {event}: {state}, until {until}")];
    lines.extend(told::lines(&record, &proposal.fields, &proposal.streams));
    lines.extend(proposal.signatures.iter().map(record::signed));
    if proposal.state() == ProposalState::Awaiting {
        let signed = proposal.record.as_ref().map(|signed| signed.signings.as_slice()).unwrap_or_default();
        let is_open = |number: u32| signed.iter().all(|signing| signing.slot != number);
        let open = (0u32..).zip(&record.slots).filter(|(number, _)| is_open(*number)).map(|(_, slot)| slot);
        lines.extend(told::awaits(open, facilities).map(|awaits| format!("  {awaits}")));
    }
    lines.extend(proposal.findings.iter().map(|finding| {
        let v1::Finding { code, found, allowed, next, .. } = finding;
        format!("  the ledger would say {code}: found {found}; allowed {allowed}; next: {next}")
    }));
    lines.extend(proposal.moved_by.iter().map(|words| format!("  came in between: {words}")));
    match proposal.state() {
        ProposalState::Moved => lines.push("  make it anew on the streams as they are now, and both sign again".to_owned()),
        ProposalState::Withdrawn => lines.push(format!("  {}", proposal.ended_because)),
        ProposalState::Appended => lines.push(format!("  it is leaf {}", proposal.index.unwrap_or_default())),
        _ => {}
    }
    Ok(lines)
}
