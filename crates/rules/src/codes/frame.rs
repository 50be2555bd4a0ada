//! Codes about the record as a whole: origin, time, heads, signatures.

crate::codes! {
    1 ORIGIN_DIFFERS Refuses [] (Authority) "a record names the origin of the ledger that it is sent to" => "check which ledger the client is connected to; build the record again with this ledger's origin";
    2 SLOTS_WRONG Refuses [] () "a record asks for exactly the signatures that its event needs" => "build the record again with the roles and meanings named under allowed";
    3 STREAMS_WRONG Refuses [] () "a record extends exactly the streams that its event is about" => "build the record again with the streams named under allowed";
    4 EVENT_AHEAD Refuses [] () "an event is not dated more than 60 s ahead of the ledger" => "set the clock of the device that built the record, then build and sign it again";
    5 SIGNER_WITHOUT_AUTHORITY Refuses [] (Authority) "each signatory holds the role at the facility when the record arrives" => "let someone who holds the role sign; ask the key administrator if the grant has lapsed";
    6 SIGNERS_NOT_DIFFERENT Refuses [] (Authority) "each signature of a record is another person's" => "let another person sign; a fact may be appended with its first signature alone and the other one added later";
    7 SIGNATURE_MISSING Gate [] () "an authorisation has all its signatures at once" => "propose it for countersigning and append it when all have signed";
    8 VERIFIER_MISSING Flag [] () "a fact has all its signatures" => "let the missing person add the signature (`marrowline sign RECORD`); the fact itself is kept";
    9 HEAD_UNKNOWN Gate [deviation Major] () "the head that a record has seen is a record of this ledger" => "read the stream's head again; if this repeats, compare your last checkpoint with the ledger's: its history may have been rolled back";
    10 HEAD_MOVED Gate [] () "an authorisation has seen the current head of each stream that it extends" => "read what was added since, decide again, and sign again";
    11 HEAD_ADVANCED Flag [] () "a fact has seen the current head of each stream that it extends" => "nothing; the leaf holds the record's true place";
    12 LATE_ENTRY Flag [] (Protocol, Specification, Subject, Lot) "a fact is entered within the late-entry limit of its protocol or specification" => "nothing; the record is kept and listed as a late entry";
    13 RECORD_IN_DOUBT Gate [] (Authority) "an authorisation does not rest on records signed with a key that was compromised at the time" => "let QA and a signatory's role reaffirm the records named";
    14 AUTHORISATION_BACKDATED Gate [] () "an authorisation is dated within 300 s of the ledger's time, one of several people within 3600 s" => "decide at the ledger's time: build the record again now";
    15 CITE_UNKNOWN Gate [] () "each cited record is in this ledger, with the digest that is cited" => "cite the record by the id and digest that the ledger gave";
    16 SIGNED_AHEAD Refuses [] () "no signature is dated more than 60 s ahead of the ledger" => "set the clock of the device that signed, then sign again";
    17 STREAM_NOT_OPENED Gate [holds Lot Donor Subject] () "a record about a thing follows the record that opened it" => "append the missing opening record with the time at which it happened; a hold on what happened before that stays until QA resolves it";
    18 SIGNATURE_TARGET_WRONG Refuses [] () "an added signature fills an open slot of an earlier record, in its role and meaning, by someone who has not signed it" => "read the target's open slots and sign one of these";
    19 RECORDED_FOR_ANOTHER Flag [deviation Minor] () "who did something signs for it" => "say in the deviation who did it and why that person cannot sign, and close it";
    20 STOP_SIGNED_IN_VAIN Flag [deviation Minor] (Authority) "each signature on a stop is of somebody who holds the role; the stop stands by one that is" => "find out why the other person signed without the role, and close the deviation";
}
