//! A dose with everything that is asked about it: its subject, order, protocol, units, lots and specifications.

use std::sync::Arc;

use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::SpecificationPublished;

use crate::family::subject::standing::Standing;
use crate::index::{id16, lot_of_unit};
use crate::state::lot::Unit;
use crate::state::subject::{Dose, Order, Portion, Weighing};
use crate::state::{Lot, Subject};
use crate::view::View;

/// A unit with its lot and the specification that governs it.
pub(in crate::family) struct SeenUnit {
    pub(in crate::family) lot: Arc<Lot>,
    pub(in crate::family) unit: Unit,
    /// The published version that the lot names.
    pub(in crate::family) specification: Option<Arc<SpecificationPublished>>,
    /// The record that published it.
    pub(in crate::family) specification_record: Option<RecordId>,
    /// Whether the specification's stream could not be seen.
    pub(in crate::family) specification_unseen: bool,
}

/// What the ledger shows of a unit.
pub(in crate::family) enum Sight {
    /// It is there.
    Seen(Box<SeenUnit>),
    /// No lot has it.
    Unknown(Id16),
    /// A lot has it that could not be seen.
    Unseen,
}

impl Sight {
    pub(in crate::family) fn of(view: &dyn View, unit_id: Id16) -> Sight {
        let Some(lot_id) = lot_of_unit(view, &unit_id) else {
            return Sight::Unknown(unit_id);
        };
        let Some(lot) = view.lot(&lot_id) else {
            return Sight::Unseen;
        };
        let Some(unit) = lot.units.get(&unit_id).cloned() else {
            return Sight::Unknown(unit_id);
        };
        let reference = lot.opened.as_ref().and_then(|(_, opened)| opened.specification.clone());
        let stream = reference.as_ref().and_then(|r| view.specification(&Id16(id16(&r.id))));
        let version = reference.as_ref().map_or(0, |r| r.version);
        let published = stream.as_ref().and_then(|stream| stream.versions.get(&version));
        Sight::Seen(Box::new(SeenUnit {
            specification: published.map(|(_, published)| published.clone()),
            specification_record: published.map(|(record, _)| *record),
            specification_unseen: reference.is_some() && stream.is_none(),
            lot,
            unit,
        }))
    }

    pub(in crate::family) fn seen(&self) -> Option<&SeenUnit> {
        match self {
            Sight::Seen(seen) => Some(seen),
            Sight::Unknown(_) | Sight::Unseen => None,
        }
    }
}

/// The units of these ids.
pub(in crate::family) fn sights<'a>(view: &dyn View, unit_ids: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<Sight> {
    unit_ids.into_iter().map(|unit| Sight::of(view, Id16(id16(unit)))).collect()
}

/// A dose with its surroundings.
pub(in crate::family) struct Case<'a> {
    pub(in crate::family) view: &'a dyn View,
    pub(in crate::family) at_ms: i64,
    pub(in crate::family) subject: &'a Subject,
    pub(in crate::family) standing: Standing<'a>,
    pub(in crate::family) dose: &'a Dose,
    pub(in crate::family) order: Option<&'a Order>,
    pub(in crate::family) parts: Vec<(Portion, Sight)>,
}

impl<'a> Case<'a> {
    pub(in crate::family) fn of(view: &'a dyn View, subject: &'a Subject, dose: &'a Dose, at_ms: i64) -> Case<'a> {
        Case {
            view,
            at_ms,
            subject,
            standing: Standing::of(view, subject),
            dose,
            order: subject.order(&dose.order_id),
            parts: dose.portions.iter().map(|portion| (*portion, Sight::of(view, portion.unit_id))).collect(),
        }
    }

    /// The units that can be seen, with what each gave.
    pub(in crate::family) fn seen(&self) -> impl Iterator<Item = (&Portion, &SeenUnit)> {
        self.parts.iter().filter_map(|(portion, sight)| Some((portion, sight.seen()?)))
    }

    /// The published specifications of the units' lots.
    pub(in crate::family) fn specifications(&self) -> impl Iterator<Item = &SpecificationPublished> {
        self.seen().filter_map(|(_, seen)| seen.specification.as_deref())
    }

    /// The weight that the dose was ordered for.
    pub(in crate::family) fn order_weighing(&self) -> Option<&'a Weighing> {
        self.subject.weighing(&self.order?.weighing_record_id)
    }

    /// Earliest thaw plus thaw window, if every unit was thawed.
    pub(in crate::family) fn computed_expiry_ms(&self) -> Option<i64> {
        let mut earliest = None;
        for (_, sight) in &self.parts {
            let seen = sight.seen()?;
            let window_ms = super::words::seconds_to_ms(seen.specification.as_ref()?.thaw_window_seconds);
            let end = seen.unit.thaw.as_ref()?.thawed_at_ms.saturating_add(window_ms);
            earliest = Some(earliest.map_or(end, |e: i64| e.min(end)));
        }
        earliest
    }

    /// The earlier of the stated and the computed end of use.
    pub(in crate::family) fn expires_at_ms(&self) -> i64 {
        let stated = self.dose.expires_at_ms;
        self.computed_expiry_ms().map_or(stated, |computed| computed.min(stated))
    }
}
