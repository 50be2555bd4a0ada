//! Clauses about units: known, free, thawed, in custody, and what they gave to a dose.

use std::collections::BTreeSet;

use marrowline_record::id::Id16;
use marrowline_record::pb::StreamKind;

use crate::codes::dose as code;
use crate::codes::lot::UNIT_DESTROYED;
use crate::context::Context;
use crate::family::dose::case::{Case, SeenUnit, Sight};
use crate::family::dose::claims;
use crate::family::dose::findings::{Findings, record, thing};
use crate::family::dose::words::{grouped, moment, percent};
use crate::family::units;
use crate::state::custody::Custody;
use crate::state::lot::{Processing, Unit};
use crate::state::subject::Portion;
use crate::view::View;

/// Every unit was filled in a lot of this ledger.
pub(in crate::family) fn known<'a>(f: &mut Findings, sights: impl IntoIterator<Item = &'a Sight>) {
    for sight in sights {
        if let Sight::Unknown(unit_id) = sight {
            f.demand(
                false,
                &code::UNIT_OF_NO_LOT,
                || format!("unit {unit_id}, which no lot of this ledger has"),
                || "a unit that was filled in a lot".to_owned(),
                || vec![thing("unit", unit_id)],
            );
        }
    }
}

/// Every unit is named once.
pub(in crate::family) fn named_once(f: &mut Findings, unit_ids: impl IntoIterator<Item = Id16>) {
    let mut seen = BTreeSet::new();
    for unit_id in unit_ids {
        f.demand(
            seen.insert(unit_id),
            &code::UNIT_REPEATED,
            || format!("unit {unit_id} for the second time"),
            || "each unit once".to_owned(),
            || vec![thing("unit", &unit_id)],
        );
    }
}

/// The record extends the streams of exactly the units' lots.
pub(in crate::family) fn lots_extended<'a>(c: &Context<'_>, f: &mut Findings, sights: impl IntoIterator<Item = &'a Sight>) {
    let mut lots = BTreeSet::new();
    for sight in sights {
        match sight {
            Sight::Seen(seen) => lots.insert(seen.lot.id),
            // Which lots it should be is not known; the unit has its own finding.
            Sight::Unknown(_) | Sight::Unseen => return,
        };
    }
    let extended: BTreeSet<Id16> = c.stream_ids(StreamKind::Lot).collect();
    let list = |lots: &BTreeSet<Id16>| lots.iter().map(Id16::to_string).collect::<Vec<_>>().join(", ");
    f.demand(
        extended == lots,
        &code::LOTS_DIFFER,
        || format!("lots {}", list(&extended)),
        || format!("lots {}", list(&lots)),
        || lots.symmetric_difference(&extended).map(|lot| thing("lot", lot)).collect(),
    );
}

/// The dose's cells come from no more donors than each lot's specification allows.
pub(in crate::family) fn donors<'a>(f: &mut Findings, units: impl Iterator<Item = &'a SeenUnit> + Clone) {
    let donors: BTreeSet<Id16> = units.clone().filter_map(|seen| seen.lot.donor_id).collect();
    let most = units.filter_map(|seen| seen.specification.as_ref()).map(|s| s.max_donors_per_dose).min();
    let Some(most) = most else { return };
    f.demand(
        u32::try_from(donors.len()).is_ok_and(|count| count <= most),
        &code::TOO_MANY_DONORS,
        || format!("{} donors", donors.len()),
        || format!("{most} or fewer"),
        || donors.iter().map(|donor| thing("donor", donor)).collect(),
    );
}

/// Lot disposed, nothing held, donor eligible, not past its shelf life, custody undisputed.
pub(in crate::family) fn fit_for_use(f: &mut Findings, view: &dyn View, seen: &SeenUnit, subject_id: &Id16, at_ms: i64) {
    f.extend(units::unit_findings(view, &seen.lot, &seen.unit, subject_id, at_ms));
}

/// The unit is in its place, untouched, and allocated to nobody.
pub(in crate::family) fn free(f: &mut Findings, view: &dyn View, unit: &Unit, at_ms: i64) {
    unallocated(f, view, unit, at_ms);
    unclaimed(f, view, unit);
    f.demand(
        unit.processing == Processing::Stored || unit.allocation.is_some(),
        &code::UNIT_NOT_STORED,
        || format!("unit `{}`: {}", unit.code, processing_in_words(unit.processing)),
        || "stored".to_owned(),
        || vec![thing("unit", &unit.id), record(unit.filled_by)],
    );
}

/// The unit is allocated to nobody.
pub(in crate::family) fn unallocated(f: &mut Findings, view: &dyn View, unit: &Unit, at_ms: i64) {
    let allocation = units::allocation(view, unit, at_ms);
    f.demand(
        allocation.is_none(),
        &code::UNIT_ALREADY_ALLOCATED,
        || match allocation {
            Some(allocation) => format!("unit `{}`, allocated to order {}", unit.code, allocation.order_id),
            None => format!("unit `{}`", unit.code),
        },
        || "a unit that is allocated to no order".to_owned(),
        || vec![thing("unit", &unit.id)].into_iter().chain(allocation.map(|a| record(a.record_id))).collect(),
    );
}

/// The unit is allocated to this order of this subject: an order's id alone does not say whose it is.
pub(in crate::family) fn allocated_to(f: &mut Findings, unit: &Unit, subject_id: &Id16, order_id: &Id16) {
    let allocation = unit.allocation;
    f.demand(
        allocation.is_some_and(|allocation| allocation.is_to(subject_id, order_id)),
        &code::UNIT_NOT_ALLOCATED,
        || match allocation {
            // Whose it is, is not for everybody to read.
            Some(allocation) if allocation.order_id == *order_id => {
                format!("unit `{}`, allocated to another subject", unit.code)
            }
            Some(allocation) => format!("unit `{}`, allocated to order {}", unit.code, allocation.order_id),
            None => format!("unit `{}`, allocated to no order", unit.code),
        },
        || format!("allocated to order {order_id}"),
        || vec![thing("unit", &unit.id)].into_iter().chain(allocation.map(|a| record(a.record_id))).collect(),
    );
}

/// The facility holds the unit.
pub(in crate::family) fn held_by(f: &mut Findings, unit: &Unit, facility_id: &Id16) {
    f.demand(
        unit.custody.holder() == Some(facility_id),
        &code::UNIT_NOT_IN_CUSTODY,
        || format!("unit `{}`: {}", unit.code, custody_in_words(&unit.custody)),
        || format!("in the custody of facility {facility_id}"),
        || vec![thing("unit", &unit.id)],
    );
}

/// The unit was not destroyed.
pub(in crate::family) fn exists(f: &mut Findings, unit: &Unit) {
    f.demand(
        unit.processing != Processing::Destroyed,
        &UNIT_DESTROYED,
        || format!("unit `{}`, destroyed", unit.code),
        || "a unit that was not destroyed".to_owned(),
        || vec![thing("unit", &unit.id)],
    );
}

/// The unit was not thawed before.
pub(in crate::family) fn frozen(f: &mut Findings, unit: &Unit) {
    let thaw = unit.thaw;
    f.demand(
        thaw.is_none(),
        &code::UNIT_ALREADY_THAWED,
        || format!("unit `{}`, thawed {}", unit.code, thaw.map_or_else(String::new, |thaw| moment(thaw.thawed_at_ms))),
        || "a frozen unit".to_owned(),
        || thaw.map(|thaw| record(thaw.record_id)).into_iter().collect(),
    );
}

/// A thaw's viability is the specification's lowest or more.
pub(in crate::family) fn viable_after_thaw(f: &mut Findings, seen: &SeenUnit, viability_basis_points: u32) {
    let Some(specification) = &seen.specification else {
        return;
    };
    let lowest = specification.min_thaw_viability_basis_points;
    f.demand(
        viability_basis_points >= lowest,
        &code::THAW_VIABILITY_LOW,
        || format!("unit `{}`: {} viable", seen.unit.code, percent(viability_basis_points)),
        || format!("{} or more", percent(lowest)),
        || {
            let thaw = seen.unit.thaw.map(|thaw| record(thaw.record_id));
            vec![thing("unit", &seen.unit.id)].into_iter().chain(thaw).collect()
        },
    );
}

/// What a unit gave to the dose was there to be given: thawed, counted, to no other dose.
pub(in crate::family) fn given(f: &mut Findings, case: &Case<'_>, portion: &Portion, unit: &Unit) {
    let Some(thaw) = unit.thaw else {
        f.demand(
            false,
            &code::UNIT_NOT_THAWED,
            || format!("unit `{}`, whose thaw is not recorded", unit.code),
            || "a unit that was thawed and counted".to_owned(),
            || vec![thing("unit", &unit.id)],
        );
        return;
    };
    f.demand(
        thaw.thawed_at_ms <= case.dose.prepared_at_ms,
        &code::PREPARED_BEFORE_THAW,
        || format!("unit `{}`, thawed {}, prepared {}", unit.code, moment(thaw.thawed_at_ms), moment(case.dose.prepared_at_ms)),
        || "a thaw before the preparation".to_owned(),
        || vec![record(thaw.record_id), record(case.dose.record_id)],
    );
    f.demand(
        portion.total_cells <= thaw.total_cells && portion.volume_microlitres <= unit.volume_microlitres,
        &code::CONTRIBUTION_TOO_LARGE,
        || {
            format!(
                "unit `{}` gave {} cells in {} µL",
                unit.code,
                grouped(portion.total_cells),
                grouped(portion.volume_microlitres)
            )
        },
        || format!("at most {} cells in {} µL", grouped(thaw.total_cells), grouped(unit.volume_microlitres)),
        || vec![record(thaw.record_id), record(case.dose.record_id)],
    );
}

/// The unit is part of this dose and of no other; `recorded` once its lot's chain has seen the preparation.
pub(in crate::family) fn in_this_dose(f: &mut Findings, case: &Case<'_>, unit: &Unit, recorded: bool) {
    let doses = claims::doses_of(case.view, unit);
    let other = doses.into_iter().map(|(dose, _)| dose).find(|dose| *dose != case.dose.id);
    let is_known = !recorded || !unit.dose_ids.is_empty();
    in_one_dose(f, unit, other, is_known, Some(&case.dose.id));
}

/// No preparation claims the unit that its lot knows nothing of.
pub(in crate::family) fn unclaimed(f: &mut Findings, view: &dyn View, unit: &Unit) {
    in_one_dose(f, unit, claims::unknown_to_its_lot(view, unit), true, None);
}

fn in_one_dose(f: &mut Findings, unit: &Unit, other: Option<Id16>, is_known: bool, dose_id: Option<&Id16>) {
    f.demand(
        other.is_none() && is_known,
        &code::UNIT_IN_OTHER_DOSE,
        || match other {
            Some(other) => format!("unit `{}` in dose {other}", unit.code),
            None => format!("unit `{}`, whose lot knows of no dose", unit.code),
        },
        || dose_id.map_or_else(|| "a unit of no dose".to_owned(), |dose| format!("part of dose {dose}")),
        || {
            [dose_id, other.as_ref()]
                .into_iter()
                .flatten()
                .map(|dose| thing("dose", dose))
                .chain([thing("unit", &unit.id)])
                .collect()
        },
    );
}

fn processing_in_words(processing: Processing) -> &'static str {
    match processing {
        Processing::Filled => "filled, without a freezer place",
        Processing::Stored => "stored",
        Processing::Allocated => "allocated",
        Processing::Thawed => "thawed",
        Processing::Prepared => "part of a dose",
        Processing::Dispensed => "dispensed",
        Processing::Infused => "infused",
        Processing::Sampled => "used up for testing",
        Processing::Returned => "returned for destruction",
        Processing::Destroyed => "destroyed",
    }
}

fn custody_in_words(custody: &Custody) -> String {
    match custody {
        Custody::Held { facility_id } => format!("held by facility {facility_id}"),
        Custody::InTransit { from_facility_id, to_facility_id, .. } => {
            format!("in transit from facility {from_facility_id} to {to_facility_id}")
        }
        Custody::Disputed { facility_id, .. } => {
            format!("disputed, last said to be at facility {facility_id}")
        }
    }
}
