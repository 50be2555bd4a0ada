//! Codes of deviations and holds.

crate::codes! {
    250 DEVIATION_UNKNOWN Gate [] (Donor, Lot, Subject) "a deviation that is closed was opened on this stream" => "read the stream's open deviations and close one of these";
    251 DEVIATION_ALREADY_CLOSED Gate [] (Donor, Lot, Subject) "a deviation is closed once" => "open a new deviation if something new was found";
    252 HOLD_UNKNOWN Gate [] (Donor, Lot, Subject) "a hold that is lifted was set on this stream" => "read the stream's open holds and lift one of these";
    253 HOLD_ALREADY_LIFTED Gate [] (Donor, Lot, Subject) "a hold is lifted once" => "nothing; the hold is lifted";
    254 HOLD_LIFTED_BY_OPERATOR Gate [] (Lot) "nobody who operated on a lot lifts a hold on it" => "let QA and someone who did not work on the lot sign";
    255 RESOLUTION_UNKNOWN Gate [] () "the record that resolves a hold is in this ledger, and cited" => "append the resolving record first and cite it";
    256 HELD_THING_UNKNOWN Gate [] (Lot, Subject) "a unit or dose that is held belongs to the stream" => "check the id; the hold is in force as recorded, add another one with the right id";
}
