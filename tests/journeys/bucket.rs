//! Evidence files in a bucket, against an S3-compatible server that nobody here wrote (`moto`, as its own process).

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use marrowline_client::{Client, ClientError, v1};

use crate::ledger::{PROGRAM, Server, copy, demo};
use crate::people::{facilities, new_donor};
use crate::python::Needs;

const MOTO: Needs = Needs { name: "python-moto", import: "import moto.server", packages: &["moto[server,s3]"] };

/// The store, stopped when it is dropped.
struct Store {
    child: Child,
    address: String,
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Store {
    fn start(python: &Path) -> Store {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let store = Store { child, address: format!("127.0.0.1:{port}") };
        for _ in 0..600 {
            if TcpStream::connect(&store.address).is_ok() {
                return store;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("no store");
    }

    /// A request without a library: makes the bucket, and spoils what is in it.
    fn put(&self, path: &str, body: &[u8]) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = format!(
            "PUT {path} HTTP/1.1\r\nhost: {}\r\nauthorization: AWS4-HMAC-SHA256 Credential=tester/20260101/us-east-1/s3/aws4_request, \
             SignedHeaders=host, Signature=0\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    fn variables(&self) -> Vec<(String, String)> {
        let variables = [
            ("AWS_ENDPOINT_URL", format!("http://{}", self.address)),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "tester".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ];
        variables.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }
}

fn fsck(folder: &Path, variables: &[(String, String)]) -> (i32, String) {
    let output = Command::new(PROGRAM)
        .args(["fsck", "--attachments", "s3://evidence/ledger-1", "--data"])
        .arg(folder)
        .envs(variables.iter().cloned())
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), text)
}

fn reason<T: std::fmt::Debug>(result: Result<T, ClientError>) -> String {
    match result.unwrap_err() {
        ClientError::Refused(problem) => problem.code,
        other => panic!("{other:?}"),
    }
}

/// Announces a digest and sends other bytes.
async fn put_wrongly(server: &Server, bytes: &[u8]) -> String {
    let mut service = v1::attachment_service_client::AttachmentServiceClient::new(crate::refusals::channel(server).await);
    let announced = v1::AttachmentAnnounced { digest: vec![7; 32], size: bytes.len() as u64 };
    let mut parts = vec![v1::attachment_service_put_request::Part::Announced(announced)];
    parts.extend(bytes.chunks(100_000).map(|chunk| v1::attachment_service_put_request::Part::Chunk(chunk.to_vec())));
    let parts = tokio_stream::iter(
        parts.into_iter().map(|part| v1::AttachmentServicePutRequest { part: Some(part) }).collect::<Vec<_>>(),
    );
    let token = crate::refusals::good_token("phy");
    crate::refusals::reason(&service.put(crate::refusals::with_token(parts, &token)).await.unwrap_err())
}

async fn unnamed(auditor: &Client) -> Vec<Vec<u8>> {
    let mut digests = auditor.orphans(v1::ListOrphansRequest::default()).await.unwrap().unnamed;
    digests.sort();
    digests
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_kept_in_a_bucket() {
    let Some(python) = MOTO.python("keeping evidence in a bucket was") else { return };
    let store = Store::start(&python);
    store.put("/evidence", b"");
    let owned = tempfile::tempdir().unwrap();
    let folder = owned.path().join("ledger");
    copy(&demo().join("ledger"), &folder);
    let mut server = Server::serve_with(&folder, "debug", &["--attachments", "s3://evidence/ledger-1"], &store.variables());
    let (physician, auditor) = (server.client("phy").await, server.client("aud").await);

    // In one part and in several; the last one is not full.
    let small = b"a certificate of analysis".to_vec();
    let large: Vec<u8> = (0..20_000_001_u32).map(|n| (n % 251) as u8).collect();
    let mut digests = Vec::new();
    for bytes in [&small, &large] {
        let (digest, was_known) = physician.put_attachment(bytes.clone()).await.unwrap();
        assert!(!was_known);
        assert_eq!(auditor.attachment(digest).await.unwrap(), *bytes);
        assert!(physician.put_attachment(bytes.clone()).await.unwrap().1);
        digests.push(digest.to_vec());
    }
    assert_eq!(put_wrongly(&server, &large).await, "ATTACHMENT_DIFFERS");
    assert_eq!(reason(auditor.attachment([9; 32]).await), "NOT_FOUND");
    digests.sort();
    assert_eq!(unnamed(&auditor).await, digests, "what was not as announced is not there");
    let kept = std::fs::read_dir(folder.join("attachments"))
        .map_or(0, |entries| entries.filter(|e| e.as_ref().unwrap().path().is_file()).count());
    assert_eq!(kept, 0, "nothing is in the folder");

    let spoiled = hex::encode(&digests[0]);
    store.put(&format!("/evidence/ledger-1/{spoiled}"), b"something else");
    let read = auditor.attachment(digests[0].clone().try_into().unwrap()).await;
    assert_eq!(reason(read), "ATTACHMENT_DAMAGED");
    server.signal("TERM");
    assert!(server.ended(Duration::from_secs(60)).unwrap().success());
    let (status, text) = fsck(&folder, &store.variables());
    assert!(status == 4 && text.contains(&spoiled), "{text}");

    // Without the store records are taken all the same.
    let variables = store.variables();
    let server = Server::serve_with(&folder, "debug", &["--attachments", "s3://evidence/ledger-1"], &variables);
    let physician = server.client("phy").await;
    assert!(!physician.put_attachment(b"later".to_vec()).await.unwrap().1);
    drop(store);
    let failed = physician.put_attachment(b"too late".to_vec()).await;
    assert_eq!(reason(failed), "ATTACHMENT_STORE_FAILED");
    let (lab, _) = facilities(&physician).await;
    new_donor(&physician, lab).await.append(&physician).await.unwrap();
}

#[test]
fn what_is_no_bucket_is_said_at_once() {
    let nowhere = tempfile::tempdir().unwrap();
    let output = Command::new(PROGRAM)
        .args(["serve", "--listen", "127.0.0.1:0", "--attachments", "s3:/evidence", "--data"])
        .arg(nowhere.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && text.contains("s3://bucket/prefix"), "{text}");
    assert_eq!(std::fs::read_dir(nowhere.path()).unwrap().count(), 0);
}
