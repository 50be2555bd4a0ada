//! Rules about a trial's protocol. Nothing of any trial is in the code: these rules only ask that a protocol is fit to be judged by.

use std::collections::BTreeSet;

use marrowline_record::pb::{ProtocolPublished, StreamKind};

use crate::codes::{self, Class, protocol as code};
use crate::context::Context;
use crate::finding::Look;
use crate::index::{CODE_TRIAL, IndexKey};

/// The gates that a protocol may let an emergency pass: how old the weighing is, how much and how often, and how long something keeps. These
/// are a physician's and a pharmacist's judgement of one subject. All others are never passed: whose it is and what it is, whether the lot
/// is fit for anybody, consent, death, keys. A new gate is not in the list until somebody has thought about it.
const MAY_BE_OVERRIDDEN: [&codes::Code; 9] = [
    &codes::dose::WEIGHING_NOT_LATEST,
    &codes::dose::WEIGHING_TOO_OLD,
    &codes::dose::WEIGHT_CHANGED,
    &codes::dose::TARGET_OUTSIDE_BAND,
    &codes::dose::INTERVAL_TOO_SHORT,
    &codes::dose::DOSE_BELOW_BAND,
    &codes::dose::DOSE_EXPIRED,
    &codes::dose::DOSE_VIABILITY_LOW,
    &codes::lot::UNIT_EXPIRED,
];

/// Whether an emergency may pass the gate of this name if the protocol lists it.
pub(super) fn may_be_overridden(name: &str) -> bool {
    MAY_BE_OVERRIDDEN.iter().any(|code| code.name == name)
}

pub(super) fn published(c: &mut Context<'_>, e: &ProtocolPublished) {
    version_is_next(c, e);
    arms(c, e);
    dose_and_ages(c, e);
    items_are_unique(c, e);
    registration_is_free(c, e);
    override_list(c, e);
    randomisation_list(c, e);
}

pub(super) fn trial_resumed(c: &mut Context<'_>) {
    let trial = c.view.protocol(&c.stream_id(StreamKind::Protocol));
    let at = c.judged_at_ms();
    let is_halted = trial.as_ref().is_some_and(|trial| trial.halt_at(at).is_some());
    c.demand(
        is_halted,
        &code::TRIAL_NOT_HALTED,
        || "a trial that is not halted".to_owned(),
        || "a halted trial".to_owned(),
        Vec::new,
    );
    not_closed(c);
}

pub(super) fn trial_closed(c: &mut Context<'_>) {
    not_closed(c);
}

fn not_closed(c: &mut Context<'_>) {
    let closed = c.view.protocol(&c.stream_id(StreamKind::Protocol)).and_then(|trial| trial.closed);
    c.demand(
        closed.is_none(),
        &code::TRIAL_ALREADY_CLOSED,
        || "a closed trial".to_owned(),
        || "a trial that is open".to_owned(),
        || closed.map(|(record, _)| Look::Record(record)).into_iter().collect(),
    );
}

fn version_is_next(c: &mut Context<'_>, e: &ProtocolPublished) {
    let last = c.view.protocol(&c.stream_id(StreamKind::Protocol)).map_or(0, |p| p.last_version());
    c.demand(
        e.version == last.saturating_add(1),
        &code::PROTOCOL_VERSION_NOT_NEXT,
        || format!("version {}", e.version),
        || format!("version {}", last.saturating_add(1)),
        || vec![field("version")],
    );
}

fn arms(c: &mut Context<'_>, e: &ProtocolPublished) {
    let (mut numbers, mut names) = (BTreeSet::new(), BTreeSet::new());
    let repeated: Vec<String> = e
        .arms
        .iter()
        .filter(|arm| !(numbers.insert(arm.arm) & names.insert(arm.code.as_str())))
        .map(|arm| format!("arm {} `{}`", arm.arm, arm.code))
        .collect();
    c.demand(
        repeated.is_empty(),
        &code::PROTOCOL_ARM_REPEATED,
        || format!("{} after an arm with the same number or code", repeated.join(", ")),
        || "each number and each code once".to_owned(),
        || vec![field("arms")],
    );
    c.demand(
        e.arms.iter().any(|arm| arm.receives_cells),
        &code::PROTOCOL_WITHOUT_CELL_ARM,
        || format!("{} arms, none of which receives cells", e.arms.len()),
        || "one arm that receives cells, or more".to_owned(),
        || vec![field("arms")],
    );
}

fn dose_and_ages(c: &mut Context<'_>, e: &ProtocolPublished) {
    let (min, max) = e.dose_band.as_ref().map_or((0, 0), |band| (band.min_viable_cells_per_kg, band.max_viable_cells_per_kg));
    let cap = e.max_viable_cells_per_kg_per_24h;
    c.demand(
        min <= max && max <= cap,
        &code::PROTOCOL_BAND_WRONG,
        || format!("smallest {min}, largest {max}, within 24 hours {cap} viable cells/kg"),
        || "smallest ≤ largest ≤ within 24 hours".to_owned(),
        || vec![field("dose_band"), field("max_viable_cells_per_kg_per_24h")],
    );
    let youngest = e.min_age_years.unwrap_or(0);
    c.demand(
        youngest <= e.max_age_years,
        &code::PROTOCOL_AGES_WRONG,
        || format!("youngest {youngest}, oldest {} completed years", e.max_age_years),
        || "youngest ≤ oldest".to_owned(),
        || vec![field("min_age_years"), field("max_age_years")],
    );
}

fn items_are_unique(c: &mut Context<'_>, e: &ProtocolPublished) {
    let lists: [(&str, Vec<String>); 5] = [
        ("exclusions", e.exclusions.iter().map(|x| x.code.clone()).collect()),
        ("counts", e.counts.iter().map(|x| x.analyte().as_str_name().to_owned()).collect()),
        ("consent_kinds", e.consent_kinds().map(|kind| kind.as_str_name().to_owned()).collect()),
        ("override_codes", e.override_codes.clone()),
        ("follow_up_days", e.follow_up_days.iter().map(|day| format!("day {day}")).collect()),
    ];
    let mut repeated = Vec::new();
    let mut look_at = Vec::new();
    for (name, items) in &lists {
        let mut seen = BTreeSet::new();
        let twice: Vec<&String> = items.iter().filter(|item| !seen.insert(item.as_str())).collect();
        if !twice.is_empty() {
            look_at.push(field(name));
            repeated.extend(twice.into_iter().map(|item| format!("`{item}` in {name}")));
        }
    }
    c.demand(
        repeated.is_empty(),
        &code::PROTOCOL_ITEM_REPEATED,
        || format!("{} for the second time", repeated.join(", ")),
        || "each once".to_owned(),
        || look_at,
    );
}

fn registration_is_free(c: &mut Context<'_>, e: &ProtocolPublished) {
    let key = IndexKey::Code { kind: CODE_TRIAL, code: e.registration.clone() };
    let this = c.stream_id(StreamKind::Protocol);
    let owner = c.view.lookup(&key).filter(|owner| *owner != this.0);
    c.demand(
        owner.is_none(),
        &code::PROTOCOL_REGISTRATION_TAKEN,
        || format!("`{}`, which another protocol has", e.registration),
        || "a registration number of this protocol alone".to_owned(),
        || {
            let id = owner.map(|owner| marrowline_record::id::Id16(owner).to_string()).unwrap_or_default();
            vec![field("registration"), Look::Thing { kind: "protocol", id }]
        },
    );
}

fn override_list(c: &mut Context<'_>, e: &ProtocolPublished) {
    let is_gate = |name: &String| codes::by_name(name).is_some_and(|code| code.class == Class::Gate);
    let forbidden: Vec<&str> =
        e.override_codes.iter().filter(|n| is_gate(n) && !may_be_overridden(n)).map(String::as_str).collect();
    c.demand(
        forbidden.is_empty(),
        &code::PROTOCOL_OVERRIDE_FORBIDDEN,
        || forbidden.join(", "),
        || MAY_BE_OVERRIDDEN.map(|code| code.name).join(", "),
        || vec![field("override_codes")],
    );
    let no_gates: Vec<&str> = e.override_codes.iter().filter(|n| !is_gate(n)).map(String::as_str).collect();
    c.demand(
        no_gates.is_empty(),
        &code::PROTOCOL_OVERRIDE_NOT_A_GATE,
        || no_gates.join(", "),
        || "names of gates of this rule set".to_owned(),
        || vec![field("override_codes")],
    );
}

fn randomisation_list(c: &mut Context<'_>, e: &ProtocolPublished) {
    let slots = e.randomisation.as_ref().map_or(0, |list| list.slots);
    c.demand(
        slots >= e.sample_size,
        &code::PROTOCOL_SLOTS_TOO_FEW,
        || format!("{slots} slots for {} subjects", e.sample_size),
        || format!("{} slots or more", e.sample_size),
        || vec![field("randomisation.slots"), field("sample_size")],
    );
    let Some(protocol) = c.view.protocol(&c.stream_id(StreamKind::Protocol)) else {
        return;
    };
    let Some(first) = protocol.slots.first() else {
        return;
    };
    let Some((last_record, last)) = protocol.versions.values().next_back() else {
        return;
    };
    c.demand(
        last.randomisation == e.randomisation,
        &code::PROTOCOL_LIST_CHANGED,
        || format!("another list after {} slots of the first one were given", protocol.slots.len()),
        || format!("the commitment of version {}", last.version),
        || vec![field("randomisation"), Look::Record(*last_record), Look::Record(first.record_id)],
    );
}

fn field(path: &str) -> Look {
    Look::Field(format!("protocol_published.{path}"))
}
