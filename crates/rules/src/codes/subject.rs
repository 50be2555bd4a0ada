//! Codes about the trial subject up to randomisation and weighing.

crate::codes! {
    650 SUBJECT_PROTOCOL_UNKNOWN Flag [holds Subject] (Protocol) "a subject's consent names a published version of its trial's protocol" => "publish the protocol version, or set right which one was meant; the subject stays held until QA resolves it";
}
