//! The command line: one binary for people, scripts and the server.
//!
//! stdout is data, stderr is words. Failures are JSON too with `--output json`.

mod amend;
mod args;
mod ask;
mod attach;
mod check;
mod clock;
mod demo;
mod documents;
mod exit;
mod failure;
mod fields;
mod fsck;
mod home;
#[cfg(test)]
mod hostile;
mod inbox;
mod json;
mod keys;
mod lists;
mod log_key;
mod made;
mod names;
mod pki;
mod record;
mod report;
mod serve;
mod show;
mod sign;
mod slots;
mod standing;
mod told;
mod words;
mod write;

use std::process::ExitCode;

use clap::Parser as _;
use marrowline_record::pb::StreamKind;

use crate::args::{Arguments, Command, Output};
use crate::exit::{Exit, say, tell};
use crate::failure::Failure;

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => {
            tell!("{}", words::visible(error.render().to_string().trim_end()));
            return Exit::Usage.into();
        }
        Err(help) => help.exit(),
    };
    let output = arguments.output;
    match run(arguments) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            match output {
                Output::Json => say!("{:#}", failure.to_json()),
                Output::Table => tell!("{}", words::visible(&failure.to_string())),
            }
            failure.exit.into()
        }
    }
}

fn run(arguments: Arguments) -> Result<Exit, Failure> {
    match arguments.command {
        Command::Demo(demo) => runtime()?.block_on(demo::run(demo)),
        Command::Init(init) => serve::init(&init, arguments.output).map(|()| Exit::Done),
        Command::Serve(options) => serve::run(&options).map(|()| Exit::Done),
        Command::Key(key) => keys::run(&key, arguments.output).map(|()| Exit::Done),
        Command::LogKey(key) => runtime()?.block_on(log_key::run(key.command, arguments.output)).map(|()| Exit::Done),
        Command::Fsck { data, attachments } => fsck::run(&data, attachments.as_deref(), arguments.output).map(|()| Exit::Done),
        Command::Append(append) => runtime()?.block_on(write::run(*append, arguments.output)),
        Command::Lot(lot) => runtime()?.block_on(lists::show_or_list(show::Thing::Lot, lot, arguments.output)),
        Command::Unit(unit) => runtime()?.block_on(lists::show_or_list(show::Thing::Unit, unit, arguments.output)),
        Command::Protocol(asked) => runtime()?.block_on(documents::run(StreamKind::Protocol, asked, arguments.output)),
        Command::Specification(asked) => runtime()?.block_on(documents::run(StreamKind::Specification, asked, arguments.output)),
        Command::Owed(owed) => runtime()?.block_on(lists::owed(owed, arguments.output)),
        Command::Dose(show) => runtime()?.block_on(show::run(show::Thing::Dose, show, arguments.output)),
        Command::Subject(show) => runtime()?.block_on(show::run(show::Thing::Subject, show, arguments.output)),
        Command::Donor(show) => runtime()?.block_on(show::run(show::Thing::Donor, show, arguments.output)),
        Command::Attach(attach) => runtime()?.block_on(attach::run(attach.command, arguments.output)),
        Command::Refusals(asked) => runtime()?.block_on(lists::refusals(asked, arguments.output)),
        Command::Sign(asked) => runtime()?.block_on(sign::run(asked, arguments.output)),
        Command::Inbox(inbox) => runtime()?.block_on(inbox::run(inbox.command, arguments.output)),
        Command::Amend(amend) => runtime()?.block_on(amend::amend(amend, arguments.output)),
        Command::Void(void) => runtime()?.block_on(amend::void(void, arguments.output)),
        Command::Trial(trial) => runtime()?.block_on(report::run(trial.command, arguments.output)),
        Command::Record(record) => runtime()?.block_on(record::run(record.command, arguments.output)),
        Command::Clock(clock) => runtime()?.block_on(clock::run(clock.command, arguments.output)),
        Command::Trace(trace) => runtime()?.block_on(ask::trace(trace, arguments.output)),
        Command::Check(check) => runtime()?.block_on(check::run(check, arguments.output)),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::unexpected)
}
