//! Valid sample records for tests, generated from the proto files and their shapes. Never in a released binary.
