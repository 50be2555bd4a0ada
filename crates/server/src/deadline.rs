//! The longest time that a request may take. Who waits longer is told so with a code and a next step, as by every refusal; what takes as
//! long as its sender does (an upload) has limits of its own between two messages.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use marrowline_api::errors;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::{Code, Status};
use tower::{Layer, Service};

/// Methods whose requests are streams that are answered at their end.
const AS_LONG_AS_IT_IS_SENT: &[&str] = &["/marrowline.v1.AttachmentService/Put"];

/// Puts the limit around every service.
#[derive(Clone, Copy)]
pub struct Deadline(pub Duration);

impl<S> Layer<S> for Deadline {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        Limited { inner, limit: self.0 }
    }
}

/// A service with the limit.
#[derive(Clone)]
pub struct Limited<S> {
    inner: S,
    limit: Duration,
}

impl<S, B> Service<Request<B>> for Limited<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let limit = self.limit;
        let is_limited = !AS_LONG_AS_IT_IS_SENT.contains(&request.uri().path());
        let answer = self.inner.call(request);
        Box::pin(async move {
            if !is_limited {
                return answer.await;
            }
            match tokio::time::timeout(limit, answer).await {
                Ok(answered) => answered.map(with_details),
                Err(_) => Ok(errors::too_late(limit).into_http()),
            }
        })
    }
}

/// What the transport refuses by itself, a message that is too large, is refused with a code and a next step too.
fn with_details(answer: Response<Body>) -> Response<Body> {
    let refused = Status::from_header_map(answer.headers()).filter(|s| s.code() == Code::OutOfRange && s.details().is_empty());
    refused.map_or(answer, |status| errors::received(status).into_http())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// A service that answers after a while.
    #[derive(Clone)]
    struct Slow(Duration);

    impl Service<Request<()>> for Slow {
        type Response = Response<Body>;
        type Error = std::convert::Infallible;
        type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Self::Error>> + Send>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            let wait = self.0;
            Box::pin(async move {
                tokio::time::sleep(wait).await;
                Ok(Response::new(Body::empty()))
            })
        }
    }

    async fn code(path: &str, wait_ms: u64) -> Option<String> {
        let mut limited = Deadline(Duration::from_millis(1_000)).layer(Slow(Duration::from_millis(wait_ms)));
        let request = Request::builder().uri(path).body(()).unwrap();
        let answer = limited.call(request).await.unwrap();
        let status = tonic::Status::from_header_map(answer.headers())?;
        Some(marrowline_api::Problem::from_status(&status).code)
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_longer_is_told_with_a_code_and_an_upload_is_waited_for() {
        assert_eq!(code("/marrowline.v1.CustodyService/GetLot", 1_001).await.as_deref(), Some("DEADLINE_EXCEEDED"));
        assert_eq!(code("/marrowline.v1.CustodyService/GetLot", 999).await, None);
        assert_eq!(code("/marrowline.v1.AttachmentService/Put", 60_000).await, None);
    }
}
