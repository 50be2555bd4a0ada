//! The command line's words.

mod keeping;
mod signing;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::keeping::{Demo, Init, Key, KeyCommand, LogKey, LogKeyCommand, Serve};
pub use self::signing::{Amend, Append, Change, Inbox, InboxCommand, Sign, Void};

/// A ledger for cell-therapy lots, from donor to infusion.
#[derive(Parser)]
#[command(name = "marrowline", version, about, after_help = "Begin with: marrowline demo")]
pub struct Arguments {
    /// What to print.
    #[arg(long, value_enum, default_value_t = Output::Table, global = true)]
    pub output: Output,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Play a whole trial from its donors to the last follow-up on a real TRAINING ledger.
    ///
    /// RuMCeSS (NCT01849237): three donors, of whom one is ineligible; four lots, of which one fails a marker and one is found contaminated
    /// after three subjects were given it; thirty subjects in two arms with their follow-up to three months, a late infusion and the refusals on
    /// the way; at the end the report of the trial. Then the server is stopped, everything is computed again, and every receipt verified.
    /// Donors, lots, subjects and values are synthetic. With fewer subjects only the beginning is played.
    Demo(Demo),
    /// Found a ledger: keys, certificates, the first record.
    Init(Init),
    /// Serve a ledger over gRPC with TLS.
    Serve(Serve),
    /// Make and show keys.
    Key(Key),
    /// The log's own key: prepare a successor, follow one key to the next.
    LogKey(LogKey),
    /// Append any event.
    Append(Box<Append>),
    /// Show a lot, or list lots.
    Lot(ShowOrList),
    /// Show a unit, or list units.
    Unit(ShowOrList),
    /// The protocols of trials: their ids and versions.
    Protocol(Documents),
    /// The specifications of products: their ids and versions.
    Specification(Documents),
    /// Show a dose.
    Dose(Show),
    /// Show a trial subject.
    Subject(Show),
    /// Show a donor.
    Donor(Show),
    /// Show any record in words: every field, streams, signatures, flags, and what became of it.
    Record(Record),
    /// The ledger's time; move the simulated clock of a TRAINING ledger.
    Clock(Clock),
    /// Trace a dose back to its donor, or a donor, lot, unit, reagent or device forward to its subjects.
    Trace(Trace),
    /// Evidence files: put one, get one by its digest, list those that nobody names.
    Attach(Attach),
    /// Attempts that the rules refused, for auditors and QA.
    Refusals(Refusals),
    /// Decisions that await your signature, or somebody else's after yours.
    Inbox(Inbox),
    /// Add the signature that a recorded fact still owes. It is shown, and signed after you say yes.
    Sign(Sign),
    /// Replace what a fact says, with a reason and QA's signature.
    Amend(Amend),
    /// Say that a fact never happened, with a reason and QA's signature.
    Void(Void),
    /// The report of a trial.
    Trial(Trial),
    /// What is owed, by whom, by when and for which record: signatures, open deviations and holds, readings, reports.
    Owed(Owed),
    /// May this dose be released?
    Check(Check),
    /// Compute everything again from the journal of a ledger that nobody serves.
    Fsck {
        /// The ledger's folder.
        #[arg(long)]
        data: PathBuf,
        /// The bucket that evidence files are kept in, if `serve` was told one.
        #[arg(long, env = "MARROWLINE_ATTACHMENTS")]
        attachments: Option<String>,
    },
}

/// Which ledger, and as whom.
#[derive(Args, Clone)]
pub struct Connection {
    /// Address of the server.
    #[arg(long, default_value = "https://127.0.0.1:7443", env = "MARROWLINE_SERVER")]
    pub server: String,
    /// Certificate authority of the server, PEM.
    #[arg(long, default_value = "ca.pem", env = "MARROWLINE_CA")]
    pub ca: PathBuf,
    /// The log's verification key.
    #[arg(long, default_value = "log.vkey", env = "MARROWLINE_LOG")]
    pub log: PathBuf,
    /// Your key file.
    #[arg(long, env = "MARROWLINE_KEY")]
    pub key: PathBuf,
    /// File with the passphrase; asked for otherwise.
    #[arg(long, env = "MARROWLINE_PASSPHRASE_FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// `lot show`, `unit show`, …
#[derive(Args)]
pub struct Show {
    /// What to do.
    #[command(subcommand)]
    pub command: ShowCommand,
}

/// `show`
#[derive(Subcommand)]
pub enum ShowCommand {
    /// Show one.
    Show {
        /// Code or UUID.
        id: String,
        /// Which ledger, and as whom.
        #[command(flatten)]
        connection: Connection,
    },
}

/// `lot show`, `lot list`, …
#[derive(Args)]
pub struct ShowOrList {
    /// What to do.
    #[command(subcommand)]
    pub command: ShowOrListCommand,
}

/// `show` or `list`
#[derive(Subcommand)]
pub enum ShowOrListCommand {
    /// Show one.
    Show {
        /// Code or UUID.
        id: String,
        /// Which ledger, and as whom.
        #[command(flatten)]
        connection: Connection,
    },
    /// List all that you may see.
    List {
        /// Only those under a hold.
        #[arg(long)]
        held: bool,
        /// Which ledger, and as whom.
        #[command(flatten)]
        connection: Connection,
    },
}

/// `protocol …`, `specification …`
#[derive(Args)]
pub struct Documents {
    /// What to do.
    #[command(subcommand)]
    pub command: DocumentsCommand,
}

/// `list` or `show`
#[derive(Subcommand)]
pub enum DocumentsCommand {
    /// The last version of each, with the id that records name it by.
    List {
        /// Which ledger, and as whom.
        #[command(flatten)]
        connection: Connection,
    },
    /// Every version of one, with the record that published it.
    Show {
        /// Registration number or product code, or UUID.
        id: String,
        /// Which ledger, and as whom.
        #[command(flatten)]
        connection: Connection,
    },
}

/// `owed`
#[derive(Args)]
pub struct Owed {
    /// Only what this role owes, e.g. QUALITY_ASSURANCE.
    #[arg(long)]
    pub role: Option<String>,
    /// Which ledger, and as whom.
    #[command(flatten)]
    pub connection: Connection,
}

/// `trace`
#[derive(Args)]
pub struct Trace {
    /// What to do.
    #[command(subcommand)]
    pub command: TraceCommand,
}

/// `trace …`
#[derive(Subcommand)]
pub enum TraceCommand {
    /// From a donor, lot, unit or material (`material:CODE`) to every unit, dose and subject.
    Forward {
        /// `donor:CODE`, `lot:CODE` or `unit:CODE`; `material:CODE` for a supplier's lot code of a reagent or the code on a device. UUIDs do as
        /// well; `lot show` lists what a lot was made with.
        from: String,
        /// Which ledger, and as whom.
        #[command(flatten)]
        connection: Connection,
    },
    /// From a dose back to its donor.
    Back {
        /// Code or UUID of the dose.
        dose: String,
        /// Which ledger, and as whom.
        #[command(flatten)]
        connection: Connection,
    },
}

/// `record`
#[derive(Args)]
pub struct Record {
    /// What to do.
    #[command(subcommand)]
    pub command: RecordCommand,
}

/// `record show`
#[derive(Subcommand)]
pub enum RecordCommand {
    /// Show one.
    Show {
        /// UUID of the record.
        id: String,
        /// Write its receipt (a C2SP tlog-proof) to this file, which must not exist: with the leaf and `log.vkey` anyone can check it.
        #[arg(long, value_name = "FILE")]
        receipt: Option<PathBuf>,
        /// Write its leaf, the very bytes, to this file, which must not exist.
        #[arg(long, value_name = "FILE")]
        leaf: Option<PathBuf>,
        /// Which ledger, and as whom.
        #[command(flatten)]
        connection: Connection,
    },
}

/// `clock`
#[derive(Args)]
pub struct Clock {
    /// What to do.
    #[command(subcommand)]
    pub command: ClockCommand,
}

/// `clock …`
#[derive(Subcommand)]
pub enum ClockCommand {
    /// Show the ledger's time.
    Show {
        /// Which ledger, and as whom.
        #[command(flatten)]
        connection: Connection,
    },
    /// Move the simulated clock of a TRAINING ledger forward; a key administrator may.
    Advance {
        /// The new time, `2026-11-23 09:10 +03:00`.
        #[arg(long, required_unless_present = "by", conflicts_with = "by")]
        to: Option<String>,
        /// By how much, e.g. `90s`, `15m`, `36h`, `14d`.
        #[arg(long)]
        by: Option<String>,
        /// Which ledger, and as whom.
        #[command(flatten)]
        connection: Connection,
    },
}

/// `check`
#[derive(Args)]
pub struct Check {
    /// Code or UUID of the dose.
    pub dose: String,
    /// Which ledger, and as whom.
    #[command(flatten)]
    pub connection: Connection,
}

/// `trial`
#[derive(Args)]
pub struct Trial {
    /// What to do.
    #[command(subcommand)]
    pub command: TrialCommand,
}

/// `trial …`
#[derive(Subcommand)]
pub enum TrialCommand {
    /// Subjects, doses, deviations, endpoints and survival by arm, from the ledger as it stands.
    Report {
        /// Registration number, e.g. NCT01849237.
        registration: String,
        /// How it is written; a table, or JSON with `--output json`, if nothing is said.
        #[arg(long, value_enum)]
        format: Option<ReportForm>,
        /// Write it to this file, which must not exist, instead of the terminal.
        #[arg(long)]
        out: Option<PathBuf>,
        /// Which ledger, and as whom.
        #[command(flatten)]
        connection: Connection,
    },
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ReportForm {
    /// Text.
    Table,
    /// JSON.
    Json,
    /// CSV.
    Csv,
    /// The survival curves as a drawing.
    Svg,
}

/// `refusals`
#[derive(Args)]
pub struct Refusals {
    /// Only attempts that this rule refused, e.g. SIGNER_WITHOUT_AUTHORITY.
    #[arg(long)]
    pub code: Option<String>,
    /// Which ledger, and as whom.
    #[command(flatten)]
    pub connection: Connection,
}

/// `attach`
#[derive(Args)]
pub struct Attach {
    /// What to do.
    #[command(subcommand)]
    pub command: AttachCommand,
}

/// `attach …`
#[derive(Subcommand)]
pub enum AttachCommand {
    /// Keep a file; prints the digest that records name it by.
    Put {
        /// The file, at most 64 MiB.
        file: PathBuf,
        /// Which ledger, and as whom.
        #[command(flatten)]
        connection: Connection,
    },
    /// Fetch a file.
    Get {
        /// SHA-256 of its bytes, hexadecimal.
        digest: String,
        /// Write it here; the file must not exist.
        #[arg(long)]
        out: PathBuf,
        /// Which ledger, and as whom.
        #[command(flatten)]
        connection: Connection,
    },
    /// Files that no record names, and digests that records name whose files are not there.
    Orphans {
        /// Which ledger, and as whom.
        #[command(flatten)]
        connection: Connection,
    },
}
