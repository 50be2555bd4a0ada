//! Codes of specifications.

crate::codes! {
    200 SPECIFICATION_VERSION_WRONG Gate [] (Specification) "a specification's version is the last one plus 1" => "read the last version and publish the next";
    201 EVIDENCE_NOT_SUPPORTED Gate [] () "a specification asks only for evidence whose records this version has" => "leave the kind of evidence out, or wait for the release that has its records";
    202 TEST_CODE_REPEATED Gate [] () "each test of a specification has its own code" => "rename one of the tests";
    203 CRITERION_INCOMPLETE Gate [] () "a criterion has a limit and a unit exactly where it compares numbers" => "complete the criterion, or choose one without a limit";
    204 TEST_NEVER_WAIVABLE Gate [] () "sterility, mycoplasma, endotoxin and identity are never waivable" => "mark the test as not waivable";
    205 STERILITY_TOO_SHORT Gate [] () "a final sterility test is read 14 days or more after inoculation" => "set the incubation to 1209600 s or more";
    206 BAND_REVERSED Gate [] () "a lower bound is not above its upper bound" => "correct the bounds";
    207 REQUIRED_TEST_MISSING Gate [] () "a specification has sterility before final release, mycoplasma, endotoxin and identity" => "add the missing test";
    208 PANEL_RESULT_NOT_QUALITATIVE Gate [] () "a donor test asks for absence or presence" => "choose ABSENT or PRESENT";
    209 PRODUCT_CODE_TAKEN Gate [] (Specification) "a product code belongs to one specification" => "choose another product code, or publish the next version of the specification that has it";
}
