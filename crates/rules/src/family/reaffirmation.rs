//! Reaffirming records in doubt: QA and somebody with the record's role say that it stands, although a key that signed it was in other
//! hands by then.

use marrowline_record::entry::Entry;
use marrowline_record::id::RecordId;
use marrowline_record::pb;

use crate::codes::authority as codes;
use crate::context::Context;
use crate::finding::Look;
use crate::frame::words;
use crate::index::id16;
use crate::state::upkeep::SignedRecord;

pub(super) fn reaffirmed(c: &mut Context<'_>, e: &pb::RecordReaffirmed) {
    for (number, named) in e.records.iter().enumerate() {
        let id = RecordId(id16(&named.record_id));
        let look = || vec![Look::Field(format!("record_reaffirmed.records[{number}]"))];
        let Some(entry) = c.view.entry(&id).filter(|entry| entry.digest.0[..] == named.digest[..]) else {
            c.find(
                &codes::REAFFIRMED_RECORD_UNKNOWN,
                format!("record {id} with another digest, or none"),
                "id and digest of a record in this ledger",
                look(),
            );
            continue;
        };
        let is_in_doubt = c.authority.doubts()(&SignedRecord {
            record_id: id,
            digest: entry.digest,
            recorded_at_ms: entry.recorded_at_ms,
            key_ids: entry.signings.iter().map(|s| s.key_id).collect(),
        });
        c.demand(
            is_in_doubt,
            &codes::REAFFIRMED_RECORD_NOT_IN_DOUBT,
            || format!("record {id}, which stands"),
            || "a record in doubt".to_owned(),
            look,
        );
        let entitled = c.signers.iter().filter(|s| s.slot == 1).all(|s| is_of(&entry, s.role.into(), &s.facility_id.0));
        c.demand(
            entitled,
            &codes::REAFFIRMED_BY_ANOTHER_ROLE,
            || format!("record {id}, which no such role signed there"),
            || roles(&entry),
            || vec![Look::Field("slots[1]".to_owned()), Look::Record(id)],
        );
    }
}

fn is_of(entry: &Entry, role: i32, facility: &[u8; 16]) -> bool {
    entry.record.slots.iter().any(|slot| slot.role == role && slot.facility_id == facility)
}

fn roles(entry: &Entry) -> String {
    entry.record.slots.iter().map(|slot| words(slot.role().as_str_name())).collect::<Vec<_>>().join(" or ")
}
