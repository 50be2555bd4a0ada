//! `log-key`: a successor of the key that signs checkpoints, and following one key to the next.

use std::path::Path;

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use marrowline_merkle::VerifierKey;
use marrowline_record::log_key::possess;

use crate::args::{Connection, LogKeyCommand};
use crate::ask;
use crate::exit::{say, tell};
use crate::failure::Failure;
use crate::home::{Home, SUCCESSOR, pkcs8_line_ending, replace_public};

/// Runs `log-key …`.
pub async fn run(command: LogKeyCommand) -> Result<(), Failure> {
    match command {
        LogKeyCommand::Prepare { data } => prepare(&data),
        LogKeyCommand::Follow { connection } => follow(&connection).await,
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
        "reason": "say why",
    }});
    say!("{}", serde_json::to_string_pretty(&event).map_err(Failure::unexpected)?);
    tell!("the successor is in {}/{SUCCESSOR}; start the server again so that it holds it,", folder.display());
    tell!("then let a key administrator and QA append this event: `marrowline append --event FILE …`");
    Ok(())
}

/// Follows the log's key to the present one and writes it where the old one was.
async fn follow(connection: &Connection) -> Result<(), Failure> {
    let before = ask::trust(&connection.ca, &connection.log)?.log;
    let client = ask::connect(connection).await?;
    let checkpoint = client.checkpoint().await?;
    let now = client.log_key();
    if now == before {
        say!("{now}");
        tell!("the log's key is still the one in {}, at {} records", connection.log.display(), checkpoint.size());
        return Ok(());
    }
    replace_public(&connection.log, &format!("{now}\n"))?;
    say!("{now}");
    tell!("the log's key was followed to its successor; {} is written anew", connection.log.display());
    Ok(())
}
