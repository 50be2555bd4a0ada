//! What can be wrong with a record's bytes: one stable code for each thing, with the field, what was found and what is allowed.

use std::fmt;

/// Why bytes are no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Which thing is wrong.
    pub code: MalformedCode,
    /// The field, e.g. `culture_seeded.vessels[2].code`; empty for the record as a whole.
    pub path: String,
    /// What was found.
    pub found: String,
    /// What is allowed.
    pub allowed: String,
}

impl Malformed {
    pub(crate) fn new(
        code: MalformedCode,
        path: impl Into<String>,
        found: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Malformed {
        Malformed { code, path: path.into(), found: found.into(), allowed: allowed.into() }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "record" } else { &self.path };
        write!(f, "{}: `{path}` is {}; allowed: {}", self.code, self.found, self.allowed)
    }
}

impl std::error::Error for Malformed {}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The codes of malformed records. Stable: records and clients outlive releases.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum MalformedCode {
            $($(#[$doc])* $name,)*
        }

        impl MalformedCode {
            /// Every code.
            pub const ALL: &'static [MalformedCode] = &[$(MalformedCode::$name),*];

            /// The code as text.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(MalformedCode::$name => $text,)*
                }
            }
        }
    };
}

codes! {
    /// More than 8 KiB.
    RecordTooLarge = "RECORD_TOO_LARGE",
    /// A length or a number that runs past the end.
    RecordTruncated = "RECORD_TRUNCATED",
    /// A variable-length integer of more than 64 bits.
    VarintTooLong = "VARINT_TOO_LONG",
    /// A field in another wire type than its own.
    WireTypeWrong = "WIRE_TYPE_WRONG",
    /// A field number that the message does not have.
    FieldUnknown = "FIELD_UNKNOWN",
    /// A single field given twice.
    FieldRepeated = "FIELD_REPEATED",
    /// Fields not in ascending order of their numbers.
    FieldOutOfOrder = "FIELD_OUT_OF_ORDER",
    /// Bytes that have a shorter or another canonical form.
    NotCanonical = "NOT_CANONICAL",
    /// An enum number that this version does not know.
    EnumUnknown = "ENUM_UNKNOWN",
    /// An enum given as zero.
    EnumZero = "ENUM_ZERO",
    /// A field that must be given.
    FieldMissing = "FIELD_MISSING",
    /// A number outside its bounds.
    NumberOutOfRange = "NUMBER_OUT_OF_RANGE",
    /// A text given as empty.
    TextEmpty = "TEXT_EMPTY",
    /// A text with too many bytes.
    TextTooLong = "TEXT_TOO_LONG",
    /// Bytes that are not UTF-8.
    TextNotUtf8 = "TEXT_NOT_UTF8",
    /// A text not in Unicode normalisation form C.
    TextNotNfc = "TEXT_NOT_NFC",
    /// A control character or line separator.
    TextControlCharacter = "TEXT_CONTROL_CHARACTER",
    /// A character that changes the direction of writing, and so what people read.
    TextBidirectionalCharacter = "TEXT_BIDIRECTIONAL_CHARACTER",
    /// A character that Unicode has not assigned, or leaves to private use.
    TextUnassignedCharacter = "TEXT_UNASSIGNED_CHARACTER",
    /// Not printable ASCII without spaces.
    TextNotCode = "TEXT_NOT_CODE",
    /// Not a decimal number.
    TextNotDecimal = "TEXT_NOT_DECIMAL",
    /// Not the characters of a Donation Identification Number.
    TextNotDin = "TEXT_NOT_DIN",
    /// A Donation Identification Number with the wrong check character.
    DinCheckCharacterWrong = "DIN_CHECK_CHARACTER_WRONG",
    /// A unit code that is not digits ending in their check digit.
    UnitCodeCheckDigitWrong = "UNIT_CODE_CHECK_DIGIT_WRONG",
    /// A dose code that is not digits ending in their check digit.
    DoseCodeCheckDigitWrong = "DOSE_CODE_CHECK_DIGIT_WRONG",
    /// Not the form of a Single European Code.
    TextNotSingleEuropeanCode = "TEXT_NOT_SINGLE_EUROPEAN_CODE",
    /// Too few or too many bytes.
    BytesLengthWrong = "BYTES_LENGTH_WRONG",
    /// Too many items.
    TooManyItems = "TOO_MANY_ITEMS",
    /// Too few items.
    TooFewItems = "TOO_FEW_ITEMS",
    /// No event.
    EventMissing = "EVENT_MISSING",
    /// Two events.
    EventTwice = "EVENT_TWICE",
    /// A record id that is not a UUIDv7.
    RecordIdNotUuidv7 = "RECORD_ID_NOT_UUIDV7",
    /// Streams not ascending by kind and id, each once.
    StreamsNotAscending = "STREAMS_NOT_ASCENDING",
    /// An authority stream with an id, or another one without.
    StreamIdWrong = "STREAM_ID_WRONG",
    /// An origin that is not `<name>/<32 hex digits>`, or for a founding record not its name.
    OriginMalformed = "ORIGIN_MALFORMED",
}

impl fmt::Display for MalformedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
