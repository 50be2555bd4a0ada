//! Journal frames as bytes.
//!
//! ```text
//! "MLJ1" ‖ len u32be ‖ first u64be ‖ count u32be ‖ root after the last record 32  ‖ count × (leaf, record, each with u32be length) ‖ crc32c u32be ‖ "/MLJ"
//! "MLJ2" ‖ len u32be ‖ first u64be ‖ count u32be ‖ SHA-256 of the frame before 32 ‖ count × (kind u8, bytes with u32be length)     ‖ crc32c u32be ‖ "/MLJ"
//! ```
//!
//! `len` counts the bytes after it up to the checksum; the checksum covers everything before itself. `count` is at least 1. The last
//! four bytes tell a frame that was written to its end, and changed later, from one that was not: see [`is_torn`].

/// Bytes of magic and length.
const PREFIX: usize = 8;
/// Bytes of first, count and the 32 that follow.
const HEAD: usize = 44;
/// Bytes of the checksum.
const CHECKSUM: usize = 4;
/// The end of a frame. No byte of it is one flipped bit away from zero.
const END: [u8; 4] = *b"/MLJ";
/// Most bytes that `len` may count: 256 records of 8 KiB with their leaves take less than 3 MiB.
const MAX_LEN: usize = 16 * 1024 * 1024;
/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// Which of the two journals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Leaves and records.
    Records,
    /// What is the ledger's own.
    Notes,
}

impl Kind {
    /// The first bytes of each frame.
    pub fn magic(self) -> &'static [u8; 4] {
        match self {
            Kind::Records => b"MLJ1",
            Kind::Notes => b"MLJ2",
        }
    }

    /// Name of its folder, and of the torn ends that are kept.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Records => "journal",
            Kind::Notes => "notes",
        }
    }

    /// Name for people.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Records => "the journal",
            Kind::Notes => "the second journal",
        }
    }
}

/// A leaf and its record, or a kind in one byte and a note.
pub type Item<'i> = (&'i [u8], &'i [u8]);

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Number of the first item.
    pub first: u64,
    /// Root after the last record, or hash of the frame before.
    pub hash: [u8; 32],
    /// Items: a leaf and its record, or a kind in one byte and a note.
    pub items: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Frame {
    /// Number of the item after the last.
    pub fn end(&self) -> u64 {
        self.first.saturating_add(u64::try_from(self.items.len()).unwrap_or(u64::MAX))
    }
}

/// A frame that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The frame; its checksum is right.
    pub frame: Frame,
    /// Its bytes, end included.
    pub length: usize,
    /// Whether its last four bytes are what they must be.
    pub is_ended: bool,
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFrame {
    /// Nothing but zeros up to the end: nothing was written here.
    Empty,
    /// Something was, and it is not whole.
    Broken,
}

/// A frame as bytes; nothing if it would be longer than a reader accepts.
pub fn encode(kind: Kind, first: u64, hash: &[u8; 32], items: &[Item<'_>]) -> Option<Vec<u8>> {
    let per_item = if kind == Kind::Records { 8 } else { 4 };
    let sizes = items.iter().map(|(head, body)| head.len().saturating_add(body.len()).saturating_add(per_item));
    let body: usize = sizes.fold(HEAD, usize::saturating_add);
    if body > MAX_LEN {
        return None;
    }
    let mut bytes = Vec::with_capacity(body.saturating_add(PREFIX + CHECKSUM + END.len()));
    bytes.extend_from_slice(kind.magic());
    bytes.extend_from_slice(&length(body)?);
    bytes.extend_from_slice(&first.to_be_bytes());
    bytes.extend_from_slice(&length(items.len())?);
    bytes.extend_from_slice(hash);
    for (head, content) in items {
        if kind == Kind::Records {
            bytes.extend_from_slice(&length(head.len())?);
        }
        bytes.extend_from_slice(head);
        bytes.extend_from_slice(&length(content.len())?);
        bytes.extend_from_slice(content);
    }
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_be_bytes());
    bytes.extend_from_slice(&END);
    Some(bytes)
}

/// The frame at the start of these bytes.
pub fn decode(kind: Kind, bytes: &[u8]) -> Result<Found, NoFrame> {
    match decode_whole(kind, bytes) {
        Some(found) => Ok(found),
        None if is_zero(bytes) => Err(NoFrame::Empty),
        None => Err(NoFrame::Broken),
    }
}

fn decode_whole(kind: Kind, bytes: &[u8]) -> Option<Found> {
    let mut rest = Take(bytes);
    if rest.array::<4>()? != *kind.magic() {
        return None;
    }
    let body_length = usize::try_from(u32::from_be_bytes(rest.array()?)).ok()?;
    if !(HEAD..=MAX_LEN).contains(&body_length) {
        return None;
    }
    let mut body = Take(rest.bytes(body_length)?);
    let checksum = u32::from_be_bytes(rest.array()?);
    let end: [u8; 4] = rest.array()?;
    if crc32c::crc32c(bytes.get(..PREFIX.checked_add(body_length)?)?) != checksum {
        return None;
    }
    let first = u64::from_be_bytes(body.array()?);
    let count = u32::from_be_bytes(body.array()?);
    let hash = body.array()?;
    let mut items = Vec::new();
    for _ in 0..count {
        let head = match kind {
            Kind::Notes => body.bytes(1)?,
            Kind::Records => body.counted()?,
        };
        items.push((head.to_vec(), body.counted()?.to_vec()));
    }
    let is_whole = body.0.is_empty() && !items.is_empty() && first.checked_add(u64::from(count)).is_some();
    is_whole.then_some(Found {
        frame: Frame { first, hash, items },
        length: PREFIX + body_length + CHECKSUM + END.len(),
        is_ended: end == END,
    })
}

/// The bytes that end a frame, for one whose last bytes are wrong and whose checksum is right.
pub fn end_bytes() -> &'static [u8] {
    &END
}

/// Whether bytes are nothing but zeros.
pub fn is_zero(bytes: &[u8]) -> bool {
    static ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|chunk| ZEROS.starts_with(chunk))
}

/// Number of bytes up to the last that is not zero.
pub fn used(bytes: &[u8]) -> usize {
    let chunks = bytes.chunks(SECTOR).rposition(|chunk| !is_zero(chunk));
    let Some(before) = chunks.and_then(|n| n.checked_mul(SECTOR)) else {
        return 0;
    };
    let last = bytes.get(before..).unwrap_or_default().iter().take(SECTOR).rposition(|b| *b != 0);
    before.saturating_add(last.map_or(0, |p| p.saturating_add(1)))
}

/// Whether what stands at `at` in a segment, and is no frame, was never written whole: its end is missing, or a sector of it is.
///
/// A disk writes sectors whole or not at all, in any order, over zeros. A frame that has all its sectors and its end was written whole,
/// so it may have been acknowledged; then its bytes were changed later, which is damage.
pub fn is_torn(segment: &[u8], at: usize) -> bool {
    let rest = segment.get(at..).unwrap_or_default();
    let written = rest.get(..used(rest)).unwrap_or_default();
    // Sectors are counted from the start of the file.
    let (head, sectors) = written.split_at(written.len().min(SECTOR.saturating_sub(at % SECTOR)));
    !written.ends_with(&END) || is_zero(head) || sectors.chunks(SECTOR).any(is_zero)
}

fn length(n: usize) -> Option<[u8; 4]> {
    Some(u32::try_from(n).ok()?.to_be_bytes())
}

/// Bytes that are taken from the front.
struct Take<'b>(&'b [u8]);

impl<'b> Take<'b> {
    fn bytes(&mut self, n: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn counted(&mut self) -> Option<&'b [u8]> {
        let n = usize::try_from(u32::from_be_bytes(self.array()?)).ok()?;
        self.bytes(n)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes_of(kind: Kind, frame: &Frame) -> Option<Vec<u8>> {
        let items: Vec<Item<'_>> = frame.items.iter().map(|(h, b)| (h.as_slice(), b.as_slice())).collect();
        encode(kind, frame.first, &frame.hash, &items)
    }

    fn frame() -> Frame {
        Frame { first: 3, hash: [7; 32], items: vec![(b"leaf".to_vec(), b"record".to_vec()), (b"l".to_vec(), Vec::new())] }
    }

    #[test]
    fn every_flipped_bit_is_found_and_is_no_torn_end() {
        let bytes = bytes_of(Kind::Records, &frame()).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut other = bytes.clone();
                other[at] ^= 1 << bit;
                match decode(Kind::Records, &other) {
                    // Only the end itself is outside the checksum, and then the frame is known to be whole.
                    Ok(found) => assert!(!found.is_ended && found.frame == frame() && at >= bytes.len() - END.len()),
                    Err(e) => {
                        other.extend_from_slice(&[0; 1000]);
                        assert!(e == NoFrame::Broken && !is_torn(&other, 0), "byte {at} bit {bit}");
                    }
                }
            }
        }
        assert_eq!(decode(Kind::Notes, &bytes), Err(NoFrame::Broken));
        assert_eq!(decode(Kind::Records, &[0; 200]), Err(NoFrame::Empty));
        assert_eq!(decode(Kind::Records, &[]), Err(NoFrame::Empty));
    }

    #[test]
    fn every_cut_and_every_missing_sector_is_a_torn_end() {
        let long = Frame { items: vec![(vec![1; 700], vec![2; 1500])], ..frame() };
        let bytes = bytes_of(Kind::Records, &long).unwrap();
        for at in [0, 1, 300, 510, 511, 512, 700] {
            let whole = [vec![9; at], bytes.clone(), vec![0; 700]].concat();
            assert!(!is_torn(&whole, at));
            for cut in 1..bytes.len() {
                let mut torn = whole.clone();
                torn[at + cut..].fill(0);
                let is_whole = decode(Kind::Records, &torn[at..]).is_ok();
                assert!(is_whole || is_torn(&torn, at), "cut {cut} at {at}");
                assert_eq!(is_whole, cut >= bytes.len() - END.len());
            }
            for sector in at / SECTOR..(at + bytes.len()).div_ceil(SECTOR) {
                let mut torn = whole.clone();
                torn[(sector * SECTOR).max(at)..(sector + 1) * SECTOR].fill(0);
                assert!(is_torn(&torn, at), "sector {sector} at {at}");
            }
        }
    }

    #[test]
    fn used_counts_up_to_the_last_byte_that_is_not_zero() {
        for size in [0, 1, 511, 512, 513, 1024, 5000] {
            let mut bytes = vec![0; size];
            assert_eq!((used(&bytes), is_zero(&bytes)), (0, true));
            for at in [0, size / 2, size.saturating_sub(1)].into_iter().filter(|at| *at < size) {
                bytes.fill(0);
                bytes[at] = 1;
                assert_eq!((used(&bytes), is_zero(&bytes)), (at + 1, false));
            }
        }
    }

    #[test]
    fn a_frame_without_items_or_past_the_last_number_is_none() {
        let nothing = Frame { items: Vec::new(), ..frame() };
        assert!(decode(Kind::Records, &bytes_of(Kind::Records, &nothing).unwrap()).is_err());
        let last = Frame { first: u64::MAX - 2, ..frame() };
        assert!(decode(Kind::Records, &bytes_of(Kind::Records, &last).unwrap()).is_ok());
        let beyond = Frame { first: u64::MAX - 1, ..frame() };
        assert!(decode(Kind::Records, &bytes_of(Kind::Records, &beyond).unwrap()).is_err());
    }

    #[test]
    fn nothing_is_written_that_would_not_be_read() {
        let fits = MAX_LEN - HEAD - 8;
        for (size, accepted) in [(fits, true), (fits + 1, false)] {
            let bytes = encode(Kind::Records, 0, &[0; 32], &[(&[], &vec![1; size])]);
            assert_eq!(bytes.is_some(), accepted);
            assert!(bytes.is_none_or(|b| decode(Kind::Records, &b).is_ok()));
        }
    }

    proptest! {
        #[test]
        fn frames_come_back_with_their_length(
            first in 0..u64::MAX / 2,
            hash: [u8; 32],
            records in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..50), prop::collection::vec(any::<u8>(), 0..50)), 1..10),
            after in prop::collection::vec(any::<u8>(), 0..30),
        ) {
            let notes = records.iter().map(|(head, body)| (vec![head.len() as u8], body.clone())).collect();
            for (kind, items) in [(Kind::Records, records), (Kind::Notes, notes)] {
                let frame = Frame { first, hash, items };
                let mut bytes = bytes_of(kind, &frame).unwrap();
                let length = bytes.len();
                bytes.extend(&after);
                prop_assert_eq!(decode(kind, &bytes), Ok(Found { frame, length, is_ended: true }));
            }
        }

        #[test]
        fn strange_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..300usize) {
            let framed = [b"MLJ1".as_slice(), &bytes].concat();
            prop_assert!(decode(Kind::Records, &bytes).is_err() && decode(Kind::Records, &framed).is_err());
            let _ = is_torn(&bytes, at);
        }
    }
}
