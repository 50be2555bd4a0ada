//! What the machine can do at best, measured beside the ledger: an echo over the same transport, signatures checked on two cores, a
//! bare `fdatasync`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::{Duration, Instant};

use ed25519_dalek::{Signer as _, SigningKey};
use marrowline_api::v1;
use marrowline_api::v1::ledger_service_server::{LedgerService, LedgerServiceServer};
use tokio::net::TcpListener;
use tonic::metadata::MetadataValue;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use super::program::Program;
use super::{failed, load, world};
use crate::ChoreError;

/// Bytes of the echoed message: about a record with one signing.
const ECHO_BYTES: usize = 500;

/// The echo server's options.
#[derive(clap::Args)]
pub struct Echo {
    /// Folder with `server.pem` and `server.key`.
    pub home: PathBuf,
}

/// Answers with what it was sent.
struct Echoing;

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl LedgerService for Echoing {
    async fn append(&self, request: Request<v1::AppendRequest>) -> Answer<v1::AppendResponse> {
        let record = request.into_inner().record.unwrap_or_default().record;
        Ok(Response::new(v1::AppendResponse {
            receipt: Some(v1::Receipt { record, ..v1::Receipt::default() }),
            flags: Vec::new(),
        }))
    }
    async fn append_batch(&self, _: Request<v1::AppendBatchRequest>) -> Answer<v1::AppendBatchResponse> {
        Err(Status::unimplemented("an echo"))
    }
    type AppendStreamStream = Pin<Box<dyn tokio_stream::Stream<Item = Result<v1::AppendStreamResponse, Status>> + Send>>;
    async fn append_stream(&self, _: Request<tonic::Streaming<v1::AppendStreamRequest>>) -> Answer<Self::AppendStreamStream> {
        Err(Status::unimplemented("an echo"))
    }
    async fn judge(&self, _: Request<v1::JudgeRequest>) -> Answer<v1::JudgeResponse> {
        Err(Status::unimplemented("an echo"))
    }
    async fn get_record(&self, _: Request<v1::GetRecordRequest>) -> Answer<v1::GetRecordResponse> {
        Err(Status::unimplemented("an echo"))
    }
    async fn get_stream_head(&self, _: Request<v1::GetStreamHeadRequest>) -> Answer<v1::GetStreamHeadResponse> {
        Err(Status::unimplemented("an echo"))
    }
    async fn list_records(&self, _: Request<v1::ListRecordsRequest>) -> Answer<v1::ListRecordsResponse> {
        Err(Status::unimplemented("an echo"))
    }
    type WatchStream = Pin<Box<dyn tokio_stream::Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;
    async fn watch(&self, _: Request<v1::WatchRequest>) -> Answer<Self::WatchStream> {
        Err(Status::unimplemented("an echo"))
    }
}

/// Serves the echo until the process is killed.
pub async fn serve(options: &Echo) -> Result<(), ChoreError> {
    let read = |name: &str| std::fs::read_to_string(options.home.join(name)).map_err(failed("certificate"));
    let identity = Identity::from_pem(read("server.pem")?, read("server.key")?);
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed("echo"))?;
    println!("listening on https://{}", listener.local_addr().map_err(failed("echo"))?);
    Server::builder()
        .tls_config(ServerTlsConfig::new().identity(identity))
        .map_err(failed("echo"))?
        .add_service(LedgerServiceServer::new(Echoing))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await
        .map_err(failed("echo"))
}

/// Calls in flight against the echo, over TLS, from this process.
pub async fn echo(home: &Path, time: Duration, in_flight: usize) -> Result<load::Outcome, ChoreError> {
    let this = std::env::current_exe().map_err(failed("echo"))?;
    let program = Program::start(&this, &["echo", &home.display().to_string()])?;
    let channels = world::connect(&program.endpoint, &world::read(home, "ca.pem")?).await?;
    let request = || v1::AppendRequest {
        record: Some(v1::SignedRecord { record: vec![7; ECHO_BYTES], signings: Vec::new() }),
        last_checkpoint: String::new(),
    };
    let each = (time.as_secs_f64() * 60_000.0 / in_flight as f64) as usize;
    let requests = (0..in_flight).map(|_| (0..each).map(|_| request()).collect()).collect();
    load::append(channels, MetadataValue::from_static("none"), requests, in_flight, time).await
}

/// `verify_strict` with parsed keys, on two threads.
pub fn verify_strict_per_second(time: Duration) -> f64 {
    let one = move || {
        let key = SigningKey::from_bytes(&[7; 32]);
        let public = key.verifying_key();
        let message = [1u8; 120];
        let signature = key.sign(&message);
        let begin = Instant::now();
        let mut count = 0u64;
        while begin.elapsed() < time {
            for _ in 0..64 {
                if public.verify_strict(std::hint::black_box(&message), std::hint::black_box(&signature)).is_ok() {
                    count += 1;
                }
            }
        }
        count as f64 / begin.elapsed().as_secs_f64()
    };
    let other = std::thread::spawn(one);
    one() + other.join().unwrap_or(0.0)
}

/// Median of 4 KiB appended and synced, ms.
pub fn fdatasync(folder: &Path, time: Duration) -> Result<f64, ChoreError> {
    let mut file = tempfile::tempfile_in(folder).map_err(failed("fdatasync"))?;
    let mut times = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < time || times.len() < 100 {
        let one = Instant::now();
        file.write_all(&[1; 4_096]).map_err(failed("fdatasync"))?;
        file.sync_data().map_err(failed("fdatasync"))?;
        times.push(one.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(times.len() / 2).map_or(0.0, |t| t.as_secs_f64() * 1_000.0))
}
