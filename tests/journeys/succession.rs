//! What judges and what signs is changed while the ledger lives: another rule set, another log key, and those who still trust the old key.

use std::path::Path;

use marrowline_client::{Client, Trust};
use marrowline_merkle::VerifierKey;
use serde_json::{Value, json};

use crate::founding::{Ended, Founded, run};
use crate::ledger::{Server, fsck};

/// A ledger of two founders, and a log key file that somebody took home when it was founded.
struct Lab {
    founded: Founded,
    facility: String,
}

impl Lab {
    async fn found(rule_set: u32) -> Lab {
        let founded = Founded::prepare(|founding| founding["ledger_founded"]["rule_set"] = rule_set.into());
        assert_eq!(founded.init().status, 0);
        std::fs::copy(founded.path("ledger/log.vkey"), founded.path("home.vkey")).unwrap();
        let server = Server::serve(&founded.folder());
        let client = founded.client(&server, "key").await;
        let (founding, _) = client.record_at(0).await.unwrap();
        let facility = uuid::Uuid::from_slice(&founding.record().slots[0].facility_id).unwrap().to_string();
        Lab { founded, facility }
    }

    /// The command line as a founder, with the log key that was taken home.
    fn ask(&self, server: &Server, arguments: &[&str]) -> Ended {
        let home = self.founded.path("home.vkey");
        let mut connection = self.founded.connection(server, "key");
        let log = connection.iter().position(|option| option == "--log").unwrap();
        connection[log + 1] = home;
        let all: Vec<&str> = arguments.iter().copied().chain(connection.iter().map(String::as_str)).collect();
        run(&all)
    }

    fn append(&self, server: &Server, event: &Value, extra: &[&str]) -> Ended {
        std::fs::write(self.founded.path("event.json"), event.to_string()).unwrap();
        let (event, qa) = (self.founded.path("event.json"), self.founded.path("qa.pem"));
        let mut arguments = vec!["append", "--event", &event, "--on", "authority:", "--facility", &self.facility, "--sign", &qa];
        arguments.extend(extra);
        self.ask(server, &arguments)
    }

    async fn at_home(&self, server: &Server) -> Client {
        let read = |name: &str| std::fs::read_to_string(self.founded.path(name)).unwrap();
        let trust = Trust { log: VerifierKey::parse(read("home.vkey").trim()).unwrap(), ca_pem: read("ledger/ca.pem") };
        Client::connect(&server.endpoint, trust, &self.founded.key("key"), 600).await.unwrap()
    }
}

fn facility(code: &str) -> Value {
    json!({"facility_registered": {"facility": {"facility_id": "new", "code": code, "name": code}}})
}

fn stop(mut server: Server) {
    server.signal("TERM");
    assert!(server.ended(std::time::Duration::from_secs(60)).unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_rule_set_judges_from_the_next_record_on() {
    let lab = Lab::found(1).await;
    let server = Server::serve(&lab.founded.folder());
    let adopted = |rule_set: u32| json!({"rule_set_adopted": {"rule_set": rule_set}});
    let refused = lab.append(&server, &adopted(9), &[]);
    assert!(refused.status == 3 && refused.err.contains("RULE_SET_UNKNOWN"), "{}", refused.err);
    let ended = lab.append(&server, &adopted(2), &[]);
    assert_eq!(ended.status, 0, "{}", ended.err);
    assert_eq!(lab.append(&server, &facility("NEXT"), &[]).status, 0);
    let back = lab.append(&server, &adopted(1), &[]);
    assert!(back.status == 3 && back.err.contains("RULE_SET_NOT_LATER"), "{}", back.err);

    let client = lab.at_home(&server).await;
    let mut rule_sets = Vec::new();
    for index in 0..3 {
        rule_sets.push(client.record_at(index).await.unwrap().0.leaf().rule_set);
    }
    assert_eq!(rule_sets, [1, 1, 2], "the adoption itself is judged by the rule set before it");
    stop(server);
    fsck(&lab.founded.folder());
    // It is still in force after a restart.
    let server = Server::serve(&lab.founded.folder());
    assert_eq!(lab.append(&server, &facility("AFTER"), &[]).status, 0);
    assert_eq!(lab.at_home(&server).await.record_at(3).await.unwrap().0.leaf().rule_set, 2);
}

fn prepare(lab: &Lab) -> Value {
    let ended = run(&["log-key", "prepare", "--data", &lab.founded.path("ledger")]);
    assert_eq!(ended.status, 0, "{}", ended.err);
    assert!(ended.err.contains("--on authority:"), "{}", ended.err);
    let mut event: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(event["log_key_rotated"]["reason"], "", "nobody records a placeholder");
    event["log_key_rotated"]["reason"] = "the machine is replaced".into();
    event
}

fn log_key_of(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log.vkey")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_trusts_an_old_log_key_is_led_to_the_present_one() {
    let lab = Lab::found(2).await;
    let folder = lab.founded.folder();
    let founding_key = log_key_of(&folder);
    let server = Server::serve(&folder);
    let event = prepare(&lab);
    assert_eq!(event, prepare(&lab), "asked again, it is the same successor");
    let not_held = lab.append(&server, &event, &[]);
    assert!(not_held.status == 3 && not_held.err.contains("SUCCESSOR_NOT_HELD"), "{}", not_held.err);
    let dry = lab.append(&server, &event, &["--dry-run"]);
    assert!(dry.status == 3 && dry.err.contains("SUCCESSOR_NOT_HELD"), "{}", dry.err);
    stop(server);

    let server = Server::serve(&folder);
    let refused = lab.append(&server, &stranger(&event), &[]);
    assert!(refused.status == 3 && refused.err.contains("LOG_KEY_NOT_POSSESSED"), "{}", refused.err);
    let ended = lab.append(&server, &event, &[]);
    assert_eq!(ended.status, 0, "the receipt is signed with both keys: {}", ended.err);
    let rotated = lab.at_home(&server).await.record_at(1).await.unwrap().0;
    let early = lab.ask(&server, &["log-key", "follow"]);
    assert!(early.status == 0 && early.err.contains("rotated; followed after the next record"), "{}", early.err);
    assert_eq!(std::fs::read_to_string(lab.founded.path("home.vkey")).unwrap(), founding_key);
    let early = lab.ask(&server, &["log-key", "follow", "--output", "json"]);
    let early: Value = serde_json::from_str(&early.out).unwrap();
    assert_eq!((&early["followed"], &early["rotated_by_last_record"]), (&false.into(), &true.into()));
    // The old key has signed nothing since; who knows it alone follows by the record of the new one.
    let next = lab.append(&server, &facility("NEXT"), &[]);
    assert_eq!(next.status, 0, "{}", next.err);
    let client = lab.at_home(&server).await;
    client.checkpoint().await.unwrap();
    assert_ne!(format!("{}\n", client.log_key()), founding_key);
    assert_eq!(hex::encode(client.log_key().public_key().as_bytes()), event["log_key_rotated"]["log_public_key"]);
    assert_eq!(client.record_at(1).await.unwrap().0.leaf(), rotated.leaf());
    let again = lab.append(&server, &event, &[]);
    assert!(again.status == 3 && again.err.contains("LOG_KEY_ALREADY_USED"), "{}", again.err);

    // Killed before anything is tidied: the successor signs all the same, and takes the old one's place.
    drop(server);
    fsck(&folder);
    let server = Server::serve(&folder);
    assert!(!folder.join("log.next.key").exists());
    assert_ne!(log_key_of(&folder), founding_key);
    lab.at_home(&server).await.checkpoint().await.unwrap();
    let second = prepare(&lab);
    assert_ne!(second, event);
    stop(server);
    let server = Server::serve(&folder);
    assert_eq!(lab.append(&server, &second, &[]).status, 0);
    stop(server);
    fsck(&folder);

    // Two steps at once, and the file is written anew.
    let server = Server::serve(&folder);
    let followed = lab.ask(&server, &["log-key", "follow"]);
    assert_eq!(followed.status, 0, "{}", followed.err);
    assert_eq!(followed.out, log_key_of(&folder));
    assert_eq!(std::fs::read_to_string(lab.founded.path("home.vkey")).unwrap(), log_key_of(&folder));
    assert_eq!(lab.append(&server, &facility("LAST"), &[]).status, 0);
}

/// An event of a rotation with another key's public half.
fn stranger(event: &Value) -> Value {
    let mut other = event.clone();
    let key = ed25519_dalek::SigningKey::from_bytes(&[3; 32]);
    other["log_key_rotated"]["log_public_key"] = hex::encode(key.verifying_key().as_bytes()).into();
    other
}
