//! A decision that one person signs and another finds, reads, signs and so appends.

use marrowline_client::v1::{self, ProposalState};
use marrowline_client::{Client, Countersigned, new_id};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};
use marrowline_record::stream::AUTHORITY_ID;

use crate::ledger::{Server, key};
use crate::people::{Signed, code, codes, facilities, new_donor, now, sign};

const AUTHORITY: (StreamKind, [u8; 16]) = (StreamKind::Authority, AUTHORITY_ID);

/// A facility that the key administrator registers alone; QA has still to sign.
pub async fn registering(client: &Client, lab: [u8; 16]) -> Signed {
    let facility = pb::Facility {
        facility_id: new_id().to_vec(),
        code: code("SITE"),
        name: "Second site".to_owned(),
        racks: vec!["R1".to_owned()],
    };
    let event = Event::FacilityRegistered(pb::FacilityRegistered { facility: Some(facility) });
    let by = [("key", Role::KeyAdministrator, Meaning::Approved, lab), ("qa", Role::QualityAssurance, Meaning::Approved, lab)];
    let mut signed = sign(client, event, &by, &[AUTHORITY]).await;
    signed.signings.truncate(1);
    signed
}

async fn propose(client: &Client, signed: &Signed) {
    client.propose(signed.bytes.clone(), &signed.signings).await.unwrap();
}

async fn signature(client: &Client, signed: &Signed, who: &str, slot: u8) -> marrowline_record::signing::Signing {
    marrowline_client::sign(&signed.record, &signed.bytes, slot, &key(who), &now(client).await)
}

/// The proposal of a record in somebody's list.
async fn listed(client: &Client, signed: &Signed) -> Option<v1::Proposal> {
    let all = client.awaiting().await.unwrap();
    all.into_iter().find(|proposal| proposal.record.as_ref().is_some_and(|record| record.record == signed.bytes))
}

fn text(signed: &Signed) -> String {
    uuid::Uuid::from_slice(&signed.record.record_id).unwrap().to_string()
}

fn reason<T: std::fmt::Debug>(result: Result<T, marrowline_client::ClientError>) -> String {
    match result.unwrap_err() {
        marrowline_client::ClientError::Refused(problem) => problem.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_person_sees_every_field_signs_and_appends() {
    let server = Server::start();
    let (administrator, qa, operator) = (server.client("key").await, server.client("qa").await, server.client("op1").await);
    let (lab, _) = facilities(&qa).await;
    let signed = registering(&administrator, lab).await;
    propose(&administrator, &signed).await;
    propose(&administrator, &signed).await;

    assert!(listed(&operator, &signed).await.is_none(), "an operator has no slot in it");
    let seen = listed(&qa, &signed).await.unwrap();
    assert_eq!(
        (seen.state(), seen.event.as_str(), seen.your_slots.as_slice()),
        (ProposalState::Awaiting, "FacilityRegistered", &[1][..])
    );
    assert_eq!((seen.streams.as_slice(), seen.findings.len()), (&["authority".to_owned()][..], 0));
    assert_eq!(seen.signatures.iter().map(|s| s.printed_name.as_str()).collect::<Vec<_>>(), ["Vera Sokolova"]);
    let field = |path: &str| seen.fields.iter().find(|f| f.path == path).map(|f| f.value.as_str());
    assert_eq!((field("facility.name"), field("facility.racks[0]")), (Some("Second site"), Some("R1")));

    let done = server.run("qa", &["inbox", "sign", &text(&signed), "--yes"]);
    // What is read stands beside the data: stdout has the outcome alone.
    let (printed, shown) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && shown.contains("Second site") && printed.contains("receipt verified"), "{printed}{shown}");
    assert_eq!(printed.lines().count(), 1, "{printed}");
    let record_id = signed.record.record_id.as_slice().try_into().unwrap();
    let (verified, step) = qa.record(record_id).await.unwrap();
    assert_eq!((verified.record(), step.signatures.len()), (&signed.record, 2));
    let ended = listed(&administrator, &signed).await.unwrap();
    assert_eq!((ended.state(), ended.index), (ProposalState::Appended, Some(step.index)));
    let late = signature(&qa, &signed, "qa2", 1).await;
    assert_eq!(reason(server.client("qa2").await.countersign(&signed.bytes, &late).await), "PROPOSAL_ENDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn if_a_head_moved_both_are_told_what_came_in_between() {
    let server = Server::start();
    let (administrator, qa) = (server.client("key").await, server.client("qa").await);
    let (lab, _) = facilities(&qa).await;
    let (first, second) = (registering(&administrator, lab).await, registering(&administrator, lab).await);
    for signed in [&first, &second] {
        propose(&administrator, signed).await;
    }
    let own = signature(&qa, &second, "qa", 1).await;
    assert!(matches!(qa.countersign(&second.bytes, &own).await.unwrap(), Countersigned::Appended(_)));

    // Before anybody signs the first one, the list already says that it is in vain.
    let seen = listed(&qa, &first).await.unwrap();
    assert_eq!(seen.state(), ProposalState::Moved);
    assert!(seen.moved_by[0].starts_with("authority: FacilityRegistered by Vera Sokolova and Dmitri Abramov"), "{seen:?}");
    let own = signature(&qa, &first, "qa", 1).await;
    assert_eq!(reason(qa.countersign(&first.bytes, &own).await), "HEAD_MOVED");
    for client in [&administrator, &qa] {
        let told = listed(client, &first).await.unwrap();
        assert_eq!((told.state(), told.moved_by.len(), told.your_slots.len()), (ProposalState::Moved, 1, 0));
    }
    assert_eq!(reason(qa.countersign(&first.bytes, &own).await), "PROPOSAL_ENDED");
    // Made anew on the streams as they are, it goes through.
    let again = registering(&administrator, lab).await;
    propose(&administrator, &again).await;
    let own = signature(&qa, &again, "qa", 1).await;
    qa.countersign(&again.bytes, &own).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_countersigned_is_refused_at_once() {
    let server = Server::start();
    let (administrator, qa, operator) = (server.client("key").await, server.client("qa").await, server.client("op1").await);
    let (lab, hospital) = facilities(&qa).await;
    let fact = new_donor(&operator, lab).await;
    assert_eq!(reason(operator.propose(fact.bytes.clone(), &fact.signings).await), "NOTHING_TO_COUNTERSIGN");
    let signed = registering(&administrator, lab).await;
    assert_eq!(reason(operator.propose(signed.bytes.clone(), &signed.signings).await), "PROPOSER_HAS_NOT_SIGNED");
    // A rule that both signatures would not satisfy refuses the proposal, with its code.
    let closed = Event::TrialResumed(pb::TrialResumed { reason: "nothing was halted".to_owned() });
    let view = v1::GetSubjectRequest { subject: "R-01".to_owned() };
    let trial = qa.custody().get_subject(view).await.unwrap().into_inner().subject.unwrap().protocol.unwrap();
    let by =
        [("qa", Role::QualityAssurance, Meaning::Approved, hospital), ("inv", Role::Investigator, Meaning::Approved, hospital)];
    let mut resumed = sign(&qa, closed, &by, &[(StreamKind::Protocol, trial.id.as_slice().try_into().unwrap())]).await;
    resumed.signings.truncate(1);
    let refused = qa.propose(resumed.bytes.clone(), &resumed.signings).await;
    assert_eq!(reason(refused), "TRIAL_NOT_HALTED");

    propose(&administrator, &signed).await;
    let own = signature(&qa, &signed, "qa", 1).await;
    let second = server.client("qa2").await;
    assert_eq!(reason(second.countersign(&signed.bytes, &own).await), "SIGNING_NOT_YOURS");
    let taken = signature(&qa, &signed, "qa", 0).await;
    assert_eq!(reason(qa.countersign(&signed.bytes, &taken).await), "SLOT_NOT_OPEN");
    let stranger = signature(&operator, &signed, "op1", 1).await;
    assert_eq!(codes_of(operator.countersign(&signed.bytes, &stranger).await), ["SIGNER_WITHOUT_AUTHORITY"]);
    let mut forged = own.clone();
    forged.signature[0] ^= 1;
    assert_eq!(reason(qa.countersign(&signed.bytes, &forged).await), "SIGNATURE_WRONG");
    // After all that it still waits, and can be declined with a reason that the first person reads.
    assert_eq!(listed(&qa, &signed).await.unwrap().state(), ProposalState::Awaiting);
    let declined = server.run("qa", &["inbox", "withdraw", &text(&signed), "--reason", "the site was never audited"]);
    assert!(declined.status.success(), "{}", String::from_utf8_lossy(&declined.stderr));
    let told = listed(&administrator, &signed).await.unwrap();
    assert_eq!(told.state(), ProposalState::Withdrawn);
    assert_eq!(told.ended_because, "Dmitri Abramov: the site was never audited");
}

fn codes_of(result: Result<Countersigned, marrowline_client::ClientError>) -> Vec<String> {
    match result {
        Ok(Countersigned::Appended(done)) => codes(Ok(*done)),
        Ok(other) => panic!("{other:?}"),
        Err(error) => codes(Err(error)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_survives_a_restart_and_ends_after_an_hour() {
    let mut server = Server::start();
    let qa = server.client("qa").await;
    let (lab, _) = facilities(&qa).await;
    let administrator = server.client("key").await;
    let (kept, forgotten) = (registering(&administrator, lab).await, registering(&administrator, lab).await);
    propose(&administrator, &kept).await;
    propose(&administrator, &forgotten).await;
    drop((qa, administrator));
    server.signal("KILL");
    server.ended(std::time::Duration::from_secs(30)).unwrap();

    let again = Server::serve(&server.folder);
    let qa = again.client("qa").await;
    assert!(listed(&qa, &kept).await.is_some_and(|p| p.state() == ProposalState::Awaiting));
    let own = signature(&qa, &kept, "qa", 1).await;
    assert!(matches!(qa.countersign(&kept.bytes, &own).await.unwrap(), Countersigned::Appended(_)));

    let at = now(&qa).await.unix_ms;
    let administrator = again.client("key").await;
    administrator.advance_clock(at + 3_600_001).await.unwrap();
    let told = listed(&administrator, &forgotten).await.unwrap();
    assert_eq!(told.state(), ProposalState::Expired);
    let late = signature(&qa, &forgotten, "qa", 1).await;
    assert_eq!(reason(qa.countersign(&forgotten.bytes, &late).await), "PROPOSAL_ENDED");
}

/// From the command line: proposed with one key, listed and signed with another.
#[tokio::test(flavor = "multi_thread")]
async fn proposed_and_signed_from_the_command_line() {
    let server = Server::start();
    let qa = server.client("qa").await;
    let (_, hospital) = facilities(&qa).await;
    let view = v1::GetSubjectRequest { subject: "R-01".to_owned() };
    let subject = qa.custody().get_subject(view).await.unwrap().into_inner().subject.unwrap();
    let trial = uuid::Uuid::from_slice(&subject.protocol.unwrap().id).unwrap();
    let facility = uuid::Uuid::from_bytes(hospital).to_string();
    let on = format!("protocol:{trial}");
    let common = ["--set", "reason=audit", "--on", on.as_str(), "--facility", facility.as_str()];
    let halted = server.run("qa", &[&["append", "trial_halted"][..], &common].concat());
    assert!(halted.status.success(), "{}", String::from_utf8_lossy(&halted.stderr));
    let proposed = server.run("qa", &[&["append", "trial_resumed", "--propose"][..], &common].concat());
    assert!(proposed.status.success(), "{}", String::from_utf8_lossy(&proposed.stderr));
    let printed = String::from_utf8(proposed.stdout).unwrap();
    let id = printed.split_whitespace().nth(1).unwrap().to_owned();

    let list = String::from_utf8(server.run("inv", &["inbox", "list"]).stdout).unwrap();
    assert!(list.contains(&id) && list.contains("TrialResumed: awaiting") && list.contains("audit"), "{list}");
    // Nobody is asked where nobody can answer.
    assert_eq!(server.run("inv", &["inbox", "sign", &id]).status.code(), Some(2));
    let done = server.run("inv", &["inbox", "sign", &id, "--yes"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let list = String::from_utf8(server.run("qa", &["inbox", "list"]).stdout).unwrap();
    assert!(list.contains("TrialResumed: appended"), "{list}");
}

/// An amendment is shown as what the record says and what it is to say.
#[tokio::test(flavor = "multi_thread")]
async fn an_amendment_is_read_in_words_before_it_is_signed() {
    let server = Server::start();
    let (nurse, qa) = (server.client("rn1").await, server.client("qa").await);
    let (_, hospital) = facilities(&qa).await;
    let view = v1::GetSubjectRequest { subject: "R-03".to_owned() };
    let subject = nurse.custody().get_subject(view).await.unwrap().into_inner().subject.unwrap();
    let stream = (StreamKind::Subject, subject.stream.unwrap().id.as_slice().try_into().unwrap());
    let weighed =
        |weight_grams| Event::SubjectWeighed(pb::SubjectWeighed { weight_grams, method: pb::WeighingMethod::Measured.into() });
    let by = [("rn1", Role::Nurse, Meaning::Performed, hospital)];
    let wrong = sign(&nurse, weighed(7_100), &by, &[stream]).await;
    wrong.append(&nurse).await.unwrap();
    let amended = Event::RecordAmended(pb::RecordAmended {
        target: Some(pb::AmendedRecord {
            record_id: wrong.record.record_id.clone(),
            digest: marrowline_record::digest(&wrong.bytes).0.to_vec(),
        }),
        replaces_record_id: wrong.record.record_id.clone(),
        replacement: marrowline_record::encode(&pb::Record { event: Some(weighed(71_000)), ..wrong.record.clone() }),
        reason: "a zero was left out".to_owned(),
    });
    let by = [("rn1", Role::Nurse, Meaning::Approved, hospital), ("qa", Role::QualityAssurance, Meaning::Approved, hospital)];
    let mut signed = sign(&nurse, amended, &by, &[stream]).await;
    signed.signings.truncate(1);
    propose(&nurse, &signed).await;
    let seen = listed(&qa, &signed).await.unwrap();
    let field = |path: &str| seen.fields.iter().find(|f| f.path == path).map(|f| f.value.as_str());
    assert_eq!((field("before.weight_grams"), field("after.weight_grams")), (Some("7100"), Some("71000")));
    assert_eq!(field("replacement"), None);
    let done = server.run("qa", &["inbox", "sign", &text(&signed), "--yes"]);
    let printed = format!("{}{}", String::from_utf8_lossy(&done.stderr), String::from_utf8_lossy(&done.stdout));
    assert!(
        printed.contains("after.weight_grams") && printed.contains("71000") && printed.contains("receipt verified"),
        "{printed}"
    );
}
