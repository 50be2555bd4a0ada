//! Where the story is played: clients for everyone, the simulated clock, and the receipts that are collected.

use std::collections::{BTreeMap, HashMap};

use marrowline_client::v1::trace_forward_request::From;
use marrowline_client::v1::{
    Answer, CheckDoseRequest, GetLotRequest, GetTrialReportRequest, ReportFormat, TraceBackRequest, TraceForwardRequest,
};
use marrowline_client::{Acknowledged, Client, Draft, Trust};
use marrowline_proof::Receipt;
use marrowline_record::id::KeyId;
use marrowline_record::instant;
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};
use marrowline_record::signing::Signing;
use marrowline_record::stream::AUTHORITY_ID;
use marrowline_rules::table;
use sha2::{Digest as _, Sha256};

use super::cast::{FOUNDERS, Person};
use super::{DemoError, Player, grant};
use crate::check;
use crate::exit::say;
use crate::failure::Failure;
use crate::lists;

/// 2 March 2026, 08:00 in Moscow: when the demo begins.
pub const START_MS: i64 = 1_772_427_600_000;
/// Moscow.
pub const OFFSET_MINUTES: i32 = 180;

/// Forms of the report, with the files that they are kept in.
const REPORTS: [(ReportFormat, &str); 4] = [
    (ReportFormat::Table, "report.txt"),
    (ReportFormat::Json, "report.json"),
    (ReportFormat::Csv, "report.csv"),
    (ReportFormat::Svg, "report.svg"),
];

/// One step of the story.
pub struct Step {
    words: String,
    event: Event,
    by: Vec<String>,
    streams: Vec<(StreamKind, [u8; 16])>,
    /// How long before the ledger's time it is said to have happened.
    minutes_ago: i64,
}

impl Step {
    /// A step about an event.
    pub fn new(words: &str, event: Event) -> Step {
        Step { words: words.to_owned(), event, by: Vec::new(), streams: Vec::new(), minutes_ago: 0 }
    }

    /// Who signs, in slot order: a handle, with `@hospital` or `/VF` where it matters to the reader.
    pub fn by(mut self, people: &[&str]) -> Step {
        self.by = people.iter().map(|p| (*p).to_owned()).collect();
        self
    }

    /// A stream that it extends.
    pub fn on(mut self, kind: StreamKind, id: [u8; 16]) -> Step {
        self.streams.push((kind, id));
        self
    }

    /// Dated earlier than it is recorded.
    pub fn dated_back(mut self, minutes: i64) -> Step {
        self.minutes_ago = minutes;
        self
    }
}

/// The stage.
pub struct Stage {
    players: HashMap<&'static str, (&'static Person, ed25519_dalek::SigningKey)>,
    clients: HashMap<String, Client>,
    endpoint: String,
    trust: Trust,
    lab: [u8; 16],
    hospital: [u8; 16],
    now_ms: i64,
    /// Day of the story that `at` and `instant` count from.
    first_day: i64,
    /// What happens by itself when its time has come, by Unix ms.
    calendar: BTreeMap<i64, Vec<Step>>,
    receipts: Vec<Receipt>,
    reports: Vec<(&'static str, String)>,
}

impl Stage {
    /// Connects, registers the hospital, and enrols everyone who did not found the ledger.
    pub async fn open(
        endpoint: &str,
        trust: Trust,
        players: &[Player],
        lab: [u8; 16],
        hospital: [u8; 16],
    ) -> Result<Stage, DemoError> {
        let mut stage = Stage {
            players: players.iter().map(|p| (p.person.handle, (p.person, p.key.clone()))).collect(),
            clients: HashMap::new(),
            endpoint: endpoint.to_owned(),
            trust,
            lab,
            hospital,
            now_ms: START_MS,
            first_day: 0,
            calendar: BTreeMap::new(),
            receipts: Vec::new(),
            reports: Vec::new(),
        };
        stage.chapter("People and places");
        stage.at(0, 8, 30).await?;
        let registered = Event::FacilityRegistered(pb::FacilityRegistered {
            facility: Some(pb::Facility {
                facility_id: hospital.to_vec(),
                code: "HOSPITAL".to_owned(),
                name: "Haematology hospital (synthetic)".to_owned(),
                racks: vec!["H-LN2".to_owned()],
            }),
        });
        let step = Step::new("hospital registered", registered);
        stage.accept(step.by(&["key", "qa"]).on(StreamKind::Authority, AUTHORITY_ID)).await?;
        for player in players.iter().skip(FOUNDERS) {
            let granted = Event::KeyGranted(pb::KeyGranted { grant: Some(grant(player, lab, Some(hospital))) });
            let step = Step::new(&format!("key of {} granted", player.person.name), granted);
            stage.accept(step.by(&["key", "qa"]).on(StreamKind::Authority, AUTHORITY_ID)).await?;
        }
        stage.enrol_qa_at_hospital(players).await?;
        Ok(stage)
    }

    /// QA founded the ledger before there was a hospital, and nobody signs a grant of their own: a second QA does.
    async fn enrol_qa_at_hospital(&mut self, players: &[Player]) -> Result<(), DemoError> {
        let Some(qa) = players.iter().find(|p| p.person.handle == "qa") else {
            return Ok(());
        };
        let granted = Event::KeyGranted(pb::KeyGranted { grant: Some(grant(qa, self.lab, Some(self.hospital))) });
        let step = Step::new("further role of Dmitri Abramov granted: QA at the hospital", granted);
        self.accept(step.by(&["key", "qa2"]).on(StreamKind::Authority, AUTHORITY_ID)).await?;
        Ok(())
    }

    /// The laboratory.
    pub fn lab(&self) -> [u8; 16] {
        self.lab
    }

    /// The hospital.
    pub fn hospital(&self) -> [u8; 16] {
        self.hospital
    }

    /// A new UUID.
    pub fn new_id(&mut self) -> [u8; 16] {
        marrowline_client::new_id()
    }

    /// 32 random bytes.
    pub fn random_32(&mut self) -> Result<[u8; 32], DemoError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(Failure::unexpected)?;
        Ok(bytes)
    }

    /// Digest of a document that stands beside the ledger.
    pub fn document(&self, name: &str) -> Vec<u8> {
        Sha256::digest(name.as_bytes()).to_vec()
    }

    /// Prints a heading.
    pub fn chapter(&self, words: &str) {
        say!("\n== {words}");
    }

    /// A time of the story.
    pub fn instant(&self, day: i64, hour: i64, minute: i64) -> pb::Instant {
        let hours = (self.first_day + day) * 24 + hour - 8;
        pb::Instant { unix_ms: START_MS + hours * 3_600_000 + minute * 60_000, offset_minutes: OFFSET_MINUTES }
    }

    /// From here on days are counted from this day of the story.
    pub fn count_from(&mut self, day: i64) {
        self.first_day = day;
    }

    /// A step that is played when the clock comes to this time.
    pub fn later(&mut self, at: &pb::Instant, step: Step) {
        self.calendar.entry(at.unix_ms).or_default().push(step);
    }

    /// The story's time.
    pub fn now(&self) -> pb::Instant {
        pb::Instant { unix_ms: self.now_ms, offset_minutes: OFFSET_MINUTES }
    }

    /// Moves the ledger's simulated clock.
    pub async fn at(&mut self, day: i64, hour: i64, minute: i64) -> Result<(), DemoError> {
        self.move_to(self.instant(day, hour, minute).unix_ms).await
    }

    /// Moves the ledger's simulated clock by some minutes.
    pub async fn minutes(&mut self, minutes: i64) -> Result<(), DemoError> {
        self.move_to(self.now_ms + minutes * 60_000).await
    }

    async fn move_to(&mut self, to_ms: i64) -> Result<(), DemoError> {
        while let Some(due) = self.calendar.first_entry().filter(|due| *due.key() <= to_ms) {
            let (at_ms, steps) = due.remove_entry();
            self.set_clock(at_ms.max(self.now_ms)).await?;
            for step in steps {
                self.accept(step).await?;
            }
        }
        self.set_clock(to_ms).await
    }

    async fn set_clock(&mut self, to_ms: i64) -> Result<(), DemoError> {
        self.now_ms = to_ms;
        self.client("key").await?;
        match self.clients.get("key") {
            Some(client) => Ok(client.advance_clock(to_ms).await?),
            None => Ok(()),
        }
    }

    /// Connects a person once.
    async fn client(&mut self, handle: &str) -> Result<(), DemoError> {
        if self.clients.contains_key(handle) {
            return Ok(());
        }
        let (_, key) = self.players.get(handle).ok_or_else(|| Failure::unexpected(format!("nobody is called {handle}")))?;
        let client = Client::connect(&self.endpoint, self.trust.clone(), key, 3_600).await?;
        self.clients.insert(handle.to_owned(), client);
        Ok(())
    }

    async fn send(&mut self, step: &Step) -> Result<Acknowledged, DemoError> {
        let (draft, handles) = self.draft(step).await?;
        let bytes = draft.encode();
        let at = self.now();
        let signings: Vec<Signing> = (0u8..)
            .zip(&handles)
            .filter_map(|(slot, handle)| self.players.get(handle.as_str()).map(|(_, key)| draft.sign(&bytes, slot, key, &at)))
            .collect();
        let first = handles.first().cloned().unwrap_or_default();
        let client = self.clients.get(&first).ok_or_else(|| Failure::unexpected("no client"))?;
        Ok(client.append(bytes, &signings).await?)
    }

    async fn draft(&mut self, step: &Step) -> Result<(Draft, Vec<String>), DemoError> {
        let handles: Vec<String> =
            step.by.iter().map(|who| who.split(['@', '/']).next().unwrap_or_default().to_owned()).collect();
        let first = handles.first().cloned().unwrap_or_default();
        self.client(&first).await?;
        let client = self.clients.get(&first).ok_or_else(|| Failure::unexpected("no client"))?;
        let mut happened = self.now();
        happened.unix_ms -= step.minutes_ago * 60_000;
        let mut draft = Draft::new(client.origin(), step.event.clone(), happened)?;
        for (slot, (who, handle)) in table::row_of(&step.event).slots.iter().zip(step.by.iter().zip(&handles)) {
            let (role, facility) = self.role(slot.roles, handle, who.ends_with("@hospital"))?;
            draft = draft.slot(role, slot.meaning, facility);
        }
        for (kind, id) in &step.streams {
            draft = draft.stream(*kind, *id, client.head(*kind, *id).await?);
        }
        Ok((draft, handles))
    }

    /// The first of these roles that the person holds, and where.
    fn role(&self, roles: &[Role], handle: &str, at_hospital: bool) -> Result<(Role, [u8; 16]), DemoError> {
        let (person, _) = self.players.get(handle).ok_or_else(|| Failure::unexpected(format!("nobody is called {handle}")))?;
        let holds = |held: &[Role], role: &Role| {
            held.contains(role)
                || *role == Role::VerifyingOperator && (held.contains(&Role::Operator) || held.contains(&Role::Pharmacist))
        };
        for role in roles {
            if holds(person.lab, role) && !at_hospital {
                return Ok((*role, self.lab));
            }
            if holds(person.hospital, role) {
                return Ok((*role, self.hospital));
            }
        }
        Err(Failure::unexpected(format!("{} holds none of {roles:?}", person.name)))
    }

    fn people(&self, step: &Step) -> String {
        let slots = table::row_of(&step.event).slots;
        let name = |(who, slot): (&String, &table::SlotRule)| {
            let handle = who.split(['@', '/']).next().unwrap_or_default();
            let name = self.players.get(handle).map_or("?", |(p, _)| p.name);
            format!("{name} {}", meaning(slot.meaning))
        };
        step.by.iter().zip(slots).map(name).collect::<Vec<_>>().join(", ")
    }

    fn line(&self, step: &Step) -> String {
        let when = instant::format(self.now_ms, OFFSET_MINUTES);
        format!("{when}  {}  [{}]", step.words, self.people(step))
    }

    /// A step that the ledger must accept without a flag; returns the record's id.
    pub async fn accept(&mut self, step: Step) -> Result<[u8; 16], DemoError> {
        self.flagged(step, &[]).await
    }

    /// A step that the ledger must accept with exactly these flags.
    pub async fn flagged(&mut self, step: Step, flags: &[&str]) -> Result<[u8; 16], DemoError> {
        let line = self.line(&step);
        let acknowledged = self.send(&step).await.map_err(|e| Failure { words: format!("{line}\n{}", e.words), ..e })?;
        say!("{line}  leaf {}", acknowledged.receipt.index);
        let mut found: Vec<&str> = acknowledged.flags.iter().map(|f| f.code.as_str()).collect();
        found.dedup();
        for finding in &acknowledged.flags {
            say!("    FLAGGED {}: found {}; allowed {}", finding.code, finding.found, finding.allowed);
        }
        if found != flags {
            return Err(Failure::unexpected(format!("{line}\nflags {found:?}, expected {flags:?}")));
        }
        let id = acknowledged.verified.record().record_id.as_slice().try_into().unwrap_or([0; 16]);
        self.receipts.push(acknowledged.receipt);
        Ok(id)
    }

    /// A step that the ledger must refuse, with these codes among its reasons.
    pub async fn refuse(&mut self, step: Step, codes: &[&str]) -> Result<(), DemoError> {
        let line = self.line(&step);
        let Err(failure) = self.send(&step).await else {
            return Err(Failure::unexpected(format!("{line}\naccepted; it must be refused: {codes:?}")));
        };
        let reasons = failure.problem.as_ref().map(|p| p.reasons.clone()).unwrap_or_default();
        say!("{line}  REFUSED");
        for reason in &reasons {
            say!("    {} ({}): {}", reason.code, reason.look_at, reason.words);
        }
        match codes.iter().find(|code| reasons.iter().all(|r| r.code != **code)) {
            None => Ok(()),
            Some(missing) => Err(Failure::unexpected(format!("{line}\nrefused without {missing}: {}", failure.words))),
        }
    }

    /// The pharmacy's question; the answer must be green, or must not.
    pub async fn check(&mut self, dose: &str, green: bool) -> Result<(), DemoError> {
        self.client("pha1").await?;
        let client = self.clients.get("pha1").ok_or_else(|| Failure::unexpected("no client"))?;
        let request = CheckDoseRequest { dose: dose.to_owned() };
        let response = client.custody().check_dose(request).await?.into_inner();
        client.follow(&response.checkpoint).await?;
        say!("dose check: {}", check::answer(&response));
        let expected = if green { Answer::Green } else { Answer::Red };
        if response.answer() != expected {
            return Err(Failure::unexpected(format!("the dose check of {dose} should be {expected:?}")));
        }
        Ok(())
    }

    /// The chain of a dose, back to its donor.
    pub async fn trace_back(&mut self, dose: &str) -> Result<(), DemoError> {
        self.client("aud").await?;
        let client = self.clients.get("aud").ok_or_else(|| Failure::unexpected("no client"))?;
        let request = TraceBackRequest { dose: dose.to_owned() };
        let response = client.custody().trace_back(request).await?.into_inner();
        client.follow(&response.checkpoint).await?;
        if response.donor_ids.is_empty() || response.steps.is_empty() {
            return Err(Failure::unexpected("the chain does not reach a donor"));
        }
        for step in &response.steps {
            say!("{:18} {}", step.stream, crate::show::step_line(&step.step.clone().unwrap_or_default()));
        }
        Ok(())
    }

    /// Every unit of a lot and where it went; and what closes the lot's open recall with the list of it.
    pub async fn trace_forward(&mut self, lot: &str) -> Result<pb::RecallClosed, DemoError> {
        self.client("aud").await?;
        let client = self.clients.get("aud").ok_or_else(|| Failure::unexpected("no client"))?;
        let request = TraceForwardRequest { from: Some(From::Lot(lot.to_owned())) };
        let response = client.custody().trace_forward(request).await?.into_inner();
        client.follow(&response.checkpoint).await?;
        lists::print_forward(&response);
        if response.units.iter().all(|unit| unit.subject_code.is_empty()) {
            return Err(Failure::unexpected("the trace of the lot reaches no subject"));
        }
        let shown = client.custody().get_lot(GetLotRequest { lot: lot.to_owned() }).await?.into_inner();
        let recalls = shown.lot.and_then(|lot| lot.stream).map(|stream| stream.recalls).unwrap_or_default();
        let open = recalls.into_iter().find(|recall| recall.closed_by.is_empty());
        Ok(pb::RecallClosed {
            recall_id: open.ok_or_else(|| Failure::unexpected("the lot has no open recall"))?.recall_id,
            affected_count: Some(response.affected_count),
            affected_digest: response.affected_digest,
            conclusion: "every subject and investigator told; no unit is left in a freezer".to_owned(),
        })
    }

    /// The report of the trial in every form; the text is printed.
    pub async fn report(&mut self, registration: &str) -> Result<(), DemoError> {
        self.client("aud").await?;
        let client = self.clients.get("aud").ok_or_else(|| Failure::unexpected("no client"))?;
        for (form, name) in REPORTS {
            let request = GetTrialReportRequest { registration: registration.to_owned(), format: form.into() };
            let answer = client.custody().get_trial_report(request).await?.into_inner();
            client.follow(&answer.checkpoint).await?;
            if form == ReportFormat::Table {
                say!("{}", answer.content.trim_end());
            }
            self.reports.push((name, answer.content));
        }
        Ok(())
    }

    /// The reports that were made, with their file names.
    pub fn reports(&self) -> &[(&'static str, String)] {
        &self.reports
    }

    /// Id of a person's key.
    pub fn key_id(&self, handle: &str) -> Result<Vec<u8>, DemoError> {
        let (_, key) = self.players.get(handle).ok_or_else(|| Failure::unexpected(format!("nobody is called {handle}")))?;
        Ok(KeyId::of(key.verifying_key().as_bytes()).0.to_vec())
    }

    /// A record that was appended, with its digest.
    pub fn recorded(&self, record_id: &[u8; 16]) -> Result<(pb::Record, [u8; 32]), DemoError> {
        let decoded = self.receipts.iter().rev().filter_map(|receipt| {
            let record = marrowline_record::decode(&receipt.record).ok()?;
            Some((record, marrowline_record::digest(&receipt.record).0))
        });
        let mut named = decoded.filter(|(record, _)| record.record_id == record_id);
        named.next().ok_or_else(|| Failure::unexpected("a record that was never appended"))
    }

    /// Every receipt that was given.
    pub fn into_receipts(self) -> Vec<Receipt> {
        self.receipts
    }
}

fn meaning(meaning: Meaning) -> String {
    meaning.as_str_name().trim_start_matches("MEANING_").to_lowercase()
}
