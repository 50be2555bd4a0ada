//! What happened is always recorded: facts that make no sense at all, on things that know nothing of them, are accepted and flagged; the
//! ledger goes on answering, and everything computed from them can be computed again.

use marrowline_client::v1;
use marrowline_client::{Client, ClientError};
use marrowline_record::EventKind;
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{Meaning, Role, StreamKind};
use marrowline_record::testing::sample;
use marrowline_rules::table::{Category, any_stream, category, row_of};
use tonic::Code;

use crate::ledger::{Server, fsck};
use crate::people::{Stream, administer, facilities, grant, sign};

const SEEDS: u64 = 3;

/// Who signs in a role, and at which of the two facilities.
fn holder(role: Role, taken: &[&str]) -> Option<(&'static str, bool)> {
    let people: &[(&str, bool)] = match role {
        Role::DonorPhysician => &[("phy", true)],
        Role::Collector => &[("col", true)],
        Role::Operator => &[("op1", true)],
        Role::VerifyingOperator => &[("op2", true)],
        Role::QcAnalyst => &[("qc", true)],
        Role::QcReviewer => &[("qr", true)],
        Role::Cryobank => &[("cry", true)],
        Role::QualifiedPerson => &[("qp", true)],
        Role::QualityAssurance => &[("qa", true), ("qa2", true)],
        Role::KeyAdministrator => &[("key", true)],
        Role::Investigator => &[("inv", false)],
        Role::Randomiser => &[("rnd", false)],
        Role::Nurse => &[("rn1", false), ("rn2", false)],
        Role::Pharmacist => &[("pha1", false), ("pha2", false)],
        Role::Auditor => &[("aud", true)],
        Role::Courier => &[("+courier", true)],
        Role::Device => &[("+device", true)],
        Role::Unspecified => &[],
    };
    people.iter().find(|(who, _)| !taken.contains(who)).copied()
}

/// Streams of the demo, one of each kind.
async fn known(client: &Client) -> Vec<Stream> {
    let id = |bytes: &[u8]| -> [u8; 16] { bytes.try_into().unwrap() };
    let custody = client.custody();
    let lot = custody.clone().get_lot(v1::GetLotRequest { lot: "L-2026-01".to_owned() }).await.unwrap().into_inner().lot.unwrap();
    let subject = v1::GetSubjectRequest { subject: "R-01".to_owned() };
    let subject = custody.clone().get_subject(subject).await.unwrap().into_inner().subject.unwrap();
    vec![
        (StreamKind::Donor, id(&lot.donor_id)),
        (StreamKind::Lot, id(&lot.stream.unwrap().id)),
        (StreamKind::Subject, id(&subject.stream.unwrap().id)),
        (StreamKind::Protocol, id(&subject.protocol.unwrap().id)),
        (StreamKind::Specification, id(&lot.specification.unwrap().id)),
    ]
}

/// Appends samples of every kind of fact; says how many, and how many of them were flagged.
pub async fn append_samples(client: &Client) -> (usize, usize) {
    let places = facilities(client).await;
    for (who, role) in [("+courier", Role::Courier), ("+device", Role::Device)] {
        administer(client, places.0, grant(who, &[role], places.0)).await;
    }
    let known = known(client).await;
    let (mut facts, mut flagged) = (0, 0);
    for kind in EventKind::all() {
        for seed in 0..SEEDS {
            let event = sample(*kind, seed).event.unwrap();
            // Signatures that come later repeat a record that owes one: that is another journey.
            if category(&event) != Category::Fact || row_of(&event).slots.is_empty() {
                continue;
            }
            let by = signatories(&event, places);
            let mut streams = streams(&event, &known);
            // Some of them about things that nobody has heard of.
            if seed % 2 == 1 {
                streams[0].1 = marrowline_client::new_id();
            }
            let done = match sign(client, event, &by, &streams).await.append(client).await {
                Ok(done) => done,
                Err(ClientError::Refused(problem)) => panic!("{kind}, seed {seed}: a fact is refused: {problem}"),
                Err(other) => panic!("{kind}, seed {seed}: {other}"),
            };
            facts += 1;
            flagged += usize::from(!done.flags.is_empty());
            for flag in done.flags {
                assert!(!flag.code.is_empty() && !flag.found.is_empty() && !flag.next.is_empty(), "{kind}: {flag:?}");
            }
        }
    }
    (facts, flagged)
}

type Signatory = (&'static str, Role, Meaning, [u8; 16]);

fn signatories(event: &Event, (lab, hospital): ([u8; 16], [u8; 16])) -> Vec<Signatory> {
    let mut by: Vec<Signatory> = Vec::new();
    for slot in row_of(event).slots {
        let taken: Vec<&str> = by.iter().map(|(who, ..)| *who).collect();
        let found = slot.roles.iter().find_map(|role| Some((*role, holder(*role, &taken)?)));
        let (role, (who, at_lab)) = found.unwrap_or_else(|| panic!("nobody holds {:?}", slot.roles));
        by.push((who, role, slot.meaning, if at_lab { lab } else { hospital }));
    }
    by
}

fn streams(event: &Event, known: &[Stream]) -> Vec<Stream> {
    let mut kinds: Vec<StreamKind> = row_of(event).streams.iter().map(|rule| rule.kind).collect();
    if kinds.is_empty() {
        kinds.extend(known.iter().map(|(kind, _)| *kind).find(|kind| any_stream(event, *kind)));
    }
    kinds.iter().map(|kind| *known.iter().find(|(k, _)| k == kind).unwrap_or(&(*kind, [9; 16]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_well_formed_fact_is_accepted_and_the_ledger_goes_on() {
    let mut server = Server::start();
    let client = server.client("aud").await;
    let (facts, flagged) = append_samples(&client).await;
    assert!(facts > 40 && flagged * 2 > facts, "{flagged} of {facts} facts are flagged");
    everything_answers(&client).await;
    server.signal("TERM");
    assert!(server.ended(std::time::Duration::from_secs(60)).unwrap().success());
    fsck(&server.folder);
}

async fn everything_answers(client: &Client) {
    let custody = client.custody();
    let dose = || "701018".to_owned();
    let answer = |result: Result<(), tonic::Status>| assert_eq!(result.err().map_or(Code::Ok, |e| e.code()), Code::Ok);
    answer(custody.clone().get_lot(v1::GetLotRequest { lot: "L-2026-01".to_owned() }).await.map(drop));
    answer(custody.clone().get_donor(v1::GetDonorRequest { donor: "D-001".to_owned() }).await.map(drop));
    answer(custody.clone().get_subject(v1::GetSubjectRequest { subject: "R-01".to_owned() }).await.map(drop));
    answer(custody.clone().get_dose(v1::GetDoseRequest { dose: dose() }).await.map(drop));
    answer(custody.clone().check_dose(v1::CheckDoseRequest { dose: dose() }).await.map(drop));
    answer(custody.clone().trace_back(v1::TraceBackRequest { dose: dose() }).await.map(drop));
}
