//! Evidence files: put by whoever may sign, read by whoever may read a record that names them.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use marrowline_api::errors::{self, Words};
use marrowline_api::v1::attachment_service_put_request::Part;
use marrowline_api::v1::attachment_service_server::AttachmentService;
use marrowline_api::v1::{
    AttachmentServiceGetRequest, AttachmentServiceGetResponse, AttachmentServicePutRequest, AttachmentServicePutResponse,
    ListOrphansRequest, ListOrphansResponse,
};
use marrowline_attachments::{AttachmentError, Attachments, Digest, Incoming};
use marrowline_ledger::Ledger;
use marrowline_record::id::KeyId;
use marrowline_record::pb::Role;
use marrowline_rules::View as _;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::auth::{Auth, Person};
use crate::{overview, page_token, reading};

/// Largest file, bytes.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Largest chunk, bytes.
const MAX_CHUNK: usize = 256 * 1024;
/// Files that are received at once.
const AT_ONCE: usize = 8;
/// Longest pause between two chunks.
const PATIENCE: Duration = Duration::from_secs(30);
/// Files whose sender is remembered.
const REMEMBERED: usize = 10_000;

/// The service.
pub struct Service {
    ledger: Ledger,
    auth: Auth,
    attachments: Attachments,
    receiving: Arc<Semaphore>,
    /// Who put what since the server started: they read it before a record names it.
    put_by: Mutex<BTreeSet<(KeyId, Digest)>>,
}

fn refused(error: &AttachmentError) -> Status {
    let (code, name, next) = match error {
        AttachmentError::Store(_) | AttachmentError::Disk(_) => (
            Code::Unavailable,
            "ATTACHMENT_STORE_FAILED",
            "free some space, mend the disk or the way to the bucket; put it again",
        ),
        AttachmentError::Differs { .. } => (Code::InvalidArgument, "ATTACHMENT_DIFFERS", "hash the file again and put it again"),
        AttachmentError::Unknown(digest) => return errors::not_found("attachment", digest),
        AttachmentError::Damaged(_) => {
            (Code::DataLoss, "ATTACHMENT_DAMAGED", "restore it from a backup; whoever put it may put it again")
        }
    };
    errors::status(code, &Words { code: name, found: error.to_string(), allowed: "the bytes of the digest".to_owned(), next })
}

/// The same for a file that is not there and for one that this reader may not read.
fn not_yours(digest: &Digest) -> Status {
    let words = Words {
        code: "NOT_FOUND",
        found: format!("attachment `{}`, which no record names that you may read", hex::encode(digest)),
        allowed: "the digest of a file in a record that you may read".to_owned(),
        next: "check the digest; ask someone who may read the record",
    };
    errors::status(Code::NotFound, &words)
}

fn digest_of(bytes: &[u8], path: &str) -> Result<Digest, Status> {
    bytes.try_into().map_err(|_| errors::bad_field("BYTES_LENGTH_WRONG", path, "another length", "32 bytes"))
}

impl Service {
    /// Of this ledger.
    pub fn new(ledger: Ledger, auth: Auth, attachments: Attachments) -> Service {
        let receiving = Arc::new(Semaphore::new(AT_ONCE));
        Service { ledger, auth, attachments, receiving, put_by: Mutex::default() }
    }

    fn remember(&self, person: &Person, digest: Digest) {
        let mut put_by = self.put_by.lock().unwrap_or_else(PoisonError::into_inner);
        if put_by.len() >= REMEMBERED {
            put_by.clear();
        }
        put_by.insert((person.key_id, digest));
    }

    /// Who may not read a file learns no more than that it is not there.
    fn may_read(&self, person: &Person, digest: &Digest) -> Result<bool, Status> {
        if person.is(Role::Auditor)
            || self.put_by.lock().unwrap_or_else(PoisonError::into_inner).contains(&(person.key_id, *digest))
        {
            return Ok(true);
        }
        let records = self.ledger.records_naming(digest).map_err(|e| errors::store(&e))?;
        let snapshot = self.ledger.snapshot();
        let may =
            records.iter().filter_map(|id| snapshot.entry(id)).any(|entry| reading::may_read_entry(person, &snapshot, &entry));
        match snapshot.failure() {
            Some(reason) => Err(Status::unavailable(reason)),
            None => Ok(may),
        }
    }

    async fn receive(&self, requests: &mut Streaming<AttachmentServicePutRequest>) -> Result<(Digest, bool), Status> {
        let first = next(requests).await?;
        let Some(Part::Announced(announced)) = first.and_then(|request| request.part) else {
            return Err(errors::bad_field("FIELD_MISSING", "announced", "another first message", "digest and size first"));
        };
        let digest = digest_of(&announced.digest, "announced.digest")?;
        if announced.size == 0 {
            return Err(errors::bad_field("ATTACHMENT_EMPTY", "announced.size", "an empty file", "1 byte to 64 MiB"));
        }
        if announced.size > MAX_BYTES {
            let found = format!("{} bytes", announced.size);
            return Err(errors::bad_field("ATTACHMENT_TOO_LARGE", "announced.size", &found, "1 byte to 64 MiB"));
        }
        let mut incoming = self.attachments.receive(digest, announced.size).await.map_err(|e| refused(&e))?;
        let was_known = incoming.was_known();
        match fill(&mut incoming, requests).await {
            Ok(()) => incoming.finish().await.map_err(|e| refused(&e))?,
            Err(status) => {
                incoming.abort().await;
                return Err(status);
            }
        }
        Ok((digest, was_known))
    }
}

async fn next(requests: &mut Streaming<AttachmentServicePutRequest>) -> Result<Option<AttachmentServicePutRequest>, Status> {
    let message = tokio::time::timeout(PATIENCE, requests.message()).await.map_err(|_| errors::too_late(PATIENCE))?;
    message.map_err(errors::received)
}

async fn fill(incoming: &mut Incoming, requests: &mut Streaming<AttachmentServicePutRequest>) -> Result<(), Status> {
    while let Some(request) = next(requests).await? {
        let Some(Part::Chunk(chunk)) = request.part else {
            return Err(errors::bad_field("FIELD_MISSING", "chunk", "another message", "bytes"));
        };
        if chunk.len() > MAX_CHUNK {
            let found = format!("{} bytes", chunk.len());
            return Err(errors::bad_field("CHUNK_TOO_LARGE", "chunk", &found, "at most 256 KiB"));
        }
        incoming.write(chunk).await.map_err(|e| refused(&e))?;
    }
    Ok(())
}

type GetStream = Pin<Box<dyn tokio_stream::Stream<Item = Result<AttachmentServiceGetResponse, Status>> + Send>>;

#[tonic::async_trait]
impl AttachmentService for Service {
    async fn put(
        &self,
        request: Request<Streaming<AttachmentServicePutRequest>>,
    ) -> Result<Response<AttachmentServicePutResponse>, Status> {
        let person = self.auth.person(request.metadata())?;
        if person.roles.is_empty() {
            return Err(errors::read_not_permitted("attachments", "someone with a role"));
        }
        let Ok(_room) = self.receiving.try_acquire() else {
            let words = Words {
                code: "TOO_MANY_UPLOADS",
                found: format!("{AT_ONCE} files on their way"),
                allowed: "one more when one is done".to_owned(),
                next: "wait some seconds and put it again",
            };
            return Err(errors::status(Code::ResourceExhausted, &words));
        };
        let (digest, was_known) = self.receive(&mut request.into_inner()).await?;
        self.remember(&person, digest);
        Ok(Response::new(AttachmentServicePutResponse { was_known }))
    }

    type GetStream = GetStream;

    async fn get(&self, request: Request<AttachmentServiceGetRequest>) -> Result<Response<Self::GetStream>, Status> {
        let person = self.auth.person(request.metadata())?;
        let digest = digest_of(&request.get_ref().digest, "digest")?;
        if !self.may_read(&person, &digest)? {
            return Err(not_yours(&digest));
        }
        let (size, mut pieces) = self.attachments.read(&digest).await.map_err(|e| refused(&e))?;
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(async move {
            let mut first = Some(size);
            while let Some(piece) = pieces.next().await {
                let answer = piece.map_err(|e| refused(&e));
                let chunks = match answer {
                    Ok(bytes) => bytes.chunks(MAX_CHUNK).map(|chunk| Ok(chunk.to_vec())).collect::<Vec<_>>(),
                    Err(status) => vec![Err(status)],
                };
                for chunk in chunks {
                    let message = chunk.map(|chunk| AttachmentServiceGetResponse { size: first.take().unwrap_or(0), chunk });
                    let is_last = message.is_err();
                    if sender.send(message).await.is_err() || is_last {
                        return;
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn list_orphans(&self, request: Request<ListOrphansRequest>) -> Result<Response<ListOrphansResponse>, Status> {
        let person = self.auth.person(request.metadata())?;
        if !person.is(Role::Auditor) && !person.is(Role::QualityAssurance) {
            return Err(errors::read_not_permitted("orphans", "an auditor, or QA"));
        }
        let size = overview::size(request.get_ref().page_size, 1_000, 1_000)?;
        let from: Digest = page_token::digest(&request.get_ref().page_token)?;
        let here = self.attachments.list().await.map_err(|e| refused(&e))?;
        let named = self.ledger.evidence_named(&from).map_err(|e| errors::store(&e))?;
        // A page looks at what lies below the first digest that it has not seen, of both lists.
        let mut seen: Vec<Digest> = here.iter().filter(|digest| **digest >= from).take(size).copied().collect();
        seen.extend(&named);
        seen.sort_unstable();
        seen.dedup();
        let next = if seen.len() > size { seen.drain(size..).next() } else { None };
        let (here, named): (BTreeSet<Digest>, BTreeSet<Digest>) = (here.into_iter().collect(), named.into_iter().collect());
        let list = |which: &dyn Fn(&Digest) -> bool| seen.iter().filter(|d| which(d)).map(|d| d.to_vec()).collect();
        Ok(Response::new(ListOrphansResponse {
            unnamed: list(&|digest| !named.contains(digest)),
            missing: list(&|digest| !here.contains(digest)),
            next_page_token: next.map(hex::encode).unwrap_or_default(),
        }))
    }
}
