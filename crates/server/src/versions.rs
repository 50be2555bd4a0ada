//! Protocols and specifications with their versions, so that who names one in a record can find its id and last number.

use marrowline_api::errors;
use marrowline_api::v1::{ListVersionsRequest, ListVersionsResponse, VersionView};
use marrowline_ledger::{Ledger, Snapshot};
use marrowline_record::id::Id16;
use marrowline_record::pb::StreamKind;
use marrowline_rules::View as _;
use tonic::Status;

use crate::auth::Person;
use crate::{asked, materials, reading};

/// Every version of the documents of a kind that the reader may see.
pub fn list(ledger: &Ledger, person: &Person, request: &ListVersionsRequest) -> Result<ListVersionsResponse, Status> {
    let kind: StreamKind = asked::known(request.kind, "kind", "StreamKind")?;
    if !matches!(kind, StreamKind::Protocol | StreamKind::Specification) {
        let found = kind.as_str_name();
        return Err(errors::bad_field("ENUM_NOT_ALLOWED", "kind", found, "STREAM_KIND_PROTOCOL or STREAM_KIND_SPECIFICATION"));
    }
    let snapshot = ledger.snapshot();
    let ids = materials::all(ledger, kind).map_err(|e| errors::store(&e))?;
    let versions = ids.iter().flat_map(|id| match kind {
        StreamKind::Protocol => of_protocol(&snapshot, person, id),
        _ => of_specification(&snapshot, person, id),
    });
    let versions = versions.collect();
    match snapshot.failure() {
        Some(reason) => Err(Status::unavailable(reason)),
        None => Ok(ListVersionsResponse { versions, checkpoint: snapshot.checkpoint().note.clone() }),
    }
}

fn of_protocol(snapshot: &Snapshot, person: &Person, id: &Id16) -> Vec<VersionView> {
    let stream = snapshot.protocol(id).filter(|p| reading::may_read(person, StreamKind::Protocol, &p.upkeep));
    let last = stream.as_ref().and_then(|stream| stream.versions.keys().next_back().copied());
    let mut views = Vec::new();
    for (version, (record, e)) in stream.iter().flat_map(|stream| &stream.versions) {
        views.push(VersionView {
            id: id.0.to_vec(),
            version: *version,
            code: e.registration.clone(),
            title: e.title.clone(),
            record_id: record.0.to_vec(),
            is_last: last == Some(*version),
        });
    }
    views
}

fn of_specification(snapshot: &Snapshot, person: &Person, id: &Id16) -> Vec<VersionView> {
    let stream = snapshot.specification(id).filter(|s| reading::may_read(person, StreamKind::Specification, &s.upkeep));
    let last = stream.as_ref().map(|stream| stream.last_version());
    let mut views = Vec::new();
    for (version, (record, e)) in stream.iter().flat_map(|stream| &stream.versions) {
        views.push(VersionView {
            id: id.0.to_vec(),
            version: *version,
            code: e.product_code.clone(),
            title: e.product_name.clone(),
            record_id: record.0.to_vec(),
            is_last: last == Some(*version),
        });
    }
    views
}
