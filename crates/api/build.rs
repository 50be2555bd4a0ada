//! Generates the services from `proto/` without protoc. Messages of records are those of the record crate.

use std::error::Error;
use std::path::{Path, PathBuf};

/// Files whose messages the record crate has.
const RECORD_FILES: &[&str] = &[
    "shape",
    "types",
    "authority",
    "protocol",
    "specification",
    "donor",
    "lot",
    "quality",
    "custody",
    "subject",
    "supplies",
    "record",
];
/// Files that are generated here.
const SERVICE_FILES: &[&str] = &[
    "view",
    "ledger_service",
    "transparency_service",
    "custody_service",
    "clock_service",
    "countersign_service",
    "attachment_service",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let path = |name: &&str| format!("marrowline/v1/{name}.proto");
    let files: Vec<String> = RECORD_FILES.iter().chain(SERVICE_FILES).map(path).collect();
    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    let set = compiler.file_descriptor_set();

    let mut builder = tonic_prost_build::configure().build_transport(true);
    let records: Vec<String> = RECORD_FILES.iter().map(path).collect();
    for file in set.file.iter().filter(|f| records.iter().any(|r| Path::new(r) == Path::new(f.name()))) {
        let messages = file.message_type.iter().map(|m| m.name().to_owned());
        for name in messages.chain(file.enum_type.iter().map(|e| e.name().to_owned())) {
            builder = builder.extern_path(format!(".marrowline.v1.{name}"), format!("::marrowline_record::pb::{name}"));
        }
    }
    builder.compile_fds(set)?;
    Ok(())
}
