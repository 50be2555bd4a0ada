//! A stream of appends, for instruments and imports: answered in order, a few on their way at once.
//!
//! Nothing is read from the sender while that many wait, so that HTTP/2 holds it back. A busy sequencer holds the stream back too, instead of
//! refusing what a logger cannot send again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use marrowline_api::errors;
use marrowline_api::token::Token;
use marrowline_api::v1::append_stream_response::Outcome;
use marrowline_api::v1::{AppendResponse, AppendStreamRequest, AppendStreamResponse};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tonic::{Code, Status, Streaming};

use crate::append::{Appender, Pending};
use crate::auth::{self, Auth};

/// Answers that wait for the receiver.
pub const ANSWERS: usize = 16;
/// Records on their way at once.
const IN_FLIGHT: usize = 16;
/// Longest pause of a sender: a logger that says nothing for longer connects again.
const IDLE: Duration = Duration::from_secs(3_600);
/// How often, and how long apart, a busy sequencer is asked again.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

type Answer = Result<AppendResponse, Status>;

/// One sender's stream.
pub struct Stream {
    /// To the log.
    pub appender: Arc<Appender>,
    /// Checks that the token still holds.
    pub auth: Auth,
    /// The sender's token.
    pub token: Token,
    /// Becomes true when the server ends.
    pub ended: watch::Receiver<bool>,
}

/// Why a stream ends before its sender ends it.
fn ended_by(reason: &str) -> Option<Status> {
    Some(Status::unavailable(reason.to_owned()))
}

impl Stream {
    /// Until the sender ends, its token does, or the server. What was taken is answered in any case.
    pub async fn run(
        self,
        mut records: Streaming<AppendStreamRequest>,
        answers: mpsc::Sender<Result<AppendStreamResponse, Status>>,
    ) {
        let mut ended = self.ended.clone();
        let mut answered = 0u64;
        let mut waiting: VecDeque<JoinHandle<Answer>> = VecDeque::with_capacity(IN_FLIGHT);
        let expiry = tokio::time::sleep(auth::remaining(&self.token));
        tokio::pin!(expiry);
        let end = loop {
            let has_room = waiting.len() < IN_FLIGHT;
            tokio::select! {
                () = async { let _ = ended.wait_for(|ended| *ended).await; } => break ended_by("the server is shutting down"),
                () = &mut expiry => break self.auth.person_of(&self.token).err(),
                () = answers.closed() => return,
                done = oldest(&mut waiting), if !waiting.is_empty() => {
                    if !send(&answers, answered, done).await {
                        return;
                    }
                    answered += 1;
                }
                message = tokio::time::timeout(IDLE, records.message()), if has_room => match message {
                    Ok(Ok(Some(request))) => waiting.push_back(self.begin(&request).await),
                    Ok(Ok(None)) => break None,
                    Ok(Err(status)) => break Some(errors::received(status)),
                    Err(_) => break ended_by("nothing came for an hour"),
                },
            }
        };
        while !waiting.is_empty() {
            let done = oldest(&mut waiting).await;
            if !send(&answers, answered, done).await {
                return;
            }
            answered += 1;
        }
        if let Some(status) = end {
            let _ = answers.send(Err(status)).await;
        }
    }

    /// Hands a record to the sequencer before the next one is read: a logger's readings stay in their order.
    async fn begin(&self, request: &AppendStreamRequest) -> JoinHandle<Answer> {
        let begun = self.submit(request).await;
        let (appender, sender) = (Arc::clone(&self.appender), self.token.key_id);
        tokio::spawn(async move {
            let mut responses = appender.finish(sender, begun?).await?;
            responses.pop().ok_or_else(|| Status::internal("an append without an answer"))
        })
    }

    async fn submit(&self, request: &AppendStreamRequest) -> Result<Pending, Status> {
        let opened = self.appender.open(request.record.as_ref())?;
        for _ in 0..ATTEMPTS {
            match self.appender.begin(vec![opened.clone()]) {
                Err(status) if status.code() == Code::ResourceExhausted => tokio::time::sleep(PAUSE).await,
                begun => return begun,
            }
        }
        self.appender.begin(vec![opened])
    }
}

/// The answer to the oldest record on its way. To stop waiting for it loses nothing.
async fn oldest(waiting: &mut VecDeque<JoinHandle<Answer>>) -> Answer {
    let Some(task) = waiting.front_mut() else {
        return Err(Status::internal("nothing is on its way"));
    };
    let done = task.await.unwrap_or_else(|error| Err(Status::internal(error.to_string())));
    waiting.pop_front();
    done
}

/// Whether the receiver is still there.
async fn send(answers: &mpsc::Sender<Result<AppendStreamResponse, Status>>, number: u64, done: Answer) -> bool {
    let outcome = match done {
        Ok(response) => Outcome::Appended(response),
        Err(status) => Outcome::RefusedStatus(marrowline_api::errors::to_bytes(&status)),
    };
    answers.send(Ok(AppendStreamResponse { number, outcome: Some(outcome) })).await.is_ok()
}
