//! `key new`, `key show`, and passphrases.

use std::fs;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use marrowline_record::id::KeyId;

use crate::args::{Key, KeyCommand, Output};
use crate::exit::say;
use crate::failure::Failure;
use crate::home::write_secret;

/// Runs `key …`.
pub fn run(key: &Key, output: Output) -> Result<(), Failure> {
    match &key.command {
        KeyCommand::New { out, passphrase_file } => {
            let passphrase = new_passphrase(passphrase_file.as_deref())?;
            let key = marrowline_client::generate().map_err(Failure::unexpected)?;
            let pem = marrowline_client::encrypt(&key, &passphrase).map_err(Failure::unexpected)?;
            write_secret(out, &pem)?;
            show(&key, output);
            Ok(())
        }
        KeyCommand::Show { file, passphrase_file } => {
            show(&load(file, passphrase_file.as_deref())?, output);
            Ok(())
        }
    }
}

fn show(key: &SigningKey, output: Output) {
    let public = key.verifying_key();
    let (digits, key_id) = (hex::encode(public.as_bytes()), KeyId::of(public.as_bytes()));
    if output == Output::Json {
        say!("{:#}", serde_json::json!({"public_key": digits, "key_id": key_id.to_string()}));
        return;
    }
    say!("public key  {digits}");
    say!("key id      {key_id}");
}

/// Opens a key file; the passphrase comes from a file or is asked for.
pub fn load(file: &Path, passphrase_file: Option<&Path>) -> Result<SigningKey, Failure> {
    let pem = fs::read_to_string(file).map_err(|e| unreadable(file, &e))?;
    let passphrase = match passphrase_file {
        Some(path) => from_file(path)?,
        None => ask(&format!("passphrase of {}: ", file.display()))?,
    };
    marrowline_client::decrypt(&pem, &passphrase).map_err(|e| Failure::key(format!("{}: {e}", file.display())))
}

/// A file that is not there was named wrongly; one that may not be read is a key that is missing.
fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::NotFound => Failure::file(path, error),
        _ => Failure::key(format!("{}: {error}", path.display())),
    }
}

fn from_file(path: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(path).map_err(|e| unreadable(path, &e))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn ask(prompt: &str) -> Result<String, Failure> {
    rpassword::prompt_password(prompt).map_err(|e| Failure::key(format!("no passphrase: {e}; give --passphrase-file")))
}

fn new_passphrase(file: Option<&Path>) -> Result<String, Failure> {
    let passphrase = match file {
        Some(path) => from_file(path)?,
        None => {
            let first = ask("new passphrase: ")?;
            if first != ask("once more: ")? {
                return Err(Failure::usage("the two passphrases differ"));
            }
            first
        }
    };
    if passphrase.chars().count() < 8 {
        return Err(Failure::usage("the passphrase has fewer than 8 characters"));
    }
    Ok(passphrase)
}

/// Opens several key files, in order.
pub fn load_all(files: &[PathBuf], passphrase_file: Option<&Path>) -> Result<Vec<SigningKey>, Failure> {
    files.iter().map(|file| load(file, passphrase_file)).collect()
}
