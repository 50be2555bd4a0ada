//! What a rule works with: the record, who signed it, the time that it is judged at, and the list that findings go to.

use std::sync::Arc;

use marrowline_record::id::{Digest, Id16, KeyId, RecordId};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};
use marrowline_record::signing::Signing;

use crate::codes::{Class, Code};
use crate::finding::{Finding, Look};
use crate::state::Authority;
use crate::table::Category;
use crate::view::View;

/// One signature of the record, with the person behind the key.
#[derive(Clone, Debug)]
pub struct Signer {
    /// Slot, from 0.
    pub slot: u8,
    /// The key.
    pub key_id: KeyId,
    /// The person, if the key is known.
    pub person_id: Option<Id16>,
    /// Role of the slot.
    pub role: Role,
    /// Meaning of the slot.
    pub meaning: Meaning,
    /// Facility of the slot.
    pub facility_id: Id16,
    /// When it was signed, by the signer's clock.
    pub signed_at_ms: i64,
}

/// A record on its way through the rules.
pub struct Context<'a> {
    /// The ledger.
    pub view: &'a dyn View,
    /// The rule set that judges.
    pub rule_set: u32,
    /// The authority stream.
    pub authority: Arc<Authority>,
    /// The record.
    pub record: &'a pb::Record,
    /// Its digest.
    pub digest: Digest,
    /// Its signings, by slot.
    pub signings: &'a [Signing],
    /// How it is treated.
    pub category: Category,
    /// The ledger's time.
    pub recorded_at_ms: i64,
    /// The event's time.
    pub occurred_at_ms: i64,
    /// Who signed.
    pub signers: Vec<Signer>,
    pub(crate) findings: Vec<Finding>,
}

impl<'a> Context<'a> {
    /// The time that the record is judged at: the ledger's for an authorisation, the event's for a fact or a stop (law 2).
    pub fn judged_at_ms(&self) -> i64 {
        match self.category {
            Category::Authorisation => self.recorded_at_ms,
            Category::Fact | Category::Stop => self.occurred_at_ms,
        }
    }

    /// The event. Absent never: the shape check refuses a record without one.
    pub fn event(&self) -> Option<&'a Event> {
        self.record.event.as_ref()
    }

    /// Adds a finding. Whether it refuses or flags is decided at the end, by the code's class and the record's category.
    pub fn find(&mut self, code: &'static Code, found: impl Into<String>, allowed: impl Into<String>, look_at: Vec<Look>) {
        #[cfg(feature = "testing")]
        if crate::testing::is_disabled(code) {
            return;
        }
        self.findings.push(Finding { code, found: found.into(), allowed: allowed.into(), look_at });
    }

    /// Adds a finding unless `holds`.
    pub fn demand(
        &mut self,
        holds: bool,
        code: &'static Code,
        found: impl FnOnce() -> String,
        allowed: impl FnOnce() -> String,
        look_at: impl FnOnce() -> Vec<Look>,
    ) {
        if !holds {
            self.find(code, found(), allowed(), look_at());
        }
    }

    /// Ids of the streams of this kind that the record extends.
    pub fn stream_ids(&self, kind: StreamKind) -> impl Iterator<Item = Id16> + use<'a> {
        self.record.streams.iter().filter(move |s| s.kind() == kind).map(|s| Id16(crate::index::id16(&s.id)))
    }

    /// Id of the only stream of this kind; zeros if there is none, which the frame has refused by then.
    pub fn stream_id(&self, kind: StreamKind) -> Id16 {
        self.stream_ids(kind).next().unwrap_or(Id16([0; 16]))
    }

    /// Whether this person signed the record.
    pub fn signed_by(&self, person: &Id16) -> bool {
        self.signers.iter().any(|s| s.person_id.as_ref() == Some(person))
    }

    /// The people who signed.
    pub fn people(&self) -> impl Iterator<Item = Id16> + '_ {
        self.signers.iter().filter_map(|s| s.person_id)
    }

    /// Whether any finding so far refuses the record.
    pub fn is_refused(&self) -> bool {
        self.findings.iter().any(|f| refuses(f.code, self.category))
    }

    /// This record's id.
    pub fn record_id(&self) -> RecordId {
        RecordId(crate::index::id16(&self.record.record_id))
    }
}

/// Whether a finding refuses a record of this category.
pub(crate) fn refuses(code: &Code, category: Category) -> bool {
    match code.class {
        Class::Refuses => true,
        Class::Gate => category == Category::Authorisation,
        Class::Flag => false,
    }
}
