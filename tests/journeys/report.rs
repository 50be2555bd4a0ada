//! The report of a trial, over the wire and from the command line: who gets it, and what it counts.

use marrowline_client::v1::{self, ReportFormat};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::ledger::Server;
use crate::people::{facilities, sign};

fn asked(registration: &str, format: ReportFormat) -> v1::GetTrialReportRequest {
    v1::GetTrialReportRequest { registration: registration.to_owned(), format: format.into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_counts_what_was_recorded_and_names_its_checkpoint() {
    let server = Server::start();
    let investigator = server.client("inv").await;
    let mut custody = investigator.custody();
    let answer = custody.get_trial_report(asked("NCT01849237", ReportFormat::Json)).await.unwrap().into_inner();
    assert_eq!(answer.content_type, "application/json");
    investigator.follow(&answer.checkpoint).await.unwrap();
    let report: serde_json::Value = serde_json::from_str(&answer.content).unwrap();
    let lines: Vec<&str> = answer.checkpoint.lines().collect();
    assert_eq!(report["basis"]["origin"], lines[0]);
    assert_eq!(report["basis"]["tree_size"].to_string(), lines[1]);
    assert_eq!(report["basis"]["cut_off_ms"], answer.cut_off_ms);
    assert_eq!((&report["flow"]["randomised"], &report["flow"]["arms"][1]["infused"]), (&3.into(), &2.into()));
    let late: Vec<_> =
        report["doses"].as_array().unwrap().iter().filter(|dose| dose["seconds_from_onset"].as_i64() > Some(36_000)).collect();
    assert_eq!((late.len(), &late[0]["subject"]), (1, &"R-02".into()));
    assert!(report["remarks"].as_array().unwrap().iter().any(|remark| remark["code"] == "INFUSION_LATE"));

    // A death is in the next report, whose checkpoint is a later one.
    let (_, hospital) = facilities(&investigator).await;
    let subject = v1::GetSubjectRequest { subject: "R-03".to_owned() };
    let subject = custody.get_subject(subject).await.unwrap().into_inner().subject.unwrap();
    let died = Event::VitalStatusRecorded(pb::VitalStatusRecorded { status: pb::VitalStatus::Dead.into() });
    let stream = (StreamKind::Subject, subject.stream.unwrap().id.as_slice().try_into().unwrap());
    let by = [("inv", Role::Investigator, Meaning::Performed, hospital)];
    sign(&investigator, died, &by, &[stream]).await.append(&investigator).await.unwrap();
    let next = custody.get_trial_report(asked("NCT01849237", ReportFormat::Table)).await.unwrap().into_inner();
    assert!(next.content.contains("Survival: Kaplan-Meier"), "{}", next.content);
    assert_ne!(next.checkpoint, answer.checkpoint);
    let csv = custody.get_trial_report(asked("NCT01849237", ReportFormat::Csv)).await.unwrap().into_inner();
    assert!(csv.content.lines().any(|line| line.trim_end() == "flow,STANDARD,,,,died,1"), "{}", csv.content);
    let svg = custody.get_trial_report(asked("NCT01849237", ReportFormat::Svg)).await.unwrap().into_inner();
    assert!(svg.content.starts_with("<svg") && svg.content.trim_end().ends_with("</svg>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_see_every_subject_gets_it() {
    let server = Server::start();
    for handle in ["aud", "inv", "pha1"] {
        let client = server.client(handle).await;
        client.custody().get_trial_report(asked("NCT01849237", ReportFormat::Table)).await.unwrap();
        let unknown = client.custody().get_trial_report(asked("NCT00000000", ReportFormat::Table)).await.unwrap_err();
        assert_eq!(unknown.code(), Code::NotFound);
    }
    let operator = server.client("op1").await;
    let refused = operator.custody().get_trial_report(asked("NCT01849237", ReportFormat::Table)).await.unwrap_err();
    assert_eq!(refused.get_error_details().error_info().unwrap().reason, "READ_NOT_PERMITTED");
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_command_line_into_a_file_that_is_never_written_over() {
    let server = Server::start();
    let file = server.folder.with_file_name("curves.svg");
    let path = file.to_str().unwrap();
    let arguments = ["trial", "report", "NCT01849237", "--format", "svg", "--out", path];
    let run = || server.run("inv", &arguments);
    assert!(run().status.success());
    let drawn = std::fs::read_to_string(&file).unwrap();
    assert!(drawn.starts_with("<svg"), "{drawn}");
    assert!(!run().status.success());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), drawn);
    let shown = server.run("inv", &["trial", "report", "NCT01849237"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.starts_with("Trial report NCT01849237"), "{text}");
}
