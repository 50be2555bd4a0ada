//! Recalls and look-backs: everything that came of a lot or a donor, and closing with the list of it.

use std::collections::BTreeSet;

use marrowline_record::id::Id16;
use marrowline_record::pb::{self, StreamKind};
use sha2::{Digest as _, Sha256};

use crate::codes::Across;
use crate::codes::quality as codes;
use crate::context::Context;
use crate::family::dose::doses_of;
use crate::finding::Look;
use crate::state::Lot;
use crate::state::lot::Unit;
use crate::view::View;

/// Every unit, dose and subject that a lot or a donor reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// The units, whatever became of them.
    pub units: BTreeSet<Id16>,
    /// The doses that they are part of.
    pub doses: BTreeSet<Id16>,
    /// The subjects whom they were allocated to, whose doses they are part of, or whose records say that they were given one of these.
    pub subjects: BTreeSet<Id16>,
}

impl Affected {
    /// What came of this stream; of anything but a lot or a donor nothing does.
    pub fn of(view: &dyn View, kind: StreamKind, id: &Id16) -> Affected {
        let lots = match kind {
            StreamKind::Lot => vec![*id],
            StreamKind::Donor => view.donor(id).map(|donor| donor.lots.clone()).unwrap_or_default(),
            _ => Vec::new(),
        };
        let mut affected = Affected::default();
        for lot in lots.iter().filter_map(|lot| view.lot(lot)) {
            affected.extend(view, &lot);
        }
        affected
    }

    fn extend(&mut self, view: &dyn View, lot: &Lot) {
        for (dose, subject) in &lot.given {
            self.doses.insert(*dose);
            self.subjects.insert(*subject);
        }
        for unit in lot.units.values() {
            self.units.insert(unit.id);
            self.subjects.extend(unit.allocation.as_ref().map(|allocation| allocation.subject_id));
            for (dose, subject) in doses_of(view, unit) {
                self.doses.insert(dose);
                self.subjects.extend(subject);
            }
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.units.len().saturating_add(self.doses.len()).saturating_add(self.subjects.len())
    }

    /// SHA-256 over "marrowline/affected/v1\n" and each id in ascending order behind its kind: 1 unit, 2 dose, 3 subject.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = Sha256::new_with_prefix(b"marrowline/affected/v1\n");
        for (kind, ids) in [(1u8, &self.units), (2, &self.doses), (3, &self.subjects)] {
            for id in ids {
                hasher.update([kind]);
                hasher.update(id.0);
            }
        }
        hasher.finalize().into()
    }
}

/// Whom a unit may have reached, each with the dose: the subject of each dose that it is said to be in, whoever else was given that dose, and
/// the subject that it is assigned to.
pub fn destinations(view: &dyn View, lot: &Lot, unit: &Unit) -> Vec<(Option<Id16>, Option<Id16>)> {
    let mut found: Vec<_> = doses_of(view, unit).into_iter().map(|(dose, subject)| (subject, Some(dose))).collect();
    let doses: BTreeSet<_> = found.iter().filter_map(|(_, dose)| *dose).collect();
    for (dose, subject) in lot.given.iter().filter(|(dose, _)| doses.contains(dose)) {
        if !found.contains(&(Some(*subject), Some(*dose))) {
            found.push((Some(*subject), Some(*dose)));
        }
    }
    let assigned = unit.allocation.as_ref().map(|allocation| allocation.subject_id);
    if found.is_empty() || assigned.is_some() && found.iter().all(|(subject, _)| *subject != assigned) {
        found.push((assigned, None));
    }
    found
}

/// Doses of the lot that none of its units is known to be in, each with a subject who was given it.
pub fn given_of_no_unit(view: &dyn View, lot: &Lot) -> BTreeSet<(Id16, Id16)> {
    let doses: BTreeSet<_> = lot.units.values().flat_map(|unit| doses_of(view, unit)).map(|(dose, _)| dose).collect();
    lot.given.iter().filter(|(dose, _)| !doses.contains(dose)).copied().collect()
}

/// What closes a recall or a look-back.
pub(super) struct Closing<'a> {
    across: Across,
    id: &'a [u8],
    field: &'static str,
    count: u32,
    digest: &'a [u8],
}

impl<'a> Closing<'a> {
    pub(super) fn recall(e: &'a pb::RecallClosed) -> Closing<'a> {
        let (count, digest) = (e.affected_count(), &e.affected_digest);
        Closing { across: Across::Recall, id: &e.recall_id, field: "recall_closed.recall_id", count, digest }
    }

    pub(super) fn look_back(e: &'a pb::LookBackClosed) -> Closing<'a> {
        let (count, digest) = (e.affected_count(), &e.affected_digest);
        Closing { across: Across::LookBack, id: &e.look_back_id, field: "look_back_closed.look_back_id", count, digest }
    }

    fn word(&self) -> &'static str {
        match self.across {
            Across::Recall => "recall",
            Across::LookBack => "look-back",
        }
    }
}

pub(super) fn closed(c: &mut Context<'_>, closing: &Closing<'_>) {
    let Some(stream) = c.record.streams.first() else { return };
    let (kind, stream_id) = (stream.kind(), Id16(crate::index::id16(&stream.id)));
    let recalls = match kind {
        StreamKind::Lot => c.view.lot(&stream_id).map(|lot| lot.upkeep.recalls.clone()),
        StreamKind::Donor => c.view.donor(&stream_id).map(|donor| donor.upkeep.recalls.clone()),
        _ => None,
    };
    let recalls = recalls.unwrap_or_default();
    let word = closing.word();
    match recalls.iter().find(|recall| recall.across == closing.across && recall.id[..] == *closing.id) {
        None => {
            let open: Vec<_> =
                recalls.iter().filter(|r| r.closed_by.is_none() && r.across == closing.across).map(|r| r.code).collect();
            c.find(
                &codes::RECALL_UNKNOWN,
                format!("a {word} that this stream does not have"),
                if open.is_empty() { format!("no open {word}") } else { open.join(", ") },
                vec![Look::Field(closing.field.to_owned())],
            );
        }
        Some(recall) => {
            if let Some(record) = recall.closed_by {
                let (found, allowed) = (format!("a {word} that is closed"), format!("an open {word}"));
                c.find(&codes::RECALL_ALREADY_CLOSED, found, allowed, vec![Look::Record(record)]);
            }
        }
    }
    let affected = Affected::of(c.view, kind, &stream_id);
    let is_same = usize::try_from(closing.count).is_ok_and(|n| n == affected.count()) && *closing.digest == affected.digest();
    c.demand(
        is_same,
        &codes::RECALL_LIST_DIFFERS,
        || format!("a list of {}, digest {}", closing.count, hex(closing.digest)),
        || {
            let (units, doses, subjects) = (affected.units.len(), affected.doses.len(), affected.subjects.len());
            let count = affected.count();
            format!("{count}: {units} units, {doses} doses, {subjects} subjects, digest {}", hex(&affected.digest()))
        },
        || {
            vec![Look::Field(
                closing.field.rsplit_once('.').map_or_else(String::new, |(event, _)| format!("{event}.affected_digest")),
            )]
        },
    );
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
