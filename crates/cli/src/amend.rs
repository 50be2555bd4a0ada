//! `amend` and `void`: a fact that was recorded wrongly. The record is fetched and verified, and only what is named is changed.

use marrowline_client::v1::GetRecordResponse;
use marrowline_client::{Client, Draft};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Record, Role};
use prost::Message as _;

use crate::args::{Amend, Change, Output, Void};
use crate::exit::{Exit, tell};
use crate::failure::Failure;
use crate::made::Made;
use crate::{ask, fields, inbox, json, keys, names, record, told, words, write};

/// The record that is changed, as it counts now.
struct Target {
    record: Record,
    digest: [u8; 32],
    /// The record of its latest version.
    latest: Vec<u8>,
    /// What it says now.
    event: Event,
    /// The record in words.
    words: GetRecordResponse,
}

/// Runs `amend`.
pub async fn amend(amend: Amend, output: Output) -> Result<Exit, Failure> {
    let client = ask::connect(&amend.change.connection).await?;
    let target = fetch(&client, &amend.change.record).await?;
    let name = marrowline_record::EventKind::of(&target.event).field_name();
    let now = json::record_to_json(&Record { event: Some(target.event.clone()), ..Record::default() });
    let body = now.and_then(|now| now.get(name).cloned()).ok_or_else(|| Failure::unexpected("the record has no event"))?;
    let mut value = fields::changed(name, body, &amend.set)?;
    names::resolve(&client, &mut value).await?;
    let event = json::event_from_json(&value, &mut marrowline_client::new_id).map_err(Failure::usage)?;
    let replacement = Record { event: Some(event), ..target.record.clone() };
    let amended = Event::RecordAmended(pb::RecordAmended {
        target: Some(named(&target)),
        replaces_record_id: target.latest.clone(),
        replacement: replacement.encode_to_vec(),
        reason: amend.change.reason.clone(),
    });
    send(&client, &target, amended, &amend.change, output).await
}

/// Runs `void`.
pub async fn void(void: Void, output: Output) -> Result<Exit, Failure> {
    let client = ask::connect(&void.change.connection).await?;
    let target = fetch(&client, &void.change.record).await?;
    let voided = Event::RecordVoided(pb::RecordVoided {
        target: Some(named(&target)),
        replaces_record_id: target.latest.clone(),
        reason: void.change.reason.clone(),
    });
    send(&client, &target, voided, &void.change, output).await
}

fn named(target: &Target) -> pb::AmendedRecord {
    pb::AmendedRecord { record_id: target.record.record_id.clone(), digest: target.digest.to_vec() }
}

async fn fetch(client: &Client, text: &str) -> Result<Target, Failure> {
    let id = names::uuid(text)?;
    let (verified, words) = client.record_in_words(id).await?;
    let step = words.step.clone().unwrap_or_default();
    let record = verified.record().clone();
    let digest = verified.leaf().digest.0;
    let own = || record.event.clone().ok_or_else(|| Failure::unexpected("the record has no event"));
    if step.amended_by.is_empty() {
        return Ok(Target { latest: id.to_vec(), event: own()?, digest, record, words });
    }
    let latest: [u8; 16] = step.amended_by.as_slice().try_into().map_err(Failure::unexpected)?;
    let (amendment, _) = client.record(latest).await?;
    let event = match &amendment.record().event {
        Some(Event::RecordAmended(e)) => marrowline_record::decode(&e.replacement).ok().and_then(|record| record.event),
        _ => None,
    };
    Ok(Target { latest: latest.to_vec(), event: event.map_or_else(own, Ok)?, digest, record, words })
}

async fn send(client: &Client, target: &Target, event: Event, change: &Change, output: Output) -> Result<Exit, Failure> {
    let passphrase = change.connection.passphrase_file.as_deref();
    let signing = [(0, keys::load(&change.connection.key, passphrase)?), (1, keys::load(&change.sign, passphrase)?)];
    let wanted = match &change.role {
        Some(name) => Some(words::role_named(name)?),
        None => None,
    };
    let slot = target.record.slots.iter().find(|slot| wanted.is_none_or(|role| slot.role() == role));
    let slot = slot.ok_or_else(|| Failure::usage("the record has no signature in this role"))?;
    let facility: [u8; 16] = slot.facility_id.as_slice().try_into().map_err(Failure::unexpected)?;
    let mut draft = Draft::new(client.origin(), event, write::now(client).await?)?
        .slot(slot.role(), Meaning::Approved, facility)
        .slot(Role::QualityAssurance, Meaning::Approved, facility);
    for extended in &target.record.streams {
        let id: [u8; 16] = extended.id.as_slice().try_into().map_err(Failure::unexpected)?;
        draft = draft.stream(extended.kind(), id, client.head(extended.kind(), id).await?);
    }
    show(target, &draft);
    if !change.dry_run && !change.yes && !inbox::agreed()? {
        return inbox::not_signed(&words::id(&target.record.record_id), output);
    }
    write::send(client, &draft, &signing, change.dry_run, &Made::default(), output).await
}

/// The record as it was signed, and what is said of it now: what is signed was read.
fn show(target: &Target, change: &Draft) {
    tell!("{} {}", words::id(&target.record.record_id), told::event(&target.record));
    told::lines(&target.record, &target.words.fields, &target.words.streams).iter().for_each(|line| tell!("{line}"));
    target.words.step.iter().flat_map(|step| &step.signatures).for_each(|signature| tell!("{}", record::signed(signature)));
    tell!("is to be changed: {}", told::event(change.record()));
    told::lines(change.record(), &[], &target.words.streams).iter().for_each(|line| tell!("{line}"));
}
