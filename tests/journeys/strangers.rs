//! Programs that know nothing of us but the standard services: health, reflection, and Python.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ledger::{Server, demo, key, passphrase, trust};
use crate::people::{elsewhere, facilities, new_donor};
use crate::python::Needs;
use crate::refusals::channel;

#[tokio::test(flavor = "multi_thread")]
async fn health_and_both_reflections() {
    let server = Server::start();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel(&server).await);
    let services =
        ["CustodyService", "LedgerService", "TransparencyService", "ClockService", "CountersignService", "AttachmentService"];
    for service in services.map(|name| format!("marrowline.v1.{name}")).into_iter().chain([String::new()]) {
        let answer = health.check(tonic_health::pb::HealthCheckRequest { service: service.clone() }).await;
        let answer = answer.unwrap_or_else(|e| panic!("{service}: {e}")).into_inner();
        assert_eq!(answer.status, i32::from(tonic_health::pb::health_check_response::ServingStatus::Serving), "{service}");
    }
    let service = "marrowline.v1.NoService".to_owned();
    let unknown = health.check(tonic_health::pb::HealthCheckRequest { service }).await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);
    let list = || {
        tokio_stream::once(tonic_reflection::pb::v1::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(tonic_reflection::pb::v1::server_reflection_request::MessageRequest::ListServices(
                String::new(),
            )),
        })
    };
    let mut v1 = tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient::new(channel(&server).await);
    let answer = v1.server_reflection_info(list()).await.unwrap().into_inner().message().await.unwrap().unwrap();
    let printed = format!("{answer:?}");
    for service in services {
        assert!(printed.contains(service), "{printed}");
    }
    let list = tokio_stream::once(tonic_reflection::pb::v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(tonic_reflection::pb::v1alpha::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    });
    let mut alpha = tonic_reflection::pb::v1alpha::server_reflection_client::ServerReflectionClient::new(channel(&server).await);
    let answer = alpha.server_reflection_info(list).await.unwrap().into_inner().message().await.unwrap().unwrap();
    let printed = format!("{answer:?}");
    for service in services {
        assert!(printed.contains(service), "{printed}");
    }
}

const PYTHON: Needs = Needs {
    name: "python-grpc",
    import: "import grpc, grpc_tools, cryptography, google.protobuf, grpc_reflection",
    packages: &["grpcio", "grpcio-reflection", "grpcio-tools", "protobuf", "cryptography"],
};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/python").join(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn python_reads_a_lot_by_reflection_and_checks_a_receipt() {
    let Some(python) = PYTHON.python("the Python examples were") else { return };
    let server = Server::start();
    let run = |script: &str, arguments: &[&str]| {
        let output = Command::new(&python).arg(example(script)).args(arguments).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), text)
    };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("passphrase"), passphrase()).unwrap();
    let address = server.endpoint.strip_prefix("https://").unwrap();
    let of_the_demo = |name: &str| demo().join(name).to_str().unwrap().to_owned();
    let read_lot = |vkey: &str, key: &str, passphrase: &str| {
        run("read_lot.py", &[address, &of_the_demo("ca.pem"), vkey, key, passphrase, "L-2026-01"])
    };
    let vkey = of_the_demo("log.vkey");
    let (succeeded, text) = read_lot(&vkey, &of_the_demo("people/aud.pem"), &path("passphrase"));
    assert!(succeeded, "{text}");
    for word in ["marrowline.v1.CustodyService", "marrowline.v1.LedgerService", "L-2026-01", "FINAL", "Harvested"] {
        assert!(text.contains(word), "{word}: {text}");
    }

    let client = server.client("phy").await;
    let (lab, _) = facilities(&client).await;
    let receipt = new_donor(&client, lab).await.append(&client).await.unwrap().receipt;
    std::fs::write(path("receipt"), &receipt.tlog_proof).unwrap();
    std::fs::write(path("leaf"), &receipt.leaf).unwrap();
    let (succeeded, text) = run("check_receipt.py", &[&vkey, &path("receipt"), &path("leaf")]);
    assert!(succeeded && text.contains(&format!("leaf {} of {}", receipt.index, trust().log.name())), "{text}");
    // The command line writes the two files as well.
    let id = uuid::Uuid::from_slice(&client.record_at(receipt.index).await.unwrap().0.record().record_id).unwrap().to_string();
    let (proof, leaf) = (path("shown.receipt"), path("shown.leaf"));
    let shown = server.run("phy", &["record", "show", &id, "--receipt", &proof, "--leaf", &leaf]);
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let (succeeded, text) = run("check_receipt.py", &[&vkey, &proof, &leaf]);
    assert!(succeeded && text.contains(&format!("leaf {} of ", receipt.index)), "{text}");
    let mut spoiled = receipt.leaf.clone();
    spoiled[40] ^= 1;
    std::fs::write(path("leaf"), &spoiled).unwrap();
    let (succeeded, text) = run("check_receipt.py", &[&vkey, &path("receipt"), &path("leaf")]);
    assert!(!succeeded && text.contains("REFUSED"), "{text}");

    // Another log's key, another leaf's number, another size: each refused.
    std::fs::write(path("leaf"), &receipt.leaf).unwrap();
    let other = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
    let other = marrowline_merkle::VerifierKey::new(trust().log.name(), other.verifying_key()).unwrap();
    std::fs::write(path("other.vkey"), format!("{other}\n")).unwrap();
    let (succeeded, text) = run("check_receipt.py", &[&path("other.vkey"), &path("receipt"), &path("leaf")]);
    assert!(!succeeded && text.contains("REFUSED"), "{text}");
    let renumbered = receipt.tlog_proof.replace(&format!("\nindex {}\n", receipt.index), "\nindex 3\n");
    let lines: Vec<&str> = receipt.tlog_proof.lines().collect();
    let resized = receipt.tlog_proof.replace(lines[lines.len() - 4], &(receipt.index + 2).to_string());
    for spoiled in [renumbered, resized, receipt.tlog_proof[..receipt.tlog_proof.len() - 4].to_owned()] {
        assert_ne!(spoiled, receipt.tlog_proof);
        std::fs::write(path("receipt"), spoiled).unwrap();
        let (succeeded, text) = run("check_receipt.py", &[&vkey, &path("receipt"), &path("leaf")]);
        assert!(!succeeded && text.contains("REFUSED"), "{text}");
    }
    // Who may not see the lot is told so, in the server's words; so is who is not enrolled.
    elsewhere(&client, lab, "+stranger").await;
    for (who, word) in [("+stranger", "PERMISSION_DENIED"), ("+nobody", "UNAUTHENTICATED")] {
        let pem = marrowline_client::encrypt(&key(who), &passphrase()).unwrap();
        std::fs::write(path("key.pem"), pem).unwrap();
        let (succeeded, text) = read_lot(&vkey, &path("key.pem"), &path("passphrase"));
        assert!(!succeeded && text.contains(word), "{text}");
    }
    // A wrong passphrase, and another log's key: nothing is printed.
    std::fs::write(path("wrong"), "guessed").unwrap();
    let (succeeded, text) = read_lot(&vkey, &of_the_demo("people/aud.pem"), &path("wrong"));
    assert!(!succeeded && text.contains("REFUSED"), "{text}");
    let (succeeded, text) = read_lot(&path("other.vkey"), &of_the_demo("people/aud.pem"), &path("passphrase"));
    assert!(!succeeded && text.contains("REFUSED") && !text.contains("L-2026-01"), "{text}");
}

/// A key, two people's passage, a signature that comes later, the lot, a dose, and a refusal: all by a program that is not ours.
#[tokio::test(flavor = "multi_thread")]
async fn python_signs_passages_and_is_told_why_a_dose_is_not_dispensed() {
    let Some(python) = PYTHON.python("the Python examples were") else { return };
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("passphrase");
    std::fs::write(&secret, passphrase()).unwrap();
    let mut command = Command::new(&python);
    command.arg(example("passage.py")).arg(server.endpoint.strip_prefix("https://").unwrap());
    command.args(["ca.pem", "log.vkey", "people"].map(|name| demo().join(name))).arg(&secret).arg("L-2026-01");
    let scratch = folder.path().join("scratch");
    std::fs::create_dir(&scratch).unwrap();
    let output = command.env("TMPDIR", &scratch).output().unwrap();
    assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0, "the classes that were made are left behind");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    let ends = |end: &str| lines.iter().any(|line| line.ends_with(end));
    for end in [
        ": a new key is enrolled",
        ": passage 1",
        ": passage 2  FLAGGED VERIFIER_MISSING",
        ": the verifier's signature is added",
        "SignatureAdded signed by Python Verifier",
        ": 6 records, 0 signatures owed",
        ": RED",
    ] {
        assert!(ends(end), "{end}: {text}");
    }
    assert!(text.contains("dispensing refused (FAILED_PRECONDITION)"), "{text}");
    for code in ["DOSE_ALREADY_DISPENSED (record ", "DOSE_ALREADY_USED (record "] {
        assert!(text.contains(code), "{code}: {text}");
    }
}
