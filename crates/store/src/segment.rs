//! Segments of a journal, and reading the frames in them. Nothing here writes.
//!
//! A segment is named by the number of its first item, `%020d.mlj`. It is as long as it was made; after its last frame it is zeros.

use std::path::{Path, PathBuf};

use marrowline_ledger::store::StoreError;
use sha2::{Digest as _, Sha256};

use crate::disk::Disk;
use crate::failed;
use crate::frame::{self, Found, Frame, Kind, NoFrame};
use crate::journal::Place;

/// Path of the segment whose first item has this number.
pub fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.mlj"))
}

/// What stands before the first frame: the root of nothing, or no hash.
pub fn first_link(kind: Kind) -> [u8; 32] {
    match kind {
        Kind::Records => marrowline_merkle::empty_root(),
        Kind::Notes => [0; 32],
    }
}

/// The segments of a journal, ascending.
pub fn list(disk: &dyn Disk, folder: &Path) -> Result<Vec<(u64, PathBuf)>, StoreError> {
    let paths = disk.list(folder).map_err(|e| failed("cannot list", folder, &e))?;
    let mut segments = Vec::new();
    for path in paths.into_iter().filter(|p| p.extension().is_some_and(|e| e == "mlj")) {
        let stem = path.file_stem().and_then(|s| s.to_str()).filter(|s| s.len() == 20);
        match stem.and_then(|s| s.parse().ok()) {
            Some(first) => segments.push((first, path)),
            None => return Err(damaged(&path, 0, "a segment whose name is no number of 20 digits")),
        }
    }
    segments.sort_unstable();
    Ok(segments)
}

/// How a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a whole frame and zeros.
    Clean,
    /// With a frame whose checksum is right and whose last four bytes are not, and zeros.
    Unended,
    /// With something that is no whole frame.
    Broken,
}

/// What reading a segment found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Where its last whole frame begins.
    pub last_offset: usize,
    /// Where its last whole frame ends.
    pub end_offset: usize,
    /// What follows there.
    pub end: End,
}

/// Takes frames, each with its link (records: the root after it; notes: its SHA-256), and says whether to go on.
pub type Visit<'v> = dyn FnMut(Frame, [u8; 32]) -> Result<bool, StoreError> + 'v;

/// Reads segments one after another and holds each frame against the one before.
pub struct Scanner {
    kind: Kind,
    /// Number of items so far.
    pub size: u64,
    /// Records: root after the last frame. Notes: hash of the last frame.
    pub link: [u8; 32],
    /// Whether `link` is known.
    linked: bool,
    /// Whether the visitor wants no more.
    stopped: bool,
}

impl Scanner {
    /// Begins with the segment of this first item. Unless it is the journal's very first, nothing is known of what stands before it.
    pub fn new(kind: Kind, first: u64, is_first: bool) -> Scanner {
        Scanner { kind, size: first, link: first_link(kind), linked: is_first, stopped: false }
    }

    /// Reads one segment. `least` is what it was made with: a shorter one that holds something was cut by somebody.
    pub fn segment(
        &mut self,
        (first, path): (u64, &Path),
        bytes: &[u8],
        least: u64,
        visit: &mut Visit<'_>,
    ) -> Result<Scan, StoreError> {
        if first != self.size {
            let what = format!("a segment that begins with number {first}, the one before ends at {}", self.size);
            return Err(damaged(path, 0, &what));
        }
        if !frame::is_zero(bytes) && u64::try_from(bytes.len()).is_ok_and(|length| length < least) {
            return Err(damaged(path, bytes.len(), &format!("the segment ends there; it was made with {least} bytes at least")));
        }
        let mut scan = Scan { last_offset: 0, end_offset: 0, end: End::Clean };
        while !self.stopped {
            let rest = bytes.get(scan.end_offset..).unwrap_or_default();
            let found = match frame::decode(self.kind, rest) {
                Err(NoFrame::Empty) => break,
                _ if scan.end == End::Unended => return Err(damaged(path, scan.last_offset, "a frame without its end")),
                Ok(found) => found,
                Err(NoFrame::Broken) => {
                    scan.end = End::Broken;
                    break;
                }
            };
            self.frame(path, &mut scan, found, rest, visit)?;
        }
        Ok(scan)
    }

    fn frame(
        &mut self,
        path: &Path,
        scan: &mut Scan,
        found: Found,
        rest: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let Found { frame, length, is_ended } = found;
        if frame.first != self.size || self.kind == Kind::Notes && self.linked && frame.hash != self.link {
            return Err(damaged(path, scan.end_offset, "a frame that does not continue the one before"));
        }
        self.size = frame.end();
        self.link = match self.kind {
            Kind::Records => frame.hash,
            Kind::Notes => hash_of(rest.get(..length).unwrap_or_default()),
        };
        self.linked = true;
        scan.last_offset = scan.end_offset;
        scan.end_offset = scan.end_offset.saturating_add(length);
        scan.end = if is_ended { End::Clean } else { End::Unended };
        self.stopped = !visit(frame, self.link)?;
        Ok(())
    }
}

/// SHA-256 of a frame, with its end as it must be.
pub fn hash_of(frame: &[u8]) -> [u8; 32] {
    let body = frame.get(..frame.len().saturating_sub(frame::end_bytes().len())).unwrap_or_default();
    Sha256::new().chain_update(body).chain_update(frame::end_bytes()).finalize().into()
}

/// Reads every frame from the one on that holds item `from`, in order, one segment in memory at a time, until the visitor wants no more
/// or the journal ends. Anything that is not whole is an error. Returns the number of items that were seen or stand before.
pub fn read(place: &Place, from: u64, visit: &mut Visit<'_>) -> Result<u64, StoreError> {
    let disk = place.disk.as_ref();
    let segments = list(disk, &place.folder())?;
    let start = segments.iter().rposition(|(first, _)| *first <= from).unwrap_or(0);
    let first = segments.get(start).map_or(0, |(first, _)| *first);
    let mut scanner = Scanner::new(place.kind, first, start == 0);
    first_is_there(&segments)?;
    let mut from_there = |frame: Frame, link| if frame.end() <= from { Ok(true) } else { visit(frame, link) };
    for (first, path) in segments.iter().skip(start) {
        let bytes = disk.read(path).map_err(|e| failed("cannot read", path, &e))?;
        let scan = scanner.segment((*first, path), &bytes, place.segment_bytes, &mut from_there)?;
        if scanner.stopped {
            break;
        }
        match scan.end {
            End::Clean => {}
            End::Unended => return Err(damaged(path, scan.last_offset, "a frame without its end")),
            End::Broken => return Err(damaged(path, scan.end_offset, "a damaged frame")),
        }
    }
    Ok(scanner.size)
}

/// Refuses a journal whose first segment is missing.
pub fn first_is_there(segments: &[(u64, PathBuf)]) -> Result<(), StoreError> {
    match segments.first() {
        Some((first, path)) if *first != 0 => {
            Err(damaged(path, 0, &format!("the first segment begins with number {first}: those before it are missing")))
        }
        _ => Ok(()),
    }
}

/// Whether a whole frame with a later number stands somewhere after this offset: then what is broken there is not the end.
pub fn whole_frame_follows(kind: Kind, size: u64, bytes: &[u8], at: usize) -> bool {
    let rest = bytes.get(at..).unwrap_or_default();
    let written = rest.get(..frame::used(rest)).unwrap_or_default();
    written
        .windows(4)
        .enumerate()
        .skip(1)
        .filter(|(_, window)| *window == kind.magic())
        .any(|(at, _)| frame::decode(kind, rest.get(at..).unwrap_or_default()).is_ok_and(|found| found.frame.first > size))
}

/// The error for a place in a segment that is not as it was written.
pub fn damaged(path: &Path, offset: usize, what: &str) -> StoreError {
    StoreError::Damaged {
        what: format!("the journal segment {}", path.display()),
        place: format!("offset {offset}: {what}"),
        next: "nothing was changed; keep a copy of the folder, then restore from a backup".to_owned(),
    }
}
