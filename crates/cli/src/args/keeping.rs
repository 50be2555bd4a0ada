//! Words of those who keep a ledger: play, found, serve, keys.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Connection;

/// `demo`
#[derive(Args)]
pub struct Demo {
    /// Keep everything in this folder; it must not exist or be empty.
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// End when the story has ended; status 0 only if all of it held.
    #[arg(long)]
    pub exit: bool,
    /// How many subjects of the trial are played.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(3..=30))]
    pub subjects: u32,
}

/// `init`
#[derive(Args)]
pub struct Init {
    /// The ledger's folder.
    #[arg(long)]
    pub data: PathBuf,
    /// The founding, JSON; `--template` prints one.
    #[arg(long, required_unless_present = "template")]
    pub founding: Option<PathBuf>,
    /// Print a founding to fill in.
    #[arg(long)]
    pub template: bool,
    /// File with the passphrase of the founders' keys; asked for otherwise.
    #[arg(long, env = "MARROWLINE_PASSPHRASE_FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// `serve`
#[derive(Args)]
pub struct Serve {
    /// The ledger's folder.
    #[arg(long)]
    pub data: PathBuf,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:7443")]
    pub listen: String,
    /// Keep evidence files in a bucket, `s3://bucket/prefix`, instead of the ledger's folder; endpoint and credentials come from the AWS_
    /// variables of the environment.
    #[arg(long, env = "MARROWLINE_ATTACHMENTS")]
    pub attachments: Option<String>,
}

/// `key`
#[derive(Args)]
pub struct Key {
    /// What to do.
    #[command(subcommand)]
    pub command: KeyCommand,
}

/// `key …`
#[derive(Subcommand)]
pub enum KeyCommand {
    /// Make a key, encrypted with a passphrase.
    New {
        /// File to write; must not exist.
        #[arg(long)]
        out: PathBuf,
        /// File with the passphrase; asked for otherwise.
        #[arg(long, env = "MARROWLINE_PASSPHRASE_FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Show a key's public half and its id.
    Show {
        /// The key file.
        file: PathBuf,
        /// File with the passphrase; asked for otherwise.
        #[arg(long, env = "MARROWLINE_PASSPHRASE_FILE")]
        passphrase_file: Option<PathBuf>,
    },
}

/// `log-key`
#[derive(Args)]
pub struct LogKey {
    /// What to do.
    #[command(subcommand)]
    pub command: LogKeyCommand,
}

/// `log-key …`
#[derive(Subcommand)]
pub enum LogKeyCommand {
    /// Make a successor in the ledger's folder; prints the event by which it follows.
    Prepare {
        /// The ledger's folder.
        #[arg(long)]
        data: PathBuf,
    },
    /// Follow the key in the `--log` file to the present one, and write that there.
    Follow {
        /// Which ledger, and as whom.
        #[command(flatten)]
        connection: Connection,
    },
}
