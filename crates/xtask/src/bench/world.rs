//! A real ledger for the benchmarks: founded by the binary, with eligible donors and lots whose steps pass every rule without a flag.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use marrowline_api::{token, v1};
use marrowline_client::{Client, Draft, Trust, new_id, now};
use marrowline_merkle::VerifierKey;
use marrowline_proof::Receipt;
use marrowline_record::leaf::signed_hash;
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};
use marrowline_record::signing::Signing;
use marrowline_record::stream::AUTHORITY_ID;
use marrowline_record::{digest, din};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use super::program::Program;
use super::{failed, load};
use crate::ChoreError;

/// Lots of one donor.
const LOTS_OF_A_DONOR: usize = 50;
/// Connections to the server.
const CONNECTIONS: usize = 4;
/// Records in a batch while the world is made.
const BATCH: usize = 200;
const YEAR_MS: i64 = 365 * 86_400_000;
const PASSPHRASE: &str = "benchmark";

type Stream = (StreamKind, [u8; 16]);
type Built = (Vec<u8>, Vec<Signing>);

/// A ledger with its server, its people and the heads of its streams.
pub struct World {
    program: Program,
    home: PathBuf,
    trust: Trust,
    client: Client,
    facility: [u8; 16],
    heads: HashMap<Stream, pb::Head>,
    lots: Vec<[u8; 16]>,
    /// Heads of each lot after each request that was signed beforehand: what was sent decides which one counts.
    presigned: Vec<Vec<pb::Head>>,
}

/// The key of somebody in this world.
pub fn person(name: &str) -> SigningKey {
    let mut seed = [0; 32];
    for (to, from) in seed.iter_mut().zip(name.bytes().cycle()) {
        *to = from;
    }
    SigningKey::from_bytes(&seed)
}

fn grant(name: &str, roles: &[Role], facility: [u8; 16]) -> pb::KeyGrant {
    let at = now(0);
    pb::KeyGrant {
        person_id: new_id().to_vec(),
        printed_name: name.to_owned(),
        public_key: person(name).verifying_key().to_bytes().to_vec(),
        roles: roles
            .iter()
            .map(|role| pb::RoleGrant {
                role: (*role).into(),
                facility_id: facility.to_vec(),
                valid_from: Some(pb::Instant { unix_ms: at.unix_ms - 3_600_000, ..at }),
                valid_until: Some(pb::Instant { unix_ms: at.unix_ms + YEAR_MS, ..at }),
            })
            .collect(),
    }
}

/// A text file of the ledger's folder.
pub fn read(home: &Path, name: &str) -> Result<String, ChoreError> {
    let path = home.join(name);
    std::fs::read_to_string(&path).map_err(|source| ChoreError::Read { path: path.display().to_string(), source })
}

/// Several connections.
pub async fn connect(endpoint: &str, ca_pem: &str) -> Result<Vec<Channel>, ChoreError> {
    let mut channels = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca_pem));
        let endpoint = Endpoint::from_shared(endpoint.to_owned()).map_err(failed("connection"))?;
        let endpoint = endpoint.tls_config(tls).map_err(failed("connection"))?.tcp_nodelay(true);
        channels.push(endpoint.connect().await.map_err(failed("connection"))?);
    }
    Ok(channels)
}

impl World {
    /// Founds a ledger, starts its server, and opens lots.
    pub async fn found(binary: &Path, folder: &Path, lots: usize) -> Result<World, ChoreError> {
        let home = folder.join("ledger");
        found(binary, folder, &home)?;
        let program = Program::start(binary, &["serve", "--data", &home.display().to_string(), "--listen", "127.0.0.1:0"])?;
        let log = VerifierKey::parse(read(&home, "log.vkey")?.trim()).map_err(failed("log.vkey"))?;
        let trust = Trust { log, ca_pem: read(&home, "ca.pem")? };
        let client = Client::connect(&program.endpoint, trust.clone(), &person("qa"), 3_600).await.map_err(failed("client"))?;
        let (receipt, _) = client.record_at(0).await.map_err(failed("client"))?;
        let facility = match &receipt.record().event {
            Some(Event::LedgerFounded(e)) => e.first_facility.as_ref().and_then(|f| f.facility_id.as_slice().try_into().ok()),
            _ => None,
        };
        let facility = facility.ok_or_else(|| failed("founding")("no facility"))?;
        let authority = pb::Head { seq: 1, hash: receipt.leaf().signed_hash().to_vec() };
        let mut world = World {
            program,
            home,
            trust,
            client,
            facility,
            heads: HashMap::from([((StreamKind::Authority, AUTHORITY_ID), authority)]),
            lots: Vec::new(),
            presigned: Vec::new(),
        };
        eprintln!("server process {}", world.program.id());
        world.people().await?;
        let specification = world.specification().await?;
        for donor in 0..lots.div_ceil(LOTS_OF_A_DONOR) {
            let count = LOTS_OF_A_DONOR.min(lots - donor * LOTS_OF_A_DONOR);
            world.donor_with_lots(donor, count, specification).await?;
        }
        Ok(world)
    }

    async fn people(&mut self) -> Result<(), ChoreError> {
        for (name, roles) in [
            ("operator", [Role::Operator].as_slice()),
            ("verifier", &[Role::Operator]),
            ("physician", &[Role::DonorPhysician, Role::Collector]),
            ("analyst", &[Role::QcAnalyst]),
            ("reviewer", &[Role::QcReviewer]),
            ("qualified", &[Role::QualifiedPerson]),
        ] {
            let event = Event::KeyGranted(pb::KeyGranted { grant: Some(grant(name, roles, self.facility)) });
            let by = [("key", Role::KeyAdministrator, Meaning::Approved), ("qa", Role::QualityAssurance, Meaning::Approved)];
            let built = self.build(event, &by, &[(StreamKind::Authority, AUTHORITY_ID)])?;
            self.send(vec![built]).await?;
        }
        Ok(())
    }

    async fn specification(&mut self) -> Result<[u8; 16], ChoreError> {
        let id = new_id();
        let event = Event::SpecificationPublished(specification());
        let by = [("qa", Role::QualityAssurance, Meaning::Approved), ("qualified", Role::QualifiedPerson, Meaning::Approved)];
        let built = self.build(event, &by, &[(StreamKind::Specification, id)])?;
        self.send(vec![built]).await?;
        Ok(id)
    }

    async fn donor_with_lots(&mut self, number: usize, lots: usize, specification: [u8; 16]) -> Result<(), ChoreError> {
        let donor = new_id();
        let on = [(StreamKind::Donor, donor)];
        let physician = [("physician", Role::DonorPhysician, Meaning::Performed)];
        let version = Some(pb::VersionRef { id: specification.to_vec(), version: 1 });
        let code = format!("W0000{:08}", number + 1);
        let din: String = code.chars().chain(din::check_character(&code)).collect();
        let mut batch = Vec::new();
        batch.push(self.build(
            Event::DonorRegistered(pb::DonorRegistered { donor_code: format!("D-{number}"), birth_year: 1990 }),
            &physician,
            &on,
        )?);
        batch.push(self.build(consented(), &physician, &on)?);
        let reported = self.build(test_reported(), &[("analyst", Role::QcAnalyst, Meaning::Performed)], &on)?;
        let reported_id = record_id(&reported)?;
        batch.push(reported);
        let reviewed = Event::DonorTestReviewed(pb::DonorTestReviewed {
            reported_record_id: reported_id,
            decision: pb::ReviewDecision::Accepted.into(),
        });
        batch.push(self.build(reviewed, &[("reviewer", Role::QcReviewer, Meaning::Reviewed)], &on)?);
        let eligible = Event::DonorEligibilityDetermined(pb::DonorEligibilityDetermined {
            eligibility: pb::Eligibility::Eligible.into(),
            specification: version.clone(),
            reason: "panel complete".to_owned(),
        });
        let by = [("physician", Role::DonorPhysician, Meaning::Approved), ("qa", Role::QualityAssurance, Meaning::Approved)];
        batch.push(self.build(eligible, &by, &on)?);
        // An authorisation counts from when it is recorded: what follows it must happen after that.
        self.send(std::mem::take(&mut batch)).await?;
        let collected = Event::MarrowCollected(pb::MarrowCollected {
            din: din.clone(),
            aspirate_microlitres: Some(50_000),
            site: "posterior iliac crest".to_owned(),
            anticoagulant: "heparin".to_owned(),
            chain_of_identity: None,
        });
        batch.push(self.build(collected, &[("physician", Role::Collector, Meaning::Performed)], &on)?);
        let two = [("operator", Role::Operator, Meaning::Performed), ("verifier", Role::VerifyingOperator, Meaning::Verified)];
        for lot_number in 0..lots {
            let lot = new_id();
            let opened = Event::LotOpened(pb::LotOpened {
                lot_code: format!("L-{number}-{lot_number}"),
                specification: version.clone(),
                din: din.clone(),
            });
            batch.push(self.build(opened, &two, &[(StreamKind::Lot, lot), (StreamKind::Donor, donor)])?);
            batch.push(self.build(isolated(&din), &two, &[(StreamKind::Lot, lot)])?);
            self.lots.push(lot);
        }
        self.send(batch).await
    }

    /// Builds, signs and moves the heads: what comes next has seen this record.
    fn build(&mut self, event: Event, by: &[(&str, Role, Meaning)], streams: &[Stream]) -> Result<Built, ChoreError> {
        let at = now(0);
        let mut draft = Draft::new(self.client.origin(), event, at).map_err(failed("draft"))?;
        for (_, role, meaning) in by {
            draft = draft.slot(*role, *meaning, self.facility);
        }
        for stream in streams {
            draft = draft.stream(stream.0, stream.1, self.heads.get(stream).cloned());
        }
        let bytes = draft.encode();
        let signings: Vec<Signing> =
            (0u8..).zip(by).map(|(slot, (name, _, _))| draft.sign(&bytes, slot, &person(name), &at)).collect();
        let hash = signed_hash(&digest(&bytes), &signings).to_vec();
        for stream in streams {
            let seq = self.heads.get(stream).map_or(1, |head| head.seq + 1);
            self.heads.insert(*stream, pb::Head { seq, hash: hash.clone() });
        }
        Ok((bytes, signings))
    }

    async fn send(&mut self, records: Vec<Built>) -> Result<(), ChoreError> {
        for part in records.chunks(BATCH) {
            let acknowledged = self.client.append_batch(part.to_vec()).await.map_err(failed("append"))?;
            for one in acknowledged {
                if let Some(flag) = one.flags.first() {
                    return Err(failed("append")(format!("flagged {}: found {}", flag.code, flag.found)));
                }
            }
        }
        Ok(())
    }

    /// Requests for each lot, each standing on the one before it, signed by one or by two people.
    pub fn presign(&mut self, of_each_lot: usize, signatures: usize) -> Result<Vec<Vec<v1::AppendRequest>>, ChoreError> {
        let mut all = Vec::with_capacity(self.lots.len());
        self.presigned.clear();
        let lots = self.lots.clone();
        for lot in lots {
            let stream = (StreamKind::Lot, lot);
            let mut heads = Vec::with_capacity(of_each_lot + 1);
            heads.extend(self.heads.get(&stream).cloned());
            let mut requests = Vec::with_capacity(of_each_lot);
            for _ in 0..of_each_lot {
                let operator = ("operator", Role::Operator, Meaning::Performed);
                let (record, signings) = if signatures == 1 {
                    self.build(sample(), &[operator], &[stream])?
                } else {
                    let verifier = ("verifier", Role::VerifyingOperator, Meaning::Verified);
                    self.build(seeded(), &[operator, verifier], &[stream])?
                };
                heads.extend(self.heads.get(&stream).cloned());
                let signings = signings.iter().map(v1::Signing::from).collect();
                requests.push(v1::AppendRequest {
                    record: Some(v1::SignedRecord { record, signings }),
                    last_checkpoint: String::new(),
                });
            }
            self.presigned.push(heads);
            all.push(requests);
        }
        Ok(all)
    }

    /// Sets the heads to what was really sent.
    pub fn follow(&mut self, outcome: &load::Outcome) {
        for ((lot, heads), answered) in self.lots.iter().zip(&self.presigned).zip(&outcome.answered) {
            if let Some(head) = heads.get(*answered) {
                self.heads.insert((StreamKind::Lot, *lot), head.clone());
            }
        }
    }

    /// Verifies every receipt against the log's key, and that nothing was flagged. Returns how many.
    pub fn verify(&self, responses: &[v1::AppendResponse]) -> Result<usize, ChoreError> {
        for response in responses {
            if let Some(flag) = response.flags.first() {
                return Err(failed("append")(format!("flagged {}: found {}", flag.code, flag.found)));
            }
            let receipt: Receipt = response.receipt.clone().ok_or_else(|| failed("receipt")("none"))?.into();
            receipt.verify(&self.trust.log, None).map_err(failed("receipt"))?;
        }
        Ok(responses.len())
    }

    /// New connections to the server.
    pub async fn channels(&self) -> Result<Vec<Channel>, ChoreError> {
        connect(&self.program.endpoint, &self.trust.ca_pem).await
    }

    /// The header with the operator's token.
    pub fn bearer(&self) -> MetadataValue<Ascii> {
        let token = token::make(&person("operator"), self.client.origin(), now(0).unix_ms / 1_000, 3_600);
        format!("Bearer {token}").parse().unwrap_or_else(|_| MetadataValue::from_static("none"))
    }

    /// The server's process.
    pub fn process(&self) -> u32 {
        self.program.id()
    }

    /// What clients trust.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The ledger's folder.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Seconds of CPU of the server.
    pub fn cpu(&self) -> f64 {
        self.program.cpu()
    }

    /// Resident memory of the server.
    pub fn rss_mb(&self) -> u64 {
        self.program.rss_mb()
    }

    /// Bytes of all files of the store.
    pub fn disk_bytes(&self) -> u64 {
        fn below(folder: &Path) -> u64 {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|e| if e.path().is_dir() { below(&e.path()) } else { e.metadata().map_or(0, |m| m.len()) }).sum()
        }
        below(&self.home.join("store"))
    }

    /// Stops the server.
    pub fn stop(self) -> Result<(), ChoreError> {
        drop(self.program);
        Ok(())
    }
}

/// Key files, a founding file, `init`.
fn found(binary: &Path, folder: &Path, home: &Path) -> Result<(), ChoreError> {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(failed("file")).map(|()| path.display().to_string())
    };
    let mut signers = Vec::new();
    for name in ["key", "qa"] {
        signers
            .push(write(&format!("{name}.pem"), &marrowline_client::encrypt(&person(name), PASSPHRASE).map_err(failed("key"))?)?);
    }
    let role = |name: &str, role: &str| {
        let (from, until) = ("2020-01-01 00:00:00 +00:00", "2099-01-01 00:00:00 +00:00");
        serde_json::json!({
            "person_id": "new", "printed_name": name, "public_key": hex::encode(person(name).verifying_key().to_bytes()),
            "roles": [{"role": role, "facility_id": "FACILITY", "valid_from": from, "valid_until": until}],
        })
    };
    let founding = serde_json::json!({
        "hosts": ["localhost", "127.0.0.1"],
        "signers": signers,
        "ledger_founded": {
            "name": "bench", "training": false,
            "first_facility": {"facility_id": "new", "code": "LAB", "name": "Cell laboratory", "racks": ["LN2-A"]},
            "grants": [role("key", "KEY_ADMINISTRATOR"), role("qa", "QUALITY_ASSURANCE")],
        },
    });
    let founding = write("founding.json", &founding.to_string())?;
    let passphrase = write("passphrase", PASSPHRASE)?;
    let status = std::process::Command::new(binary)
        .args(["init", "--data", &home.display().to_string(), "--founding", &founding, "--passphrase-file", &passphrase])
        .stdout(std::process::Stdio::null())
        .status()
        .map_err(failed("init"))?;
    if status.success() { Ok(()) } else { Err(failed("init")(status)) }
}

fn record_id((bytes, _): &Built) -> Result<Vec<u8>, ChoreError> {
    marrowline_record::decode(bytes).map(|r| r.record_id).map_err(|e| failed("record")(e.code.as_str()))
}

fn consented() -> Event {
    Event::DonorConsented(pb::DonorConsented {
        consent_version: "1".to_owned(),
        scope: vec![pb::DonorConsentScope::ClinicalUse.into()],
        document_digest: vec![1; 32],
        withdrawal_effect: pb::WithdrawalEffect::DestroyUnits.into(),
    })
}

fn absent() -> pb::TestResult {
    pb::TestResult { kind: pb::ResultKind::Absent.into(), value: None, unit_ucum: None, comparator: None }
}

fn test_reported() -> Event {
    Event::DonorTestReported(pb::DonorTestReported {
        test_code: "HIV".to_owned(),
        method: "ELISA".to_owned(),
        sampled_at: Some(now(0)),
        result: Some(absent()),
    })
}

fn isolated(din: &str) -> Event {
    Event::MncIsolated(pb::MncIsolated {
        materials: None,
        din: din.to_owned(),
        aspirate: Some(pb::VolumeBalance {
            microlitres_in: 50_000,
            microlitres_out: Some(50_000),
            microlitres_sampled: Some(0),
            microlitres_discarded: Some(0),
            microlitres_unaccounted: Some(0),
        }),
        total_cells: Some(1_000_000_000),
        viability_basis_points: Some(9_500),
    })
}

fn sample() -> Event {
    let id = new_id();
    Event::SampleTaken(pb::SampleTaken {
        sample_id: id.to_vec(),
        sample_code: format!("S-{}", hex::encode(id.get(8..).unwrap_or_default())),
        source: pb::SampleSource::Isolation.into(),
        source_id: None,
    })
}

fn seeded() -> Event {
    Event::CultureSeeded(pb::CultureSeeded {
        materials: None,
        culture_id: new_id().to_vec(),
        vessels: vec![pb::Vessel { code: "T175-1".to_owned(), area_square_millimetres: 17_500 }],
        cells: Some(pb::CellBalance {
            cells_in: Some(1_000),
            cells_out: Some(1_000),
            cells_sampled: Some(0),
            cells_discarded: Some(0),
            cells_unaccounted: Some(0),
        }),
    })
}

/// A specification with one donor test and two tests of the lot.
fn specification() -> pb::SpecificationPublished {
    let test = |code: &str, kind: pb::TestKind, stage: pb::ReleaseStage, seconds: Option<u32>| pb::LotTest {
        code: code.to_owned(),
        name: code.to_owned(),
        method: "Ph. Eur. 2.6.27".to_owned(),
        kind: kind.into(),
        criterion: Some(pb::Criterion { kind: pb::CriterionKind::Absent.into(), limit: None, unit_ucum: None }),
        stage: stage.into(),
        waivable: false,
        min_incubation_seconds: seconds,
    };
    pb::SpecificationPublished {
        version: 1,
        product_code: "BM-MSC".to_owned(),
        product_name: "mesenchymal stromal cells (benchmark)".to_owned(),
        donor_panel: vec![pb::DonorPanelTest {
            code: "HIV".to_owned(),
            name: "HIV 1 and 2".to_owned(),
            required_result: pb::ResultKind::Absent.into(),
        }],
        required_evidence: Vec::new(),
        tests: vec![
            test("STER7", pb::TestKind::Sterility, pb::ReleaseStage::Conditional, Some(604_800)),
            test("STER14", pb::TestKind::Sterility, pb::ReleaseStage::Final, Some(1_209_600)),
            test("MYCO", pb::TestKind::Mycoplasma, pb::ReleaseStage::Conditional, None),
            test("ENDO", pb::TestKind::Endotoxin, pb::ReleaseStage::Conditional, None),
            test("CD105", pb::TestKind::Identity, pb::ReleaseStage::Conditional, None),
        ],
        max_retests: Some(1),
        max_passage: 4,
        max_milli_doublings: 15_000,
        balance_tolerance_basis_points: Some(500),
        thaw_window_seconds: 7_200,
        storage: Some(pb::StorageLimit { max_millicelsius: -135_000, max_seconds_above: 600 }),
        shelf_life_seconds: 31_536_000,
        max_donors_per_dose: 1,
        min_isolation_viability_basis_points: 8_000,
        min_fill_viability_basis_points: 8_000,
        min_thaw_viability_basis_points: 7_000,
        min_cells_per_unit: 25_000_000,
        max_cells_per_unit: 100_000_000,
        min_dmso_basis_points: Some(500),
        max_dmso_basis_points: Some(1_000),
        max_dmso_milligrams_per_kg: 1_000,
        max_endotoxin_milli_eu_per_kg_per_hour: 5_000,
        late_entry_limit_seconds: 86_400,
    }
}
