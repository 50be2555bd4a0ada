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
        // Each would be compared with each field of each message of an answer.
        if fields.len() > known.len() {
            let (found, allowed) = (format!("{} fields", fields.len()), format!("at most {}, each once", known.len()));
            return Err(errors::bad_field("TOO_MANY_ITEMS", "fields", &found, &allowed));
        }
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
    use marrowline_record::testing::{Noise, cases};

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
        assert!(Mask::new("UnitView", &vec!["unit_code".to_owned(); 200]).is_err(), "one field over and over");
    }

    /// Names that were spoiled: a mask is of names that there are, and leaves what was asked for.
    #[test]
    fn spoiled_masks_are_refused_or_of_fields_that_there_are() {
        let cases = cases(2_000);
        let mut noise = Noise(0x006d_6173_6b73);
        let unit = v1::UnitView { unit_code: "1001".to_owned(), total_cells: 5, ..v1::UnitView::default() };
        let names = ["unit_code", "total_cells", "lot_code", "holds"].map(str::to_owned);
        let (mut taken, mut refused) = (0, 0);
        for case in 0..cases {
            let mut fields: Vec<String> = (0..1 + noise.below(3)).filter_map(|_| noise.of(&names).cloned()).collect();
            if case % 2 == 0 {
                let text = noise.spoiled_text(&fields.join(","));
                fields = text.split(',').map(str::to_owned).collect();
            }
            match Mask::new("UnitView", &fields) {
                Ok(mask) => {
                    taken += 1;
                    let masked = mask.apply(unit.clone());
                    assert_eq!(masked.unit_code.is_empty(), !fields.contains(&names[0]));
                    assert_eq!(masked.total_cells == 0, !fields.contains(&names[1]));
                }
                Err(status) => {
                    refused += 1;
                    assert_eq!(marrowline_api::Problem::from_status(&status).code, "FIELD_UNKNOWN", "{fields:?}");
                }
            }
        }
        assert!(taken > cases / 4 && refused > cases / 4, "{taken} {refused} of {cases}");
    }
}
