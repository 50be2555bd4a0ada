//! An event from options: `subject_weighed --set weight_grams=70000 --set method=MEASURED`.

use serde_json::{Map, Value};

use crate::failure::Failure;

/// The event as JSON. A path is made of names with points and list places, `units[0].total_cells`; a value is JSON if it begins like a
/// list, an object or a quoted text, and text or a number otherwise.
pub fn event(name: &str, assignments: &[String]) -> Result<Value, Failure> {
    changed(name, Value::Object(Map::new()), assignments)
}

/// An event with some of its fields set anew.
pub fn changed(name: &str, mut body: Value, assignments: &[String]) -> Result<Value, Failure> {
    for assignment in assignments {
        let (path, text) = assignment.split_once('=').ok_or_else(|| {
            Failure::usage(format!("`--set {assignment}`: write --set FIELD=VALUE, e.g. --set weight_grams=70000"))
        })?;
        let value = match text.chars().next() {
            Some('[' | '{' | '"') => {
                serde_json::from_str(text).map_err(|e| Failure::usage(format!("`--set {path}`: the value is no JSON: {e}")))?
            }
            _ => Value::from(text),
        };
        *place(&mut body, path)
            .ok_or_else(|| Failure::usage(format!("`--set {path}`: no path such as units[0].total_cells")))? = value;
    }
    Ok(Value::Object(Map::from_iter([(name.to_owned(), body)])))
}

/// Most names and list places in a path. No event is half as deep, and what is dropped level by level must not be deeper than the stack.
const MAX_DEPTH: usize = 16;

/// The place that a path names; objects and lists on the way are made.
fn place<'a>(body: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    if path.matches(['.', '[']).count() >= MAX_DEPTH {
        return None;
    }
    let mut at = body;
    for part in path.split('.') {
        let mut pieces = part.split('[');
        let name = pieces.next().filter(|name| !name.is_empty())?;
        if at.is_null() {
            *at = Value::Object(Map::new());
        }
        at = at.as_object_mut()?.entry(name.to_owned()).or_insert(Value::Null);
        for piece in pieces {
            let number: usize = piece.strip_suffix(']')?.parse().ok()?;
            if at.is_null() {
                *at = Value::Array(Vec::new());
            }
            let list = at.as_array_mut()?;
            if number > list.len() {
                return None;
            }
            if number == list.len() {
                list.push(Value::Null);
            }
            at = list.get_mut(number)?;
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event_of(assignments: &[&str]) -> Result<Value, Failure> {
        event("units_thawed", &assignments.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn paths_make_what_is_on_their_way() {
        let made = event_of(&["units[0].unit_id=new", "units[0].total_cells=5", "units[1].total_cells=6", "codes=[\"a\",\"b\"]"])
            .unwrap();
        let wanted = serde_json::json!({"units_thawed": {
            "units": [{"unit_id": "new", "total_cells": "5"}, {"total_cells": "6"}], "codes": ["a", "b"]}});
        assert_eq!(made, wanted);
    }

    #[test]
    fn what_is_no_assignment_is_said() {
        for wrong in ["weight", "=5", "units[1].x=5", "units[a]=5", "units[0=5", "a.=1", "x=[1"] {
            assert!(event_of(&[wrong]).is_err(), "{wrong}");
        }
        assert!(event_of(&["a=1", "a.b=2"]).is_err(), "a text is no object");
    }

    #[test]
    fn a_path_is_not_deeper_than_events_are() {
        for deep in ["a.".repeat(60_000) + "a=1", format!("a{}=1", "[0]".repeat(40_000))] {
            assert!(event_of(&[&deep]).is_err());
        }
        assert!(event_of(&[&("a.".repeat(15) + "a=1")]).is_ok());
    }
}
