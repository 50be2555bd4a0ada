//! Codes of deviations, holds, recalls and look-backs.

crate::codes! {
    250 DEVIATION_UNKNOWN Gate [] (Donor, Lot, Subject) "a deviation that is closed was opened on this stream" => "read the stream's open deviations and close one of these";
    251 DEVIATION_ALREADY_CLOSED Gate [] (Donor, Lot, Subject) "a deviation is closed once" => "open a new deviation if something new was found";
    252 HOLD_UNKNOWN Gate [] (Donor, Lot, Subject) "a hold that is lifted was set on this stream" => "read the stream's open holds and lift one of these";
    253 HOLD_ALREADY_LIFTED Gate [] (Donor, Lot, Subject) "a hold is lifted once" => "nothing; the hold is lifted";
    254 HOLD_LIFTED_BY_OPERATOR Gate [] (Lot) "nobody who operated on a lot lifts a hold on it" => "let QA and someone who did not work on the lot sign";
    255 RESOLUTION_UNKNOWN Gate [] () "the record that resolves a hold is in this ledger, and cited" => "append the resolving record first and cite it";
    256 HELD_THING_UNKNOWN Gate [] (Lot, Subject) "a unit or dose that is held belongs to the stream" => "check the id; everything in the stream is held until this hold is lifted, set another one with the right id first";
    257 RECALL_UNKNOWN Gate [] (Donor, Lot) "a recall or look-back that is closed was opened on this stream" => "read the stream's open recalls and look-backs and close one of these";
    258 RECALL_ALREADY_CLOSED Gate [] (Donor, Lot) "a recall or look-back is closed once" => "nothing; it is closed";
    259 RECALL_LIST_DIFFERS Gate [] (Donor, Lot, Subject) "who closes a recall or look-back has traced every unit, dose and subject that it reaches" => "trace forward again, deal with what is new, and sign that list's count and digest";
    260 HOLD_OF_OPEN_RECALL Gate [] (Donor, Lot) "the hold of a recall or look-back is lifted after that was closed" => "QA and a QP close the recall or look-back first";
    261 AMENDMENT_TARGET_UNKNOWN Gate [] () "an amendment names a record of this ledger by id and digest, and extends the streams that it extends" => "read the record again and name it with its digest and its streams";
    262 AMENDMENT_NOT_OF_A_FACT Gate [] () "a fact is amended, not a decision, a stop, a deviation or a signature" => "record the decision that ends this one, close the deviation, or revoke the key";
    263 AMENDMENT_NOT_OF_THE_LATEST Gate [] (Donor, Lot, Subject) "an amendment replaces the latest version of a record, and a void record is not amended" => "read the latest version and amend that; record what was voided anew";
    264 AMENDMENT_BY_ANOTHER_ROLE Gate [] () "who amends a record has a role that signed it, at the same facility" => "let somebody with a role of the record sign first";
    265 AMENDMENT_APPROVED_BY_ITS_AUTHOR Gate [] (Authority) "QA approves an amendment of a record that they did not sign themselves" => "let another QA sign";
    266 REPLACEMENT_WRONG Gate [] () "a replacement is the record itself with another event of the same kind, about the same ids and codes" => "change only what the event says; to change an id or a code, void the record and record it anew";
    267 DEPENDANT_FALLS Flag [deviation Major holds Donor Lot Subject] (Donor, Lot, Subject, Protocol, Specification) "what was recorded later stands up against a record that is amended, voided or comes late" => "look at each record that is named; QA lifts the hold when each was dealt with";
    268 RESOLUTION_RESOLVES_NOTHING Gate [] (Donor, Lot, Subject) "a hold is resolved by another record than the one that brought it about, and not by the founding" => "record how it was resolved (a deviation that is opened or closed, an amendment, a result) and cite that record";
}
