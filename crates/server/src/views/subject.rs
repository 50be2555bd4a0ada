//! A subject and its doses as people are shown them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use marrowline_api::v1;
use marrowline_ledger::{Ledger, Snapshot};
use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::{self, StreamKind};
use marrowline_rules::View;
use marrowline_rules::family::dose_check;
use marrowline_rules::index::lot_of_unit;
use marrowline_rules::state::subject::{Dose, Order};
use marrowline_rules::state::upkeep::Recall;
use marrowline_rules::state::{Lot, Subject};

use super::{recall, signature, stream};
use crate::auth::Person;
use crate::reading;

/// A dose.
pub fn dose(snapshot: &Snapshot, subject: &Subject, dose: &Dose) -> v1::DoseView {
    let check = dose_check::check(snapshot, &dose.id, snapshot.now_ms());
    let order = subject.order(&dose.order_id);
    let lots: BTreeMap<Id16, Arc<Lot>> = lots_of(snapshot, dose).map(|lot| (lot.id, lot)).collect();
    let lot_code = |lot: &Arc<Lot>| lot.opened.as_ref().map(|(_, e)| e.lot_code.clone());
    v1::DoseView {
        dose_id: dose.id.0.to_vec(),
        dose_code: dose.code.clone(),
        subject_id: subject.id.0.to_vec(),
        subject_code: code(subject),
        order_id: dose.order_id.0.to_vec(),
        ordered_at_ms: order.map_or(0, |order| order.ordered_at_ms),
        ordered_by: order.map(|order| signers(snapshot, &order.record_id)).unwrap_or_default(),
        state: format!("{:?}", dose_check::state_of(snapshot, dose)).to_lowercase(),
        dispensed_at_ms: dose.dispensed.as_ref().map_or(0, |dispensed| dispensed.dispensed_at_ms),
        dispensed_by: dose.dispensed.as_ref().map(|d| signers(snapshot, &d.record_id)).unwrap_or_default(),
        unit_ids: dose.portions.iter().map(|p| p.unit_id.0.to_vec()).collect(),
        unit_codes: dose.portions.iter().map(|p| unit_code(snapshot, &p.unit_id)).collect(),
        lot_codes: lots.values().filter_map(lot_code).collect(),
        total_cells: dose.total_cells,
        viability_basis_points: dose.viability_basis_points,
        viable_cells_per_kg: check.viable_cells_per_kg.unwrap_or(0),
        expires_at_ms: check.expires_at_ms.unwrap_or(dose.expires_at_ms),
        ..v1::DoseView::default()
    }
}

fn lots_of<'a>(snapshot: &'a Snapshot, dose: &'a Dose) -> impl Iterator<Item = Arc<Lot>> + 'a {
    dose.portions.iter().filter_map(|portion| snapshot.lot(&lot_of_unit(snapshot, &portion.unit_id)?))
}

fn code(subject: &Subject) -> String {
    subject.consents.first().map(|consent| consent.event.subject_code.clone()).unwrap_or_default()
}

/// A unit's code; its id if its lot is not known.
fn unit_code(snapshot: &Snapshot, id: &Id16) -> String {
    let lot = lot_of_unit(snapshot, id).and_then(|lot| snapshot.lot(&lot));
    lot.and_then(|lot| lot.units.get(id).map(|unit| unit.code.clone())).unwrap_or_else(|| id.to_string())
}

/// Printed names of those who signed a record.
fn signers(snapshot: &Snapshot, id: &RecordId) -> Vec<String> {
    let authority = snapshot.authority();
    let entry = snapshot.entry(id);
    entry.iter().flat_map(|entry| &entry.signings).map(|s| signature(s, &authority).printed_name).collect()
}

/// A subject.
pub fn subject(ledger: &Ledger, snapshot: &Snapshot, person: &Person, subject: &Subject) -> v1::SubjectView {
    let protocol = subject.protocol();
    let arm = subject.randomised.as_ref().and_then(|r| {
        let (id, version) = protocol?;
        let document = snapshot.protocol(&id)?.version(version).cloned()?;
        document.arms.iter().find(|a| a.arm == r.arm).map(|a| a.code.clone())
    });
    let end = |record: RecordId, at_ms: i64| v1::EndOfTreatmentView { record_id: record.0.to_vec(), at_ms };
    v1::SubjectView {
        stream: Some(stream(ledger, snapshot, StreamKind::Subject, &subject.id, &subject.upkeep)),
        subject_code: code(subject),
        protocol: protocol.map(|(id, version)| pb::VersionRef { id: id.0.to_vec(), version }),
        arm: arm.unwrap_or_default(),
        weight_grams: subject.latest_weighing().map_or(0, |w| w.weight_grams),
        doses: subject.doses.iter().map(|d| dose(snapshot, subject, d)).collect(),
        died: subject.death().map(|vital| end(vital.record_id, vital.at_ms)),
        withdrew: subject
            .withdrawn
            .or_else(|| subject.consent_withdrawal_at(snapshot.now_ms()))
            .map(|(record, at_ms)| end(record, at_ms)),
        orders: subject.orders.iter().map(|o| order(snapshot, subject, o)).collect(),
        recalls: recalls(snapshot, person, subject),
    }
}

fn order(snapshot: &Snapshot, subject: &Subject, order: &Order) -> v1::OrderView {
    let dose = order.dose_id.and_then(|id| subject.dose(&id));
    v1::OrderView {
        order_id: order.id.0.to_vec(),
        record_id: order.record_id.0.to_vec(),
        ordered_at_ms: order.ordered_at_ms,
        ordered_by: signers(snapshot, &order.record_id),
        target_viable_cells_per_kg: order.target_viable_cells_per_kg,
        unit_codes: order.allocated.iter().map(|(unit, _)| unit_code(snapshot, unit)).collect(),
        dose_code: dose.map(|dose| dose.code.clone()).unwrap_or_default(),
        cancelled_by: order.cancelled_by.map(|record| record.0.to_vec()).unwrap_or_default(),
    }
}

/// Recalls and look-backs of the lots that the subject was infused with, and of their donors. That there is one is told to whoever treats
/// the subject; what a donor's says of the donor only to who may read it.
fn recalls(snapshot: &Snapshot, person: &Person, subject: &Subject) -> Vec<v1::RecallView> {
    let infused = subject.doses.iter().filter(|dose| dose.infusion.is_some());
    let lots: BTreeMap<Id16, Arc<Lot>> = infused.flat_map(|dose| lots_of(snapshot, dose)).map(|lot| (lot.id, lot)).collect();
    let named = |thing: String| move |r: &Recall| v1::RecallView { thing: thing.clone(), ..recall(r) };
    let mut all = Vec::new();
    for lot in lots.values() {
        let code = lot.opened.as_ref().map(|(_, e)| e.lot_code.clone()).unwrap_or_default();
        all.extend(lot.upkeep.recalls.iter().map(named(format!("lot {code}"))));
    }
    let donors: BTreeSet<Id16> = lots.values().filter_map(|lot| lot.donor_id).collect();
    for donor in donors.iter().filter_map(|id| snapshot.donor(id)) {
        let of_donor = donor.upkeep.recalls.iter().map(named("a donor of the dose".to_owned()));
        let is_readable = reading::may_read(person, StreamKind::Donor, &donor.upkeep);
        let withheld = |view: v1::RecallView| v1::RecallView { reason: "not shown".to_owned(), ..view };
        all.extend(of_donor.map(|view| if is_readable { view } else { withheld(view) }));
    }
    all
}
