//! `attach`: evidence files, by the digest that records name them by.

use std::fs;

use marrowline_client::Client;
use marrowline_client::v1::ListOrphansRequest;
use serde_json::json;

use crate::args::{AttachCommand, Output};
use crate::ask::connect;
use crate::exit::{Exit, say, tell};
use crate::failure::Failure;
use crate::report;

/// Runs `attach …`.
pub async fn run(command: AttachCommand, output: Output) -> Result<Exit, Failure> {
    match command {
        AttachCommand::Put { file, connection } => {
            let bytes = fs::read(&file).map_err(|e| Failure::file(&file, &e))?;
            let client = connect(&connection).await?;
            let (digest, was_known) = client.put_attachment(bytes).await?;
            let digest = hex::encode(digest);
            match output {
                Output::Json => say!("{:#}", json!({"digest": digest, "was_known": was_known})),
                Output::Table => say!("{digest}"),
            }
        }
        AttachCommand::Get { digest, out, connection } => {
            let wanted: Option<[u8; 32]> = hex::decode(&digest).ok().and_then(|bytes| bytes.try_into().ok());
            let wanted = wanted.ok_or_else(|| Failure::usage(format!("`{digest}` is no SHA-256 digest in hexadecimal")))?;
            let bytes = connect(&connection).await?.attachment(wanted).await?;
            report::write(&out, &bytes)?;
            report::wrote(&out, output);
        }
        AttachCommand::Orphans { connection } => orphans(&connect(&connection).await?, output).await?,
    }
    Ok(Exit::Done)
}

async fn orphans(client: &Client, output: Output) -> Result<(), Failure> {
    let (mut unnamed, mut missing, mut page_token) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = client.orphans(ListOrphansRequest { page_size: 0, page_token }).await?;
        unnamed.extend(page.unnamed.iter().map(hex::encode));
        missing.extend(page.missing.iter().map(hex::encode));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if unnamed.is_empty() && missing.is_empty() {
        tell!("nothing is unnamed or missing");
    }
    match output {
        Output::Json => say!("{:#}", json!({"unnamed": unnamed, "missing": missing})),
        Output::Table => {
            unnamed.iter().for_each(|digest| say!("unnamed {digest}"));
            missing.iter().for_each(|digest| say!("missing {digest}"));
        }
    }
    Ok(())
}
