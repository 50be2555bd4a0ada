//! What the threads of the ledger share: the committed tree, caches, the clock.

use std::cell::RefCell;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use lru::LruCache;
use marrowline_merkle::{Edge, Hash, TileSource};
use marrowline_record::entry::Entry;
use marrowline_record::id::{Id16, KeyId, RecordId, StreamKey};
use marrowline_record::key::{KeyRef, PublicKey};
use marrowline_record::leaf::Leaf;
use marrowline_record::origin::Origin;
use marrowline_record::pb::StreamKind;
use marrowline_rules::Finding;
use marrowline_rules::state::{Authority, Stream};

use crate::clock::{Clock, Reading, TimeSource};
use crate::log_keys::LogKeys;
use crate::store::{Reader, StoreError};

fn missing(key: &StreamKey, seq: u64) -> StoreError {
    StoreError::Damaged {
        what: "a stream".to_owned(),
        place: format!("record {seq} of stream {key} is missing"),
        next: "run fsck; rebuild the projection".to_owned(),
    }
}

/// Streams that are kept folded.
const CACHED_STREAMS: usize = 4_096;

/// A checkpoint as it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedCheckpoint {
    /// Number of leaves.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
    /// The signed note.
    pub note: String,
}

/// A record that is in the log.
#[derive(Clone, Debug)]
pub struct Appended {
    /// Its leaf.
    pub index: u64,
    /// What was found and did not stop it. Empty for a duplicate.
    pub flags: Vec<Finding>,
    /// A checkpoint that covers it.
    pub checkpoint: Arc<PublishedCheckpoint>,
    /// Whether it was in the log already.
    pub duplicate: bool,
    /// The proof that the checkpoint covers it, if it was made with the proofs of its batch.
    pub(crate) inclusion: Option<Vec<Hash>>,
}

/// The committed end of the log.
pub(crate) struct Committed {
    pub edge: Edge,
    pub checkpoint: Arc<PublishedCheckpoint>,
}

/// What the threads share. Locks are held for the length of a copy, never over I/O, except the stream cache's refold.
pub(crate) struct Shared {
    pub reader: Arc<dyn Reader>,
    /// Written by the committer, after a batch is durable.
    pub committed: RwLock<Committed>,
    /// Folded streams, as of some length; brought forward on use.
    pub streams: Mutex<LruCache<StreamKey, (u64, Arc<Stream>)>>,
    /// The keys that may sign: committed grants only.
    pub keyring: RwLock<Arc<HashMap<KeyId, KeyRef>>>,
    pub clock: Mutex<Clock>,
    pub time: Box<dyn TimeSource>,
    /// Time of the last leaf that was staged: recorded-at never goes back.
    pub last_recorded_ms: AtomicI64,
    /// Set once: why the ledger takes no more records.
    pub stopped: Mutex<Option<String>>,
    /// Set once: why the ledger is read-only.
    pub read_only: Mutex<Option<String>>,
    /// Clients' checkpoints, signed notes, that this log was found to continue.
    pub continued: Mutex<LruCache<String, ()>>,
    pub origin: RwLock<Option<Origin>>,
    pub log_keys: RwLock<LogKeys>,
    /// Records waiting for the sequencer.
    pub waiting: AtomicU64,
    pub watch: tokio::sync::watch::Sender<u64>,
}

/// A lock's content, also after a thread panicked with it: the data is replaced whole, never half.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// Full tiles from the store.
pub(crate) struct StoredTiles<'a>(pub &'a dyn Reader);

impl TileSource for StoredTiles<'_> {
    type Error = StoreError;

    fn full_tile(&self, level: u8, index: u64) -> Result<Vec<Hash>, StoreError> {
        self.0.tile(level, index)?.ok_or_else(|| StoreError::Damaged {
            what: "the tree".to_owned(),
            place: format!("tile {level}/{index} is missing"),
            next: "run fsck; rebuild the projection".to_owned(),
        })
    }
}

impl Shared {
    pub fn cache() -> Mutex<LruCache<StreamKey, (u64, Arc<Stream>)>> {
        Mutex::new(LruCache::new(NonZeroUsize::new(CACHED_STREAMS).unwrap_or(NonZeroUsize::MIN)))
    }

    pub fn reading(&self) -> Reading {
        lock(&self.clock).read(self.time.as_ref())
    }

    /// Number of committed records whose checkpoint is signed.
    pub fn size(&self) -> u64 {
        read(&self.committed).checkpoint.size
    }

    /// A committed record.
    pub fn entry(&self, index: u64) -> Result<Option<Entry>, StoreError> {
        let Some((leaf, record)) = self.reader.entry(index)? else {
            return Ok(None);
        };
        decode_entry(index, &leaf, &record).map(Some)
    }

    /// A committed record by its id.
    fn entry_of(&self, id: &RecordId) -> Result<Option<Arc<Entry>>, StoreError> {
        match self.reader.index_of(id)? {
            Some(index) => Ok(self.entry(index)?.map(Arc::new)),
            None => Ok(None),
        }
    }

    /// A stream's length when the log had `size` leaves.
    pub fn length_at(&self, key: &StreamKey, size: u64) -> Result<u64, StoreError> {
        let Some((mut length, _)) = self.reader.head(key)? else {
            return Ok(0);
        };
        while length > 0 {
            match self.reader.link(key, length)? {
                Some((index, _)) if index >= size => length = length.saturating_sub(1),
                _ => break,
            }
        }
        Ok(length)
    }

    /// A committed stream as of `size` leaves, folded; `None` if it has no records by then.
    pub fn stream(&self, kind: StreamKind, id: &Id16, size: u64) -> Result<Option<Arc<Stream>>, StoreError> {
        let key = marrowline_record::stream::stream_key(kind as u8, &id.0);
        let length = self.length_at(&key, size)?;
        if length == 0 {
            return Ok(None);
        }
        let cached = lock(&self.streams).get(&key).cloned();
        let (mut folded, mut state) = match cached {
            Some((cached_length, state)) if cached_length == length => return Ok(Some(state)),
            Some((cached_length, state)) if cached_length < length => (cached_length, state),
            _ => (0, Arc::new(Stream::new(kind, *id))),
        };
        while folded < length {
            folded = folded.saturating_add(1);
            let entry = Arc::new(self.stream_entry(&key, folded)?);
            let failure = RefCell::new(None);
            let read = |id: &RecordId| {
                self.entry_of(id).unwrap_or_else(|error| {
                    failure.replace(Some(error));
                    None
                })
            };
            if Arc::make_mut(&mut state).add(&entry, &read).is_none() {
                return Err(failure.take().unwrap_or_else(|| missing(&key, folded)));
            }
        }
        let mut streams = lock(&self.streams);
        if streams.peek(&key).is_none_or(|(cached_length, _)| *cached_length < length) {
            streams.put(key, (length, Arc::clone(&state)));
        }
        Ok(Some(state))
    }

    /// Record number `seq` of a stream.
    pub fn stream_entry(&self, key: &StreamKey, seq: u64) -> Result<Entry, StoreError> {
        let (index, _) = self.reader.link(key, seq)?.ok_or_else(|| missing(key, seq))?;
        self.entry(index)?.ok_or_else(|| missing(key, seq))
    }

    /// Parses the keys of an authority that were not parsed yet.
    pub fn renew_keyring(&self, authority: &Authority) {
        let known = Arc::clone(&read(&self.keyring));
        let mut keys = HashMap::with_capacity(authority.keys.len());
        for key in authority.keys.values() {
            let parsed = known.get(&key.id).cloned().or_else(|| PublicKey::parse(&key.public_key).ok().map(Arc::new));
            if let Some(parsed) = parsed {
                keys.insert(key.id, parsed);
            }
        }
        *write(&self.keyring) = Arc::new(keys);
    }
}

/// A leaf and its record, decoded, with the record's digest compared with the leaf's.
pub(crate) fn decode_entry(index: u64, leaf_bytes: &[u8], record_bytes: &[u8]) -> Result<Entry, StoreError> {
    let damaged = |what: String| StoreError::Damaged {
        what: "a stored record".to_owned(),
        place: format!("index {index}: {what}"),
        next: "run fsck; rebuild the projection from the journal".to_owned(),
    };
    let leaf = Leaf::decode(leaf_bytes).map_err(|e| damaged(e.to_string()))?;
    if marrowline_record::digest(record_bytes) != leaf.digest {
        return Err(damaged("the record is not the one that its leaf names".to_owned()));
    }
    let record = marrowline_record::decode(record_bytes).map_err(|e| damaged(format!("{e:?}")))?;
    Ok(Entry {
        index,
        recorded_at_ms: leaf.recorded_at_ms,
        rule_set: leaf.rule_set,
        flags: leaf.flags,
        digest: leaf.digest,
        record: Arc::new(record),
        signings: leaf.signings,
    })
}
