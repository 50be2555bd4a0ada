//! How a successor of the log's key shows that its private half is held, and that it is meant for this ledger.
//!
//! ```text
//! body = "MLK1" ‖ successor 32 ‖ present key 32 ‖ origin                    (the origin as text, to the end)
//! PAE  = "DSSEv1 37 application/vnd.marrowline.log-key.v1 " ‖ len(body) ‖ " " ‖ body        (DSSE 1.0.2)
//! ```
//!
//! The successor signs the PAE with pure Ed25519. It names the key that it succeeds, so that it cannot be used again later.

use ed25519_dalek::{Signer as _, SigningKey};

/// DSSE type of the statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.marrowline.log-key.v1";

/// What a successor of the log's key signs.
pub fn succession(successor: &[u8; 32], present: &[u8; 32], origin: &str) -> Vec<u8> {
    let body = [b"MLK1", successor.as_slice(), present, origin.as_bytes()].concat();
    let mut out = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), body.len()).into_bytes();
    out.extend_from_slice(&body);
    out
}

/// The successor's signature over its succession.
pub fn possess(successor: &SigningKey, present: &[u8; 32], origin: &str) -> [u8; 64] {
    successor.sign(&succession(successor.verifying_key().as_bytes(), present, origin)).to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::PublicKey;

    #[test]
    fn a_succession_names_both_keys_and_the_ledger() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let public = PublicKey::parse(key.verifying_key().as_bytes()).unwrap();
        let possession = possess(&key, &[1; 32], "ledger/00");
        let verifies =
            |present: u8, origin: &str| public.verifies(&succession(public.as_bytes(), &[present; 32], origin), &possession);
        assert!(verifies(1, "ledger/00"));
        assert!(!verifies(2, "ledger/00"), "of another predecessor");
        assert!(!verifies(1, "ledger/01"), "of another ledger");
        let statement = succession(&[2; 32], &[1; 32], "l/0");
        assert!(statement.starts_with(b"DSSEv1 37 application/vnd.marrowline.log-key.v1 71 MLK1"));
    }
}
