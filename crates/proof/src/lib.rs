//! Receipts: proof that a record is in the log, checked without the server.
//!
//! A receipt is a C2SP tlog-proof with the leaf and the record beside it. [`Receipt::verify`] trusts nothing but the log's public key
//! that the caller was given by other means.

use marrowline_merkle::{Checkpoint, TlogProof, TlogProofError, VerifierKey, leaf_hash};
use marrowline_record::id::Digest;
use marrowline_record::leaf::{Leaf, LeafError};
use marrowline_record::origin::Origin;
use marrowline_record::pb::record::Event;
use marrowline_record::{Keyring, Malformed, OpenError, OpenedRecord, digest, open_stored};

/// A receipt as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The leaf's number.
    pub index: u64,
    /// The leaf, verbatim.
    pub leaf: Vec<u8>,
    /// The record, verbatim.
    pub record: Vec<u8>,
    /// C2SP tlog-proof@v1.
    pub tlog_proof: String,
}

/// What is wrong with a receipt.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ReceiptError {
    /// The proof is malformed, not signed by the log, or does not lead to the checkpoint's root.
    #[error("the proof does not hold: {0}")]
    Proof(#[from] TlogProofError),
    /// The leaf is malformed.
    #[error("the leaf is malformed: {0}")]
    Leaf(#[from] LeafError),
    /// The record is malformed.
    #[error("the record is malformed: {} at {}", .0.code.as_str(), .0.path)]
    Record(Malformed),
    /// Receipt and proof name different leaves.
    #[error("the receipt names leaf {receipt}, its proof leaf {proof}")]
    IndexDiffers {
        /// The receipt's.
        receipt: u64,
        /// The proof's.
        proof: u64,
    },
    /// The record is not the one that the leaf names.
    #[error("the record is not the one that the leaf names")]
    DigestDiffers,
    /// The receipt is for another record than the one that was sent.
    #[error("the receipt is for another record than the one that was sent")]
    OtherRecord,
    /// The record belongs to another ledger.
    #[error("the record belongs to ledger `{record}`, the checkpoint to `{checkpoint}`")]
    OriginDiffers {
        /// The record's.
        record: String,
        /// The checkpoint's.
        checkpoint: String,
    },
    /// A signature is wrong or its key unknown.
    #[error("a signature does not hold: {0}")]
    Signature(#[from] OpenError),
}

impl ReceiptError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            ReceiptError::Proof(_) => "RECEIPT_PROOF_WRONG",
            ReceiptError::Leaf(_) => "RECEIPT_LEAF_MALFORMED",
            ReceiptError::Record(_) => "RECEIPT_RECORD_MALFORMED",
            ReceiptError::IndexDiffers { .. } => "RECEIPT_INDEX_DIFFERS",
            ReceiptError::DigestDiffers => "RECEIPT_DIGEST_DIFFERS",
            ReceiptError::OtherRecord => "RECEIPT_OTHER_RECORD",
            ReceiptError::OriginDiffers { .. } => "RECEIPT_ORIGIN_DIFFERS",
            ReceiptError::Signature(_) => "RECEIPT_SIGNATURE_WRONG",
        }
    }
}

/// A receipt that holds. Only [`Receipt::verify`] makes one.
#[derive(Clone, Debug)]
pub struct VerifiedReceipt {
    leaf: Leaf,
    record: marrowline_record::pb::Record,
    checkpoint: Checkpoint,
    note: String,
}

impl VerifiedReceipt {
    /// The leaf.
    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// The record.
    pub fn record(&self) -> &marrowline_record::pb::Record {
        &self.record
    }

    /// The checkpoint that covers it.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The checkpoint as a signed note.
    pub fn note(&self) -> &str {
        &self.note
    }
}

impl Receipt {
    /// Checks inclusion, the checkpoint's signature by `log`, and that leaf and record belong together and to this ledger. `expected` is
    /// the digest of the record that was sent, where the caller sent one.
    pub fn verify(&self, log: &VerifierKey, expected: Option<Digest>) -> Result<VerifiedReceipt, ReceiptError> {
        let proof = TlogProof::parse(&self.tlog_proof)?;
        if proof.index() != self.index {
            return Err(ReceiptError::IndexDiffers { receipt: self.index, proof: proof.index() });
        }
        let inclusion = proof.verify(&leaf_hash(&self.leaf), log)?;
        let checkpoint = inclusion.checkpoint().checkpoint().clone();
        let leaf = Leaf::decode(&self.leaf)?;
        let found = digest(&self.record);
        if found != leaf.digest {
            return Err(ReceiptError::DigestDiffers);
        }
        if expected.is_some_and(|e| e != found) {
            return Err(ReceiptError::OtherRecord);
        }
        let record = marrowline_record::decode(&self.record).map_err(ReceiptError::Record)?;
        let origin = match &record.event {
            Some(Event::LedgerFounded(e)) => Origin::new(&e.name, &found).map(|o| o.to_string()).unwrap_or_default(),
            _ => record.origin.clone(),
        };
        if origin != checkpoint.origin() {
            return Err(ReceiptError::OriginDiffers { record: origin, checkpoint: checkpoint.origin().to_owned() });
        }
        Ok(VerifiedReceipt { leaf, record, checkpoint, note: proof.note().to_string() })
    }

    /// Checks every signature on the record with keys that the caller trusts.
    pub fn verify_signatures(&self, keys: &dyn Keyring) -> Result<OpenedRecord, ReceiptError> {
        let leaf = Leaf::decode(&self.leaf)?;
        Ok(open_stored(self.record.clone(), &leaf, keys)?)
    }
}
