//! The leaf: what the log hashes. It names the record by its digest, so a record can be withheld without breaking any proof.
//!
//! ```text
//! 01 ‖ recorded_at_ms u64be ‖ rule_set u32be
//!    ‖ n u8 ‖ flags n × u16be, ascending, at most 32
//!    ‖ n u8 ‖ links n × (stream_key 32 ‖ seq u64be ‖ prev 32), ascending by key, 1 to 16
//!    ‖ digest 32
//!    ‖ n u8 ‖ signings n × 109, ascending by slot, 1 to 8
//!    ‖ has_map u8 ‖ [map_root 32]
//! ```
//!
//! Stored verbatim, never rebuilt. [`Leaf::decode`] reads one meaning from one encoding: bounds, order, no trailing bytes.

use sha2::{Digest as _, Sha256};

use crate::id::{Digest, KeyId, StreamKey};
use crate::instant;
use crate::pb::{Meaning, Role};
use crate::signing::{SIGNING_BYTES, Signing};

/// Most flags of a leaf.
pub const MAX_FLAGS: usize = 32;
/// Most links of a leaf, as many as a record can extend streams.
pub const MAX_LINKS: usize = 16;
/// Most signings of a leaf, as many as a record has slots.
pub const MAX_SIGNINGS: usize = 8;

const VERSION: u8 = 1;
const SIGNED_DOMAIN: &[u8] = b"marrowline/signed/v1\n";

/// The ledger's statement about one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// When the ledger accepted the record.
    pub recorded_at_ms: i64,
    /// The rule set that judged it.
    pub rule_set: u32,
    /// Numbers of its flags, ascending.
    pub flags: Vec<u16>,
    /// Its place in each stream that it extends, ascending by stream key.
    pub links: Vec<Link>,
    /// The record's digest.
    pub digest: Digest,
    /// Who signed it, by slot.
    pub signings: Vec<Signing>,
    /// Root of the map of heads, in the last leaf of a commit.
    pub map_root: Option<[u8; 32]>,
}

/// A record's place in one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The stream.
    pub stream_key: StreamKey,
    /// The record's number in the stream, from 1.
    pub seq: u64,
    /// [`signed_hash`] of the stream's record before it; zeros for the first.
    pub prev: [u8; 32],
}

/// Why bytes are no leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// The bytes end too early.
    #[error("the leaf ends too early")]
    Truncated,
    /// Bytes follow after the end.
    #[error("bytes follow after the leaf")]
    TrailingBytes,
    /// Another version than 1.
    #[error("the leaf's version is {0}, known is 1")]
    VersionUnknown(u8),
    /// A time outside the bounds of an instant.
    #[error("the leaf's time is out of range")]
    TimeOutOfRange,
    /// Rule set zero.
    #[error("the leaf names no rule set")]
    RuleSetZero,
    /// Too many flags.
    #[error("the leaf has more than 32 flags")]
    TooManyFlags,
    /// Flags not ascending, each once.
    #[error("the leaf's flags are not ascending")]
    FlagsNotAscending,
    /// No links or too many.
    #[error("the leaf has {0} links, allowed are 1 to 16")]
    LinkCount(usize),
    /// Links not ascending by stream key, each once.
    #[error("the leaf's links are not ascending")]
    LinksNotAscending,
    /// Sequence number zero, or a first record with a predecessor, or a later one without.
    #[error("a link's sequence number does not go with its predecessor")]
    LinkWrong,
    /// No signings or too many.
    #[error("the leaf has {0} signings, allowed are 1 to 8")]
    SigningCount(usize),
    /// Signings not ascending by slot, each slot once, from 0 to 7.
    #[error("the leaf's signings are not ascending by slot")]
    SlotsNotAscending,
    /// One key in two slots.
    #[error("one key fills two slots")]
    KeyTwice,
    /// A signing's role, meaning, time or offset out of range.
    #[error("a signing's role, meaning or time is out of range")]
    SigningOutOfRange,
    /// Neither 0 nor 1 where the map root is announced.
    #[error("the map root is announced by {0}, allowed are 0 and 1")]
    MapMarkWrong(u8),
}

impl Leaf {
    /// The leaf's bytes. Not checked: what [`Leaf::decode`] refuses can be encoded, see [`Leaf::check`].
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128 + self.links.len() * 72 + self.signings.len() * SIGNING_BYTES);
        out.push(VERSION);
        out.extend(u64::try_from(self.recorded_at_ms).unwrap_or(0).to_be_bytes());
        out.extend(self.rule_set.to_be_bytes());
        out.push(count(self.flags.len()));
        self.flags.iter().for_each(|flag| out.extend(flag.to_be_bytes()));
        out.push(count(self.links.len()));
        for link in &self.links {
            out.extend(link.stream_key.0);
            out.extend(link.seq.to_be_bytes());
            out.extend(link.prev);
        }
        out.extend(self.digest.0);
        out.push(count(self.signings.len()));
        self.signings.iter().for_each(|signing| out.extend(signing.to_bytes()));
        out.push(self.map_root.is_some().into());
        out.extend(self.map_root.iter().flatten());
        out
    }

    /// Reads a leaf strictly. What this accepts encodes to the same bytes again.
    pub fn decode(bytes: &[u8]) -> Result<Leaf, LeafError> {
        let mut reader = Reader(bytes);
        let version = reader.byte()?;
        if version != VERSION {
            return Err(LeafError::VersionUnknown(version));
        }
        let recorded_at_ms = i64::try_from(u64::from_be_bytes(reader.array()?)).map_err(|_| LeafError::TimeOutOfRange)?;
        let rule_set = u32::from_be_bytes(reader.array()?);
        let flags = (0..reader.byte()?).map(|_| Ok(u16::from_be_bytes(reader.array()?))).collect::<Result<_, _>>()?;
        let links = (0..reader.byte()?).map(|_| reader.link()).collect::<Result<_, _>>()?;
        let digest = Digest(reader.array()?);
        let signings = (0..reader.byte()?).map(|_| reader.signing()).collect::<Result<_, _>>()?;
        let map_root = match reader.byte()? {
            0 => None,
            1 => Some(reader.array()?),
            mark => return Err(LeafError::MapMarkWrong(mark)),
        };
        if !reader.0.is_empty() {
            return Err(LeafError::TrailingBytes);
        }
        let leaf = Leaf { recorded_at_ms, rule_set, flags, links, digest, signings, map_root };
        leaf.check()?;
        Ok(leaf)
    }

    /// Whether its content is within the leaf's bounds and order.
    pub fn check(&self) -> Result<(), LeafError> {
        if !(instant::MIN_UNIX_MS..=instant::MAX_UNIX_MS).contains(&self.recorded_at_ms) {
            return Err(LeafError::TimeOutOfRange);
        }
        if self.rule_set == 0 {
            return Err(LeafError::RuleSetZero);
        }
        if self.flags.len() > MAX_FLAGS {
            return Err(LeafError::TooManyFlags);
        }
        if !self.flags.is_sorted_by(|a, b| a < b) {
            return Err(LeafError::FlagsNotAscending);
        }
        check_links(&self.links)?;
        check_signings(&self.signings)
    }

    /// The hash that the next record of a stream has seen and links to: see [`signed_hash`].
    pub fn signed_hash(&self) -> [u8; 32] {
        signed_hash(&self.digest, &self.signings)
    }

    /// Ids of the keys that signed, by slot.
    pub fn key_ids(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.signings.iter().map(|s| s.key_id)
    }
}

/// `SHA256("marrowline/signed/v1\n" ‖ digest ‖ signings)`: a record with its signatures, without the ledger's own statement.
pub fn signed_hash(digest: &Digest, signings: &[Signing]) -> [u8; 32] {
    let mut hash = Sha256::new().chain_update(SIGNED_DOMAIN).chain_update(digest.0);
    for signing in signings {
        hash.update(signing.to_bytes());
    }
    hash.finalize().into()
}

/// A count as a byte. More than 255 items are beyond every bound, so that decoding refuses whatever stands here.
fn count(items: usize) -> u8 {
    u8::try_from(items).unwrap_or(u8::MAX)
}

fn check_links(links: &[Link]) -> Result<(), LeafError> {
    if !(1..=MAX_LINKS).contains(&links.len()) {
        return Err(LeafError::LinkCount(links.len()));
    }
    if !links.is_sorted_by(|a, b| a.stream_key < b.stream_key) {
        return Err(LeafError::LinksNotAscending);
    }
    let goes_together = |link: &Link| link.seq != 0 && (link.seq == 1) == (link.prev == [0; 32]);
    if !links.iter().all(goes_together) {
        return Err(LeafError::LinkWrong);
    }
    Ok(())
}

fn check_signings(signings: &[Signing]) -> Result<(), LeafError> {
    if !(1..=MAX_SIGNINGS).contains(&signings.len()) {
        return Err(LeafError::SigningCount(signings.len()));
    }
    if !signings.is_sorted_by(|a, b| a.slot < b.slot) || signings.iter().any(|s| usize::from(s.slot) >= MAX_SIGNINGS) {
        return Err(LeafError::SlotsNotAscending);
    }
    if crate::open::first_repeated_key(signings).is_some() {
        return Err(LeafError::KeyTwice);
    }
    let is_known = |s: &Signing| {
        Role::try_from(i32::from(s.role)).is_ok_and(|r| r != Role::Unspecified)
            && Meaning::try_from(i32::from(s.meaning)).is_ok_and(|m| m != Meaning::Unspecified)
    };
    if !signings.iter().all(|s| is_known(s) && s.has_valid_time()) {
        return Err(LeafError::SigningOutOfRange);
    }
    Ok(())
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], LeafError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(LeafError::Truncated)?;
        self.0 = rest;
        Ok(*array)
    }

    fn byte(&mut self) -> Result<u8, LeafError> {
        self.array().map(|[byte]| byte)
    }

    fn link(&mut self) -> Result<Link, LeafError> {
        Ok(Link { stream_key: StreamKey(self.array()?), seq: u64::from_be_bytes(self.array()?), prev: self.array()? })
    }

    fn signing(&mut self) -> Result<Signing, LeafError> {
        Signing::from_bytes(&self.array()?).ok_or(LeafError::SigningOutOfRange)
    }
}
