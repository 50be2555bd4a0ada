//! Fields as text: `units[0].total_cells=50M`, put into any message by reflection.

use marrowline_record::descriptor::FILE_DESCRIPTOR_SET;
use marrowline_record::din;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _, Value};

use super::people;

/// What the text of a value may refer to.
pub(super) trait Names {
    /// A moment, Unix ms: `d3 10:00`, or `-2h` before the event.
    fn moment(&self, text: &str) -> Result<i64, String>;
    /// The bytes behind `@rec:LABEL` and the like.
    fn reference(&self, text: &str) -> Result<Vec<u8>, String>;
}

/// The record's schema.
pub(super) fn schema() -> Result<DescriptorPool, String> {
    DescriptorPool::decode(FILE_DESCRIPTOR_SET).map_err(|e| e.to_string())
}

/// Splits at a separator that stands outside of quotes and brackets, into `most` parts at most.
pub(super) fn split(text: &str, is_separator: impl Fn(char) -> bool, most: usize) -> Vec<&str> {
    let (mut parts, mut from, mut depth, mut quoted) = (Vec::new(), 0, 0_i32, false);
    for (at, letter) in text.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            '[' | '{' | '(' if !quoted => depth += 1,
            ']' | '}' | ')' if !quoted => depth -= 1,
            _ if quoted || depth > 0 || parts.len() + 1 == most => {}
            _ if is_separator(letter) => {
                parts.extend(text.get(from..at));
                from = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    parts.extend(text.get(from..));
    parts
}

/// `path=value` words of a text. A day and its time of day belong together: `sampled_at=d3 10:00`.
pub(super) fn assignments(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut found: Vec<(String, String)> = Vec::new();
    for word in split(text, char::is_whitespace, usize::MAX).into_iter().filter(|w| !w.is_empty()) {
        let is_time = word.len() >= 5 && word.as_bytes().get(2) == Some(&b':') && word.starts_with(|c: char| c.is_ascii_digit());
        match found.last_mut() {
            Some((_, value)) if is_time => *value = format!("{value} {word}"),
            _ => {
                let parts = split(word, |c| c == '=', 2);
                let [path, value] = parts.as_slice() else {
                    return Err(format!("`{word}` is not of the form path=value"));
                };
                found.push(((*path).to_owned(), (*value).to_owned()));
            }
        }
    }
    Ok(found)
}

/// Puts a value into a message.
pub(super) fn set(message: &mut DynamicMessage, path: &str, text: &str, names: &dyn Names) -> Result<(), String> {
    let (step, rest) = match path.split_once('.') {
        Some((step, rest)) => (step, Some(rest)),
        None => (path, None),
    };
    let (name, place) = match step.split_once('[') {
        Some((name, place)) => (name, place.trim_end_matches(']').parse::<usize>().ok()),
        None => (step, None),
    };
    let field = message
        .descriptor()
        .get_field_by_name(name)
        .ok_or_else(|| format!("{} has no field `{name}`", message.descriptor().name()))?;
    if text == "none" && rest.is_none() && place.is_none() {
        message.clear_field(&field);
        return Ok(());
    }
    if let Some(place) = place {
        let Value::List(items) = message.get_field_mut(&field) else {
            return Err(format!("`{name}` is no list"));
        };
        while items.len() <= place {
            items.push(Value::default_value(&field.kind()));
        }
        let Some(item) = items.get_mut(place) else {
            return Err(format!("no item {place}"));
        };
        return match (rest, item) {
            (Some(rest), Value::Message(inner)) => set(inner, rest, text, names),
            (None, item) => {
                *item = one(&field, text, names)?;
                Ok(())
            }
            _ => Err(format!("`{path}` leads nowhere")),
        };
    }
    if let Some(rest) = rest {
        let Value::Message(inner) = message.get_field_mut(&field) else {
            return Err(format!("`{name}` has no fields"));
        };
        return set(inner, rest, text, names);
    }
    let value = if field.is_list() { list(&field, text, names)? } else { one(&field, text, names)? };
    message.try_set_field(&field, value).map_err(|e| e.to_string())
}

fn list(field: &FieldDescriptor, text: &str, names: &dyn Names) -> Result<Value, String> {
    if text.starts_with('@') {
        let hashes = names.reference(text)?;
        return Ok(Value::List(hashes.chunks(32).map(|h| Value::Bytes(h.to_vec().into())).collect()));
    }
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let items = split(inner, |c| c == ',', usize::MAX);
    let items = items.into_iter().map(str::trim).filter(|t| !t.is_empty());
    Ok(Value::List(items.map(|item| one(field, item, names)).collect::<Result<_, _>>()?))
}

fn one(field: &FieldDescriptor, text: &str, names: &dyn Names) -> Result<Value, String> {
    let plain = text.replace('"', "");
    let wrong = |what: &str| format!("`{text}` is no {what} for `{}`", field.name());
    Ok(match field.kind() {
        Kind::Message(kind) => Value::Message(message(&kind, text, names)?),
        Kind::Enum(kind) => {
            let named = kind.values().filter(|v| v.name().ends_with(&format!("_{plain}"))).min_by_key(|v| v.name().len());
            Value::EnumNumber(named.ok_or_else(|| wrong("value"))?.number())
        }
        Kind::Bytes => Value::Bytes(bytes(field, &plain, names)?.into()),
        Kind::String => Value::String(checked(plain)),
        Kind::Bool => Value::Bool(plain == "yes"),
        Kind::Uint32 => Value::U32(u32::try_from(number(&plain)?).map_err(|_| wrong("number"))?),
        Kind::Uint64 => Value::U64(u64::try_from(number(&plain)?).map_err(|_| wrong("number"))?),
        Kind::Sint32 | Kind::Int32 => Value::I32(i32::try_from(number(&plain)?).map_err(|_| wrong("number"))?),
        Kind::Sint64 | Kind::Int64 => Value::I64(i64::try_from(number(&plain)?).map_err(|_| wrong("number"))?),
        _ => return Err(wrong("value")),
    })
}

/// `@label:1001` and `@din:W000026000002` get their check character.
fn checked(text: String) -> String {
    let complete = |start: &str, check: fn(&str) -> Option<char>| {
        let code = text.strip_prefix(start)?;
        Some(code.chars().chain(check(code)).collect::<String>())
    };
    complete("@label:", din::digit_check).or_else(|| complete("@din:", din::check_character)).unwrap_or(text)
}

/// `1_500`, `50M` (millions), `70k` (thousands).
fn number(text: &str) -> Result<i128, String> {
    let digits = text.replace('_', "");
    let (digits, times) = match (digits.strip_suffix('M'), digits.strip_suffix('k')) {
        (Some(rest), _) => (rest, 1_000_000),
        (_, Some(rest)) => (rest, 1_000),
        _ => (digits.as_str(), 1),
    };
    let value: i128 = digits.parse().map_err(|_| format!("`{text}` is no number"))?;
    value.checked_mul(times).ok_or_else(|| format!("`{text}` is too large"))
}

/// A reference, or the id or digest that a name stands for: which one is said by the field's length.
fn bytes(field: &FieldDescriptor, text: &str, names: &dyn Names) -> Result<Vec<u8>, String> {
    let text = text.trim_matches('"');
    if text.starts_with('@') {
        return names.reference(text);
    }
    Ok(match exact_bytes(field) {
        Some(16) => people::id(text).0.to_vec(),
        _ => people::hash(text).to_vec(),
    })
}

fn exact_bytes(field: &FieldDescriptor) -> Option<u32> {
    let extension = field.parent_pool().get_extension_by_name("marrowline.v1.shape")?;
    let options = field.options();
    let shape = options.get_extension(&extension);
    shape.as_message()?.get_field_by_name("exact_bytes").and_then(|length| length.as_u32())
}

fn message(kind: &MessageDescriptor, text: &str, names: &dyn Names) -> Result<DynamicMessage, String> {
    let mut made = DynamicMessage::new(kind.clone());
    if kind.name() == "Instant" {
        made.set_field_by_name("unix_ms", Value::I64(names.moment(text.trim_matches('"'))?));
        return Ok(made);
    }
    if let Some(grant) = text.strip_prefix("@grant(").and_then(|t| t.strip_suffix(')')) {
        return person(made, grant, names);
    }
    if kind.name() == "TestResult" && !text.starts_with('{') {
        return result(made, &text.replace('"', ""), names);
    }
    let inner = text.strip_prefix('{').and_then(|t| t.strip_suffix('}'));
    if let Some(inner) = inner.filter(|t| t.contains('=')) {
        for (path, value) in assignments(inner)? {
            set(&mut made, &path, &value, names)?;
        }
        return Ok(made);
    }
    // By position: `LAB/R1/P07` is facility, rack and position of a location. The last field takes what is left.
    let mut fields: Vec<FieldDescriptor> = kind.fields().collect();
    fields.sort_by_key(FieldDescriptor::number);
    let parts = split(inner.unwrap_or(text), |c| c == '/', fields.len());
    for (field, part) in fields.iter().zip(parts) {
        set(&mut made, field.name(), part, names)?;
    }
    Ok(made)
}

/// `ABSENT`, `96.1 %`, `<0.5 [EU]/mL`, `>90 %`, `below 0.05 [EU]/mL`, `above 1000 [EU]/mL` (the limit of quantification).
fn result(mut made: DynamicMessage, text: &str, names: &dyn Names) -> Result<DynamicMessage, String> {
    if ["ABSENT", "PRESENT", "INVALID"].contains(&text) {
        set(&mut made, "kind", text, names)?;
        return Ok(made);
    }
    let read =
        [("<", "LESS"), (">", "GREATER"), ("below ", "BELOW_QUANTIFICATION"), ("above ", "ABOVE_QUANTIFICATION"), ("", "EQUAL")]
            .into_iter()
            .find_map(|(start, comparator)| Some((text.strip_prefix(start)?, comparator)));
    let (number, comparator) = read.unwrap_or((text, "EQUAL"));
    let (value, unit) = number.trim().split_once(' ').ok_or_else(|| format!("`{text}` has no unit"))?;
    for (path, part) in [("kind", "QUANTITATIVE"), ("value", value), ("unit_ucum", unit), ("comparator", comparator)] {
        set(&mut made, path, part, names)?;
    }
    Ok(made)
}

/// `@grant(anna PHY@LAB QA@LAB)`: a person's key with roles that hold for ten years.
fn person(mut made: DynamicMessage, text: &str, names: &dyn Names) -> Result<DynamicMessage, String> {
    let mut words = text.split_whitespace();
    let name = words.next().ok_or("a grant without a name")?;
    set(&mut made, "person_id", people::person(name), names)?;
    set(&mut made, "printed_name", &people::printed_name(name), names)?;
    set(&mut made, "public_key", &format!("@public:{name}"), names)?;
    for (place, word) in words.enumerate() {
        let (role, facility) = word.split_once('@').ok_or_else(|| format!("`{word}` is not of the form ROLE@FACILITY"))?;
        let path = format!("roles[{place}]");
        let role = super::row::role_name(role).ok_or_else(|| format!("`{role}` is no role"))?;
        set(&mut made, &format!("{path}.role"), role, names)?;
        set(&mut made, &format!("{path}.facility_id"), facility, names)?;
        set(&mut made, &format!("{path}.valid_from"), "d0 00:00", names)?;
        set(&mut made, &format!("{path}.valid_until"), "d3650 00:00", names)?;
    }
    Ok(made)
}
