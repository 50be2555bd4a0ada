//! Codes about a trial's protocol.

crate::codes! {
    150 PROTOCOL_VERSION_NOT_NEXT Gate [] (Protocol) "a protocol's version is the last one plus 1" => "read the protocol's last version and publish the one after it";
    151 PROTOCOL_ARM_REPEATED Gate [] () "each arm of a protocol has a number and a code of its own" => "give each arm its own number and code";
    152 PROTOCOL_WITHOUT_CELL_ARM Gate [] () "at least one arm of a protocol receives cells" => "mark the arm that receives cells";
    153 PROTOCOL_BAND_WRONG Gate [] () "the smallest dose is not above the largest, and the largest not above what is allowed within 24 hours" => "correct the dose band or the most viable cells per kg within 24 hours";
    154 PROTOCOL_AGES_WRONG Gate [] () "the youngest age of a protocol is not above the oldest" => "correct the ages";
    155 PROTOCOL_ITEM_REPEATED Gate [] () "a protocol names each exclusion, blood count, kind of consent, override code and follow-up day once" => "remove the second mention, or give it its own code";
    156 PROTOCOL_REGISTRATION_TAKEN Gate [] (Protocol) "a registration number belongs to one protocol" => "publish the next version of the protocol that has this number, or correct the number";
    157 PROTOCOL_OVERRIDE_FORBIDDEN Gate [] () "an override passes only gates about the weighing, the amount, the interval and how long something keeps" => "leave only codes that are named under allowed in the override list";
    158 PROTOCOL_OVERRIDE_NOT_A_GATE Gate [] () "each code of the override list is a gate of this rule set" => "take the codes from docs/rules.md, or leave the list empty";
    159 PROTOCOL_SLOTS_TOO_FEW Gate [] () "the committed randomisation list has a slot for each planned subject" => "commit to a list that is long enough, or correct the sample size";
    160 PROTOCOL_LIST_CHANGED Gate [] (Protocol) "the randomisation list stays the same once a slot of it was given to a subject" => "publish the version with the commitment of the version before it";
    161 TRIAL_NOT_HALTED Gate [] (Protocol) "a trial is resumed that is halted" => "nothing; the trial goes on";
    162 TRIAL_ALREADY_CLOSED Gate [] (Protocol) "a trial is resumed or closed that is not closed" => "nothing; a closed trial does not open again";
}
