//! Countersigning: a decision waits for its second person, who sees it in words, signs it, and so appends it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use marrowline_api::errors::{self, Words};
use marrowline_api::v1::countersign_service_server::CountersignService;
use marrowline_api::v1::{
    self, CountersignRequest, CountersignResponse, Finding, ListAwaitingRequest, ListAwaitingResponse, ProposalState,
    ProposeRequest, ProposeResponse, WithdrawRequest, WithdrawResponse,
};
use marrowline_ledger::store::NoteKind;
use marrowline_ledger::{Ledger, Refusal, Snapshot};
use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::{Record, Role};
use marrowline_record::{EventKind, OpenedRecord};
use marrowline_rules::table::{self, Category};
use marrowline_rules::{Verdict, View as _, codes};
use tonic::{Code, Request, Response, Status};

use crate::append::Appender;
use crate::auth::{Auth, Person};
use crate::proposals::{self, Book, Ending, Note, Proposal, What};
use crate::{in_words, reading, views};

/// Longest reason of a withdrawal, bytes.
const MAX_REASON: usize = 1_000;
/// Most records that are told of when a stream has moved on.
const MAX_MOVED: usize = 16;

/// The service.
pub struct Service {
    ledger: Ledger,
    auth: Auth,
    appender: Arc<Appender>,
    book: Mutex<Book>,
    /// Held while a proposal changes: a change is noted before it counts.
    changing: tokio::sync::Mutex<()>,
}

fn plain(code: Code, name: &str, found: impl Into<String>, allowed: &str, next: &str) -> Status {
    errors::status(code, &Words { code: name, found: found.into(), allowed: allowed.to_owned(), next })
}

fn id_of(bytes: &[u8]) -> Result<RecordId, Status> {
    RecordId::from_slice(bytes)
        .ok_or_else(|| errors::bad_field("RECORD_ID_NOT_UUIDV7", "record_id", "other bytes", "16 bytes of a UUIDv7"))
}

impl Service {
    /// Of this ledger, with the proposals that it kept before.
    pub fn new(ledger: Ledger, auth: Auth, appender: Arc<Appender>) -> Result<Service, marrowline_ledger::store::StoreError> {
        let book = Mutex::new(Book::read(&ledger)?);
        Ok(Service { ledger, auth, appender, book, changing: tokio::sync::Mutex::default() })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what happens to a proposal, durably, and lets it count.
    async fn note(&self, person: &Person, id: &RecordId, what: What) -> Result<(), Status> {
        let at_ms = self.ledger.reading().now_ms;
        let note = Note { at_ms, record_id: id.to_string(), key: person.key_id.to_string(), what };
        let body = serde_json::to_vec(&note).map_err(|error| Status::internal(error.to_string()))?;
        self.ledger.note(vec![(NoteKind::Proposal, body)]).await.map_err(|refusal| errors::refusal(&refusal))?;
        self.book().apply(&note);
        Ok(())
    }

    /// What the ledger would say of it, but for the signatures that are missing.
    fn judge(&self, opened: &OpenedRecord) -> Result<Vec<marrowline_rules::Finding>, Status> {
        let (verdict, _) = self.ledger.judge(opened).map_err(|refusal| errors::refusal(&refusal))?;
        let findings = match verdict {
            Verdict::Accepted { flags } => flags,
            Verdict::Refused { violations } => violations,
        };
        Ok(findings.into_iter().filter(|finding| finding.code != &codes::frame::SIGNATURE_MISSING).collect())
    }

    /// Refuses what the ledger would refuse even with all signatures.
    fn check(&self, person: &Person, opened: &OpenedRecord) -> Result<(), Status> {
        let mut violations = self.judge(opened)?;
        violations.retain(|finding| finding.code.class != codes::Class::Flag);
        if violations.is_empty() {
            return Ok(());
        }
        self.appender.withhold(person.key_id, opened.record(), &mut violations);
        Err(errors::refusal(&Refusal::Violations { violations, moved: Vec::new() }))
    }

    fn check_room(&self, person: &Person, now_ms: i64) -> Result<(), Status> {
        let mut book = self.book();
        book.sweep(now_ms);
        let own = book.all().filter(|(_, p)| p.is_open(now_ms) && p.is_signed_by(&person.key_id)).count();
        if book.len() < proposals::MOST && own < proposals::MOST_OF_ONE {
            return Ok(());
        }
        let (found, allowed) =
            (format!("{own} proposals of yours, {} in all", book.len()), "at most 128 of one person and 4096 in all");
        Err(plain(Code::ResourceExhausted, "TOO_MANY_PROPOSALS", found, allowed, "let them be signed, or withdraw some"))
    }

    fn open_proposal(&self, id: &RecordId, now_ms: i64) -> Result<Proposal, Status> {
        let proposal = self.book().get(id).cloned().ok_or_else(|| errors::not_found("proposal", &id.to_string()))?;
        if proposal.is_open(now_ms) {
            return Ok(proposal);
        }
        let found = match &proposal.ended {
            None => "a proposal that has expired".to_owned(),
            Some(Ending::Appended { index }) => format!("a proposal that is leaf {index} of the log"),
            Some(Ending::Moved { by }) => format!("a proposal whose streams have moved on: {}", by.join("; ")),
            Some(Ending::Withdrawn { because }) => format!("a proposal that was withdrawn: {because}"),
        };
        Err(plain(
            Code::FailedPrecondition,
            "PROPOSAL_ENDED",
            found,
            "a proposal that waits",
            "make it anew if it is still wanted",
        ))
    }

    /// Slots that a person could fill: of a role and facility that they hold.
    fn slots_of(&self, person: &Person, proposal: &Proposal) -> Vec<u8> {
        if proposal.is_signed_by(&person.key_id) {
            return Vec::new();
        }
        let holds = |slot: &u8| {
            proposal.record.slots.get(usize::from(*slot)).is_some_and(|slot| {
                let facility = Id16(slot.facility_id.as_slice().try_into().unwrap_or([0; 16]));
                let may_verify = slot.role() == Role::VerifyingOperator;
                person.roles.iter().any(|(role, at)| {
                    *at == facility && (*role == slot.role() || may_verify && matches!(role, Role::Operator | Role::Pharmacist))
                })
            })
        };
        proposal.open_slots().into_iter().filter(holds).collect()
    }

    /// A proposal as this person may see it; nothing if it is none of their business.
    fn view(&self, person: &Person, snapshot: &Snapshot, proposal: &Proposal) -> Option<v1::Proposal> {
        let now_ms = snapshot.now_ms();
        let your_slots = if proposal.is_open(now_ms) { self.slots_of(person, proposal) } else { Vec::new() };
        let is_theirs = proposal.is_signed_by(&person.key_id);
        if !is_theirs && (your_slots.is_empty() || !reading::hidden_kinds(person, snapshot, &proposal.record).is_empty()) {
            return None;
        }
        let mut findings = Vec::new();
        let mut moved_by = Vec::new();
        let mut state = match &proposal.ended {
            Some(Ending::Appended { .. }) => ProposalState::Appended,
            Some(Ending::Moved { by }) => {
                moved_by.clone_from(by);
                ProposalState::Moved
            }
            Some(Ending::Withdrawn { .. }) => ProposalState::Withdrawn,
            None if proposal.is_open(now_ms) => ProposalState::Awaiting,
            None => ProposalState::Expired,
        };
        if state == ProposalState::Awaiting
            && let Ok(opened) = self.appender.open(Some(&proposal.signed()))
        {
            findings = self.judge(&opened).unwrap_or_default();
            if findings.iter().any(|finding| finding.code == &codes::frame::HEAD_MOVED) {
                state = ProposalState::Moved;
                moved_by = self.moved_by(snapshot, &proposal.record);
            }
        }
        let authority = snapshot.authority();
        Some(v1::Proposal {
            record: Some(proposal.signed()),
            event: proposal.record.event.as_ref().map(|event| EventKind::of(event).name().to_owned()).unwrap_or_default(),
            fields: in_words::fields(snapshot, person, &proposal.record),
            streams: in_words::streams(snapshot, &proposal.record),
            signatures: proposal.signings.iter().map(|signing| views::signature(signing, &authority)).collect(),
            your_slots: your_slots.into_iter().map(u32::from).collect(),
            state: state.into(),
            findings: findings.iter().map(Finding::from).collect(),
            moved_by,
            ended_because: match &proposal.ended {
                Some(Ending::Withdrawn { because }) => because.clone(),
                _ => String::new(),
            },
            expires_at_ms: proposal.expires_at_ms(),
            index: match &proposal.ended {
                Some(Ending::Appended { index }) => Some(*index),
                _ => None,
            },
        })
    }

    /// What was recorded in the streams of a record since its heads were seen.
    fn moved_by(&self, snapshot: &Snapshot, record: &Record) -> Vec<String> {
        let authority = snapshot.authority();
        let names = in_words::streams(snapshot, record);
        let mut words = Vec::new();
        for (extended, name) in record.streams.iter().zip(names) {
            let id = Id16(extended.id.as_slice().try_into().unwrap_or([0; 16]));
            let from = extended.head.as_ref().map_or(0, |head| head.seq).saturating_add(1);
            for entry in self.ledger.stream_entries(extended.kind(), &id, from, MAX_MOVED).unwrap_or_default() {
                let step = views::step(&entry, &authority, None);
                let people: Vec<&str> = step.signatures.iter().map(|s| s.printed_name.as_str()).collect();
                words.push(format!("{name}: {} by {}, record {}", step.event, people.join(" and "), entry.record_id()));
            }
        }
        words
    }

    /// Appends what is complete, and notes how it ended.
    async fn append(&self, person: &Person, id: &RecordId, proposal: &Proposal) -> Result<CountersignResponse, Status> {
        let opened = self.appender.open(Some(&proposal.signed()))?;
        match self.appender.append(person.key_id, vec![opened]).await {
            Ok(mut responses) => {
                let response = responses.pop().unwrap_or_default();
                let index = response.receipt.as_ref().map_or(0, |receipt| receipt.index);
                // The record is in the log whether or not this note is written; the next start finds it there.
                let _ = self.note(person, id, What::Ended(Ending::Appended { index })).await;
                Ok(CountersignResponse { receipt: response.receipt, flags: response.flags, open_slots: Vec::new() })
            }
            Err(status) => {
                if status.code() == Code::Aborted {
                    let by = self.moved_by(&self.ledger.snapshot(), &proposal.record);
                    if let Some(own) = proposal.signings.iter().find(|signing| signing.key_id == person.key_id) {
                        // Whoever signed too late is told like the others.
                        let signed = What::Signed(proposals::text_of(&v1::Signing::from(own)));
                        self.note(person, id, signed).await?;
                    }
                    self.note(person, id, What::Ended(Ending::Moved { by })).await?;
                }
                Err(status)
            }
        }
    }
}

#[tonic::async_trait]
impl CountersignService for Service {
    async fn propose(&self, request: Request<ProposeRequest>) -> Result<Response<ProposeResponse>, Status> {
        let person = self.auth.person(request.metadata())?;
        let signed = request.into_inner().record;
        let opened = self.appender.open(signed.as_ref())?;
        let (record, signings) = (opened.shared_record(), opened.signings().to_vec());
        let id = opened.record_id();
        let proposal = Proposal { bytes: signed.clone().unwrap_or_default().record, record, signings, ended: None };
        let is_decision = proposal.record.event.as_ref().is_some_and(|event| table::category(event) == Category::Authorisation);
        if !is_decision || proposal.open_slots().is_empty() {
            let found = if is_decision { "a decision with all its signatures" } else { "a fact or a stop" };
            let next = "append it: it counts at once, and a signature that a fact misses is owed";
            return Err(plain(
                Code::InvalidArgument,
                "NOTHING_TO_COUNTERSIGN",
                found,
                "a decision that misses a signature",
                next,
            ));
        }
        if !proposal.is_signed_by(&person.key_id) {
            let next = "let whoever signed it first propose it";
            return Err(plain(
                Code::PermissionDenied,
                "PROPOSER_HAS_NOT_SIGNED",
                "no signature of yours",
                "a record that you signed",
                next,
            ));
        }
        let _changing = self.changing.lock().await;
        let known = self.book().get(&id).cloned();
        if let Some(known) = known {
            let is_same = known.bytes == proposal.bytes;
            let next = "make a new record id";
            return match is_same {
                true => Ok(Response::new(ProposeResponse { expires_at_ms: known.expires_at_ms() })),
                false => Err(plain(
                    Code::AlreadyExists,
                    "PROPOSAL_EXISTS",
                    format!("proposal {id} with another content"),
                    "an id of its own",
                    next,
                )),
            };
        }
        self.check(&person, &opened)?;
        self.check_room(&person, self.ledger.reading().now_ms)?;
        let expires_at_ms = proposal.expires_at_ms();
        self.note(&person, &id, What::Proposed(proposals::text_of(&proposal.signed()))).await?;
        Ok(Response::new(ProposeResponse { expires_at_ms }))
    }

    async fn list_awaiting(&self, request: Request<ListAwaitingRequest>) -> Result<Response<ListAwaitingResponse>, Status> {
        let person = self.auth.person(request.metadata())?;
        let (shown, about_subjects) = {
            let snapshot = self.ledger.snapshot();
            self.book().sweep(snapshot.now_ms());
            let all: Vec<Proposal> = self.book().all().map(|(_, proposal)| proposal.clone()).collect();
            let shown: Vec<v1::Proposal> = all.iter().filter_map(|proposal| self.view(&person, &snapshot, proposal)).collect();
            if let Some(reason) = snapshot.failure() {
                return Err(Status::unavailable(reason));
            }
            let subjects = shown.iter().filter(|p| p.streams.iter().any(|stream| stream.starts_with("subject "))).count();
            (shown, subjects)
        };
        if about_subjects > 0 {
            let note = serde_json::json!({
                "at_ms": self.ledger.reading().now_ms,
                "key": person.key_id.to_string(),
                "call": "ListAwaiting",
                "proposals_about_subjects": about_subjects,
            });
            let _ = self.ledger.note(vec![(NoteKind::Access, note.to_string().into_bytes())]).await;
        }
        Ok(Response::new(ListAwaitingResponse { proposals: shown }))
    }

    async fn countersign(&self, request: Request<CountersignRequest>) -> Result<Response<CountersignResponse>, Status> {
        let person = self.auth.person(request.metadata())?;
        let request = request.into_inner();
        let id = id_of(&request.record_id)?;
        let given = request.signing.ok_or_else(|| errors::bad_field("FIELD_MISSING", "signing", "nothing", "your signing"))?;
        let signing = given.to_signing().map_err(|field| {
            errors::bad_field("SIGNING_MALFORMED", &format!("signing.{field}"), "a malformed value", "see view.proto, Signing")
        })?;
        if signing.key_id != person.key_id {
            let next = "let its owner send it";
            return Err(plain(
                Code::PermissionDenied,
                "SIGNING_NOT_YOURS",
                "somebody else's signing",
                "a signing with the key of your token",
                next,
            ));
        }
        let _changing = self.changing.lock().await;
        let mut proposal = self.open_proposal(&id, self.ledger.reading().now_ms)?;
        if !proposal.open_slots().contains(&signing.slot) {
            let found = format!("slot {}, which is signed or does not exist", signing.slot);
            return Err(plain(
                Code::FailedPrecondition,
                "SLOT_NOT_OPEN",
                found,
                "a slot without a signature",
                "list what awaits you again",
            ));
        }
        proposal.signings.push(signing);
        proposal.signings.sort_by_key(|signing| signing.slot);
        if proposal.open_slots().is_empty() {
            return self.append(&person, &id, &proposal).await.map(Response::new);
        }
        let opened = self.appender.open(Some(&proposal.signed()))?;
        self.check(&person, &opened)?;
        self.note(&person, &id, What::Signed(proposals::text_of(&given))).await?;
        let open_slots = proposal.open_slots().into_iter().map(u32::from).collect();
        Ok(Response::new(CountersignResponse { receipt: None, flags: Vec::new(), open_slots }))
    }

    async fn withdraw(&self, request: Request<WithdrawRequest>) -> Result<Response<WithdrawResponse>, Status> {
        let person = self.auth.person(request.metadata())?;
        let request = request.into_inner();
        let id = id_of(&request.record_id)?;
        let reason = request.reason.trim();
        if reason.is_empty() || reason.len() > MAX_REASON || reason.chars().any(|c| c.is_control() && c != '\n') {
            return Err(errors::bad_field(
                "TEXT_NOT_ALLOWED",
                "reason",
                "an empty or long text, or control characters",
                "1 to 1000 bytes of text",
            ));
        }
        let _changing = self.changing.lock().await;
        let proposal = self.open_proposal(&id, self.ledger.reading().now_ms)?;
        if !proposal.is_signed_by(&person.key_id) && self.slots_of(&person, &proposal).is_empty() {
            return Err(errors::not_found("proposal", &id.to_string()));
        }
        let snapshot = self.ledger.snapshot();
        let who = snapshot.authority().key(&person.key_id).map(|key| key.printed_name.clone()).unwrap_or_default();
        drop(snapshot);
        self.note(&person, &id, What::Ended(Ending::Withdrawn { because: format!("{who}: {reason}") })).await?;
        Ok(Response::new(WithdrawResponse {}))
    }
}
