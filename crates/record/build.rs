//! Generates, from the proto files: the messages (prost), the tables of the shape check, the list of events, the descriptor set.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost_reflect::{DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

/// The proto files that records consist of. Services and what only they use belong to the `api` crate.
const FILES: &[&str] =
    &["authority", "custody", "donor", "lot", "protocol", "quality", "record", "shape", "specification", "subject", "types"];

const RECORD: &str = "marrowline.v1.Record";

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let proto = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let names: Vec<String> = FILES.iter().map(|f| format!("marrowline/v1/{f}.proto")).collect();
    for name in &names {
        println!("cargo:rerun-if-changed={}", proto.join(name).display());
    }
    println!("cargo:rerun-if-changed=build.rs");

    let mut compiler = protox::Compiler::new([&proto])?;
    compiler.include_imports(true).include_source_info(true).open_files(&names)?;
    prost_build::Config::new().compile_fds(compiler.file_descriptor_set())?;

    compiler.include_source_info(false);
    let descriptors = compiler.encode_file_descriptor_set();
    let pool = DescriptorPool::decode(descriptors.as_slice())?;
    fs::write(out.join("descriptors.binpb"), &descriptors)?;
    fs::write(out.join("tables.rs"), tables(&pool)?)?;
    fs::write(out.join("event.rs"), events(&pool)?)?;
    Ok(())
}

/// The static tables: one `Message` for each message that a record can hold.
fn tables(pool: &DescriptorPool) -> Result<String, Failure> {
    let record = pool.get_message_by_name(RECORD).ok_or("no Record")?;
    let mut pending = vec![record];
    let mut done: Vec<String> = Vec::new();
    let mut out = String::new();
    while let Some(message) = pending.pop() {
        if done.iter().any(|n| n == message.full_name()) {
            continue;
        }
        done.push(message.full_name().to_owned());
        write_message(&mut out, &message)?;
        for field in message.fields() {
            if let Kind::Message(inner) = field.kind() {
                pending.push(inner);
            }
        }
    }
    Ok(out)
}

fn static_name(message: &MessageDescriptor) -> String {
    let mut out = String::new();
    for c in message.name().chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}

fn write_message(out: &mut String, message: &MessageDescriptor) -> Result<(), Failure> {
    let mut fields: Vec<FieldDescriptor> = message.fields().collect();
    fields.sort_by_key(FieldDescriptor::number);
    let in_oneof = |f: &FieldDescriptor| f.containing_oneof().is_some() && !is_optional(f);
    // Encoders disagree on where a oneof goes unless its tags are the highest.
    if !fields.is_sorted_by_key(in_oneof) {
        return Err(format!("{}: the oneof must have the highest tags", message.full_name()).into());
    }
    let oneofs = fields.iter().filter(|f| in_oneof(f)).filter_map(FieldDescriptor::containing_oneof);
    let mut oneof_names: Vec<String> = oneofs.map(|o| o.name().to_owned()).collect();
    oneof_names.dedup();
    if oneof_names.len() > 1 {
        return Err(format!("{}: more than one oneof", message.full_name()).into());
    }
    writeln!(out, "pub(super) static {}: Message = Message {{ fields: &[", static_name(message))?;
    for field in &fields {
        write_field(out, field, in_oneof(field))?;
    }
    writeln!(out, "] }};")?;
    Ok(())
}

fn is_optional(field: &FieldDescriptor) -> bool {
    field.field_descriptor_proto().proto3_optional()
}

/// The (shape) option of a field.
struct Shape(Option<DynamicMessage>);

impl Shape {
    fn of(field: &FieldDescriptor) -> Shape {
        let Some(extension) = field.parent_message().parent_pool().get_extension_by_name("marrowline.v1.shape") else {
            return Shape(None);
        };
        let options = field.options();
        if !options.has_extension(&extension) {
            return Shape(None);
        }
        Shape(options.get_extension(&extension).as_message().cloned())
    }

    fn number(&self, name: &str) -> Option<i128> {
        let message = self.0.as_ref()?;
        if !message.has_field_by_name(name) {
            return None;
        }
        let value = message.get_field_by_name(name)?;
        value
            .as_i64()
            .map(i128::from)
            .or_else(|| value.as_u32().map(i128::from))
            .or_else(|| value.as_enum_number().map(i128::from))
    }

    fn is_required(&self) -> bool {
        self.0.as_ref().and_then(|m| m.get_field_by_name("required").and_then(|v| v.as_bool())) == Some(true)
    }
}

fn write_field(out: &mut String, field: &FieldDescriptor, in_oneof: bool) -> Result<(), Failure> {
    let shape = Shape::of(field);
    let optional = is_optional(field);
    let plain_number = number_range(&field.kind()).is_some() && !optional && !field.is_list();
    let min_items = shape.number("min_items").unwrap_or(0);
    let required = if in_oneof {
        false
    } else if field.is_list() {
        min_items > 0
    } else if optional {
        shape.is_required()
    } else if plain_number {
        shape.number("min").is_none_or(|min| min > 0)
    } else {
        !matches!(field.kind(), Kind::Bool)
    };
    writeln!(
        out,
        "Field {{ name: {:?}, tag: {}, kind: {}, repeated: {}, packed: {}, optional: {}, required: {}, in_oneof: {}, min_items: {}, max_items: {} }},",
        field.name(),
        field.number(),
        kind(field, &shape, plain_number)?,
        field.is_list(),
        field.is_packed(),
        optional,
        required,
        in_oneof,
        min_items,
        shape.number("max_items").unwrap_or(64),
    )?;
    Ok(())
}

/// How a number is written, and what its type can hold.
fn number_range(kind: &Kind) -> Option<(&'static str, i128, i128)> {
    Some(match kind {
        Kind::Uint32 => ("Unsigned", 0, i128::from(u32::MAX)),
        Kind::Uint64 => ("Unsigned", 0, i128::from(u64::MAX)),
        Kind::Int32 => ("Signed", i128::from(i32::MIN), i128::from(i32::MAX)),
        Kind::Int64 => ("Signed", i128::from(i64::MIN), i128::from(i64::MAX)),
        Kind::Sint32 => ("Zigzag", i128::from(i32::MIN), i128::from(i32::MAX)),
        Kind::Sint64 => ("Zigzag", i128::from(i64::MIN), i128::from(i64::MAX)),
        _ => return None,
    })
}

fn kind(field: &FieldDescriptor, shape: &Shape, plain_number: bool) -> Result<String, Failure> {
    if let Some((encoding, type_min, type_max)) = number_range(&field.kind()) {
        let default_min = if encoding == "Unsigned" && (plain_number || field.is_list()) { 1 } else { type_min };
        let min = shape.number("min").unwrap_or(default_min).max(type_min);
        let max = shape.number("max").unwrap_or(type_max).min(type_max);
        return Ok(format!("Kind::{encoding} {{ min: {min}, max: {max} }}"));
    }
    let exact = shape.number("exact_bytes");
    let max_bytes = exact.or(shape.number("max_bytes"));
    Ok(match field.kind() {
        Kind::Bool => "Kind::Bool".to_owned(),
        Kind::Enum(e) => format!("Kind::Enum(&{:?})", enum_numbers(&e)),
        Kind::String => {
            let text = match shape.number("text").unwrap_or(0) {
                0 => "Line",
                1 => "Code",
                2 => "Lines",
                3 => "Din",
                4 => "Decimal",
                5 => "SingleEuropeanCode",
                n => return Err(format!("{}: unknown text kind {n}", field.full_name()).into()),
            };
            format!("Kind::Text {{ max_bytes: {}, text: Text::{text} }}", max_bytes.unwrap_or(200))
        }
        Kind::Bytes => {
            format!("Kind::Bytes {{ min: {}, max: {} }}", exact.unwrap_or(1), max_bytes.unwrap_or(64))
        }
        Kind::Message(message) => format!("Kind::Message(&{})", static_name(&message)),
        other => {
            return Err(format!("{}: records have no fields of kind {other:?}", field.full_name()).into());
        }
    })
}

fn enum_numbers(descriptor: &EnumDescriptor) -> Vec<i32> {
    let mut numbers: Vec<i32> = descriptor.values().map(|v| v.number()).filter(|n| *n != 0).collect();
    numbers.sort_unstable();
    numbers
}

/// `EventKind`: one value for each member of the record's oneof.
fn events(pool: &DescriptorPool) -> Result<String, Failure> {
    let record = pool.get_message_by_name(RECORD).ok_or("no Record")?;
    let event = record.oneofs().find(|o| o.name() == "event").ok_or("no event")?;
    let mut members: Vec<(u32, String, String)> =
        event.fields().map(|f| (f.number(), camel(f.name()), f.name().to_owned())).collect();
    members.sort();
    let each = |write: &dyn Fn(&(u32, String, String)) -> String| members.iter().map(write).collect::<String>();
    Ok(format!(
        "/// The kind of an event; its number is the field's tag in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum EventKind {{ {} }}
const ALL: &[EventKind] = &[{}];
fn of(event: &Event) -> EventKind {{ match event {{ {} }} }}
fn name(kind: EventKind) -> &'static str {{ match kind {{ {} }} }}
fn field_name(kind: EventKind) -> &'static str {{ match kind {{ {} }} }}
",
        each(&|(tag, name, _)| format!("/// `{name}`, tag {tag}.\n{name} = {tag},\n")),
        each(&|(_, name, _)| format!("EventKind::{name},\n")),
        each(&|(_, name, _)| format!("Event::{name}(_) => EventKind::{name},\n")),
        each(&|(_, name, _)| format!("EventKind::{name} => {name:?},\n")),
        each(&|(_, name, field)| format!("EventKind::{name} => {field:?},\n")),
    ))
}

fn camel(name: &str) -> String {
    name.split('_')
        .map(|word| {
            let mut chars = word.chars();
            chars.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(chars).collect::<String>()
        })
        .collect()
}
