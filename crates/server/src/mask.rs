//! Field masks: of long lists only the fields that were asked for (compare AIP-157).

use std::sync::OnceLock;

use marrowline_api::{FILE_DESCRIPTOR_SET, errors};
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _};
use tonic::Status;

fn pool() -> &'static DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap_or_default())
}

/// Which fields of a message stay.
pub struct Mask<'a> {
    name: &'static str,
    fields: &'a [String],
}

impl<'a> Mask<'a> {
    /// Of the messages with this name. Without any field everything stays.
    pub fn new(name: &'static str, fields: &'a [String]) -> Result<Mask<'a>, Status> {
        let descriptor = pool().get_message_by_name(&format!("marrowline.v1.{name}"));
        let known: Vec<String> =
            descriptor.iter().flat_map(|d| d.fields().map(|f| f.name().to_owned()).collect::<Vec<_>>()).collect();
        match fields.iter().enumerate().find(|(_, field)| !known.contains(field)) {
            None => Ok(Mask { name, fields }),
            Some((number, field)) => {
                Err(errors::bad_field("FIELD_UNKNOWN", &format!("fields[{number}]"), field, &known.join(", ")))
            }
        }
    }

    /// The message with these fields alone.
    pub fn apply<T: prost::Message + Default>(&self, message: T) -> T {
        if self.fields.is_empty() {
            return message;
        }
        let masked = pool().get_message_by_name(&format!("marrowline.v1.{}", self.name)).and_then(|descriptor| {
            let mut dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).ok()?;
            for field in dynamic.descriptor().fields().filter(|field| !self.fields.iter().any(|name| name == field.name())) {
                dynamic.clear_field(&field);
            }
            dynamic.transcode_to::<T>().ok()
        });
        masked.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use marrowline_api::v1;

    use super::*;

    #[test]
    fn what_is_not_asked_for_is_left_out() {
        let unit =
            v1::UnitView { unit_code: "1001".to_owned(), total_cells: 5, lot_code: "L".to_owned(), ..v1::UnitView::default() };
        let fields = ["unit_code".to_owned(), "total_cells".to_owned()];
        let masked = Mask::new("UnitView", &fields).unwrap().apply(unit.clone());
        assert_eq!(masked, v1::UnitView { unit_code: "1001".to_owned(), total_cells: 5, ..v1::UnitView::default() });
        assert_eq!(Mask::new("UnitView", &[]).unwrap().apply(unit.clone()), unit);
        assert!(Mask::new("UnitView", &["weight".to_owned()]).is_err());
    }
}
