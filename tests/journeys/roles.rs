//! Everybody who works with the ledger, one after the other: what they may read, and that nobody signs for another role.

use marrowline_client::{Client, ClientError, v1};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};

use crate::ledger::Server;
use crate::people::{codes, facilities, sign};

/// What somebody of the demo reads, in this order: a lot, a donor, a subject, a dose check, the trial's report, refused attempts.
const READS: [(&str, &[Role], [bool; 6]); 17] = [
    ("key", &[Role::KeyAdministrator], [true, true, false, true, false, false]),
    ("qa", &[Role::QualityAssurance], [true, true, true, true, true, true]),
    ("qp", &[Role::QualifiedPerson], [true, true, false, true, false, false]),
    ("phy", &[Role::DonorPhysician], [true, true, false, true, false, false]),
    ("col", &[Role::Collector], [true, true, false, true, false, false]),
    ("op1", &[Role::Operator], [true, true, false, true, false, false]),
    ("op2", &[Role::Operator], [true, true, false, true, false, false]),
    ("qc", &[Role::QcAnalyst], [true, true, false, true, false, false]),
    ("qr", &[Role::QcReviewer], [true, true, false, true, false, false]),
    ("cry", &[Role::Cryobank], [true, true, false, true, false, false]),
    ("pha1", &[Role::Pharmacist], [true, false, true, true, true, false]),
    ("pha2", &[Role::Pharmacist], [true, false, true, true, true, false]),
    ("inv", &[Role::Investigator], [true, false, true, true, true, false]),
    ("rnd", &[Role::Randomiser], [true, false, true, true, true, false]),
    ("rn1", &[Role::Nurse], [true, false, true, true, true, false]),
    ("rn2", &[Role::Nurse], [true, false, true, true, true, false]),
    ("aud", &[Role::Auditor], [true, true, true, true, true, true]),
];

/// Everything of the trial that there is to read, as this person sees it.
async fn reads(client: &Client, donor: &str) -> [bool; 6] {
    let mut custody = client.custody();
    [
        custody.get_lot(v1::GetLotRequest { lot: "L-2026-01".to_owned() }).await.is_ok(),
        custody.get_donor(v1::GetDonorRequest { donor: donor.to_owned() }).await.is_ok(),
        custody.get_subject(v1::GetSubjectRequest { subject: "R-01".to_owned() }).await.is_ok(),
        custody.check_dose(v1::CheckDoseRequest { dose: "701018".to_owned() }).await.is_ok(),
        custody.get_trial_report(v1::GetTrialReportRequest { registration: "NCT01849237".to_owned(), format: 0 }).await.is_ok(),
        custody.list_refusals(v1::ListRefusalsRequest::default()).await.is_ok(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_reads_what_it_works_with() {
    let server = Server::start();
    for (handle, roles, expected) in READS {
        let client = server.client(handle).await;
        assert_eq!(reads(&client, "D-001").await, expected, "{handle}, {roles:?}");
        // What is owed and what awaits them everybody may ask, and sees their own.
        assert!(client.custody().list_obligations(v1::ListObligationsRequest::default()).await.is_ok(), "{handle}");
        assert!(client.awaiting().await.unwrap().is_empty(), "{handle}");
    }
}

/// A weighing is a nurse's or an investigator's, an audit note an auditor's, a hold everybody's.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_signs_for_a_role_that_is_not_theirs() {
    let server = Server::start();
    let auditor = server.client("aud").await;
    let (lab, hospital) = facilities(&auditor).await;
    let request = v1::GetSubjectRequest { subject: "R-03".to_owned() };
    let subject = auditor.custody().get_subject(request).await.unwrap().into_inner().subject.unwrap();
    let stream = (StreamKind::Subject, subject.stream.unwrap().id.as_slice().try_into().unwrap());
    let signs = async |client: &Client, handle: &str, event: Event, role: Role, meaning: Meaning, at: [u8; 16]| {
        let result: Result<_, ClientError> =
            sign(client, event, &[(handle, role, meaning, at)], &[stream]).await.append(client).await;
        codes(result)
    };
    for (handle, roles, _) in READS {
        let client = server.client(handle).await;
        let weighed =
            || Event::SubjectWeighed(pb::SubjectWeighed { weight_grams: 70_000, method: pb::WeighingMethod::Measured.into() });
        let noted = || Event::AuditNoted(pb::AuditNoted { note: "seen".to_owned() });
        let is = |role: Role| roles.contains(&role);
        let refused = vec!["SIGNER_WITHOUT_AUTHORITY".to_owned()];
        let expected = |allowed: bool| if allowed { Vec::new() } else { refused.clone() };
        let found = signs(&client, handle, weighed(), Role::Nurse, Meaning::Performed, hospital).await;
        assert_eq!(found, expected(is(Role::Nurse)), "{handle} as a nurse");
        let found = signs(&client, handle, noted(), Role::Auditor, Meaning::Reviewed, lab).await;
        assert_eq!(found, expected(is(Role::Auditor)), "{handle} as an auditor");
        // In their own role and at their own place everybody can stop.
        let (role, at) = (
            roles[0],
            if matches!(roles[0], Role::Pharmacist | Role::Investigator | Role::Randomiser | Role::Nurse) {
                hospital
            } else {
                lab
            },
        );
        let held = Event::HoldSet(pb::HoldSet { reason: "something is wrong".to_owned(), ..pb::HoldSet::default() });
        assert_eq!(signs(&client, handle, held, role, Meaning::Approved, at).await, Vec::<String>::new(), "{handle} stops");
    }
}
