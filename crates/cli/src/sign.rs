//! `sign`: the signature that a recorded fact still owes. The record is shown first; what is signed is its digest, from a verified receipt.

use marrowline_client::Draft;
use marrowline_record::EventKind;
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{Record, Role, SignatureAdded};
use serde_json::Value;

use crate::args::{Output, Sign};
use crate::exit::{Exit, say};
use crate::failure::Failure;
use crate::{ask, inbox, json, keys, names, write};

/// Runs `sign`.
pub async fn run(asked: Sign, output: Output) -> Result<Exit, Failure> {
    let client = ask::connect(&asked.connection).await?;
    let (verified, step) = client.record(names::uuid(&asked.record)?).await?;
    let record = verified.record();
    let signed = |slot: u8| verified.leaf().signings.iter().any(|signing| signing.slot == slot);
    let owed: Vec<u8> = (0u8..).zip(&record.slots).map(|(number, _)| number).filter(|slot| !signed(*slot)).collect();
    let slot = match (asked.slot, owed.as_slice()) {
        (Some(slot), _) => slot,
        (None, [one]) => *one,
        (None, []) => return Err(Failure::usage("every slot of this record was signed when it was recorded")),
        (None, several) => return Err(Failure::usage(format!("several slots were not signed, {several:?}: give --slot"))),
    };
    let wanted = record.slots.get(usize::from(slot)).ok_or_else(|| Failure::usage(format!("no slot {slot}")))?;
    show(record, &step.event)?;
    for signature in &step.signatures {
        say!("  signed by {} as {}", signature.printed_name, in_words(signature.role()));
    }
    say!("  you sign as {}", in_words(wanted.role()));
    if !asked.yes && !inbox::agreed()? {
        say!("not signed");
        return Ok(Exit::Done);
    }
    let event = SignatureAdded { target_digest: verified.leaf().digest.0.to_vec(), slot: Some(u32::from(slot)) };
    let facility: [u8; 16] = wanted.facility_id.as_slice().try_into().map_err(Failure::unexpected)?;
    let mut draft = Draft::new(client.origin(), Event::SignatureAdded(event), write::now(&client).await?)?.slot(
        wanted.role(),
        wanted.meaning(),
        facility,
    );
    for extended in &record.streams {
        let id: [u8; 16] = extended.id.as_slice().try_into().map_err(Failure::unexpected)?;
        draft = draft.stream(extended.kind(), id, client.head(extended.kind(), id).await?);
    }
    let key = keys::load(&asked.connection.key, asked.connection.passphrase_file.as_deref())?;
    write::send(&client, &draft, &[(0, key)], false, output).await
}

fn show(record: &Record, name: &str) -> Result<(), Failure> {
    let event = record.event.as_ref().map(EventKind::of);
    say!("{} {name}", json::bytes_to_text(&record.record_id));
    let field = event.map_or("", EventKind::field_name);
    let body = json::record_to_json(record).and_then(|value| value.get(field).cloned()).unwrap_or(Value::Null);
    let mut fields = Vec::new();
    inbox::flatten("", &body, &mut fields);
    for (path, value) in fields {
        say!("  {path}  {value}");
    }
    Ok(())
}

fn in_words(role: Role) -> String {
    role.as_str_name().trim_start_matches("ROLE_").to_lowercase().replace('_', " ")
}
