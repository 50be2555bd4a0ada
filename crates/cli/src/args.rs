//! The command line's words.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// Play one lot from donor to infusion on a real TRAINING ledger.
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
    /// Show a dose.
    Dose(Show),
    /// Show a trial subject.
    Subject(Show),
    /// Show a donor.
    Donor(Show),
    /// Trace a dose back to its donor, or a donor, lot or unit forward to its subjects.
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
    /// What is owed: signatures, open deviations and holds, sterility readings.
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
    #[arg(long)]
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
        #[arg(long)]
        passphrase_file: Option<PathBuf>,
    },
    /// Show a key's public half and its id.
    Show {
        /// The key file.
        file: PathBuf,
        /// File with the passphrase; asked for otherwise.
        #[arg(long)]
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
    /// Only say what the ledger would say.
    #[arg(long)]
    pub dry_run: bool,
    /// Sign this slot of a decision alone, from 0, and keep it for the others to sign (`inbox`).
    #[arg(long, value_name = "SLOT", num_args = 0..=1, default_missing_value = "0", conflicts_with_all = ["sign", "dry_run"])]
    pub propose: Option<u8>,
    /// Role for slots where several would do, e.g. PHARMACIST; repeat in slot order. Otherwise one that the signatory holds there.
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

/// `trace back`
#[derive(Subcommand)]
pub enum TraceCommand {
    /// From a donor, lot or unit to every unit, dose and subject.
    Forward {
        /// `donor:CODE`, `lot:CODE` or `unit:CODE`; UUIDs do as well. `material:UUID` for a reagent lot or a device.
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
        /// How it is written.
        #[arg(long, value_enum, default_value_t = ReportForm::Table)]
        format: ReportForm,
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
