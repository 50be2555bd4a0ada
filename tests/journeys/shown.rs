//! What people are shown: what stands against a thing, what no longer counts, for whom a decision waits, what an id is.

use serde_json::Value;

use crate::ledger::{Server, demo};

/// What a command printed.
struct Ended {
    status: i32,
    out: String,
    err: String,
}

fn run(server: &Server, who: &str, command: &str) -> Ended {
    let words: Vec<String> = command.split_whitespace().map(|word| word.replace('~', " ")).collect();
    let output = server.run(who, &words.iter().map(String::as_str).collect::<Vec<_>>());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { status: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

fn told(server: &Server, who: &str, command: &str) -> String {
    let ended = run(server, who, command);
    assert_eq!(ended.status, 0, "{command}: {}{}", ended.out, ended.err);
    ended.out
}

fn json(server: &Server, who: &str, command: &str) -> Value {
    serde_json::from_str(&told(server, who, &format!("{command} --output json"))).unwrap()
}

/// Appends and gives the record's id.
fn append(server: &Server, who: &str, command: &str) -> String {
    json(server, who, &format!("append {command}"))["record_id"].as_str().unwrap().to_owned()
}

fn pem(who: &str) -> String {
    demo().join(format!("people/{who}.pem")).to_str().unwrap().to_owned()
}

/// The line that begins with a word.
fn line<'a>(text: &'a str, begin: &str) -> &'a str {
    text.lines().find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("no {begin} in {text}"))
}

#[test]
fn what_stands_against_a_thing_is_shown_with_it() {
    let server = Server::start();
    let record =
        append(&server, "qa", "hold_set --set reason=a~complaint --set unit_ids[0]=26010070 --on lot:L-2026-01 --facility LAB");
    let lot = told(&server, "qa", "lot show L-2026-01");
    let held = line(&lot, "HELD ");
    assert!(held.starts_with("HELD HOLD_SET (unit 26010070): a complaint; hold "), "{held}");
    assert!(held.ends_with(&format!("record {record} HoldSet")), "{held}");
    assert!(line(&lot, "DEVIATION ").starts_with("DEVIATION INFUSION_LATE, major: "), "{lot}");
    let unit = told(&server, "qa", "unit show 26010070");
    assert!(unit.contains("HELD HOLD_SET") && unit.contains("where                    at LAB LN2-A 01007"), "{unit}");
    assert!(unit.contains("viability                94.20 %") && !unit.contains("basis_points"), "{unit}");
    let listed = told(&server, "qa", "unit list --held");
    assert!(listed.contains("at LAB LN2-A 01007  HELD HOLD_SET") && !listed.contains("held"), "{listed}");

    // A donor, a subject and a dose tell theirs too: the late infusion's dose names the deviation, another subject's does not.
    append(&server, "qa", "hold_set --set reason=a~call --on subject:R-01 --facility HOSPITAL");
    append(&server, "qa", "hold_set --set reason=a~letter --on donor:D-001 --facility LAB");
    assert!(line(&told(&server, "qa", "subject show R-01"), "HELD ").contains("a call"));
    assert!(line(&told(&server, "qa", "donor show D-001"), "HELD ").contains("a letter"));
    let dose = told(&server, "qa", "dose show 701018");
    assert!(dose.contains("HELD HOLD_SET: a call") && !dose.contains("DEVIATION"), "{dose}");
    assert!(told(&server, "qa", "dose show 702019").contains("DEVIATION INFUSION_LATE"));
    // Who may not see the subject is not told what its records say.
    let seen = told(&server, "op1", "dose show 701018");
    assert!(!seen.contains("a call") && seen.contains("a letter"), "{seen}");

    let recall = "recall_opened --set reason=mould --on lot:L-2026-01 --facility LAB";
    append(&server, "qa", recall);
    assert!(line(&told(&server, "qa", "lot show L-2026-01"), "RECALL ").starts_with("RECALL RECALL_OPENED: mould; recall "));
}

#[test]
fn what_no_longer_counts_is_marked_and_a_record_is_read_in_words() {
    let server = Server::start();
    let weighed = || {
        append(
            &server,
            "rn1",
            "subject_weighed --set weight_grams=7100 --set method=MEASURED --on subject:R-03 --facility HOSPITAL",
        )
    };
    let (first, second) = (weighed(), weighed());
    told(&server, "rn1", &format!("void {first} --yes --reason another~subject --sign {}", pem("qa")));
    told(&server, "rn1", &format!("amend {second} --yes --set weight_grams=71000 --reason a~zero --sign {}", pem("qa")));
    let shown = told(&server, "qa", "subject show R-03");
    let of = |record: &str| shown.lines().find(|line| line.ends_with(&format!("record {record}"))).unwrap();
    assert!(of(&first).contains("  VOID SubjectWeighed ") && of(&first).contains("VOID by record "), "{shown}");
    assert!(of(&second).contains("  AMENDED SubjectWeighed ") && of(&second).contains("AMENDED by record "), "{shown}");

    let read = told(&server, "qa", &format!("record show {second}"));
    assert!(read.contains("on subject R-03 (") && read.contains("weight_grams                     7100"), "{read}");
    assert!(read.contains("signed by Olga Romanova as nurse, performed, ") && read.contains("  AMENDED by record "), "{read}");
    let read = told(&server, "qa", &format!("record show {first}"));
    assert!(read.contains("VOID by record ") && read.contains("it no longer counts"), "{read}");
    // A release can be read: what was decided, why, and by whom.
    let lot = told(&server, "qa", "lot show L-2026-01");
    let released = lot.lines().rfind(|line| line.contains("LotDispositionDecided")).unwrap();
    assert!(released.contains("  final  "), "{released}");
    let read = told(&server, "qa", &format!("record show {}", released.rsplit(' ').next().unwrap()));
    assert!(read.contains("disposition                      FINAL") && read.contains("certified"), "{read}");
    // What it was made with has its codes too.
    let filled = lot.lines().find(|line| line.contains("UnitsFilled")).unwrap();
    let read = told(&server, "qa", &format!("record show {}", filled.rsplit(' ').next().unwrap()));
    assert!(
        read.contains("M-2251 alpha-MEM (") && read.contains("CAB-1 safety cabinet (") && read.contains("26010012 ("),
        "{read}"
    );
    // Test results say which test and what it gave.
    assert!(lot.contains("TestResultReported         ENDOTOXIN 0.25 [EU]/mL  Maria Volkova performed"), "{lot}");
    let whole = json(&server, "qa", &format!("record show {first}"));
    assert_eq!(whole["step"]["is_void"], true);
    let unknown = run(&server, "qa", "record show 01900000-0000-7000-8000-000000000000");
    assert_eq!(unknown.status, 8);
    assert!(
        unknown.err.starts_with("NOT_FOUND: found record `") && unknown.err.contains("; next: check the code"),
        "{}",
        unknown.err
    );
}

#[test]
fn what_is_owed_names_the_record_that_is_signed() {
    let server = Server::start();
    let lot: Value = json(&server, "aud", "lot show L-2026-01");
    let (id, version) = (lot["specification"]["id"].as_str().unwrap(), &lot["specification"]["version"]);
    let opened = format!(
        "lot_opened --set lot_code=L-2026-91 --set din=G123498654321H --set specification.id={id} --set specification.version={version} \
         --on lot:new --on donor:D-001 --facility LAB"
    );
    let record = append(&server, "op1", &opened);
    let owed = told(&server, "op2", "owed --role VERIFYING_OPERATOR");
    assert!(owed.lines().any(|line| line.ends_with(&format!("LotOpened record {record}"))), "{owed}");
    assert!(line(&told(&server, "op2", "lot show L-2026-91"), "OWED ").ends_with(&format!("record {record} LotOpened")));
    // What is read stands on stderr, what came of it on stdout.
    let signed = run(&server, "op2", &format!("sign {record} --yes --output json"));
    let outcome: Value = serde_json::from_str(&signed.out).unwrap();
    assert!(outcome["index"].is_u64(), "{}", signed.out);
    assert!(signed.err.contains("  on lot L-2026-91 (") && signed.err.contains("  at 2026-"), "{}", signed.err);
    let nothing = run(&server, "op2", "owed --role VERIFYING_OPERATOR");
    assert_eq!((nothing.status, nothing.out.as_str(), nothing.err.as_str()), (0, "", "nothing is owed\n"));
}

/// A serious reaction has a deadline, and passes it; a sterility test has a first moment.
#[test]
fn deadlines_are_told_as_deadlines() {
    let server = Server::start();
    let now = json(&server, "inv", "clock show")["now_unix_ms"].as_i64().unwrap();
    let at = marrowline_record::instant::format(now, 0).replace(' ', "~");
    let reported = format!(
        "adverse_reaction_reported --set reaction_id=new --set description=rigors --set seriousness=SERIOUS --set known_at={at} \
         --on subject:R-01 --on lot:L-2026-01 --facility HOSPITAL"
    );
    append(&server, "inv", &reported);
    let owed = |server: &Server| told(server, "inv", "owed --role INVESTIGATOR");
    assert!(owed(&server).contains("investigator  by ") && !owed(&server).contains("OVERDUE"), "{}", owed(&server));
    let moved = told(&server, "key", "clock advance --by 25h");
    assert!(moved.contains("TRAINING: simulated"), "{moved}");
    assert!(owed(&server).contains(" OVERDUE  AdverseReactionReported record "), "{}", owed(&server));
    assert_eq!(run(&server, "op1", "clock advance --by 1h").status, 5);
    assert_eq!(run(&server, "key", "clock advance --by 1w").status, 2);
    assert_eq!(run(&server, "key", "clock advance --to 2020-01-01~00:00~+00:00").status, 3);
}

#[test]
fn a_proposal_waits_for_whom_it_was_told_to() {
    let server = Server::start();
    let weighing = append(
        &server,
        "rn1",
        "subject_weighed --set weight_grams=70000 --set method=MEASURED --on subject:R-02 --facility HOSPITAL",
    );
    let ordered = json(
        &server,
        "inv",
        &format!(
            "append dose_ordered --set order_id=new --set weighing_record_id={weighing} --set target_viable_cells_per_kg=1000000 \
             --set planned_duration_seconds=3600 --on subject:R-02 --facility HOSPITAL"
        ),
    );
    let order = ordered["event"]["dose_ordered"]["order_id"].as_str().unwrap();
    let allocated = format!(
        "append units_allocated --set order_id={order} --set unit_ids[0]=26010053 --set unit_ids[1]=26010061 --on subject:R-02 \
         --on lot:L-2026-01 --facility HOSPITAL"
    );
    let guessed = run(&server, "pha1", &format!("{allocated} --propose"));
    assert_eq!(guessed.status, 2, "{}", guessed.out);
    assert!(
        guessed.err.contains("slot 1") && guessed.err.contains("PHARMACIST") && guessed.err.contains("--role 1="),
        "{}",
        guessed.err
    );
    let nowhere = run(&server, "pha1", &format!("{allocated} --propose 5"));
    assert_eq!(nowhere.status, 2);
    for word in ["found slot 5", "allowed 0 to 1", "next: "] {
        assert!(nowhere.err.contains(word), "{}", nowhere.err);
    }
    let proposed = told(&server, "pha1", &format!("{allocated} --propose --role 1=PHARMACIST"));
    assert!(proposed.lines().any(|line| line == "awaits: pharmacist at HOSPITAL"), "{proposed}");
    let id = proposed.split_whitespace().nth(1).unwrap();
    let inbox = told(&server, "pha2", "inbox list");
    assert!(inbox.contains("  awaits: pharmacist at HOSPITAL"), "{inbox}");
    // Every id in words: codes of units, the order by when and by whom.
    assert!(inbox.contains("26010053 (") && inbox.contains(" by Galina Fedorova (") && inbox.contains("  order_id  "), "{inbox}");
    assert!(inbox.contains(&format!("({order})")), "{inbox}");
    let unasked = run(&server, "pha2", &format!("inbox sign {id}"));
    assert_eq!(unasked.status, 2);
    let done = run(&server, "pha2", &format!("inbox sign {id} --yes --output json"));
    assert_eq!(serde_json::from_str::<Value>(&done.out).unwrap()["record_id"], id, "{}{}", done.out, done.err);
    assert_eq!(run(&server, "pha1", &format!("inbox sign {id} --yes")).status, 3, "it is in the log");
    assert_eq!(run(&server, "pha2", &format!("inbox sign {weighing}")).status, 8);
}

#[test]
fn a_hold_is_told_by_what_it_is_and_a_stream_that_moved_ends_with_its_own_number() {
    let server = Server::start();
    let held = append(&server, "qa", "hold_set --set reason=a~complaint --on lot:L-2026-01 --facility LAB");
    let lot = told(&server, "qa", "lot show L-2026-01");
    let hold = line(&lot, "HELD ").split("; hold ").nth(1).unwrap().split(',').next().unwrap();
    let found = append(
        &server,
        "qa",
        "deviation_opened --set description=it~was~another~lot --set severity=MINOR --on lot:L-2026-01 --facility LAB",
    );
    let lifted = format!(
        "append hold_lifted --set hold_id={hold} --set resolution=a~mistake --set resolution_record_id={found} --cite {found} \
         --on lot:L-2026-01 --facility LAB --propose"
    );
    assert!(run(&server, "qa", &lifted).err.contains("QUALIFIED_PERSON"));
    let proposed = told(&server, "qa", &format!("{lifted} --role 1=QUALIFIED_PERSON"));
    assert!(proposed.contains("awaits: qualified person at LAB"), "{proposed}");
    let inbox = told(&server, "qp", "inbox list");
    assert!(inbox.contains("hold HOLD_SET on lot L-2026-01, since 2026-"), "{inbox}");
    assert!(inbox.contains(&format!("by HoldSet {held} ({hold})")), "{inbox}");
    assert!(inbox.contains("  resolution_record_id             DeviationOpened of 2026-"), "{inbox}");
    append(&server, "aud", "audit_noted --set note=seen --on lot:L-2026-01 --facility LAB");
    let id = proposed.split_whitespace().nth(1).unwrap();
    let moved = run(&server, "qp", &format!("inbox sign {id}"));
    assert_eq!(moved.status, 6, "{}", moved.err);
    assert!(moved.err.contains("came in between: lot L-2026-01") && moved.err.contains("AuditNoted"), "{}", moved.err);
}

#[test]
fn a_material_is_traced_by_the_code_that_people_know() {
    let server = Server::start();
    let lot = told(&server, "aud", "lot show L-2026-01");
    let made = line(&lot, "made with reagent M-2251 alpha-MEM, material:").to_owned();
    assert!(lot.contains("made with device CAB-1 safety cabinet, material:"), "{lot}");
    let by_id = told(&server, "aud", &format!("trace forward {}", made.split(", ").nth(1).unwrap()));
    assert!(by_id.contains("L-2026-01") && by_id.contains("subject R-01"), "{by_id}");
    assert_eq!(told(&server, "aud", "trace forward material:M-2251"), by_id);
    assert!(told(&server, "aud", "trace forward material:CAB-1").contains("L-2026-01"));
    assert_eq!(run(&server, "aud", "trace forward material:M-9999").status, 8);
    let wrong = run(&server, "aud", "trace forward reagent:M-2251");
    assert_eq!(wrong.status, 2);
    assert!(wrong.err.contains("material:CODE"), "{}", wrong.err);
}

#[test]
fn a_colleague_records_what_somebody_did_who_cannot_sign_and_quality_assurance_ratifies() {
    let server = Server::start();
    let status = "append equipment_status_recorded --set code=CAB-9 --set name=cabinet --set status=IN_SERVICE --facility LAB --on equipment:new";
    let unnamed = run(&server, "op2", &format!("{status} --for-another"));
    assert_eq!(unnamed.status, 2, "who did it has to be said: {}", unnamed.err);
    let record = append(&server, "op2", &format!("{} --for-another --note Olga~did~it", status.trim_start_matches("append ")));
    let shown = told(&server, "op2", &format!("record show {record}"));
    assert!(shown.contains("RECORDED_FOR_ANOTHER") && shown.contains("VERIFIER_MISSING"), "{shown}");
    told(&server, "qa", &format!("sign {record} --yes"));
    let signed = told(&server, "qa", &format!("record show {record}"));
    assert!(signed.contains("signed later: ") && signed.contains("as quality assurance, ratified"), "{signed}");
    let at_once = told(&server, "op2", &format!("{status} --for-another --note Olga~did~it --sign {}", pem("qa")));
    assert!(at_once.contains("flagged RECORDED_FOR_ANOTHER") && !at_once.contains("VERIFIER_MISSING"), "{at_once}");
}

/// What is shown of a thing says which moment it is of, and names by their codes what stands beside it.
#[test]
fn what_is_counted_says_when_and_ids_have_their_codes() {
    let server = Server::start();
    let dose = told(&server, "qa", "dose show 701018");
    assert!(dose.contains("subject_code             R-01") && dose.contains("unit_codes               260100"), "{dose}");
    assert!(line(&dose, "order  ").contains(" by Galina Fedorova (") && !dose.contains("subject_id"), "{dose}");
    assert!(line(&dose, "dispensed  ").contains(" by "), "{dose}");
    let unit = line(&dose, "unit_codes").split_whitespace().nth(1).unwrap().trim_end_matches(',').to_owned();
    let thawed = told(&server, "qa", &format!("unit show {unit}"));
    for words in ["thawed                   2026-", "% at thaw", "% at filling", "total_cells"] {
        assert!(thawed.contains(words), "{words}: {thawed}");
    }
    assert!(!thawed.contains("\nexpires"), "a thawed unit has no frozen shelf life: {thawed}");
    let frozen = told(&server, "qa", "unit show 26010070");
    assert!(frozen.contains("\nexpires") && !frozen.contains("at thaw"), "{frozen}");
    // Who may not see the subject is told neither its code nor its order.
    let seen = told(&server, "op1", "dose show 701018");
    assert!(!seen.contains("R-01") && !seen.contains("order") && !seen.contains("dispensed  "), "{seen}");

    append(&server, "qa", "recall_opened --set reason=mould --on lot:L-2026-01 --facility LAB");
    append(&server, "inv", "vital_status_recorded --set status=DEAD --on subject:R-01 --facility HOSPITAL");
    append(&server, "inv", "subject_withdrawn --set scope[0]=TREATMENT --on subject:R-02 --facility HOSPITAL");
    let subject = told(&server, "inv", "subject show R-01");
    assert!(line(&subject, "DEAD ").starts_with("DEAD 2026-") && subject.contains(", record "), "{subject}");
    assert!(line(&subject, "RECALL ").starts_with("RECALL of lot L-2026-01, infused: mould; record "), "{subject}");
    // That a donor is looked back on is told at the bedside; what is said of the donor is not.
    append(&server, "qa", "look_back_opened --set reason=a~carrier --on donor:D-001 --facility LAB");
    let subject = told(&server, "inv", "subject show R-01");
    let looked_back = line(&subject, "LOOK-BACK ");
    assert!(looked_back.starts_with("LOOK-BACK of a donor of the dose, infused: not shown; record "), "{looked_back}");
    let order = line(&subject, "order ");
    assert!(order.contains(" by Galina Fedorova, ") && order.contains(" dose 701018, record "), "{order}");
    assert!(line(&told(&server, "inv", "subject show R-02"), "WITHDRAWN ").starts_with("WITHDRAWN 2026-"));
    let lots = told(&server, "qa", "lot list");
    assert!(line(&lots, "L-2026-01").ends_with("signatures owed  RECALL") && lots.matches("RECALL").count() == 1, "{lots}");

    // A record that cannot be mended comes before one that can.
    let red = run(&server, "pha1", "check 701018");
    assert_eq!(red.status, 3, "{}", red.out);
    assert!(red.out.starts_with("RED: must not be given") && red.out.contains("  subject R-01, order of 2026-"), "{}", red.out);
    let codes: Vec<&str> = red.out.lines().skip(6).filter_map(|line| line.trim().split(':').next()).collect();
    let place = |code: &str| codes.iter().position(|found| *found == code).unwrap_or_else(|| panic!("no {code}: {codes:?}"));
    assert!(place("SUBJECT_DEAD").max(place("DOSE_EXPIRED")).max(place("DOSE_ALREADY_USED")) < 3, "{codes:?}");
    assert!(red.out.contains(", EXPIRED\n"), "{}", red.out);
}

/// The deviation of a unit's own record is shown with it, and a signature is part of the chain that its record is part of.
#[test]
fn what_belongs_to_one_unit_is_not_told_of_another() {
    let server = Server::start();
    let broke = |unit: &str| {
        format!(
            "container_event --set kind=LEAKING --set unit_ids[0]={unit} --set description=a~crack --on lot:L-2026-01 --facility LAB"
        )
    };
    append(&server, "op1", &broke("26010070"));
    let unit = told(&server, "qa", "unit show 26010070");
    assert!(line(&unit, "DEVIATION ").contains("CONTAINER"), "{unit}");
    assert!(!told(&server, "qa", "unit show 26010088").contains("DEVIATION"));
    for dose in ["701018", "702019"] {
        let traced = told(&server, "aud", &format!("trace back {dose}"));
        let units = json(&server, "aud", &format!("dose show {dose}"))["unit_codes"].clone();
        for added in traced.lines().filter(|line| line.contains("SignatureAdded")) {
            let record = told(&server, "aud", &format!("record show {}", added.rsplit(' ').next().unwrap()));
            assert!(
                !record.contains("UnitsThawed") || units.as_array().unwrap().iter().any(|u| record.contains(u.as_str().unwrap()))
            );
        }
    }
}

#[test]
fn who_may_read_a_lot_traces_what_it_was_made_with() {
    let server = Server::start();
    let traced = run(&server, "pha1", "trace forward material:M-2251");
    let words = format!("{}{}", traced.out, traced.err);
    assert!(traced.status == 0 && words.contains("L-2026-01"), "{} {words}", traced.status);
}

/// What was made is told, so that the next record can name it; and nothing is signed that nobody has read.
#[test]
fn what_was_made_is_told_and_what_is_changed_is_shown() {
    let server = Server::start();
    let weighed = "subject_weighed --set weight_grams=70000 --set method=MEASURED --on subject:R-02 --facility HOSPITAL";
    let weighing = append(&server, "rn1", weighed);
    let ordered = format!(
        "append dose_ordered --set order_id=new --set weighing_record_id={weighing} --set target_viable_cells_per_kg=1000000 \
         --set planned_duration_seconds=3600 --on subject:R-02 --facility HOSPITAL"
    );
    let printed = told(&server, "inv", &ordered);
    let order = line(&printed, "order ").split(' ').nth(1).unwrap();
    assert!(told(&server, "inv", "subject show R-02").contains(&format!("order {order} of ")), "{printed}");
    let registered = "append donor_registered --set donor_code=D-970 --set birth_year=1990 --on donor:new --facility LAB";
    let printed = json(&server, "phy", registered);
    let donor = printed["made"]["donor:new"].as_str().unwrap();
    assert_eq!(json(&server, "qa", "donor show D-970")["stream"]["id"], donor);

    let unasked = run(&server, "rn1", &format!("void {weighing} --reason another~subject --sign {}", pem("qa")));
    assert_eq!(unasked.status, 2, "{}", unasked.err);
    for words in
        ["SubjectWeighed", "  on subject R-02 (", "weight_grams                     70000", "RecordVoided", "another subject"]
    {
        assert!(unasked.err.contains(words), "{words}: {}", unasked.err);
    }
    let streamless = run(&server, "rn1", "append subject_weighed --set weight_grams=70000 --facility HOSPITAL");
    assert!(streamless.status == 2 && streamless.err.contains("give --on, e.g. "), "{}", streamless.err);
    let nowhere = run(&server, "rn1", "append subject_weighed --set weight_grams=70000 --set method=MEASURED --on subject:R-02");
    assert!(nowhere.status == 2 && nowhere.err.contains("one of LAB, HOSPITAL"), "{}", nowhere.err);
    // A time in a field may leave the seconds out, as --at does.
    let status = "append key_revoked --set key_id=00 --set reason=left --set effective_at=2026-03-01~00:00~+00:00";
    let minutes = run(&server, "key", &format!("{status} --on authority: --facility LAB"));
    assert!(!minutes.err.contains("a time with offset"), "{}", minutes.err);
}

/// The id and the last version that records name are found without reading the log.
#[test]
fn documents_are_listed_with_their_versions() {
    let server = Server::start();
    let listed = told(&server, "op1", "protocol list");
    let last = line(&listed, "NCT01849237 ");
    assert!(last.contains(" version ") && last.contains(", the last  "), "{listed}");
    let id = last.split_whitespace().nth(1).unwrap();
    let shown = json(&server, "op1", "protocol show NCT01849237");
    assert_eq!(shown[0]["id"], id);
    assert_eq!(told(&server, "op1", &format!("protocol show {id}")).lines().count(), shown.as_array().unwrap().len());
    let lot = json(&server, "aud", "lot show L-2026-01");
    let specifications = told(&server, "op1", "specification list");
    assert!(specifications.contains(lot["specification"]["id"].as_str().unwrap()), "{specifications}");
    assert_eq!(run(&server, "op1", "protocol show NCT0").status, 8);
}
