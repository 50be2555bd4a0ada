//! `trial report`: what the ledger says of a trial, on the terminal or in a file.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use marrowline_client::v1::{GetTrialReportRequest, ReportFormat};

use crate::args::{Output, ReportForm, TrialCommand};
use crate::ask::connect;
use crate::exit::{Exit, say};
use crate::failure::Failure;

/// Runs `trial …`.
pub async fn run(command: TrialCommand, output: Output) -> Result<Exit, Failure> {
    let TrialCommand::Report { registration, format, out, connection } = command;
    let client = connect(&connection).await?;
    let format = match (format, output) {
        (Some(ReportForm::Table), _) | (None, Output::Table) => ReportFormat::Table,
        (Some(ReportForm::Json), _) | (None, Output::Json) => ReportFormat::Json,
        (Some(ReportForm::Csv), _) => ReportFormat::Csv,
        (Some(ReportForm::Svg), _) => ReportFormat::Svg,
    };
    let request = GetTrialReportRequest { registration, format: format.into() };
    let answer = client.custody().get_trial_report(request).await?.into_inner();
    client.follow(&answer.checkpoint).await?;
    match out {
        Some(path) => {
            write(&path, answer.content.as_bytes())?;
            wrote(&path, output);
        }
        None => say!("{}", answer.content.trim_end()),
    }
    Ok(Exit::Done)
}

/// Programs are told which file it is; people have named it themselves.
pub fn wrote(path: &Path, output: Output) {
    if output == Output::Json {
        say!("{:#}", serde_json::json!({"written": path.display().to_string()}));
    }
}

/// What is fetched is never written over another file.
pub fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::file(path, &e);
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)
}
