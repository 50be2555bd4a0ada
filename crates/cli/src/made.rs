//! What each `new` of a command became: whoever made an order has to name it in the next record.

use marrowline_record::pb::Record;
use marrowline_record::pb::StreamKind;
use serde_json::{Map, Value};

use crate::exit::say;
use crate::{json, words};

/// Things that were made, each with its id.
#[derive(Default)]
pub struct Made(Vec<(String, String)>);

impl Made {
    /// From an event as it was written, and the record that came of it: fields that said `new`.
    pub fn of(written: &Value, record: &Record) -> Made {
        let made = json::record_to_json(record).unwrap_or_default();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for (name, body) in written.as_object().into_iter().flatten() {
            words::flatten("", body, &mut before);
            words::flatten("", made.get(name).unwrap_or(&Value::Null), &mut after);
        }
        let is_new = |path: &str| before.iter().any(|(found, value)| found == path && value == "new");
        Made(after.into_iter().filter(|(path, _)| is_new(path)).collect())
    }

    /// Adds a stream that was made.
    pub fn stream(&mut self, kind: StreamKind, id: &[u8; 16]) {
        let kind = words::lower(kind.as_str_name(), "STREAM_KIND_");
        self.0.push((format!("{kind}:new"), words::id(id)));
    }

    /// Says them, one a line.
    pub fn say(&self) {
        for (name, id) in &self.0 {
            // `grant.person_id` is a person; of several things the whole path says which one it is.
            let short = if name.contains('[') { name } else { name.rsplit('.').next().unwrap_or(name) };
            match short.strip_suffix("_id") {
                Some(thing) => say!("{thing} {id}"),
                None => say!("{name} is {id}"),
            }
        }
    }

    /// The same for programs.
    pub fn to_json(&self) -> Value {
        Value::from(self.0.iter().map(|(name, id)| (name.clone(), Value::from(id.clone()))).collect::<Map<_, _>>())
    }
}
