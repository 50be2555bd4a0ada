//! Another language's encoder writes the same bytes: Python's, for every kind of event, both of its implementations.
//!
//! Needs a Python with the package `protobuf`: the one named by `MARROWLINE_PYTHON`, `python3`, or a virtual environment that the test
//! makes beside the build. Without any the test says so and passes, unless `MARROWLINE_REQUIRE_PYTHON` is set, as it is in CI.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use marrowline_record::descriptor::FILE_DESCRIPTOR_SET;
use marrowline_record::testing::{pool, sample};
use marrowline_record::{EventKind, encode};
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};

use crate::{malformed, repository};

fn has_protobuf(python: &str) -> bool {
    let run = Command::new(python).args(["-c", "import google.protobuf.json_format"]).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}

fn python() -> Option<String> {
    if let Ok(named) = std::env::var("MARROWLINE_PYTHON") {
        assert!(has_protobuf(&named), "MARROWLINE_PYTHON has no protobuf");
        return Some(named);
    }
    if has_protobuf("python3") {
        return Some("python3".to_owned());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-protobuf");
    let own = folder.join("bin/python").to_str()?.to_owned();
    if !has_protobuf(&own) {
        let quiet =
            |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
        let made = quiet(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        let installed = made && quiet(Command::new(&own).args(["-m", "pip", "install", "--quiet", "protobuf"]));
        if !installed {
            return None;
        }
    }
    has_protobuf(&own).then_some(own)
}

fn records() -> Vec<Value> {
    let descriptor = pool().get_message_by_name("marrowline.v1.Record").unwrap();
    let one = |name: String, bytes: Vec<u8>| {
        let message = DynamicMessage::decode(descriptor.clone(), bytes.as_slice()).unwrap();
        json!({"name": name, "bytes": hex::encode(bytes), "fields": serde_json::to_value(&message).unwrap()})
    };
    let samples = EventKind::all().iter().flat_map(|kind| (0..8).map(move |seed| (*kind, seed)));
    let accepted = malformed::accepted().into_iter().map(|(name, record)| (name.to_owned(), encode(&record)));
    samples
        .map(|(kind, seed)| (format!("{kind} {seed}"), encode(&sample(kind, seed))))
        .chain(accepted)
        .map(|(name, bytes)| one(name, bytes))
        .collect()
}

fn run(python: &str, implementation: &str, input: &Value) -> Vec<Value> {
    let mut child = Command::new(python)
        .arg(repository("tests/python/encode_records.py"))
        .env("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", implementation)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text = input.to_string();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{implementation}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn python_writes_the_same_bytes() {
    let Some(python) = python() else {
        assert!(std::env::var_os("MARROWLINE_REQUIRE_PYTHON").is_none(), "no Python with protobuf");
        eprintln!("SKIPPED: no Python with the package protobuf; bytes were NOT compared with another encoder");
        return;
    };
    let records = records();
    let input = json!({"descriptors": hex::encode(FILE_DESCRIPTOR_SET), "message": "marrowline.v1.Record", "records": records});
    for implementation in ["upb", "python"] {
        let answers = run(&python, implementation, &input);
        assert_eq!(answers.len(), records.len());
        for (record, answer) in records.iter().zip(&answers) {
            let name = &record["name"];
            assert_eq!(answer["name"], *name);
            assert_eq!(answer["parsed"], record["bytes"], "{implementation} reads and writes {name}");
            assert_eq!(answer["built"], record["bytes"], "{implementation} builds {name} from its fields");
        }
    }
}
