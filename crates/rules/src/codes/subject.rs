//! Codes about the trial subject: consent, screening, randomisation, and what must hold whenever something is decided about it.

crate::codes! {
    650 SUBJECT_PROTOCOL_UNKNOWN Flag [deviation Major] (Protocol) "a consent names a published version of its trial's protocol" => "record the consent again with the version that was signed for; nothing can be decided about the subject until then";
    651 SUBJECT_CODE_TAKEN Flag [holds Subject] (Subject) "a subject's code belongs to one subject" => "find out which subject was meant; the subject stays held until QA resolves it";
    652 SUBJECT_TRIAL_CHANGED Flag [deviation Major] (Subject) "a further consent is for the trial and the code of the subject's first one" => "register the subject of another trial as a new subject; this consent does not count";
    653 CONSENT_KIND_NOT_ALLOWED Flag [deviation Major] (Protocol) "a consent is of a kind that the protocol allows" => "obtain a consent of an allowed kind; until then nothing can be decided about the subject";
    654 CONSENT_DEADLINE_WRONG Flag [deviation Minor] () "a deferred consent has a deadline after it was given, and no other consent has one" => "record the consent again with its deadline";
    655 AGE_AND_BIRTH_YEAR_DIFFER Flag [deviation Minor] () "the age at consent and the year of birth agree within one year" => "check both against the source and record the consent again";
    660 SCREENING_VERDICT_DIFFERS Flag [deviation Minor] (Subject, Protocol) "the stated verdict of a screening is the one that follows from the protocol" => "go by the computed verdict, and check the values that were entered";
    661 SCREENING_EXCLUSION_UNKNOWN Flag [deviation Minor] (Protocol) "a screening cites exclusions by the protocol's own codes" => "screen again with the protocol's codes; until then the subject counts as excluded";
    662 ONSET_AFTER_SCREENING Flag [deviation Minor] () "the condition did not begin after the subject was screened" => "check the time of onset and record the screening again";
    670 SUBJECT_NOT_ELIGIBLE Gate [] (Subject, Protocol) "a subject is randomised who is eligible by the protocol" => "do not randomise; if a value was wrong, record the screening again";
    671 CONSENT_NOT_IN_FORCE Gate [deviation Critical] (Subject, Protocol) "a consent is in force: of an allowed kind and, if deferred, before its deadline" => "obtain and record a consent; nothing may be given without it";
    672 TRIAL_NOT_OPEN Gate [deviation Major] (Protocol) "the trial is open: the version of the protocol that the subject consented to is published" => "publish that version, or record the consent with the version that was signed for";
    673 RANDOMISER_IS_INVESTIGATOR Gate [] (Subject, Authority) "who randomises a subject neither took its consent nor screened it" => "let another randomiser reveal the slot";
    674 SLOT_NOT_NEXT Gate [] (Protocol) "slots of the randomisation list are given in their order, each once" => "reveal the slot that is named under allowed";
    675 SLOT_NOT_COMMITTED Gate [] (Protocol) "the revealed slot with its arm and salt is in the committed randomisation list" => "check slot, arm, salt and proof against the sealed list; if they are as sealed, the list is not the committed one: tell QA";
    676 ARM_UNKNOWN Gate [] (Protocol) "the arm is an arm of the protocol" => "check the sealed list against the protocol's arms; tell QA";
    677 ALREADY_RANDOMISED Gate [] (Subject) "a subject is randomised once; its arm never changes" => "nothing; go on with the arm that it has";
    678 TRIAL_DIFFERS Gate [] (Subject) "a subject is randomised in the trial that it consented to" => "extend the stream of the trial that is named under allowed";
    679 SUBJECT_HELD Gate [deviation Major] (Subject) "no hold is in force on the subject" => "resolve what the hold is about, then let QA and another person lift it";
    680 NOT_RANDOMISED Gate [deviation Critical] (Subject) "the subject has an arm" => "screen and randomise the subject first";
    681 ARM_WITHOUT_CELLS Gate [deviation Critical] (Subject, Protocol) "the subject's arm receives cells" => "give the treatment of the subject's arm; cells are not for this subject";
    682 SUBJECT_DEAD Gate [deviation Critical] (Subject) "the subject lives" => "the subject's frozen units may be allocated to others; if the death was recorded wrongly, tell QA";
    683 SUBJECT_WITHDRAWN Gate [deviation Critical] (Subject) "the subject has not withdrawn from treatment" => "give nothing; release the units that are allocated";
    684 VITAL_STATUS_CONTRADICTS Flag [deviation Major] (Subject) "a subject dies once and does not live afterwards" => "check both records against the source and tell QA";
    685 TRIAL_HALTED Gate [deviation Major] (Protocol) "the trial is not halted" => "wait until QA and an investigator resume it";
    686 TRIAL_CLOSED Gate [deviation Major] (Protocol) "the trial is not closed" => "nothing; a closed trial gives no more treatment";
    687 SPONSOR_TOLD_LATE Flag [deviation Major] (Subject) "the sponsor is told of a serious reaction within 24 h after the investigator came to know of it" => "tell the sponsor now; record when it was told in another report of the same reaction";
    688 AUTHORITY_TOLD_LATE Flag [deviation Major] (Subject) "the authorities are told of a suspected, unexpected, serious reaction within 7 days if it is fatal or life-threatening, else within 15 days, after the sponsor was told" => "tell them now; record when they were told in another report of the same reaction";
    689 REACTION_TIMES_WRONG Flag [deviation Minor] () "a reaction is known after its onset, and the sponsor is told before the authorities" => "check the times against the source and report the reaction again with the same id";
    690 LOINC_CODE_WRONG Flag [deviation Minor] () "an endpoint's code is a LOINC code: one to seven digits, a hyphen and their check digit" => "look the code up again and record the endpoint again; this value is not counted";
    691 VISIT_NOT_PLANNED Flag [deviation Minor] (Subject, Protocol) "an endpoint belongs to the baseline or to a follow-up day of the protocol" => "record it again for the day that the protocol names; this value stays outside the planned visits";
    692 ENDPOINT_INCOMPLETE Flag [deviation Minor] () "a number has value, unit and comparator; any other result has none" => "record it again, complete; this value is not counted";
    694 SUBJECT_CODE_REUSED Flag [] (Subject) "a subject's code was never another subject's, not even in a record that is void" => "nothing, if the void record was a mistake; the code belongs to this subject";
}
