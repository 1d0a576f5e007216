//! [`SendTracker`]: whether a request through the SDK's client was sent before it failed, and to
//! which server.
//!
//! One future of the SDK gets credentials, resolves the endpoint, signs and sends. An interceptor
//! records the moment before sending. It runs on the thread that polls the future, so it reports to
//! the tracker through a thread-local. A cancelled request has no result: when its tracker is
//! dropped, it stores its state in another thread-local.

use super::error::{DynamoError, Failure};
use crate::{ErrorKind, runtime};
use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_runtime_api::client::connection::CaptureSmithyConnection;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

/// Scheme, host and port of the server, once a request was sent to it.
pub(super) type Address = Arc<OnceLock<String>>;

thread_local! {
    /// Whether the request that is polled on this thread was sent.
    static SENT: Cell<bool> = const { Cell::new(false) };
    /// The connection of that request, if the client reports it.
    static CONNECTION: Cell<Option<CaptureSmithyConnection>> = const { Cell::new(None) };
    /// The last request that was dropped on this thread before it ended.
    static CANCELLED: Cell<Option<CancelledRequest>> = const { Cell::new(None) };
}

#[derive(Debug)]
struct CancelledRequest {
    stage: Stage,
    address: Address,
}

/// How far a request got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    AwaitingCredentials,
    Connecting,
    MaybeSent,
}

/// Drops a request that timed out, and returns its error.
pub(super) fn cancel_request<T>(request: T) -> DynamoError {
    CANCELLED.take();
    drop(request);
    let Some(CancelledRequest { stage, address }) = CANCELLED.take() else {
        // The request was not made by the SDK.
        return DynamoError::timeout();
    };
    let message = match stage {
        Stage::AwaitingCredentials => "the credentials for AWS did not arrive in time",
        Stage::Connecting => "there was no connection in time",
        Stage::MaybeSent => return DynamoError::timeout().sent(true, &address),
    };
    let failure = Failure::new(ErrorKind::Timeout, message, false);
    DynamoError::from_failure(failure).sent(false, &address)
}

/// Records that a request is sent, or will be once it has a connection.
#[derive(Debug)]
pub(super) struct SendInterceptor {
    pub(super) address: Address,
    /// Whether the HTTP client reports its connection, as hyper's does.
    pub(super) reports_connection: bool,
}

impl Intercept for SendInterceptor {
    fn name(&self) -> &'static str {
        "keyvaluestore"
    }
    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        SENT.set(true);
        if self.reports_connection {
            CONNECTION.set(config.load::<CaptureSmithyConnection>().cloned());
        }
        self.address.get_or_init(|| origin(context.request().uri()));
        Ok(())
    }
}

/// A URI without its path.
fn origin(uri: &str) -> String {
    let host = uri.find("://").map_or(0, |at| at + 3);
    let end = uri[host..].find('/').map_or(uri.len(), |at| host + at);
    uri[..end].to_owned()
}

/// Tracks one request.
#[derive(Debug)]
pub(super) struct SendTracker<'a> {
    address: &'a Address,
    sent: bool,
    connection: Option<CaptureSmithyConnection>,
    ended: bool,
}

impl<'a> SendTracker<'a> {
    pub(super) fn new(address: &'a Address) -> Self {
        SendTracker { address, sent: false, connection: None, ended: false }
    }
    /// Polls the request. The inner error is the SDK's; the outer one means that the tokio runtime
    /// lacks a driver.
    pub(super) fn poll<F: Future>(
        &mut self,
        request: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<F::Output, DynamoError>> {
        let outer = SENT.replace(self.sent);
        // Unwind safety: a request that panicked is not polled again.
        let polled = catch_unwind(AssertUnwindSafe(|| request.poll(cx)));
        self.sent = SENT.replace(outer);
        if let Some(connection) = CONNECTION.take() {
            self.connection = Some(connection);
        }
        let answer = match polled {
            Ok(answer) => answer.map(Ok),
            Err(panic) => Poll::Ready(Err(without_driver(panic))),
        };
        self.ended |= answer.is_ready();
        answer
    }
    pub(super) fn maybe_sent(&self) -> bool {
        self.stage() == Stage::MaybeSent
    }
    fn stage(&self) -> Stage {
        let is_connected = |connection: &CaptureSmithyConnection| connection.get().is_some();
        match &self.connection {
            _ if !self.sent => Stage::AwaitingCredentials,
            Some(connection) if !is_connected(connection) => Stage::Connecting,
            _ => Stage::MaybeSent,
        }
    }
}

impl Drop for SendTracker<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let address = Arc::clone(self.address);
            CANCELLED.set(Some(CancelledRequest { stage: self.stage(), address }));
        }
    }
}

impl DynamoError {
    /// Adds the address of the server, and whether the request may have been sent.
    pub(super) fn sent(self, maybe_sent: bool, address: &Address) -> Self {
        self.map_failure(|failure| {
            failure.maybe_applied &= maybe_sent;
            failure.address =
                address.get().filter(|_| failure.kind != ErrorKind::Unsupported).cloned();
        })
    }
}

/// The error for a panic of tokio because the runtime has no I/O or timer driver. Resumes every
/// other panic.
#[cold]
fn without_driver(panic: Box<dyn std::any::Any + Send>) -> DynamoError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    if !text.is_some_and(|text| text.contains("Tokio 1.x")) {
        resume_unwind(panic);
    }
    let error = runtime::without_drivers();
    DynamoError::from_failure(Failure::new(error.kind(), error.to_string(), false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_uri_without_its_path() {
        for (uri, address) in [
            ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
            (
                "https://dynamodb.eu-west-1.amazonaws.com",
                "https://dynamodb.eu-west-1.amazonaws.com",
            ),
            ("http://host/a/b?c", "http://host"),
            ("/", ""),
        ] {
            assert_eq!(origin(uri), address);
        }
    }
}
