//! What is measured of the subjects: interleukin 6 and creatinine, at the baseline and at two visits. All values are synthetic.

use marrowline_record::pb;
use marrowline_record::pb::StreamKind::Subject;
use marrowline_record::pb::record::Event;

use super::subjects::subject_code;
use super::{DemoError, Stage, Step};

/// Days of the protocol on which endpoints are measured; the protocol has more.
pub(super) const VISITS: [i64; 2] = [7, 28];

/// LOINC, UCUM unit, value at the baseline and what each subject adds to it, and the share that is left at the two visits, %, with cells
/// and without.
struct Endpoint {
    name: &'static str,
    loinc: &'static str,
    unit: &'static str,
    baseline: u32,
    spread: u32,
    left: [[u32; 2]; 2],
}

const ENDPOINTS: [Endpoint; 2] = [
    Endpoint { name: "interleukin 6", loinc: "26881-3", unit: "pg/mL", baseline: 640, spread: 37, left: [[28, 9], [46, 17]] },
    Endpoint { name: "creatinine", loinc: "2160-0", unit: "umol/L", baseline: 118, spread: 5, left: [[82, 71], [97, 84]] },
];

/// The steps of one visit.
pub(super) fn steps(slot: u32, subject: [u8; 16], day: i64, receives_cells: bool) -> Vec<Step> {
    let step = |endpoint: &Endpoint| {
        let arm = usize::from(!receives_cells);
        let visit = VISITS.iter().position(|visit| *visit == day);
        let left = visit.and_then(|visit| endpoint.left.get(arm)?.get(visit).copied()).unwrap_or(100);
        let value = (endpoint.baseline + endpoint.spread * (slot * 11 % 30)) * left / 100;
        let event = Event::EndpointObserved(pb::EndpointObserved {
            loinc_code: endpoint.loinc.to_owned(),
            visit_day: u32::try_from(day).ok(),
            result: Some(pb::TestResult {
                kind: pb::ResultKind::Quantitative.into(),
                value: Some(value.to_string()),
                unit_ucum: Some(endpoint.unit.to_owned()),
                comparator: Some(pb::Comparator::Equal.into()),
            }),
        });
        let words = format!("{}, day {day}: {} {value} {}", subject_code(slot), endpoint.name, endpoint.unit);
        Step::new(&words, event).by(&["inv"]).on(Subject, subject)
    };
    ENDPOINTS.iter().map(step).collect()
}

/// Before treatment.
pub(super) async fn baseline(stage: &mut Stage, slot: u32, subject: [u8; 16]) -> Result<(), DemoError> {
    for step in steps(slot, subject, 0, false) {
        stage.accept(step).await?;
    }
    Ok(())
}
