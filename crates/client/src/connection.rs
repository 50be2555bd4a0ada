//! Talking to a ledger, and trusting nothing that its key has not signed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use marrowline_api::v1::append_stream_response::Outcome;
use marrowline_api::v1::attachment_service_client::AttachmentServiceClient;
use marrowline_api::v1::attachment_service_put_request::Part;
use marrowline_api::v1::clock_service_client::ClockServiceClient;
use marrowline_api::v1::countersign_service_client::CountersignServiceClient;
use marrowline_api::v1::custody_service_client::CustodyServiceClient;
use marrowline_api::v1::ledger_service_client::LedgerServiceClient;
use marrowline_api::v1::transparency_service_client::TransparencyServiceClient;
use marrowline_api::{Problem, token, v1};
use marrowline_merkle::{Checkpoint, SignedCheckpoint, VerifierKey, hash_from_slice, verify_consistency};
use marrowline_proof::{Receipt, ReceiptError, VerifiedReceipt};
use marrowline_record::digest;
use marrowline_record::pb::{Head, StreamKind};
use marrowline_record::signing::Signing;
use sha2::{Digest as _, Sha256};
use tokio_stream::StreamExt as _;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

/// Bytes of an evidence file in one message.
const ATTACHMENT_CHUNK: usize = 128 * 1024;

/// What a client must be given by other means than the server.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The log's verification key.
    pub log: VerifierKey,
    /// The certificate authority of the server's certificate, PEM.
    pub ca_pem: String,
}

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server refused, with reasons.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// The server cannot be reached, or is not the one that the authority vouches for.
    #[error("the server cannot be reached, or its certificate is not signed by the authority that was given: {0}")]
    Transport(String),
    /// The server's receipt does not hold: do not treat the record as appended.
    #[error("the server's receipt does not hold: {0}")]
    Receipt(#[from] ReceiptError),
    /// The server's log does not continue the one that this client has seen.
    #[error("the server shows another history than before: {0}")]
    History(String),
    /// An answer lacks what it must have.
    #[error("the server's answer lacks {0}")]
    Incomplete(&'static str),
    /// The machine gives no random bytes, so no record can be built.
    #[error("the machine gives no random bytes: {0}")]
    Randomness(String),
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        ClientError::Refused(Box::new(Problem::from_status(&status)))
    }
}

/// A record that is in the log, its receipt verified.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// The receipt.
    pub receipt: Receipt,
    /// What it says, verified.
    pub verified: VerifiedReceipt,
    /// What was found and did not stop it.
    pub flags: Vec<v1::Finding>,
}

/// What came of a signature on a proposal.
#[derive(Clone, Debug)]
pub enum Countersigned {
    /// It was the last one.
    Appended(Box<Acknowledged>),
    /// Others have still to sign.
    Awaiting {
        /// Their slots.
        open_slots: Vec<u32>,
    },
}

#[derive(Clone)]
struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// Where the ledger is, and the authority that its certificate must come from; nobody else's is believed.
fn endpoint_of(endpoint: &str, ca_pem: &str) -> Result<Endpoint, tonic::transport::Error> {
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca_pem));
    let endpoint = Endpoint::from_shared(endpoint.to_owned())?.tls_config(tls)?;
    Ok(endpoint.connect_timeout(Duration::from_secs(5)).tcp_nodelay(true))
}

type Wire = InterceptedService<Channel, Bearer>;

/// A connection of one person to one ledger.
pub struct Client {
    /// The log's key: the one that was given, or the one that it led to.
    log: Mutex<VerifierKey>,
    origin: String,
    ledger: LedgerServiceClient<Wire>,
    custody: CustodyServiceClient<Wire>,
    transparency: TransparencyServiceClient<Wire>,
    clock: ClockServiceClient<Wire>,
    countersign: CountersignServiceClient<Wire>,
    attachments: AttachmentServiceClient<Wire>,
    /// The newest checkpoint that was verified.
    last: Mutex<Option<SignedCheckpoint>>,
}

impl Client {
    /// Connects and shows a token of this key, valid for `seconds` from the wall clock's time on.
    pub async fn connect(endpoint: &str, trust: Trust, key: &SigningKey, seconds: i64) -> Result<Client, ClientError> {
        let transport = |e: tonic::transport::Error| ClientError::Transport(describe(&e));
        let channel = endpoint_of(endpoint, &trust.ca_pem).map_err(transport)?.connect().await.map_err(transport)?;
        let now_s = crate::now(0).unix_ms / 1_000;
        let bearer = format!("Bearer {}", token::make(key, trust.log.name(), now_s, seconds));
        let bearer = Bearer(bearer.parse().map_err(|_| ClientError::Incomplete("a token that fits a header"))?);
        let limit = 64 * 1024 * 1024;
        Ok(Client {
            ledger: LedgerServiceClient::with_interceptor(channel.clone(), bearer.clone()).max_decoding_message_size(limit),
            custody: CustodyServiceClient::with_interceptor(channel.clone(), bearer.clone()).max_decoding_message_size(limit),
            transparency: TransparencyServiceClient::with_interceptor(channel.clone(), bearer.clone()),
            attachments: AttachmentServiceClient::with_interceptor(channel.clone(), bearer.clone())
                .max_decoding_message_size(limit),
            countersign: CountersignServiceClient::with_interceptor(channel.clone(), bearer.clone())
                .max_decoding_message_size(limit),
            clock: ClockServiceClient::with_interceptor(channel, bearer),
            origin: trust.log.name().to_owned(),
            log: Mutex::new(trust.log),
            last: Mutex::new(None),
        })
    }

    /// The ledger's origin.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The services as they are. Hand the checkpoint that an answer rests on to [`Client::follow`] before relying on it.
    pub fn custody(&self) -> CustodyServiceClient<InterceptedService<Channel, impl Interceptor + Clone + use<>>> {
        self.custody.clone()
    }

    /// Appends a record; returns when the receipt is verified.
    pub async fn append(&self, record: Vec<u8>, signings: &[Signing]) -> Result<Acknowledged, ClientError> {
        let sent = digest(&record);
        let request = v1::AppendRequest { record: Some(signed(record, signings)), last_checkpoint: self.last_note() };
        let response = self.ledger.clone().append(request).await?.into_inner();
        self.acknowledge(response, Some((sent, signings))).await
    }

    /// Appends several records, all or none; returns when every receipt is verified.
    pub async fn append_batch(&self, records: Vec<(Vec<u8>, Vec<Signing>)>) -> Result<Vec<Acknowledged>, ClientError> {
        let sent: Vec<_> = records.iter().map(|(bytes, signings)| (digest(bytes), signings.clone())).collect();
        let request = v1::AppendBatchRequest {
            records: records.into_iter().map(|(bytes, signings)| signed(bytes, &signings)).collect(),
            last_checkpoint: self.last_note(),
        };
        let responses = self.ledger.clone().append_batch(request).await?.into_inner().responses;
        if responses.len() != sent.len() {
            return Err(ClientError::Incomplete("a receipt for each record"));
        }
        let mut acknowledged = Vec::with_capacity(sent.len());
        for (response, (digest, signings)) in responses.into_iter().zip(&sent) {
            acknowledged.push(self.acknowledge(response, Some((*digest, signings))).await?);
        }
        Ok(acknowledged)
    }

    async fn acknowledge(
        &self,
        response: v1::AppendResponse,
        sent: Option<(marrowline_record::id::Digest, &[Signing])>,
    ) -> Result<Acknowledged, ClientError> {
        let receipt: Receipt = response.receipt.ok_or(ClientError::Incomplete("a receipt"))?.into();
        let verified = self.verify(&receipt, sent.map(|(digest, _)| digest)).await?;
        if let Some((_, signings)) = sent
            && signings.iter().any(|s| !verified.leaf().signings.contains(s))
        {
            return Err(ClientError::Incomplete("a leaf with the signatures that were sent"));
        }
        Ok(Acknowledged { receipt, verified, flags: response.flags })
    }

    /// The log's key: the one that was given, or the one that it led to.
    pub fn log_key(&self) -> VerifierKey {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Verifies a receipt against the log's key, and its checkpoint against the newest one seen before.
    pub async fn verify(
        &self,
        receipt: &Receipt,
        expected: Option<marrowline_record::id::Digest>,
    ) -> Result<VerifiedReceipt, ClientError> {
        let verified = match receipt.verify(&self.log_key(), expected) {
            Err(error) if !self.renew_log_key().await? => return Err(error.into()),
            Err(_) => receipt.verify(&self.log_key(), expected)?,
            Ok(verified) => verified,
        };
        self.follow(verified.note()).await?;
        Ok(verified)
    }

    /// Follows the log's key to its successors, if it has any: each is named by a record whose receipt the key before it has signed, says
    /// itself that it follows that one, and has signed the same checkpoint. Whether the key has changed.
    async fn renew_log_key(&self) -> Result<bool, ClientError> {
        let keys = self.transparency.clone().list_log_keys(v1::ListLogKeysRequest {}).await?.into_inner().keys;
        let mut present = self.log_key();
        for handover in keys.into_iter().filter_map(|key| key.handover) {
            present = crate::succession::followed(&present, &handover.into())?.unwrap_or(present);
        }
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = *log != present;
        *log = present;
        Ok(is_new)
    }

    async fn open_note(&self, note: &str) -> Result<SignedCheckpoint, ClientError> {
        let history = |e: &dyn std::fmt::Display| ClientError::History(e.to_string());
        match SignedCheckpoint::open(note, &self.log_key()) {
            Err(error) if !self.renew_log_key().await? => Err(history(&error)),
            Err(_) => SignedCheckpoint::open(note, &self.log_key()).map_err(|e| history(&e)),
            Ok(signed) => Ok(signed),
        }
    }

    /// Checks that a checkpoint (a receipt's, or the one that an answer rests on) is signed by the log's key, and that it continues, or is
    /// continued by, the newest one that was seen.
    pub async fn follow(&self, note: &str) -> Result<(), ClientError> {
        let history = |e: &dyn std::fmt::Display| ClientError::History(e.to_string());
        let next = self.open_note(note).await?;
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(last) = &last {
            let (a, b) = (last.checkpoint(), next.checkpoint());
            let (old, new) = if a.size() <= b.size() { (a, b) } else { (b, a) };
            if old.size() == new.size() {
                if old.root() != new.root() {
                    return Err(ClientError::History(format!("two roots for {} records", old.size())));
                }
            } else {
                let request = v1::GetConsistencyProofRequest { old_size: old.size(), new_size: new.size() };
                let proof = self.transparency.clone().get_consistency_proof(request).await?.into_inner();
                let hashes =
                    proof.hashes.iter().map(|h| hash_from_slice(h).map_err(|e| history(&e))).collect::<Result<Vec<_>, _>>()?;
                verify_consistency(old.size(), new.size(), old.root(), new.root(), &hashes).map_err(|e| history(&e))?;
            }
        }
        let mut newest = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.as_ref().is_none_or(|n| n.checkpoint().size() < next.checkpoint().size()) {
            *newest = Some(next);
        }
        Ok(())
    }

    /// The log's present checkpoint, verified and followed from the newest one that was seen.
    pub async fn checkpoint(&self) -> Result<Checkpoint, ClientError> {
        let note = self.transparency.clone().get_checkpoint(v1::GetCheckpointRequest {}).await?.into_inner().checkpoint;
        self.follow(&note).await?;
        let signed = self.open_note(&note).await?;
        Ok(signed.checkpoint().clone())
    }

    fn last_note(&self) -> String {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|c| c.note().to_string()).unwrap_or_default()
    }

    /// What Append would say now.
    pub async fn judge(&self, record: Vec<u8>, signings: &[Signing]) -> Result<v1::JudgeResponse, ClientError> {
        let request = v1::JudgeRequest { record: Some(signed(record, signings)) };
        Ok(self.ledger.clone().judge(request).await?.into_inner())
    }

    /// The head of a stream, as records that extend it must have seen it; `None` if it has no records.
    pub async fn head(&self, kind: StreamKind, id: [u8; 16]) -> Result<Option<Head>, ClientError> {
        let request = v1::GetStreamHeadRequest { kind: kind.into(), id: id.to_vec() };
        Ok(self.ledger.clone().get_stream_head(request).await?.into_inner().head)
    }

    /// A record by its leaf's number, with its receipt verified.
    pub async fn record_at(&self, index: u64) -> Result<(VerifiedReceipt, v1::StepView), ClientError> {
        let request = v1::GetRecordRequest { record_id: Vec::new(), index: Some(index) };
        let response = self.ledger.clone().get_record(request).await?.into_inner();
        let receipt: Receipt = response.receipt.ok_or(ClientError::Incomplete("a receipt"))?.into();
        let verified = self.verify(&receipt, None).await?;
        Ok((verified, response.step.unwrap_or_default()))
    }

    /// The digest of a record, from its verified receipt.
    pub async fn digest_of(&self, record_id: [u8; 16]) -> Result<[u8; 32], ClientError> {
        Ok(self.record(record_id).await?.0.leaf().digest.0)
    }

    /// A record by its id, with its receipt verified, and the record in words.
    pub async fn record(&self, record_id: [u8; 16]) -> Result<(VerifiedReceipt, v1::StepView), ClientError> {
        let (verified, told) = self.record_in_words(record_id).await?;
        Ok((verified, told.step.unwrap_or_default()))
    }

    /// The same, with every field and stream in words.
    pub async fn record_in_words(&self, record_id: [u8; 16]) -> Result<(VerifiedReceipt, v1::GetRecordResponse), ClientError> {
        let request = v1::GetRecordRequest { record_id: record_id.to_vec(), index: None };
        let response = self.ledger.clone().get_record(request).await?.into_inner();
        let receipt: Receipt = response.receipt.clone().ok_or(ClientError::Incomplete("a receipt"))?.into();
        let verified = self.verify(&receipt, None).await?;
        if verified.record().record_id != record_id {
            return Err(ClientError::Incomplete("the record that was asked for"));
        }
        Ok((verified, response))
    }

    /// Appends records one after the other over one stream; each answer is passed on in order, its receipt verified. `next` is asked for the
    /// next record when the server has room for it.
    pub async fn append_stream(
        &self,
        records: impl tokio_stream::Stream<Item = (Vec<u8>, Vec<Signing>)> + Send + 'static,
        mut answered: impl FnMut(u64, Result<Acknowledged, ClientError>),
    ) -> Result<u64, ClientError> {
        let sent = std::sync::Arc::new(std::sync::Mutex::new(std::collections::VecDeque::new()));
        let remembered = std::sync::Arc::clone(&sent);
        let requests = records.map(move |(record, signings)| {
            let digest = marrowline_record::digest(&record);
            remembered.lock().unwrap_or_else(PoisonError::into_inner).push_back((digest, signings.clone()));
            v1::AppendStreamRequest {
                record: Some(v1::SignedRecord { record, signings: signings.iter().map(v1::Signing::from).collect() }),
            }
        });
        let mut answers = self.ledger.clone().append_stream(requests).await?.into_inner();
        let mut count = 0;
        while let Some(answer) = answers.message().await? {
            let known = sent.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let (digest, signings) =
                known.filter(|_| answer.number == count).ok_or(ClientError::Incomplete("answers in order"))?;
            count += 1;
            match answer.outcome.ok_or(ClientError::Incomplete("an outcome"))? {
                Outcome::Appended(response) => {
                    let acknowledged = self.acknowledge(response, Some((digest, &signings))).await;
                    answered(answer.number, acknowledged);
                }
                Outcome::RefusedStatus(bytes) => {
                    answered(answer.number, Err(ClientError::Refused(Box::new(Problem::from_bytes(&bytes)))))
                }
            }
        }
        Ok(count)
    }

    /// Keeps an evidence file; its digest, and whether it had been there before.
    pub async fn put_attachment(&self, bytes: Vec<u8>) -> Result<([u8; 32], bool), ClientError> {
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let announced = v1::AttachmentAnnounced { digest: digest.to_vec(), size };
        let mut parts = vec![Part::Announced(announced)];
        parts.extend(bytes.chunks(ATTACHMENT_CHUNK).map(|chunk| Part::Chunk(chunk.to_vec())));
        let requests = parts.into_iter().map(|part| v1::AttachmentServicePutRequest { part: Some(part) });
        let response = self.attachments.clone().put(tokio_stream::iter(requests)).await?.into_inner();
        Ok((digest, response.was_known))
    }

    /// An evidence file, its digest verified here.
    pub async fn attachment(&self, digest: [u8; 32]) -> Result<Vec<u8>, ClientError> {
        let request = v1::AttachmentServiceGetRequest { digest: digest.to_vec() };
        let mut parts = self.attachments.clone().get(request).await?.into_inner();
        let mut bytes = Vec::new();
        while let Some(part) = parts.message().await? {
            bytes.extend(part.chunk);
        }
        if <[u8; 32]>::from(Sha256::digest(&bytes)) != digest {
            return Err(ClientError::Incomplete("the bytes of this digest"));
        }
        Ok(bytes)
    }

    /// A page of files that no record names, and of digests whose files are not there.
    pub async fn orphans(&self, request: v1::ListOrphansRequest) -> Result<v1::ListOrphansResponse, ClientError> {
        Ok(self.attachments.clone().list_orphans(request).await?.into_inner())
    }

    /// Keeps a decision that others have still to sign. Returns the last moment at which it can be appended, Unix ms.
    pub async fn propose(&self, record: Vec<u8>, signings: &[Signing]) -> Result<i64, ClientError> {
        let record = v1::SignedRecord { record, signings: signings.iter().map(v1::Signing::from).collect() };
        let request = v1::ProposeRequest { record: Some(record) };
        Ok(self.countersign.clone().propose(request).await?.into_inner().expires_at_ms)
    }

    /// Decisions that this person can sign, has signed or has proposed.
    pub async fn awaiting(&self) -> Result<Vec<v1::Proposal>, ClientError> {
        Ok(self.countersign.clone().list_awaiting(v1::ListAwaitingRequest {}).await?.into_inner().proposals)
    }

    /// Adds a signature to a proposal. With the last one the record is in the log: its receipt is verified, and names the record that was
    /// signed.
    pub async fn countersign(&self, record: &[u8], signing: &Signing) -> Result<Countersigned, ClientError> {
        let decoded = marrowline_record::decode(record).map_err(|_| ClientError::Incomplete("a record that can be read"))?;
        let request = v1::CountersignRequest { record_id: decoded.record_id, signing: Some(signing.into()) };
        let response = self.countersign.clone().countersign(request).await?.into_inner();
        let Some(receipt) = response.receipt else {
            return Ok(Countersigned::Awaiting { open_slots: response.open_slots });
        };
        let receipt: Receipt = receipt.into();
        let verified = self.verify(&receipt, Some(marrowline_record::digest(record))).await?;
        if !verified.leaf().signings.contains(signing) {
            return Err(ClientError::Incomplete("a leaf with the signature that was sent"));
        }
        Ok(Countersigned::Appended(Box::new(Acknowledged { receipt, verified, flags: response.flags })))
    }

    /// Takes a proposal back, or declines to sign it.
    pub async fn withdraw(&self, record_id: [u8; 16], reason: &str) -> Result<(), ClientError> {
        let request = v1::WithdrawRequest { record_id: record_id.to_vec(), reason: reason.to_owned() };
        self.countersign.clone().withdraw(request).await?;
        Ok(())
    }

    /// Records of a stream, or of the whole log, in pages.
    pub async fn list(&self, request: v1::ListRecordsRequest) -> Result<v1::ListRecordsResponse, ClientError> {
        Ok(self.ledger.clone().list_records(request).await?.into_inner())
    }

    /// Records from an index on, then each new one.
    pub async fn watch(&self, from_index: u64) -> Result<tonic::Streaming<v1::WatchResponse>, ClientError> {
        Ok(self.ledger.clone().watch(v1::WatchRequest { from_index }).await?.into_inner())
    }

    /// The ledger's time, and whether it is TRAINING.
    pub async fn clock(&self) -> Result<v1::GetClockResponse, ClientError> {
        Ok(self.clock.clone().get_clock(v1::GetClockRequest {}).await?.into_inner())
    }

    /// Moves the simulated clock of a TRAINING ledger.
    pub async fn advance_clock(&self, to_unix_ms: i64) -> Result<(), ClientError> {
        self.clock.clone().advance_clock(v1::AdvanceClockRequest { to_unix_ms }).await?;
        Ok(())
    }
}

fn signed(record: Vec<u8>, signings: &[Signing]) -> v1::SignedRecord {
    v1::SignedRecord { record, signings: signings.iter().map(v1::Signing::from).collect() }
}

/// An error with its causes: "transport error" alone helps nobody.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use marrowline_record::testing::{Noise, cases};

    use super::*;

    /// `ca.pem`, spoiled: it is refused, or trusts other certificates or none. Nothing panics.
    #[tokio::test]
    async fn a_spoiled_authority_is_refused_or_trusts_somebody_else() {
        let cases = cases(2_000).min(50_000);
        let mut noise = Noise(0x0063_612e_7065);
        let key = rcgen::KeyPair::generate().unwrap();
        let good = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
        let place = "https://localhost:1";
        assert!(endpoint_of(place, &good).is_ok());
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..cases {
            match endpoint_of(place, &noise.spoiled_text(&good)) {
                Ok(_) => taken += 1,
                Err(_) => refused += 1,
            }
        }
        println!("{cases} spoiled authorities: {taken} taken, {refused} refused");
        assert!(taken > 0 && refused > 0, "{taken} {refused} of {cases}");
    }
}
