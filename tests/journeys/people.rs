//! What people do in the journeys: a record from an event, its people and its streams.

use marrowline_client::{Acknowledged, Client, ClientError, Draft, new_id, v1};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};
use marrowline_record::signing::Signing;

use crate::ledger::key;

pub type Stream = (StreamKind, [u8; 16]);

/// A record and its signings, ready to be sent.
pub struct Signed {
    pub record: pb::Record,
    pub bytes: Vec<u8>,
    pub signings: Vec<Signing>,
}

/// The ids of the demo's two facilities: laboratory and hospital.
pub async fn facilities(client: &Client) -> ([u8; 16], [u8; 16]) {
    let id = |facility: &pb::Facility| -> [u8; 16] { facility.facility_id.as_slice().try_into().unwrap() };
    let (mut lab, mut hospital) = ([0; 16], [0; 16]);
    for index in 0..4 {
        match &client.record_at(index).await.unwrap().0.record().event {
            Some(Event::LedgerFounded(e)) => lab = id(e.first_facility.as_ref().unwrap()),
            Some(Event::FacilityRegistered(e)) => hospital = id(e.facility.as_ref().unwrap()),
            _ => {}
        }
    }
    assert!(lab != [0; 16] && hospital != [0; 16]);
    (lab, hospital)
}

/// The ledger's time.
pub async fn now(client: &Client) -> pb::Instant {
    pb::Instant { unix_ms: client.clock().await.unwrap().now_unix_ms, offset_minutes: 180 }
}

/// Builds and signs a record: `by` names a person, a role, a meaning and a facility for each slot.
pub async fn sign(client: &Client, event: Event, by: &[(&str, Role, Meaning, [u8; 16])], streams: &[Stream]) -> Signed {
    sign_citing(client, event, by, streams, &[]).await
}

/// The same, with the records that it cites.
pub async fn sign_citing(
    client: &Client,
    event: Event,
    by: &[(&str, Role, Meaning, [u8; 16])],
    streams: &[Stream],
    cited: &[&Signed],
) -> Signed {
    let at = now(client).await;
    let mut draft = Draft::new(client.origin(), event, at).unwrap();
    for (_, role, meaning, facility) in by {
        draft = draft.slot(*role, *meaning, *facility);
    }
    for (kind, id) in streams {
        draft = draft.stream(*kind, *id, client.head(*kind, *id).await.unwrap());
    }
    for other in cited {
        let id = other.record.record_id.as_slice().try_into().unwrap();
        draft = draft.cite(id, marrowline_record::digest(&other.bytes).0);
    }
    let bytes = draft.encode();
    let signings = (0u8..).zip(by).map(|(slot, (who, ..))| draft.sign(&bytes, slot, &key(who), &at)).collect();
    Signed { record: draft.record().clone(), bytes, signings }
}

impl Signed {
    pub async fn append(&self, client: &Client) -> Result<Acknowledged, ClientError> {
        client.append(self.bytes.clone(), &self.signings).await
    }

    pub fn on_the_wire(&self) -> v1::SignedRecord {
        v1::SignedRecord { record: self.bytes.clone(), signings: self.signings.iter().map(v1::Signing::from).collect() }
    }
}

pub const AUTHORITY: Stream = (StreamKind::Authority, marrowline_record::stream::AUTHORITY_ID);

/// A record that the two who run the ledger's authority sign.
pub async fn administer(client: &Client, lab: [u8; 16], event: Event) -> Acknowledged {
    let by = [("key", Role::KeyAdministrator, Meaning::Approved, lab), ("qa", Role::QualityAssurance, Meaning::Approved, lab)];
    sign(client, event, &by, &[AUTHORITY]).await.append(client).await.unwrap()
}

/// Grants somebody's key these roles at a facility, for long.
pub fn grant(who: &str, roles: &[Role], facility: [u8; 16]) -> Event {
    let at = |unix_ms| Some(pb::Instant { unix_ms, offset_minutes: 0 });
    let role = |role: &Role| pb::RoleGrant {
        role: (*role).into(),
        facility_id: facility.to_vec(),
        valid_from: at(1_700_000_000_000),
        valid_until: at(1_900_000_000_000),
    };
    Event::KeyGranted(pb::KeyGranted {
        grant: Some(pb::KeyGrant {
            person_id: new_id().to_vec(),
            printed_name: who.trim_start_matches('+').to_owned(),
            public_key: key(who).verifying_key().as_bytes().to_vec(),
            roles: roles.iter().map(role).collect(),
        }),
    })
}

/// A facility that had no part in anything, and somebody with many roles there.
pub async fn elsewhere(client: &Client, lab: [u8; 16], who: &str) -> [u8; 16] {
    let id = new_id();
    let facility =
        pb::Facility { facility_id: id.to_vec(), code: "ELSEWHERE".to_owned(), name: "Elsewhere".to_owned(), racks: Vec::new() };
    administer(client, lab, Event::FacilityRegistered(pb::FacilityRegistered { facility: Some(facility) })).await;
    let roles = [Role::Investigator, Role::Pharmacist, Role::Nurse, Role::Operator, Role::QualifiedPerson];
    administer(client, lab, grant(who, &roles, id)).await;
    id
}

/// A donor whom nobody has registered yet: a stream of its own, so that clients do not wait for each other.
pub async fn new_donor(client: &Client, lab: [u8; 16]) -> Signed {
    let id = new_id();
    let event = Event::DonorRegistered(pb::DonorRegistered { donor_code: code("D"), birth_year: 1990 });
    sign(client, event, &[("phy", Role::DonorPhysician, Meaning::Performed, lab)], &[(StreamKind::Donor, id)]).await
}

/// A short code that nobody has used.
pub fn code(prefix: &str) -> String {
    let id = new_id();
    format!("{prefix}-{}", hex::encode(&id[8..]).to_uppercase())
}

/// The stable codes of a refusal, sorted.
pub fn codes(result: Result<Acknowledged, ClientError>) -> Vec<String> {
    match result {
        Err(ClientError::Refused(problem)) => {
            let mut codes: Vec<String> = problem.reasons.iter().map(|r| r.code.clone()).collect();
            codes.sort();
            codes.dedup();
            codes
        }
        Err(other) => panic!("{other}"),
        Ok(_) => Vec::new(),
    }
}
