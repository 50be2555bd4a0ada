//! Chores: `cargo xtask tidy` keeps the house in order, `cargo xtask pages` writes docs/rules, `cargo xtask mutants` switches each rule off
//! and expects a test to fail,
//! `cargo xtask bench` measures, `cargo xtask powercut` takes the disk away under a server.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod history;
mod mutants;
mod pages;
mod tidy;
mod tree;

#[derive(Parser)]
#[command(about = "Chores of the Marrowline workspace")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Dependency directions, file and function lengths, forbidden words, rule codes against docs and tests.
    Tidy,
    /// Writes docs/rules from the codes, their histories, and the sources that the pages name.
    Pages,
    /// Switches each rule off in turn; a test must fail each time.
    Mutants {
        /// Only the rule with this code.
        #[arg(long)]
        only: Option<String>,
    },
    /// Measures the released server beside what the machine can do at best.
    Bench(bench::Options),
    /// Cuts the power under the released server, on a loop-mounted file system.
    Powercut(bench::power::Options),
    /// The benchmark's own echo server.
    #[command(hide = true)]
    Echo(bench::Echo),
}

/// What went wrong before anything could be checked.
#[derive(Debug, thiserror::Error)]
enum ChoreError {
    /// A file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A program could not be run, or failed.
    #[error("{program}: {what}")]
    Program {
        /// Which.
        program: &'static str,
        /// What.
        what: String,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Tidy => tidy::run(),
        Chore::Pages => pages::run(false),
        Chore::Mutants { only } => mutants::run(only.as_deref()),
        Chore::Bench(options) => bench::run(&options).map(|()| Vec::new()),
        Chore::Powercut(options) => bench::power::run(&options).map(|()| Vec::new()),
        Chore::Echo(options) => bench::echo(&options).map(|()| Vec::new()),
    };
    match result {
        Ok(complaints) if complaints.is_empty() => ExitCode::SUCCESS,
        Ok(complaints) => {
            for complaint in &complaints {
                eprintln!("{complaint}");
            }
            eprintln!("{} complaints", complaints.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
