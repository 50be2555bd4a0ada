//! Appending and reading records.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use marrowline_api::errors;
use marrowline_api::token::Token;
use marrowline_api::v1::ledger_service_server::LedgerService;
use marrowline_api::v1::{
    AppendBatchRequest, AppendBatchResponse, AppendRequest, AppendResponse, AppendStreamRequest, AppendStreamResponse, Finding,
    GetRecordRequest, GetRecordResponse, GetStreamHeadRequest, GetStreamHeadResponse, JudgeRequest, JudgeResponse,
    ListRecordsRequest, ListRecordsResponse, LoggedRecord, StepView, WatchRequest, WatchResponse,
};
use marrowline_ledger::Ledger;
use marrowline_ledger::store::NoteKind;
use marrowline_record::entry::Entry;
use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::{Head, StreamKind};
use marrowline_record::stream::stream_key;
use marrowline_rules::{Verdict, View};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::append::Appender;
use crate::append_stream;
use crate::auth::{self, Auth, Person};
use crate::{asked, in_words, page_token, reading, views};

/// Most records in one batch: one commit.
const MAX_BATCH: usize = 256;
/// Most records in a page.
const MAX_PAGE: u32 = 500;

/// The service.
pub struct Service {
    ledger: Ledger,
    auth: Auth,
    appender: Arc<Appender>,
    /// Becomes true when the server ends: streams end then.
    ended: watch::Receiver<bool>,
}

impl Service {
    /// Of this ledger; streams end with `ended`.
    pub fn new(ledger: Ledger, auth: Auth, appender: Arc<Appender>, ended: watch::Receiver<bool>) -> Service {
        Service { ledger, auth, appender, ended }
    }

    /// A record as this person may see it.
    fn logged(&self, person: &Person, entry: &Entry) -> Result<LoggedRecord, Status> {
        let (leaf, record) = self
            .ledger
            .verbatim(entry.index)
            .map_err(|e| errors::store(&e))?
            .ok_or_else(|| errors::not_found("record", &entry.index.to_string()))?;
        let snapshot = self.ledger.snapshot();
        if reading::may_read_entry(person, &snapshot, entry) {
            return Ok(LoggedRecord {
                index: entry.index,
                leaf,
                record,
                step: Some(views::step(entry, &snapshot.authority(), views::version(&snapshot, entry).as_ref())),
            });
        }
        Ok(LoggedRecord {
            index: entry.index,
            leaf,
            record: Vec::new(),
            step: Some(StepView { index: entry.index, recorded_at_ms: entry.recorded_at_ms, ..StepView::default() }),
        })
    }

    fn find(&self, request: &GetRecordRequest) -> Result<Entry, Status> {
        let index = match (request.record_id.is_empty(), request.index) {
            (false, _) => {
                let id = RecordId::from_slice(&request.record_id).ok_or_else(|| {
                    errors::bad_field("RECORD_ID_NOT_UUIDV7", "record_id", "other bytes", "16 bytes of a UUIDv7")
                })?;
                let found = self.ledger.index_of(&id).map_err(|e| errors::store(&e))?;
                found.ok_or_else(|| errors::not_found("record", &id.to_string()))?
            }
            (true, Some(index)) => index,
            (true, None) => {
                return Err(errors::bad_field("FIELD_MISSING", "record_id", "nothing", "record_id or index"));
            }
        };
        let entry = self.ledger.entry(index).map_err(|e| errors::store(&e))?;
        entry.ok_or_else(|| errors::not_found("record", &index.to_string()))
    }

    /// Leaves a note of who read which records about subjects; a page is one note.
    async fn note_access(&self, person: &Person, call: &'static str, entries: &[&Entry]) {
        let about_subjects = entries.iter().filter(|entry| reading::is_about_subject(entry));
        let records: Vec<String> = about_subjects.map(|entry| entry.record_id().to_string()).collect();
        if !records.is_empty() {
            self.note(person, serde_json::json!({"call": call, "records": records})).await;
        }
    }

    async fn note(&self, person: &Person, mut what: serde_json::Value) {
        if let Some(fields) = what.as_object_mut() {
            fields.insert("at_ms".to_owned(), self.ledger.reading().now_ms.into());
            fields.insert("key".to_owned(), person.key_id.to_string().into());
        }
        let _ = self.ledger.note(vec![(NoteKind::Access, what.to_string().into_bytes())]).await;
    }

    fn page(&self, request: &ListRecordsRequest) -> Result<(Vec<Entry>, Option<u64>), Status> {
        let size = match request.page_size {
            0 => 100,
            n if n <= MAX_PAGE => n,
            n => {
                return Err(errors::bad_field("NUMBER_OUT_OF_RANGE", "page_size", &n.to_string(), "1 to 500"));
            }
        };
        let from = page_token::number(&request.page_token)?;
        let limit = usize::try_from(size).unwrap_or(usize::MAX);
        let kind: StreamKind = asked::known(request.stream_kind, "stream_kind", "StreamKind")?;
        let entries = if kind == StreamKind::Unspecified {
            if !request.stream_id.is_empty() {
                return Err(errors::bad_field(
                    "FIELD_MISSING",
                    "stream_kind",
                    "an id without its kind",
                    "the kind of the stream",
                ));
            }
            let end = from.saturating_add(u64::from(size)).min(self.ledger.size());
            (from..end).filter_map(|index| self.ledger.entry(index).transpose()).collect::<Result<Vec<_>, _>>()
        } else {
            let id: [u8; 16] = request
                .stream_id
                .as_slice()
                .try_into()
                .map_err(|_| errors::bad_field("BYTES_LENGTH_WRONG", "stream_id", "another length", "16 bytes"))?;
            self.ledger.stream_entries(kind, &Id16(id), from.saturating_add(1), limit)
        }
        .map_err(|e| errors::store(&e))?;
        let next = (entries.len() == limit).then(|| from.saturating_add(u64::from(size)));
        Ok((entries, next))
    }
}

type AppendStreamStream = Pin<Box<dyn tokio_stream::Stream<Item = Result<AppendStreamResponse, Status>> + Send>>;
type WatchStream = Pin<Box<dyn tokio_stream::Stream<Item = Result<WatchResponse, Status>> + Send>>;

#[tonic::async_trait]
impl LedgerService for Service {
    async fn append(&self, request: Request<AppendRequest>) -> Result<Response<AppendResponse>, Status> {
        let sender = self.auth.key(request.metadata())?;
        let request = request.into_inner();
        if !request.last_checkpoint.is_empty() {
            self.ledger.seen_checkpoint(&request.last_checkpoint);
        }
        let opened = self.appender.open(request.record.as_ref())?;
        let response = self.appender.append(sender, vec![opened]).await?.pop();
        response.map(Response::new).ok_or_else(|| Status::internal("an append without an answer"))
    }

    async fn append_batch(&self, request: Request<AppendBatchRequest>) -> Result<Response<AppendBatchResponse>, Status> {
        let sender = self.auth.key(request.metadata())?;
        let request = request.into_inner();
        if !request.last_checkpoint.is_empty() {
            self.ledger.seen_checkpoint(&request.last_checkpoint);
        }
        if request.records.is_empty() || request.records.len() > MAX_BATCH {
            let code = if request.records.is_empty() { "TOO_FEW_ITEMS" } else { "TOO_MANY_ITEMS" };
            let found = format!("{} records", request.records.len());
            return Err(errors::bad_field(code, "records", &found, "1 to 256 records"));
        }
        let opened = request.records.iter().zip(0usize..).map(|(record, number)| {
            self.appender.open(Some(record)).map_err(|status| errors::of_item(&status, &format!("records[{number}]")))
        });
        let opened = opened.collect::<Result<Vec<_>, _>>()?;
        let responses = self.appender.append(sender, opened).await?;
        Ok(Response::new(AppendBatchResponse { responses }))
    }

    type AppendStreamStream = AppendStreamStream;

    async fn append_stream(
        &self,
        request: Request<Streaming<AppendStreamRequest>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        let token = self.auth.token(request.metadata())?;
        let (sender, receiver) = mpsc::channel(append_stream::ANSWERS);
        let stream = append_stream::Stream {
            appender: Arc::clone(&self.appender),
            auth: self.auth.clone(),
            token,
            ended: self.ended.clone(),
        };
        tokio::spawn(stream.run(request.into_inner(), sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn judge(&self, request: Request<JudgeRequest>) -> Result<Response<JudgeResponse>, Status> {
        let sender = self.auth.person(request.metadata())?.key_id;
        let opened = self.appender.open(request.get_ref().record.as_ref())?;
        let (verdict, reading) = self.ledger.judge(&opened).map_err(|e| errors::refusal(&e))?;
        let (accepted, mut findings) = match verdict {
            Verdict::Accepted { flags } => (true, flags),
            Verdict::Refused { violations } => (false, violations),
        };
        self.appender.withhold(sender, opened.record(), &mut findings);
        Ok(Response::new(JudgeResponse {
            accepted,
            findings: findings.iter().map(Finding::from).collect(),
            judged_at_ms: reading.now_ms,
        }))
    }

    async fn get_record(&self, request: Request<GetRecordRequest>) -> Result<Response<GetRecordResponse>, Status> {
        let person = self.auth.person(request.metadata())?;
        let entry = self.find(request.get_ref())?;
        let snapshot = self.ledger.snapshot();
        if !reading::may_read_entry(&person, &snapshot, &entry) {
            return Err(errors::read_not_permitted(
                "this record",
                "someone with a role at a facility that took part, or an auditor",
            ));
        }
        let step = views::step(&entry, &snapshot.authority(), views::version(&snapshot, &entry).as_ref());
        let fields = in_words::fields(&snapshot, &person, &entry.record);
        let streams = in_words::streams(&snapshot, &entry.record);
        let signed_later = views::signed_later(&snapshot, &entry);
        drop(snapshot);
        self.note_access(&person, "GetRecord", &[&entry]).await;
        let checkpoint = self.ledger.checkpoint();
        let receipt = self.ledger.receipt(entry.index, &checkpoint).map_err(|e| errors::store(&e))?;
        Ok(Response::new(GetRecordResponse { receipt: Some(receipt.into()), step: Some(step), fields, streams, signed_later }))
    }

    async fn get_stream_head(&self, request: Request<GetStreamHeadRequest>) -> Result<Response<GetStreamHeadResponse>, Status> {
        self.auth.person(request.metadata())?;
        let request = request.get_ref();
        let id: [u8; 16] = request
            .id
            .as_slice()
            .try_into()
            .map_err(|_| errors::bad_field("BYTES_LENGTH_WRONG", "id", "another length", "16 bytes"))?;
        let kind: StreamKind = asked::known(request.kind, "kind", "StreamKind")?;
        let snapshot = self.ledger.snapshot();
        let head = snapshot.head(&stream_key(kind as u8, &id));
        match snapshot.failure() {
            Some(reason) => Err(Status::unavailable(reason)),
            None => Ok(Response::new(GetStreamHeadResponse {
                head: head.filter(|(seq, _)| *seq > 0).map(|(seq, hash)| Head { seq, hash: hash.to_vec() }),
            })),
        }
    }

    async fn list_records(&self, request: Request<ListRecordsRequest>) -> Result<Response<ListRecordsResponse>, Status> {
        let person = self.auth.person(request.metadata())?;
        let (entries, next) = self.page(request.get_ref())?;
        let records: Vec<LoggedRecord> = entries.iter().map(|e| self.logged(&person, e)).collect::<Result<_, _>>()?;
        let shown: Vec<&Entry> = entries.iter().zip(&records).filter(|(_, r)| !r.record.is_empty()).map(|(e, _)| e).collect();
        self.note_access(&person, "ListRecords", &shown).await;
        Ok(Response::new(ListRecordsResponse { records, next_page_token: next.map(|n| n.to_string()).unwrap_or_default() }))
    }

    type WatchStream = WatchStream;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<WatchStream>, Status> {
        let token = self.auth.token(request.metadata())?;
        let person = self.auth.person_of(&token)?;
        let index = request.get_ref().from_index;
        // From here on everything is read that the person may see: one note at each end instead of one for each record.
        self.note(&person, serde_json::json!({"call": "Watch", "from": index})).await;
        // A reader that is slow fills its own small queue and nothing else.
        let (sender, receiver) = mpsc::channel(64);
        let service = Service::new(self.ledger.clone(), self.auth.clone(), Arc::clone(&self.appender), self.ended.clone());
        tokio::spawn(async move {
            let next = service.feed(token, index, sender).await;
            service.note(&person, serde_json::json!({"call": "Watch", "from": index, "before": next})).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

impl Service {
    /// Sends records from an index on until the reader leaves, the server ends, or the token no longer holds. Says which one would have been next.
    async fn feed(&self, token: Token, mut index: u64, sender: mpsc::Sender<Result<WatchResponse, Status>>) -> u64 {
        let mut size = self.ledger.watch();
        let mut ended = self.ended.clone();
        let expiry = tokio::time::sleep(auth::remaining(&token));
        tokio::pin!(expiry);
        loop {
            while index < self.ledger.size() {
                let item = self.watched(&token, index);
                let failed = item.is_err();
                tokio::select! {
                    sent = sender.send(item) => if sent.is_err() || failed { return index },
                    _ = ended.wait_for(|e| *e) => return index,
                }
                index = index.saturating_add(1);
            }
            tokio::select! {
                changed = size.changed() => if changed.is_err() { return index },
                () = &mut expiry => {
                    if let Err(status) = self.auth.person_of(&token) {
                        let _ = sender.try_send(Err(status));
                        return index;
                    }
                    expiry.as_mut().reset(tokio::time::Instant::now() + Duration::from_secs(1));
                }
                _ = ended.wait_for(|e| *e) => return index,
                () = sender.closed() => return index,
            }
        }
    }

    /// A record for a watcher, with the roles that are in force now: a key that was revoked meanwhile sees nothing more.
    fn watched(&self, token: &Token, index: u64) -> Result<WatchResponse, Status> {
        let person = self.auth.person_of(token)?;
        let entry = self.ledger.entry(index).map_err(|e| errors::store(&e))?;
        let entry = entry.ok_or_else(|| errors::not_found("record", &index.to_string()))?;
        Ok(WatchResponse { record: Some(self.logged(&person, &entry)?) })
    }
}
