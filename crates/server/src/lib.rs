//! The gRPC server: TLS, tokens, limits, services. It decides nothing about cells; it asks the ledger.

mod append;
mod append_stream;
mod asked;
mod attachment_service;
mod auth;
mod clock_service;
mod countersign_service;
mod custody_service;
mod deadline;
mod in_words;
mod ledger_service;
mod mask;
mod materials;
mod overview;
mod page_token;
mod proposals;
mod reading;
mod refusals;
mod trace;
mod transparency_service;
mod trial_report;
mod versions;
mod views;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use marrowline_api::FILE_DESCRIPTOR_SET;
use marrowline_api::v1::attachment_service_server::AttachmentServiceServer;
use marrowline_api::v1::clock_service_server::ClockServiceServer;
use marrowline_api::v1::countersign_service_server::CountersignServiceServer;
use marrowline_api::v1::custody_service_server::CustodyServiceServer;
use marrowline_api::v1::ledger_service_server::LedgerServiceServer;
use marrowline_api::v1::transparency_service_server::TransparencyServiceServer;
use marrowline_attachments::Attachments;
use marrowline_ledger::Ledger;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};

use crate::append::Appender;
use crate::auth::Auth;
use crate::deadline::Deadline;

/// The server's certificate, PEM.
pub struct Tls {
    /// The certificate chain.
    pub certificate_pem: String,
    /// Its private key.
    pub key_pem: String,
}

/// What a client may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest request, bytes.
    pub request_bytes: usize,
    /// Longest time for one request.
    pub deadline: Duration,
    /// Most requests at once on one connection.
    pub concurrent_per_connection: usize,
    /// How long streams that are open may drain at shutdown.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            request_bytes: 4 * 1024 * 1024,
            deadline: Duration::from_secs(10),
            concurrent_per_connection: 512,
            drain: Duration::from_secs(10),
        }
    }
}

/// Why the server ended.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// TLS or transport.
    #[error("the server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// Reflection.
    #[error("the descriptors are wrong: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// Proposals that were kept before.
    #[error("the proposals cannot be read: {0}")]
    Proposals(#[from] marrowline_ledger::store::StoreError),
}

/// Serves until `shutdown` is done; then streams are ended, requests drain, and what is left is aborted.
pub async fn run(
    ledger: Ledger,
    listener: TcpListener,
    tls: Tls,
    limits: Limits,
    attachments: Attachments,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServerError> {
    let (ending, ended) = watch::channel(false);
    let auth = Auth::new(ledger.clone());
    let appender = Arc::new(Appender::new(ledger.clone(), auth.clone(), limits.deadline));
    let records = ledger_service::Service::new(ledger.clone(), auth.clone(), Arc::clone(&appender), ended.clone());
    let countersign = countersign_service::Service::new(ledger.clone(), auth.clone(), appender)?;
    let files = attachment_service::Service::new(ledger.clone(), auth.clone(), attachments);
    let custody = custody_service::Service::new(ledger.clone(), auth.clone());
    let transparency = transparency_service::Service::new(ledger.clone(), auth.clone());
    let clock = clock_service::Service::new(ledger.clone(), auth);
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<LedgerServiceServer<ledger_service::Service>>().await;
    health.set_serving::<AttachmentServiceServer<attachment_service::Service>>().await;
    health.set_serving::<CountersignServiceServer<countersign_service::Service>>().await;
    health.set_serving::<CustodyServiceServer<custody_service::Service>>().await;
    health.set_serving::<TransparencyServiceServer<transparency_service::Service>>().await;
    health.set_serving::<ClockServiceServer<clock_service::Service>>().await;
    let reflection_v1 = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let reflection_v1alpha = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1alpha()?;
    let identity = Identity::from_pem(tls.certificate_pem, tls.key_pem);
    let router = Server::builder()
        .tls_config(ServerTlsConfig::new().identity(identity))?
        // What waits for the sequencer ends before that, with an answer that says what to do.
        .layer(Deadline(limits.deadline.saturating_add(Duration::from_secs(1))))
        .concurrency_limit_per_connection(limits.concurrent_per_connection)
        .max_concurrent_streams(1_024)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .add_service(health_service)
        .add_service(reflection_v1)
        .add_service(reflection_v1alpha)
        .add_service(LedgerServiceServer::new(records).max_decoding_message_size(limits.request_bytes))
        .add_service(AttachmentServiceServer::new(files).max_decoding_message_size(512 * 1024))
        .add_service(CountersignServiceServer::new(countersign).max_decoding_message_size(64 * 1024))
        .add_service(CustodyServiceServer::new(custody).max_decoding_message_size(64 * 1024))
        .add_service(TransparencyServiceServer::new(transparency).max_decoding_message_size(64 * 1024))
        .add_service(ClockServiceServer::new(clock).max_decoding_message_size(64 * 1024));
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let stopping = ended;
    let mut stop = stopping.clone();
    let serving = router.serve_with_incoming_shutdown(incoming, async move {
        let _ = stop.wait_for(|ending| *ending).await;
    });
    tokio::pin!(serving);
    tokio::select! {
        result = &mut serving => return Ok(result?),
        () = shutdown => {}
    }
    tracing::info!("shutting down");
    ending.send_replace(true);
    match tokio::time::timeout(limits.drain, serving).await {
        Ok(result) => Ok(result?),
        // Connections that are still open are dropped with the future.
        Err(_) => Ok(()),
    }
}
