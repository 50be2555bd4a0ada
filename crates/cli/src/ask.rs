//! `trace back`; and how a command connects.

use std::fs;

use marrowline_client::v1::TraceBackRequest;
use marrowline_client::{Client, Trust};
use marrowline_merkle::{VerifierKey, VerifierKeyError};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};

use crate::args::{Connection, Output, Trace, TraceCommand};
use crate::exit::Exit;
use crate::exit::say;
use crate::failure::Failure;
use crate::show::step_line;
use crate::{json, keys, lists};

/// Validity of the token that a command makes for itself, s.
pub const TOKEN_SECONDS: i64 = 600;

/// Connects as the person whose key it is.
pub async fn connect(connection: &Connection) -> Result<Client, Failure> {
    let key = keys::load(&connection.key, connection.passphrase_file.as_deref())?;
    let trust = trust(&connection.ca, &connection.log)?;
    Ok(Client::connect(server(&connection.server)?, trust, &key, TOKEN_SECONDS).await?)
}

/// The address of a server: a word that is none is a wrong word, not a server that gives no answer.
pub fn server(text: &str) -> Result<&str, Failure> {
    let uri = text.parse::<tonic::codegen::http::Uri>().ok();
    let is_one = uri.is_some_and(|uri| uri.scheme_str() == Some("https") && uri.host().is_some_and(|host| !host.is_empty()));
    is_one.then_some(text).ok_or_else(|| Failure::usage(format!("--server: found `{text}`; allowed https://HOST:PORT")))
}

/// What is trusted: files that were handed over by other means than the server.
pub fn trust(ca: &std::path::Path, log: &std::path::Path) -> Result<Trust, Failure> {
    let ca_pem = fs::read_to_string(ca).map_err(|e| Failure::file(ca, &e))?;
    if !has_certificate(&ca_pem) {
        return Err(Failure::usage(format!("{}: holds no certificate; give the ca.pem that was handed out", ca.display())));
    }
    let text = fs::read_to_string(log).map_err(|e| Failure::file(log, &e))?;
    Ok(Trust { log: log_key(&text).map_err(|e| Failure::key(format!("{}: {e}", log.display())))?, ca_pem })
}

/// The log's key as its file says it.
pub(crate) fn log_key(text: &str) -> Result<VerifierKey, VerifierKeyError> {
    VerifierKey::parse(text.trim())
}

/// Whether there is a certificate in a PEM text.
fn has_certificate(pem: &str) -> bool {
    let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
    let Some((_, rest)) = pem.split_once(begin) else { return false };
    let Some((body, _)) = rest.split_once(end) else { return false };
    ed25519_dalek::pkcs8::spki::der::pem::decode_vec(format!("{begin}{body}{end}\n").as_bytes())
        .is_ok_and(|(_, der)| der.len() > 64)
}

/// A message of the service as JSON.
pub fn to_json(name: &str, message: &impl Message) -> Result<serde_json::Value, Failure> {
    let pool = DescriptorPool::decode(marrowline_api::FILE_DESCRIPTOR_SET).map_err(Failure::unexpected)?;
    let descriptor =
        pool.get_message_by_name(&format!("marrowline.v1.{name}")).ok_or_else(|| Failure::unexpected("no descriptor"))?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).map_err(Failure::unexpected)?;
    Ok(json::message_to_json(&dynamic))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_from_a_word() {
        assert!(server("https://127.0.0.1:7443").is_ok() && server("https://ledger.example").is_ok());
        for wrong in ["", "bogus", "127.0.0.1:7443", "http://127.0.0.1:7443", "https://", "https:// x", "ftp://h:1"] {
            assert!(server(wrong).is_err(), "{wrong}");
        }
        assert!(
            !has_certificate("") && !has_certificate("-----BEGIN CERTIFICATE-----\nnot base64 !\n-----END CERTIFICATE-----\n")
        );
    }
}
