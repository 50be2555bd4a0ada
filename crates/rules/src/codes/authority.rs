//! Codes of the authority stream: founding, facilities, keys.

crate::codes! {
    100 LEDGER_ALREADY_FOUNDED Gate [] (Authority) "a ledger is founded once, by its first record" => "found another ledger in another folder";
    101 FACILITY_CODE_TAKEN Gate [] (Authority) "a facility's code and id are its own; registered again with its own code and name it has the racks that are listed then" => "choose another code, or use the facility that has it";
    102 KEY_WEAK Gate [] () "a granted key is a sound Ed25519 public key, not one of small order" => "make a new key with `marrowline key new` and grant that";
    103 KEY_ALREADY_GRANTED Gate [] (Authority) "a key belongs to one person for ever" => "let the person make a new key";
    104 GRANTEE_SIGNS_OWN_GRANT Gate [] (Authority) "nobody signs the grant of a key of their own" => "let another key administrator and another QA sign";
    105 GRANT_PERIOD_WRONG Gate [] () "a role is valid from a moment before its end" => "correct the period and sign again";
    106 GRANT_FACILITY_UNKNOWN Gate [] (Authority) "a role is granted at a registered facility" => "register the facility first";
    107 VERIFIER_ROLE_GRANTED Gate [] () "the verifying operator's role follows from the operator's and is not granted" => "grant the operator's role";
    108 REVOKED_KEY_UNKNOWN Gate [] (Authority) "a key that is revoked was granted" => "check the key's id with `marrowline key show`";
    109 REVOKER_NOT_ENTITLED Refuses [] (Authority) "a key is revoked by a key administrator, by QA or by its holder" => "ask one of these to sign";
    110 REVOCATION_TIMES_WRONG Gate [] () "a key is compromised no later than it is revoked" => "revoke the key again with the right times; what a date that is too early puts in doubt is reaffirmed";
    111 FOUNDERS_INCOMPLETE Gate [] () "the founding enrols at least a key administrator and QA, different people with different keys" => "add the missing person to the founding";
    112 RULE_SET_UNKNOWN Gate [] () "the rule set is one that the software knows" => "use a newer release, or another rule set";
    113 PERSON_NAME_DIFFERS Gate [] (Authority) "one person has one printed name" => "use the name of the first grant, or another person id";
    114 REAFFIRMED_RECORD_UNKNOWN Gate [] () "a reaffirmed record is in this ledger, and its digest is the one that is named" => "check the record's id and digest";
    115 REAFFIRMED_RECORD_NOT_IN_DOUBT Gate [] (Authority) "a reaffirmed record was signed with a key that was compromised by then" => "leave the record out; it stands as it is";
    116 REAFFIRMED_BY_ANOTHER_ROLE Gate [] (Authority) "beside QA somebody signs whose role at the facility is one that the record was signed for" => "let somebody with the record's role sign";
    117 RULE_SET_NOT_LATER Gate [] (Authority) "an adopted rule set is later than the one in force" => "nothing needs to be done, or adopt a later one";
    118 LOG_KEY_ALREADY_USED Gate [] (Authority) "a successor of the log's key was never the log's key and is nobody's" => "make a new one with `marrowline log-key prepare`";
    119 LOG_KEY_NOT_POSSESSED Gate [] (Authority) "the successor itself signs that it succeeds the log's present key in this ledger" => "make the successor and its signature with `marrowline log-key prepare`";
}
