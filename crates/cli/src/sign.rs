//! `sign`: the signature that a recorded fact still owes. The record is shown first; what is signed is its digest, from a verified receipt.

use marrowline_client::Draft;
use marrowline_record::pb::SignatureAdded;
use marrowline_record::pb::record::Event;

use crate::args::{Output, Sign};
use crate::exit::{Exit, tell};
use crate::failure::Failure;
use crate::made::Made;
use crate::names::Facilities;
use crate::{ask, inbox, keys, names, record, told, words, write};

/// Runs `sign`.
pub async fn run(asked: Sign, output: Output) -> Result<Exit, Failure> {
    let client = ask::connect(&asked.connection).await?;
    let (verified, answer) = client.record_in_words(names::uuid(&asked.record)?).await?;
    let record = verified.record();
    let signed = |slot: u8| verified.leaf().signings.iter().any(|signing| signing.slot == slot);
    let owed: Vec<u8> = (0u8..).zip(&record.slots).map(|(number, _)| number).filter(|slot| !signed(*slot)).collect();
    let slot = match (asked.slot, owed.as_slice()) {
        (Some(slot), _) => slot,
        (None, [one]) => *one,
        (None, []) => return Err(Failure::too_late("every slot of this record was signed when it was recorded")),
        (None, several) => return Err(Failure::usage(format!("several slots were not signed, {several:?}: give --slot"))),
    };
    let wanted = record.slots.get(usize::from(slot)).ok_or_else(|| Failure::usage(format!("no slot {slot}")))?;
    tell!("{} {}", words::id(&record.record_id), told::event(record));
    told::lines(record, &answer.fields, &answer.streams).iter().for_each(|line| tell!("{line}"));
    answer.step.iter().flat_map(|step| &step.signatures).for_each(|signature| tell!("{}", record::signed(signature)));
    let facilities = Facilities::of(&client).await?;
    tell!("  you sign as {} at {}", words::role(wanted.role()), facilities.code(&wanted.facility_id));
    if !asked.yes && !inbox::agreed()? {
        return inbox::not_signed(&words::id(&record.record_id), output);
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
    write::send(&client, &draft, &[(0, key)], false, &Made::default(), output).await
}
