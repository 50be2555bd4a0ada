//! The load: as many calls in flight as asked, each worker on streams of its own, so that heads seen are heads that are.

use std::time::{Duration, Instant};

use marrowline_api::v1;
use marrowline_api::v1::ledger_service_client::LedgerServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use super::failed;
use crate::ChoreError;

/// What came of it.
pub struct Outcome {
    /// From the first call to the last answer.
    pub elapsed: Duration,
    /// Of each call, sorted, in µs.
    latencies: Vec<u64>,
    /// The answers, by lot: how many of each lot's requests were sent and answered.
    pub answered: Vec<usize>,
    /// Every answer.
    pub responses: Vec<v1::AppendResponse>,
    /// Bytes of one record with its signings, on average.
    pub request_bytes: usize,
}

impl Outcome {
    /// Calls answered.
    pub fn done(&self) -> usize {
        self.latencies.len()
    }

    /// Calls answered in a second.
    pub fn per_second(&self) -> f64 {
        self.done() as f64 / self.elapsed.as_secs_f64()
    }

    /// Median, ms.
    pub fn p50_ms(&self) -> f64 {
        self.quantile_ms(50)
    }

    /// 99 of 100 calls took no longer, ms.
    pub fn p99_ms(&self) -> f64 {
        self.quantile_ms(99)
    }

    fn quantile_ms(&self, percent: usize) -> f64 {
        let place = (self.latencies.len() * percent / 100).min(self.latencies.len().saturating_sub(1));
        self.latencies.get(place).map_or(0.0, |us| *us as f64 / 1_000.0)
    }
}

struct Part {
    latencies: Vec<u64>,
    answered: Vec<(usize, usize)>,
    responses: Vec<v1::AppendResponse>,
    failure: Option<String>,
}

/// Sends each lot's requests in their order, many lots at once, until the time is over or all are sent.
pub async fn append(
    channels: Vec<Channel>,
    bearer: MetadataValue<Ascii>,
    lots: Vec<Vec<v1::AppendRequest>>,
    in_flight: usize,
    time: Duration,
) -> Result<Outcome, ChoreError> {
    let request_bytes = lots
        .first()
        .and_then(|l| l.first()?.record.as_ref())
        .map_or(0, |r| r.record.len() + r.signings.len() * marrowline_record::signing::SIGNING_BYTES);
    let lot_count = lots.len();
    let mut shares: Vec<Vec<(usize, Vec<v1::AppendRequest>)>> = (0..in_flight).map(|_| Vec::new()).collect();
    for (number, lot) in lots.into_iter().enumerate() {
        if let Some(share) = shares.get_mut(number % in_flight) {
            share.push((number, lot));
        }
    }
    let begin = Instant::now();
    let end = begin + time;
    let mut workers = Vec::with_capacity(in_flight);
    for (number, share) in shares.into_iter().enumerate() {
        let Some(channel) = channels.get(number % channels.len().max(1)).cloned() else {
            return Err(failed("load")("no connection"));
        };
        workers.push(tokio::spawn(work(channel, bearer.clone(), share, end)));
    }
    let mut outcome =
        Outcome { elapsed: time, latencies: Vec::new(), answered: vec![0; lot_count], responses: Vec::new(), request_bytes };
    for worker in workers {
        let part = worker.await.map_err(failed("load"))?;
        if let Some(failure) = part.failure {
            return Err(failed("append")(failure));
        }
        outcome.latencies.extend(part.latencies);
        outcome.responses.extend(part.responses);
        for (lot, count) in part.answered {
            if let Some(answered) = outcome.answered.get_mut(lot) {
                *answered = count;
            }
        }
    }
    outcome.elapsed = begin.elapsed();
    outcome.latencies.sort_unstable();
    Ok(outcome)
}

async fn work(
    channel: Channel,
    bearer: MetadataValue<Ascii>,
    mut share: Vec<(usize, Vec<v1::AppendRequest>)>,
    end: Instant,
) -> Part {
    let mut client = LedgerServiceClient::new(channel);
    let mut part = Part { latencies: Vec::new(), answered: Vec::new(), responses: Vec::new(), failure: None };
    let rounds = share.iter().map(|(_, lot)| lot.len()).max().unwrap_or(0);
    for (lot, _) in &share {
        part.answered.push((*lot, 0));
    }
    for round in 0..rounds {
        for ((_, lot), (_, answered)) in share.iter_mut().zip(&mut part.answered) {
            let Some(request) = lot.get_mut(round).map(std::mem::take) else {
                continue;
            };
            let begin = Instant::now();
            if begin >= end {
                return part;
            }
            let mut request = tonic::Request::new(request);
            request.metadata_mut().insert("authorization", bearer.clone());
            match client.append(request).await {
                Ok(response) => part.responses.push(response.into_inner()),
                Err(status) => {
                    part.failure = Some(format!("{}: {}", status.code(), status.message()));
                    return part;
                }
            }
            part.latencies.push(u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX));
            *answered += 1;
        }
    }
    part
}
