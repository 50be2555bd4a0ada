//! Who may sign what: facilities, keys, roles, revocations.

use std::collections::{BTreeMap, BTreeSet};

use marrowline_record::entry::Entry;
use marrowline_record::id::{Digest, Id16, KeyId, RecordId};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Role};

use crate::index::id16;
use crate::state::Upkeep;
use crate::state::upkeep::SignedRecord;

/// One role at one facility for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The role.
    pub role: Role,
    /// The facility.
    pub facility_id: Id16,
    /// First moment, Unix ms, inclusive.
    pub valid_from_ms: i64,
    /// Last moment, Unix ms, inclusive.
    pub valid_until_ms: i64,
}

/// The end of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The record.
    pub record_id: RecordId,
    /// Why.
    pub reason: String,
    /// Since when the key may have been in other hands.
    pub compromised_since_ms: Option<i64>,
}

/// An enrolled key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// Its holder.
    pub person_id: Id16,
    /// Name as printed beside each signature.
    pub printed_name: String,
    /// Ed25519 public key.
    pub public_key: [u8; 32],
    /// Roles.
    pub grants: Vec<Grant>,
    /// The record that enrolled it.
    pub granted_by: RecordId,
    /// Its end.
    pub revocation: Option<Revocation>,
}

/// A key of the log, which signs checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogKey {
    /// Ed25519 public key.
    pub public_key: [u8; 32],
    /// The record that brought it.
    pub record_id: RecordId,
    /// That record's leaf.
    pub since_index: u64,
}

/// The authority stream.
#[derive(Clone, Debug, Default)]
pub struct Authority {
    /// The founding: record, its digest, and what it says.
    pub founded: Option<(RecordId, Digest, pb::LedgerFounded)>,
    /// The log's keys, from the founding's on; the last one signs.
    pub log_keys: Vec<LogKey>,
    /// The rule set that judges the next record; 0 before the founding.
    pub rule_set: u32,
    /// Facilities by id.
    pub facilities: BTreeMap<Id16, pb::Facility>,
    /// Keys by id.
    pub keys: BTreeMap<KeyId, Key>,
    /// Records that were reaffirmed, each with the reaffirmation: a record of this stream, by its digest.
    pub reaffirmed: Vec<(Digest, Digest)>,
    /// Holds, deviations, signatures.
    pub upkeep: Upkeep,
}

impl Authority {
    /// The person who holds a key, revoked or not.
    pub fn person_of(&self, key: &KeyId) -> Option<Id16> {
        self.keys.get(key).map(|k| k.person_id)
    }

    /// An enrolled key, revoked or not.
    pub fn key(&self, key: &KeyId) -> Option<&Key> {
        self.keys.get(key)
    }

    /// A facility.
    pub fn facility(&self, id: &Id16) -> Option<&pb::Facility> {
        self.facilities.get(id)
    }

    /// Whether the ledger was founded as TRAINING.
    pub fn is_training(&self) -> bool {
        self.founded.as_ref().is_some_and(|(_, _, e)| e.training)
    }

    /// Whether a key may sign in a role at a facility at this time.
    pub fn holds_role(&self, key: &KeyId, role: Role, facility: &Id16, at_ms: i64) -> bool {
        self.keys.get(key).is_some_and(|key| {
            key.revocation.is_none()
                && key.grants.iter().any(|g| {
                    g.role == role && g.facility_id == *facility && g.valid_from_ms <= at_ms && at_ms <= g.valid_until_ms
                })
        })
    }

    /// Whether anything can be in doubt at all: a key was revoked as compromised.
    pub fn has_doubt(&self) -> bool {
        self.keys.values().any(|key| key.revocation.as_ref().is_some_and(|r| r.compromised_since_ms.is_some()))
    }

    /// Whether a key that signed was compromised when the ledger recorded it.
    fn is_compromised(&self, key_ids: &[KeyId], recorded_at_ms: i64) -> bool {
        let since = |key: &KeyId| self.keys.get(key)?.revocation.as_ref()?.compromised_since_ms;
        key_ids.iter().filter_map(since).any(|since| recorded_at_ms >= since)
    }

    /// Which records are in doubt: a key that signed it was compromised by then, or was granted by a record in doubt, and nobody has
    /// reaffirmed it with keys that were neither.
    pub fn doubts(&self) -> impl Fn(&SignedRecord) -> bool + '_ {
        let grants = self.grants_in_doubt();
        move |record| self.is_doubtful(record, &grants)
    }

    /// Records in doubt that granted keys.
    pub fn grants_in_doubt(&self) -> BTreeSet<RecordId> {
        if !self.has_doubt() {
            return BTreeSet::new();
        }
        let granting: BTreeSet<RecordId> = self.keys.values().map(|key| key.granted_by).collect();
        let records: Vec<&SignedRecord> =
            self.upkeep.signed.iter().filter(|record| granting.contains(&record.record_id)).collect();
        // First everything that a doubtful key had a hand in, whoever reaffirmed it; a grant comes before what its key signs. Then what
        // somebody has reaffirmed whose own key is not among these, as long as that frees any more.
        let mut doubted = BTreeSet::new();
        for record in &records {
            if self.is_signed_in_doubt(record, &doubted) {
                doubted.insert(record.record_id);
            }
        }
        loop {
            let doubtful = |record: &&&SignedRecord| doubted.contains(&record.record_id) && self.is_doubtful(record, &doubted);
            let still: BTreeSet<RecordId> = records.iter().filter(doubtful).map(|record| record.record_id).collect();
            if still.len() == doubted.len() {
                return still;
            }
            doubted = still;
        }
    }

    /// The founding is what everything rests on: whoever doubts it founds another ledger. Otherwise one revocation with a wrong year would end
    /// the ledger for good.
    fn is_signed_in_doubt(&self, record: &SignedRecord, grants: &BTreeSet<RecordId>) -> bool {
        let is_founding = self.founded.as_ref().is_some_and(|(id, _, _)| *id == record.record_id);
        let is_doubtful = |key: &KeyId| self.is_granted_in_doubt(key, grants);
        !is_founding && (self.is_compromised(&record.key_ids, record.recorded_at_ms) || record.key_ids.iter().any(is_doubtful))
    }

    fn is_granted_in_doubt(&self, key: &KeyId, grants: &BTreeSet<RecordId>) -> bool {
        self.keys.get(key).is_some_and(|key| grants.contains(&key.granted_by))
    }

    /// Whether a reaffirmation frees what it names: none of its keys was in other hands, and one at least was granted beyond doubt. A grant in
    /// doubt does not keep the other signatory from it, or a ledger with two founders could never be freed from a wrong date.
    fn frees(&self, reaffirmation: &SignedRecord, grants: &BTreeSet<RecordId>) -> bool {
        let is_beyond_doubt = |key: &KeyId| !self.is_granted_in_doubt(key, grants);
        !self.is_compromised(&reaffirmation.key_ids, reaffirmation.recorded_at_ms)
            && reaffirmation.key_ids.iter().any(is_beyond_doubt)
    }

    fn is_doubtful(&self, record: &SignedRecord, grants: &BTreeSet<RecordId>) -> bool {
        let counts = |by: &Digest| self.upkeep.signed.iter().any(|r| r.digest == *by && self.frees(r, grants));
        self.is_signed_in_doubt(record, grants)
            && !self.reaffirmed.iter().any(|(target, by)| *target == record.digest && counts(by))
    }

    /// Adds the next record.
    pub fn fold(&mut self, entry: &Entry) {
        self.upkeep.fold(entry);
        match &entry.record.event {
            Some(Event::LedgerFounded(e)) => {
                if self.founded.is_none() {
                    self.founded = Some((entry.record_id(), entry.digest, e.clone()));
                    self.rule_set = e.rule_set;
                    self.sign_with(entry, &e.log_public_key);
                }
                if let Some(facility) = &e.first_facility {
                    self.register(facility);
                }
                for grant in &e.grants {
                    self.grant(entry.record_id(), grant);
                }
            }
            Some(Event::FacilityRegistered(e)) => {
                if let Some(facility) = &e.facility {
                    self.register(facility);
                }
            }
            Some(Event::KeyGranted(e)) => {
                if let Some(grant) = &e.grant {
                    self.grant(entry.record_id(), grant);
                }
            }
            Some(Event::KeyRevoked(e)) => self.revoke(entry.record_id(), e),
            Some(Event::LogKeyRotated(e)) => self.sign_with(entry, &e.log_public_key),
            Some(Event::RuleSetAdopted(e)) => self.rule_set = e.rule_set,
            Some(Event::RecordReaffirmed(e)) => {
                let named = e.records.iter().filter_map(|r| Digest::from_slice(&r.digest));
                self.reaffirmed.extend(named.map(|target| (target, entry.digest)));
            }
            _ => {}
        }
    }

    fn sign_with(&mut self, entry: &Entry, public_key: &[u8]) {
        if let Ok(public_key) = public_key.try_into() {
            self.log_keys.push(LogKey { public_key, record_id: entry.record_id(), since_index: entry.index });
        }
    }

    /// A facility that is known already has these racks from now on. What is in a rack that is not listed any more stays there.
    fn register(&mut self, facility: &pb::Facility) {
        let known = self.facilities.entry(Id16(id16(&facility.facility_id))).or_insert_with(|| facility.clone());
        known.racks.clone_from(&facility.racks);
    }

    fn grant(&mut self, record_id: RecordId, grant: &pb::KeyGrant) {
        let Some(key) = key_of(record_id, grant) else {
            return;
        };
        // Roles that are granted to a key that is enrolled already are added to it.
        match self.keys.get_mut(&key.id) {
            Some(enrolled) => enrolled.grants.extend(key.grants),
            None => {
                self.keys.insert(key.id, key);
            }
        }
    }

    fn revoke(&mut self, record_id: RecordId, e: &pb::KeyRevoked) {
        let Ok(id) = e.key_id.as_slice().try_into().map(KeyId) else {
            return;
        };
        let Some(key) = self.keys.get_mut(&id) else {
            return;
        };
        let since = e.compromised_since.as_ref().map(|i| i.unix_ms);
        match &mut key.revocation {
            // A second revocation can only widen the doubt.
            Some(revocation) => {
                revocation.compromised_since_ms = match (revocation.compromised_since_ms, since) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
            }
            None => {
                key.revocation = Some(Revocation { record_id, reason: e.reason.clone(), compromised_since_ms: since });
            }
        }
    }
}

/// A grant as a key; `None` if its public key has not 32 bytes, which the shape check refuses.
pub(crate) fn key_of(record_id: RecordId, grant: &pb::KeyGrant) -> Option<Key> {
    let public_key: [u8; 32] = grant.public_key.as_slice().try_into().ok()?;
    Some(Key {
        id: KeyId::of(&public_key),
        person_id: Id16(id16(&grant.person_id)),
        printed_name: grant.printed_name.clone(),
        public_key,
        grants: grant
            .roles
            .iter()
            .map(|role| Grant {
                role: role.role(),
                facility_id: Id16(id16(&role.facility_id)),
                valid_from_ms: role.valid_from.as_ref().map_or(i64::MAX, |i| i.unix_ms),
                valid_until_ms: role.valid_until.as_ref().map_or(i64::MIN, |i| i.unix_ms),
            })
            .collect(),
        granted_by: record_id,
        revocation: None,
    })
}

/// The person behind a key of a founding record, which carries its own keys.
pub(crate) fn founding_person(event: &Event, key: &KeyId) -> Option<Id16> {
    let Event::LedgerFounded(e) = event else {
        return None;
    };
    e.grants
        .iter()
        .find(|g| g.public_key.as_slice().try_into().is_ok_and(|k: [u8; 32]| KeyId::of(&k) == *key))
        .map(|g| Id16(id16(&g.person_id)))
}
