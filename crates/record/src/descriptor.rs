//! The record's schema as data, for reflection and for JSON.

/// Encoded `google.protobuf.FileDescriptorSet` of every proto file of records and what they import, with the `(shape)` options.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.binpb"));
