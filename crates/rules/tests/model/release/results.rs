//! The tests of the specification, and results around the criterion of each with what they say about it: the table is the model.

const DAY: i64 = 86_400_000;

/// What a result says about its criterion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Passes,
    Fails,
    /// Invalid, or it may be either: the test was not performed.
    Nothing,
    Incomplete,
    OtherUnit,
}

/// A test of the specification with results around its criterion.
pub struct Test {
    pub code: &'static str,
    pub is_final: bool,
    pub is_waivable: bool,
    pub incubation: Option<i64>,
    pub results: &'static [(&'static str, Verdict)],
}

const fn test(code: &'static str, incubation: Option<i64>, results: &'static [(&'static str, Verdict)]) -> Test {
    Test { code, is_final: false, is_waivable: false, incubation, results }
}

const ABSENCE: &[(&str, Verdict)] = &[
    ("ABSENT", Verdict::Passes),
    ("PRESENT", Verdict::Fails),
    ("INVALID", Verdict::Nothing),
    ("{kind=ABSENT value=0}", Verdict::Incomplete),
];
/// At most 0.5.
const ENDOTOXIN: &[(&str, Verdict)] = &[
    ("\"<0.05 [EU]/mL\"", Verdict::Passes),
    ("\"0.5 [EU]/mL\"", Verdict::Passes),
    ("\"0.50 [EU]/mL\"", Verdict::Passes),
    ("\"<0.5 [EU]/mL\"", Verdict::Passes),
    ("\"below 0.05 [EU]/mL\"", Verdict::Passes),
    ("\"0.501 [EU]/mL\"", Verdict::Fails),
    ("\">0.5 [EU]/mL\"", Verdict::Fails),
    ("\"above 0.5 [EU]/mL\"", Verdict::Fails),
    ("\"<1.0 [EU]/mL\"", Verdict::Nothing),
    ("\"<0.51 [EU]/mL\"", Verdict::Nothing),
    ("\">0.4 [EU]/mL\"", Verdict::Nothing),
    ("\"below 0.6 [EU]/mL\"", Verdict::Nothing),
    ("\"above 0.49 [EU]/mL\"", Verdict::Nothing),
    ("INVALID", Verdict::Nothing),
    ("\"<50 m[EU]/mL\"", Verdict::OtherUnit),
    ("{kind=QUANTITATIVE value=0.05 unit_ucum=[EU]/mL}", Verdict::Incomplete),
];
/// At least 95.
const IDENTITY: &[(&str, Verdict)] = &[
    ("\"96.1 %\"", Verdict::Passes),
    ("\"95 %\"", Verdict::Passes),
    ("\"95.0 %\"", Verdict::Passes),
    ("\">95 %\"", Verdict::Passes),
    ("\"above 95 %\"", Verdict::Passes),
    ("\"94.999 %\"", Verdict::Fails),
    ("\"<95 %\"", Verdict::Fails),
    ("\"below 95 %\"", Verdict::Fails),
    ("\"<95.1 %\"", Verdict::Nothing),
    ("\">94.9 %\"", Verdict::Nothing),
    ("\"above 90 %\"", Verdict::Nothing),
    ("INVALID", Verdict::Nothing),
    ("\"961 [ppth]\"", Verdict::OtherUnit),
    ("{kind=QUANTITATIVE value=96.1 unit_ucum=%}", Verdict::Incomplete),
];
/// At least 20.
const POTENCY: &[(&str, Verdict)] = &[
    ("\"35 %\"", Verdict::Passes),
    ("\"20 %\"", Verdict::Passes),
    ("\"19.9 %\"", Verdict::Fails),
    ("\"<20 %\"", Verdict::Fails),
    ("INVALID", Verdict::Nothing),
];

/// The tests of the specification, and one that is none of them.
pub const TESTS: [Test; 7] = [
    test("STER7", Some(7 * DAY), ABSENCE),
    Test { is_final: true, ..test("STER14", Some(14 * DAY), ABSENCE) },
    test("MYCO", None, ABSENCE),
    test("ENDO", None, ENDOTOXIN),
    test("CD105", None, IDENTITY),
    Test { is_waivable: true, ..test("POT", None, POTENCY) },
    test("GRAM", None, ABSENCE),
];

/// The tests that a release asks for.
pub fn stage(is_final: bool) -> impl Iterator<Item = &'static Test> {
    TESTS.iter().filter(move |test| test.code != "GRAM" && (is_final || !test.is_final))
}
