//! Rules that hold for every record, whatever it is about: origin, form, time, signatures, heads, doubt.

use marrowline_record::id::Id16;
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, StreamKind};
use marrowline_record::stream::stream_key;
use marrowline_record::{instant, origin};

use crate::codes::frame as codes;
use crate::context::Context;
use crate::finding::Look;
use crate::index::{IndexKey, id16};
use crate::judge::At;
use crate::table::{self, Category, Row, SlotRule};

pub(crate) mod doubt;
mod late;
mod signature_target;
mod signers;

/// How far ahead of the ledger an event or a signature may be dated.
pub const AHEAD_LIMIT_MS: i64 = 60_000;
/// How old an authorisation with one signature may be when it arrives.
pub const DECISION_AGE_MS: i64 = 300_000;
/// How old an authorisation with more signatures may be: the second signatory has to be found.
pub const COUNTERSIGNED_AGE_MS: i64 = 3_600_000;

/// Judges the frame of a record.
pub(crate) fn judge(c: &mut Context<'_>, at: At) {
    let Some(event) = c.event() else { return };
    check_origin(c, event);
    if let Event::SignatureAdded(e) = event {
        signature_target::check(c, e);
    } else {
        let row = table::row_of(event);
        check_slots(c, &row);
        check_streams(c, event, &row);
        check_opened(c, &row);
    }
    check_times(c, at);
    signers::check(c, event);
    check_missing_signatures(c);
    check_heads(c);
    late::check(c);
    doubt::check(c, event);
    check_cites(c);
}

/// Whether origin, slots and streams are of the event's form, so that the family's rules have something to stand on.
pub(crate) fn is_well_formed(c: &Context<'_>) -> bool {
    !c.findings.iter().any(|f| {
        [&codes::ORIGIN_DIFFERS, &codes::SLOTS_WRONG, &codes::STREAMS_WRONG, &codes::SIGNATURE_TARGET_WRONG].contains(&f.code)
    })
}

fn check_origin(c: &mut Context<'_>, event: &Event) {
    let found = c.record.origin.clone();
    let allowed = match (&c.authority.founded, event) {
        (None, Event::LedgerFounded(e)) => e.name.clone(),
        // A founding record for a ledger that is founded already: its family refuses it.
        (Some(_), Event::LedgerFounded(_)) => return,
        (None, _) => "no record before the founding".to_owned(),
        (Some((_, digest, founded)), _) => match origin::Origin::new(&founded.name, digest) {
            Ok(origin) => origin.to_string(),
            Err(_) => return,
        },
    };
    c.demand(
        found == allowed,
        &codes::ORIGIN_DIFFERS,
        || format!("`{found}`"),
        || format!("`{allowed}`"),
        || vec![Look::Field("origin".to_owned())],
    );
}

fn check_slots(c: &mut Context<'_>, row: &Row) {
    let slots = &c.record.slots;
    let fits = |slot: &pb::SignatureSlot, rule: &SlotRule| rule.roles.contains(&slot.role()) && slot.meaning() == rule.meaning;
    let right = slots.len() == row.slots.len() && slots.iter().zip(row.slots).all(|(slot, rule)| fits(slot, rule));
    // A stop takes one signature: its record may ask for that one alone.
    let alone = c.category == Category::Stop
        && slots.len() == 1
        && slots.first().is_some_and(|slot| row.slots.iter().any(|rule| fits(slot, rule)));
    let for_another = is_for_another(c.category, slots, row);
    if for_another {
        let found = "QA's signature beside those of the event";
        let allowed = "the signatures of those who did it";
        c.find(&codes::RECORDED_FOR_ANOTHER, found, allowed, vec![Look::Field("slots".to_owned())]);
    }
    c.demand(
        right || alone || for_another,
        &codes::SLOTS_WRONG,
        || {
            slots
                .iter()
                .map(|s| format!("{} {}", words(s.role().as_str_name()), words(s.meaning().as_str_name())))
                .collect::<Vec<_>>()
                .join(" + ")
        },
        || describe_slots(row.slots),
        || vec![Look::Field("slots".to_owned())],
    );
}

/// Whether a fact has one slot more than its event needs, for QA who ratifies: somebody of the right role records what another person did
/// who cannot sign for it any more, because their key was revoked before the record arrived.
fn is_for_another(category: Category, slots: &[pb::SignatureSlot], row: &Row) -> bool {
    let fits = |slot: &pb::SignatureSlot, rule: &SlotRule| rule.roles.contains(&slot.role()) && slot.meaning() == rule.meaning;
    category == Category::Fact
        && slots.len() == row.slots.len() + 1
        && slots.iter().zip(row.slots).all(|(slot, rule)| fits(slot, rule))
        && slots.last().is_some_and(|slot| fits(slot, &table::FOR_ANOTHER))
}

fn describe_slots(slots: &[SlotRule]) -> String {
    let describe = |rule: &SlotRule| {
        let roles: Vec<String> = if rule.roles.len() == table::EVERY_ROLE.len() {
            vec!["any role".to_owned()]
        } else if rule.roles.len() == table::DECIDING_ROLES.len() {
            vec!["any role but auditor and device".to_owned()]
        } else {
            rule.roles.iter().map(|r| words(r.as_str_name())).collect()
        };
        format!("{} {}", roles.join(" or "), words(rule.meaning.as_str_name()))
    };
    slots.iter().map(describe).collect::<Vec<_>>().join(" + ")
}

/// `ROLE_KEY_ADMINISTRATOR` as `KEY_ADMINISTRATOR`.
pub(crate) fn words(name: &str) -> String {
    name.split_once('_').map_or(name, |(_, rest)| rest).to_owned()
}

fn check_streams(c: &mut Context<'_>, event: &Event, row: &Row) {
    let count = |kind: StreamKind| c.record.streams.iter().filter(|s| s.kind() == kind).count();
    let right = if table::extends_targets_streams(event) {
        !c.record.streams.is_empty() && c.record.streams.iter().all(|s| table::any_stream(event, s.kind()))
    } else if row.streams.is_empty() {
        c.record.streams.len() == 1 && c.record.streams.iter().all(|s| table::any_stream(event, s.kind()))
    } else {
        row.streams.iter().all(|rule| (rule.min..=rule.max).contains(&count(rule.kind)))
            && c.record.streams.iter().all(|s| row.streams.iter().any(|rule| rule.kind == s.kind()))
    };
    let allowed = || {
        if table::extends_targets_streams(event) {
            return "the streams of the record that it names".to_owned();
        }
        if row.streams.is_empty() {
            return "exactly one stream of the thing it is about".to_owned();
        }
        let describe = |rule: &table::StreamRule| {
            let kind = words(rule.kind.as_str_name()).replace("KIND_", "");
            if rule.max == 1 { format!("1 {kind}") } else { format!("{} to {} {kind}", rule.min, rule.max) }
        };
        row.streams.iter().map(describe).collect::<Vec<_>>().join(" + ")
    };
    let found =
        || c.record.streams.iter().map(|s| words(s.kind().as_str_name()).replace("KIND_", "")).collect::<Vec<_>>().join(" + ");
    let (found, allowed) = (found(), allowed());
    c.demand(right, &codes::STREAMS_WRONG, || found, || allowed, || vec![Look::Field("streams".to_owned())]);
}

fn check_opened(c: &mut Context<'_>, row: &Row) {
    let opening = if row.opens { row.streams.first().map(|s| s.kind) } else { None };
    for (number, stream) in c.record.streams.iter().enumerate() {
        if Some(stream.kind()) == opening {
            continue;
        }
        let id = Id16(id16(&stream.id));
        let opened = match stream.kind() {
            StreamKind::Donor => c.view.donor(&id).is_some_and(|d| d.registered.is_some()),
            StreamKind::Lot => c.view.lot(&id).is_some_and(|l| l.opened.is_some()),
            StreamKind::Subject => c.view.subject(&id).is_some_and(|s| !s.consents.is_empty()),
            _ => true,
        };
        c.demand(
            opened,
            &codes::STREAM_NOT_OPENED,
            || format!("{} {id} has no opening record", words(stream.kind().as_str_name()).replace("KIND_", "").to_lowercase()),
            || "a stream that was opened".to_owned(),
            || vec![Look::Field(format!("streams[{number}]"))],
        );
    }
}

fn check_times(c: &mut Context<'_>, at: At) {
    let limit = at.recorded_at_ms.saturating_add(AHEAD_LIMIT_MS);
    let show = |ms: i64| instant::format(ms, 0);
    let occurred = c.occurred_at_ms;
    c.demand(
        occurred <= limit,
        &codes::EVENT_AHEAD,
        || show(occurred),
        || format!("at the latest {}", show(limit)),
        || vec![Look::Field("occurred_at".to_owned())],
    );
    for signer in c.signers.clone() {
        c.demand(
            signer.signed_at_ms <= limit,
            &codes::SIGNED_AHEAD,
            || show(signer.signed_at_ms),
            || format!("at the latest {}", show(limit)),
            || vec![slot_field(signer.slot)],
        );
    }
    if c.category == Category::Authorisation && c.authority.founded.is_some() {
        let age = if c.record.slots.len() > 1 { COUNTERSIGNED_AGE_MS } else { DECISION_AGE_MS };
        let earliest = at.recorded_at_ms.saturating_sub(age);
        c.demand(
            occurred >= earliest,
            &codes::AUTHORISATION_BACKDATED,
            || show(occurred),
            || format!("not before {}", show(earliest)),
            || vec![Look::Field("occurred_at".to_owned())],
        );
    }
}

fn slot_field(slot: u8) -> Look {
    Look::Field(format!("slots[{slot}]"))
}

fn check_missing_signatures(c: &mut Context<'_>) {
    let signed: Vec<u8> = c.signers.iter().map(|s| s.slot).collect();
    for (number, slot) in (0u8..).zip(&c.record.slots) {
        if signed.contains(&number) || c.category == Category::Stop {
            continue;
        }
        let code = match c.category {
            Category::Authorisation => &codes::SIGNATURE_MISSING,
            Category::Fact | Category::Stop => &codes::VERIFIER_MISSING,
        };
        c.find(
            code,
            format!("no signature of {} ({})", words(slot.role().as_str_name()), words(slot.meaning().as_str_name())),
            "a signature in each slot",
            vec![slot_field(number)],
        );
    }
}

fn check_heads(c: &mut Context<'_>) {
    for (number, stream) in c.record.streams.iter().enumerate() {
        let kind = u8::try_from(stream.kind).unwrap_or(0);
        let key = stream_key(kind, &id16(&stream.id));
        let current = c.view.head(&key);
        let seen = stream.head.as_ref().map(|h| (h.seq, h.hash.as_slice()));
        let (length, last) = match &current {
            Some((length, hash)) => (*length, Some(hash)),
            None => (0, None),
        };
        let look = || vec![Look::Field(format!("streams[{number}].head"))];
        let is_current = match seen {
            None => length == 0,
            Some((seq, hash)) => seq == length && last.is_some_and(|l| l[..] == *hash),
        };
        if is_current {
            continue;
        }
        let known = match seen {
            None => true,
            Some((seq, hash)) => seq < length && c.view.hash_at(&key, seq).is_some_and(|h| h[..] == *hash),
        };
        let found = seen.map_or_else(|| "none".to_owned(), |(seq, _)| format!("record {seq} of the stream"));
        let allowed = format!("record {length} of the stream, its last one");
        let code = match (known, c.category) {
            (false, _) => &codes::HEAD_UNKNOWN,
            (true, Category::Authorisation) => &codes::HEAD_MOVED,
            (true, Category::Fact | Category::Stop) => &codes::HEAD_ADVANCED,
        };
        c.find(code, found, allowed, look());
    }
}

fn check_cites(c: &mut Context<'_>) {
    for (number, cite) in c.record.cites.iter().enumerate() {
        let digest: [u8; 32] = cite.digest.as_slice().try_into().unwrap_or([0; 32]);
        let found = c.view.lookup(&IndexKey::Digest(digest));
        c.demand(
            found.is_some_and(|id| id[..] == cite.record_id[..]),
            &codes::CITE_UNKNOWN,
            || "a citation of a record that this ledger does not hold".to_owned(),
            || "id and digest of a record in this ledger".to_owned(),
            || vec![Look::Field(format!("cites[{number}]"))],
        );
    }
}
