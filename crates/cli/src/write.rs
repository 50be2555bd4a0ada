//! `append`: any event, from options or a JSON file.

use std::io::Read as _;
use std::path::Path;

use ed25519_dalek::SigningKey;
use marrowline_client::{Client, Draft};
use marrowline_record::pb;
use marrowline_record::{EventKind, instant};
use marrowline_rules::table;
use serde_json::json as object;

use crate::args::{Append, Output};
use crate::ask::{self, TOKEN_SECONDS};
use crate::exit::{Exit, say};
use crate::failure::Failure;
use crate::made::Made;
use crate::names::Facilities;
use crate::slots::{self, Signatures};
use crate::{fields, json, keys, names, told, words};

/// Runs `append`.
pub async fn run(append: Append, output: Output) -> Result<Exit, Failure> {
    if let Some(event) = &append.template {
        return template(event, output);
    }
    let connection = &append.connection;
    let key_file = connection.key.clone().ok_or_else(|| Failure::usage("give --key"))?;
    let passphrase = connection.passphrase_file.as_deref();
    let mut signing = vec![keys::load(&key_file, passphrase)?];
    signing.extend(keys::load_all(&append.sign, passphrase)?);
    let first = signing.first().ok_or_else(|| Failure::usage("give --key"))?;
    let (server, trust) = (ask::server(&connection.server)?, ask::trust(&connection.ca, &connection.log)?);
    let client = Client::connect(server, trust, first, TOKEN_SECONDS).await?;
    let (draft, slots, made) = draft(&client, &append, &signing).await?;
    if let Some(slot) = append.propose {
        return propose(&client, &draft, slot, first, &made, output).await;
    }
    let signing: Vec<(u8, SigningKey)> = slots.into_iter().zip(signing).collect();
    send(&client, &draft, &signing, append.dry_run, &made, output).await
}

/// Keeps a decision with one signature for the others, and says for whom it waits.
async fn propose(
    client: &Client,
    draft: &Draft,
    slot: u8,
    key: &SigningKey,
    made: &Made,
    output: Output,
) -> Result<Exit, Failure> {
    let bytes = draft.encode();
    let signing = draft.sign(&bytes, slot, key, &draft.record().occurred_at.unwrap_or_default());
    let expires_at_ms = client.propose(bytes, &[signing]).await?;
    let record_id = json::bytes_to_text(&draft.record().record_id);
    let facilities = Facilities::of(client).await?;
    let open = || (0u8..).zip(&draft.record().slots).filter(|(number, _)| *number != slot);
    match output {
        Output::Json => {
            let awaits = open().map(|(number, slot)| {
                object!({"slot": number, "role": words::role_option(slot.role()), "facility": facilities.code(&slot.facility_id)})
            });
            let awaits: Vec<_> = awaits.collect();
            say!(
                "{:#}",
                object!({"record_id": record_id, "expires_at_ms": expires_at_ms, "awaits": awaits, "made": made.to_json()})
            );
        }
        Output::Table => {
            say!("record {record_id} awaits its other signatures until {}", words::moment(expires_at_ms));
            if let Some(awaits) = told::awaits(open().map(|(_, slot)| slot), &facilities) {
                say!("{awaits}");
            }
            made.say();
        }
    }
    Ok(Exit::Done)
}

/// Signs a record with these keys, each in its slot, and appends it or asks what the ledger would say.
pub async fn send(
    client: &Client,
    draft: &Draft,
    signing: &[(u8, SigningKey)],
    dry_run: bool,
    made: &Made,
    output: Output,
) -> Result<Exit, Failure> {
    let bytes = draft.encode();
    marrowline_record::decode(&bytes)
        .map_err(|e| Failure::usage(format!("{} at {}: found {}; allowed {}", e.code.as_str(), e.path, e.found, e.allowed)))?;
    let at = draft.record().occurred_at.unwrap_or_default();
    let mut signings: Vec<_> = signing.iter().map(|(slot, key)| draft.sign(&bytes, *slot, key, &at)).collect();
    signings.sort_by_key(|signing| signing.slot);
    if dry_run {
        let verdict = client.judge(bytes, &signings).await?;
        let exit = if verdict.accepted { Exit::Done } else { Exit::Refused };
        if output == Output::Json {
            say!("{:#}", ask::to_json("JudgeResponse", &verdict)?);
            return Ok(exit);
        }
        for finding in &verdict.findings {
            say!("{}: found {}; allowed {}; next: {}", finding.code, finding.found, finding.allowed, finding.next);
        }
        say!("{}", if verdict.accepted { "would be accepted" } else { "would be refused" });
        return Ok(exit);
    }
    let acknowledged = client.append(bytes, &signings).await.map_err(|error| with_streams(error.into()))?;
    let flags: Vec<&str> = acknowledged.flags.iter().map(|f| f.code.as_str()).collect();
    let record_id = json::bytes_to_text(&draft.record().record_id);
    match output {
        Output::Json => say!(
            "{:#}",
            object!({
                "index": acknowledged.receipt.index, "record_id": record_id, "flags": flags, "made": made.to_json(),
                "event": json::record_to_json(draft.record()),
            })
        ),
        Output::Table => {
            say!("record {record_id} is leaf {}, receipt verified", acknowledged.receipt.index);
            made.say();
            for finding in &acknowledged.flags {
                say!("flagged {}: found {}; allowed {}; next: {}", finding.code, finding.found, finding.allowed, finding.next);
            }
        }
    }
    Ok(Exit::Done)
}

/// A record of other streams than its event's is built again with `--on`.
fn with_streams(mut failure: Failure) -> Failure {
    if failure.problem.as_ref().is_some_and(|problem| problem.reasons.iter().any(|reason| reason.code == "STREAMS_WRONG")) {
        failure.words.push_str("\ngive --on KIND:ID once for each of these streams, e.g. --on authority:");
    }
    failure
}

fn template(event: &str, output: Output) -> Result<Exit, Failure> {
    if event.is_empty() && output == Output::Json {
        let names: Vec<&str> = EventKind::all().iter().map(|kind| kind.field_name()).collect();
        say!("{:#}", serde_json::Value::from(names));
        return Ok(Exit::Done);
    }
    if event.is_empty() {
        for kind in EventKind::all() {
            say!("{}", kind.field_name());
        }
        return Ok(Exit::Done);
    }
    match json::template(event) {
        Some(template) => {
            say!("{template:#}");
            Ok(Exit::Done)
        }
        None => Err(Failure::usage(format!("no event `{event}`; `marrowline append --template` lists them"))),
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(Failure::unexpected)?;
        return Ok(text);
    }
    std::fs::read_to_string(path).map_err(|e| Failure::file(path, &e))
}

async fn draft(client: &Client, append: &Append, signing: &[SigningKey]) -> Result<(Draft, Vec<u8>, Made), Failure> {
    let value = match (&append.event, &append.name) {
        (Some(path), None) => {
            serde_json::from_str(&read(path)?).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?
        }
        (None, Some(name)) => fields::event(name, &append.set)?,
        _ => return Err(Failure::usage("give an event's name with --set, or --event FILE")),
    };
    let mut value: serde_json::Value = value;
    if append.on.is_empty() {
        return Err(Failure::usage(
            "TOO_FEW_ITEMS at streams: found none; next: give --on, e.g. --on lot:CODE or --on authority:",
        ));
    }
    names::resolve(client, &mut value).await?;
    let event = json::event_from_json(&value, &mut marrowline_client::new_id).map_err(Failure::usage)?;
    let at = match &append.at {
        Some(text) => time(text).ok_or_else(|| Failure::usage(format!("`{text}` is no time; write 2026-11-23 09:10 +03:00")))?,
        // A TRAINING ledger has a clock of its own.
        None => now(client).await?,
    };
    let mut made = Made::of(&value, &pb::Record { event: Some(event.clone()), ..pb::Record::default() });
    let mut row = table::row_of(&event).slots.to_vec();
    row.extend(append.for_another.then_some(table::FOR_ANOTHER));
    let Signatures { slots, of_keys } = slots::signatures(client, append, &row, signing).await?;
    let mut draft = Draft::new(client.origin(), event, at)?;
    for (slot, (role, facility)) in row.iter().zip(slots) {
        draft = draft.slot(role, slot.meaning, facility);
    }
    for stream in &append.on {
        let (kind, id) = names::stream(client, stream).await?;
        if stream.ends_with(":new") {
            made.stream(kind, &id);
        }
        let head = client.head(kind, id).await?;
        draft = draft.stream(kind, id, head);
    }
    for cite in &append.cite {
        let id = names::uuid(cite)?;
        let digest = client.digest_of(id).await?;
        draft = draft.cite(id, digest);
    }
    let draft = match &append.note {
        Some(note) => draft.note(note),
        None => draft,
    };
    Ok((draft, of_keys, made))
}

/// Now. A TRAINING ledger has a clock of its own.
pub async fn now(client: &Client) -> Result<pb::Instant, Failure> {
    let clock = client.clock().await?;
    Ok(if clock.training { pb::Instant { unix_ms: clock.now_unix_ms, offset_minutes: 0 } } else { marrowline_client::now(0) })
}

/// A time as people write it: the seconds may be left out.
pub(crate) fn time(text: &str) -> Option<pb::Instant> {
    let to_the_minute = || {
        let (minutes, offset) = text.split_at_checked("2026-11-23 09:10".len())?;
        instant::parse(&format!("{minutes}:00{offset}")).ok()
    };
    instant::parse(text).ok().or_else(to_the_minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_be_left_out() {
        let whole = instant::parse("2026-11-23 09:10:00 +03:00").unwrap();
        assert_eq!(time("2026-11-23 09:10 +03:00"), Some(whole));
        assert_eq!(time("2026-11-23 09:10:00 +03:00"), Some(whole));
        for wrong in ["", "2026-11-23", "2026-11-23 09:10", "2026-11-23 09: +03:00", "2026-11-23 09:1 +03:00", "soon"] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }
}
