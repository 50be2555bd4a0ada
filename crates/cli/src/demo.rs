//! `demo`: a trial from its donors to the last follow-up on a real TRAINING ledger, through the client and never around it.

mod cast;
mod documents;
mod plot;
mod stage;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ed25519_dalek::SigningKey;
use marrowline_client::Client;
use marrowline_ledger::Ledger;
use marrowline_merkle::VerifierKey;
use marrowline_proof::Receipt;
use marrowline_record::pb::{self, Role};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::args::{Demo, Output};
use crate::exit::Exit;
use crate::exit::say;
use crate::failure::Failure;
use crate::fsck;
use crate::home::{Founder, Founding, Home};

use cast::{CAST, FOUNDERS};
use stage::{OFFSET_MINUTES, START_MS, Stage};

/// Passphrase of every key of the demo. These keys sign nothing but a TRAINING ledger.
const PASSPHRASE: &str = "training only";

/// Why the demo ended early.
pub(crate) type DemoError = Failure;

/// A key with its person.
pub struct Player {
    /// The person.
    pub person: &'static cast::Person,
    /// UUID of the person.
    pub person_id: [u8; 16],
    /// The key.
    pub key: SigningKey,
}

/// A server that runs.
struct Running {
    endpoint: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), marrowline_server::ServerError>>,
    ledger: Ledger,
}

/// Runs the demo.
pub async fn run(demo: Demo) -> Result<Exit, Failure> {
    let started = Instant::now();
    let folder = folder(&demo)?;
    say!("Marrowline demo: a TRAINING ledger. Trial RuMCeSS (NCT01849237); donors, lots, subjects and values are synthetic.");
    say!("folder: {}", folder.display());
    let players = players(&folder)?;
    let (lab, hospital) = (marrowline_client::new_id(), marrowline_client::new_id());
    let log = found(&folder, &players, lab).await?;
    say!("founded {}, log key {log}", log.name());
    let running = serve(&folder).await?;
    say!("serving on {} with a certificate of its own authority", running.endpoint);
    let mut stage = Stage::open(&running.endpoint, trust(&folder, &log)?, &players, lab, hospital).await?;
    plot::play(&mut stage, demo.subjects).await?;
    for (name, content) in stage.reports() {
        let path = folder.join(name);
        fs::write(&path, content).map_err(|e| Failure::file(&path, &e))?;
    }
    let receipts = stage.into_receipts();
    stop(running).await?;
    say!("\nserver stopped");
    let ledger_folder = folder.join("ledger");
    tokio::task::spawn_blocking(move || fsck::run(&ledger_folder, None, Output::Table)).await.map_err(Failure::unexpected)??;
    let running = serve(&folder).await?;
    say!("server started again");
    verify_all(&running, &folder, &log, &players, &receipts).await?;
    write_readme(&folder, &running.endpoint)?;
    say!("all of it held; {} s", started.elapsed().as_secs());
    if demo.exit {
        stop(running).await?;
        return Ok(Exit::Done);
    }
    invite(&folder, &running.endpoint);
    let _ = tokio::signal::ctrl_c().await;
    stop(running).await?;
    Ok(Exit::Done)
}

fn folder(demo: &Demo) -> Result<PathBuf, Failure> {
    let folder = match &demo.data {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join(format!("marrowline-demo-{}", std::process::id())),
    };
    if folder.exists() && fs::read_dir(&folder).is_ok_and(|mut items| items.next().is_some()) {
        return Err(Failure::usage(format!("{} is not empty; give another --data", folder.display())));
    }
    fs::create_dir_all(folder.join("people")).map_err(|e| Failure::file(&folder, &e))?;
    Ok(folder)
}

fn players(folder: &Path) -> Result<Vec<Player>, Failure> {
    CAST.iter()
        .map(|person| {
            let key = marrowline_client::generate().map_err(Failure::unexpected)?;
            let pem = marrowline_client::encrypt(&key, PASSPHRASE).map_err(Failure::unexpected)?;
            let path = folder.join("people").join(format!("{}.pem", person.handle));
            crate::home::write_secret(&path, &pem)?;
            Ok(Player { person, person_id: marrowline_client::new_id(), key })
        })
        .collect()
}

/// A player's grant, with the roles at these facilities.
pub fn grant(player: &Player, lab: [u8; 16], hospital: Option<[u8; 16]>) -> pb::KeyGrant {
    let at = |unix_ms| Some(pb::Instant { unix_ms, offset_minutes: OFFSET_MINUTES });
    let role = |role: &Role, facility: [u8; 16]| pb::RoleGrant {
        role: (*role).into(),
        facility_id: facility.to_vec(),
        valid_from: at(START_MS - 86_400_000),
        valid_until: at(START_MS + 730 * 86_400_000),
    };
    let at_hospital = player.person.hospital.iter().filter_map(|r| hospital.map(|h| role(r, h)));
    pb::KeyGrant {
        person_id: player.person_id.to_vec(),
        printed_name: player.person.name.to_owned(),
        public_key: player.key.verifying_key().as_bytes().to_vec(),
        roles: player.person.lab.iter().map(|r| role(r, lab)).chain(at_hospital).collect(),
    }
}

async fn found(folder: &Path, players: &[Player], lab: [u8; 16]) -> Result<VerifierKey, Failure> {
    let founding = Founding {
        name: "demo-lab".to_owned(),
        rule_set: marrowline_rules::NEWEST_RULE_SET,
        training: true,
        facility: pb::Facility {
            facility_id: lab.to_vec(),
            code: "LAB".to_owned(),
            name: "Cell therapy laboratory (synthetic)".to_owned(),
            racks: vec!["LN2-A".to_owned(), "LN2-B".to_owned()],
        },
        founders: players
            .iter()
            .take(FOUNDERS)
            .map(|player| Founder { key: player.key.clone(), grant: grant(player, lab, None) })
            .collect(),
        at: pb::Instant { unix_ms: START_MS, offset_minutes: OFFSET_MINUTES },
        hosts: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
    };
    let home = folder.join("ledger");
    let key = tokio::task::spawn_blocking(move || Home::new(&home).found(&founding)).await.map_err(Failure::unexpected)??;
    for name in ["ca.pem", "log.vkey"] {
        let (from, to) = (folder.join("ledger").join(name), folder.join(name));
        fs::copy(&from, &to).map_err(|e| Failure::file(&to, &e))?;
    }
    Ok(key)
}

fn trust(folder: &Path, log: &VerifierKey) -> Result<marrowline_client::Trust, Failure> {
    let path = folder.join("ca.pem");
    Ok(marrowline_client::Trust { log: log.clone(), ca_pem: fs::read_to_string(&path).map_err(|e| Failure::file(&path, &e))? })
}

async fn serve(folder: &Path) -> Result<Running, Failure> {
    let home = folder.join("ledger");
    let (ledger, tls, attachments) = tokio::task::spawn_blocking(move || {
        let home = Home::new(&home);
        let (ledger, _) = home.open(&mut |_, _| {})?;
        Ok::<_, Failure>((ledger, home.tls()?, home.attachments(None)?))
    })
    .await
    .map_err(Failure::unexpected)??;
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Failure::unexpected)?;
    let endpoint = format!("https://{}", listener.local_addr().map_err(Failure::unexpected)?);
    let (stop, stopped) = oneshot::channel::<()>();
    let served = ledger.clone();
    let task = tokio::spawn(async move {
        let shutdown = async {
            let _ = stopped.await;
        };
        marrowline_server::run(served, listener, tls, marrowline_server::Limits::default(), attachments, shutdown).await
    });
    Ok(Running { endpoint, stop, task, ledger })
}

async fn stop(running: Running) -> Result<(), Failure> {
    let _ = running.stop.send(());
    running.task.await.map_err(Failure::unexpected)?.map_err(Failure::unexpected)?;
    let ledger = running.ledger;
    tokio::task::spawn_blocking(move || ledger.shutdown()).await.map_err(Failure::unexpected)
}

/// Every receipt again: by itself, and against what the restarted server says now.
async fn verify_all(
    running: &Running,
    folder: &Path,
    log: &VerifierKey,
    players: &[Player],
    receipts: &[Receipt],
) -> Result<(), Failure> {
    let auditor = players.last().ok_or_else(|| Failure::unexpected("no players"))?;
    let client = Client::connect(&running.endpoint, trust(folder, log)?, &auditor.key, 600).await?;
    for receipt in receipts {
        client.verify(receipt, None).await?;
        let (now, _) = client.record_at(receipt.index).await?;
        if now.leaf().encode() != receipt.leaf {
            return Err(Failure::integrity(format!("leaf {} is another one now", receipt.index)));
        }
    }
    say!("{} receipts verified against log.vkey, each consistent with the ledger as it stands", receipts.len());
    Ok(())
}

fn commands(folder: &Path, endpoint: &str) -> Vec<String> {
    let folder = folder.display();
    let connection = |who: &str| {
        format!(
            "--server {endpoint} --ca {folder}/ca.pem --log {folder}/log.vkey --key {folder}/people/{who}.pem --passphrase-file {folder}/passphrase.txt"
        )
    };
    vec![
        format!("marrowline lot show L-2026-01 {}", connection("qa")),
        format!("marrowline check 701018 {}", connection("pha1")),
        format!("marrowline trace back 701018 {}", connection("aud")),
        format!("marrowline subject show R-02 {} --output json", connection("inv")),
        format!("marrowline trial report NCT01849237 {}", connection("inv")),
        format!("marrowline fsck --data {folder}/ledger   (after the server has stopped)"),
    ]
}

fn write_readme(folder: &Path, endpoint: &str) -> Result<(), Failure> {
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|e| Failure::file(&path, &e))
    };
    write("passphrase.txt", format!("{PASSPHRASE}\n"))?;
    let text = format!(
        "A TRAINING ledger made by `marrowline demo`. Everything in it is synthetic.\n\n\
         ledger/      the ledger: marrowline serve --data {}/ledger\n\
         people/      a key for each person, encrypted with the passphrase in passphrase.txt\n\
         ca.pem       the authority of the server's certificate\n\
         log.vkey     the key that verifies receipts and checkpoints\n\
         report.*     the report of the trial: text, JSON, CSV and a drawing of the survival curves\n\n\
         To try:\n{}\n",
        folder.display(),
        commands(folder, endpoint).join("\n")
    );
    write("README.txt", text)
}

fn invite(folder: &Path, endpoint: &str) {
    say!(
        "\nServing until Ctrl-C. In another terminal (as `cargo run --release -- …` or with the binary from target/release), try:"
    );
    for command in commands(folder, endpoint) {
        say!("  {command}");
    }
}
