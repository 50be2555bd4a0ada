//! Values in the words that people use.

use marrowline_client::v1::{FieldInWords, UnitView};
use marrowline_record::instant;
use marrowline_record::pb::{Meaning, Role};
use serde_json::Value;

/// A role, `quality assurance`.
pub fn role(role: Role) -> String {
    lower(role.as_str_name(), "ROLE_")
}

/// A role as options name it, `QUALITY_ASSURANCE`.
pub fn role_option(role: Role) -> &'static str {
    role.as_str_name().trim_start_matches("ROLE_")
}

/// The role that an option names.
pub fn role_named(name: &str) -> Result<Role, crate::failure::Failure> {
    let role = Role::from_str_name(&format!("ROLE_{name}")).filter(|role| *role != Role::Unspecified);
    role.ok_or_else(|| {
        let all = (1..100).map_while(|number| Role::try_from(number).ok()).map(role_option).collect::<Vec<_>>();
        crate::failure::Failure::usage(format!("no role `{name}`; there are {}", all.join(", ")))
    })
}

/// A meaning, `verified`.
pub fn meaning(meaning: Meaning) -> String {
    lower(meaning.as_str_name(), "MEANING_")
}

/// The name of an enum's value without its prefix, as words.
pub fn lower(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase().replace('_', " ")
}

/// A moment of the ledger.
pub fn moment(unix_ms: i64) -> String {
    instant::format(unix_ms, 0)
}

/// A share of 10 000, `92.50 %`.
pub fn share(basis_points: u64) -> String {
    format!("{}.{:02} %", basis_points / 100, basis_points % 100)
}

/// A number of thousandths, `7.451`.
pub fn thousandths(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}.{:03}", number.unsigned_abs() / 1_000, number.unsigned_abs() % 1_000)
}

/// An id of the ledger: a UUID, or hexadecimal digits.
pub fn id(bytes: &[u8]) -> String {
    crate::json::bytes_to_text(bytes)
}

/// Where a unit is.
pub fn place(unit: &UnitView) -> String {
    let facility = if unit.facility_code.is_empty() { id(&unit.facility_id) } else { unit.facility_code.clone() };
    let rack = unit.location.as_ref().map_or_else(String::new, |l| format!(" {} {}", l.rack, l.position));
    let container = if unit.container.is_empty() { String::new() } else { format!(", {}", unit.container) };
    match unit.custody.as_str() {
        "held" => format!("at {facility}{rack}{container}"),
        "in transit" => format!("in transit to {facility}{container}"),
        other => format!("{other}, at {facility}{rack}{container}"),
    }
}

/// The server's words for a value count only if they name the same value.
pub fn with_code(value: &str, said: Option<&str>) -> String {
    match said {
        Some(said) if said.ends_with(&format!("({value})")) => said.to_owned(),
        _ => value.to_owned(),
    }
}

/// The server's words for the field of this path.
pub fn said<'a>(fields: &'a [FieldInWords], path: &str) -> Option<&'a str> {
    fields.iter().find(|field| field.path == path).map(|field| field.value.as_str())
}

/// Every plain field with its path.
pub fn flatten(path: &str, value: &Value, fields: &mut Vec<(String, String)>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                flatten(&if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, value, fields);
            }
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                flatten(&format!("{path}[{number}]"), item, fields);
            }
        }
        Value::String(text) => fields.push((path.to_owned(), text.clone())),
        other => fields.push((path.to_owned(), other.to_string())),
    }
}

/// What was typed, as it may be shown: a terminal obeys control characters, and bidirectional ones turn text around.
pub fn visible(text: &str) -> String {
    let is_hidden = |c: char| {
        c.is_control() && c != '\n' || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if is_hidden(c) {
            shown.extend(c.escape_unicode())
        } else {
            shown.push(c)
        }
        shown
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_shown_only_beside_the_id_that_is_signed() {
        assert_eq!(with_code("0190-a", Some("L-1 (0190-a)")), "L-1 (0190-a)");
        assert_eq!(with_code("0190-a", Some("L-1 (0190-b)")), "0190-a");
        assert_eq!(with_code("0190-a", None), "0190-a");
    }

    #[test]
    fn every_field_has_its_path() {
        let mut fields = Vec::new();
        flatten("", &serde_json::json!({"units": [{"cells": 5}, {"id": "x"}], "ok": true}), &mut fields);
        let lines: Vec<String> = fields.iter().map(|(path, value)| format!("{path}={value}")).collect();
        assert_eq!(lines, ["units[0].cells=5", "units[1].id=x", "ok=true"]);
    }

    #[test]
    fn nothing_that_was_typed_moves_the_cursor() {
        assert_eq!(visible("a\u{1b}[2Jb\u{202e}c\u{9b}d\ne"), "a\\u{1b}[2Jb\\u{202e}c\\u{9b}d\ne");
    }

    #[test]
    fn where_a_unit_is() {
        let unit = |custody: &str, container: &str| UnitView {
            custody: custody.to_owned(),
            facility_code: "LAB".to_owned(),
            container: container.to_owned(),
            ..UnitView::default()
        };
        assert_eq!(place(&unit("held", "")), "at LAB");
        assert_eq!(place(&unit("held", "damaged")), "at LAB, damaged");
        assert_eq!(place(&unit("in transit", "")), "in transit to LAB");
        assert_eq!(place(&unit("disputed", "")), "disputed, at LAB");
        assert_eq!(share(9_250), "92.50 %");
    }
}
