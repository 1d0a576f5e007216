//! What the SDK's errors mean: what the service said, what something in between said, and what
//! never left this process.

use super::codes::{by_code, by_status, is_unknown};
use super::error::{DynamoError, Failed, UNREADABLE, What};
use crate::ErrorKind;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use std::error::Error as StdError;
use std::io;

/// What an error of one call tells beyond its code.
pub(super) trait Tells {
    fn told(&self) -> Option<What> {
        None
    }
}

/// `maybe_sent` is `false` where it is known that nothing was sent.
#[cold]
pub(super) fn translate<E>(error: SdkError<E, HttpResponse>, maybe_sent: bool) -> DynamoError
where
    E: Tells + ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let told = match &error {
        SdkError::ServiceError(answer) => answer.err().told(),
        _ => None,
    };
    if let Some(what) = told {
        // It bears items, which the source of an error is not to print.
        return DynamoError::new(what);
    }
    let failed = match failure_of(&error, maybe_sent) {
        What::Failed(failed) => failed,
        what => return DynamoError::new(what),
    };
    let maybe_applied = failed.maybe_applied && maybe_sent;
    let translated = DynamoError::failed(Failed { maybe_applied, ..failed });
    // What the service has said stands in the errors of the calls twice, in them and in their
    // sources.
    if let SdkError::ServiceError(answer) = &error
        && answer.err().code().is_some()
    {
        return translated.with_source(answer.err().meta().clone());
    }
    // Not the answer as it came, which is long and holds what is stored.
    match error.into_source() {
        Ok(source) => translated.with_source(source),
        Err(_) => translated,
    }
}

/// What the service said, or with no code of its own something in between.
fn of_service(code: Option<&str>, message: &str, status: u16) -> What {
    let Some(code) = code else { return What::Failed(by_status(status)) };
    match by_code(code, message) {
        What::Failed(mut failed) => {
            // A failure by a name that is not known here.
            if failed.kind == ErrorKind::Other && status >= 500 {
                failed.kind = ErrorKind::Unavailable;
            }
            failed.maybe_applied |= is_unknown(status);
            What::Failed(failed)
        }
        what => what,
    }
}

fn timeout() -> Failed {
    Failed::new(ErrorKind::Timeout, "DynamoDB did not answer in time", true)
}

/// Why there is no answer.
fn unanswered(error: &(dyn StdError + 'static), timed_out: bool, maybe_sent: bool) -> Failed {
    use ErrorKind::Unavailable;
    if let Some(credentials) = find::<CredentialsError>(error) {
        return of_credentials(credentials);
    }
    if never_connected(error) {
        return Failed::new(Unavailable, "DynamoDB cannot be reached", false);
    }
    if !maybe_sent {
        return Failed::new(Unavailable, "the request could not be prepared", false);
    }
    if timed_out {
        return timeout();
    }
    if find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse) {
        return Failed::new(Unavailable, UNREADABLE, true);
    }
    Failed::new(Unavailable, "the answer of DynamoDB was lost", true)
}

/// There is a request for credentials before the first one to DynamoDB, and from time to time.
fn of_credentials(error: &CredentialsError) -> Failed {
    use ErrorKind::{AccessDenied, Unavailable};
    let (kind, what) = match error {
        CredentialsError::CredentialsNotLoaded(_) => {
            (AccessDenied, "there are no credentials for AWS")
        }
        CredentialsError::InvalidConfiguration(_) => {
            (AccessDenied, "the credentials for AWS are not configured as they should be")
        }
        _ => (Unavailable, "the provider of the credentials for AWS failed"),
    };
    Failed::new(kind, what, false)
}

/// What an error means, but for what it tells beyond its code.
pub(super) fn failure_of<E>(error: &SdkError<E, HttpResponse>, maybe_sent: bool) -> What
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    What::Failed(match error {
        SdkError::ServiceError(answer) => {
            let (said, status) = (answer.err(), answer.raw().status().as_u16());
            return of_service(said.code(), said.message().unwrap_or_default(), status);
        }
        SdkError::ConstructionFailure(_) => {
            Failed::new(ErrorKind::Other, "the request cannot be made", false)
        }
        SdkError::TimeoutError(_) => timeout(),
        SdkError::DispatchFailure(failure) => {
            let timed_out = failure.as_connector_error().is_some_and(|e| e.is_timeout());
            unanswered(error, timed_out, maybe_sent)
        }
        // The answer was cut off.
        _ => Failed::new(ErrorKind::Unavailable, "the answer of DynamoDB was lost", true),
    })
}

fn chain<'e>(
    error: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

fn find<'e, E: StdError + 'static>(error: &'e (dyn StdError + 'static)) -> Option<&'e E> {
    chain(error).find_map(|e| e.downcast_ref())
}

/// Whether no connection was there to send anything on. What cannot be told is taken for sent.
fn never_connected(error: &(dyn StdError + 'static)) -> bool {
    use io::ErrorKind::*;
    chain(error).any(|e| {
        let connecting = e.downcast_ref::<hyper_util::client::legacy::Error>();
        let io = e.downcast_ref::<io::Error>();
        connecting.is_some_and(|e| e.is_connect())
            || io.is_some_and(|e| {
                matches!(e.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
            })
    })
}
