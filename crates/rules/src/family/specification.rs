//! Publishing a product's specification.

use std::collections::BTreeSet;

use marrowline_record::id::Id16;
use marrowline_record::pb::{self, CriterionKind, EvidenceKind, ReleaseStage, ResultKind, StreamKind, TestKind};

use crate::codes::lot::STERILITY_CRITERION_NOT_ABSENT;
use crate::codes::specification as codes;
use crate::context::Context;
use crate::finding::Look;
use crate::index::{CODE_PRODUCT, IndexKey};

/// Shortest incubation of a final sterility test, s (Ph. Eur. 2.6.27: 14 days).
pub const STERILITY_SECONDS: u32 = 14 * 24 * 3_600;

fn field(path: impl Into<String>) -> Vec<Look> {
    vec![Look::Field(format!("specification_published.{}", path.into()))]
}

/// Whether a kind of test can never be waived.
pub fn is_never_waivable(kind: TestKind) -> bool {
    matches!(kind, TestKind::Sterility | TestKind::Mycoplasma | TestKind::Endotoxin | TestKind::Identity)
}

pub(super) fn published(c: &mut Context<'_>, e: &pb::SpecificationPublished) {
    let id = c.stream_id(StreamKind::Specification);
    let last = c.view.specification(&id).map_or(0, |s| s.last_version());
    c.demand(
        Some(e.version) == last.checked_add(1),
        &codes::SPECIFICATION_VERSION_WRONG,
        || format!("version {}", e.version),
        || format!("version {}", last.saturating_add(1)),
        || field("version"),
    );
    let holder = c.view.lookup(&IndexKey::Code { kind: CODE_PRODUCT, code: e.product_code.clone() });
    c.demand(
        holder.is_none_or(|h| h == id.0),
        &codes::PRODUCT_CODE_TAKEN,
        || format!("product code {} of specification {}", e.product_code, Id16(holder.unwrap_or_default())),
        || "a product code of its own".to_owned(),
        || field("product_code"),
    );
    for kind in e.required_evidence() {
        // Readings are evidence since rule set 2.
        let is_judged = kind != EvidenceKind::Readings || c.rule_set >= 2;
        c.demand(
            is_judged && kind != EvidenceKind::Unspecified,
            &codes::EVIDENCE_NOT_SUPPORTED,
            || crate::frame::words(kind.as_str_name()).replace("KIND_", ""),
            || "LABELS, REAGENTS or EQUIPMENT; READINGS under rule set 2".to_owned(),
            || field("required_evidence"),
        );
    }
    check_panel(c, e);
    check_tests(c, e);
    check_bands(c, e);
}

fn check_panel(c: &mut Context<'_>, e: &pb::SpecificationPublished) {
    let mut codes_seen = BTreeSet::new();
    for (number, test) in e.donor_panel.iter().enumerate() {
        let path = format!("donor_panel[{number}]");
        c.demand(
            codes_seen.insert(test.code.as_str()),
            &codes::TEST_CODE_REPEATED,
            || format!("{} twice", test.code),
            || "each code once".to_owned(),
            || field(path.clone()),
        );
        c.demand(
            matches!(test.required_result(), ResultKind::Absent | ResultKind::Present),
            &codes::PANEL_RESULT_NOT_QUALITATIVE,
            || crate::frame::words(test.required_result().as_str_name()),
            || "ABSENT or PRESENT".to_owned(),
            || field(path.clone()),
        );
    }
}

fn check_tests(c: &mut Context<'_>, e: &pb::SpecificationPublished) {
    let mut codes_seen = BTreeSet::new();
    for (number, test) in e.tests.iter().enumerate() {
        let path = format!("tests[{number}]");
        c.demand(
            codes_seen.insert(test.code.as_str()),
            &codes::TEST_CODE_REPEATED,
            || format!("{} twice", test.code),
            || "each code once".to_owned(),
            || field(path.clone()),
        );
        check_criterion(c, test, &path);
        check_absence(c, test, &path);
        c.demand(
            !(test.waivable && is_never_waivable(test.kind())),
            &codes::TEST_NEVER_WAIVABLE,
            || format!("{} is waivable", test.code),
            || "not waivable".to_owned(),
            || field(format!("{path}.waivable")),
        );
        let is_final_sterility = test.kind() == TestKind::Sterility && test.stage() == ReleaseStage::Final;
        c.demand(
            !is_final_sterility || test.min_incubation_seconds.is_some_and(|s| s >= STERILITY_SECONDS),
            &codes::STERILITY_TOO_SHORT,
            || format!("{} s", test.min_incubation_seconds.unwrap_or(0)),
            || format!("{STERILITY_SECONDS} s or more"),
            || field(format!("{path}.min_incubation_seconds")),
        );
    }
    for kind in [TestKind::Sterility, TestKind::Mycoplasma, TestKind::Endotoxin, TestKind::Identity] {
        let has = e.tests.iter().any(|t| t.kind() == kind && (kind != TestKind::Sterility || t.stage() == ReleaseStage::Final));
        c.demand(
            has,
            &codes::REQUIRED_TEST_MISSING,
            || format!("no test of kind {}", crate::frame::words(kind.as_str_name()).replace("KIND_", "")),
            || "sterility at the final stage, mycoplasma, endotoxin, identity".to_owned(),
            || field("tests"),
        );
    }
}

/// No growth is all that these tests can ask for: any other criterion would pass a contaminated lot.
fn check_absence(c: &mut Context<'_>, test: &pb::LotTest, path: &str) {
    let criterion = test.criterion.as_ref().map_or(CriterionKind::Unspecified, |criterion| criterion.kind());
    c.demand(
        !matches!(test.kind(), TestKind::Sterility | TestKind::Mycoplasma) || criterion == CriterionKind::Absent,
        &STERILITY_CRITERION_NOT_ABSENT,
        || format!("{} asks for {}", test.code, crate::frame::words(criterion.as_str_name()).replace("KIND_", "")),
        || "ABSENT".to_owned(),
        || field(format!("{path}.criterion")),
    );
}

fn check_criterion(c: &mut Context<'_>, test: &pb::LotTest, path: &str) {
    let Some(criterion) = &test.criterion else {
        return;
    };
    let compares = matches!(criterion.kind(), CriterionKind::AtLeast | CriterionKind::AtMost);
    let given = (criterion.limit.is_some(), criterion.unit_ucum.is_some());
    c.demand(
        given == (compares, compares),
        &codes::CRITERION_INCOMPLETE,
        || format!("limit {}, unit {}", presence(given.0), presence(given.1)),
        || format!("limit and unit {}", presence(compares)),
        || field(format!("{path}.criterion")),
    );
}

fn presence(given: bool) -> &'static str {
    if given { "given" } else { "not given" }
}

fn check_bands(c: &mut Context<'_>, e: &pb::SpecificationPublished) {
    let bands = [
        ("cells_per_unit", e.min_cells_per_unit, e.max_cells_per_unit),
        ("dmso_basis_points", u64::from(e.min_dmso_basis_points.unwrap_or(0)), u64::from(e.max_dmso_basis_points.unwrap_or(0))),
    ];
    for (name, min, max) in bands {
        c.demand(
            min <= max,
            &codes::BAND_REVERSED,
            || format!("{min} to {max}"),
            || "the lower bound first".to_owned(),
            || field(format!("min_{name}")),
        );
    }
}
