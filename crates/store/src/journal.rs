//! The journal of records: append-only segments of frames, one frame a commit, one `fdatasync` a frame.
//!
//! Order of things: space, segment (created, preallocated, synced, folder synced), frame written, `sync_data`. Only then is a commit
//! durable. A sync that failed is never tried again on the same descriptor.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use marrowline_ledger::store::StoreError;

use crate::disk::{Disk, DiskFile};
use crate::frame::{Frame, NoFrame, RECORDS};
use crate::verify::Torn;

/// Bytes that a segment is created with.
pub const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

pub(crate) fn failed(what: &str, path: &Path, error: &io::Error) -> StoreError {
    StoreError::Failed(format!("{what} {}: {error}", path.display()))
}

/// The journal's writing end.
pub struct Journal {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    segment: Option<Segment>,
    /// Number of records under the last frame.
    size: u64,
}

struct Segment {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    /// Where the next frame goes.
    offset: u64,
    length: u64,
}

/// Frames that were found, and the end that was cut off.
pub struct Found {
    /// Frames in order.
    pub frames: Vec<Frame>,
    /// The torn end, if there was one.
    pub torn: Option<Torn>,
}

impl Journal {
    /// Opens the journal and reads every frame from the segment on that holds record `from`. A torn end is kept aside and cut off, but
    /// never below `published` records.
    pub fn open(disk: Arc<dyn Disk>, folder: &Path, from: u64, published: u64) -> Result<(Journal, Found), StoreError> {
        disk.create_folder(folder).map_err(|e| failed("cannot create", folder, &e))?;
        let mut journal = Journal { disk, folder: folder.to_owned(), segment: None, size: 0 };
        let found = journal.read(from, published)?;
        Ok((journal, found))
    }

    /// Number of records.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Writes a frame and makes it durable.
    pub fn append(&mut self, frame: &Frame, count: u64) -> Result<(), StoreError> {
        let bytes = frame.encode(RECORDS);
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let fits = self.segment.as_ref().is_some_and(|s| s.offset.saturating_add(length) <= s.length);
        if !fits {
            self.segment = Some(self.new_segment(frame.first, length)?);
        }
        let Some(segment) = &mut self.segment else {
            return Err(StoreError::Failed("no journal segment".to_owned()));
        };
        segment
            .file
            .write_all_at(&bytes, segment.offset)
            .and_then(|()| segment.file.sync_data())
            .map_err(|e| failed("cannot write", &segment.path, &e))?;
        segment.offset = segment.offset.saturating_add(length);
        self.size = frame.first.saturating_add(count);
        Ok(())
    }

    fn new_segment(&self, first: u64, needed: u64) -> Result<Segment, StoreError> {
        let path = self.folder.join(format!("{first:020}.mlj"));
        let length = SEGMENT_BYTES.max(needed);
        let file = self
            .disk
            .open(&path, true)
            .and_then(|file| {
                file.set_len(length)?;
                file.sync_data()?;
                self.disk.sync_folder(&self.folder)?;
                Ok(file)
            })
            .map_err(|e| failed("cannot create", &path, &e))?;
        Ok(Segment { file, path, offset: 0, length })
    }

    fn segments(&self) -> Result<Vec<(u64, PathBuf)>, StoreError> {
        let paths = self.disk.list(&self.folder).map_err(|e| failed("cannot list", &self.folder, &e))?;
        Ok(paths
            .into_iter()
            .filter_map(|path| {
                let name = path.file_name()?.to_str()?.strip_suffix(".mlj")?;
                Some((name.parse().ok()?, path))
            })
            .collect())
    }

    fn read(&mut self, from: u64, published: u64) -> Result<Found, StoreError> {
        let segments = self.segments()?;
        let start = segments.iter().rposition(|(first, _)| *first <= from).unwrap_or(0);
        let mut found = Found { frames: Vec::new(), torn: None };
        let last = segments.len().saturating_sub(1);
        for (number, (first, path)) in segments.iter().enumerate().skip(start) {
            if number == start {
                self.size = *first;
            }
            self.read_segment(path, number == last, published, &mut found)?;
        }
        if published > self.size && from <= self.size {
            return Err(StoreError::Damaged {
                what: "the journal".to_owned(),
                place: format!("it ends at record {}, the last checkpoint covers {published}", self.size),
                next: "records that were acknowledged are missing: restore from a backup".to_owned(),
            });
        }
        Ok(found)
    }

    fn read_segment(&mut self, path: &Path, is_last: bool, published: u64, found: &mut Found) -> Result<(), StoreError> {
        let file = self.disk.open(path, false).map_err(|e| failed("cannot open", path, &e))?;
        let bytes = file.read_all().map_err(|e| failed("cannot read", path, &e))?;
        let mut offset = 0usize;
        loop {
            let rest = bytes.get(offset..).unwrap_or_default();
            match Frame::decode(RECORDS, rest) {
                Ok((frame, length)) if frame.first == self.size => {
                    self.size = self.size.saturating_add(u64::try_from(frame.items.len()).unwrap_or(0));
                    found.frames.push(frame);
                    offset = offset.saturating_add(length);
                }
                Ok(_) => {
                    return Err(damaged(path, offset, "a frame that does not continue the one before"));
                }
                Err(NoFrame::Empty) if rest.iter().all(|b| *b == 0) => break,
                Err(_) => {
                    // A torn write is possible only at the very end, and only of what no checkpoint covers.
                    if !is_last || follows_frame(rest) || self.size < published {
                        return Err(damaged(path, offset, "a damaged frame"));
                    }
                    found.torn = Some(self.cut(&file, path, offset, rest)?);
                    break;
                }
            }
        }
        if is_last {
            self.segment = Some(Segment {
                file,
                path: path.to_owned(),
                offset: u64::try_from(offset).unwrap_or(u64::MAX),
                length: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            });
        }
        Ok(())
    }

    /// Keeps the torn end in `torn/`, then overwrites it with zeros.
    fn cut(&self, file: &Arc<dyn DiskFile>, path: &Path, offset: usize, rest: &[u8]) -> Result<Torn, StoreError> {
        let used = rest.iter().rposition(|b| *b != 0).map_or(0, |p| p.saturating_add(1));
        let torn = rest.get(..used).unwrap_or(rest);
        let folder = self.folder.join("torn");
        let kept = folder.join(format!("{:020}-{offset}.bin", self.size));
        let offset = u64::try_from(offset).unwrap_or(u64::MAX);
        self.disk
            .create_folder(&folder)
            .and_then(|()| self.disk.open(&kept, true))
            .and_then(|copy| {
                copy.set_len(0)?;
                copy.write_all_at(torn, 0)?;
                copy.sync_data()
            })
            .and_then(|()| self.disk.sync_folder(&folder))
            .and_then(|()| file.write_all_at(&vec![0; torn.len()], offset))
            .and_then(|()| file.sync_data())
            .map_err(|e| failed("cannot cut", path, &e))?;
        Ok(Torn { segment: path.to_owned(), offset, bytes: u64::try_from(torn.len()).unwrap_or(u64::MAX), kept })
    }
}

/// Whether a whole frame stands somewhere after the first byte: then what is broken is not the end.
fn follows_frame(rest: &[u8]) -> bool {
    rest.windows(RECORDS.len())
        .enumerate()
        .skip(1)
        .filter(|(_, window)| *window == RECORDS)
        .any(|(at, _)| Frame::decode(RECORDS, rest.get(at..).unwrap_or_default()).is_ok())
}

fn damaged(path: &Path, offset: usize, what: &str) -> StoreError {
    StoreError::Damaged {
        what: format!("the journal segment {}", path.display()),
        place: format!("offset {offset}: {what}"),
        next: "stop here and restore from a backup; nothing was cut".to_owned(),
    }
}
