//! What is asked wrongly: filters that are not understood, words that are none, and how each ends. And what is asked in JSON.

use std::process::{Command, Stdio};

use marrowline_client::v1::custody_service_client::CustodyServiceClient;
use marrowline_client::v1::ledger_service_client::LedgerServiceClient;
use marrowline_client::{Problem, v1};
use serde_json::Value;
use tonic::{Code, Status};

use crate::ledger::{PROGRAM, Server, demo};
use crate::refusals::{channel, good_token, with_token};

fn assert_refused(status: &Status, code: &str, path: &str) {
    let problem = Problem::from_status(status);
    assert_eq!((status.code(), problem.code.as_str()), (Code::InvalidArgument, code), "{problem}");
    assert_eq!(problem.reasons[0].look_at, path, "{problem}");
    assert!(problem.to_string().ends_with("; next: correct the field and ask again"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_is_not_understood_is_refused() {
    let server = Server::start();
    let token = good_token("aud");
    let mut custody = CustodyServiceClient::new(channel(&server).await);
    let mut ledger = LedgerServiceClient::new(channel(&server).await);
    macro_rules! refused {
        ($client:ident.$method:ident($request:ident { $($field:ident: $value:expr),* }) => $code:literal at $path:literal) => {
            #[allow(clippy::needless_update, reason = "some requests have nothing but what is asked wrongly")]
            let request = v1::$request { $($field: $value,)* ..v1::$request::default() };
            assert_refused(&$client.$method(with_token(request, &token)).await.unwrap_err(), $code, $path);
        };
    }
    refused!(custody.list_lots(ListLotsRequest { disposition: 99 }) => "ENUM_UNKNOWN" at "disposition");
    refused!(custody.list_obligations(ListObligationsRequest { role: 999 }) => "ENUM_UNKNOWN" at "role");
    refused!(custody.list_obligations(ListObligationsRequest { kind: 999 }) => "ENUM_UNKNOWN" at "kind");
    refused!(custody.list_units(ListUnitsRequest { processing: "bogus".to_owned() }) => "TEXT_NOT_ALLOWED" at "processing");
    refused!(custody.list_units(ListUnitsRequest { facility_id: vec![1] }) => "BYTES_LENGTH_WRONG" at "facility_id");
    refused!(custody.list_refusals(ListRefusalsRequest { code: "NOPE".to_owned() }) => "TEXT_NOT_ALLOWED" at "code");
    let registration = "NCT01849237".to_owned();
    refused!(custody.get_trial_report(GetTrialReportRequest { registration: registration, format: 77 }) => "ENUM_UNKNOWN" at "format");
    refused!(ledger.list_records(ListRecordsRequest { stream_kind: 99, stream_id: vec![1; 16] }) => "ENUM_UNKNOWN" at "stream_kind");
    refused!(ledger.list_records(ListRecordsRequest { stream_id: vec![1; 16] }) => "FIELD_MISSING" at "stream_kind");
    refused!(ledger.get_stream_head(GetStreamHeadRequest { kind: 99, id: vec![1; 16] }) => "ENUM_UNKNOWN" at "kind");
    refused!(custody.list_lots(ListLotsRequest { page_size: 501 }) => "NUMBER_OUT_OF_RANGE" at "page_size");
    refused!(ledger.append_batch(AppendBatchRequest { records: Vec::new() }) => "TOO_FEW_ITEMS" at "records");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_large_is_refused_like_anything_else() {
    let server = Server::start();
    let mut ledger = LedgerServiceClient::new(channel(&server).await);
    let huge = v1::SignedRecord { record: vec![0; 5 * 1024 * 1024], signings: Vec::new() };
    let request = v1::AppendRequest { record: Some(huge), last_checkpoint: String::new() };
    let refused = ledger.append(with_token(request, &good_token("op1"))).await.unwrap_err();
    assert_eq!(crate::refusals::reason(&refused), "MESSAGE_TOO_LARGE");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_revoked_key_is_told_what_can_help() {
    let server = Server::start();
    let id = hex::encode(marrowline_record::id::KeyId::of(crate::ledger::key("rn1").verifying_key().as_bytes()).0);
    let revoked = format!("key_id={id}");
    let now = "effective_at=2026-03-01 00:00:00 +00:00";
    let words = [
        "append",
        "key_revoked",
        "--set",
        &revoked,
        "--set",
        "reason=left",
        "--set",
        now,
        "--on",
        "authority:",
        "--facility",
        "LAB",
    ];
    assert!(server.run("key", &words).status.success());
    let refused = server.run("rn1", &["lot", "list"]);
    let words = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(5));
    assert!(words.contains("TOKEN_KEY_REVOKED: ") && words.contains("next: make a new key"), "{words}");
}

fn run(server: &Server, who: &str, words: &[&str]) -> (Option<i32>, String, String) {
    let output = server.run(who, words);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Every command that prints data prints JSON if it is asked to, and nothing else on stdout.
#[test]
fn json_is_json_everywhere() {
    let server = Server::start();
    let file = server.folder.with_file_name("certificate.pdf");
    std::fs::write(&file, b"a certificate").unwrap();
    let out = server.folder.with_file_name("report.svg");
    let (file, out) = (file.to_str().unwrap(), out.to_str().unwrap());
    let registered = ["append", "donor_registered", "--set", "donor_code=D-950", "--set", "birth_year=1990", "--on", "donor:new"];
    let dry_run = [&registered[..], &["--facility", "LAB", "--dry-run"]].concat();
    let of = |who: &str, words: &[&str]| -> Value {
        let (status, printed, told) = run(&server, who, &[words, &["--output", "json"]].concat());
        assert_eq!(status, Some(0), "{words:?}: {printed}{told}");
        serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{words:?}: {e}: {printed}"))
    };
    assert!(of("qa", &["trial", "report", "NCT01849237"])["registration"].is_string());
    assert_eq!(of("qa", &["trial", "report", "NCT01849237", "--format", "svg", "--out", out])["written"], out);
    assert_eq!(of("op1", &["attach", "put", file])["was_known"], false);
    assert!(of("aud", &["attach", "orphans"])["missing"].is_array());
    assert_eq!(of("phy", &dry_run)["accepted"], true);
    assert!(of("aud", &["owed"]).is_array() && of("aud", &["inbox", "list"]).is_array());
    assert_eq!(of("aud", &["clock", "show"])["training"], true);
    let refused = run(&server, "op1", &[&dry_run[..], &["--output", "json"]].concat());
    assert_eq!(refused.0, Some(3));
    assert_eq!(serde_json::from_str::<Value>(&refused.1).unwrap()["findings"][0]["code"], "SIGNER_WITHOUT_AUTHORITY");
}

#[test]
fn what_was_named_wrongly_ends_with_two() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let nothing = folder.path().join("nothing.json");
    let taken = folder.path().join("taken.svg");
    std::fs::write(&taken, b"mine").unwrap();
    let (nothing, taken) = (nothing.to_str().unwrap(), taken.to_str().unwrap());
    for words in [
        &["append", "--event", nothing, "--on", "lot:new", "--facility", "LAB"][..],
        &["attach", "put", nothing],
        &["trial", "report", "NCT01849237", "--out", taken],
        &["owed", "--role", "COOK"],
        &["clock", "advance", "--by", "soon"],
    ] {
        let (status, printed, told) = run(&server, "qa", words);
        assert_eq!(status, Some(2), "{words:?}: {printed}{told}");
    }
    assert_eq!(std::fs::read(taken).unwrap(), b"mine");

    let ended = |words: &[&str]| {
        let output = Command::new(PROGRAM).args(words).stdin(Stdio::null()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let ledger = server.folder.to_str().unwrap();
    let (status, told) = ended(&["serve", "--data", ledger, "--listen", "bogus"]);
    assert!(status == Some(2) && told.contains("found `bogus`; allowed ADDRESS:PORT"), "{status:?} {told}");
    let beside = |name: &str| demo().join(name).to_str().unwrap().to_owned();
    let as_qa = |server: &str, ca: &str| {
        let (log, key, passphrase) = (beside("log.vkey"), beside("people/qa.pem"), beside("passphrase.txt"));
        let words =
            ["lot", "list", "--server", server, "--ca", ca, "--log", &log, "--key", &key, "--passphrase-file", &passphrase];
        ended(&words)
    };
    let (status, told) = as_qa("bogus", &beside("ca.pem"));
    assert!(status == Some(2) && told.contains("allowed https://HOST:PORT"), "{status:?} {told}");
    let (status, told) = as_qa(&server.endpoint, &beside("log.vkey"));
    assert!(status == Some(2) && told.contains("holds no certificate"), "{status:?} {told}");
    assert_eq!(ended(&["key", "new", "--out", taken, "--passphrase-file", &beside("passphrase.txt")]).0, Some(2));
    // What was typed is told without what a terminal would obey.
    for words in
        [&["lo\u{1b}[2Jt"][..], &["append", "--template", "\u{1b}]0;x\u{7}"], &["lot", "show", "a\u{9b}b", "--oops\u{7}"]]
    {
        let (status, told) = ended(words);
        assert!(status == Some(2) && !told.contains(|c: char| c.is_control() && c != '\n'), "{told:?}");
    }
    assert!(ended(&["append", "--template", "a\u{1b}[2Jb"]).1.contains("a\\u{1b}[2Jb"));
}

/// A full disk is told; the answer does not end as if it were whole.
#[test]
fn a_full_disk_is_told() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Command::new(PROGRAM).args(["append", "--template"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && told.contains("could not be written"), "{told}");
}

#[test]
fn a_report_is_refused_in_words_about_the_trial() {
    let server = Server::start();
    let (status, _, told) = run(&server, "op1", &["trial", "report", "NCT01849237"]);
    assert!(status == Some(5) && told.contains("every subject of this trial"), "{told}");
    let file = server.folder.with_file_name("certificate.pdf");
    std::fs::write(&file, b"of others").unwrap();
    let (_, digest, _) = run(&server, "qa", &["attach", "put", file.to_str().unwrap()]);
    let of_others = run(&server, "op1", &["attach", "get", digest.trim(), "--out", "/tmp/nothing-is-written-here"]);
    assert!(of_others.0 == Some(8) && !of_others.2.contains("does not hold"), "{}", of_others.2);
    let (status, _, told) = run(&server, "op1", &["attach", "get", &"00".repeat(32), "--out", "/tmp/nothing-is-written-here"]);
    assert!(status == Some(8) && told.contains("which no record names that you may read"), "{told}");
}

/// Who keeps a ledger is answered in JSON, too; and each refusal says what it is about.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_keeps_a_ledger_has_json_and_a_batch_names_the_bad_record() {
    let server = Server::start();
    let op = server.client("op1").await;
    let (lab, _) = crate::people::facilities(&op).await;
    let mut records = Vec::new();
    for _ in 0..3 {
        let signed = crate::people::new_donor(&op, lab).await;
        records.push((signed.bytes, signed.signings));
    }
    records[1].0.truncate(20);
    let refused = op.append_batch(records.clone()).await.unwrap_err().to_string();
    assert!(refused.contains("records[1]."), "{refused}");
    records[1] = records[0].clone();
    records[2].1[0].signature[0] ^= 1;
    let refused = op.append_batch(records).await.unwrap_err().to_string();
    assert!(refused.contains("SIGNATURE_WRONG (records[2]"), "{refused}");
    let (status, _, told) = run(&server, "op1", &["clock", "advance", "--by", "1h"]);
    assert!(status == Some(5) && told.contains("may not move the clock"), "{told}");

    let folder = tempfile::tempdir().unwrap();
    let copied = folder.path().join("ledger");
    crate::ledger::copy(&demo().join("ledger"), &copied);
    let output = Command::new(PROGRAM).args(["fsck", "--output", "json", "--data"]).arg(&copied).output().unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success() && found["records"].as_u64() > Some(100), "{found}");
    assert_eq!(found["problems"], serde_json::json!([]));
    // The passphrase's file may be named by the environment.
    let shown = Command::new(PROGRAM)
        .args(["key", "show", "--output", "json"])
        .arg(demo().join("people/qa.pem"))
        .env("MARROWLINE_PASSPHRASE_FILE", demo().join("passphrase.txt"))
        .output()
        .unwrap();
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["public_key"], hex::encode(crate::ledger::key("qa").verifying_key().as_bytes()));
}
