//! Plays a history of your own against the rules and prints every row whose answer differs from the one written in its last cell:
//!
//!     cargo run -p marrowline-rules --features testing --example play -- my_story.txt
//!
//! The language is told in `crates/rules/histories/README.md`; `include` finds the histories of that folder, and those beside the file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use marrowline_rules::testing;

fn main() -> ExitCode {
    let Some(story) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: play FILE.txt");
        return ExitCode::from(2);
    };
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("histories");
    let beside = story.parent().map(Path::to_path_buf).unwrap_or_default();
    let read = |file: &str| {
        let own = beside.join(file);
        let path = if own.is_file() { own } else { shipped.join(file) };
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let name = story.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    match testing::play(&name, &read) {
        Ok(rows) => {
            println!("{rows} rows, each as it says");
            ExitCode::SUCCESS
        }
        Err(differences) => {
            println!("{differences}");
            ExitCode::FAILURE
        }
    }
}
