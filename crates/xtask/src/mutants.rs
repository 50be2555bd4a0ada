//! Switches each rule off in turn and expects a test of the rules to fail: a rule that no test misses is not tested.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use marrowline_rules::codes;

use crate::ChoreError;
use crate::tree;

/// Rules that no test missed.
pub fn run(only: Option<&str>) -> Result<Vec<String>, ChoreError> {
    let binaries = test_binaries()?;
    let mut complaints = Vec::new();
    if !all_pass(&binaries, None)? {
        return Ok(vec!["the tests of the rules fail with all rules on".to_owned()]);
    }
    let mut switched = 0usize;
    for code in codes::all().filter(|c| only.is_none_or(|o| o == c.name)) {
        if all_pass(&binaries, Some(code.name))? {
            complaints.push(format!("{} switched off, and no test failed", code.name));
        }
        switched += 1;
    }
    println!("{switched} rules switched off one at a time, {} missed by no test", complaints.len());
    Ok(complaints)
}

/// Builds the rules' tests once and returns their programs.
fn test_binaries() -> Result<Vec<PathBuf>, ChoreError> {
    let failed = |what: String| ChoreError::Program { program: "cargo test", what };
    let output = Command::new(env!("CARGO"))
        .args(["test", "--package", "marrowline-rules", "--no-run", "--message-format", "json"])
        .current_dir(tree::root())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| failed(e.to_string()))?;
    if !output.status.success() {
        return Err(failed("the tests of the rules do not build".to_owned()));
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    let built = stdout.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let tests = built.filter(|m| m.pointer("/profile/test").and_then(|t| t.as_bool()) == Some(true));
    let mut binaries: Vec<PathBuf> =
        tests.filter_map(|m| m.get("executable").and_then(|e| e.as_str()).map(PathBuf::from)).collect();
    // The first failure ends a turn: those that are quick and know each rule by name are asked first.
    binaries.sort_by_key(|binary| {
        let name = binary.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        (!name.starts_with("marrowline_rules"), !name.starts_with("histories"))
    });
    Ok(binaries)
}

fn all_pass(binaries: &[PathBuf], off: Option<&str>) -> Result<bool, ChoreError> {
    for binary in binaries {
        let mut command = Command::new(binary);
        command.arg("--quiet").current_dir(tree::root().join("crates/rules")).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(code) = off {
            command.env("MARROWLINE_DISABLE_RULE", code);
        }
        let status = command.status().map_err(|e| ChoreError::Program { program: "a test of the rules", what: e.to_string() })?;
        if !status.success() {
            return Ok(false);
        }
    }
    Ok(true)
}
