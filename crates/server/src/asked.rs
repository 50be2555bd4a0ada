//! What a question may ask for. A filter that is not understood is refused: to leave it out would answer another question.

use std::sync::OnceLock;

use marrowline_api::{FILE_DESCRIPTOR_SET, errors};
use prost_reflect::DescriptorPool;
use tonic::Status;

fn pool() -> &'static DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap_or_default())
}

/// A value of an enum, by the enum's name in the proto.
pub fn known<E: TryFrom<i32>>(number: i32, path: &str, name: &str) -> Result<E, Status> {
    E::try_from(number).map_err(|_| {
        let values = pool().get_enum_by_name(&format!("marrowline.v1.{name}"));
        let names: Vec<String> =
            values.iter().flat_map(|v| v.values().map(|v| v.name().to_owned()).collect::<Vec<_>>()).collect();
        errors::bad_field("ENUM_UNKNOWN", path, &number.to_string(), &names.join(", "))
    })
}

/// One of several words; empty if none was asked for.
pub fn word(text: &str, path: &str, words: &[&str]) -> Result<(), Status> {
    if text.is_empty() || words.contains(&text) {
        return Ok(());
    }
    Err(errors::bad_field("TEXT_NOT_ALLOWED", path, &format!("`{text}`"), &words.join(", ")))
}

/// An id; `None` if none was asked for.
pub fn id(bytes: &[u8], path: &str) -> Result<Option<[u8; 16]>, Status> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let wrong = || errors::bad_field("BYTES_LENGTH_WRONG", path, &format!("{} bytes", bytes.len()), "16 bytes, or none for all");
    bytes.try_into().map(Some).map_err(|_| wrong())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use marrowline_record::pb::Disposition;

    use super::*;

    fn words(status: &Status) -> String {
        marrowline_api::Problem::from_status(status).to_string()
    }

    #[test]
    fn what_is_not_understood_is_refused_with_what_would_be() {
        assert_eq!(known::<Disposition>(3, "disposition", "Disposition").ok(), Disposition::try_from(3).ok());
        let refused = words(&known::<Disposition>(99, "disposition", "Disposition").unwrap_err());
        assert!(refused.starts_with("ENUM_UNKNOWN (disposition): found 99; allowed DISPOSITION_UNSPECIFIED, "), "{refused}");
        assert!(refused.ends_with("next: correct the field and ask again"), "{refused}");
        assert!(word("", "processing", &["stored"]).is_ok() && word("stored", "processing", &["stored"]).is_ok());
        assert!(words(&word("bogus", "processing", &["stored"]).unwrap_err()).contains("found `bogus`; allowed stored"));
        assert_eq!(id(&[], "facility_id").ok(), Some(None));
        assert_eq!(id(&[1; 16], "facility_id").ok(), Some(Some([1; 16])));
        assert!(words(&id(&[1], "facility_id").unwrap_err()).contains("found 1 bytes; allowed 16 bytes"));
    }
}
