//! People name facilities, lots, donors and subjects by their codes; records name them by their UUIDs.

use marrowline_client::Client;
use marrowline_client::v1::{GetDonorRequest, GetLotRequest, GetSubjectRequest, ListRecordsRequest};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{Facility, Role, StreamKind};
use marrowline_record::stream::AUTHORITY_ID;

use crate::failure::Failure;

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
    let mut custody = client.custody();
    let stream = match (kind, id) {
        (StreamKind::Authority, "") => return Ok((kind, AUTHORITY_ID)),
        (_, "new") => return Ok((kind, marrowline_client::new_id())),
        (StreamKind::Lot, code) => {
            custody.get_lot(GetLotRequest { lot: code.to_owned() }).await?.into_inner().lot.and_then(|lot| lot.stream)
        }
        (StreamKind::Donor, code) => {
            custody.get_donor(GetDonorRequest { donor: code.to_owned() }).await?.into_inner().donor.and_then(|donor| donor.stream)
        }
        (StreamKind::Subject, code) => {
            let request = GetSubjectRequest { subject: code.to_owned() };
            custody.get_subject(request).await?.into_inner().subject.and_then(|subject| subject.stream)
        }
        _ => None,
    };
    let id = stream.and_then(|stream| stream.id.as_slice().try_into().ok());
    id.map(|id| (kind, id)).ok_or_else(|| Failure::usage(format!("`{text}`: give the UUID of this stream")))
}
