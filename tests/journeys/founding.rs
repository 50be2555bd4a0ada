//! A ledger that is not for training, founded with the command line alone, as the README says; and how each command ends.

use std::path::{Path, PathBuf};
use std::process::Command;

use ed25519_dalek::SigningKey;
use marrowline_client::{Client, ClientError, Trust};
use marrowline_merkle::VerifierKey;
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};
use serde_json::Value;
use tonic::Code;

use crate::ledger::{PROGRAM, Server, fsck};

const PASSPHRASE: &str = "correct horse battery";

/// A folder with two founders' keys and a founding that is filled in.
pub struct Founded {
    owned: tempfile::TempDir,
}

/// What a command printed, and how it ended.
pub struct Ended {
    pub status: i32,
    pub out: String,
    pub err: String,
}

pub fn run(arguments: &[&str]) -> Ended {
    let output = Command::new(PROGRAM).args(arguments).env("NO_COLOR", "1").output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { status: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
}

fn done(arguments: &[&str]) -> String {
    let ended = run(arguments);
    assert_eq!(ended.status, 0, "{arguments:?}: {}", ended.err);
    ended.out
}

impl Founded {
    /// Keys and the founding's file; `edit` may change what was filled in.
    pub fn prepare(edit: impl FnOnce(&mut Value)) -> Founded {
        let founded = Founded { owned: tempfile::tempdir().unwrap() };
        std::fs::write(founded.path("passphrase.txt"), format!("{PASSPHRASE}\n")).unwrap();
        let mut founding: Value =
            serde_json::from_str(&done(&["init", "--template", "--data", &founded.path("ledger")])).unwrap();
        for (number, handle) in ["key", "qa"].iter().enumerate() {
            let out = founded.path(&format!("{handle}.pem"));
            let printed = done(&["key", "new", "--out", &out, "--passphrase-file", &founded.path("passphrase.txt")]);
            let public = printed.lines().find_map(|line| line.strip_prefix("public key")).unwrap().trim().to_owned();
            assert!(done(&["key", "show", &out, "--passphrase-file", &founded.path("passphrase.txt")]).contains(&public));
            let grant = &mut founding["ledger_founded"]["grants"][number];
            grant["printed_name"] = format!("Founder {handle}").into();
            grant["public_key"] = public.into();
            founding["signers"][number] = out.into();
        }
        edit(&mut founding);
        std::fs::write(founded.path("founding.json"), founding.to_string()).unwrap();
        founded
    }

    pub fn path(&self, name: &str) -> String {
        self.owned.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn folder(&self) -> PathBuf {
        self.owned.path().join("ledger")
    }

    pub fn init(&self) -> Ended {
        let (data, founding, passphrase) = (self.path("ledger"), self.path("founding.json"), self.path("passphrase.txt"));
        run(&["init", "--data", &data, "--founding", &founding, "--passphrase-file", &passphrase])
    }

    pub fn key(&self, handle: &str) -> SigningKey {
        let pem = std::fs::read_to_string(self.path(&format!("{handle}.pem"))).unwrap();
        marrowline_client::decrypt(&pem, PASSPHRASE).unwrap()
    }

    pub async fn client(&self, server: &Server, handle: &str) -> Client {
        let read = |name: &str| std::fs::read_to_string(self.folder().join(name)).unwrap();
        let trust = Trust { log: VerifierKey::parse(read("log.vkey").trim()).unwrap(), ca_pem: read("ca.pem") };
        Client::connect(&server.endpoint, trust, &self.key(handle), 600).await.unwrap()
    }

    /// The connection's options of the command line.
    pub fn connection(&self, server: &Server, handle: &str) -> Vec<String> {
        let options = [
            ("--server", server.endpoint.clone()),
            ("--ca", self.path("ledger/ca.pem")),
            ("--log", self.path("ledger/log.vkey")),
            ("--key", self.path(&format!("{handle}.pem"))),
            ("--passphrase-file", self.path("passphrase.txt")),
        ];
        options.into_iter().flat_map(|(option, value)| [option.to_owned(), value]).collect()
    }
}

fn grant_of(founding: &pb::LedgerFounded, number: usize) -> pb::KeyGrant {
    founding.grants[number].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_founded_from_the_template_runs_on_the_wall_clock() {
    let founded = Founded::prepare(|_| {});
    let ended = founded.init();
    assert_eq!(ended.status, 0, "{}", ended.err);
    assert_eq!(ended.out.trim(), std::fs::read_to_string(founded.folder().join("log.vkey")).unwrap().trim());
    for secret in ["log.key", "ca.key", "server.key"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(founded.folder().join(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{secret} is readable by others");
    }
    let again = founded.init();
    assert_eq!(again.status, 2, "{}", again.err);
    assert!(again.err.contains("holds a ledger already"), "{}", again.err);

    let mut server = Server::serve(&founded.folder());
    let client = founded.client(&server, "key").await;
    let (founding, _) = client.record_at(0).await.unwrap();
    let Some(Event::LedgerFounded(event)) = &founding.record().event else { panic!("no founding") };
    assert!(!event.training);
    assert!(client.origin().starts_with("lab/"), "{}", client.origin());
    assert_eq!(grant_of(event, 1).printed_name, "Founder qa");

    let clock = client.clock().await.unwrap();
    assert!(!clock.training && clock.trusted);
    assert!((clock.now_unix_ms - marrowline_client::now(0).unix_ms).abs() < 60_000);
    let refused = client.advance_clock(clock.now_unix_ms + 3_600_000).await;
    let Err(ClientError::Refused(problem)) = refused else { panic!("{refused:?}") };
    assert_eq!((problem.status, problem.code.as_str()), (Code::FailedPrecondition, "CLOCK_NOT_MOVABLE"));

    let facility = event.first_facility.as_ref().unwrap().facility_id.clone();
    records_of_the_founders(&founded, &server, &facility).await;
    server.signal("TERM");
    assert!(server.ended(std::time::Duration::from_secs(60)).unwrap().success());
    fsck(&founded.folder());
}

/// With the command line: an enrolment signed by two, at the wall clock's time; one that is dated ahead; one that is too old.
async fn records_of_the_founders(founded: &Founded, server: &Server, facility: &[u8]) {
    let facility = uuid::Uuid::from_slice(facility).unwrap().to_string();
    let new_key = SigningKey::from_bytes(&[5; 32]);
    let role = serde_json::json!({
        "role": "OPERATOR", "facility_id": facility, "valid_from": "2026-01-01 00:00:00 +00:00", "valid_until": "2099-01-01 00:00:00 +00:00"
    });
    let event = serde_json::json!({"key_granted": {"grant": {
        "person_id": "new", "printed_name": "Operator One", "public_key": hex::encode(new_key.verifying_key().as_bytes()), "roles": [role]
    }}});
    std::fs::write(founded.path("event.json"), event.to_string()).unwrap();
    let (event, second) = (founded.path("event.json"), founded.path("qa.pem"));
    let connection = founded.connection(server, "key");
    let append = |extra: &[&str]| {
        let mut arguments = vec!["append", "--event", &event, "--on", "authority:", "--facility", &facility];
        arguments.extend(extra);
        arguments.extend(connection.iter().map(String::as_str));
        run(&arguments)
    };
    let one = append(&[]);
    assert_eq!(one.status, 3, "one signature is not enough: {}", one.err);
    assert!(one.err.contains("SIGNATURE_MISSING"), "{}", one.err);
    let ahead = append(&["--sign", &second, "--at", "2098-01-01 00:00 +00:00"]);
    assert!(ahead.status == 3 && ahead.err.contains("EVENT_AHEAD") && ahead.err.contains("SIGNED_AHEAD"), "{}", ahead.err);
    let old = append(&["--sign", &second, "--at", "2026-01-01 00:00 +00:00"]);
    assert!(old.status == 3 && old.err.contains("AUTHORISATION_BACKDATED"), "{}", old.err);
    let dry = append(&["--sign", &second, "--dry-run"]);
    assert!(dry.status == 0 && dry.out.contains("would be accepted"), "{}{}", dry.out, dry.err);
    assert_eq!(append(&["--sign", &second]).status, 0);
    let again = append(&["--sign", &second, "--output", "json"]);
    assert_eq!(again.status, 3, "a key is granted to one person: {}", again.out);
    let failure: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!(failure["exit"], 3);
    assert!(failure["reasons"].as_array().is_some_and(|r| r.iter().all(|r| r["code"].is_string())), "{failure}");
}

#[test]
fn a_founding_that_is_refused_leaves_nothing_behind() {
    // The two have each other's roles.
    let mut kept = Value::Null;
    let founded = Founded::prepare(|founding| {
        kept = founding.clone();
        let grants = founding["ledger_founded"]["grants"].as_array_mut().unwrap();
        let first = grants[0]["roles"].take();
        grants[0]["roles"] = grants[1]["roles"].take();
        grants[1]["roles"] = first;
    });
    let refused = founded.init();
    assert_eq!(refused.status, 5, "{}", refused.err);
    assert!(refused.err.contains("SIGNER_WITHOUT_AUTHORITY"), "{}", refused.err);
    assert!(!founded.folder().join("log.key").exists(), "half a ledger is left behind");
    // Put right, it is founded in the same folder.
    std::fs::write(founded.path("founding.json"), kept.to_string()).unwrap();
    let ended = founded.init();
    assert_eq!(ended.status, 0, "{}", ended.err);
    fsck(&founded.folder());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_fail_has_its_number() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).to_str().unwrap().to_owned()
    };
    let demo = |name: &str| crate::ledger::demo().join(name).to_str().unwrap().to_owned();
    let passphrase = file("passphrase.txt", &crate::ledger::passphrase());
    let ask = |question: &[&str], changes: &[(&str, &str)]| {
        let defaults = [
            ("--server", server.endpoint.clone()),
            ("--ca", demo("ca.pem")),
            ("--log", demo("log.vkey")),
            ("--key", demo("people/qa.pem")),
            ("--passphrase-file", passphrase.clone()),
        ];
        let mut arguments: Vec<String> = question.iter().map(|word| (*word).to_owned()).collect();
        for (option, value) in defaults {
            let value = changes.iter().find(|(o, _)| *o == option).map_or(value, |(_, v)| (*v).to_owned());
            arguments.extend([option.to_owned(), value]);
        }
        run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let show = |changes: &[(&str, &str)]| ask(&["lot", "show", "L-2026-01"], changes);
    assert_eq!(show(&[]).status, 0);
    assert_eq!(show(&[("--passphrase-file", &file("wrong.txt", "guessed"))]).status, 5);
    assert_eq!(show(&[("--key", "/nowhere/key.pem")]).status, 2, "a file that is not there was named wrongly");
    assert_eq!(show(&[("--server", "https://127.0.0.1:1")]).status, 7, "nobody answers");
    let stranger = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap().cert.pem();
    assert_eq!(show(&[("--ca", &file("ca.pem", &stranger))]).status, 7, "another authority's certificate");
    assert_eq!(run(&["lot", "show"]).status, 2);
    assert_eq!(run(&["append", "--template", "nothing"]).status, 2);
    assert_eq!(run(&["fsck", "--data", folder.path().to_str().unwrap()]).status, 2, "there is no ledger");

    // A stranger's log key: what the server shows is not this log.
    let other = SigningKey::from_bytes(&[9; 32]);
    let other = VerifierKey::new(crate::ledger::trust().log.name(), other.verifying_key()).unwrap().to_string();
    let other = file("log.vkey", &other);
    for question in [
        &["lot", "show", "L-2026-01"][..],
        &["unit", "show", &format!("2601001{}", marrowline_record::din::digit_check("2601001").unwrap())],
        &["dose", "show", "701018"],
        &["subject", "show", "R-01"],
        &["donor", "show", "D-001"],
        &["trace", "back", "701018"],
        &["check", "701018"],
    ] {
        let ended = ask(question, &[("--log", &other)]);
        assert_eq!(ended.status, 4, "{question:?}: {}", ended.err);
        assert!(ended.out.is_empty(), "{question:?} says something all the same: {}", ended.out);
    }
}

/// Two decide at the same time with the command line: the loser's number says that the head has moved.
#[tokio::test(flavor = "multi_thread")]
async fn who_decides_on_an_old_head_is_told_that_it_moved() {
    let founded = Founded::prepare(|founding| founding["ledger_founded"]["training"] = true.into());
    assert_eq!(founded.init().status, 0);
    let server = Server::serve(&founded.folder());
    let client = founded.client(&server, "key").await;
    let (founding, _) = client.record_at(0).await.unwrap();
    let Some(Event::LedgerFounded(event)) = &founding.record().event else { panic!("no founding") };
    let facility: [u8; 16] = event.first_facility.as_ref().unwrap().facility_id.as_slice().try_into().unwrap();
    let clock = client.clock().await.unwrap();
    assert!(clock.training);
    client.advance_clock(clock.now_unix_ms + 86_400_000).await.unwrap();
    let at = pb::Instant { unix_ms: clock.now_unix_ms + 86_400_000, offset_minutes: 0 };
    let authority = (StreamKind::Authority, marrowline_record::stream::AUTHORITY_ID);
    let seen = client.head(authority.0, authority.1).await.unwrap();
    let mut refused = 0;
    for number in 0..3 {
        let registered = Event::FacilityRegistered(pb::FacilityRegistered {
            facility: Some(pb::Facility {
                facility_id: marrowline_client::new_id().to_vec(),
                code: format!("WARD-{number}"),
                name: "Ward".to_owned(),
                racks: Vec::new(),
            }),
        });
        let draft = marrowline_client::Draft::new(client.origin(), registered, at)
            .unwrap()
            .slot(Role::KeyAdministrator, Meaning::Approved, facility)
            .slot(Role::QualityAssurance, Meaning::Approved, facility)
            .stream(authority.0, authority.1, seen.clone());
        let bytes = draft.encode();
        let signings = [draft.sign(&bytes, 0, &founded.key("key"), &at), draft.sign(&bytes, 1, &founded.key("qa"), &at)];
        match client.append(bytes, &signings).await {
            Ok(_) => assert_eq!(number, 0, "two decisions rest on one head"),
            Err(ClientError::Refused(problem)) => {
                assert_eq!((problem.status, problem.code.as_str()), (Code::Aborted, "HEAD_MOVED"));
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(refused, 2);
    assert!(Path::new(&founded.path("ledger/log.vkey")).exists());
}

/// What the README says between `serve` and the first record of a subject, word for word; and a founding that was not filled in.
#[test]
fn the_second_facility_and_its_people_are_enrolled_as_the_readme_says() {
    let founded = Founded::prepare(|founding| founding["ledger_founded"]["grants"][0]["printed_name"] = "".into());
    let ended = founded.init();
    assert!(ended.status == 2 && ended.err.contains("printed_name ``"), "{} {}", ended.status, ended.err);
    let founded = Founded::prepare(|_| {});
    let (data, founding, passphrase) = (founded.path("ledger"), founded.path("founding.json"), founded.path("passphrase.txt"));
    let init = ["init", "--data", &data, "--founding", &founding, "--passphrase-file", &passphrase, "--output", "json"];
    let told: Value = serde_json::from_str(&done(&init)).unwrap();
    assert!(told["log_key"].as_str().unwrap().starts_with("lab/"), "{told}");
    let server = Server::serve(&founded.folder());
    let qa = founded.path("qa.pem");
    let readme = include_str!("../../README.md").replace("\\\n", " ");
    let key = hex::encode(SigningKey::from_bytes(&[7; 32]).verifying_key().as_bytes());
    for event in ["facility_registered", "key_granted"] {
        let line = readme.lines().find(|line| line.trim().starts_with(&format!("marrowline append {event}"))).unwrap();
        // What stands in quotes stays one word.
        let quoted = |(number, text): (usize, &str)| if number % 2 == 1 { text.replace(' ', "~") } else { text.to_owned() };
        let line: String = line.trim().split('"').enumerate().map(quoted).collect();
        let words: Vec<String> = line.split_whitespace().skip(1).map(|word| word.replace('~', " ")).collect();
        let words = words.iter().map(|word| match word.as_str() {
            "people/qa.pem" => qa.clone(),
            word => word.replace("64_DIGITS_OF_key_show", &key),
        });
        let words: Vec<String> = words.chain(founded.connection(&server, "key")).collect();
        let printed = done(&words.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(
            printed.contains("receipt verified") && printed.lines().nth(1).is_some_and(|made| made.contains(" 01")),
            "{printed}"
        );
    }
}
