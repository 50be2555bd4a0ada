//! The files of the workspace, as text.

use std::fs;
use std::path::{Path, PathBuf};

use crate::ChoreError;

/// The workspace's root.
pub fn root() -> PathBuf {
    let mut path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    path.pop();
    path.pop();
    path
}

/// A file's text, or an error that names it.
pub fn read(path: &Path) -> Result<String, ChoreError> {
    fs::read_to_string(path).map_err(|source| ChoreError::Read { path: path.display().to_string(), source })
}

/// Files below `folder` with this ending, sorted; hidden folders and build output are passed over.
pub fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, ChoreError> {
    let mut found = Vec::new();
    if folder.exists() {
        collect(folder, ending, &mut found)?;
    }
    found.sort();
    Ok(found)
}

fn collect(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) -> Result<(), ChoreError> {
    let error = |source| ChoreError::Read { path: folder.display().to_string(), source };
    for item in fs::read_dir(folder).map_err(error)? {
        let path = item.map_err(error)?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with('.') || name == "target" || name == "vectors" {
            continue;
        }
        if path.is_dir() {
            collect(&path, ending, found)?;
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
    Ok(())
}

/// The path as seen from the root.
pub fn short(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
