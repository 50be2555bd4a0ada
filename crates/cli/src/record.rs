//! `record show`: any record in words, so that a release, a review or a deviation can be read and not only found.

use marrowline_client::v1::{SignatureView, StepView};
use marrowline_record::instant;
use serde_json::json as object;

use crate::args::{Output, RecordCommand};
use crate::ask::{connect, to_json};
use crate::exit::{Exit, say, tell};
use crate::failure::Failure;
use crate::names::Facilities;
use crate::{json, names, report, told, words};

/// Runs `record …`.
pub async fn run(command: RecordCommand, output: Output) -> Result<Exit, Failure> {
    let RecordCommand::Show { id, receipt, leaf, connection } = command;
    let client = connect(&connection).await?;
    let (verified, answer) = client.record_in_words(names::uuid(&id)?).await?;
    let proof = answer.receipt.clone().unwrap_or_default();
    for (path, bytes) in [(receipt, proof.tlog_proof.as_bytes()), (leaf, &proof.leaf[..])] {
        if let Some(path) = path {
            report::write(&path, bytes)?;
            tell!("written to {}", path.display());
        }
    }
    let step = answer.step.clone().unwrap_or_default();
    let record = verified.record();
    if output == Output::Json {
        let fields = answer.fields.iter().map(|field| to_json("FieldInWords", field)).collect::<Result<Vec<_>, _>>()?;
        let said = object!({
            "step": to_json("StepView", &step)?, "record": json::record_to_json(record), "fields": fields, "streams": answer.streams,
        });
        say!("{said:#}");
        return Ok(Exit::Done);
    }
    say!("{} {}", words::id(&record.record_id), told::event(record));
    for line in told::lines(record, &answer.fields, &answer.streams) {
        say!("{line}");
    }
    for signature in &step.signatures {
        say!("{}", signed(signature));
    }
    for signature in &answer.signed_later {
        say!("  signed later: {}", signed(signature).trim_start());
    }
    let facilities = Facilities::of(&client).await?;
    let has_signed = |slot: u8| verified.leaf().signings.iter().any(|signing| signing.slot == slot);
    let open = (0u8..).zip(&record.slots).filter(|(number, _)| !has_signed(*number)).map(|(_, slot)| slot);
    if let Some(missing) = told::awaits(open, &facilities) {
        say!("  not signed when it was recorded: {}", missing.trim_start_matches("awaits: "));
    }
    for line in standing(&step) {
        say!("{line}");
    }
    Ok(Exit::Done)
}

/// Who signed, in which role, with which meaning, when.
pub fn signed(signature: &SignatureView) -> String {
    let at = signature.signed_at.map(|at| instant::format(at.unix_ms, at.offset_minutes)).unwrap_or_default();
    let (role, meaning) = (words::role(signature.role()), words::meaning(signature.meaning()));
    format!("  signed by {} as {role}, {meaning}, {at}", signature.printed_name)
}

/// What became of it.
fn standing(step: &StepView) -> Vec<String> {
    let mut lines = vec![format!("  leaf {}, recorded {}, receipt verified", step.index, words::moment(step.recorded_at_ms))];
    lines.extend(step.flags.iter().map(|flag| format!("  FLAGGED {flag}")));
    match (step.is_void, step.amended_by.as_slice()) {
        (_, []) => {}
        (true, by) => lines.push(format!("  VOID by record {}: it no longer counts", words::id(by))),
        (false, by) => lines.push(format!("  AMENDED by record {}: that one counts", words::id(by))),
    }
    lines
}
