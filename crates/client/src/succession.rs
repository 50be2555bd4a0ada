//! One key of the log followed by another: what a client checks before it trusts the successor.

use ed25519_dalek::VerifyingKey;
use marrowline_merkle::VerifierKey;
use marrowline_proof::Receipt;
use marrowline_record::PublicKey;
use marrowline_record::log_key::succession;
use marrowline_record::pb::record::Event;

use crate::connection::ClientError;

/// The key that a handover leads to from this one; `None` if the handover is between other keys. A handover that this key has signed and
/// that does not hold is an error: somebody who has the key shows what the ledger's people did not sign.
pub(crate) fn followed(present: &VerifierKey, handover: &Receipt) -> Result<Option<VerifierKey>, ClientError> {
    let Ok(verified) = handover.verify(present, None) else {
        return Ok(None);
    };
    let wrong = |what: &str| ClientError::History(format!("a successor of the log's key {what}"));
    let Some(Event::LogKeyRotated(e)) = &verified.record().event else {
        return Err(wrong("that no record names"));
    };
    // The same checkpoint is signed by the successor, which needs no handover to itself.
    if e.log_public_key == present.public_key().as_bytes() {
        return Ok(None);
    }
    let key = PublicKey::parse(&e.log_public_key).map_err(|_| wrong("that is not sound"))?;
    let statement = succession(key.as_bytes(), present.public_key().as_bytes(), present.name());
    let possession: Option<[u8; 64]> = e.possession.as_slice().try_into().ok();
    if !possession.is_some_and(|possession| key.verifies(&statement, &possession)) {
        return Err(wrong("that does not say so itself"));
    }
    let next = VerifyingKey::from_bytes(key.as_bytes()).ok().and_then(|key| VerifierKey::new(present.name(), key).ok());
    let next = next.ok_or_else(|| wrong("that is not sound"))?;
    handover.verify(&next, None).map_err(|_| wrong("that has not signed the checkpoint"))?;
    Ok(Some(next))
}
