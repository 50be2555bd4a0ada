//! Input that nobody meant well: changed records, strange words, noise. Each gets an answer with a code, and the server goes on.

use std::collections::BTreeMap;
use std::io::Write as _;

use marrowline_client::v1;
use marrowline_client::v1::ledger_service_client::LedgerServiceClient;
use marrowline_record::pb::StreamKind;
use tonic::Code;

use crate::ledger::{Server, copy, demo};
use crate::people::{facilities, new_donor};
use crate::refusals::{channel, good_token, reason, with_token};

const CHANGED: usize = 600;
/// How many are on their way at once.
const LANES: usize = 12;

/// Numbers that look random and are the same every time (xorshift64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// The same bytes, spoiled somewhere.
    fn spoil(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        match self.below(5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, self.next().to_le_bytes()[0]),
            2 => drop(bytes.remove(at)),
            3 => {
                let more = self.below(40) + 1;
                bytes.extend(self.bytes(more));
            }
            _ => bytes[at] ^= 1 << self.below(8),
        }
    }
}

/// Sends spoiled copies of a record one after the other, to Append and to Judge; how often each code came back.
async fn spoiled(
    mut ledger: LedgerServiceClient<tonic::transport::Channel>,
    good: v1::SignedRecord,
    mut noise: Noise,
    rounds: usize,
) -> BTreeMap<String, usize> {
    let token = good_token("phy");
    let mut codes = BTreeMap::new();
    for round in 0..rounds {
        let mut changed = good.clone();
        let signing = &mut changed.signings[0];
        match round % 8 {
            0 => noise.spoil(&mut signing.signature),
            1 => noise.spoil(&mut signing.key_id),
            2 => signing.slot = u32::try_from(noise.below(300)).unwrap() + 1,
            3 => signing.role = i32::try_from(noise.below(400)).unwrap() + 100,
            4 => signing.signed_at.as_mut().unwrap().unix_ms = i64::from_le_bytes(noise.next().to_le_bytes()),
            _ => noise.spoil(&mut changed.record),
        }
        if changed == good {
            continue;
        }
        let request = v1::AppendRequest { record: Some(changed.clone()), last_checkpoint: String::new() };
        let status = ledger.append(with_token(request, &token)).await.unwrap_err();
        assert!(matches!(status.code(), Code::InvalidArgument | Code::PermissionDenied), "round {round}: {status:?}");
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
    let cases = std::env::var("MARROWLINE_HOSTILE_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(CHANGED);
    let owned = tempfile::tempdir().unwrap();
    let folder = owned.path().join("ledger");
    copy(&demo().join("ledger"), &folder);
    let server = Server::serve_logging(&folder, "warn");
    let client = server.client("phy").await;
    let (lab, _) = facilities(&client).await;
    let good = new_donor(&client, lab).await.on_the_wire();
    let before = client.checkpoint().await.unwrap();
    let ledger = LedgerServiceClient::new(channel(&server).await);
    let mut lanes = tokio::task::JoinSet::new();
    for lane in 0..LANES {
        let noise = Noise(0x006d_6172_726f_7721 + lane as u64);
        lanes.spawn(spoiled(ledger.clone(), good.clone(), noise, cases.div_ceil(LANES)));
    }
    let mut codes: BTreeMap<String, usize> = BTreeMap::new();
    for (code, count) in lanes.join_all().await.into_iter().flatten() {
        *codes.entry(code).or_default() += count;
    }
    println!("{} refused: {codes:?}", codes.values().sum::<usize>());
    assert!(codes.len() > 8, "{codes:?}");
    assert_eq!(client.checkpoint().await.unwrap().root(), before.root(), "something was written");
    let request = v1::AppendRequest { record: Some(good), last_checkpoint: String::new() };
    assert!(ledger.clone().append(with_token(request, &good_token("phy"))).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn strange_words_are_not_found() {
    let server = Server::start();
    let client = server.client("aud").await;
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
        let mut ledger = LedgerServiceClient::new(channel(&server).await);
        let request = v1::AppendRequest { record: None, last_checkpoint: word };
        let status = ledger.append(with_token(request, &good_token("aud"))).await.unwrap_err();
        assert_eq!(reason(&status), "FIELD_MISSING");
    }
    let kinds = [i32::MIN, -1, 99, i32::MAX];
    for kind in kinds {
        let list = v1::ListRecordsRequest { stream_kind: kind, stream_id: vec![1; 16], ..v1::ListRecordsRequest::default() };
        if let Ok(page) = client.list(list).await {
            assert!(page.records.iter().all(|r| r.record.len() < 8_193));
        }
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    let server = Server::start();
    let pharmacy = server.client("pha1").await;
    let client = server.client("phy").await;
    let (lab, _) = facilities(&client).await;
    let good = new_donor(&client, lab).await.on_the_wire();
    let flooded = channel(&server).await;
    let token = good_token("phy");
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let flood = |number: u64| {
        let (stop, sent, token, good) = (Arc::clone(&stop), Arc::clone(&sent), token.clone(), good.clone());
        let mut ledger = LedgerServiceClient::new(flooded.clone());
        tokio::spawn(async move {
            let mut noise = Noise(number + 1);
            // A stream that is not read holds its connection's other answers back; whoever floods waits for nothing.
            let patience = std::time::Duration::from_millis(500);
            let mut unread = None;
            while !stop.load(Ordering::Relaxed) {
                let mut spoiled = good.clone();
                noise.spoil(&mut spoiled.record);
                let request = v1::AppendRequest { record: Some(spoiled), last_checkpoint: String::new() };
                let _ = tokio::time::timeout(patience, ledger.append(with_token(request, &token))).await;
                let list = v1::ListRecordsRequest { page_size: 500, ..v1::ListRecordsRequest::default() };
                let _ = tokio::time::timeout(patience, ledger.list_records(with_token(list, &token))).await;
                let watch = ledger.watch(with_token(v1::WatchRequest { from_index: 0 }, &token));
                unread = tokio::time::timeout(patience, watch).await.ok().or(unread);
                sent.fetch_add(1, Ordering::Relaxed);
            }
            drop(unread);
        })
    };
    let floods: Vec<_> = (0..128).map(flood).collect();
    while sent.load(Ordering::Relaxed) < 128 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    for _ in 0..25 {
        let request = v1::CheckDoseRequest { dose: "701018".to_owned() };
        let answer = pharmacy.custody().check_dose(request).await.unwrap().into_inner();
        assert!(!answer.reasons.is_empty(), "the demo's dose was given: it is not green");
        pharmacy.follow(&answer.checkpoint).await.unwrap();
    }
    assert!(floods.iter().all(|flood| !flood.is_finished()), "the flood went on all the time");
    stop.store(true, Ordering::Relaxed);
    for flood in floods {
        flood.await.unwrap();
    }
}
