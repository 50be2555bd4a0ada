//! Codes of donors.

crate::codes! {
    300 DONOR_ALREADY_REGISTERED Gate [deviation Minor] (Donor) "a donor is registered once" => "use the donor's stream as it is; close the deviation";
    301 DONOR_CODE_TAKEN Gate [deviation Major holds Donor] (Donor) "a donor code belongs to one donor" => "find out which donor is meant; QA resolves the hold";
    302 DONOR_CONSENT_NOT_CLINICAL Gate [] (Donor) "a donor consents to clinical use before their marrow is used" => "record the donor's consent to clinical use";
    303 DONOR_TEST_NOT_IN_PANEL Flag [] (Donor, Specification) "a donor test belongs to a specification's panel" => "nothing; the result is kept, no panel asks for it";
    304 DONOR_TEST_OUT_OF_REQUIREMENT Flag [holds Donor] (Donor, Specification) "a donor test has the result that the panel requires" => "determine the donor ineligible or deferred, or have the test repeated";
    305 DONOR_RESULT_INCOMPLETE Gate [deviation Minor] () "a quantitative result has value, unit and comparator, any other none of them" => "report the result again, complete";
    306 DONOR_RESULT_UNKNOWN Gate [] (Donor) "a reviewed result was reported on this donor" => "check the record id of the report";
    307 DONOR_RESULT_ALREADY_REVIEWED Gate [] (Donor) "a result is reviewed once" => "have the test repeated if the review was wrong";
    308 DONOR_ANALYST_IS_REVIEWER Gate [] (Donor, Authority) "nobody reviews their own donor result" => "let another reviewer sign";
    309 DONOR_PANEL_INCOMPLETE Gate [] (Donor, Specification) "an eligible donor has every test of the panel, reviewed and as required" => "report and review the missing tests";
    310 DONOR_SPECIFICATION_UNKNOWN Gate [] (Specification) "eligibility is determined against a published specification" => "publish the specification first, or correct the reference";
    311 DONOR_CONSENT_MISSING Gate [] (Donor) "an eligible donor has consented to clinical use" => "record the donor's consent first";
    312 DONOR_HELD Gate [] (Donor) "an eligible donor has no open hold" => "resolve and lift the hold first";
    313 COLLECTED_WITHOUT_CONSENT Flag [deviation Critical holds Donor] (Donor) "marrow is collected after the donor's consent" => "QA decides on what was collected; the donor is held until then";
    314 COLLECTED_FROM_INELIGIBLE Flag [deviation Major holds Donor] (Donor) "marrow is collected from an eligible donor" => "determine eligibility, then QA resolves the hold";
    315 DIN_USED_BEFORE Flag [deviation Critical holds Donor] (Donor) "a donation number is used once" => "find out which collection the number belongs to; both donors are held until then";
    316 ELIGIBILITY_REVISED_AFTER_USE Flag [deviation Critical looks_back Donor] (Donor) "a donor stays eligible after lots were made" => "the look-back is open and every descendant unit held: trace the doses that were infused, and close it with their list";
    317 DONOR_CONSENT_WITHDRAWN Gate [deviation Critical holds Lot] (Donor) "a donor whose marrow or cells are used has not withdrawn their consent" => "collect, open and assign nothing more; destroy what is frozen if the consent says so";
    318 LOT_DONOR_PANEL_INCOMPLETE Gate [deviation Major holds Lot] (Donor, Specification) "the donor of a lot has every test of the panel of the lot's own specification, reviewed and as required" => "report and review the missing tests of the donor; QA and another person lift the lot's hold then";
    319 DONOR_CODE_REUSED Flag [] (Donor) "a donor's code was never another donor's, not even in a record that is void" => "nothing, if the void record was a mistake; the code belongs to this donor";
}
