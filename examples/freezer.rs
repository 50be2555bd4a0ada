//! A freezer's logger: a simulated week of temperatures over one AppendStream, with a lid that stood open on the fourth day.
//!
//! It needs the folder of a TRAINING ledger that `marrowline demo` made and still serves:
//!
//! ```text
//! cargo run --release -- demo --data /tmp/demo --subjects 3          # in one terminal; it prints its address
//! cargo run --release --example freezer -- /tmp/demo https://127.0.0.1:PORT
//! ```
//!
//! A logger of your own does the same: a key with the role DEVICE, chunks of readings at even intervals, and an excursion with the units
//! that it reached, which holds them if it was beyond what their specification allows.

use std::error::Error;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use marrowline_client::{Client, Draft, Trust, new_id, v1};
use marrowline_merkle::VerifierKey;
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};
use marrowline_record::signing::Signing;
use marrowline_record::stream::AUTHORITY_ID;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

type Failure = Box<dyn Error + Send + Sync>;
type Stream = (StreamKind, [u8; 16]);

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 1_440 * MINUTE_MS;
/// One reading each five minutes, six hours in a chunk: a chunk that is lost leaves a gap that is noticed soon.
const INTERVAL_SECONDS: u32 = 300;
const READINGS: i64 = 72;
const CHUNKS: i64 = 28;
/// When the lid stood open, and for how long.
const OPENED_MS: i64 = 3 * DAY_MS + 10 * 60 * MINUTE_MS;
const OPEN_MS: i64 = 40 * MINUTE_MS;
/// As cold as it should be, and as warm as it got.
const COLD: i32 = -185_000;
const WARM: i32 = -128_000;

/// What the week came to.
#[derive(Debug)]
pub struct Week {
    /// Chunks that are in the log.
    pub chunks: u64,
    /// Flags of the excursion.
    pub flags: Vec<String>,
    /// Units that are held because of it.
    pub held: Vec<String>,
}

#[allow(dead_code, reason = "the journeys play the week without this")]
#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, server] = arguments.as_slice() else {
        return Err("usage: freezer DEMO_FOLDER SERVER_ADDRESS".into());
    };
    let week = play(Path::new(folder), server).await?;
    println!("{} chunks of {READINGS} readings are in the log, each receipt verified", week.chunks);
    println!("the excursion was flagged {:?}; held now: {}", week.flags, week.held.join(", "));
    Ok(())
}

/// The people and things of the demo that take part.
struct Demo {
    folder: PathBuf,
    server: String,
    lab: [u8; 16],
    logger: SigningKey,
}

impl Demo {
    fn key(&self, who: &str) -> Result<SigningKey, Failure> {
        let read = |name: &str| std::fs::read_to_string(self.folder.join(name));
        let passphrase = read("passphrase.txt")?;
        Ok(marrowline_client::decrypt(&read(&format!("people/{who}.pem"))?, passphrase.trim())?)
    }

    async fn connect(&self, key: &SigningKey) -> Result<Client, Failure> {
        let read = |name: &str| std::fs::read_to_string(self.folder.join(name));
        let trust = Trust { log: VerifierKey::parse(read("log.vkey")?.trim())?, ca_pem: read("ca.pem")? };
        Ok(Client::connect(&self.server, trust, key, 3_600).await?)
    }
}

/// Signs an event in the slots' order.
async fn signed(
    client: &Client,
    event: Event,
    at: pb::Instant,
    by: &[(&SigningKey, Role, Meaning, [u8; 16])],
    streams: &[Stream],
) -> Result<(Vec<u8>, Vec<Signing>), Failure> {
    let mut draft = Draft::new(client.origin(), event, at)?;
    for (_, role, meaning, facility) in by {
        draft = draft.slot(*role, *meaning, *facility);
    }
    for (kind, id) in streams {
        draft = draft.stream(*kind, *id, client.head(*kind, *id).await?);
    }
    let bytes = draft.encode();
    let signings = (0u8..).zip(by).map(|(slot, (key, ..))| draft.sign(&bytes, slot, key, &at)).collect();
    Ok((bytes, signings))
}

/// Logs the week and tells what came of it.
pub async fn play(folder: &Path, server: &str) -> Result<Week, Failure> {
    let mut demo =
        Demo { folder: folder.to_owned(), server: server.to_owned(), lab: [0; 16], logger: marrowline_client::generate()? };
    let administrator = demo.connect(&demo.key("key")?).await?;
    let lot = administrator.custody().get_lot(v1::GetLotRequest { lot: "L-2026-01".to_owned() }).await?.into_inner();
    let lot = lot.lot.ok_or("the demo has no lot L-2026-01")?;
    let lot_stream: Stream = (StreamKind::Lot, lot.stream.as_ref().ok_or("no stream")?.id.as_slice().try_into()?);
    let (founding, _) = administrator.record_at(0).await?;
    let Some(Event::LedgerFounded(founded)) = &founding.record().event else {
        return Err("the log does not begin with its founding".into());
    };
    demo.lab = founded.first_facility.as_ref().ok_or("no facility")?.facility_id.as_slice().try_into()?;
    let in_freezer = |unit: &&v1::UnitView| unit.processing == "stored" && unit.facility_id == demo.lab;
    let units: Vec<v1::UnitView> = lot.units.iter().filter(in_freezer).cloned().collect();
    let begins_ms = administrator.clock().await?.now_unix_ms;
    let freezer: Stream = (StreamKind::Equipment, new_id());
    install(&demo, &administrator, begins_ms, freezer).await?;
    let logger = demo.connect(&demo.logger).await?;
    let chunks = log_the_week(&demo, &administrator, &logger, begins_ms, freezer).await?;

    let ids = units.iter().map(|unit| unit.unit_id.clone()).collect();
    let at = |ms: i64| pb::Instant { unix_ms: begins_ms + ms, offset_minutes: 180 };
    let excursion = Event::TemperatureExcursion(pb::TemperatureExcursion {
        unit_ids: ids,
        began_at: Some(at(OPENED_MS)),
        peak_millicelsius: Some(WARM),
        seconds_above_limit: Some(u32::try_from(OPEN_MS / 1_000)?),
        description: "the lid stood open".to_owned(),
    });
    let by = [(&demo.logger, Role::Device, Meaning::Performed, demo.lab)];
    let (bytes, signings) = signed(&logger, excursion, at(OPENED_MS + OPEN_MS), &by, &[freezer, lot_stream]).await?;
    let flags = logger.append(bytes, &signings).await?.flags.into_iter().map(|flag| flag.code).collect();
    let after = administrator.custody().get_lot(v1::GetLotRequest { lot: "L-2026-01".to_owned() }).await?.into_inner();
    let is_held = |unit: &v1::UnitView| unit.holds.iter().any(|hold| hold.code == "TEMPERATURE_ABOVE_LIMIT");
    let held = after.lot.iter().flat_map(|lot| &lot.units).filter(|unit| is_held(unit)).map(|unit| unit.unit_code.clone());
    Ok(Week { chunks, flags, held: held.collect() })
}

/// The logger gets a key, the freezer a status.
async fn install(demo: &Demo, administrator: &Client, begins_ms: i64, freezer: Stream) -> Result<(), Failure> {
    let at = pb::Instant { unix_ms: begins_ms, offset_minutes: 180 };
    let until = |ms: i64| Some(pb::Instant { unix_ms: begins_ms + ms, offset_minutes: 180 });
    let granted = Event::KeyGranted(pb::KeyGranted {
        grant: Some(pb::KeyGrant {
            person_id: new_id().to_vec(),
            printed_name: "Logger of freezer LN2-A".to_owned(),
            public_key: demo.logger.verifying_key().as_bytes().to_vec(),
            roles: vec![pb::RoleGrant {
                role: Role::Device.into(),
                facility_id: demo.lab.to_vec(),
                valid_from: until(-DAY_MS),
                valid_until: until(365 * DAY_MS),
            }],
        }),
    });
    let (key, qa, operator) = (demo.key("key")?, demo.key("qa")?, demo.key("op1")?);
    let by =
        [(&key, Role::KeyAdministrator, Meaning::Approved, demo.lab), (&qa, Role::QualityAssurance, Meaning::Approved, demo.lab)];
    let (bytes, signings) = signed(administrator, granted, at, &by, &[(StreamKind::Authority, AUTHORITY_ID)]).await?;
    administrator.append(bytes, &signings).await?;
    let status = Event::EquipmentStatusRecorded(pb::EquipmentStatusRecorded {
        code: "LN2-A".to_owned(),
        name: "vapour-phase freezer".to_owned(),
        status: pb::EquipmentStatus::InService.into(),
        calibration_due: until(180 * DAY_MS),
    });
    let by = [(&operator, Role::Operator, Meaning::Performed, demo.lab)];
    let (bytes, signings) = signed(administrator, status, at, &by, &[freezer]).await?;
    administrator.append(bytes, &signings).await?;
    Ok(())
}

/// The temperature at a moment of the week: the cold with some ripple, and the hour after the lid was opened.
fn temperature(at_ms: i64) -> i32 {
    let ripple = i32::try_from(at_ms / MINUTE_MS % 7).unwrap_or(0) * 120;
    let since = at_ms - OPENED_MS;
    if !(0..OPEN_MS).contains(&since) {
        return COLD + ripple;
    }
    // Up within ten minutes, and down again when the lid is closed.
    let share = i32::try_from((since / MINUTE_MS).min(10)).unwrap_or(10);
    COLD + (WARM - COLD) / 10 * share
}

/// Each chunk is made when the one before it is in the log, and sent over the same stream: the logger waits for the ledger, not the
/// other way round.
async fn log_the_week(
    demo: &Demo,
    administrator: &Client,
    logger: &Client,
    begins_ms: i64,
    freezer: Stream,
) -> Result<u64, Failure> {
    let chunk_ms = READINGS * i64::from(INTERVAL_SECONDS) * 1_000;
    let (sender, receiver) = mpsc::channel(1);
    let (told, mut heard) = mpsc::unbounded_channel();
    let produce = async {
        for chunk in 0..CHUNKS {
            let first_ms = chunk * chunk_ms;
            let millicelsius: Vec<i32> =
                (0..READINGS).map(|reading| temperature(first_ms + reading * i64::from(INTERVAL_SECONDS) * 1_000)).collect();
            let until = begins_ms + first_ms + chunk_ms;
            administrator.advance_clock(until).await?;
            let logged = Event::ReadingsLogged(pb::ReadingsLogged {
                sensor: "T1".to_owned(),
                first_at: Some(pb::Instant { unix_ms: begins_ms + first_ms, offset_minutes: 180 }),
                interval_seconds: INTERVAL_SECONDS,
                min_millicelsius: millicelsius.iter().min().copied(),
                max_millicelsius: millicelsius.iter().max().copied(),
                millicelsius,
            });
            let by = [(&demo.logger, Role::Device, Meaning::Performed, demo.lab)];
            let at = pb::Instant { unix_ms: until, offset_minutes: 180 };
            let record = signed(logger, logged, at, &by, &[freezer]).await?;
            if sender.send(record).await.is_err() || heard.recv().await.is_none() {
                break;
            }
        }
        drop(sender);
        Ok::<(), Failure>(())
    };
    let mut refused = Vec::new();
    let send = logger.append_stream(ReceiverStream::new(receiver), |number, answer| {
        if let Err(error) = answer {
            refused.push(format!("chunk {number}: {error}"));
        }
        let _ = told.send(());
    });
    let (produced, sent) = tokio::join!(produce, send);
    produced?;
    let chunks = sent?;
    if refused.is_empty() { Ok(chunks) } else { Err(refused.join("; ").into()) }
}
