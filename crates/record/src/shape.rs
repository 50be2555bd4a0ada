//! The shape check: walks a record's wire bytes once, against tables that the build makes from the proto files and their `(shape)`
//! options, and says exactly what is wrong and where. Nothing is allocated unless something is wrong.
//!
//! It demands: every field known, in its own wire type, in ascending order, single fields once, repeated numbers packed; the shortest
//! integers; no default value written out; all that is required, every number, text, length and count within its bounds.

mod text;

use crate::malformed::{Malformed, MalformedCode as Code};
use text::Text;

/// Checks a record's bytes. Bytes that pass are decoded by prost without loss, and hold what the proto files promise.
pub fn check(bytes: &[u8]) -> Result<(), Malformed> {
    check_message(&table::RECORD, bytes).map_err(|malformed| *malformed)
}

mod table {
    use super::text::Text;
    use super::{Field, Kind, Message};

    include!(concat!(env!("OUT_DIR"), "/tables.rs"));
}

/// A message: its fields, ascending by tag, a oneof's members last.
struct Message {
    fields: &'static [Field],
}

struct Field {
    name: &'static str,
    tag: u32,
    kind: Kind,
    repeated: bool,
    packed: bool,
    /// Explicit presence: the default value is data and is written.
    optional: bool,
    required: bool,
    in_oneof: bool,
    min_items: usize,
    max_items: usize,
}

enum Kind {
    Bool,
    /// The known numbers, without zero.
    Enum(&'static [i32]),
    Unsigned {
        min: u64,
        max: u64,
    },
    Signed {
        min: i64,
        max: i64,
    },
    Zigzag {
        min: i64,
        max: i64,
    },
    Text {
        max_bytes: usize,
        text: Text,
    },
    Bytes {
        min: usize,
        max: usize,
    },
    Message(&'static Message),
}

const VARINT: u64 = 0;
const LENGTH_DELIMITED: u64 = 2;

/// Boxed, so that the good path moves one pointer.
type Checked<T = ()> = Result<T, Box<Malformed>>;

#[cold]
fn fault<T>(code: Code, found: impl Into<String>, allowed: impl Into<String>) -> Checked<T> {
    Err(Box::new(Malformed::new(code, "", found, allowed)))
}

/// Puts a field, and the item in it, in front of the path.
#[cold]
fn inside(mut malformed: Box<Malformed>, field: &Field, item: Option<usize>) -> Box<Malformed> {
    let item = item.map(|item| format!("[{item}]")).unwrap_or_default();
    let dot = if malformed.path.is_empty() { "" } else { "." };
    malformed.path = format!("{}{item}{dot}{}", field.name, malformed.path);
    malformed
}

fn check_message(message: &'static Message, bytes: &[u8]) -> Checked {
    let mut reader = Reader { bytes };
    let mut walk = Walk { fields: message.fields, current: None, items: 0, missing: None, event_seen: false };
    while !reader.bytes.is_empty() {
        let key = reader.varint()?;
        let field = walk.advance(key)?;
        let wire = if field.packed || !field.kind.is_varint() { LENGTH_DELIMITED } else { VARINT };
        let item = (field.repeated && !field.packed).then_some(walk.items);
        let checked = if key & 7 == wire { check_field(field, &mut reader) } else { wrong_wire(key & 7, wire) };
        let count = checked.map_err(|m| inside(m, field, item))?;
        walk.items += count;
        if walk.items > field.max_items && field.repeated {
            return fault(Code::TooManyItems, format!("{} or more items", walk.items), items_allowed(field))
                .map_err(|m| inside(m, field, None));
        }
    }
    walk.finish()
}

#[cold]
fn wrong_wire(found: u64, allowed: u64) -> Checked<usize> {
    fault(Code::WireTypeWrong, format!("of wire type {found}"), format!("wire type {allowed}"))
}

fn items_allowed(field: &Field) -> String {
    format!("{} to {} items", field.min_items, field.max_items)
}

/// Where the check is in a message's fields. What is missing is told last: the other faults explain more.
struct Walk {
    fields: &'static [Field],
    /// Position of the field that was read last.
    current: Option<usize>,
    /// Items of the current field so far.
    items: usize,
    missing: Option<Box<Malformed>>,
    event_seen: bool,
}

impl Walk {
    /// The field that this key announces, which must not come before the current one.
    fn advance(&mut self, key: u64) -> Checked<&'static Field> {
        let tag = key >> 3;
        let from = self.current.unwrap_or(0);
        let found = self.fields.iter().enumerate().skip(from).find(|(_, f)| u64::from(f.tag) >= tag);
        let Some((position, field)) = found.filter(|(_, f)| u64::from(f.tag) == tag) else {
            return self.refuse(tag);
        };
        if self.current == Some(position) {
            if !field.repeated || field.packed {
                return fault(Code::FieldRepeated, "given twice", "once").map_err(|m| inside(m, field, None));
            }
            return Ok(field);
        }
        self.leave(position);
        self.current = Some(position);
        self.items = 0;
        if field.in_oneof {
            if self.event_seen {
                return fault(Code::EventTwice, "a second event", "one event").map_err(|m| inside(m, field, None));
            }
            self.event_seen = true;
        }
        Ok(field)
    }

    #[cold]
    fn refuse(&self, tag: u64) -> Checked<&'static Field> {
        match self.fields.iter().find(|f| u64::from(f.tag) == tag) {
            Some(field) => fault(Code::FieldOutOfOrder, "after a field with a higher number", "fields in ascending order")
                .map_err(|m| inside(m, field, None)),
            None => fault(Code::FieldUnknown, format!("field number {tag}"), "the fields of this version"),
        }
    }

    /// Leaves the current field for the one at `next`; those between are absent.
    fn leave(&mut self, next: usize) {
        if self.missing.is_some() {
            return;
        }
        let first = match self.current {
            Some(current) => {
                self.missing = self.fields.get(current).and_then(|field| too_few(field, self.items));
                current + 1
            }
            None => 0,
        };
        let absent = self.fields.get(first..next).unwrap_or_default();
        if self.missing.is_none() {
            self.missing = absent.iter().find(|f| f.required).map(absence);
        }
    }

    fn finish(mut self) -> Checked {
        self.leave(self.fields.len());
        match self.missing {
            Some(missing) => Err(missing),
            None if !self.event_seen && self.fields.last().is_some_and(|f| f.in_oneof) => {
                fault(Code::EventMissing, "without an event", "one event")
            }
            None => Ok(()),
        }
    }
}

fn too_few(field: &'static Field, items: usize) -> Option<Box<Malformed>> {
    (field.repeated && items < field.min_items).then(|| {
        let malformed = Malformed::new(Code::TooFewItems, "", format!("{items} items"), items_allowed(field));
        inside(Box::new(malformed), field, None)
    })
}

#[cold]
fn absence(field: &'static Field) -> Box<Malformed> {
    too_few(field, 0).unwrap_or_else(|| {
        let malformed = Malformed::new(Code::FieldMissing, "", "absent, empty or zero", "a value");
        inside(Box::new(malformed), field, None)
    })
}

impl Kind {
    fn is_varint(&self) -> bool {
        matches!(self, Kind::Bool | Kind::Enum(_) | Kind::Unsigned { .. } | Kind::Signed { .. } | Kind::Zigzag { .. })
    }
}

/// Checks one value, or a packed field with all its items; returns how many items it was.
fn check_field(field: &'static Field, reader: &mut Reader<'_>) -> Checked<usize> {
    if field.packed {
        return check_packed(field, reader.delimited()?);
    }
    if field.kind.is_varint() {
        let value = reader.varint()?;
        if value == 0 && !field.optional {
            return written_default();
        }
        check_number(&field.kind, value)?;
        return Ok(1);
    }
    let value = reader.delimited()?;
    if value.is_empty() && !field.optional && !field.repeated && matches!(field.kind, Kind::Text { .. } | Kind::Bytes { .. }) {
        return written_default();
    }
    match &field.kind {
        Kind::Text { max_bytes, text } => text::check(*text, *max_bytes, value)?,
        Kind::Bytes { min, max } if !(*min..=*max).contains(&value.len()) => {
            let allowed = if min == max { format!("{min} bytes") } else { format!("{min} to {max} bytes") };
            return fault(Code::BytesLengthWrong, format!("{} bytes", value.len()), allowed);
        }
        Kind::Message(message) => check_message(message, value)?,
        _ => {}
    }
    Ok(1)
}

fn check_packed(field: &'static Field, bytes: &[u8]) -> Checked<usize> {
    if bytes.is_empty() {
        return fault(Code::NotCanonical, "an empty list written out", "nothing for an empty list");
    }
    let mut reader = Reader { bytes };
    let mut items = 0;
    while !reader.bytes.is_empty() {
        let value = reader.varint()?;
        check_number(&field.kind, value)?;
        items += 1;
    }
    Ok(items)
}

#[cold]
fn written_default() -> Checked<usize> {
    fault(Code::NotCanonical, "its default value written out", "nothing for the default value")
}

fn check_number(kind: &Kind, value: u64) -> Checked {
    match kind {
        Kind::Bool if value > 1 => fault(Code::NotCanonical, format!("{value}"), "0 or 1"),
        Kind::Enum(known) => check_enum(known, value),
        Kind::Unsigned { min, max } if !(*min..=*max).contains(&value) => out_of_range(value, min, max),
        Kind::Signed { min, max } => {
            let value = value.cast_signed();
            if (*min..=*max).contains(&value) { Ok(()) } else { out_of_range(value, min, max) }
        }
        Kind::Zigzag { min, max } => {
            let value = (value >> 1).cast_signed() ^ -(value & 1).cast_signed();
            if (*min..=*max).contains(&value) { Ok(()) } else { out_of_range(value, min, max) }
        }
        _ => Ok(()),
    }
}

fn check_enum(known: &[i32], value: u64) -> Checked {
    if value == 0 {
        return fault(Code::EnumZero, "0", "a named value");
    }
    match i32::try_from(value) {
        Ok(number) if known.contains(&number) => Ok(()),
        _ => fault(Code::EnumUnknown, format!("{}", value.cast_signed()), format!("one of {known:?}")),
    }
}

#[cold]
fn out_of_range<T: std::fmt::Display>(value: T, min: &T, max: &T) -> Checked {
    fault(Code::NumberOutOfRange, value.to_string(), format!("{min} to {max}"))
}

/// Reads the two things that a record's wire bytes consist of.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A variable-length integer in its shortest form.
    fn varint(&mut self) -> Checked<u64> {
        if let Some((&byte, rest)) = self.bytes.split_first()
            && byte < 0x80
        {
            self.bytes = rest;
            return Ok(byte.into());
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Checked<u64> {
        let mut value = 0;
        for position in 0..10 {
            let Some((&byte, rest)) = self.bytes.split_first() else {
                return fault(Code::RecordTruncated, "cut off within a number", "whole numbers");
            };
            self.bytes = rest;
            // The tenth byte holds the one bit that is left of 64.
            if position == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * position);
            if byte == 0 && position > 0 {
                return fault(Code::NotCanonical, "a number with needless bytes", "the shortest form");
            }
            if byte < 0x80 {
                return Ok(value);
            }
        }
        fault(Code::VarintTooLong, "a number of more than 64 bits", "at most 64 bits")
    }

    fn delimited(&mut self) -> Checked<&'a [u8]> {
        let length = self.varint()?;
        let parts = usize::try_from(length).ok().and_then(|length| self.bytes.split_at_checked(length));
        match parts {
            Some((value, rest)) => {
                self.bytes = rest;
                Ok(value)
            }
            None => fault(
                Code::RecordTruncated,
                format!("announced with {length} bytes, {} are left", self.bytes.len()),
                "whole fields",
            ),
        }
    }
}
