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

/// A result, and what it says.
pub struct Value {
    pub text: &'static str,
    pub verdict: Verdict,
    /// It is of another kind than the criterion.
    pub differs: bool,
}

const fn says(text: &'static str, verdict: Verdict) -> Value {
    Value { text, verdict, differs: false }
}

const fn differs(text: &'static str, verdict: Verdict) -> Value {
    Value { text, verdict, differs: true }
}

/// A test of the specification with results around its criterion.
pub struct Test {
    pub code: &'static str,
    pub is_final: bool,
    pub is_waivable: bool,
    pub incubation: Option<i64>,
    pub results: &'static [Value],
}

const fn test(code: &'static str, incubation: Option<i64>, results: &'static [Value]) -> Test {
    Test { code, is_final: false, is_waivable: false, incubation, results }
}

const ABSENCE: &[Value] = &[
    says("ABSENT", Verdict::Passes),
    says("PRESENT", Verdict::Fails),
    says("INVALID", Verdict::Nothing),
    says("{kind=ABSENT value=0}", Verdict::Incomplete),
    // A number where absence is asked for: more than none is growth.
    differs("\"5 {CFU}\"", Verdict::Fails),
    differs("\">0 {CFU}\"", Verdict::Fails),
    differs("\"0 {CFU}\"", Verdict::Nothing),
    differs("\"<1 {CFU}\"", Verdict::Nothing),
];
/// At most 0.5.
const ENDOTOXIN: &[Value] = &[
    says("\"<0.05 [EU]/mL\"", Verdict::Passes),
    says("\"0.5 [EU]/mL\"", Verdict::Passes),
    says("\"0.50 [EU]/mL\"", Verdict::Passes),
    says("\"<0.5 [EU]/mL\"", Verdict::Passes),
    says("\"below 0.05 [EU]/mL\"", Verdict::Passes),
    says("\"0.501 [EU]/mL\"", Verdict::Fails),
    says("\">0.5 [EU]/mL\"", Verdict::Fails),
    says("\"above 0.5 [EU]/mL\"", Verdict::Fails),
    says("\"<1.0 [EU]/mL\"", Verdict::Nothing),
    says("\"<0.51 [EU]/mL\"", Verdict::Nothing),
    says("\">0.4 [EU]/mL\"", Verdict::Nothing),
    says("\"below 0.6 [EU]/mL\"", Verdict::Nothing),
    says("\"above 0.49 [EU]/mL\"", Verdict::Nothing),
    says("INVALID", Verdict::Nothing),
    differs("ABSENT", Verdict::Nothing),
    says("\"<50 m[EU]/mL\"", Verdict::OtherUnit),
    says("{kind=QUANTITATIVE value=0.05 unit_ucum=[EU]/mL}", Verdict::Incomplete),
];
/// At least 95.
const IDENTITY: &[Value] = &[
    says("\"96.1 %\"", Verdict::Passes),
    says("\"95 %\"", Verdict::Passes),
    says("\"95.0 %\"", Verdict::Passes),
    says("\">95 %\"", Verdict::Passes),
    says("\"above 95 %\"", Verdict::Passes),
    says("\"94.999 %\"", Verdict::Fails),
    says("\"<95 %\"", Verdict::Fails),
    says("\"below 95 %\"", Verdict::Fails),
    says("\"<95.1 %\"", Verdict::Nothing),
    says("\">94.9 %\"", Verdict::Nothing),
    says("\"above 90 %\"", Verdict::Nothing),
    says("INVALID", Verdict::Nothing),
    differs("PRESENT", Verdict::Nothing),
    says("\"961 [ppth]\"", Verdict::OtherUnit),
    says("{kind=QUANTITATIVE value=96.1 unit_ucum=%}", Verdict::Incomplete),
];
/// At least 20.
const POTENCY: &[Value] = &[
    says("\"35 %\"", Verdict::Passes),
    says("\"20 %\"", Verdict::Passes),
    says("\"19.9 %\"", Verdict::Fails),
    says("\"<20 %\"", Verdict::Fails),
    says("INVALID", Verdict::Nothing),
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
