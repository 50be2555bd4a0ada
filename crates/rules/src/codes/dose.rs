//! Codes about orders, allocations, thaws and doses.

crate::codes! {
    750 ORDER_UNKNOWN Gate [] (Subject) "an order that a record names is an order of this subject" => "read the subject's orders and name one of these";
}
