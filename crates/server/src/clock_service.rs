//! The simulated clock of a TRAINING ledger.

use marrowline_api::errors::{self, Words};
use marrowline_api::v1::clock_service_server::ClockService;
use marrowline_api::v1::{AdvanceClockRequest, AdvanceClockResponse, GetClockRequest, GetClockResponse};
use marrowline_ledger::Ledger;
use marrowline_record::pb::Role;
use tonic::{Code, Request, Response, Status};

use crate::auth::Auth;

/// The service.
pub struct Service {
    ledger: Ledger,
    auth: Auth,
}

impl Service {
    /// Of this ledger.
    pub fn new(ledger: Ledger, auth: Auth) -> Service {
        Service { ledger, auth }
    }
}

#[tonic::async_trait]
impl ClockService for Service {
    async fn advance_clock(&self, request: Request<AdvanceClockRequest>) -> Result<Response<AdvanceClockResponse>, Status> {
        let person = self.auth.person(request.metadata())?;
        if !person.is(Role::KeyAdministrator) {
            let words = Words {
                code: "CLOCK_NOT_PERMITTED",
                found: "somebody who may not move the clock".to_owned(),
                allowed: "a key administrator".to_owned(),
                next: "ask a key administrator to move it",
            };
            return Err(errors::status(Code::PermissionDenied, &words));
        }
        let now = self.ledger.reading().now_ms;
        let to = request.get_ref().to_unix_ms;
        match self.ledger.advance_clock(to).await.map_err(|e| errors::refusal(&e))? {
            Some(now_unix_ms) => Ok(Response::new(AdvanceClockResponse { now_unix_ms })),
            None => Err(errors::status(
                Code::FailedPrecondition,
                &Words {
                    code: "CLOCK_NOT_MOVABLE",
                    found: if self.ledger.is_training() {
                        format!("{to}, which is before the current time ({now}) or after the year 9999")
                    } else {
                        "a ledger that is not TRAINING".to_owned()
                    },
                    allowed: "a later time up to the year 9999, on a TRAINING ledger".to_owned(),
                    next: "nothing; the clock stays as it is",
                },
            )),
        }
    }

    async fn get_clock(&self, request: Request<GetClockRequest>) -> Result<Response<GetClockResponse>, Status> {
        self.auth.person(request.metadata())?;
        let reading = self.ledger.reading();
        Ok(Response::new(GetClockResponse {
            now_unix_ms: reading.now_ms,
            training: self.ledger.is_training(),
            trusted: reading.trusted,
            origin: self.ledger.origin().map(|o| o.to_string()).unwrap_or_default(),
        }))
    }
}
