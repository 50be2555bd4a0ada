//! The files of a ledger's folder: keys, certificates, store.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use marrowline_attachments::Attachments;
use marrowline_client::Draft;
use marrowline_ledger::memory::MemoryStore;
use marrowline_ledger::{Ledger, LogKeys, SystemTimeSource};
use marrowline_merkle::VerifierKey;
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};
use marrowline_record::stream::AUTHORITY_ID;
use marrowline_server::Tls;
use marrowline_store::{LocalStore, OpenReport};

use crate::failure::Failure;
use crate::pki;

/// The file of a key that is to follow the log's.
pub const SUCCESSOR: &str = "log.next.key";

/// A ledger's folder.
pub struct Home {
    folder: PathBuf,
}

/// Someone who founds a ledger.
pub struct Founder {
    /// Their key.
    pub key: SigningKey,
    /// Their grant.
    pub grant: pb::KeyGrant,
}

/// What a founding needs.
pub struct Founding {
    /// Name of the ledger.
    pub name: String,
    /// The rule set that judges from the start.
    pub rule_set: u32,
    /// TRAINING or not.
    pub training: bool,
    /// The first facility.
    pub facility: pb::Facility,
    /// A key administrator first, then QA, then others.
    pub founders: Vec<Founder>,
    /// When.
    pub at: pb::Instant,
    /// Host names and addresses of the server's certificate.
    pub hosts: Vec<String>,
}

impl Home {
    /// The folder of a ledger.
    pub fn new(folder: &Path) -> Home {
        Home { folder: folder.to_owned() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes keys and certificates, and appends the founding record. Refuses a folder that holds a ledger.
    pub fn found(&self, founding: &Founding) -> Result<VerifierKey, Failure> {
        if self.path("log.key").exists() {
            return Err(Failure::usage(format!("{} holds a ledger already", self.folder.display())));
        }
        let log_key = marrowline_client::generate().map_err(Failure::unexpected)?;
        rehearse(&log_key, founding)?;
        fs::create_dir_all(&self.folder).map_err(|e| Failure::file(&self.folder, &e))?;
        let pem = log_key.to_pkcs8_pem(pkcs8_line_ending()).map_err(Failure::unexpected)?;
        self.write_secret("log.key", pem.as_str())?;
        let (authority, server) = pki::authority_and_server(&founding.name, &founding.hosts).map_err(Failure::unexpected)?;
        self.write("ca.pem", &authority.certificate_pem)?;
        self.write_secret("ca.key", &authority.key_pem)?;
        self.write("server.pem", &server.certificate_pem)?;
        self.write_secret("server.key", &server.key_pem)?;
        let (ledger, _) = self.open(&mut |_, _| {})?;
        let result = append_founding(&ledger, &log_key, founding);
        ledger.shutdown();
        result?;
        let key = ledger.verifier_key().ok_or_else(|| Failure::unexpected("the ledger has no origin after its founding"))?;
        self.write("log.vkey", &format!("{key}\n"))?;
        Ok(key)
    }

    /// Opens the store and the ledger on it.
    pub fn open(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<(Ledger, OpenReport), Failure> {
        let log_keys = self.log_keys()?;
        let (store, report) = LocalStore::open(&self.folder.join("store"), progress).map_err(|e| Failure::store(&e))?;
        let ledger =
            Ledger::open(Box::new(store), log_keys, Box::new(SystemTimeSource::default())).map_err(Failure::integrity)?;
        self.settle_log_key(&ledger)?;
        Ok((ledger, report))
    }

    /// The store's folder.
    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// The attachments, which no server may have open: in the bucket that is named, or in the ledger's folder.
    pub fn attachments(&self, bucket: Option<&str>) -> Result<Attachments, Failure> {
        match bucket {
            Some(url) => Attachments::in_bucket(url).map_err(Failure::usage),
            None => Attachments::open(&self.path("attachments")).map_err(Failure::unexpected),
        }
    }

    /// The attachments' folder.
    pub fn attachments_folder(&self) -> PathBuf {
        self.path("attachments")
    }

    fn log_keys(&self) -> Result<LogKeys, Failure> {
        let read = |name: &str| {
            let pem = self.read(name)?;
            SigningKey::from_pkcs8_pem(&pem).map_err(|e| Failure::key(format!("{}: {e}", self.path(name).display())))
        };
        let successor = self.path(SUCCESSOR).exists().then(|| read(SUCCESSOR)).transpose()?;
        Ok(LogKeys { present: read("log.key")?, successor })
    }

    /// Once the successor signs, it takes the place of the key before it, which nothing needs any more: whoever still had it could sign a
    /// forged history for those who have not followed.
    fn settle_log_key(&self, ledger: &Ledger) -> Result<(), Failure> {
        let (Some(key), true) = (ledger.verifier_key(), self.path(SUCCESSOR).exists()) else {
            return Ok(());
        };
        let successor = self.log_keys()?.successor.map(|key| key.verifying_key());
        if successor.as_ref() == Some(key.public_key()) {
            replace_public(&self.path("log.vkey"), &format!("{key}\n"))?;
            rename(&self.path(SUCCESSOR), &self.path("log.key"))?;
        }
        Ok(())
    }

    /// The server's certificate.
    pub fn tls(&self) -> Result<Tls, Failure> {
        Ok(Tls { certificate_pem: self.read("server.pem")?, key_pem: self.read("server.key")? })
    }

    /// A file of the folder, as text.
    pub fn read(&self, name: &str) -> Result<String, Failure> {
        let path = self.path(name);
        fs::read_to_string(&path).map_err(|e| Failure::file(&path, &e))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.path(name);
        write_durably(&path, text, fs::OpenOptions::new().create(true).truncate(true).mode(0o644))
    }

    /// Writes a file of the folder that only its owner reads, and that was not there before.
    pub fn write_secret(&self, name: &str, text: &str) -> Result<(), Failure> {
        write_secret(&self.path(name), text)
    }
}

/// Writes a file that only its owner reads, and that was not there before.
pub fn write_secret(path: &Path, text: &str) -> Result<(), Failure> {
    write_durably(path, text, fs::OpenOptions::new().create_new(true).mode(0o600))
}

/// A ledger whose certificates or public key are empty after a power cut cannot be served: file and folder are synced.
fn write_durably(path: &Path, text: &str, options: &mut fs::OpenOptions) -> Result<(), Failure> {
    let mut write = || {
        let mut file = options.write(true).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::File::open(folder)?.sync_all()
    };
    write().map_err(|e| Failure::file(path, &e))
}

/// Writes a public file whole, in place of the one that is there: a reader sees the old text or the new one.
pub fn replace_public(path: &Path, text: &str) -> Result<(), Failure> {
    let new = path.with_extension("new");
    write_durably(&new, text, fs::OpenOptions::new().create(true).truncate(true).mode(0o644))?;
    rename(&new, path)
}

fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let renamed = fs::rename(from, to).and_then(|()| fs::File::open(folder)?.sync_all());
    renamed.map_err(|e| Failure::file(to, &e))
}

/// PEM is written with line feeds.
pub fn pkcs8_line_ending() -> ed25519_dalek::pkcs8::spki::der::pem::LineEnding {
    ed25519_dalek::pkcs8::spki::der::pem::LineEnding::LF
}

/// Founds a ledger in memory first: a founding that is refused must leave no half-made folder behind.
fn rehearse(log_key: &SigningKey, founding: &Founding) -> Result<(), Failure> {
    let time = Box::new(SystemTimeSource::default());
    let ledger = Ledger::open(Box::new(MemoryStore::default()), log_key.clone(), time).map_err(Failure::integrity)?;
    let result = append_founding(&ledger, log_key, founding);
    ledger.shutdown();
    result
}

fn append_founding(ledger: &Ledger, log_key: &SigningKey, founding: &Founding) -> Result<(), Failure> {
    let event = Event::LedgerFounded(pb::LedgerFounded {
        name: founding.name.clone(),
        training: founding.training,
        log_public_key: log_key.verifying_key().as_bytes().to_vec(),
        rule_set: founding.rule_set,
        first_facility: Some(founding.facility.clone()),
        grants: founding.founders.iter().map(|f| f.grant.clone()).collect(),
    });
    let facility = founding.facility.facility_id.as_slice().try_into().unwrap_or([0; 16]);
    let draft = Draft::new(&founding.name, event, founding.at)?
        .slot(Role::KeyAdministrator, Meaning::Approved, facility)
        .slot(Role::QualityAssurance, Meaning::Approved, facility)
        .stream(StreamKind::Authority, AUTHORITY_ID, None);
    let bytes = draft.encode();
    let signings =
        (0u8..2).zip(&founding.founders).map(|(slot, founder)| draft.sign(&bytes, slot, &founder.key, &founding.at)).collect();
    let opened = marrowline_record::open(bytes, signings, ledger.keyring().as_ref()).map_err(Failure::unexpected)?;
    let answer = ledger.submit(vec![opened]).map_err(Failure::unexpected)?;
    answer
        .blocking_recv()
        .map_err(Failure::unexpected)?
        .map_err(|refusal| Failure::refused(&marrowline_api::errors::refusal(&refusal)))?;
    Ok(())
}
