//! One request through the SDK's client, watched: whether it was sent before it ended, and to which
//! server.
//!
//! The SDK gets credentials, resolves the endpoint and signs within the same future that sends. An
//! interceptor notes the moment between the two. It runs on the thread that polls the future, and
//! so finds the watch of its request in a thread-local. A request that is dropped cannot answer; it
//! leaves there what it knows.

use super::error::{DynamoError, Failed};
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

/// Scheme, host and port of the server, once something was sent there.
pub(super) type Address = Arc<OnceLock<String>>;

thread_local! {
    /// Whether the request that is polled on this thread has been sent.
    static SENT: Cell<bool> = const { Cell::new(false) };
    /// Its connection, once it has one, where the client tells.
    static CONNECTION: Cell<Option<CaptureSmithyConnection>> = const { Cell::new(None) };
    /// What the last request that was dropped on this thread has left.
    static LEFT: Cell<Option<Left>> = const { Cell::new(None) };
}

/// What is known of a request that was dropped.
#[derive(Debug)]
struct Left {
    stage: Stage,
    address: Address,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It waits for credentials.
    Unsigned,
    /// It waits for a connection.
    Unconnected,
    /// It is sent, perhaps.
    Sent,
}

/// Drops the future of a request whose answer did not come in time: the error that it ends with.
pub(super) fn give_up<T>(request: T) -> DynamoError {
    LEFT.take();
    drop(request);
    let Some(Left { stage, address }) = LEFT.take() else {
        // It was no request of the SDK's.
        return DynamoError::timeout();
    };
    let what = match stage {
        Stage::Unsigned => "the credentials for AWS did not come in time",
        Stage::Unconnected => "there was no connection in time",
        Stage::Sent => return DynamoError::timeout().sent(true, &address),
    };
    DynamoError::failed(Failed::new(ErrorKind::Timeout, what, false)).sent(false, &address)
}

/// Notes that a request is sent, or is as soon as there is a connection.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) address: Address,
    /// Whether the client tells that it has a connection, which hyper's does.
    pub(super) tells_connection: bool,
}

impl Intercept for Sending {
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
        if self.tells_connection {
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

/// The watch of one request.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    address: &'a Address,
    sent: bool,
    connection: Option<CaptureSmithyConnection>,
    ended: bool,
}

impl<'a> Watch<'a> {
    pub(super) fn new(address: &'a Address) -> Self {
        Watch { address, sent: false, connection: None, ended: false }
    }
    /// Polls the request. The inner error is the SDK's, the outer one that tokio lacks a driver.
    pub(super) fn poll<F: Future>(
        &mut self,
        request: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<F::Output, DynamoError>> {
        let around = SENT.replace(self.sent);
        // A request that has panicked is not polled again.
        let polled = catch_unwind(AssertUnwindSafe(|| request.poll(cx)));
        self.sent = SENT.replace(around);
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
        self.stage() == Stage::Sent
    }
    fn stage(&self) -> Stage {
        let is_connected = |connection: &CaptureSmithyConnection| connection.get().is_some();
        match &self.connection {
            _ if !self.sent => Stage::Unsigned,
            Some(connection) if !is_connected(connection) => Stage::Unconnected,
            _ => Stage::Sent,
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let address = Arc::clone(self.address);
            LEFT.set(Some(Left { stage: self.stage(), address }));
        }
    }
}

impl DynamoError {
    /// Says where the request went, and whether it has left at all.
    pub(super) fn sent(self, maybe_sent: bool, address: &Address) -> Self {
        self.map_failed(|failed| {
            failed.maybe_applied &= maybe_sent;
            failed.address =
                address.get().filter(|_| failed.kind != ErrorKind::Unsupported).cloned();
        })
    }
}

/// The error for a panic with which tokio says that it has no I/O or no timer. Every other panic
/// goes on.
#[cold]
fn without_driver(panic: Box<dyn std::any::Any + Send>) -> DynamoError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    if !text.is_some_and(|text| text.contains("Tokio 1.x")) {
        resume_unwind(panic);
    }
    let error = runtime::without_drivers();
    DynamoError::failed(Failed::new(error.kind(), error.to_string(), false))
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
