//! Style checks as tests: what a reviewer would otherwise have to look for by eye.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use marrowline_rules::codes;

use crate::ChoreError;
use crate::history::{self, words};
use crate::{pages, tree};

/// Longest file without its tests, in lines.
const FILE_LINES: usize = 600;
/// Longest function, in lines.
const FUNCTION_LINES: usize = 80;

/// Which of our crates each of our crates may use. Dependencies point downward only.
const MAY_USE: &[(&str, &[&str])] = &[
    ("merkle", &[]),
    ("record", &[]),
    ("rules", &["merkle", "record"]),
    ("proof", &["merkle", "record", "rules"]),
    ("api", &["merkle", "record", "rules", "proof", "ledger"]),
    ("ledger", &["merkle", "record", "rules", "proof"]),
    ("store", &["merkle", "record", "ledger"]),
    ("attachments", &[]),
    ("report", &["record"]),
    ("server", &["merkle", "record", "rules", "proof", "report", "attachments", "api", "ledger"]),
    ("client", &["merkle", "record", "rules", "proof", "api"]),
    ("cli", &["merkle", "record", "rules", "proof", "api", "ledger", "store", "attachments", "server", "client"]),
    ("xtask", &["merkle", "record", "rules", "proof", "api", "client"]),
];

/// Libraries that only these crates may use.
const ONLY_HOME: &[(&str, &[&str])] = &[
    ("sled", &["store"]),
    ("bincode", &["store"]),
    ("tonic", &["api", "server", "client", "cli", "xtask"]),
    ("prost", &["record", "rules", "api", "server", "client", "cli"]),
];

/// Libraries that the core may never use: clocks, I/O, randomness, async.
const NOT_IN_CORE: &[&str] = &["tokio", "getrandom", "rand", "tonic", "sled", "tracing"];
const CORE: &[&str] = &["merkle", "record", "rules", "proof"];

/// All complaints.
pub fn run() -> Result<Vec<String>, ChoreError> {
    let mut complaints = dependencies()?;
    for path in tree::files(&tree::root(), ".rs")? {
        let text = tree::read(&path)?;
        complaints.extend(lengths(&tree::short(&path), &text));
    }
    complaints.extend(codes_in_docs()?);
    complaints.extend(codes_in_one_place()?);
    complaints.extend(codes_in_tests()?);
    complaints.extend(both_sides_in_histories()?);
    complaints.extend(pages::run(true)?);
    Ok(complaints)
}

fn dependencies() -> Result<Vec<String>, ChoreError> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(tree::root())
        .output()
        .map_err(|e| ChoreError::Program { program: "cargo metadata", what: e.to_string() })?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|e| ChoreError::Program { program: "cargo metadata", what: e.to_string() })?;
    let mut complaints = Vec::new();
    let packages = metadata.get("packages").and_then(|p| p.as_array()).cloned().unwrap_or_default();
    for package in &packages {
        let name = text(package, "name");
        let Some(name) = name.strip_prefix("marrowline-") else {
            continue;
        };
        let uses: Vec<String> = package
            .get("dependencies")
            .and_then(|d| d.as_array())
            .into_iter()
            .flatten()
            .filter(|d| d.get("kind").is_none_or(serde_json::Value::is_null))
            .map(|d| text(d, "name"))
            .collect();
        complaints.extend(check_uses(name, &uses));
    }
    Ok(complaints)
}

fn check_uses(name: &str, uses: &[String]) -> Vec<String> {
    let Some((_, allowed)) = MAY_USE.iter().find(|(n, _)| *n == name) else {
        return vec![format!("crate {name} is not in the table of dependency directions (xtask/src/tidy.rs)")];
    };
    let mut complaints = Vec::new();
    for used in uses {
        if let Some(ours) = used.strip_prefix("marrowline-")
            && !allowed.contains(&ours)
        {
            complaints.push(format!("crate {name} uses {ours}: dependencies point downward only"));
        }
        if let Some((_, homes)) = ONLY_HOME.iter().find(|(library, _)| library == used)
            && !homes.contains(&name)
        {
            complaints.push(format!("crate {name} uses {used}, whose only home is {}", homes.join(", ")));
        }
        if CORE.contains(&name) && NOT_IN_CORE.contains(&used.as_str()) {
            complaints.push(format!("core crate {name} uses {used}: no clock, I/O, randomness or async in the core"));
        }
    }
    complaints
}

fn text(value: &serde_json::Value, key: &str) -> String {
    value.get(key).and_then(|v| v.as_str()).unwrap_or_default().to_owned()
}

fn lengths(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    let own = lines.iter().position(|l| l.starts_with("#[cfg(test)]")).unwrap_or(lines.len());
    let is_test = path.contains("tests/") || path.ends_with("_tests.rs") || path.ends_with("tests.rs");
    if own > FILE_LINES && !is_test {
        complaints.push(format!("{path}: {own} lines without tests; at most {FILE_LINES}"));
    }
    if is_test {
        return complaints;
    }
    // rustfmt puts a function's closing brace at the indentation of its first line.
    let mut open: Option<(usize, usize, String)> = None;
    for (number, line) in lines.iter().take(own).enumerate() {
        let indent = line.len() - line.trim_start().len();
        let trimmed = line.trim_start();
        if open.is_none() && is_function(trimmed) && !trimmed.ends_with(';') && !trimmed.ends_with('}') {
            open = Some((number, indent, trimmed.to_owned()));
        } else if let Some((start, depth, head)) = &open
            && indent == *depth
            && trimmed == "}"
        {
            let length = number - start + 1;
            if length > FUNCTION_LINES {
                complaints.push(format!("{path}:{}: {length} lines in `{head}`; at most {FUNCTION_LINES}", start + 1));
            }
            open = None;
        }
    }
    complaints
}

fn is_function(line: &str) -> bool {
    ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "async fn ", "pub async fn ", "const fn ", "pub const fn "]
        .iter()
        .any(|start| line.starts_with(start))
}

fn codes_in_docs() -> Result<Vec<String>, ChoreError> {
    let mut headings: BTreeMap<String, usize> = BTreeMap::new();
    let mut complaints = Vec::new();
    for path in tree::files(&tree::root().join("docs/rules"), ".md")? {
        for line in tree::read(&path)?.lines() {
            if let Some(code) = line.strip_prefix("### ") {
                *headings.entry(code.trim().trim_matches('`').to_owned()).or_default() += 1;
            }
        }
    }
    for code in codes::all() {
        match headings.remove(code.name) {
            Some(1) => {}
            Some(n) => complaints.push(format!("docs/rules: {n} headings for {}", code.name)),
            None => complaints.push(format!("docs/rules: no heading for {}", code.name)),
        }
    }
    complaints.extend(headings.keys().map(|h| format!("docs/rules: heading {h} is no rule's code")));
    Ok(complaints)
}

/// Each code is raised somewhere in the rules (or is set by the shell, which says so in its text), and is declared once.
fn codes_in_one_place() -> Result<Vec<String>, ChoreError> {
    let rules = tree::root().join("crates/rules/src");
    let mut used: BTreeMap<&str, usize> = BTreeMap::new();
    for path in tree::files(&rules, ".rs")? {
        let short = tree::short(&path);
        if short.contains("/codes") || short.contains("/testing") {
            continue;
        }
        let text = tree::read(&path)?;
        for code in codes::all() {
            *used.entry(code.name).or_default() += words(&text, code.name);
        }
    }
    Ok(used.into_iter().filter(|(_, n)| *n == 0).map(|(name, _)| format!("rule {name} is declared and never raised")).collect())
}

/// A code stands in a verdict of a history, or in a unit test.
fn codes_in_tests() -> Result<Vec<String>, ChoreError> {
    let mut corpus = String::new();
    let rules = tree::root().join("crates/rules");
    for path in tree::files(&rules.join("histories"), ".txt")? {
        corpus.push_str(&tree::read(&path)?);
    }
    for path in tree::files(&rules, ".rs")? {
        let text = tree::read(&path)?;
        let tests = if tree::short(&path).contains("tests") {
            text.as_str()
        } else {
            text.find("#[cfg(test)]").and_then(|at| text.get(at..)).unwrap_or_default()
        };
        corpus.push_str(tests);
    }
    Ok(codes::all()
        .filter(|code| words(&corpus, code.name) == 0)
        .map(|code| format!("rule {} stands in no history and no test", code.name))
        .collect())
}

/// A code that histories name stands on both sides there: in one answer to an event it is found, in another to the same event not.
fn both_sides_in_histories() -> Result<Vec<String>, ChoreError> {
    let rows = history::all()?;
    let mut complaints = Vec::new();
    for code in codes::all() {
        let found: BTreeSet<&str> = rows.iter().filter(|row| row.names(code.name)).map(|row| row.event.as_str()).collect();
        let is_alone = !found.is_empty() && rows.iter().all(|row| !found.contains(row.event.as_str()) || row.names(code.name));
        if is_alone {
            complaints
                .push(format!("rule {} stands in histories on one side only: add a row of the same event without it", code.name));
        }
    }
    Ok(complaints)
}

/// Words that must not stand in the repository: paths of a machine on which it was written.
#[cfg(test)]
fn is_machine_path(line: &str) -> bool {
    line.contains("/home/") || line.contains("/root/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_is_tidy() {
        let complaints = run().unwrap();
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    }

    #[test]
    fn a_core_crate_that_reads_a_clock_is_found() {
        assert_eq!(check_uses("rules", &["tokio".to_owned()]).len(), 1);
        assert_eq!(check_uses("rules", &["marrowline-store".to_owned()]).len(), 1);
        assert_eq!(check_uses("ledger", &["sled".to_owned()]).len(), 1);
        assert!(check_uses("store", &["sled".to_owned(), "marrowline-ledger".to_owned()]).is_empty());
    }

    #[test]
    fn a_long_function_is_found() {
        let body = "    a();\n".repeat(FUNCTION_LINES);
        let found = lengths("crates/x/src/lib.rs", &format!("fn long() {{\n{body}}}\n"));
        assert_eq!(found.len(), 1);
        assert!(lengths("crates/x/src/lib.rs", "fn short() {\n    a();\n}\n").is_empty());
    }

    #[test]
    fn no_file_names_a_folder_of_a_machine() {
        for ending in [".rs", ".md", ".proto", ".toml", ".py", ".txt"] {
            for path in tree::files(&tree::root(), ending).unwrap() {
                let short = tree::short(&path);
                if short.ends_with("tidy.rs") {
                    continue;
                }
                for (number, line) in tree::read(&path).unwrap().lines().enumerate() {
                    assert!(!is_machine_path(line), "{short}:{}: {line}", number + 1);
                }
            }
        }
    }
}
