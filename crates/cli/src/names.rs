//! People name facilities, lots, donors and subjects by their codes; records name them by their UUIDs.

use marrowline_client::Client;
use marrowline_client::v1::{
    GetDonorRequest, GetDoseRequest, GetLotRequest, GetSubjectRequest, GetUnitRequest, ListRecordsRequest,
};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{Facility, Role, StreamKind};
use marrowline_record::stream::AUTHORITY_ID;

use crate::failure::Failure;
use crate::words;

type Id = [u8; 16];

/// A UUID in its text form.
pub fn uuid(text: &str) -> Result<Id, Failure> {
    parsed(text).ok_or_else(|| Failure::usage(format!("`{text}` is no UUID")))
}

fn parsed(text: &str) -> Option<Id> {
    uuid::Uuid::parse_str(text).map(uuid::Uuid::into_bytes).ok()
}

/// A facility by UUID or by its code.
pub async fn facility(client: &Client, text: &str) -> Result<Id, Failure> {
    if let Some(id) = parsed(text) {
        return Ok(id);
    }
    let known = facilities(client).await?;
    let found = known.iter().find(|facility| facility.code == text);
    let codes: Vec<&str> = known.iter().map(|facility| facility.code.as_str()).collect();
    let unknown = || Failure::usage(format!("no facility `{text}`; there are {}", codes.join(", ")));
    found.and_then(|facility| facility.facility_id.as_slice().try_into().ok()).ok_or_else(unknown)
}

/// Codes of the ledger's facilities.
pub struct Facilities(Vec<Facility>);

impl Facilities {
    /// All that the authority's records name.
    pub async fn of(client: &Client) -> Result<Facilities, Failure> {
        Ok(Facilities(facilities(client).await?))
    }

    /// All codes.
    pub fn codes(&self) -> Vec<&str> {
        self.0.iter().map(|facility| facility.code.as_str()).collect()
    }

    /// The code of a facility; its UUID if nobody named it.
    pub fn code(&self, id: &[u8]) -> String {
        let found = self.0.iter().find(|facility| facility.facility_id == id);
        found.map_or_else(|| words::id(id), |facility| facility.code.clone())
    }
}

/// The ledger's facilities, from the authority's records.
async fn facilities(client: &Client) -> Result<Vec<Facility>, Failure> {
    let facility = |event| match event {
        Event::LedgerFounded(e) => e.first_facility,
        Event::FacilityRegistered(e) => e.facility,
        _ => None,
    };
    Ok(authority(client).await?.into_iter().filter_map(facility).collect())
}

/// The roles that were granted to a key, each at its facility, whether or not they still hold.
pub async fn roles_of(client: &Client, public_key: &[u8; 32]) -> Result<Vec<(Role, Id)>, Failure> {
    let grants = authority(client).await?.into_iter().flat_map(|event| match event {
        Event::LedgerFounded(e) => e.grants,
        Event::KeyGranted(e) => e.grant.into_iter().collect(),
        _ => Vec::new(),
    });
    let own = grants.filter(|grant| grant.public_key == public_key).flat_map(|grant| grant.roles);
    Ok(own.filter_map(|role| Some((role.role(), role.facility_id.as_slice().try_into().ok()?))).collect())
}

/// What happened to the authority so far.
async fn authority(client: &Client) -> Result<Vec<Event>, Failure> {
    let (mut events, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListRecordsRequest {
            stream_kind: StreamKind::Authority.into(),
            stream_id: AUTHORITY_ID.to_vec(),
            page_size: 500,
            page_token,
        };
        let page = client.list(request).await?;
        let records = page.records.iter().filter_map(|logged| marrowline_record::decode(&logged.record).ok()?.event);
        events.extend(records);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(events);
        }
    }
}

/// A stream, `KIND:UUID`, `KIND:CODE` or `KIND:new`; `authority:` needs no id.
pub async fn stream(client: &Client, text: &str) -> Result<(StreamKind, Id), Failure> {
    let (kind, id) = text.split_once(':').ok_or_else(|| Failure::usage(format!("`{text}` is no KIND:ID")))?;
    let kind = StreamKind::from_str_name(&format!("STREAM_KIND_{}", kind.to_uppercase()))
        .ok_or_else(|| Failure::usage(format!("no kind of stream `{kind}`")))?;
    if let Some(known) = parsed(id) {
        return Ok((kind, known));
    }
    let found = match (kind, id) {
        (StreamKind::Authority, "") => return Ok((kind, AUTHORITY_ID)),
        (_, "new") => return Ok((kind, marrowline_client::new_id())),
        (StreamKind::Facility, code) => Some(facility(client, code).await?),
        (StreamKind::Lot, code) => coded(client, "lot", code).await?,
        (StreamKind::Donor, code) => coded(client, "donor", code).await?,
        (StreamKind::Subject, code) => coded(client, "subject", code).await?,
        _ => None,
    };
    found.map(|id| (kind, id)).ok_or_else(|| Failure::usage(format!("`{text}`: give the UUID of this stream")))
}

/// A thing by its code: a lot, donor, subject, unit, dose or facility.
async fn coded(client: &Client, thing: &str, code: &str) -> Result<Option<Id>, Failure> {
    let (mut custody, code) = (client.custody(), code.to_owned());
    let id = match thing {
        "lot" => custody.get_lot(GetLotRequest { lot: code }).await?.into_inner().lot.and_then(|l| l.stream).map(|s| s.id),
        "donor" => {
            custody.get_donor(GetDonorRequest { donor: code }).await?.into_inner().donor.and_then(|d| d.stream).map(|s| s.id)
        }
        "subject" => {
            let answer = custody.get_subject(GetSubjectRequest { subject: code }).await?.into_inner();
            answer.subject.and_then(|subject| subject.stream).map(|stream| stream.id)
        }
        "unit" => custody.get_unit(GetUnitRequest { unit: code }).await?.into_inner().unit.map(|unit| unit.unit_id),
        "dose" => custody.get_dose(GetDoseRequest { dose: code }).await?.into_inner().dose.map(|dose| dose.dose_id),
        "facility" => Some(facility(client, &code).await?.to_vec()),
        _ => None,
    };
    Ok(id.and_then(|id| id.as_slice().try_into().ok()))
}

/// Puts the ids of things in the place of their codes, in fields that name a lot, donor, subject, unit, dose or facility.
pub async fn resolve(client: &Client, event: &mut serde_json::Value) -> Result<(), Failure> {
    let mut codes = Vec::new();
    find_codes("", None, event, &mut codes);
    for (pointer, thing, code) in codes {
        if let (Some(id), Some(place)) = (coded(client, thing, &code).await?, event.pointer_mut(&pointer)) {
            *place = serde_json::Value::from(words::id(&id));
        }
    }
    Ok(())
}

/// Where codes stand: JSON pointer, kind of thing, code.
fn find_codes(
    pointer: &str,
    thing: Option<&'static str>,
    value: &serde_json::Value,
    found: &mut Vec<(String, &'static str, String)>,
) {
    use serde_json::Value;
    match (value, thing) {
        (Value::Object(object), _) => {
            for (name, value) in object {
                find_codes(&format!("{pointer}/{name}"), named_thing(name), value, found);
            }
        }
        (Value::Array(items), _) => {
            for (number, item) in items.iter().enumerate() {
                find_codes(&format!("{pointer}/{number}"), thing, item, found);
            }
        }
        (Value::String(text), Some(thing)) if !is_id(text) => found.push((pointer.to_owned(), thing, text.clone())),
        _ => {}
    }
}

/// The kind of thing that a field names, if a code will do.
pub fn named_thing(field: &str) -> Option<&'static str> {
    let whole = field.strip_suffix("_ids").or_else(|| field.strip_suffix("_id"))?;
    // A reagent's lot is no lot of cells.
    let is_named = |thing: &&str| whole == *thing || *thing != "lot" && whole.rsplit('_').next() == Some(*thing);
    ["lot", "donor", "subject", "unit", "dose", "facility"].into_iter().find(is_named)
}

fn is_id(text: &str) -> bool {
    text == "new" || parsed(text).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_where_a_field_names_a_thing() {
        let event = serde_json::json!({"units_moved": {
            "places": [{"unit_id": "1001", "location": {"facility_id": "LAB", "rack": "R1"}}],
            "unit_ids": ["1002", "new", "0190a000-0000-7000-8000-000000000000"],
            "to_facility_id": "HOSPITAL", "reagent_lot_ids": ["X"], "order_id": "O", "dose_id": "DOSE-1",
        }});
        let mut found = Vec::new();
        find_codes("", None, &event, &mut found);
        let told: Vec<String> = found.iter().map(|(pointer, thing, code)| format!("{pointer} {thing} {code}")).collect();
        assert_eq!(
            told,
            [
                "/units_moved/places/0/unit_id unit 1001",
                "/units_moved/places/0/location/facility_id facility LAB",
                "/units_moved/unit_ids/0 unit 1002",
                "/units_moved/to_facility_id facility HOSPITAL",
                "/units_moved/dose_id dose DOSE-1",
            ]
        );
    }
}
