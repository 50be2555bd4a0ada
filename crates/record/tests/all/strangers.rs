//! Signatures that nobody here made, through our own verification.

use marrowline_record::PublicKey;

use crate::json;

fn verifies(key: &str, message: &[u8], signature: &str) -> bool {
    let key = PublicKey::parse(&hex::decode(key).unwrap());
    let signature: Result<[u8; 64], _> = hex::decode(signature).unwrap().try_into();
    match (key, signature) {
        (Ok(key), Ok(signature)) => key.verifies(message, &signature),
        _ => false,
    }
}

#[test]
fn cctv_43_of_914_are_accepted() {
    let vectors = json("tests/vectors/cctv/ed25519/ed25519vectors.json");
    let vectors = vectors.as_array().unwrap();
    let accepted = vectors.iter().filter(|v| {
        let text = |name: &str| v[name].as_str().unwrap();
        let accepted = verifies(text("key"), text("msg").as_bytes(), text("sig"));
        let flags = v["flags"].as_array();
        let low_order = flags.is_some_and(|f| f.iter().any(|f| f == "low_order_A" || f == "low_order_R"));
        assert!(!(accepted && low_order), "vector {}", v["number"]);
        accepted
    });
    assert_eq!((accepted.count(), vectors.len()), (43, 914));
}

#[test]
fn cctv_plain_verification_would_accept_208() {
    let vectors = json("tests/vectors/cctv/ed25519/ed25519vectors.json");
    let accepted = vectors.as_array().unwrap().iter().filter(|v| {
        let bytes = |name: &str| hex::decode(v[name].as_str().unwrap()).unwrap();
        let key: [u8; 32] = bytes("key").try_into().unwrap();
        let signature: [u8; 64] = bytes("sig").try_into().unwrap();
        ed25519_dalek::VerifyingKey::from_bytes(&key).is_ok_and(|key| {
            use ed25519_dalek::Verifier as _;
            let signature = ed25519_dalek::Signature::from_bytes(&signature);
            key.verify(v["msg"].as_str().unwrap().as_bytes(), &signature).is_ok()
        })
    });
    assert_eq!(accepted.count(), 208);
}

#[test]
fn wycheproof_88_are_valid_and_63_are_not() {
    let vectors = json("tests/vectors/wycheproof/testvectors_v1/ed25519_test.json");
    let (mut valid, mut invalid) = (0, 0);
    for group in vectors["testGroups"].as_array().unwrap() {
        let key = group["publicKey"]["pk"].as_str().unwrap();
        for test in group["tests"].as_array().unwrap() {
            let message = hex::decode(test["msg"].as_str().unwrap()).unwrap();
            let accepted = verifies(key, &message, test["sig"].as_str().unwrap());
            assert_eq!(accepted, test["result"] == "valid", "test {}", test["tcId"]);
            *(if accepted { &mut valid } else { &mut invalid }) += 1;
        }
    }
    assert_eq!((valid, invalid), (88, 63));
}
