//! Who is asking: tokens, checked against committed keys and remembered for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use marrowline_api::{errors, token};
use marrowline_ledger::{Ledger, Snapshot};
use marrowline_record::id::{Id16, KeyId};
use marrowline_record::pb::Role;
use marrowline_rules::View;
use marrowline_rules::state::Authority;
use tonic::Status;
use tonic::metadata::MetadataMap;

/// Most tokens that are remembered.
const REMEMBERED: usize = 10_000;

/// Checks tokens.
#[derive(Clone)]
pub struct Auth {
    ledger: Ledger,
    known: Arc<Mutex<HashMap<String, token::Token>>>,
}

/// The person who is asking.
#[derive(Clone, Debug)]
pub struct Person {
    /// The key of the token.
    pub key_id: KeyId,
    /// Roles in force now, each at a facility.
    pub roles: Vec<(Role, Id16)>,
}

impl Person {
    /// Whether the person holds a role anywhere.
    pub fn is(&self, role: Role) -> bool {
        self.roles.iter().any(|(r, _)| *r == role)
    }
}

fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

impl Auth {
    /// Checks tokens against this ledger's committed keys.
    pub fn new(ledger: Ledger) -> Auth {
        Auth { ledger, known: Arc::default() }
    }

    /// The key behind a call's token.
    pub fn key(&self, metadata: &MetadataMap) -> Result<KeyId, Status> {
        let header = metadata.get("authorization").and_then(|v| v.to_str().ok());
        let Some(text) = header.and_then(|h| h.strip_prefix("Bearer ")) else {
            return Err(errors::token("TOKEN_MISSING", "no `authorization: Bearer` header"));
        };
        let now = now_s();
        let keys = self.ledger.keyring();
        let remembered = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(text).copied();
        if let Some(token) = remembered.filter(|t| now < t.expires_s) {
            return Ok(token.key_id);
        }
        let origin = self.ledger.origin().map(|o| o.to_string()).unwrap_or_default();
        let token = token::check(text, &origin, now, keys.as_ref()).map_err(|e| errors::token(e.code(), &e.to_string()))?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(text.to_owned(), token);
        Ok(token.key_id)
    }

    /// The person behind a call's token, with the roles in force at the ledger's time. A revoked key reads nothing.
    pub fn person(&self, metadata: &MetadataMap) -> Result<Person, Status> {
        let key_id = self.key(metadata)?;
        let snapshot = self.ledger.snapshot();
        person(&snapshot.authority(), key_id, snapshot.now_ms())
    }

    /// The person behind a key, for deciding what of an answer they may read; without any role if the key was revoked.
    pub fn reader(&self, key_id: KeyId, snapshot: &Snapshot) -> Person {
        let nobody = Person { key_id, roles: Vec::new() };
        person(&snapshot.authority(), key_id, snapshot.now_ms()).unwrap_or(nobody)
    }
}

fn person(authority: &Authority, key_id: KeyId, now_ms: i64) -> Result<Person, Status> {
    let Some(key) = authority.key(&key_id).filter(|k| k.revocation.is_none()) else {
        return Err(errors::token("TOKEN_KEY_REVOKED", "the token's key was revoked"));
    };
    Ok(Person {
        key_id,
        roles: key
            .grants
            .iter()
            .filter(|g| g.valid_from_ms <= now_ms && now_ms <= g.valid_until_ms)
            .map(|g| (g.role, g.facility_id))
            .collect(),
    })
}
