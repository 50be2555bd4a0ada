//! A working day of each role, with the command line alone: what somebody in it records, what of it is refused or flagged, and what they
//! are told to do next. The server is a process of its own, with the demo's ledger.

use std::path::Path;

use crate::ledger::{Server, demo};

/// Somebody at work.
struct Day<'a> {
    server: &'a Server,
    handle: &'a str,
}

impl<'a> Day<'a> {
    fn of(server: &'a Server, handle: &'a str) -> Day<'a> {
        Day { server, handle }
    }

    /// Runs a command: words are parted by spaces, `+NAME` is a second signatory, `_` in a value stays.
    fn runs(&self, command: &str) -> (i32, String) {
        let key = |handle: &str| demo().join("people").join(format!("{handle}.pem")).to_str().unwrap().to_owned();
        let mut arguments: Vec<String> = Vec::new();
        for word in command.split_whitespace() {
            match word.strip_prefix('+') {
                Some(second) => arguments.extend(["--sign".to_owned(), key(second)]),
                None => arguments.push(word.replace('~', " ")),
            }
        }
        let output = self.server.run(self.handle, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap(), text)
    }

    fn ends(&self, command: &str, status: i32, says: &[&str]) -> String {
        let (found, text) = self.runs(command);
        assert_eq!(found, status, "{}: {command}: {text}", self.handle);
        for words in says {
            assert!(text.contains(words), "{}: {command}: no `{words}` in {text}", self.handle);
        }
        text
    }

    /// It is in the log, without a flag.
    fn does(&self, command: &str) -> String {
        let text = self.ends(command, 0, &["receipt verified"]);
        assert!(!text.contains("flagged"), "{}: {command}: {text}", self.handle);
        id_of(&text)
    }

    /// It is in the log, with these flags.
    fn is_flagged(&self, command: &str, flags: &[&str]) -> String {
        let says: Vec<String> = flags.iter().map(|flag| format!("flagged {flag}: found")).collect();
        let text = self.ends(command, 0, &says.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(text.matches("flagged ").count(), flags.len(), "{}: {command}: {text}", self.handle);
        id_of(&text)
    }

    /// It is not in the log; the reason and the next step are told.
    fn is_refused(&self, command: &str, codes: &[&str]) {
        let (status, text) = self.runs(command);
        assert!(matches!(status, 3 | 5 | 6), "{}: {command}: {status} {text}", self.handle);
        for code in codes {
            assert!(text.contains(code) && text.contains("next: "), "{}: {command}: no {code} in {text}", self.handle);
        }
    }
}

/// The record's id in `record ID is leaf N`.
fn id_of(text: &str) -> String {
    text.split_whitespace().skip_while(|word| *word != "record").nth(1).unwrap_or_default().to_owned()
}

fn file(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_key_administrator() {
    let server = Server::start();
    let day = Day::of(&server, "key");
    let public = "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29";
    let role = "--set grant.roles[0].role=NURSE --set grant.roles[0].valid_from=2026-01-01~00:00:00~+00:00 \
                --set grant.roles[0].valid_until=2030-01-01~00:00:00~+00:00";
    let facility = facility(&server, "HOSPITAL");
    let grant = format!(
        "append key_granted --set grant.person_id=new --set grant.printed_name=New~Nurse --set grant.public_key={public} {role} \
         --set grant.roles[0].facility_id={facility} --on authority: --facility LAB"
    );
    day.is_refused(&grant, &["SIGNATURE_MISSING"]);
    day.does(&format!("{grant} +qa"));
    day.is_refused(&format!("{grant} +qa"), &["KEY_ALREADY_GRANTED"]);
    // A key is stopped by one person.
    let key_id = hex::encode(marrowline_record::id::KeyId::of(&hex::decode(public).unwrap().try_into().unwrap()).0);
    day.does(&format!(
        "append key_revoked --set key_id={key_id} --set reason=lost --set effective_at=2026-09-01~00:00:00~+00:00 --on authority: --facility LAB"
    ));
    day.ends("subject show R-01", 5, &["READ_NOT_PERMITTED"]);
}

/// The UUID of a facility, from a record that names it.
fn facility(server: &Server, code: &str) -> String {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (lab, hospital) = crate::people::facilities(&server.client("aud").await).await;
        uuid::Uuid::from_bytes(if code == "LAB" { lab } else { hospital }).to_string()
    })
}

#[test]
fn quality_assurance() {
    let server = Server::start();
    let day = Day::of(&server, "qa");
    day.ends("owed --role QUALITY_ASSURANCE", 0, &["deviation", "INFUSION_LATE"]);
    day.ends("refusals", 0, &["TARGET_OUTSIDE_BAND", "UnitsAllocated"]);
    let held = day.does("append hold_set --set reason=a~complaint --on lot:L-2026-01 --facility LAB");
    day.ends("owed", 0, &["hold", "quality assurance"]);
    let why = day.does(
        "append deviation_opened --set severity=MINOR --set description=nothing~was~found --on lot:L-2026-01 --facility LAB",
    );
    let lift = format!(
        "append hold_lifted --set hold_id={} --set resolution=nothing~was~found --set resolution_record_id={why} --cite {why} --on lot:L-2026-01 --facility LAB",
        derived_hold(&server, &held)
    );
    day.is_refused(&lift, &["SIGNATURE_MISSING"]);
    day.is_refused(&format!("{lift} +op1 --role QUALITY_ASSURANCE --role OPERATOR"), &["OPERATOR"]);
    day.does(&format!("{lift} +qp --role QUALITY_ASSURANCE --role QUALIFIED_PERSON"));
    day.ends("trace forward lot:L-2026-01", 0, &["R-01", "R-02"]);
}

/// The id of a hold that a record set, as the lot's view tells it.
fn derived_hold(server: &Server, record: &str) -> String {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let id = uuid::Uuid::parse_str(record).unwrap().into_bytes();
        let digest = server.client("qa").await.digest_of(id).await.unwrap();
        hex::encode(marrowline_rules::state::upkeep::derived_id(&marrowline_record::id::Digest(digest), "HOLD_SET"))
    })
}

#[test]
fn the_qualified_person() {
    let server = Server::start();
    let day = Day::of(&server, "qp");
    // A decision of two waits for QA; stopping takes the QP alone, and then the decision that waits can no longer be appended.
    let decided = "append lot_disposition_decided --set disposition=FINAL --set reason=all~met --on lot:L-2026-01 --facility LAB";
    day.is_refused(decided, &["SIGNATURE_MISSING"]);
    let awaits = day.ends(&format!("{decided} --propose 1"), 0, &["awaits its other signatures"]);
    Day::of(&server, "qa").ends("inbox list", 0, &["L-2026-01"]);
    let rejected =
        "append lot_disposition_decided --set disposition=REJECTED --set reason=CD105 --on lot:L-2026-01 --facility LAB";
    day.does(rejected);
    day.ends("lot show L-2026-01", 0, &["REJECTED"]);
    Day::of(&server, "qa").ends(
        &format!("inbox sign --yes {}", id_of(&awaits)),
        3,
        &["HEAD_MOVED", "LOT_REJECTED", "came in between"],
    );
}

#[test]
fn the_donor_physician() {
    let server = Server::start();
    let day = Day::of(&server, "phy");
    day.does("append donor_registered --set donor_code=D-900 --set birth_year=1990 --on donor:new --facility LAB");
    let specification = specification(&server);
    let determined = |eligibility: &str, reason: &str| {
        format!(
            "append donor_eligibility_determined --set eligibility={eligibility} --set reason={reason} {specification} --on donor:D-900 \
             --facility LAB"
        )
    };
    day.is_refused(&format!("{} +qa", determined("ELIGIBLE", "young")), &["DONOR_PANEL_INCOMPLETE", "DONOR_CONSENT_MISSING"]);
    // Deferring takes one.
    day.does(&determined("DEFERRED", "fever"));
    day.ends("donor show D-900", 0, &["DEFERRED"]);
}

#[test]
fn the_collector() {
    let server = Server::start();
    Day::of(&server, "phy")
        .does("append donor_registered --set donor_code=D-901 --set birth_year=1990 --on donor:new --facility LAB");
    let day = Day::of(&server, "col");
    // It was collected: it is recorded, and the donor held.
    let collected = "append marrow_collected --set aspirate_microlitres=40000 --set site=iliac --set anticoagulant=heparin --on donor:D-901 --facility LAB";
    day.ends(&format!("{collected} --set din=G123498654321A"), 2, &["DIN_CHECK_CHARACTER_WRONG"]);
    day.is_flagged(&format!("{collected} --set din=A999925000001P"), &["COLLECTED_WITHOUT_CONSENT", "COLLECTED_FROM_INELIGIBLE"]);
}

#[test]
fn the_operators() {
    let server = Server::start();
    let day = Day::of(&server, "op1");
    let opened = "append lot_opened --set lot_code=L-2026-90 --on lot:new --on donor:D-001 --facility LAB";
    let specification = specification(&server);
    let opened = format!("{opened} --set din=G123498654321H {specification}");
    let record = day.is_flagged(&opened, &["VERIFIER_MISSING"]);
    day.ends("owed --role VERIFYING_OPERATOR", 0, &["L-2026-90"]);
    // The second operator comes out of the air-lock, reads it and signs; the first one cannot do it for them.
    day.ends(
        &format!("sign {record}"),
        2,
        &["lot_code                         L-2026-90", "on donor D-001 (", "you sign as verifying operator at LAB", "--yes"],
    );
    day.is_refused(&format!("sign {record} --yes"), &["SIGNATURE_TARGET_WRONG"]);
    let second = Day::of(&server, "op2");
    second.does(&format!("sign {record} --yes"));
    assert!(!second.ends("owed --role VERIFYING_OPERATOR", 0, &[]).contains("L-2026-90"));
    second.is_refused(&format!("sign {record} --yes"), &["SIGNATURE_TARGET_WRONG"]);
}

/// The options that name the product's specification.
fn specification(server: &Server) -> String {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let record = runtime.block_on(crate::events::first_of(server, "LotOpened"));
    let Some(marrowline_record::pb::record::Event::LotOpened(opened)) = record.event else { panic!("no lot") };
    let reference = opened.specification.unwrap();
    let id = uuid::Uuid::from_slice(&reference.id).unwrap();
    format!("--set specification.id={id} --set specification.version={}", reference.version)
}

#[test]
fn the_analyst_and_the_reviewer() {
    let server = Server::start();
    Day::of(&server, "phy")
        .does("append donor_registered --set donor_code=D-902 --set birth_year=1990 --on donor:new --facility LAB");
    let reported = "append donor_test_reported --set test_code=HIV --set method=NAT --set result.kind=ABSENT";
    let reported = format!("{reported} --set sampled_at=2026-09-01~00:00:00~+00:00 --on donor:D-902 --facility LAB");
    let both = Day::of(&server, "qcr");
    let record = both.does(&reported);
    let reviewed = format!(
        "append donor_test_reviewed --set reported_record_id={record} --set decision=ACCEPTED --cite {record} --on donor:D-902 --facility LAB"
    );
    both.is_refused(&reviewed, &["ANALYST_IS_REVIEWER"]);
    Day::of(&server, "qr").does(&reviewed);
}

#[test]
fn the_cryobank() {
    let server = Server::start();
    let day = Day::of(&server, "cry");
    let units = day.ends("unit list --output json", 0, &[]);
    let listed: serde_json::Value = serde_json::from_str(&units).unwrap();
    let stored = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|unit| unit["processing"] == "stored" && unit["location"]["rack"] == "LN2-A")
        .unwrap()
        .clone();
    let (unit, lot, location) = (text(&stored["unit_id"]), text(&stored["lot_code"]), &stored["location"]);
    let moved = |rack: &str| {
        format!(
            "append units_moved --set places[0].unit_id={unit} --set places[0].location.facility_id={} --set places[0].location.rack={rack} \
             --set places[0].location.position=90 --on lot:{lot} --facility LAB",
            text(&location["facility_id"])
        )
    };
    day.does(&moved(&text(&location["rack"])));
    day.is_flagged(&moved("NOWHERE"), &["RACK_UNKNOWN"]);
    // Too warm for too long: the unit is held.
    let warm = "--set began_at=2026-09-01~00:00:00~+00:00 --set peak_millicelsius=-120000 --set seconds_above_limit=9000 --set description=warm";
    let excursion =
        format!("append temperature_excursion --set unit_ids[0]={unit} {warm} --on equipment:new --on lot:{lot} --facility LAB");
    day.is_flagged(&excursion, &["TEMPERATURE_ABOVE_LIMIT"]);
    day.ends("unit list --held", 0, &["TEMPERATURE_ABOVE_LIMIT"]);
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn the_courier() {
    let server = Server::start();
    let day = Day::of(&server, "cur");
    let listed: serde_json::Value = serde_json::from_str(&day.ends("unit list --output json", 0, &[])).unwrap();
    let stored = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|unit| unit["processing"] == "stored" && unit["location"]["rack"] == "LN2-A")
        .unwrap()
        .clone();
    let (unit, lot) = (text(&stored["unit_id"]), text(&stored["lot_code"]));
    let broken = "append container_event --set kind=BROKEN --set description=dropped";
    day.is_flagged(&format!("{broken} --set unit_ids[0]={unit} --on lot:{lot} --facility LAB"), &["CONTAINER_NOT_WHOLE"]);
    day.ends("unit list --held", 0, &["CONTAINER_NOT_WHOLE"]);
    day.ends("trial report NCT01849237", 5, &["READ_NOT_PERMITTED"]);
}

#[test]
fn the_pharmacist() {
    let server = Server::start();
    let day = Day::of(&server, "pha1");
    let red = day.ends("check 701018", 3, &["RED: must not be given", "DOSE_ALREADY_USED", "DOSE_EXPIRED", "next: "]);
    assert!(red.contains("TRAINING"), "{red}");
    day.ends("check 799017", 8, &[]);
    day.ends("trace back 701018", 0, &["D-001"]);
    // A dose that is dispensed again: the same reasons, and it is kept that somebody tried.
    let subject = "--on subject:R-01 --on lot:L-2026-01 --facility HOSPITAL";
    let shown: serde_json::Value = serde_json::from_str(&day.ends("dose show 701018 --output json", 0, &[])).unwrap();
    let dose = text(&shown["dose_id"]);
    day.is_refused(&format!("append dose_dispensed --set dose_id={dose} {subject}"), &["DOSE_ALREADY_DISPENSED", "DOSE_EXPIRED"]);
    Day::of(&server, "aud").ends("refusals", 0, &["DOSE_ALREADY_DISPENSED"]);
}

#[test]
fn the_investigator_and_the_nurse() {
    let server = Server::start();
    let nurse = Day::of(&server, "rn1");
    let weighing =
        nurse.does("append subject_weighed --set weight_grams=70000 --set method=MEASURED --on subject:R-02 --facility HOSPITAL");
    let day = Day::of(&server, "inv");
    // The subject of the control arm receives no cells, whoever orders them.
    let control =
        (1..=30).map(|n| format!("R-{n:02}")).find(|code| day.runs(&format!("subject show {code}")).1.contains("STANDARD"));
    let control = control.expect("a subject of the control arm");
    let weighed = nurse.runs(&format!(
        "append subject_weighed --set weight_grams=70000 --set method=MEASURED --on subject:{control} --facility HOSPITAL"
    ));
    let weighed = id_of(&weighed.1);
    let order = |weighing: &str, subject: &str| {
        format!(
            "append dose_ordered --set order_id=new --set weighing_record_id={weighing} --set target_viable_cells_per_kg=1000000 \
             --set planned_duration_seconds=3600 --on subject:{subject} --facility HOSPITAL"
        )
    };
    day.is_refused(&order(&weighed, &control), &["ARM_WITHOUT_CELLS"]);
    nurse.is_refused(&order(&weighing, "R-02"), &["SIGNER_WITHOUT_AUTHORITY"]);
    day.ends("trial report NCT01849237", 0, &["log-rank"]);
}

#[test]
fn the_randomiser() {
    let server = Server::start();
    let day = Day::of(&server, "rnd");
    // A slot that was revealed is not revealed again, and nobody is randomised twice.
    let slot = "--set slot=0 --set arm=1 --set salt=0000000000000000000000000000000000000000000000000000000000000000";
    let randomised =
        format!("append subject_randomised {slot} --on subject:R-01 --on protocol:{} --facility HOSPITAL", protocol(&server));
    day.is_refused(&randomised, &["ALREADY_RANDOMISED"]);
}

fn protocol(server: &Server) -> String {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let record = runtime.block_on(crate::events::first_of(server, "ProtocolPublished"));
    uuid::Uuid::from_slice(&record.streams[0].id).unwrap().to_string()
}

#[test]
fn the_auditor() {
    let server = Server::start();
    let day = Day::of(&server, "aud");
    day.does("append audit_noted --set note=seen --on lot:L-2026-01 --facility LAB");
    for question in
        ["lot list", "unit list", "owed", "refusals", "subject show R-01", "donor show D-001", "trace forward donor:D-001"]
    {
        day.ends(question, 0, &[]);
    }
    day.is_refused(
        "append subject_weighed --set weight_grams=70000 --set method=MEASURED --on subject:R-02 --facility HOSPITAL",
        &["SIGNER_WITHOUT_AUTHORITY"],
    );
    let folder = tempfile::tempdir().unwrap();
    let certificate = file(folder.path(), "certificate.pdf", b"a certificate");
    day.ends(&format!("attach put {certificate}"), 0, &[]);
    day.ends("attach orphans", 0, &[]);
}

#[test]
fn the_device() {
    let server = Server::start();
    let day = Day::of(&server, "dev");
    let readings = "append readings_logged --set sensor=T1 --set interval_seconds=600 --set millicelsius=[-185000,-184500]";
    let readings = format!("{readings} --set first_at=2025-09-01~00:00:00~+00:00 --on equipment:new --facility LAB");
    day.does(&format!("{readings} --set min_millicelsius=-185000 --set max_millicelsius=-184500"));
    day.is_flagged(
        &format!("{readings} --set min_millicelsius=-190000 --set max_millicelsius=-184500"),
        &["READINGS_INCONSISTENT"],
    );
    day.ends("subject show R-01", 5, &["READ_NOT_PERMITTED"]);
}
