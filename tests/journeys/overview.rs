//! What is there and what is owed: lists in pages, the trace forward, obligations.

use marrowline_client::v1::trace_forward_request::From;
use marrowline_client::v1::{self, ObligationKind};
use marrowline_record::EventKind;
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};

use crate::ledger::Server;
use crate::people::{code, facilities, sign};

#[tokio::test(flavor = "multi_thread")]
async fn forward_from_donor_lot_and_unit_to_the_subjects() {
    let server = Server::start();
    let auditor = server.client("aud").await;
    let lot =
        auditor.custody().get_lot(v1::GetLotRequest { lot: "L-2026-01".to_owned() }).await.unwrap().into_inner().lot.unwrap();
    let donor = uuid::Uuid::from_slice(&lot.donor_id).unwrap().to_string();
    let forward = |from: From| {
        let client = auditor.custody();
        async move { client.clone().trace_forward(v1::TraceForwardRequest { from: Some(from) }).await.unwrap().into_inner() }
    };
    let whole = forward(From::Donor(donor)).await;
    assert_eq!(whole.units.len(), lot.units.len());
    assert!(!whole.incomplete);
    let mut subjects: Vec<&str> = whole.units.iter().map(|u| u.subject_code.as_str()).filter(|c| !c.is_empty()).collect();
    subjects.sort_unstable();
    subjects.dedup();
    assert_eq!(subjects, ["R-01", "R-02"], "the subjects who got cells of this donor");
    for traced in whole.units.iter().filter(|u| !u.subject_code.is_empty()) {
        assert_eq!(traced.dose.as_ref().unwrap().state, "ended");
    }
    assert_eq!(forward(From::Lot("L-2026-01".to_owned())).await.units, whole.units);
    let given = whole.units.iter().find(|u| u.dose.is_some()).unwrap();
    let unit_code = given.unit.as_ref().unwrap().unit_code.clone();
    assert_eq!(forward(From::Unit(unit_code)).await.units, std::slice::from_ref(given));
    // Somebody of the laboratory sees the units, not to whom they went.
    let operator = server.client("op1").await;
    let request = v1::TraceForwardRequest { from: Some(From::Lot("L-2026-01".to_owned())) };
    let seen = operator.custody().trace_forward(request).await.unwrap().into_inner();
    assert_eq!(seen.units.len(), whole.units.len());
    assert!(
        seen.units
            .iter()
            .all(|u| u.subject_code.is_empty() && u.dose.is_none() && u.unit.as_ref().unwrap().subject_id.is_empty())
    );
    let nothing = v1::TraceForwardRequest { from: None };
    assert!(operator.custody().trace_forward(nothing).await.is_err());
}

/// Opens lots from the demo's donor, signed by one person only: each owes a signature.
async fn open_lots(server: &Server, count: usize) -> Vec<String> {
    let auditor = server.client("aud").await;
    let operator = server.client("op1").await;
    let (lab, _) = facilities(&operator).await;
    let mut index = 0;
    let opened = loop {
        let (receipt, _) = auditor.record_at(index).await.unwrap();
        if receipt.record().event.as_ref().map(EventKind::of) == EventKind::from_name("LotOpened") {
            break receipt.record().clone();
        }
        index += 1;
    };
    let donor = opened.streams.iter().find(|s| s.kind() == StreamKind::Donor).unwrap();
    let donor = (StreamKind::Donor, donor.id.as_slice().try_into().unwrap());
    let mut codes = Vec::new();
    for _ in 0..count {
        let Some(Event::LotOpened(mut event)) = opened.event.clone() else { panic!("no lot") };
        event.lot_code = code("L");
        codes.push(event.lot_code.clone());
        let by = [("op1", Role::Operator, Meaning::Performed, lab), ("op2", Role::VerifyingOperator, Meaning::Verified, lab)];
        let lot = (StreamKind::Lot, marrowline_client::new_id());
        let mut signed = sign(&operator, Event::LotOpened(event), &by, &[lot, donor]).await;
        signed.signings.truncate(1);
        signed.append(&operator).await.unwrap();
    }
    codes
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_go_page_by_page_and_leave_nothing_out() {
    let server = Server::start();
    let mut opened = open_lots(&server, 5).await;
    opened.push("L-2026-01".to_owned());
    let client = server.client("op1").await;
    for page_size in [1, 2, 500] {
        let (mut found, mut page_token, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let request = v1::ListLotsRequest { page_size, page_token, ..v1::ListLotsRequest::default() };
            let page = client.custody().list_lots(request).await.unwrap().into_inner();
            assert!(page.lots.len() <= page_size as usize);
            found.extend(page.lots.into_iter().map(|lot| lot.lot_code));
            (page_token, pages) = (page.next_page_token, pages + 1);
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(pages, 6_u32.div_ceil(page_size));
        found.sort();
        opened.sort();
        assert_eq!(found, opened);
    }
    let released = v1::ListLotsRequest { disposition: pb::Disposition::Final.into(), ..v1::ListLotsRequest::default() };
    assert_eq!(client.custody().list_lots(released).await.unwrap().into_inner().lots.len(), 1);
    let stored = v1::ListUnitsRequest { processing: "stored".to_owned(), ..v1::ListUnitsRequest::default() };
    let units = client.custody().list_units(stored).await.unwrap().into_inner().units;
    assert!(!units.is_empty() && units.iter().all(|unit| unit.processing == "stored"));
    let wrong = v1::ListLotsRequest { page_token: "x".to_owned(), ..v1::ListLotsRequest::default() };
    assert!(client.custody().list_lots(wrong).await.is_err());
    let many = v1::ListLotsRequest { page_size: 501, ..v1::ListLotsRequest::default() };
    assert!(client.custody().list_lots(many).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_owed_is_listed_by_whom() {
    let server = Server::start();
    let opened = open_lots(&server, 3).await;
    let client = server.client("op1").await;
    let ask = |role: Role, page_size: u32, page_token: String| {
        let custody = client.custody();
        async move {
            let request =
                v1::ListObligationsRequest { page_size, page_token, role: role.into(), ..v1::ListObligationsRequest::default() };
            custody.clone().list_obligations(request).await.unwrap().into_inner()
        }
    };
    let verifier = ask(Role::VerifyingOperator, 0, String::new()).await;
    let mut lots: Vec<String> = verifier.obligations.iter().map(|o| o.thing.trim_start_matches("lot ").to_owned()).collect();
    lots.sort();
    let mut wanted = opened.clone();
    wanted.sort();
    assert_eq!(lots, wanted, "{verifier:?}");
    assert!(verifier.obligations.iter().all(|o| o.kind() == ObligationKind::Signature && o.what == "slot 1"));
    // Page by page, over all kinds of streams, nothing twice.
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let page = ask(Role::Unspecified, 2, token).await;
        all.extend(page.obligations);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(all, ask(Role::Unspecified, 500, String::new()).await.obligations);
    // The late infusion's deviation is the hospital's business: only those see it who may read the subject.
    let quality = server.client("qa").await;
    let request = v1::ListObligationsRequest { role: Role::QualityAssurance.into(), ..v1::ListObligationsRequest::default() };
    let owed = quality.custody().list_obligations(request).await.unwrap().into_inner().obligations;
    assert!(owed.iter().any(|o| o.thing == "subject R-02" && o.what == "INFUSION_LATE"), "{owed:?}");
    assert!(all.iter().all(|o| o.stream_kind() != StreamKind::Subject), "an operator is told of subjects");
}

/// What the rules refused in the demo, for who may see it.
#[tokio::test(flavor = "multi_thread")]
async fn refused_attempts_are_listed_for_auditors_and_qa() {
    let server = Server::start();
    let auditor = server.client("aud").await;
    let ask = |code: &str, page_token: &str, page_size: u32| v1::ListRefusalsRequest {
        page_size,
        page_token: page_token.to_owned(),
        code: code.to_owned(),
        from_ms: 0,
    };
    let all = auditor.custody().list_refusals(ask("", "", 0)).await.unwrap().into_inner();
    assert!(all.attempts.len() >= 2 && all.next_page_token.is_empty(), "{all:?}");
    let named = &all.attempts[0].records[0];
    assert!(!named.event.is_empty() && !named.signed_by.is_empty() && named.digest.len() == 32);
    let (mut found, mut token) = (0, String::new());
    loop {
        let page = auditor.custody().list_refusals(ask("ARM_WITHOUT_CELLS", &token, 1)).await.unwrap().into_inner();
        assert!(page.attempts.iter().all(|attempt| attempt.codes.contains(&"ARM_WITHOUT_CELLS".to_owned())));
        found += page.attempts.len();
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(found, 1, "the subject of the other arm");
    let operator = server.client("op1").await;
    let refused = operator.custody().list_refusals(ask("", "", 0)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    let printed = String::from_utf8(server.run("aud", &["refusals", "--code", "ARM_WITHOUT_CELLS"]).stdout).unwrap();
    assert_eq!(printed.lines().count(), 1, "{printed}");
}

/// Only what was asked for: some fields, one kind, what is due.
#[tokio::test(flavor = "multi_thread")]
async fn long_lists_are_filtered_and_masked() {
    let server = Server::start();
    let auditor = server.client("aud").await;
    let fields = vec!["unit_code".to_owned(), "processing".to_owned()];
    let units = v1::ListUnitsRequest { fields, ..v1::ListUnitsRequest::default() };
    let units = auditor.custody().list_units(units).await.unwrap().into_inner().units;
    assert!(!units.is_empty());
    for unit in units {
        assert!(!unit.unit_code.is_empty() && !unit.processing.is_empty());
        let only = v1::UnitView { unit_code: unit.unit_code.clone(), processing: unit.processing.clone(), ..Default::default() };
        assert_eq!(unit, only);
    }
    let lots = v1::ListLotsRequest { fields: vec!["lot_code".to_owned()], ..v1::ListLotsRequest::default() };
    let lots = auditor.custody().list_lots(lots).await.unwrap().into_inner().lots;
    assert!(lots.iter().all(|lot| *lot == v1::LotSummary { lot_code: lot.lot_code.clone(), ..Default::default() }));
    let unknown = v1::ListLotsRequest { fields: vec!["weight".to_owned()], ..v1::ListLotsRequest::default() };
    assert!(auditor.custody().list_lots(unknown).await.is_err());

    let ask = async |request: v1::ListObligationsRequest| {
        let request = v1::ListObligationsRequest { page_size: 500, ..request };
        auditor.custody().list_obligations(request).await.unwrap().into_inner().obligations
    };
    let all = ask(v1::ListObligationsRequest::default()).await;
    let deviations = ask(v1::ListObligationsRequest { kind: ObligationKind::Deviation.into(), ..Default::default() }).await;
    let expected: Vec<_> = all.iter().filter(|o| o.kind() == ObligationKind::Deviation).cloned().collect();
    assert!(!expected.is_empty() && deviations == expected);
    let due = ask(v1::ListObligationsRequest { due_by_ms: 1, ..Default::default() }).await;
    assert_eq!(due, []);
    let things = ask(v1::ListObligationsRequest { fields: vec!["thing".to_owned()], ..Default::default() }).await;
    assert!(things.iter().all(|o| !o.thing.is_empty() && o.record_id.is_empty()) && things.len() == all.len());
}
