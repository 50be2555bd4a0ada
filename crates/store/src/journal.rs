//! A journal: append-only segments of frames, one frame a commit, one `fdatasync` a frame.
//!
//! The order of things, which is what durability is:
//!
//! 1. A segment is created, preallocated and synced, then its folder is synced.
//! 2. A frame is written behind the last one and synced. Only now is it durable, and only now may anyone hear of it.
//! 3. A sync that failed is never tried again on the same descriptor. The owner stops and opens the journal anew.
//!
//! Opening reads the tail and changes nothing. Settling makes sure of it: a process that was killed leaves bytes that are in memory and
//! perhaps not on the disk, and a sync that failed leaves bytes that the system believes written. So the last frame is written once more
//! and synced before anyone sees it.
//!
//! One frame at a time is written, so at most the last one can be torn. A bad frame is *torn* if it was never written whole, nothing
//! whole follows it, and nobody has seen that far. It is cut off and kept in `torn/`. Every other bad frame is *damage*, and nothing is
//! cut.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use marrowline_ledger::store::StoreError;

use crate::disk::{Disk, DiskFile};
use crate::failed;
use crate::frame::{self, Frame, Item, Kind};
use crate::segment::{self, End, Scan, Scanner};
use crate::verify::Torn;

/// Bytes that a segment is created with.
pub const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// Where a journal is and how it is written.
#[derive(Clone)]
pub struct Place {
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// The store's folder; the journal has one of its own in it.
    pub store: PathBuf,
    /// Which journal.
    pub kind: Kind,
    /// Bytes of a new segment.
    pub segment_bytes: u64,
}

impl Place {
    /// The journal's folder.
    pub fn folder(&self) -> PathBuf {
        self.store.join(self.kind.name())
    }
}

/// A journal's writing end.
pub struct Journal {
    place: Place,
    folder: PathBuf,
    segment: Option<Segment>,
    /// What opening found and settling has to make sure of.
    tail: Option<Tail>,
    /// Number of items under the last frame.
    size: u64,
    /// What the last frame says (records: the root after it) or is (notes: its SHA-256).
    link: [u8; 32],
}

struct Segment {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    /// Where the next frame goes.
    offset: u64,
    length: u64,
}

struct Tail {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    bytes: Vec<u8>,
    scan: Scan,
}

/// What settling mended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// The torn end that was cut off.
    pub torn: Option<Torn>,
    /// What else was put right, in words.
    pub healed: Option<String>,
}

impl Journal {
    /// Opens the journal and reads its tail, at least from the frame on that ends at `published` items. Changes nothing but that the
    /// folder is there. Returns the link of the frame that ends at `published`, if one does.
    pub fn open(place: Place, published: u64) -> Result<(Journal, Option<[u8; 32]>), StoreError> {
        let folder = place.folder();
        let disk = place.disk.as_ref();
        disk.create_folder(&folder)
            .and_then(|()| disk.sync_folder(&place.store))
            .and_then(|()| disk.sync_folder(&folder))
            .map_err(|e| failed("cannot create", &folder, &e))?;
        let mut journal = Journal { segment: None, tail: None, size: 0, link: segment::first_link(place.kind), place, folder };
        let root = journal.read_tail(published)?;
        Ok((journal, root))
    }

    /// Number of items.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Records: the root after the last frame. Notes: its hash.
    pub fn link(&self) -> [u8; 32] {
        self.link
    }

    /// Where the journal is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Appends a frame and makes it durable. Records come with the root after them, notes are linked to the frame before.
    ///
    /// [`StoreError::Full`] says that nothing was written; after any other error the journal must be opened anew.
    pub fn append(&mut self, root: Option<[u8; 32]>, items: &[Item<'_>]) -> Result<(), StoreError> {
        let hash = root.unwrap_or(self.link);
        let kind = self.place.kind;
        let too_long = || StoreError::Failed(format!("{} items are too long for one frame of {}", items.len(), kind.title()));
        let bytes = frame::encode(kind, self.size, &hash, items).ok_or_else(too_long)?;
        let length = u64::try_from(bytes.len()).map_err(|_| too_long())?;
        let fits = |s: &Segment| s.offset.checked_add(length).is_some_and(|end| end <= s.length);
        let segment = match self.segment.take().filter(fits) {
            Some(segment) => segment,
            None => self.new_segment(length)?,
        };
        segment
            .file
            .write_all_at(&bytes, segment.offset)
            .and_then(|()| segment.file.sync_data())
            .map_err(|e| failed("cannot write", &segment.path, &e))?;
        // Durable from here on.
        self.segment = Some(Segment { offset: segment.offset.saturating_add(length), ..segment });
        self.size = self.size.saturating_add(u64::try_from(items.len()).unwrap_or(u64::MAX));
        self.link = root.unwrap_or_else(|| segment::hash_of(&bytes));
        Ok(())
    }

    fn new_segment(&self, needed: u64) -> Result<Segment, StoreError> {
        let path = segment::path(&self.folder, self.size);
        let length = self.place.segment_bytes.max(needed);
        let disk = self.place.disk.as_ref();
        let create = || {
            let file = disk.create(&path)?;
            file.preallocate(length)?;
            file.sync_all()?;
            disk.sync_folder(&self.folder)?;
            Ok(file)
        };
        let file = create().map_err(|e: io::Error| match e.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                StoreError::Full { free_bytes: disk.free_bytes(&self.folder).unwrap_or(0), needed_bytes: length }
            }
            _ => failed("cannot create", &path, &e),
        })?;
        Ok(Segment { file, path, offset: 0, length })
    }

    fn read_tail(&mut self, published: u64) -> Result<Option<[u8; 32]>, StoreError> {
        let disk = Arc::clone(&self.place.disk);
        let segments = segment::list(disk.as_ref(), &self.folder)?;
        segment::first_is_there(&segments)?;
        // The last segment may be empty and the link of its first frame is in the one before: two are read at least.
        let before_last = segments.len().saturating_sub(2);
        let holds_published = segments.iter().rposition(|(first, _)| published > 0 && *first < published);
        let start = holds_published.map_or(before_last, |p| p.min(before_last));
        let mut scanner = Scanner::new(self.place.kind, segments.get(start).map_or(0, |(first, _)| *first), start == 0);
        let mut found = None;
        let mut watch = |frame: Frame, link| {
            if frame.end() == published {
                found = Some(link);
            }
            Ok(true)
        };
        for (first, path) in segments.iter().skip(start) {
            if let Some(Tail { path, scan: Scan { end: End::Broken | End::Unended, end_offset, .. }, .. }) = &self.tail {
                return Err(segment::damaged(path, *end_offset, "a damaged frame, and another segment follows"));
            }
            let file = disk.open(path).map_err(|e| failed("cannot open", path, &e))?;
            let bytes = file.read_all().map_err(|e| failed("cannot read", path, &e))?;
            let scan = scanner.segment((*first, path), &bytes, self.place.segment_bytes, &mut watch)?;
            self.tail = Some(Tail { file, path: path.clone(), bytes, scan });
            self.size = scanner.size;
            self.link = scanner.link;
        }
        self.tail.as_ref().map_or(Ok(()), |tail| self.check_end(tail, published))?;
        Ok(found)
    }

    /// Refuses an end that is damaged, not torn.
    fn check_end(&self, tail: &Tail, published: u64) -> Result<(), StoreError> {
        if tail.scan.end != End::Broken {
            return Ok(());
        }
        let at = tail.scan.end_offset;
        let what = if segment::whole_frame_follows(self.place.kind, self.size, &tail.bytes, at) {
            "a damaged frame in the middle of the journal: whole frames follow it"
        } else if self.size < published {
            "a damaged frame, and the last checkpoint covers its records"
        } else if !frame::is_torn(&tail.bytes, at) {
            "a damaged frame that was once written whole: it may have been acknowledged"
        } else {
            return Ok(());
        };
        Err(segment::damaged(&tail.path, at, what))
    }

    /// Makes sure of what opening found, and cuts off a torn end. Nothing is appended before.
    pub fn settle(&mut self) -> Result<Settled, StoreError> {
        let Some(Tail { file, path, mut bytes, scan }) = self.tail.take() else {
            return Ok(Settled::default());
        };
        let mut settled = Settled::default();
        let last = bytes.get_mut(scan.last_offset..scan.end_offset).unwrap_or_default();
        if scan.end == End::Unended {
            let body = last.len().saturating_sub(frame::end_bytes().len());
            last.get_mut(body..).unwrap_or_default().copy_from_slice(frame::end_bytes());
            let what = format!("the last frame of {} had lost its last bytes; its records are whole", path.display());
            settled.healed = Some(what);
        }
        file.write_all_at(last, offset(scan.last_offset))
            .and_then(|()| file.preallocate(self.place.segment_bytes))
            .and_then(|()| file.sync_all())
            .map_err(|e| failed("cannot write", &path, &e))?;
        if scan.end == End::Broken {
            settled.torn = Some(self.cut(&file, &path, scan.end_offset, &bytes)?);
        }
        let length = offset(bytes.len()).max(self.place.segment_bytes);
        self.segment = Some(Segment { file, path, offset: offset(scan.end_offset), length });
        Ok(settled)
    }

    /// Keeps the torn end in `torn/`, durably, then overwrites it with zeros.
    fn cut(&self, file: &Arc<dyn DiskFile>, path: &Path, at: usize, bytes: &[u8]) -> Result<Torn, StoreError> {
        let rest = bytes.get(at..).unwrap_or_default();
        let torn = rest.get(..frame::used(rest)).unwrap_or(rest);
        let disk = self.place.disk.as_ref();
        let folder = self.place.store.join("torn");
        let keep = || {
            disk.create_folder(&folder)?;
            disk.sync_folder(&self.place.store)?;
            // A cut that was itself interrupted is done again; what was kept before stays.
            let number = disk.list(&folder)?.len();
            let kept = folder.join(format!("{}-{:020}-{at}-{number}.bin", self.place.kind.name(), self.size));
            let copy = disk.create(&kept)?;
            copy.truncate(0)?;
            copy.write_all_at(torn, 0)?;
            copy.sync_all()?;
            disk.sync_folder(&folder)?;
            file.write_all_at(&vec![0; torn.len()], offset(at))?;
            file.sync_data()?;
            Ok(kept)
        };
        let kept = keep().map_err(|e| failed("cannot cut", path, &e))?;
        Ok(Torn { segment: path.to_owned(), offset: offset(at), bytes: offset(torn.len()), kept })
    }
}

fn offset(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
