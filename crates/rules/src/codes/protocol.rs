//! Codes about a trial's protocol.

crate::codes! {
    150 PROTOCOL_VERSION_WRONG Gate [] (Protocol) "a protocol's version is the last one plus 1" => "read the protocol's last version and publish the next one";
}
