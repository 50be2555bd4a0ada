//! Codes of custody.

crate::codes! {
    600 RELINQUISHED_WITHOUT_CUSTODY Flag [deviation Critical holds Lot] (Lot) "units are handed over by the facility that holds them" => "custody is disputed; QA finds out where each unit is and resolves the hold";
    601 RECEIVER_UNKNOWN Flag [deviation Major] (Authority) "units are handed over to a registered facility" => "register the facility";
    602 TRANSFER_ID_REUSED Flag [deviation Major holds Lot] (Lot) "each transfer has an id of its own" => "find out which transfer is meant; QA resolves the hold";
    603 ACCEPTED_WITHOUT_TRANSFER Flag [deviation Critical holds Lot] (Lot) "units are taken over that were handed over to this facility" => "custody is disputed; record the hand-over; QA resolves the hold";
    604 SEAL_DIFFERS Flag [deviation Critical holds Lot] (Lot) "the seal is whole and the one that was recorded" => "custody is disputed; keep the units frozen and apart; QA resolves the hold";
    605 COUNT_DIFFERS Flag [deviation Critical holds Lot] (Lot) "exactly the units that were handed over are taken over" => "custody is disputed; count again; QA resolves the hold";
    606 TRANSFER_OF_USED_UNIT Flag [deviation Major] (Lot) "frozen units are handed over, not used or thawed ones" => "check the unit's label; QA closes the deviation";
    620 REFUSED_WITHOUT_TRANSFER Flag [deviation Critical holds units] (Lot) "units are refused that were handed over to this facility" => "find out where the units are and how they came there; QA resolves the hold";
    621 CUSTODY_REFUSED Flag [deviation Major holds units] (Lot) "units that are handed over are taken over" => "the facility that handed them over takes them back (CustodyAccepted with the same transfer); QA resolves the hold";
}
