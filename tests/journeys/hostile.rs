//! Input that nobody meant well: changed records, strange words, noise. Each gets an answer with a code, and the server goes on.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use marrowline_client::v1;
use marrowline_client::v1::append_stream_response::Outcome;
use marrowline_client::v1::countersign_service_client::CountersignServiceClient;
use marrowline_client::v1::ledger_service_client::LedgerServiceClient;
use marrowline_record::pb::StreamKind;
use marrowline_record::testing::Noise;
use tonic::Code;
use tonic::transport::Channel;

use crate::countersign::registering;
use crate::ledger::{Server, copy, demo, key};
use crate::people::{facilities, new_donor, now};
use crate::refusals::{channel, good_token, reason, with_token};

const CHANGED: u64 = 600;
/// How many are on their way at once.
const LANES: usize = 12;
/// Streams of appends that each of them sends, one after the other.
const DONORS_OF_ONE: usize = 2;

/// A signed record with something changed in it: never the same one.
fn changed(noise: &mut Noise, good: &v1::SignedRecord, round: usize) -> v1::SignedRecord {
    loop {
        let mut other = good.clone();
        let signing = &mut other.signings[0];
        match round % 8 {
            0 => noise.spoil(&mut signing.signature),
            1 => noise.spoil(&mut signing.key_id),
            2 => signing.slot = u32::try_from(noise.below(300)).unwrap() + 1,
            3 => signing.role = i32::try_from(noise.below(400)).unwrap() + 100,
            4 => signing.signed_at.as_mut().unwrap().unix_ms = i64::from_le_bytes(noise.number().to_le_bytes()),
            _ => noise.spoil(&mut other.record),
        }
        if other != *good {
            return other;
        }
    }
}

fn cases() -> usize {
    usize::try_from(marrowline_record::testing::cases(CHANGED)).unwrap()
}

/// How often each code came back.
type Codes = BTreeMap<String, usize>;

/// Does the same in several lanes at once, each with its noise and its share of the rounds.
async fn in_lanes<F: Future<Output = Codes> + Send + 'static>(lane: impl Fn(Noise, usize) -> F) -> Codes {
    let mut lanes = tokio::task::JoinSet::new();
    for number in 0..LANES {
        lanes.spawn(lane(Noise(0x006d_6172_726f_7721 + number as u64), cases().div_ceil(LANES)));
    }
    let mut codes = Codes::new();
    for (code, count) in lanes.join_all().await.into_iter().flatten() {
        *codes.entry(code).or_default() += count;
    }
    println!("{} refused: {codes:?}", codes.values().sum::<usize>());
    codes
}

fn is_the_senders_fault(status: &tonic::Status) -> bool {
    matches!(status.code(), Code::InvalidArgument | Code::PermissionDenied)
}

/// Sends changed copies of a record one after the other, to Append and to Judge.
async fn appended(mut ledger: LedgerServiceClient<Channel>, good: v1::SignedRecord, mut noise: Noise, rounds: usize) -> Codes {
    let token = good_token("phy");
    let mut codes = Codes::new();
    for round in 0..rounds {
        let changed = changed(&mut noise, &good, round);
        let request = v1::AppendRequest { record: Some(changed.clone()), last_checkpoint: String::new() };
        let status = ledger.append(with_token(request, &token)).await.unwrap_err();
        assert!(is_the_senders_fault(&status), "round {round}: {status:?}");
        *codes.entry(reason(&status)).or_insert(0) += 1;
        if round % 16 < 8 {
            let judged = ledger.judge(with_token(v1::JudgeRequest { record: Some(changed) }, &token)).await.unwrap_err();
            assert_eq!(reason(&judged), reason(&status), "round {round}");
        }
    }
    codes
}

/// 600 of them; `MARROWLINE_HOSTILE_CASES` for more.
#[tokio::test(flavor = "multi_thread")]
async fn changed_records_are_refused_with_a_code() {
    let (server, _owned) = quiet_server();
    let client = server.client("phy").await;
    let (lab, _) = facilities(&client).await;
    let good = new_donor(&client, lab).await.on_the_wire();
    let before = client.checkpoint().await.unwrap();
    let ledger = LedgerServiceClient::new(channel(&server).await);
    let codes = in_lanes(|noise, rounds| appended(ledger.clone(), good.clone(), noise, rounds)).await;
    assert!(codes.len() > 8 && codes.contains_key("SIGNATURE_WRONG"), "{codes:?}");
    assert_eq!(client.checkpoint().await.unwrap().root(), before.root(), "something was written");
    let request = v1::AppendRequest { record: Some(good), last_checkpoint: String::new() };
    assert!(ledger.clone().append(with_token(request, &good_token("phy"))).await.is_ok());
}

/// A server that does not write down what is sent to it, thousands of times.
fn quiet_server() -> (Server, tempfile::TempDir) {
    let owned = tempfile::tempdir().unwrap();
    let folder = owned.path().join("ledger");
    copy(&demo().join("ledger"), &folder);
    (Server::serve_logging(&folder, "warn"), owned)
}

async fn proposed(
    mut service: CountersignServiceClient<Channel>,
    good: v1::SignedRecord,
    mut noise: Noise,
    rounds: usize,
) -> Codes {
    let token = good_token("key");
    let mut codes = Codes::new();
    for round in 0..rounds {
        let request = v1::ProposeRequest { record: Some(changed(&mut noise, &good, round)) };
        let status = service.propose(with_token(request, &token)).await.unwrap_err();
        assert!(is_the_senders_fault(&status), "round {round}: {status:?}");
        *codes.entry(reason(&status)).or_insert(0) += 1;
    }
    codes
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_records_are_not_proposed() {
    let (server, _owned) = quiet_server();
    let (administrator, qa) = (server.client("key").await, server.client("qa").await);
    let (lab, _) = facilities(&qa).await;
    let good = registering(&administrator, lab).await;
    let service = CountersignServiceClient::new(channel(&server).await);
    let codes = in_lanes(|noise, rounds| proposed(service.clone(), good.on_the_wire(), noise, rounds)).await;
    assert!(codes.len() > 8 && codes.contains_key("SIGNATURE_WRONG"), "{codes:?}");
    assert!(qa.awaiting().await.unwrap().is_empty() && administrator.awaiting().await.unwrap().is_empty());
    administrator.propose(good.bytes.clone(), &good.signings).await.unwrap();
    assert_eq!(qa.awaiting().await.unwrap().len(), 1);
}

/// Signings that are nearly the second person's.
async fn countersigned(
    mut service: CountersignServiceClient<Channel>,
    good: v1::CountersignRequest,
    mut noise: Noise,
    rounds: usize,
) -> Codes {
    let token = good_token("qa");
    let mut codes = Codes::new();
    for round in 0..rounds {
        let mut request = good.clone();
        let signing = request.signing.as_mut().unwrap();
        match round % 8 {
            0 => noise.spoil(&mut signing.key_id),
            1 => signing.slot = u32::try_from(noise.below(300)).unwrap() % 9,
            2 => signing.role = i32::try_from(noise.below(30)).unwrap(),
            3 => signing.meaning = i32::try_from(noise.below(12)).unwrap(),
            4 => signing.signed_at.as_mut().unwrap().unix_ms ^= 1 << noise.below(64),
            5 => noise.spoil(&mut request.record_id),
            6 => request.signing = None,
            _ => noise.spoil(&mut signing.signature),
        }
        if request == good {
            continue;
        }
        let status = service.countersign(with_token(request, &token)).await.unwrap_err();
        let codes_of_it = [Code::InvalidArgument, Code::PermissionDenied, Code::NotFound, Code::FailedPrecondition];
        assert!(codes_of_it.contains(&status.code()), "round {round}: {status:?}");
        *codes.entry(reason(&status)).or_insert(0) += 1;
    }
    codes
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_signings_are_not_countersigned() {
    let (server, _owned) = quiet_server();
    let (administrator, qa) = (server.client("key").await, server.client("qa").await);
    let (lab, _) = facilities(&qa).await;
    let waiting = registering(&administrator, lab).await;
    administrator.propose(waiting.bytes.clone(), &waiting.signings).await.unwrap();
    let own = marrowline_client::sign(&waiting.record, &waiting.bytes, 1, &key("qa"), &now(&qa).await);
    let good = v1::CountersignRequest { record_id: waiting.record.record_id.clone(), signing: Some(v1::Signing::from(&own)) };
    let before = qa.checkpoint().await.unwrap();
    let service = CountersignServiceClient::new(channel(&server).await);
    let codes = in_lanes(|noise, rounds| countersigned(service.clone(), good.clone(), noise, rounds)).await;
    for code in ["SIGNATURE_WRONG", "SIGNING_NOT_YOURS", "SIGNING_MALFORMED", "FIELD_MISSING", "NOT_FOUND"] {
        assert!(codes.contains_key(code), "{code} is not in {codes:?}");
    }
    assert_eq!(qa.checkpoint().await.unwrap().root(), before.root(), "something was written");
    // It still waits for the true one.
    let done = service.clone().countersign(with_token(good, &good_token("qa"))).await.unwrap().into_inner();
    assert!(done.receipt.is_some() && done.open_slots.is_empty());
}

/// Records of one stream, changed but for the last: one answer for each, in their order.
async fn streamed(
    mut ledger: LedgerServiceClient<Channel>,
    donors: Vec<v1::SignedRecord>,
    mut noise: Noise,
    rounds: usize,
) -> Codes {
    let mut codes = Codes::new();
    let mut left = rounds;
    for good in donors {
        let share = rounds.div_ceil(DONORS_OF_ONE).min(left);
        left -= share;
        let mut records: Vec<_> = (0..share).map(|round| changed(&mut noise, &good, round)).collect();
        records.push(good);
        let requests = records.into_iter().map(|record| v1::AppendStreamRequest { record: Some(record) });
        let request = with_token(tokio_stream::iter(requests.collect::<Vec<_>>()), &good_token("phy"));
        let mut answers = ledger.append_stream(request).await.unwrap().into_inner();
        for number in 0..=share {
            let answer = answers.message().await.unwrap().unwrap();
            assert_eq!(answer.number, number as u64);
            match answer.outcome.unwrap() {
                Outcome::RefusedStatus(status) => {
                    let problem = marrowline_client::Problem::from_bytes(&status);
                    let refused = matches!(problem.status, Code::InvalidArgument | Code::PermissionDenied);
                    assert!(refused && number < share, "{number}: {problem:?}");
                    *codes.entry(problem.code).or_insert(0) += 1;
                }
                Outcome::Appended(appended) => assert!(number == share && appended.receipt.is_some(), "{number} was accepted"),
            }
        }
        assert!(answers.message().await.unwrap().is_none());
    }
    codes
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_records_in_a_stream_are_refused_in_their_order() {
    let (server, _owned) = quiet_server();
    let client = server.client("phy").await;
    let (lab, _) = facilities(&client).await;
    let ledger = LedgerServiceClient::new(channel(&server).await);
    let mut donors = Vec::new();
    for _ in 0..LANES * DONORS_OF_ONE {
        donors.push(new_donor(&client, lab).await.on_the_wire());
    }
    let before = client.checkpoint().await.unwrap().size();
    let all = donors.len() as u64;
    let donors = std::sync::Mutex::new(donors);
    let of_lane = || donors.lock().unwrap().drain(..DONORS_OF_ONE).collect();
    let codes = in_lanes(|noise, rounds| streamed(ledger.clone(), of_lane(), noise, rounds)).await;
    assert!(codes.len() > 8 && codes.contains_key("SIGNATURE_WRONG"), "{codes:?}");
    assert_eq!(client.checkpoint().await.unwrap().size(), before + all, "the good ones, and no other");
}

#[tokio::test(flavor = "multi_thread")]
async fn strange_words_are_not_found() {
    let server = Server::start();
    let client = server.client("aud").await;
    let (lab, _) = facilities(&client).await;
    let mut ledger = LedgerServiceClient::new(channel(&server).await);
    let words = [
        String::new(),
        " ".to_owned(),
        "L-2026-01 ".to_owned(),
        "l-2026-01".to_owned(),
        "L-2026-01\0".to_owned(),
        "../../etc/passwd".to_owned(),
        "'; DROP TABLE lots; --".to_owned(),
        "\u{202e}10-6202-L".to_owned(),
        "лот-2026-01".to_owned(),
        "\n\n\n".to_owned(),
        "00000000-0000-0000-0000-000000000000".to_owned(),
        "L".repeat(60_000),
        "\u{1f9ec}".repeat(15_000),
    ];
    for word in words {
        let custody = client.custody();
        let shown: String = word.chars().take(20).collect();
        let answers = [
            custody.clone().get_lot(v1::GetLotRequest { lot: word.clone() }).await.err(),
            custody.clone().get_unit(v1::GetUnitRequest { unit: word.clone() }).await.err(),
            custody.clone().get_donor(v1::GetDonorRequest { donor: word.clone() }).await.err(),
            custody.clone().get_subject(v1::GetSubjectRequest { subject: word.clone() }).await.err(),
            custody.clone().check_dose(v1::CheckDoseRequest { dose: word.clone() }).await.err(),
            custody.clone().trace_back(v1::TraceBackRequest { dose: word.clone() }).await.err(),
        ];
        for status in answers {
            let status = status.unwrap_or_else(|| panic!("{shown:?} is found"));
            assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "NOT_FOUND"), "{shown:?}");
        }
        let list = v1::ListRecordsRequest { page_token: word.clone(), ..v1::ListRecordsRequest::default() };
        if !word.is_empty() {
            assert!(client.list(list).await.is_err(), "{shown:?} is a page");
        }
        // A checkpoint that is none is not minded.
        let donor = new_donor(&client, lab).await.on_the_wire();
        let request = v1::AppendRequest { record: Some(donor), last_checkpoint: word };
        ledger.append(with_token(request, &good_token("phy"))).await.unwrap_or_else(|status| panic!("{shown:?}: {status:?}"));
    }
    // A kind of stream that there is not is no word for all of them.
    for kind in [i32::MIN, -1, 99, i32::MAX] {
        let list = v1::ListRecordsRequest { stream_kind: kind, stream_id: vec![1; 16], ..v1::ListRecordsRequest::default() };
        let status = ledger.list_records(with_token(list, &good_token("aud"))).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "ENUM_UNKNOWN"), "{kind}");
    }
    assert!(client.head(StreamKind::Lot, [0; 16]).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_on_the_port_disturbs_nobody() {
    let server = Server::start();
    let address = server.endpoint.strip_prefix("https://").unwrap();
    let mut noise = Noise(0x1234_5678_9abc_def1);
    for round in 0..100 {
        let mut connection = std::net::TcpStream::connect(address).unwrap();
        let length = 1 + noise.below(2_000);
        let bytes = match round % 3 {
            // What looks like the beginning of a TLS handshake.
            0 => [vec![0x16, 0x03, 0x01], noise.bytes(length)].concat(),
            1 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            _ => noise.bytes(length),
        };
        // The server may have hung up already.
        let _ = connection.write_all(&bytes);
    }
    assert!(server.client("op1").await.record_at(0).await.is_ok());
}

/// One connection sends as much as it can, of everything, and never reads its streams; on another one the pharmacy asks for a dose.
#[tokio::test(flavor = "multi_thread")]
async fn a_flooded_connection_does_not_stop_the_dose_check_of_another() {
    let server = Server::start();
    let pharmacy = server.client("pha1").await;
    let client = server.client("phy").await;
    let (lab, _) = facilities(&client).await;
    let good = new_donor(&client, lab).await.on_the_wire();
    let flooded = channel(&server).await;
    let token = good_token("phy");
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    // Requests of the flood that wait for an answer now, and those that got one.
    let (waiting, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let flood = |number: u64| {
        let (stop, sent, token, good) = (Arc::clone(&stop), Arc::clone(&sent), token.clone(), good.clone());
        let (waiting, answered) = (Arc::clone(&waiting), Arc::clone(&answered));
        let mut ledger = LedgerServiceClient::new(flooded.clone());
        tokio::spawn(async move {
            let mut noise = Noise(number + 1);
            let mut unread = None;
            while !stop.load(Ordering::Relaxed) {
                let mut spoiled = good.clone();
                noise.spoil(&mut spoiled.record);
                let request = v1::AppendRequest { record: Some(spoiled), last_checkpoint: String::new() };
                let _ = impatiently(&waiting, &answered, ledger.append(with_token(request, &token))).await;
                let list = v1::ListRecordsRequest { page_size: 500, ..v1::ListRecordsRequest::default() };
                let _ = impatiently(&waiting, &answered, ledger.list_records(with_token(list, &token))).await;
                let watch = ledger.watch(with_token(v1::WatchRequest { from_index: 0 }, &token));
                unread = impatiently(&waiting, &answered, watch).await.or(unread);
                sent.fetch_add(1, Ordering::Relaxed);
            }
            drop(unread);
        })
    };
    let floods: Vec<_> = (0..128).map(flood).collect();
    while sent.load(Ordering::Relaxed) < 128 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(answered.load(Ordering::Relaxed) > 0, "the flood reaches the server");
    let before = sent.load(Ordering::Relaxed);
    for number in 0..25 {
        let request = v1::CheckDoseRequest { dose: "701018".to_owned() };
        let mut custody = pharmacy.custody();
        let answer = tokio::time::timeout(Duration::from_secs(5), custody.check_dose(request)).await;
        // The answer is there, and what the flood has sent before it still waits for its own.
        let outstanding = waiting.load(Ordering::Relaxed);
        let answer = answer.unwrap_or_else(|_| panic!("dose check {number} waits behind the flood")).unwrap().into_inner();
        assert!(outstanding >= 64, "only {outstanding} requests of the flood were waiting when dose check {number} was answered");
        assert!(!answer.reasons.is_empty(), "the demo's dose was given: it is not green");
        pharmacy.follow(&answer.checkpoint).await.unwrap();
    }
    while sent.load(Ordering::Relaxed) < before + 128 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(floods.iter().all(|flood| !flood.is_finished()), "the flood went on all the time");
    stop.store(true, Ordering::Relaxed);
    for flood in floods {
        flood.await.unwrap();
    }
}

/// Waits a little for an answer: a stream that is not read holds its connection's other answers back, and whoever floods waits for nothing.
async fn impatiently<T>(waiting: &AtomicU64, answered: &AtomicU64, answer: impl Future<Output = T>) -> Option<T> {
    waiting.fetch_add(1, Ordering::Relaxed);
    let answer = tokio::time::timeout(Duration::from_millis(500), answer).await.ok();
    waiting.fetch_sub(1, Ordering::Relaxed);
    answered.fetch_add(u64::from(answer.is_some()), Ordering::Relaxed);
    answer
}

/// A simulated clock cannot be moved to where no record can be: it would not come back.
#[tokio::test(flavor = "multi_thread")]
async fn the_clock_cannot_be_moved_beyond_what_records_can_say() {
    let server = Server::start();
    let (administrator, pharmacy) = (server.client("key").await, server.client("pha1").await);
    let before = administrator.clock().await.unwrap().now_unix_ms;
    for wrong in [i64::MAX, 253_402_300_800_000, i64::MIN, 0] {
        let Err(marrowline_client::ClientError::Refused(problem)) = administrator.advance_clock(wrong).await else {
            panic!("the clock was moved to {wrong}")
        };
        assert_eq!(problem.code, "CLOCK_NOT_MOVABLE");
    }
    assert_eq!(administrator.clock().await.unwrap().now_unix_ms, before);
    let check = || v1::CheckDoseRequest { dose: "701018".to_owned() };
    assert!(pharmacy.custody().check_dose(check()).await.is_ok());
    // The last moment that there is, when every role has ended: nothing adds to it without looking.
    administrator.advance_clock(253_402_300_799_999).await.unwrap();
    let status = pharmacy.custody().check_dose(check()).await.unwrap_err();
    assert_eq!(reason(&status), "READ_NOT_PERMITTED");
    assert!(pharmacy.custody().list_obligations(v1::ListObligationsRequest::default()).await.is_ok());
}
