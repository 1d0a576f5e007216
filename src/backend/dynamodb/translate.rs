//! Translates the SDK's errors into [`DynamoError`]: errors of the service, responses of a proxy or
//! of another server, and requests that were never sent.

use super::codes::{by_code, by_status, outcome_is_unknown};
use super::error::{DynamoError, DynamoErrorKind, Failure, UNREADABLE};
use crate::ErrorKind;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use std::error::Error as StdError;
use std::io;

/// The details of a service error that its code does not contain.
pub(super) trait DecodeError {
    /// `None` if the code is all.
    fn decode(&self) -> Option<DynamoErrorKind> {
        None
    }
}

/// `maybe_sent` is `false` if the request is known not to have been sent.
#[cold]
pub(super) fn translate<E>(error: SdkError<E, HttpResponse>, maybe_sent: bool) -> DynamoError
where
    E: DecodeError + ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    if let SdkError::ServiceError(response) = &error
        && let Some(kind) = response.err().decode()
    {
        // Without a source, which would print the items of the response.
        return DynamoError::new(kind);
    }
    let failure = match classify(&error, maybe_sent) {
        DynamoErrorKind::CallFailed(failure) => failure,
        kind => return DynamoError::new(kind),
    };
    let maybe_applied = failure.maybe_applied && maybe_sent;
    let translated = DynamoError::from_failure(Failure { maybe_applied, ..failure });
    // The error of a call and its source both print the service's message. Keep only the metadata.
    if let SdkError::ServiceError(response) = &error
        && response.err().code().is_some()
    {
        return translated.with_source(response.err().meta().clone());
    }
    // The source, but not the raw response: it is long, and contains stored data.
    match error.into_source() {
        Ok(source) => translated.with_source(source),
        Err(_) => translated,
    }
}

/// An error response. If it has no code, it is not from DynamoDB.
fn from_service(code: Option<&str>, message: &str, status: u16) -> DynamoErrorKind {
    let Some(code) = code else { return DynamoErrorKind::CallFailed(by_status(status)) };
    match by_code(code, message) {
        DynamoErrorKind::CallFailed(mut failure) => {
            // A code that this version does not know.
            if failure.kind == ErrorKind::Other && status >= 500 {
                failure.kind = ErrorKind::Unavailable;
            }
            failure.maybe_applied |= outcome_is_unknown(status);
            DynamoErrorKind::CallFailed(failure)
        }
        kind => kind,
    }
}

fn timeout() -> Failure {
    Failure::new(ErrorKind::Timeout, "DynamoDB did not answer in time", true)
}

/// Why there is no response.
fn without_response(
    error: &(dyn StdError + 'static),
    timed_out: bool,
    maybe_sent: bool,
) -> Failure {
    use ErrorKind::Unavailable;
    if let Some(credentials) = find::<CredentialsError>(error) {
        return from_credentials(credentials);
    }
    if never_connected(error) {
        return Failure::new(Unavailable, "DynamoDB cannot be reached", false);
    }
    if !maybe_sent {
        return Failure::new(Unavailable, "the request could not be prepared", false);
    }
    if timed_out {
        return timeout();
    }
    if find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse) {
        return Failure::new(Unavailable, UNREADABLE, true);
    }
    Failure::new(Unavailable, "the response of DynamoDB was lost", true)
}

/// The SDK requests credentials before the first request, and again before they expire.
fn from_credentials(error: &CredentialsError) -> Failure {
    use ErrorKind::{AccessDenied, Unavailable};
    let (kind, message) = match error {
        CredentialsError::CredentialsNotLoaded(_) => {
            (AccessDenied, "there are no credentials for AWS")
        }
        CredentialsError::InvalidConfiguration(_) => {
            (AccessDenied, "the configuration of the credentials for AWS is invalid")
        }
        _ => (Unavailable, "the provider of the credentials for AWS failed"),
    };
    Failure::new(kind, message, false)
}

/// The error without the details of [`DecodeError`].
fn classify<E>(error: &SdkError<E, HttpResponse>, maybe_sent: bool) -> DynamoErrorKind
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    DynamoErrorKind::CallFailed(match error {
        SdkError::ServiceError(response) => {
            let (error, status) = (response.err(), response.raw().status().as_u16());
            return from_service(error.code(), error.message().unwrap_or_default(), status);
        }
        SdkError::ConstructionFailure(_) => {
            Failure::new(ErrorKind::Other, "the request cannot be built", false)
        }
        SdkError::TimeoutError(_) => timeout(),
        SdkError::DispatchFailure(failure) => {
            let timed_out = failure.as_connector_error().is_some_and(|e| e.is_timeout());
            without_response(error, timed_out, maybe_sent)
        }
        // The response was cut off.
        _ => Failure::new(ErrorKind::Unavailable, "the response of DynamoDB was lost", true),
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

/// Whether the request had no connection. If the error does not show that, it may have been sent.
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
