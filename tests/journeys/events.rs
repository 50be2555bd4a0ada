//! Every event of the descriptor: its template is read back, and one of it was signed, appended, and is read back byte for byte.

use std::collections::BTreeMap;
use std::process::Command;

use marrowline_client::v1;
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};
use marrowline_record::{EventKind, encode};
use serde_json::Value;

use crate::ledger::{PROGRAM, Server, demo, passphrase};
use crate::people::{facilities, new_donor, sign, sign_citing};

fn template(event: &str) -> Value {
    let output = Command::new(PROGRAM).args(["append", "--template", event]).output().unwrap();
    assert!(output.status.success(), "{event}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_event_has_a_template() {
    for kind in EventKind::all() {
        let printed = template(kind.field_name());
        let fields = printed.get(kind.field_name()).and_then(Value::as_object);
        assert!(fields.is_some_and(|f| !f.is_empty()), "{kind}: {printed}");
    }
}

/// `marrowline … | head -1`: the program ends without a word, and not as if everything had been read.
#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let mut child = Command::new(PROGRAM)
        .args(["append", "--template"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(1), ""));
}

/// What the demo does not do: a deviation and its end, a hold and its lifting, a revoked key, a signature that comes later; and samples of
/// every fact. A new kind of decision needs a journey of its own, here or in the demo.
async fn what_the_demo_left_out(server: &Server) {
    let op = server.client("op1").await;
    let (lab, _) = facilities(&op).await;
    crate::facts::append_samples(&server.client("aud").await).await;
    let donor = new_donor(&op, lab).await;
    donor.append(&op).await.unwrap();
    let stream = (StreamKind::Donor, donor.record.streams[0].id.as_slice().try_into().unwrap());

    let opened = pb::DeviationOpened { severity: pb::Severity::Minor.into(), description: "the form was torn".to_owned() };
    let opened = sign(&op, Event::DeviationOpened(opened), &[("op1", Role::Operator, Meaning::Performed, lab)], &[stream]).await;
    opened.append(&op).await.unwrap();
    let id = marrowline_rules::state::upkeep::derived_id(&marrowline_record::digest(&opened.bytes), "DEVIATION_OPENED");
    let closed = pb::DeviationClosed { deviation_id: id.to_vec(), cause: "haste".to_owned(), effect: "none".to_owned() };
    let by = [("qa", Role::QualityAssurance, Meaning::Approved, lab)];
    let closed = sign(&op, Event::DeviationClosed(closed), &by, &[stream]).await;
    closed.append(&op).await.unwrap();

    let set = pb::HoldSet { reason: "to be looked into".to_owned(), ..pb::HoldSet::default() };
    let set = sign(&op, Event::HoldSet(set), &[("op1", Role::Operator, Meaning::Approved, lab)], &[stream]).await;
    set.append(&op).await.unwrap();
    let id = marrowline_rules::state::upkeep::derived_id(&marrowline_record::digest(&set.bytes), "HOLD_SET");
    let lifted = pb::HoldLifted {
        hold_id: id.to_vec(),
        resolution: "looked into".to_owned(),
        resolution_record_id: closed.record.record_id.clone(),
    };
    let by = [("qa", Role::QualityAssurance, Meaning::Approved, lab), ("qp", Role::QualifiedPerson, Meaning::Approved, lab)];
    let lifted = sign_citing(&op, Event::HoldLifted(lifted), &by, &[stream], &[&closed]).await;
    lifted.append(&op).await.unwrap();

    // A lot opened by one person, and the other's signature afterwards.
    let record = op.record_at(0).await.unwrap();
    assert!(matches!(record.0.record().event, Some(Event::LedgerFounded(_))));
    let lot_opened = first_of(server, "LotOpened").await;
    let Some(Event::LotOpened(mut event)) = lot_opened.event else { panic!("no lot") };
    event.lot_code = crate::people::code("L");
    let lot = (StreamKind::Lot, marrowline_client::new_id());
    let mut opened = sign(
        &op,
        Event::LotOpened(event),
        &[("op1", Role::Operator, Meaning::Performed, lab), ("op2", Role::VerifyingOperator, Meaning::Verified, lab)],
        &[lot, stream],
    )
    .await;
    opened.signings.truncate(1);
    opened.append(&op).await.unwrap();
    let added = pb::SignatureAdded { target_digest: marrowline_record::digest(&opened.bytes).0.to_vec(), slot: Some(1) };
    let by = [("op2", Role::VerifyingOperator, Meaning::Verified, lab)];
    let added = sign(&op, Event::SignatureAdded(added), &by, &[lot, stream]).await;
    added.append(&op).await.unwrap();

    let key_id = marrowline_record::id::KeyId::of(crate::ledger::key("rn2").verifying_key().as_bytes());
    let revoked = pb::KeyRevoked {
        key_id: key_id.0.to_vec(),
        reason: "lost".to_owned(),
        effective_at: Some(crate::people::now(&op).await),
        ..pb::KeyRevoked::default()
    };
    let by = [("key", Role::KeyAdministrator, Meaning::Approved, lab)];
    let authority = (StreamKind::Authority, marrowline_record::stream::AUTHORITY_ID);
    sign(&op, Event::KeyRevoked(revoked), &by, &[authority]).await.append(&op).await.unwrap();

    // Byte for byte as they were sent, by their ids.
    for sent in [opened, closed, set, lifted, added] {
        let id = sent.record.record_id.as_slice().try_into().unwrap();
        assert_eq!(op.digest_of(id).await.unwrap(), marrowline_record::digest(&sent.bytes).0);
    }
}

/// The first record of an event.
pub async fn first_of(server: &Server, event: &str) -> pb::Record {
    let kind = EventKind::from_name(event).unwrap();
    let auditor = server.client("aud").await;
    for index in 0.. {
        let Ok((receipt, _)) = auditor.record_at(index).await else { break };
        if receipt.record().event.as_ref().map(EventKind::of) == Some(kind) {
            return receipt.record().clone();
        }
    }
    panic!("no {kind}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_was_signed_appended_and_is_read_back() {
    let server = Server::start();
    crate::doubt::happens(&server).await;
    crate::amendment::happens(&server).await;
    crate::emergency::happens(&server).await;
    crate::subject_life::happens(&server).await;
    what_the_demo_left_out(&server).await;
    crate::lot_life::happens(&server).await;
    crate::recall::happens(&server).await;
    crate::supplies::happens(&server).await;
    let auditor = server.client("aud").await;
    let mut seen: BTreeMap<&str, usize> = EventKind::all().iter().map(|kind| (kind.name(), 0)).collect();
    let (mut token, mut count) = (String::new(), 0);
    loop {
        let request = v1::ListRecordsRequest { page_size: 37, page_token: token, ..v1::ListRecordsRequest::default() };
        let page = auditor.list(request).await.unwrap();
        for logged in page.records {
            assert_eq!(logged.index, count, "a page skipped or repeated a record");
            let (receipt, step) = auditor.record_at(logged.index).await.unwrap();
            assert_eq!(encode(receipt.record()), logged.record, "leaf {count} is another record in the list");
            let kind = EventKind::of(receipt.record().event.as_ref().unwrap());
            assert_eq!(step.event, kind.name());
            *seen.get_mut(kind.name()).unwrap() += 1;
            count += 1;
        }
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    // These two change the ledger itself; `succession` appends them to ledgers of their own.
    let of_its_own = |name: &str| matches!(name, "LogKeyRotated" | "RuleSetAdopted");
    let missing: Vec<_> = seen.iter().filter(|(name, n)| **n == 0 && !of_its_own(name)).map(|(name, _)| *name).collect();
    assert!(missing.is_empty(), "no journey appends {missing:?}");
}

/// The command line: a template filled in, signed by two, appended, and shown.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_from_a_file_by_the_command_line() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("passphrase.txt");
    std::fs::write(&secret, passphrase()).unwrap();
    let event = folder.path().join("event.json");
    let donor_code = crate::people::code("D");
    let mut filled = template("donor_registered");
    filled["donor_registered"]["donor_code"] = donor_code.clone().into();
    filled["donor_registered"]["birth_year"] = 1991.into();
    std::fs::write(&event, filled.to_string()).unwrap();
    let run = |arguments: &[&str], key: &str| {
        let output = Command::new(PROGRAM)
            .args(arguments)
            .args(["--server", &server.endpoint])
            .arg("--ca")
            .arg(demo().join("ca.pem"))
            .arg("--log")
            .arg(demo().join("log.vkey"))
            .arg("--key")
            .arg(demo().join(format!("people/{key}.pem")))
            .arg("--passphrase-file")
            .arg(&secret)
            .output()
            .unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap(), text)
    };
    assert!(run(&["append", "donor_registered", "--set", "birth"], "phy").1.contains("FIELD=VALUE"));
    let append = ["append", "--event", event.to_str().unwrap(), "--on", "donor:new", "--facility", "LAB"];
    let (status, text) = run(&append, "phy");
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("receipt verified"), "{text}");
    let (status, text) = run(&["donor", "show", &donor_code], "phy");
    assert_eq!(status, 0, "{text}");
    assert!(text.contains(&donor_code), "{text}");
    // The same from options; donor and facility by their codes.
    let stream = format!("donor:{donor_code}");
    let consent = ["append", "donor_consented", "--on", &stream, "--facility", "LAB", "--set", "consent_version=2.0"];
    let more = ["--set", "scope=[\"CLINICAL_USE\"]", "--set", "withdrawal_effect=DESTROY_UNITS", "--set"];
    let digest = format!("document_digest={}", "5a".repeat(32));
    let consent: Vec<&str> = consent.into_iter().chain(more).chain([digest.as_str()]).collect();
    let (status, text) = run(&consent, "phy");
    assert_eq!(status, 0, "{text}");
    let (status, text) = run(&["donor", "show", &donor_code], "phy");
    assert!(status == 0 && text.contains("DonorConsented"), "{text}");
    let (status, text) = run(&["append", "donor_consented", "--on", &stream, "--facility", "LUB"], "phy");
    assert!(status == 2 && text.contains("no facility `LUB`; there are LAB"), "{text}");
    // Somebody who may not: exit 5, the code, and what to do.
    let (status, text) = run(&append, "op1");
    assert_eq!(status, 5, "{text}");
    assert!(text.contains("SIGNER_WITHOUT_AUTHORITY"), "{text}");
    let (status, text) = run(&["donor", "show", "NOBODY"], "phy");
    assert_eq!(status, 8, "{text}");
    let (status, text) = run(&["check", "701018"], "pha1");
    assert_eq!(status, 3, "{text}");
    assert!(text.contains("DOSE_ALREADY_USED"), "{text}");
}
