//! Rules about the preparation of a dose. Nothing of it is refused: it happened. What is wrong is flagged, and the dose check answers
//! RED for the same reasons.

use marrowline_record::id::Id16;
use marrowline_record::pb::{self, StreamKind};

use crate::codes::dose as code;
use crate::context::Context;
use crate::family::dose::case::Case;
use crate::family::dose::findings::{Findings, field, record, thing};
use crate::family::dose::words::{duration, moment};
use crate::family::dose::{amount, order, portions, weight};
use crate::index::{CODE_DOSE, IndexKey, is_dose, subject_of_dose};
use crate::state::subject::Dose;

pub(in crate::family) fn prepared(c: &mut Context<'_>, e: &pb::DosePrepared) {
    let Some(subject) = c.view.subject(&c.stream_id(StreamKind::Subject)) else {
        return;
    };
    let facility = c.signers.first().map_or(Id16([0; 16]), |signer| signer.facility_id);
    let dose = Dose::stated(e, c.record_id(), facility, c.occurred_at_ms);
    let mut f = Findings::default();
    id_and_code(c, &mut f, &dose);
    order::known_and_open(&mut f, &subject, &dose.order_id, None);
    let case = Case::of(c.view, &subject, &dose, c.occurred_at_ms);
    portions::lots_extended(c, &mut f, case.parts.iter().map(|(_, sight)| sight));
    // The dose check says so of every unit that it finds unfit.
    for (_, seen) in case.seen() {
        portions::exists(&mut f, &seen.unit);
        portions::held_by(&mut f, &seen.unit, &facility);
    }
    made_of(&mut f, &case, false);
    amount::as_its_units(&mut f, &case);
    f.into_context(c);
}

/// What the dose is made of: units, amounts, expiry. Asked at the preparation and by the dose check, when the preparation is `recorded`.
pub(in crate::family) fn made_of(f: &mut Findings, case: &Case<'_>, recorded: bool) {
    portions::known(f, case.parts.iter().map(|(_, sight)| sight));
    portions::named_once(f, case.parts.iter().map(|(portion, _)| portion.unit_id));
    for (portion, seen) in case.seen() {
        portions::allocated_to(f, &seen.unit, &case.subject.id, &case.dose.order_id);
        portions::given(f, case, portion, &seen.unit);
        portions::in_this_dose(f, case, &seen.unit, recorded);
        if let Some(thaw) = &seen.unit.thaw {
            portions::viable_after_thaw(f, seen, thaw.viability_basis_points);
        }
    }
    let seen: Vec<_> = case.seen().map(|(_, seen)| seen).collect();
    portions::donors(f, seen.iter().copied());
    weight::counts(f, &case.standing, case.order);
    amount::cells(f, case);
    amount::quality(f, case);
    expiry(f, case);
}

fn id_and_code(c: &Context<'_>, f: &mut Findings, dose: &Dose) {
    let owner = subject_of_dose(c.view, &dose.id).filter(|_| is_dose(c.view, &dose.id));
    f.demand(
        owner.is_none(),
        &code::DOSE_ID_USED,
        || format!("dose {} for the second time", dose.id),
        || "a new id".to_owned(),
        || owner.iter().map(|owner| thing("subject", owner)).collect(),
    );
    let key = IndexKey::Code { kind: CODE_DOSE, code: dose.code.clone() };
    let other = c.view.lookup(&key).map(Id16).filter(|other| is_dose(c.view, other));
    f.demand(
        other.is_none(),
        &code::DOSE_CODE_USED,
        || format!("`{}` for the second time", dose.code),
        || "a new code".to_owned(),
        || vec![field("dose_prepared.dose_code")].into_iter().chain(other.iter().map(|o| thing("dose", o))).collect(),
    );
}

/// The stated expiry is the earliest thaw plus the window, and the moment is not after it.
fn expiry(f: &mut Findings, case: &Case<'_>) {
    let stated = case.dose.expires_at_ms;
    if let Some(computed) = case.computed_expiry_ms() {
        f.demand(
            stated == computed,
            &code::DOSE_EXPIRY_WRONG,
            || moment(stated),
            || format!("{}, the earliest thaw plus the thaw window", moment(computed)),
            || {
                let thaws = case.seen().filter_map(|(_, seen)| seen.unit.thaw.as_ref());
                thaws.map(|thaw| record(thaw.record_id)).collect()
            },
        );
    }
    not_expired(f, case);
}

/// Not after the earlier of the stated and the computed expiry, inclusive.
pub(in crate::family) fn not_expired(f: &mut Findings, case: &Case<'_>) {
    let end = case.expires_at_ms();
    f.demand(
        case.at_ms <= end,
        &code::DOSE_EXPIRED,
        || format!("{}, {} after the expiry", moment(case.at_ms), duration(case.at_ms.saturating_sub(end))),
        || format!("up to {}, that moment included", moment(end)),
        || vec![record(case.dose.record_id)],
    );
}
