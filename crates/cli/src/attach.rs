//! `attach`: evidence files, by the digest that records name them by.

use std::fs;

use marrowline_client::v1::ListOrphansRequest;

use crate::args::AttachCommand;
use crate::ask::connect;
use crate::exit::{Exit, say};
use crate::failure::Failure;
use crate::report;

/// Runs `attach …`.
pub async fn run(command: AttachCommand) -> Result<Exit, Failure> {
    match command {
        AttachCommand::Put { file, connection } => {
            let bytes = fs::read(&file).map_err(|e| Failure::file(&file, &e))?;
            let client = connect(&connection).await?;
            let (digest, _) = client.put_attachment(bytes).await?;
            say!("{}", hex::encode(digest));
        }
        AttachCommand::Get { digest, out, connection } => {
            let wanted: Option<[u8; 32]> = hex::decode(&digest).ok().and_then(|bytes| bytes.try_into().ok());
            let wanted = wanted.ok_or_else(|| Failure::usage(format!("`{digest}` is no SHA-256 digest in hexadecimal")))?;
            let bytes = connect(&connection).await?.attachment(wanted).await?;
            report::write(&out, &bytes)?;
        }
        AttachCommand::Orphans { connection } => {
            let client = connect(&connection).await?;
            let mut page_token = String::new();
            loop {
                let page = client.orphans(ListOrphansRequest { page_size: 0, page_token }).await?;
                for digest in &page.unnamed {
                    say!("unnamed {}", hex::encode(digest));
                }
                for digest in &page.missing {
                    say!("missing {}", hex::encode(digest));
                }
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
        }
    }
    Ok(Exit::Done)
}
