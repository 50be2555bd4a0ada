//! Reagent lots and devices that lots were made with, by the codes that people know: the supplier's lot code, the code on a plate.

use std::collections::BTreeSet;
use std::sync::Arc;

use marrowline_api::errors;
use marrowline_api::v1::MaterialView;
use marrowline_ledger::store::StoreError;
use marrowline_ledger::{Ledger, Snapshot};
use marrowline_record::id::Id16;
use marrowline_record::pb::StreamKind;
use marrowline_rules::View as _;
use marrowline_rules::state::Lot;
use tonic::Status;

use crate::auth::Person;
use crate::overview::Start;
use crate::reading;

/// Streams that are looked at in one go.
const PAGE: usize = 256;

/// The lots that a reagent lot or a device was used for. Somebody who may not read one of them is refused: a recall that silently left
/// lots out would be a wrong one.
pub fn lots_made_with(ledger: &Ledger, person: &Person, snapshot: &Snapshot, text: &str) -> Result<Start, Status> {
    let things = match uuid::Uuid::parse_str(text) {
        Ok(id) => BTreeSet::from([Id16(id.into_bytes())]),
        Err(_) => with_code(ledger, person, snapshot, text).map_err(|e| errors::store(&e))?,
    };
    let mut ids = BTreeSet::new();
    for thing in &things {
        ids.extend(ledger.lots_made_with(thing).map_err(|e| errors::store(&e))?);
    }
    let lots: Vec<Arc<Lot>> = ids.iter().filter_map(|id| snapshot.lot(id)).collect();
    if lots.is_empty() {
        return Err(errors::not_found("reagent lot or device in use", text));
    }
    for lot in &lots {
        reading::check(person, StreamKind::Lot, &lot.upkeep)?;
    }
    Ok(Start { lots, stream: None, unit_id: None })
}

/// Reagent lots with this supplier's lot code and devices with this code: of facilities that the reader may read, and those that lots
/// were made with which the reader may read. What `lot show` tells by its code can be traced by it.
fn with_code(ledger: &Ledger, person: &Person, snapshot: &Snapshot, code: &str) -> Result<BTreeSet<Id16>, StoreError> {
    let mut found = BTreeSet::new();
    for id in all(ledger, StreamKind::Facility)? {
        let facility = snapshot.facility(&id).filter(|f| reading::may_read(person, StreamKind::Facility, &f.upkeep));
        let reagents = facility.iter().flat_map(|facility| &facility.reagents);
        found.extend(reagents.filter(|(_, lot)| lot.event.supplier_lot_code == code).map(|(id, _)| *id));
    }
    for id in all(ledger, StreamKind::Equipment)? {
        let device = snapshot.equipment(&id).filter(|d| reading::may_read(person, StreamKind::Equipment, &d.upkeep));
        found.extend(device.filter(|device| device.standings.iter().any(|s| s.event.code == code)).map(|_| id));
    }
    for id in all(ledger, StreamKind::Lot)? {
        let lot = snapshot.lot(&id).filter(|lot| reading::may_read(person, StreamKind::Lot, &lot.upkeep));
        let used = lot.iter().flat_map(|lot| of_lot(snapshot, lot));
        found.extend(used.filter(|view| view.code == code).filter_map(|view| Some(Id16(view.id.try_into().ok()?))));
    }
    Ok(found)
}

/// The ids of all streams of a kind.
pub fn all(ledger: &Ledger, kind: StreamKind) -> Result<Vec<Id16>, StoreError> {
    let mut ids: Vec<Id16> = Vec::new();
    loop {
        let from = ids.pop();
        let page = ledger.streams(kind, from.as_ref(), PAGE)?;
        let is_last = page.len() < PAGE;
        ids.extend(page);
        if is_last {
            return Ok(ids);
        }
    }
}

/// What a lot was made with, each once, in the order in which it was first used.
pub fn of_lot(snapshot: &Snapshot, lot: &Lot) -> Vec<MaterialView> {
    let mut told = BTreeSet::new();
    let mut views = Vec::new();
    for used in &lot.materials {
        for id in used.materials.reagent_lot_ids.iter().filter_map(|id| Some(Id16(id.as_slice().try_into().ok()?))) {
            if told.insert(id) {
                views.push(reagent(snapshot, &used.facility_id, &id));
            }
        }
        for id in used.materials.equipment_ids.iter().filter_map(|id| Some(Id16(id.as_slice().try_into().ok()?))) {
            if told.insert(id) {
                views.push(device(snapshot, &id));
            }
        }
    }
    views
}

fn reagent(snapshot: &Snapshot, facility_id: &Id16, id: &Id16) -> MaterialView {
    let facility = snapshot.facility(facility_id);
    let lot = facility.as_ref().and_then(|facility| facility.reagents.get(id));
    MaterialView {
        kind: "reagent".to_owned(),
        id: id.0.to_vec(),
        code: lot.map(|lot| lot.event.supplier_lot_code.clone()).unwrap_or_default(),
        name: lot.map(|lot| lot.event.name.clone()).unwrap_or_default(),
    }
}

fn device(snapshot: &Snapshot, id: &Id16) -> MaterialView {
    let device = snapshot.equipment(id);
    let standing = device.as_ref().and_then(|device| device.standings.last());
    MaterialView {
        kind: "device".to_owned(),
        id: id.0.to_vec(),
        code: standing.map(|s| s.event.code.clone()).unwrap_or_default(),
        name: standing.map(|s| s.event.name.clone()).unwrap_or_default(),
    }
}
