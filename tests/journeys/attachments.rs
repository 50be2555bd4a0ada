//! Evidence files: put, read by those who may, missed, damaged.

use marrowline_client::{ClientError, v1};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};

use crate::ledger::{PROGRAM, Server, fsck};
use crate::people::{facilities, new_donor, sign};

fn reason<T: std::fmt::Debug>(result: Result<T, ClientError>) -> String {
    match result.unwrap_err() {
        ClientError::Refused(problem) => problem.code,
        other => panic!("{other:?}"),
    }
}

/// More than one chunk, and not a whole number of them.
fn certificate() -> Vec<u8> {
    (0..300_001_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_read_by_those_who_may_read_a_record_that_names_it() {
    let mut server = Server::start();
    let (physician, operator, nurse) = (server.client("phy").await, server.client("op1").await, server.client("rn1").await);
    let (lab, _) = facilities(&physician).await;
    let (digest, was_known) = physician.put_attachment(certificate()).await.unwrap();
    assert!(!was_known);
    assert!(operator.put_attachment(certificate()).await.unwrap().1, "the same bytes are there already");
    // Nobody names it yet: who put it reads it, an auditor too; it is an orphan, and to others it is not there.
    assert_eq!(physician.attachment(digest).await.unwrap(), certificate());
    let auditor = server.client("aud").await;
    assert_eq!(auditor.attachment(digest).await.unwrap(), certificate());
    assert_eq!(reason(server.client("qc").await.attachment(digest).await), "NOT_FOUND");
    // To announce a file's digest without its bytes gives nothing away, and no right to read it.
    let mut service = v1::attachment_service_client::AttachmentServiceClient::new(crate::refusals::channel(&server).await);
    let part = v1::attachment_service_put_request::Part::Announced(v1::AttachmentAnnounced {
        digest: digest.to_vec(),
        size: certificate().len() as u64,
    });
    let announced = tokio_stream::iter(vec![v1::AttachmentServicePutRequest { part: Some(part) }]);
    let token = crate::refusals::good_token("qc");
    assert!(service.put(crate::refusals::with_token(announced, &token)).await.is_err());
    assert_eq!(reason(server.client("qc").await.attachment(digest).await), "NOT_FOUND");
    let orphans = || async { auditor.orphans(v1::ListOrphansRequest::default()).await.unwrap() };
    assert_eq!(orphans().await.unnamed, [digest.to_vec()]);
    let missing = orphans().await.missing;
    assert!(!missing.is_empty(), "the demo names documents that it never put");
    assert_eq!(reason(operator.orphans(v1::ListOrphansRequest::default()).await), "READ_NOT_PERMITTED");
    // Page after page says the same.
    let (mut paged, mut page_token) = (Vec::new(), String::new());
    loop {
        let page = auditor.orphans(v1::ListOrphansRequest { page_size: 2, page_token }).await.unwrap();
        paged.extend(page.missing);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(paged, missing);

    let donor = new_donor(&physician, lab).await;
    donor.append(&physician).await.unwrap();
    let stream = (StreamKind::Donor, donor.record.streams[0].id.as_slice().try_into().unwrap());
    let consented = Event::DonorConsented(pb::DonorConsented {
        consent_version: "DC-1".to_owned(),
        scope: vec![pb::DonorConsentScope::ClinicalUse.into()],
        document_digest: digest.to_vec(),
        withdrawal_effect: pb::WithdrawalEffect::KeepUnits.into(),
    });
    let by = [("phy", Role::DonorPhysician, Meaning::Performed, lab)];
    sign(&physician, consented, &by, &[stream]).await.append(&physician).await.unwrap();
    assert!(orphans().await.unnamed.is_empty());
    assert_eq!(server.client("qc").await.attachment(digest).await.unwrap(), certificate());
    // A nurse of the hospital had no part in this donor.
    assert_eq!(reason(nurse.attachment(digest).await), "NOT_FOUND");

    server.signal("TERM");
    server.ended(std::time::Duration::from_secs(30)).unwrap();
    fsck(&server.folder);
    let file = server.folder.join("attachments").join(hex::encode(digest));
    let mut spoiled = std::fs::read(&file).unwrap();
    spoiled[200_000] ^= 1;
    std::fs::write(&file, spoiled).unwrap();
    let checked = std::process::Command::new(PROGRAM).args(["fsck", "--data"]).arg(&server.folder).output().unwrap();
    assert_eq!(checked.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&checked.stderr).contains(&hex::encode(digest)));
    let again = Server::serve(&server.folder);
    assert_eq!(reason(again.client("qc").await.attachment(digest).await), "ATTACHMENT_DAMAGED");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_as_announced_is_refused_and_leaves_nothing() {
    use marrowline_client::v1::attachment_service_client::AttachmentServiceClient;
    use marrowline_client::v1::attachment_service_put_request::Part;
    use tonic_types::StatusExt as _;

    let server = Server::start();
    let mut service = AttachmentServiceClient::new(crate::refusals::channel(&server).await);
    let token = crate::refusals::good_token("op1");
    let announced = |digest: [u8; 32], size: u64| Part::Announced(v1::AttachmentAnnounced { digest: digest.to_vec(), size });
    let chunk = |length: usize| Part::Chunk(vec![7; length]);
    let piece = |text: &str| Part::Chunk(text.as_bytes().to_vec());
    let digest: [u8; 32] =
        hex::decode("bef57ec7f53a6d40beb640a780a639c83bc29ac8a9816f1fc6c5c6dcd93c4721").unwrap().try_into().unwrap();
    let whole = announced(digest, 6);
    let short = |length: usize| Part::Announced(v1::AttachmentAnnounced { digest: digest[..length].to_vec(), size: 6 });
    let long = Part::Announced(v1::AttachmentAnnounced { digest: [digest.as_slice(), &[0]].concat(), size: 6 });
    let cases: [(Vec<Part>, &str); 18] = [
        (vec![], "FIELD_MISSING"),
        (vec![whole.clone()], "ATTACHMENT_DIFFERS"),
        (vec![whole.clone(), whole.clone()], "FIELD_MISSING"),
        (vec![whole.clone(), piece("abc"), whole.clone(), piece("def")], "FIELD_MISSING"),
        (vec![piece("abcdef"), whole.clone()], "FIELD_MISSING"),
        (vec![whole.clone(), piece("def"), piece("abc")], "ATTACHMENT_DIFFERS"),
        (vec![whole.clone(), piece("abc")], "ATTACHMENT_DIFFERS"),
        (vec![whole.clone(), piece("abc"), piece("def"), piece("g")], "ATTACHMENT_DIFFERS"),
        (vec![short(0), piece("abcdef")], "BYTES_LENGTH_WRONG"),
        (vec![short(31), piece("abcdef")], "BYTES_LENGTH_WRONG"),
        (vec![long, piece("abcdef")], "BYTES_LENGTH_WRONG"),
        (vec![announced([1; 32], 5), chunk(5)], "ATTACHMENT_DIFFERS"),
        (vec![announced([1; 32], 4), chunk(5)], "ATTACHMENT_DIFFERS"),
        (vec![announced([1; 32], 6), chunk(5)], "ATTACHMENT_DIFFERS"),
        (vec![announced([1; 32], 64 * 1024 * 1024 + 1)], "ATTACHMENT_TOO_LARGE"),
        (vec![announced([1; 32], 0)], "ATTACHMENT_EMPTY"),
        (vec![chunk(5)], "FIELD_MISSING"),
        (vec![announced([1; 32], 300_000), chunk(256 * 1024 + 1)], "CHUNK_TOO_LARGE"),
    ];
    for (parts, code) in cases {
        let requests: Vec<_> = parts.into_iter().map(|part| v1::AttachmentServicePutRequest { part: Some(part) }).collect();
        let request = crate::refusals::with_token(tokio_stream::iter(requests), &token);
        let refused = service.put(request).await.unwrap_err();
        assert_eq!(refused.get_error_details().error_info().unwrap().reason, code, "{refused:?}");
    }
    // A message without a part is no chunk.
    let nothing = [Some(whole.clone()), None, Some(piece("abcdef"))].map(|part| v1::AttachmentServicePutRequest { part });
    let refused = service.put(crate::refusals::with_token(tokio_stream::iter(nothing), &token)).await.unwrap_err();
    assert_eq!(refused.get_error_details().error_info().unwrap().reason, "FIELD_MISSING", "{refused:?}");
    let left: Vec<_> = std::fs::read_dir(server.folder.join("attachments")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["incoming"]);
    // In order, in pieces of any size, also of none.
    let good = [whole, piece("a"), piece(""), piece("bcde"), piece("f")]
        .map(|part| v1::AttachmentServicePutRequest { part: Some(part) });
    let answer = service.put(crate::refusals::with_token(tokio_stream::iter(good), &token)).await.unwrap().into_inner();
    assert!(!answer.was_known);
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_command_line() {
    let server = Server::start();
    let file = server.folder.with_file_name("certificate.pdf");
    std::fs::write(&file, certificate()).unwrap();
    let put = server.run("op1", &["attach", "put", file.to_str().unwrap()]);
    let digest = String::from_utf8(put.stdout).unwrap().trim().to_owned();
    assert_eq!(digest.len(), 64);
    let out = server.folder.with_file_name("again.pdf");
    let get = || server.run("op1", &["attach", "get", &digest, "--out", out.to_str().unwrap()]);
    assert!(get().status.success());
    assert_eq!(std::fs::read(&out).unwrap(), certificate());
    assert!(!get().status.success(), "nothing is written over a file");
    let listed = String::from_utf8(server.run("aud", &["attach", "orphans"]).stdout).unwrap();
    assert!(listed.lines().any(|line| line == format!("unnamed {digest}")), "{listed}");
}
