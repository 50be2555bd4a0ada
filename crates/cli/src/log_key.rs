//! `log-key`: a successor of the key that signs checkpoints, and following one key to the next.

use std::path::Path;

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use marrowline_merkle::VerifierKey;
use marrowline_record::log_key::possess;
use marrowline_record::pb::record::Event;

use crate::args::{Connection, LogKeyCommand, Output};
use crate::ask;
use crate::exit::{say, tell};
use crate::failure::Failure;
use crate::home::{Home, SUCCESSOR, pkcs8_line_ending, replace_public};

/// Runs `log-key …`.
pub async fn run(command: LogKeyCommand, output: Output) -> Result<(), Failure> {
    match command {
        LogKeyCommand::Prepare { data } => prepare(&data),
        LogKeyCommand::Follow { connection } => follow(&connection, output).await,
    }
}

/// Makes the successor, once, beside the present key; prints the event by which it follows. May be run while the ledger is served.
fn prepare(folder: &Path) -> Result<(), Failure> {
    let home = Home::new(folder);
    let present = VerifierKey::parse(home.read("log.vkey")?.trim()).map_err(Failure::integrity)?;
    let successor = match home.read(SUCCESSOR) {
        Ok(pem) => SigningKey::from_pkcs8_pem(&pem).map_err(|e| Failure::key(format!("{SUCCESSOR}: {e}")))?,
        Err(_) => {
            let key = marrowline_client::generate().map_err(Failure::unexpected)?;
            let pem = key.to_pkcs8_pem(pkcs8_line_ending()).map_err(Failure::unexpected)?;
            home.write_secret(SUCCESSOR, pem.as_str())?;
            key
        }
    };
    let event = serde_json::json!({"log_key_rotated": {
        "log_public_key": hex::encode(successor.verifying_key().as_bytes()),
        "possession": hex::encode(possess(&successor, present.public_key().as_bytes(), present.name())),
        "reason": "",
    }});
    say!("{}", serde_json::to_string_pretty(&event).map_err(Failure::unexpected)?);
    tell!("the successor is in {}/{SUCCESSOR}; start the server again so that it holds it,", folder.display());
    tell!("then write the reason into this event, and let a key administrator and QA append it:");
    tell!("`marrowline append --event FILE --on authority: --facility CODE --sign QA.pem`");
    Ok(())
}

/// Follows the log's key to the present one and writes it where the old one was.
async fn follow(connection: &Connection, output: Output) -> Result<(), Failure> {
    let before = ask::trust(&connection.ca, &connection.log)?.log;
    let client = ask::connect(connection).await?;
    let checkpoint = client.checkpoint().await?;
    let now = client.log_key();
    let followed = now != before;
    // The record of a rotation is itself signed with the key before it: the successor signs from the next record on.
    // A record that this reader may not see is none of a rotation.
    let last = client.record_at(checkpoint.size().saturating_sub(1)).await;
    let rotated = last.is_ok_and(|(last, _)| matches!(last.record().event, Some(Event::LogKeyRotated(_))));
    if followed {
        replace_public(&connection.log, &format!("{now}\n"))?;
    }
    match output {
        Output::Json => {
            let key = now.to_string();
            say!("{:#}", serde_json::json!({"log_key": key, "followed": followed, "rotated_by_last_record": rotated}));
        }
        Output::Table => say!("{now}"),
    }
    if rotated {
        tell!("the log's key was rotated; followed after the next record: ask again then");
    }
    if !followed {
        tell!("the log's key is still the one in {}, at {} records", connection.log.display(), checkpoint.size());
        return Ok(());
    }
    tell!("the log's key was followed to its successor; {} is written anew", connection.log.display());
    Ok(())
}
