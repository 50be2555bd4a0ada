//! `init` and `serve`.

use std::fs;
use std::net::ToSocketAddrs as _;
use std::path::PathBuf;

use indicatif::ProgressBar;
use marrowline_record::pb;
use marrowline_record::pb::record::Event;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::args::{Init, Output, Serve};
use crate::exit::{say, tell};
use crate::failure::Failure;
use crate::home::{Founder, Founding, Home};
use crate::{json, keys};

/// A founding as it is written down.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FoundingFile {
    /// Host names and addresses of the server's certificate.
    pub(crate) hosts: Vec<String>,
    /// Key files of the two who sign: a key administrator, then QA.
    signers: Vec<PathBuf>,
    /// The event's fields, without log key and rule set.
    ledger_founded: serde_json::Value,
}

pub(crate) const TEMPLATE: &str = r#"{
  "hosts": ["localhost", "127.0.0.1"],
  "signers": ["people/key.pem", "people/qa.pem"],
  "ledger_founded": {
    "name": "lab",
    "training": false,
    "first_facility": {"facility_id": "new", "code": "LAB", "name": "Cell laboratory", "racks": ["LN2-A"]},
    "grants": [
      {
        "person_id": "new", "printed_name": "", "public_key": "",
        "roles": [{"role": "KEY_ADMINISTRATOR", "facility_id": "FACILITY", "valid_from": "2026-01-01 00:00:00 +00:00", "valid_until": "2028-01-01 00:00:00 +00:00"}]
      },
      {
        "person_id": "new", "printed_name": "", "public_key": "",
        "roles": [{"role": "QUALITY_ASSURANCE", "facility_id": "FACILITY", "valid_from": "2026-01-01 00:00:00 +00:00", "valid_until": "2028-01-01 00:00:00 +00:00"}]
      }
    ]
  }
}"#;

/// `init`: founds a ledger from a file. `FACILITY` in the file stands for the first facility's id.
pub fn init(options: &Init, output: Output) -> Result<(), Failure> {
    let Some(path) = &options.founding else {
        say!("{TEMPLATE}");
        tell!("fill in: printed_name as people sign, public_key as `marrowline key show` prints it, hosts, dates");
        return Ok(());
    };
    let text = fs::read_to_string(path).map_err(|e| Failure::file(path, &e))?;
    let (file, event) = read(&text).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?;
    if let Some(grant) = event.grants.iter().find(|grant| grant.printed_name.trim().is_empty() || grant.public_key.len() != 32) {
        let name = &grant.printed_name;
        let said = format!("a grant with printed_name `{name}` and a public_key of {} bytes", grant.public_key.len());
        return Err(Failure::usage(format!("{}: found {said}; allowed a name and the 64 digits of `key show`", path.display())));
    }
    let signing = keys::load_all(&file.signers, options.passphrase_file.as_deref())?;
    let founding = Founding {
        name: event.name.clone(),
        rule_set: if event.rule_set == 0 { marrowline_rules::NEWEST_RULE_SET } else { event.rule_set },
        training: event.training,
        facility: event.first_facility.clone().unwrap_or_default(),
        founders: founders(signing, &event)?,
        at: marrowline_client::now(0),
        hosts: file.hosts,
    };
    let key = Home::new(&options.data).found(&founding)?;
    match output {
        Output::Json => say!("{:#}", serde_json::json!({"log_key": key.to_string(), "folder": options.data})),
        Output::Table => say!("{key}"),
    }
    tell!("founded in {}; hand ca.pem and log.vkey to everyone", options.data.display());
    Ok(())
}

/// A founding as it is written down, and its event.
pub(crate) fn read(text: &str) -> Result<(FoundingFile, pb::LedgerFounded), String> {
    let facility_id = uuid::Uuid::from_bytes(marrowline_client::new_id());
    let text = text.replace("\"FACILITY\"", &format!("\"{facility_id}\""));
    let mut file: FoundingFile = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    if let Some(facility) = file.ledger_founded.pointer_mut("/first_facility/facility_id") {
        *facility = serde_json::Value::from(facility_id.to_string());
    }
    let event = serde_json::json!({"ledger_founded": file.ledger_founded});
    match json::event_from_json(&event, &mut marrowline_client::new_id).map_err(|e| e.to_string())? {
        Event::LedgerFounded(event) => Ok((file, event)),
        _ => Err("not a founding".to_owned()),
    }
}

/// The signers' keys beside their grants; people who do not sign keep their grants too.
fn founders(signing: Vec<ed25519_dalek::SigningKey>, event: &pb::LedgerFounded) -> Result<Vec<Founder>, Failure> {
    let mut founders = Vec::with_capacity(event.grants.len());
    for key in signing {
        let public = key.verifying_key();
        let grant = event.grants.iter().find(|g| g.public_key == public.as_bytes());
        let grant =
            grant.ok_or_else(|| Failure::usage(format!("no grant has the public key {}", hex::encode(public.as_bytes()))))?;
        founders.push(Founder { key, grant: grant.clone() });
    }
    if founders.len() != event.grants.len() {
        return Err(Failure::usage(
            "give a key file in `signers` for each grant; others are enrolled with KeyGranted afterwards",
        ));
    }
    Ok(founders)
}

/// What is logged: what `RUST_LOG` asks for, but never more than information of the libraries that would write keys and frames out: these
/// hold subjects' codes and tokens.
fn log_filter() -> EnvFilter {
    let asked = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    ["sled=info", "h2=info"].iter().filter_map(|directive| directive.parse().ok()).fold(asked, EnvFilter::add_directive)
}

/// `serve`.
pub fn run(options: &Serve) -> Result<(), Failure> {
    tracing_subscriber::fmt().with_env_filter(log_filter()).with_writer(std::io::stderr).init();
    let home = Home::new(&options.data);
    options.listen.to_socket_addrs().map_err(|e| {
        Failure::usage(format!("--listen: found `{}`; allowed ADDRESS:PORT, e.g. 127.0.0.1:7443 ({e})", options.listen))
    })?;
    // A bucket that is written wrongly is told before anything is opened.
    let bucket = options.attachments.as_deref().map(|url| home.attachments(Some(url))).transpose()?;
    let bar = ProgressBar::hidden();
    let (ledger, report) = home.open(&mut |done, todo| {
        bar.set_length(todo);
        bar.set_position(done);
    })?;
    if let Some(reason) = &report.rebuilt {
        tracing::warn!(reason, "the projection was set aside and rebuilt from the journal");
    }
    for torn in report.torn.iter().chain(&report.torn_notes) {
        tracing::warn!(kept = %torn.kept.display(), bytes = torn.bytes, "a journal's torn end was cut off; it was never acknowledged");
    }
    for healed in &report.healed {
        tracing::warn!(healed, "put right");
    }
    let tls = home.tls()?;
    let attachments = bucket.map_or_else(|| home.attachments(None), Ok)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::unexpected)?;
    let served = ledger.clone();
    let result = runtime.block_on(async {
        let listener = TcpListener::bind(&options.listen).await.map_err(Failure::unexpected)?;
        let address = listener.local_addr().map_err(Failure::unexpected)?;
        // A program that started the server on port 0 reads the address here.
        say!("listening on https://{address}");
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::unexpected)?;
        let shutdown = async move {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        };
        marrowline_server::run(served, listener, tls, marrowline_server::Limits::default(), attachments, shutdown)
            .await
            .map_err(Failure::unexpected)
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    ledger.shutdown();
    result
}
