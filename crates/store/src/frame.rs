//! Journal frames as bytes.
//!
//! ```text
//! "MLJ1" ‖ len u32be ‖ first u64be ‖ count u32be ‖ root_after 32 ‖ (leaf, record, each with u32be length)* ‖ crc32c u32be
//! "MLJ2" ‖ len u32be ‖ first u64be ‖ count u32be ‖ SHA-256 of the frame before 32 ‖ (kind u8, bytes with u32be length)* ‖ crc32c u32be
//! ```
//!
//! `len` counts the bytes after it up to the checksum; the checksum covers everything before itself.

/// Bytes of magic and length.
const PREFIX: usize = 8;
/// Bytes of first, count and the 32 that follow.
const HEAD: usize = 44;
/// Bytes of the checksum.
const CHECKSUM: usize = 4;
/// Longest frame: 256 records of 8 KiB with their leaves, with room to spare.
const MAX_FRAME: usize = 16 * 1024 * 1024;

/// Magic of the journal of records.
pub const RECORDS: [u8; 4] = *b"MLJ1";
/// Magic of the journal of the ledger's own notes.
pub const NOTES: [u8; 4] = *b"MLJ2";

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

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFrame {
    /// Zeros: nothing was written here.
    Empty,
    /// Something was, and it is not whole.
    Broken,
}

impl Frame {
    /// The frame as bytes.
    pub fn encode(&self, magic: [u8; 4]) -> Vec<u8> {
        let mut body = Vec::with_capacity(1_024);
        body.extend_from_slice(&self.first.to_be_bytes());
        body.extend_from_slice(&length(self.items.len()));
        body.extend_from_slice(&self.hash);
        for (first, second) in &self.items {
            if magic == NOTES {
                body.push(first.first().copied().unwrap_or(0));
            } else {
                body.extend_from_slice(&length(first.len()));
                body.extend_from_slice(first);
            }
            body.extend_from_slice(&length(second.len()));
            body.extend_from_slice(second);
        }
        let mut bytes = Vec::with_capacity(body.len() + PREFIX + CHECKSUM);
        bytes.extend_from_slice(&magic);
        bytes.extend_from_slice(&length(body.len()));
        bytes.extend_from_slice(&body);
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_be_bytes());
        bytes
    }

    /// The frame at the start of these bytes, with its length.
    pub fn decode(magic: [u8; 4], bytes: &[u8]) -> Result<(Frame, usize), NoFrame> {
        if bytes.is_empty() || bytes.iter().take(PREFIX + HEAD).all(|b| *b == 0) {
            return Err(NoFrame::Empty);
        }
        Frame::decode_whole(magic, bytes).ok_or(NoFrame::Broken)
    }

    fn decode_whole(magic: [u8; 4], bytes: &[u8]) -> Option<(Frame, usize)> {
        let mut rest = Take(bytes);
        if rest.array::<4>()? != magic {
            return None;
        }
        let body_length = usize::try_from(u32::from_be_bytes(rest.array()?)).ok()?;
        if !(HEAD..=MAX_FRAME).contains(&body_length) {
            return None;
        }
        let whole = PREFIX + body_length;
        let checksum: [u8; 4] = bytes.get(whole..whole + CHECKSUM)?.try_into().ok()?;
        if crc32c::crc32c(bytes.get(..whole)?) != u32::from_be_bytes(checksum) {
            return None;
        }
        let mut body = Take(bytes.get(PREFIX..whole)?);
        let first = u64::from_be_bytes(body.array()?);
        let count = u32::from_be_bytes(body.array()?);
        let hash = body.array()?;
        let mut items = Vec::new();
        for _ in 0..count {
            let head = if magic == NOTES { body.bytes(1)? } else { body.counted()? };
            items.push((head.to_vec(), body.counted()?.to_vec()));
        }
        body.0.is_empty().then_some((Frame { first, hash, items }, whole + CHECKSUM))
    }
}

fn length(n: usize) -> [u8; 4] {
    u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes()
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
    use super::*;

    fn frame() -> Frame {
        Frame { first: 3, hash: [7; 32], items: vec![(b"leaf".to_vec(), b"record".to_vec()), (b"l".to_vec(), Vec::new())] }
    }

    #[test]
    fn a_frame_comes_back_with_its_length() {
        let mut bytes = frame().encode(RECORDS);
        let length = bytes.len();
        bytes.extend_from_slice(&[0; 100]);
        assert_eq!(Frame::decode(RECORDS, &bytes), Ok((frame(), length)));
        assert_eq!(Frame::decode(RECORDS, &bytes[length..]), Err(NoFrame::Empty));
        assert_eq!(Frame::decode(NOTES, &bytes), Err(NoFrame::Broken));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let bytes = frame().encode(RECORDS);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut other = bytes.clone();
                other[at] ^= 1 << bit;
                assert!(Frame::decode(RECORDS, &other).is_err(), "byte {at} bit {bit}");
            }
            assert!(Frame::decode(RECORDS, &bytes[..at]).is_err());
        }
    }

    #[test]
    fn the_worked_example_of_the_format_document() {
        let bytes = Frame { first: 0, hash: [0xaa; 32], items: vec![(vec![1, 2], vec![3])] }.encode(RECORDS);
        let head = "4d4c4a310000003700000000000000000000000";
        let text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert!(text.starts_with(head), "{text}");
        assert_eq!(bytes.len(), 8 + 44 + 4 + 2 + 4 + 1 + 4);
    }
}
