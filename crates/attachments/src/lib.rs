//! Evidence files beside the ledger, each under the SHA-256 digest of its bytes: certificates, cytometry files, logger traces.
//!
//! Records name digests; what has a digest cannot be changed without being another file. The `object_store` crate keeps them: in a local
//! folder, where a file is received under a name of its own, made durable, and only then given its digest's name; or in a bucket of an
//! S3-compatible store, where an upload has a name from its completion on. So a name never stands for half a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::prefix::PrefixStore;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload, RetryConfig};
use sha2::{Digest as _, Sha256};

/// SHA-256 of an attachment's bytes.
pub type Digest = [u8; 32];

/// Where files are while they are received.
const INCOMING: &str = "incoming";
/// What is sent at once: a part of an S3 upload has 5 MiB at least, unless it is the last one.
const PART_BYTES: usize = 8 * 1024 * 1024;
/// Number of the next one.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Why an attachment could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum AttachmentError {
    /// The store failed: no space, no permission, a broken disk.
    #[error("the attachment store failed: {0}")]
    Store(#[from] object_store::Error),
    /// The disk failed.
    #[error("the attachment store failed: {0}")]
    Disk(#[from] std::io::Error),
    /// What was sent is not what was announced.
    #[error("{found}; announced was {announced}")]
    Differs {
        /// What came.
        found: String,
        /// What was announced.
        announced: String,
    },
    /// There is no such attachment.
    #[error("no attachment {0}")]
    Unknown(String),
    /// The file is not what its name says any more.
    #[error("attachment {0} is damaged: its bytes have another digest")]
    Damaged(String),
}

/// Why a bucket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// Not the address of a bucket.
    #[error("`{0}` is no bucket: s3://bucket or s3://bucket/prefix")]
    Address(String),
    /// Its settings are wrong.
    #[error("the bucket's settings: {0}")]
    Settings(#[from] object_store::Error),
}

/// The attachments of a ledger.
#[derive(Clone, Debug)]
pub struct Attachments {
    store: Arc<dyn ObjectStore>,
    /// The folder, if it is one: bytes and names are synced there.
    folder: Option<PathBuf>,
}

impl Attachments {
    /// In this folder, which is made if it does not exist. What was received in part before is removed.
    pub fn open(folder: &Path) -> Result<Attachments, AttachmentError> {
        let incoming = folder.join(INCOMING);
        if incoming.exists() {
            std::fs::remove_dir_all(&incoming)?;
        }
        std::fs::create_dir_all(&incoming)?;
        sync_folder(folder)?;
        Ok(Attachments { store: Arc::new(LocalFileSystem::new_with_prefix(folder)?), folder: Some(folder.to_owned()) })
    }

    /// In a bucket of an S3-compatible store: `s3://bucket` or `s3://bucket/prefix`. Endpoint, region and credentials come from the
    /// environment, under the names that other S3 clients read (`AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ACCESS_KEY_ID`, …); a store without TLS
    /// only with `AWS_ALLOW_HTTP=true`.
    pub fn in_bucket(url: &str) -> Result<Attachments, BucketError> {
        let wrong = || BucketError::Address(url.to_owned());
        let (bucket, prefix) = match url.strip_prefix("s3://").ok_or_else(wrong)? {
            rest if rest.is_empty() || rest.starts_with('/') => return Err(wrong()),
            rest => rest.split_once('/').unwrap_or((rest, "")),
        };
        // Somebody waits for the answer: a bucket that cannot be reached is said to be so within seconds.
        let retry = RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(10), ..RetryConfig::default() };
        let store = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry).build()?;
        Ok(Attachments { store: Arc::new(PrefixStore::new(store, prefix)), folder: None })
    }

    /// Reads every attachment: those that are whole, and the names of those that are damaged.
    pub async fn check(&self) -> Result<(Vec<Digest>, Vec<String>), AttachmentError> {
        let (mut whole, mut damaged) = (Vec::new(), Vec::new());
        for digest in self.list().await? {
            let (_, mut pieces) = self.read(&digest).await?;
            match loop {
                match pieces.try_next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            } {
                Ok(()) => whole.push(digest),
                Err(AttachmentError::Damaged(name)) => damaged.push(name),
                Err(error) => return Err(error),
            }
        }
        Ok((whole, damaged))
    }

    async fn has(&self, digest: &Digest) -> Result<bool, AttachmentError> {
        match self.store.head(&key(digest)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Begins to receive an attachment of this digest and size. What is there already is compared with what comes and not kept twice: only
    /// who has the bytes is told that they were known.
    pub async fn receive(&self, digest: Digest, size: u64) -> Result<Incoming, AttachmentError> {
        if self.has(&digest).await? {
            let (attachments, hasher) = (self.clone(), Sha256::new());
            let (name, part) = (String::new(), Vec::new());
            return Ok(Incoming { attachments, name, upload: None, part, hasher, received: 0, digest, size });
        }
        // The folder is emptied at the start, so that a number is enough. In a bucket an upload has its name when it is complete.
        let name = match self.folder {
            Some(_) => format!("{INCOMING}/{}", NEXT.fetch_add(1, Ordering::Relaxed)),
            None => name_of(&digest),
        };
        let upload = self.store.put_multipart(&Key::from(name.as_str())).await?;
        let attachments = self.clone();
        let part = Vec::new();
        Ok(Incoming { attachments, name, upload: Some(upload), part, hasher: Sha256::new(), received: 0, digest, size })
    }

    /// An attachment's size and bytes. The stream ends with [`AttachmentError::Damaged`] if they are not what the digest says.
    pub async fn read(
        &self,
        digest: &Digest,
    ) -> Result<(u64, BoxStream<'static, Result<Bytes, AttachmentError>>), AttachmentError> {
        let found = match self.store.get(&key(digest)).await {
            Err(object_store::Error::NotFound { .. }) => return Err(AttachmentError::Unknown(hex::encode(digest))),
            found => found?,
        };
        let (size, expected) = (found.meta.size, *digest);
        let pieces = found.into_stream().map_err(AttachmentError::from).map(Some).chain(futures_util::stream::iter([None]));
        let checked = pieces.scan(Sha256::new(), move |hasher, piece| {
            let item = match piece {
                Some(Ok(bytes)) => {
                    hasher.update(&bytes);
                    Some(Ok(bytes))
                }
                Some(Err(error)) => Some(Err(error)),
                None => {
                    let is_whole = <[u8; 32]>::from(hasher.clone().finalize()) == expected;
                    (!is_whole).then(|| Err(AttachmentError::Damaged(hex::encode(expected))))
                }
            };
            std::future::ready(Some(item))
        });
        Ok((size, checked.filter_map(std::future::ready).boxed()))
    }

    /// The digests of all attachments, in order.
    pub async fn list(&self) -> Result<Vec<Digest>, AttachmentError> {
        let found: Vec<_> = self.store.list(None).try_collect().await?;
        let mut digests: Vec<Digest> = found.iter().filter_map(|meta| digest_of(meta.location.as_ref())).collect();
        digests.sort_unstable();
        Ok(digests)
    }
}

/// An attachment that is being received.
pub struct Incoming {
    attachments: Attachments,
    name: String,
    upload: Option<Box<dyn MultipartUpload>>,
    /// What came since the last part was sent.
    part: Vec<u8>,
    hasher: Sha256,
    received: u64,
    digest: Digest,
    size: u64,
}

impl Incoming {
    /// Whether it was there before.
    pub fn was_known(&self) -> bool {
        self.name.is_empty()
    }

    /// Takes the next bytes. More than were announced are refused at once.
    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<(), AttachmentError> {
        self.received = self.received.saturating_add(bytes.len() as u64);
        if self.received > self.size {
            return Err(self.differs(format!("more than {} bytes", self.size)));
        }
        self.hasher.update(&bytes);
        if let Some(upload) = &mut self.upload {
            self.part.extend(bytes);
            if self.part.len() >= PART_BYTES {
                upload.put_part(PutPayload::from(std::mem::take(&mut self.part))).await?;
            }
        }
        Ok(())
    }

    /// Gives it its name, durably, if it is what was announced.
    pub async fn finish(mut self) -> Result<(), AttachmentError> {
        let found: Digest = self.hasher.clone().finalize().into();
        if self.received != self.size || found != self.digest {
            let error = self.differs(format!("{} bytes with the digest {}", self.received, hex::encode(found)));
            self.abort().await;
            return Err(error);
        }
        let Some(mut upload) = self.upload.take() else { return Ok(()) };
        // Also when it is empty: an upload has one part at least.
        upload.put_part(PutPayload::from(std::mem::take(&mut self.part))).await?;
        upload.complete().await?;
        let Some(folder) = self.attachments.folder.clone() else { return Ok(()) };
        let (from, to) = (folder.join(&self.name), folder.join(name_of(&self.digest)));
        // The library does not sync. The bytes first, then the name: a crash in between leaves nothing under the digest.
        tokio::task::spawn_blocking(move || {
            std::fs::File::open(&from)?.sync_all()?;
            std::fs::rename(&from, &to)?;
            sync_folder(&folder)
        })
        .await
        .map_err(std::io::Error::other)??;
        Ok(())
    }

    fn differs(&self, found: String) -> AttachmentError {
        AttachmentError::Differs { found, announced: format!("{} bytes with the digest {}", self.size, hex::encode(self.digest)) }
    }

    /// Leaves nothing behind.
    pub async fn abort(mut self) {
        if let Some(mut upload) = self.upload.take() {
            let _ = upload.abort().await;
        }
    }
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

fn name_of(digest: &Digest) -> String {
    hex::encode(digest)
}

fn key(digest: &Digest) -> Key {
    Key::from(name_of(digest))
}

fn digest_of(name: &str) -> Option<Digest> {
    hex::decode(name).ok()?.try_into().ok()
}

/// Reads every attachment of a folder that nobody serves: how many there are, and the names of those that are damaged.
pub fn check(folder: &Path) -> std::io::Result<(Vec<Digest>, Vec<String>)> {
    let (mut whole, mut damaged) = (Vec::new(), Vec::new());
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((whole, damaged)),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let Some(digest) = digest_of(&name) else { continue };
        let mut hasher = Sha256::new();
        std::io::copy(&mut std::fs::File::open(folder.join(&name))?, &mut HashWriter(&mut hasher))?;
        if <[u8; 32]>::from(hasher.finalize()) == digest { whole.push(digest) } else { damaged.push(name) }
    }
    Ok((whole, damaged))
}

/// Hashes what is copied into it, so that no file has to fit into memory.
struct HashWriter<'a>(&'a mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    async fn put(attachments: &Attachments, bytes: &[u8], digest: Digest, size: u64) -> Result<(), AttachmentError> {
        let mut incoming = attachments.receive(digest, size).await?;
        for chunk in bytes.chunks(7) {
            if let Err(error) = incoming.write(chunk.to_vec()).await {
                incoming.abort().await;
                return Err(error);
            }
        }
        incoming.finish().await
    }

    async fn got(attachments: &Attachments, digest: &Digest) -> Result<Vec<u8>, AttachmentError> {
        let (_, stream) = attachments.read(digest).await?;
        Ok(stream.try_collect::<Vec<_>>().await?.concat())
    }

    #[tokio::test]
    async fn what_was_put_comes_back_and_nothing_else_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let attachments = Attachments::open(folder.path()).unwrap();
        let bytes = b"a certificate of analysis".to_vec();
        let (digest, size): (Digest, u64) = (Sha256::digest(&bytes).into(), bytes.len() as u64);
        for (announced, length) in [([7; 32], size), (digest, size - 1), (digest, size + 1)] {
            let refused = put(&attachments, &bytes, announced, length).await;
            assert!(matches!(refused, Err(AttachmentError::Differs { .. })), "{refused:?}");
        }
        assert!(attachments.list().await.unwrap().is_empty());
        for _ in 0..2 {
            put(&attachments, &bytes, digest, size).await.unwrap();
        }
        assert_eq!(attachments.list().await.unwrap(), [digest]);
        assert!(attachments.receive(digest, size).await.unwrap().was_known());
        // Whoever has not the bytes is told nothing of them.
        assert!(matches!(put(&attachments, b"something else", digest, 14).await, Err(AttachmentError::Differs { .. })));
        assert_eq!(got(&attachments, &digest).await.unwrap(), bytes);
        assert!(matches!(got(&attachments, &[1; 32]).await, Err(AttachmentError::Unknown(_))));
        // What was received in part is gone with the next start, what was finished stays.
        let _half = attachments.receive([2; 32], 100).await.unwrap();
        let again = Attachments::open(folder.path()).unwrap();
        assert_eq!(again.list().await.unwrap(), [digest]);
        assert_eq!(std::fs::read_dir(folder.path().join(INCOMING)).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_damaged_file_is_noticed_when_it_is_read_and_by_the_check() {
        let folder = tempfile::tempdir().unwrap();
        let attachments = Attachments::open(folder.path()).unwrap();
        let digest: Digest = Sha256::digest(b"flow cytometry").into();
        put(&attachments, b"flow cytometry", digest, 14).await.unwrap();
        assert_eq!(check(folder.path()).unwrap(), (vec![digest], Vec::new()));
        std::fs::write(folder.path().join(name_of(&digest)), b"flow cytometrY").unwrap();
        assert!(matches!(got(&attachments, &digest).await, Err(AttachmentError::Damaged(_))));
        assert_eq!(check(folder.path()).unwrap(), (Vec::new(), vec![name_of(&digest)]));
        assert_eq!(check(&folder.path().join("none")).unwrap(), (Vec::new(), Vec::new()));
    }
}
