//! The order of records: who is first, what is the same record, what a batch may rest on, and a log that was rolled back.

use marrowline_client::v1;
use marrowline_client::v1::ledger_service_client::LedgerServiceClient;
use marrowline_client::{Client, ClientError};
use marrowline_record::leaf::signed_hash;
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::ledger::{Server, copy, demo};
use crate::people::{AUTHORITY, Signed, Stream, code, codes, facilities, new_donor, now, sign};
use crate::refusals::{channel, good_token, with_token};

async fn size(client: &Client) -> u64 {
    client.checkpoint().await.unwrap().size()
}

fn facility(number: usize) -> Event {
    Event::FacilityRegistered(pb::FacilityRegistered {
        facility: Some(pb::Facility {
            facility_id: marrowline_client::new_id().to_vec(),
            code: format!("WARD-{number}"),
            name: "Ward".to_owned(),
            racks: Vec::new(),
        }),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_decisions_on_one_head_exactly_one_wins_each_time() {
    let server = Server::start();
    let mut clients = Vec::new();
    for handle in ["op1", "qa", "key", "aud"] {
        clients.push(server.client(handle).await);
    }
    let (lab, _) = facilities(&clients[0]).await;
    let by = [("key", Role::KeyAdministrator, Meaning::Approved, lab), ("qa", Role::QualityAssurance, Meaning::Approved, lab)];
    let before = size(&clients[0]).await;
    let rounds = 8;
    for round in 0..rounds {
        let mut signed = Vec::new();
        for number in 0..clients.len() {
            signed.push(sign(&clients[0], facility(round * 10 + number), &by, &[AUTHORITY]).await);
        }
        let (a, b, c, d) = tokio::join!(
            signed[0].append(&clients[0]),
            signed[1].append(&clients[1]),
            signed[2].append(&clients[2]),
            signed[3].append(&clients[3]),
        );
        let (won, lost): (Vec<_>, Vec<_>) = [a, b, c, d].into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, 3), "round {round}");
        for result in lost {
            let Err(ClientError::Refused(problem)) = result else { panic!("{result:?}") };
            assert_eq!((problem.status, problem.code.as_str()), (Code::Aborted, "HEAD_MOVED"));
            assert!(problem.reasons.iter().any(|r| r.code == "HEAD_MOVED_BY" && r.words.contains("FacilityRegistered")));
        }
    }
    assert_eq!(size(&clients[0]).await, before + rounds as u64);
}

/// A subject who may be given cells, its stream, and a dose that was ordered for it now.
async fn ordered(client: &Client, subject: &str, hospital: [u8; 16]) -> (Stream, Vec<u8>) {
    let request = v1::GetSubjectRequest { subject: subject.to_owned() };
    let view = client.custody().get_subject(request).await.unwrap().into_inner().subject.unwrap();
    let stream = (StreamKind::Subject, view.stream.unwrap().id.as_slice().try_into().unwrap());
    let weighed = pb::SubjectWeighed { weight_grams: 70_000, method: pb::WeighingMethod::Measured.into() };
    let by = [("rn1", Role::Nurse, Meaning::Performed, hospital)];
    let weighed = sign(client, Event::SubjectWeighed(weighed), &by, &[stream]).await;
    weighed.append(client).await.unwrap();
    let order_id = marrowline_client::new_id().to_vec();
    let ordered = pb::DoseOrdered {
        order_id: order_id.clone(),
        target_viable_cells_per_kg: 1_000_000,
        weighing_record_id: weighed.record.record_id.clone(),
        planned_duration_seconds: 3_600,
    };
    let by = [("inv", Role::Investigator, Meaning::Approved, hospital)];
    sign(client, Event::DoseOrdered(ordered), &by, &[stream]).await.append(client).await.unwrap();
    (stream, order_id)
}

/// Two pharmacists give the same frozen unit to two subjects, each over a connection of their own, at the same time: one of them is told
/// what the other did, and the unit is one order's.
#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_two_allocate_at_once_is_given_to_exactly_one_order() {
    let server = Server::start();
    let clients = [server.client("pha1").await, server.client("pha2").await];
    let (_, hospital) = facilities(&clients[0]).await;
    let orders = [ordered(&clients[0], "R-01", hospital).await, ordered(&clients[1], "R-02", hospital).await];
    let lot = async || {
        let request = v1::GetLotRequest { lot: "L-2026-01".to_owned() };
        clients[0].custody().get_lot(request).await.unwrap().into_inner().lot.unwrap()
    };
    let at_hand = |unit: &&v1::UnitView| unit.processing == "stored" && unit.facility_id == hospital;
    let view = lot().await.units.iter().find(at_hand).unwrap().clone();
    let unit = view.unit_id;
    let lot_stream = (StreamKind::Lot, lot().await.stream.unwrap().id.as_slice().try_into().unwrap());
    let both = ["pha1", "pha2"].map(|who| (who, Role::Pharmacist, Meaning::Approved, hospital));
    let allocation = async |number: usize| {
        let (subject, order_id) = orders[number].clone();
        let event = Event::UnitsAllocated(pb::UnitsAllocated { order_id, unit_ids: vec![unit.clone()] });
        sign(&clients[number], event, &both, &[subject, lot_stream]).await
    };
    for round in 0..8 {
        // Both have seen the same heads before either is sent.
        let signed = [allocation(0).await, allocation(1).await];
        let before = size(&clients[0]).await;
        let (first, second) = tokio::join!(signed[0].append(&clients[0]), signed[1].append(&clients[1]));
        let (winner, lost) = match (first, second) {
            (Ok(_), Err(lost)) => (0, lost),
            (Err(lost), Ok(_)) => (1, lost),
            other => panic!("round {round}: {other:?}"),
        };
        let loser = 1 - winner;
        let ClientError::Refused(problem) = lost else { panic!("{lost:?}") };
        let has = |code: &str| problem.reasons.iter().any(|reason| reason.code == code);
        assert!(has("UNIT_ALREADY_ALLOCATED") || has("HEAD_MOVED"), "{problem}");
        let moved: Vec<_> = problem.reasons.iter().filter(|reason| reason.code == "HEAD_MOVED_BY").collect();
        assert!(moved.iter().any(|reason| reason.words.contains("UnitsAllocated")), "what came in between: {problem}");
        assert_eq!(size(&clients[0]).await, before + 1, "round {round}");
        let request = v1::GetUnitRequest { unit: view.unit_code.clone() };
        let now = clients[0].custody().get_unit(request).await.unwrap().into_inner().unit.unwrap();
        assert_eq!(now.subject_id, orders[winner].0.1, "the unit is the winner's");

        // Who decides again on the heads as they are is told the rule itself, and nothing is written.
        let again = allocation(loser).await.append(&clients[loser]).await;
        assert_eq!(codes(again), ["UNIT_ALREADY_ALLOCATED"], "round {round}");
        assert_eq!(size(&clients[0]).await, before + 1);
        let (subject, order_id) = orders[winner].clone();
        let released = Event::AllocationReleased(pb::AllocationReleased { order_id, unit_ids: vec![unit.clone()] });
        sign(&clients[winner], released, &both[..1], &[subject, lot_stream]).await.append(&clients[winner]).await.unwrap();
    }
}

/// A fact is not refused because something else came first: it is kept, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn facts_on_one_head_are_all_kept() {
    let server = Server::start();
    let client = server.client("phy").await;
    let (lab, _) = facilities(&client).await;
    let donor = new_donor(&client, lab).await;
    donor.append(&client).await.unwrap();
    let stream = (StreamKind::Donor, donor.record.streams[0].id.as_slice().try_into().unwrap());
    let by = [("phy", Role::DonorPhysician, Meaning::Performed, lab)];
    let deviation = |words: &str| {
        Event::DeviationOpened(pb::DeviationOpened { severity: pb::Severity::Minor.into(), description: words.to_owned() })
    };
    let (first, second) =
        (sign(&client, deviation("one"), &by, &[stream]).await, sign(&client, deviation("two"), &by, &[stream]).await);
    assert!(first.append(&client).await.unwrap().flags.is_empty());
    let kept = second.append(&client).await.unwrap();
    assert_eq!(kept.flags.iter().map(|f| f.code.as_str()).collect::<Vec<_>>(), ["HEAD_ADVANCED"]);
    // The leaf holds its true place: third of the stream.
    assert_eq!(kept.verified.leaf().links[0].seq, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_record_sent_by_many_at_once_is_one_record() {
    let server = Server::start();
    let mut clients = Vec::new();
    for handle in ["phy", "op1", "qa", "aud"] {
        clients.push(server.client(handle).await);
    }
    let (lab, _) = facilities(&clients[0]).await;
    let before = size(&clients[3]).await;
    for _ in 0..8 {
        let donor = new_donor(&clients[0], lab).await;
        let (a, b, c, d) = tokio::join!(
            donor.append(&clients[0]),
            donor.append(&clients[1]),
            donor.append(&clients[2]),
            donor.append(&clients[3]),
        );
        let leaves: Vec<_> = [a, b, c, d].into_iter().map(|r| r.unwrap().receipt).map(|r| (r.index, r.leaf)).collect();
        assert!(leaves.iter().all(|leaf| *leaf == leaves[0]));
    }
    assert_eq!(size(&clients[3]).await, before + 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_with_something_else_is_another_record() {
    let server = Server::start();
    let client = server.client("op1").await;
    let (lab, _) = facilities(&client).await;
    let donor = new_donor(&client, lab).await;
    donor.append(&client).await.unwrap();
    let (kind, id) = (StreamKind::Donor, donor.record.streams[0].id.as_slice().try_into().unwrap());

    // Properly signed, and with other content.
    let mut other = donor.record.clone();
    other.salt = vec![1; 16];
    let bytes = marrowline_record::encode(&other);
    let draft = marrowline_client::Draft::new(client.origin(), other.event.clone().unwrap(), now(&client).await).unwrap();
    let draft = draft.slot(Role::DonorPhysician, Meaning::Performed, lab);
    let signing = draft.sign(&bytes, 0, &crate::ledger::key("phy"), &now(&client).await);
    let refused = client.append(bytes, &[signing]).await;
    let Err(ClientError::Refused(problem)) = refused else { panic!("{refused:?}") };
    assert_eq!((problem.status, problem.code.as_str()), (Code::AlreadyExists, "RECORD_ID_TAKEN"));

    // A lot opened by one; then the same with the second signature too: that comes by SignatureAdded.
    let event = Event::LotOpened(pb::LotOpened {
        lot_code: code("L"),
        specification: Some(pb::VersionRef { id: specification(&client).await.to_vec(), version: 1 }),
        din: "G123498654321H".to_owned(),
    });
    let by = [("op1", Role::Operator, Meaning::Performed, lab), ("op2", Role::VerifyingOperator, Meaning::Verified, lab)];
    let lot = sign(&client, event, &by, &[(StreamKind::Lot, marrowline_client::new_id()), (kind, id)]).await;
    let one = Signed { record: lot.record.clone(), bytes: lot.bytes.clone(), signings: lot.signings[..1].to_vec() };
    let kept = one.append(&client).await.unwrap();
    assert!(kept.flags.iter().any(|f| f.code == "VERIFIER_MISSING"), "{:?}", kept.flags);
    let Err(ClientError::Refused(problem)) = lot.append(&client).await else { panic!("a leaf was changed") };
    assert_eq!((problem.status, problem.code.as_str()), (Code::AlreadyExists, "SIGNINGS_DIFFER"));
    assert!(problem.to_string().contains("SignatureAdded"), "{problem}");
    assert_eq!(one.append(&client).await.unwrap().receipt.leaf, kept.receipt.leaf);
}

async fn specification(client: &Client) -> [u8; 16] {
    let request = v1::GetLotRequest { lot: "L-2026-01".to_owned() };
    let lot = client.custody().clone().get_lot(request).await.unwrap().into_inner().lot.unwrap();
    lot.specification.unwrap().id.as_slice().try_into().unwrap()
}

/// A donor's consent that has seen the registration which is sent with it.
async fn consent_after(client: &Client, donor: &Signed, lab: [u8; 16]) -> Signed {
    let at = now(client).await;
    let event = Event::DonorConsented(pb::DonorConsented {
        consent_version: "DC-2".to_owned(),
        scope: vec![pb::DonorConsentScope::ClinicalUse.into()],
        document_digest: vec![3; 32],
        withdrawal_effect: pb::WithdrawalEffect::KeepUnits.into(),
    });
    let hash = signed_hash(&marrowline_record::digest(&donor.bytes), &donor.signings);
    let id = donor.record.streams[0].id.as_slice().try_into().unwrap();
    let draft = marrowline_client::Draft::new(client.origin(), event, at)
        .unwrap()
        .slot(Role::DonorPhysician, Meaning::Performed, lab)
        .stream(StreamKind::Donor, id, Some(pb::Head { seq: 1, hash: hash.to_vec() }));
    let bytes = draft.encode();
    let signings = vec![draft.sign(&bytes, 0, &crate::ledger::key("phy"), &at)];
    Signed { record: draft.record().clone(), bytes, signings }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_rests_on_itself_in_its_order() {
    let server = Server::start();
    let client = server.client("phy").await;
    let (lab, ward) = facilities(&client).await;
    let parts = |signed: &Signed| (signed.bytes.clone(), signed.signings.clone());
    let donor = new_donor(&client, lab).await;
    let consent = consent_after(&client, &donor, lab).await;
    let before = size(&client).await;
    let elsewhere = consent_after(&client, &donor, ward).await;
    let Err(ClientError::Refused(problem)) = client.append_batch(vec![parts(&donor), parts(&elsewhere)]).await else {
        panic!("nobody is a donor physician there")
    };
    assert!(problem.reasons.iter().any(|r| r.code == "SIGNER_WITHOUT_AUTHORITY"), "{problem}");
    assert_eq!(size(&client).await, before, "half of a batch was kept");
    let both = client.append_batch(vec![parts(&donor), parts(&consent)]).await.unwrap();
    assert_eq!(both.iter().map(|a| a.receipt.index).collect::<Vec<_>>(), [before, before + 1]);
    assert!(both.iter().all(|a| a.flags.is_empty()));
    assert_eq!(both[1].verified.leaf().links[0].prev, both[0].verified.leaf().signed_hash());
    // Both receipts are of one checkpoint, and the batch again is the same batch.
    assert_eq!(both[0].verified.note(), both[1].verified.note());
    let again = client.append_batch(vec![parts(&donor), parts(&consent)]).await.unwrap();
    assert!(again.iter().zip(&both).all(|(a, b)| a.receipt.leaf == b.receipt.leaf && a.receipt.index == b.receipt.index));
    assert_eq!(size(&client).await, before + 2);
    // What has seen something that comes after it happened all the same: it is kept, and flagged for it.
    let donor = new_donor(&client, lab).await;
    let consent = consent_after(&client, &donor, lab).await;
    let turned = client.append_batch(vec![parts(&consent), parts(&donor)]).await.unwrap();
    let codes: Vec<&str> = turned[0].flags.iter().map(|flag| flag.code.as_str()).collect();
    assert_eq!(codes, ["HEAD_UNKNOWN", "STREAM_NOT_OPENED"]);
}

/// A backup that is too old was restored: the client who knows better stops it from taking records, and nobody else can.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_rolled_back_takes_no_records() {
    let owned = tempfile::tempdir().unwrap();
    let newer = {
        let server = Server::start();
        let client = server.client("phy").await;
        let (lab, _) = facilities(&client).await;
        new_donor(&client, lab).await.append(&client).await.unwrap().verified.note().to_owned()
    };
    let folder = owned.path().join("ledger");
    copy(&demo().join("ledger"), &folder);
    let server = Server::serve(&folder);
    let client = server.client("phy").await;
    let (lab, _) = facilities(&client).await;
    let mut ledger = LedgerServiceClient::new(channel(&server).await);
    let mut append = async |signed: &Signed, last_checkpoint: &str| {
        let request = v1::AppendRequest { record: Some(signed.on_the_wire()), last_checkpoint: last_checkpoint.to_owned() };
        ledger.append(with_token(request, &good_token("phy"))).await.map(drop)
    };
    // Checkpoints that nobody signed do not count.
    let (text, signature) = newer.rsplit_once("\n\n").unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines[1] = "999999";
    for forged in [format!("{}\n\n{signature}", lines.join("\n")), "nonsense".to_owned()] {
        append(&new_donor(&client, lab).await, &forged).await.unwrap();
    }
    // Those two donors have brought this log past the checkpoint's size. A client that has seen the other history notices.
    client.follow(&newer).await.unwrap_err();
    let fresh = server.client("phy").await;
    fresh.follow(&newer).await.unwrap();
    assert!(matches!(fresh.record_at(0).await, Err(ClientError::History(_))), "two histories under one name");
    drop(server);
    std::fs::remove_dir_all(&folder).unwrap();
    copy(&demo().join("ledger"), &folder);
    let server = Server::serve(&folder);
    let client = server.client("phy").await;
    let mut ledger = LedgerServiceClient::new(channel(&server).await);
    let donor = new_donor(&client, lab).await;
    for last_checkpoint in [newer, String::new()] {
        let request = v1::AppendRequest { record: Some(donor.on_the_wire()), last_checkpoint };
        let status = ledger.append(with_token(request, &good_token("phy"))).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(status.get_error_details().error_info().unwrap().reason, "ROLLED_BACK");
    }
    assert!(client.record_at(0).await.is_ok(), "reading goes on");
}

/// Several watch while several append: each watcher gets every record once, in the log's order.
#[tokio::test(flavor = "multi_thread")]
async fn every_watcher_sees_the_same_order() {
    let server = Server::start();
    let first = server.client("phy").await;
    let (lab, _) = facilities(&first).await;
    let begin = size(&first).await;
    let (writers, each) = (4u64, 20u64);
    let mut watching = Vec::new();
    for handle in ["phy", "op1", "qa", "aud"] {
        let mut watch = server.client(handle).await.watch(begin).await.unwrap();
        watching.push(tokio::spawn(async move {
            let mut seen = Vec::new();
            while seen.len() < usize::try_from(writers * each).unwrap() {
                let record = watch.message().await.unwrap().unwrap().record.unwrap();
                seen.push((record.index, record.record));
            }
            seen
        }));
    }
    let mut writing = Vec::new();
    for _ in 0..writers {
        let client = server.client("phy").await;
        writing.push(tokio::spawn(async move {
            for _ in 0..each {
                new_donor(&client, lab).await.append(&client).await.unwrap();
            }
        }));
    }
    for writer in writing {
        writer.await.unwrap();
    }
    let mut orders = Vec::new();
    for watcher in watching {
        orders.push(tokio::time::timeout(std::time::Duration::from_secs(60), watcher).await.unwrap().unwrap());
    }
    let indexes: Vec<u64> = orders[0].iter().map(|(index, _)| *index).collect();
    assert_eq!(indexes, (begin..begin + writers * each).collect::<Vec<_>>());
    assert!(orders.iter().all(|order| *order == orders[0]));
}
