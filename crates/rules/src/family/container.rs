//! What happens to containers between filling and infusion: broken, leaking, lost, found, returned, destroyed.

use marrowline_record::id::Id16;
use marrowline_record::pb::{self, ContainerEventKind, ReturnPurpose};

use super::custody::{facility, units};
use super::lot::field;
use crate::codes::lot as codes;
use crate::context::Context;
use crate::finding::Look;
use crate::index::id16;
use crate::state::lot::{Processing, Unit};

/// Each unit that is named with the path of its field; what is not known or does not exist any more is flagged.
fn named(c: &mut Context<'_>, unit_ids: &[Vec<u8>], event: &str) -> Vec<(Unit, String)> {
    let units = units(c);
    let mut named = Vec::new();
    for (number, unit_id) in unit_ids.iter().enumerate() {
        let path = format!("{event}.unit_ids[{number}]");
        let id = Id16(id16(unit_id));
        let Some(unit) = units.iter().find(|unit| unit.id == id) else {
            c.find(&codes::UNIT_UNKNOWN, format!("unit {id}"), "a unit of the lots named", field(path));
            continue;
        };
        if unit.processing == Processing::Destroyed {
            let look_at = vec![Look::Field(path), Look::Thing { kind: "unit", id: unit.code.clone() }];
            c.find(&codes::UNIT_DESTROYED, format!("unit {}, destroyed", unit.code), "a unit that was not destroyed", look_at);
            continue;
        }
        named.push((unit.clone(), path));
    }
    named
}

pub(super) fn happened(c: &mut Context<'_>, e: &pb::ContainerEvent) {
    for (unit, path) in named(c, &e.unit_ids, "container_event") {
        let found = format!("unit {}: {}", unit.code, e.description);
        match e.kind() {
            ContainerEventKind::Broken | ContainerEventKind::Leaking => {
                c.find(&codes::CONTAINER_NOT_WHOLE, found, "a whole, tight container", field(path));
            }
            ContainerEventKind::Lost => c.find(&codes::UNIT_LOST, found, "a unit in its place", field(path)),
            ContainerEventKind::Found => {
                c.demand(
                    unit.container.lost_by.is_some(),
                    &codes::FOUND_UNIT_NOT_LOST,
                    || format!("unit {}, which nobody had lost", unit.code),
                    || "a unit that was lost".to_owned(),
                    || field(path.clone()),
                );
                c.find(&codes::UNIT_FOUND_AGAIN, found, "a unit that was never out of sight", field(path));
            }
            ContainerEventKind::Unspecified => {}
        }
    }
}

pub(super) fn returned(c: &mut Context<'_>, e: &pb::UnitsReturned) {
    let from = c.record.slots.first().map(|slot| Id16(id16(&slot.facility_id)));
    for (unit, path) in named(c, &e.unit_ids, "units_returned") {
        c.demand(
            unit.custody.holder().is_some() && unit.custody.holder() == from.as_ref(),
            &codes::RETURNED_OUTSIDE_CUSTODY,
            || format!("unit {} is not held by the facility that returns it", unit.code),
            || "a unit that the facility holds".to_owned(),
            || field(path.clone()),
        );
        if e.purpose() != ReturnPurpose::Storage {
            continue;
        }
        if unit.is_frozen() {
            c.find(
                &codes::RETURNED_UNIT_NOT_RELEASED,
                format!("unit {}, back from the pharmacy", unit.code),
                "a unit that QA has looked at",
                field(path),
            );
        } else {
            c.find(
                &codes::RETURNED_UNIT_THAWED,
                format!("unit {} is {:?}", unit.code, unit.processing).to_lowercase(),
                "a frozen unit, or a return for destruction",
                field(path),
            );
        }
    }
}

pub(super) fn destroyed(c: &mut Context<'_>, e: &pb::UnitsDestroyed) {
    let at = facility(c);
    for (unit, path) in named(c, &e.unit_ids, "units_destroyed") {
        c.demand(
            unit.custody.holder().is_some() && unit.custody.holder() == at.as_ref(),
            &codes::DESTROYED_OUTSIDE_CUSTODY,
            || format!("unit {} is not held by the facility that destroys it", unit.code),
            || "a unit that the facility holds".to_owned(),
            || field(path.clone()),
        );
        // Came back for destruction or not: its order is left without it.
        let allocation = unit.allocation.filter(|_| unit.thaw.is_none());
        if let Some(allocation) = allocation {
            c.find(
                &codes::DESTROYED_UNIT_ALLOCATED,
                format!("unit {}, allocated to order {}", unit.code, allocation.order_id),
                "a unit that is allocated to no order",
                vec![Look::Field(path), Look::Record(allocation.record_id)],
            );
        }
    }
}
