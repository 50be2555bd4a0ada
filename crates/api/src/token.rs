//! Tokens: a JWT (RFC 7519) that an enrolled key signs for itself with EdDSA (RFC 8037). It lets its holder read and gives a quota; it
//! never writes: records carry their own signatures.
//!
//! Signatures are checked as everywhere, by `verify_strict`, so the format is read here and not by a library with a check of its own.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use marrowline_record::Keyring;
use marrowline_record::id::KeyId;
use serde::{Deserialize, Serialize};

/// Longest validity, s: a shift.
pub const MAX_SECONDS: i64 = 12 * 3_600;
/// Longest token, bytes.
const MAX_BYTES: usize = 1_024;
/// How far the clocks of client and server may differ, s.
const LEEWAY_SECONDS: i64 = 60;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    aud: String,
    iat: i64,
    exp: i64,
}

/// A token that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whose.
    pub key_id: KeyId,
    /// Until when, Unix s.
    pub expires_s: i64,
}

/// Why a token does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not three parts, not base64url, not the JSON expected, or too long.
    #[error("the token is malformed")]
    Malformed,
    /// Not an enrolled key.
    #[error("the token's key is not enrolled")]
    KeyUnknown,
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    SignatureWrong,
    /// For another ledger.
    #[error("the token is for another ledger")]
    AudienceWrong,
    /// Not yet, or no longer, valid.
    #[error("the token has expired, or begins in the future")]
    Expired,
    /// Valid for longer than a shift.
    #[error("the token is valid for longer than 12 hours")]
    TooLong,
}

impl TokenError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            TokenError::Malformed => "TOKEN_MALFORMED",
            TokenError::KeyUnknown => "TOKEN_KEY_UNKNOWN",
            TokenError::SignatureWrong => "TOKEN_SIGNATURE_WRONG",
            TokenError::AudienceWrong => "TOKEN_AUDIENCE_WRONG",
            TokenError::Expired => "TOKEN_EXPIRED",
            TokenError::TooLong => "TOKEN_TOO_LONG",
        }
    }
}

/// A token of this key for a ledger, valid from `now_s` for `seconds`.
pub fn make(key: &SigningKey, origin: &str, now_s: i64, seconds: i64) -> String {
    let part = |bytes: Vec<u8>| URL_SAFE_NO_PAD.encode(bytes);
    let header =
        Header { alg: "EdDSA".to_owned(), typ: "JWT".to_owned(), kid: KeyId::of(key.verifying_key().as_bytes()).to_string() };
    let claims = Claims { aud: origin.to_owned(), iat: now_s, exp: now_s.saturating_add(seconds) };
    let body = format!(
        "{}.{}",
        part(serde_json::to_vec(&header).unwrap_or_default()),
        part(serde_json::to_vec(&claims).unwrap_or_default())
    );
    let signature = key.sign(body.as_bytes()).to_bytes().to_vec();
    format!("{body}.{}", part(signature))
}

/// Checks a token.
pub fn check(token: &str, origin: &str, now_s: i64, keys: &dyn Keyring) -> Result<Token, TokenError> {
    if token.len() > MAX_BYTES {
        return Err(TokenError::Malformed);
    }
    let (body, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, claims) = body.split_once('.').ok_or(TokenError::Malformed)?;
    let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed);
    let header: Header = serde_json::from_slice(&bytes(header)?).map_err(|_| TokenError::Malformed)?;
    let claims: Claims = serde_json::from_slice(&bytes(claims)?).map_err(|_| TokenError::Malformed)?;
    let signature: [u8; 64] = bytes(signature)?.try_into().map_err(|_| TokenError::Malformed)?;
    if header.alg != "EdDSA" || header.typ != "JWT" {
        return Err(TokenError::Malformed);
    }
    let key_id: KeyId = header.kid.parse().map_err(|_| TokenError::Malformed)?;
    let key = keys.public_key(&key_id).ok_or(TokenError::KeyUnknown)?;
    if !key.verifies(body.as_bytes(), &signature) {
        return Err(TokenError::SignatureWrong);
    }
    if claims.aud != origin {
        return Err(TokenError::AudienceWrong);
    }
    if claims.exp.saturating_sub(claims.iat) > MAX_SECONDS {
        return Err(TokenError::TooLong);
    }
    if now_s >= claims.exp || claims.iat > now_s.saturating_add(LEEWAY_SECONDS) {
        return Err(TokenError::Expired);
    }
    Ok(Token { key_id, expires_s: claims.exp })
}

#[cfg(test)]
mod tests {
    use super::*;
    use marrowline_record::PublicKey;
    use marrowline_record::testing::{Noise, cases};
    use std::collections::HashMap;
    use std::sync::Arc;

    const ORIGIN: &str = "lab/00112233445566778899aabbccddeeff";

    fn key_and_ring() -> (SigningKey, HashMap<KeyId, Arc<PublicKey>>) {
        let key = SigningKey::from_bytes(&[7; 32]);
        let public = PublicKey::parse(key.verifying_key().as_bytes()).unwrap();
        (key, HashMap::from([(public.id(), Arc::new(public))]))
    }

    #[test]
    fn a_token_holds_for_its_time_and_its_ledger() {
        let (key, ring) = key_and_ring();
        let token = make(&key, ORIGIN, 1_000, MAX_SECONDS);
        assert!(check(&token, ORIGIN, 1_000, &ring).is_ok());
        assert!(check(&token, ORIGIN, 1_000 + MAX_SECONDS - 1, &ring).is_ok());
        assert_eq!(check(&token, ORIGIN, 1_000 + MAX_SECONDS, &ring), Err(TokenError::Expired));
        assert!(check(&token, ORIGIN, 940, &ring).is_ok());
        assert_eq!(check(&token, ORIGIN, 939, &ring), Err(TokenError::Expired));
        assert_eq!(check(&token, "lab/ff", 1_000, &ring), Err(TokenError::AudienceWrong));
        assert_eq!(check(&token, ORIGIN, 1_000, &HashMap::new()), Err(TokenError::KeyUnknown));
        let long = make(&key, ORIGIN, 1_000, MAX_SECONDS + 1);
        assert_eq!(check(&long, ORIGIN, 1_000, &ring), Err(TokenError::TooLong));
    }

    #[test]
    fn no_changed_character_is_accepted() {
        let (key, ring) = key_and_ring();
        let token = make(&key, ORIGIN, 1_000, 60);
        for at in 0..token.len() {
            for other in ["A", "z", ".", "=", "0"] {
                let mut changed = token.clone();
                changed.replace_range(at..=at, other);
                if changed != token {
                    assert!(check(&changed, ORIGIN, 1_000, &ring).is_err(), "{at} {other}");
                }
            }
        }
    }

    /// Tokens that were spoiled, or put together from pieces: 20 000, or `MARROWLINE_HOSTILE_CASES`. None holds, none makes the check panic.
    #[test]
    fn no_spoiled_token_holds() {
        let cases = cases(20_000);
        let (key, ring) = key_and_ring();
        let token = make(&key, ORIGIN, 1_000, 600);
        let pieces = [".", "..", "eyJ", "e30", "{}", "=", "\u{0}", "é", "AAAA", "none", "eyJhbGciOiJub25lIn0", token.as_str()];
        let mut noise = Noise(0x6d61_7272_6f77_2101);
        let (mut malformed, mut unsigned) = (0, 0);
        for case in 0..cases {
            let spoiled = match case % 4 {
                0 => (0..=noise.below(5)).filter_map(|_| noise.of(&pieces).copied()).collect::<String>(),
                1 => noise.spoiled_text(&token),
                // What is written in one of the parts.
                _ => {
                    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
                    let which = noise.below(parts.len());
                    parts[which] = URL_SAFE_NO_PAD.encode(noise.spoiled(&URL_SAFE_NO_PAD.decode(&parts[which]).unwrap()));
                    parts.join(".")
                }
            };
            let checked = check(&spoiled, ORIGIN, 1_000, &ring);
            malformed += u64::from(checked == Err(TokenError::Malformed));
            unsigned += u64::from(checked == Err(TokenError::SignatureWrong));
            assert!(spoiled == token || checked.is_err(), "{spoiled}");
        }
        println!("{cases} spoiled tokens: {malformed} malformed, {unsigned} reach the signature");
        assert!(malformed > cases / 10 && unsigned > cases / 10, "{malformed} {unsigned} of {cases}");
    }
}
