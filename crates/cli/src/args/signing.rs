//! Words of those who sign: new records, signatures that are owed, amendments.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Connection;

/// `append`
#[derive(Args)]
pub struct Append {
    /// Print this event's fields and end.
    #[arg(long, value_name = "EVENT", num_args = 0..=1, default_missing_value = "")]
    pub template: Option<String>,
    /// The event's name, e.g. `subject_weighed`; its fields with --set.
    #[arg(required_unless_present_any = ["template", "event"], conflicts_with = "event")]
    pub name: Option<String>,
    /// A field, e.g. `weight_grams=70000` or `units[0].total_cells=50000000`; repeat for more.
    #[arg(long, value_name = "FIELD=VALUE", requires = "name")]
    pub set: Vec<String>,
    /// The event, JSON: `{"subject_weighed": {"weight_grams": 70000, "method": "MEASURED"}}`; `-` reads stdin.
    #[arg(long, value_name = "FILE")]
    pub event: Option<PathBuf>,
    /// A stream that it extends, e.g. `lot:L-2026-01`, `subject:new`, `protocol:UUID`, `authority:`; repeat for more.
    #[arg(long = "on", value_name = "KIND:ID")]
    pub on: Vec<String>,
    /// A signatory beside the connection's key, in slot order: a key file.
    #[arg(long = "sign", value_name = "KEYFILE")]
    pub sign: Vec<PathBuf>,
    /// Facility that the signatures are for: its code or UUID; repeat in slot order where they differ.
    #[arg(long)]
    pub facility: Vec<String>,
    /// When it happened, `2026-11-23 09:10 +03:00`; now otherwise.
    #[arg(long)]
    pub at: Option<String>,
    /// A record to cite, UUID; repeat for more.
    #[arg(long)]
    pub cite: Vec<String>,
    /// A remark.
    #[arg(long)]
    pub note: Option<String>,
    /// You record what somebody else did who cannot sign for it any more (a revoked key): QA signs last, or later with `sign`. Say who it
    /// was with --note.
    #[arg(long, requires = "note", conflicts_with = "propose")]
    pub for_another: bool,
    /// Only say what the ledger would say.
    #[arg(long)]
    pub dry_run: bool,
    /// Sign this slot of a decision alone, from 0, and keep it for the others to sign (`inbox`).
    #[arg(long, value_name = "SLOT", num_args = 0..=1, default_missing_value = "0", conflicts_with_all = ["sign", "dry_run"])]
    pub propose: Option<u8>,
    /// Role for slots where several would do: `PHARMACIST`, repeated in slot order, or `1=PHARMACIST` for one slot. Otherwise one that the
    /// signatory holds there; whom a proposal is to wait for must be said.
    #[arg(long)]
    pub role: Vec<String>,
    /// Which ledger, and as whom.
    #[command(flatten)]
    pub connection: OptionalConnection,
}

/// A connection that `--template` does not need.
#[derive(Args, Clone)]
pub struct OptionalConnection {
    /// Address of the server.
    #[arg(long, default_value = "https://127.0.0.1:7443", env = "MARROWLINE_SERVER")]
    pub server: String,
    /// Certificate authority of the server, PEM.
    #[arg(long, default_value = "ca.pem", env = "MARROWLINE_CA")]
    pub ca: PathBuf,
    /// The log's verification key.
    #[arg(long, default_value = "log.vkey", env = "MARROWLINE_LOG")]
    pub log: PathBuf,
    /// Your key file: the first signatory.
    #[arg(long, env = "MARROWLINE_KEY", required_unless_present = "template")]
    pub key: Option<PathBuf>,
    /// File with the passphrase; asked for otherwise.
    #[arg(long, env = "MARROWLINE_PASSPHRASE_FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// `amend`
#[derive(Args)]
pub struct Amend {
    /// A field of the event with its new value, e.g. `weight_grams=69000`; repeat for more.
    #[arg(long, value_name = "FIELD=VALUE", required = true)]
    pub set: Vec<String>,
    /// Which record, why, and who signs.
    #[command(flatten)]
    pub change: Change,
}

/// `void`
#[derive(Args)]
pub struct Void {
    /// Which record, why, and who signs.
    #[command(flatten)]
    pub change: Change,
}

/// What `amend` and `void` take. Your key signs in a role of the record, QA's second.
#[derive(Args)]
pub struct Change {
    /// UUID of the record.
    pub record: String,
    /// Why, and what it was checked against.
    #[arg(long)]
    pub reason: String,
    /// QA's key file.
    #[arg(long = "sign", value_name = "KEYFILE")]
    pub sign: PathBuf,
    /// Your role, if the record has more than one, e.g. NURSE.
    #[arg(long)]
    pub role: Option<String>,
    /// You have read it already; do not ask.
    #[arg(long)]
    pub yes: bool,
    /// Only say what the ledger would say.
    #[arg(long)]
    pub dry_run: bool,
    /// Which ledger, and as whom.
    #[command(flatten)]
    pub connection: Connection,
}

/// `inbox`
#[derive(Args)]
pub struct Inbox {
    /// What to do.
    #[command(subcommand)]
    pub command: InboxCommand,
}

/// `inbox …`
#[derive(Subcommand)]
pub enum InboxCommand {
    /// What awaits you, every field in words.
    List {
        /// Which ledger, and as whom.
        #[command(flatten)]
        connection: Connection,
    },
    /// Sign a decision. It is shown, and signed after you say yes.
    Sign {
        /// UUID of the record.
        record: String,
        /// Slot, if several are open to you.
        #[arg(long)]
        slot: Option<u8>,
        /// You have read it already; do not ask.
        #[arg(long)]
        yes: bool,
        /// Which ledger, and as whom.
        #[command(flatten)]
        connection: Connection,
    },
    /// Take a decision back that you proposed, or decline to sign it.
    Withdraw {
        /// UUID of the record.
        record: String,
        /// Why.
        #[arg(long)]
        reason: String,
        /// Which ledger, and as whom.
        #[command(flatten)]
        connection: Connection,
    },
}

/// `sign`
#[derive(Args)]
pub struct Sign {
    /// UUID of the record; `owed` lists what is missing.
    pub record: String,
    /// Slot, if several were not signed.
    #[arg(long)]
    pub slot: Option<u8>,
    /// You have read it already; do not ask.
    #[arg(long)]
    pub yes: bool,
    /// Which ledger, and as whom.
    #[command(flatten)]
    pub connection: Connection,
}
