//! `protocol` and `specification`: which there are, and their versions.

use marrowline_client::v1::{ListVersionsRequest, VersionView};
use marrowline_record::pb::StreamKind;

use crate::args::{Documents, DocumentsCommand, Output};
use crate::ask::{connect, to_json};
use crate::exit::{Exit, say, tell};
use crate::failure::Failure;
use crate::words;

/// Runs `protocol …` or `specification …`.
pub async fn run(kind: StreamKind, documents: Documents, output: Output) -> Result<Exit, Failure> {
    let (wanted, connection) = match documents.command {
        DocumentsCommand::List { connection } => (None, connection),
        DocumentsCommand::Show { id, connection } => (Some(id), connection),
    };
    let client = connect(&connection).await?;
    let answer = client.custody().list_versions(ListVersionsRequest { kind: kind.into() }).await?.into_inner();
    client.follow(&answer.checkpoint).await?;
    let is_wanted = |view: &&VersionView| match &wanted {
        None => view.is_last,
        Some(text) => view.code == *text || words::id(&view.id) == *text,
    };
    let views: Vec<&VersionView> = answer.versions.iter().filter(is_wanted).collect();
    let name = words::lower(kind.as_str_name(), "STREAM_KIND_");
    match (&wanted, views.is_empty()) {
        (Some(text), true) => return Err(Failure::not_found(format!("no {name} `{text}`; `marrowline {name} list` lists them"))),
        (None, true) => tell!("nothing is there: no {name} was published"),
        _ => {}
    }
    match output {
        Output::Json => {
            let items = views.iter().map(|view| to_json("VersionView", *view)).collect::<Result<Vec<_>, _>>()?;
            say!("{:#}", serde_json::Value::from(items));
        }
        Output::Table => views.iter().for_each(|view| say!("{}", line(view))),
    }
    Ok(Exit::Done)
}

fn line(view: &VersionView) -> String {
    let last = if view.is_last { ", the last" } else { "" };
    let (id, record) = (words::id(&view.id), words::id(&view.record_id));
    format!("{:16} {id} version {}{last}  {}  record {record}", view.code, view.version, view.title)
}
