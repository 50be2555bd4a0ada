//! The durable part of the store: both journals, the checkpoint file and the epoch. Everything else can be made again from them.
//!
//! After a write or sync that failed, what is on the disk is not known: nothing more is accepted until the store is opened anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use marrowline_ledger::store::{Epoch, NoteKind, StoreError};
use marrowline_merkle::Hash;

use crate::checkpoint;
use crate::disk::Disk;
use crate::epoch;
use crate::failed;
use crate::frame::{Item, Kind};
use crate::journal::{Journal, Place, Settled};

/// Segments of the second journal are this much smaller.
const NOTES_SHARE: u64 = 16;

/// Where a store's journal is.
pub fn place(disk: &Arc<dyn Disk>, folder: &Path, kind: Kind, segment_bytes: u64) -> Place {
    let segment_bytes = match kind {
        Kind::Records => segment_bytes,
        Kind::Notes => segment_bytes / NOTES_SHARE,
    };
    Place { disk: Arc::clone(disk), store: folder.to_owned(), kind, segment_bytes }
}

/// Both journals, the checkpoint file and the epoch.
pub struct Durable {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    journal: Journal,
    notes: Journal,
    checkpoint: Option<String>,
    epoch: u64,
    segment_bytes: u64,
    /// Why nothing more is accepted.
    poisoned: Option<String>,
}

impl Durable {
    /// Opens what is in a folder and changes nothing in it. A journal that does not reach the checkpoint file is refused.
    pub fn open(disk: Arc<dyn Disk>, folder: &Path, segment_bytes: u64) -> Result<Durable, StoreError> {
        // A name that a killed process left behind is durable before anything is built on it.
        disk.create_folder(folder)
            .and_then(|()| folder.parent().map_or(Ok(()), |parent| disk.sync_folder(parent)))
            .and_then(|()| disk.sync_folder(folder))
            .map_err(|e| failed("cannot create", folder, &e))?;
        let checkpoint = checkpoint::read(disk.as_ref(), folder)?;
        let published = checkpoint.as_ref().map_or(0, |(_, c)| c.size());
        let (journal, root) = Journal::open(place(&disk, folder, Kind::Records, segment_bytes), published)?;
        if let Some((_, checkpoint)) = &checkpoint {
            reaches(&journal, published, root, checkpoint.root())?;
        }
        let (notes, _) = Journal::open(place(&disk, folder, Kind::Notes, segment_bytes), 0)?;
        Ok(Durable {
            epoch: epoch::read(disk.as_ref(), folder)?,
            folder: folder.to_owned(),
            journal,
            notes,
            checkpoint: checkpoint.map(|(note, _)| note),
            segment_bytes,
            poisoned: None,
            disk,
        })
    }

    /// Makes sure of the ends of both journals: the first before anything else is done with them.
    pub fn settle(&mut self) -> Result<[Settled; 2], StoreError> {
        Ok([self.journal.settle()?, self.notes.settle()?])
    }

    /// The journal of records.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The second journal.
    pub fn notes(&self) -> &Journal {
        &self.notes
    }

    /// The last published checkpoint.
    pub fn checkpoint(&self) -> Option<&str> {
        self.checkpoint.as_deref()
    }

    /// Raises the epoch, durably.
    pub fn claim(&mut self) -> Result<Epoch, StoreError> {
        self.usable()?;
        let epoch = self.epoch.saturating_add(1);
        let written = epoch::write(self.disk.as_ref(), &self.folder, epoch);
        self.stop_if_failed(written)?;
        self.epoch = epoch;
        Ok(Epoch(epoch))
    }

    /// Appends records, whole or not at all.
    pub fn commit(&mut self, epoch: Epoch, first: u64, root_after: Hash, items: &[Item<'_>]) -> Result<(), StoreError> {
        self.check(epoch)?;
        let size = self.journal.size();
        if first != size {
            return Err(StoreError::OutOfOrder { first, size });
        }
        self.room_for(bytes_of(items))?;
        let appended = self.journal.append(Some(root_after), items);
        self.stop_if_failed(appended)
    }

    /// Appends notes, whole or not at all; returns the first one's number.
    pub fn note(&mut self, epoch: Epoch, notes: &[(NoteKind, Vec<u8>)]) -> Result<u64, StoreError> {
        self.check(epoch)?;
        let first = self.notes.size();
        if notes.is_empty() {
            return Ok(first);
        }
        let kinds: Vec<[u8; 1]> = notes.iter().map(|(kind, _)| [*kind as u8]).collect();
        let items: Vec<Item<'_>> = kinds.iter().zip(notes).map(|(kind, (_, body))| (kind.as_slice(), body.as_slice())).collect();
        self.room_for(bytes_of(&items))?;
        let appended = self.notes.append(None, &items);
        self.stop_if_failed(appended)?;
        Ok(first)
    }

    /// Replaces the checkpoint file. It never states what the store does not hold.
    pub fn publish(&mut self, epoch: Epoch, note: &str) -> Result<(), StoreError> {
        self.check(epoch)?;
        let size = self.journal.size();
        let checkpoint = checkpoint::parse(note)
            .ok_or_else(|| StoreError::Failed("what should be published is no signed checkpoint".to_owned()))?;
        if checkpoint.size() > size || checkpoint.size() == size && *checkpoint.root() != self.journal.link() {
            let what = format!("the checkpoint of {} records is not one of this store, which has {size}", checkpoint.size());
            return Err(StoreError::Failed(what));
        }
        let written = checkpoint::write(self.disk.as_ref(), &self.folder, note);
        self.stop_if_failed(written)?;
        self.checkpoint = Some(note.to_owned());
        Ok(())
    }

    /// Whether this many bytes can be written, with room for a new segment of each journal beside them.
    pub fn room_for(&self, bytes: u64) -> Result<(), StoreError> {
        let needed_bytes = bytes.saturating_add(self.segment_bytes.saturating_mul(2));
        let asked = self.disk.free_bytes(&self.folder);
        let free_bytes = asked.map_err(|e| failed("cannot ask for the space of", &self.folder, &e))?;
        if free_bytes < needed_bytes {
            return Err(StoreError::Full { free_bytes, needed_bytes });
        }
        Ok(())
    }

    /// Refuses everything from here on.
    pub fn stop(&mut self, reason: &str) {
        self.poisoned.get_or_insert(reason.to_owned());
    }

    /// Refuses a writer that another has taken over from, and anyone after a failure.
    pub fn check(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.usable()?;
        if epoch.0 == self.epoch { Ok(()) } else { Err(StoreError::Fenced { current: self.epoch, held: epoch.0 }) }
    }

    fn usable(&self) -> Result<(), StoreError> {
        self.poisoned.as_ref().map_or(Ok(()), |reason| Err(StoreError::Failed(reason.clone())))
    }

    /// Only [`StoreError::Full`] is known to have written nothing.
    fn stop_if_failed<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result
            && !matches!(error, StoreError::Full { .. })
        {
            self.stop(&error.to_string());
        }
        result
    }
}

fn bytes_of(items: &[Item<'_>]) -> u64 {
    let bytes = items.iter().map(|(head, body)| head.len().saturating_add(body.len()));
    u64::try_from(bytes.fold(0, usize::saturating_add)).unwrap_or(u64::MAX)
}

/// Whether the journal reaches the last published checkpoint, with the root that it states.
fn reaches(journal: &Journal, published: u64, stated: Option<Hash>, root: &Hash) -> Result<(), StoreError> {
    let place = match stated {
        _ if published == 0 => return Ok(()),
        Some(stated) if stated == *root => return Ok(()),
        Some(_) => format!("its root at {published} records is not the one of the checkpoint file"),
        None if journal.size() < published => {
            format!("it ends at record {}, the checkpoint file covers {published}: records are missing", journal.size())
        }
        None => format!("no commit ends at {published} records, where the checkpoint file does"),
    };
    Err(StoreError::Damaged {
        what: format!("the journal {}", journal.place().folder().display()),
        place,
        next: "nothing was changed; keep a copy of the folder, then restore from a backup".to_owned(),
    })
}
