//! [`DynamoError`]: why a call of [`DynamoApi`](super::DynamoApi) failed, as far as the backend
//! acts on it. `codes.rs` classifies the service's error codes, `translate.rs` the SDK's errors.

use super::items::Item;
use crate::backend::BoxFuture;
use crate::{Error, ErrorKind};
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{AttributeValue, CancellationReason};
use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt::{self, Debug};

/// The message for a response that DynamoDB would not send.
pub(super) const UNREADABLE: &str = "the response cannot be parsed; is it DynamoDB that answers?";

/// The result of a call of [`DynamoApi`](super::DynamoApi).
pub type DynamoResult<'a, T> = BoxFuture<'a, Result<T, DynamoError>>;

type Source = Box<dyn StdError + Send + Sync>;

/// Why a call of [`DynamoApi`](super::DynamoApi) failed: the service returned an error, or the
/// request did not get a response.
pub struct DynamoError {
    kind: DynamoErrorKind,
    source: Option<Source>,
}

#[derive(Debug)]
pub(super) enum DynamoErrorKind {
    /// The condition of a write did not hold.
    ConditionFailed(ConflictingItem),
    /// A transaction was cancelled, with one reason per item.
    TransactionCancelled {
        reasons: Vec<CancellationReason>,
        /// Whether the reasons of failed conditions contain the items.
        have_items: bool,
    },
    /// Everything else.
    CallFailed(Failure),
}

/// The item that made a condition fail.
#[derive(Debug)]
pub(super) enum ConflictingItem {
    Present(Item),
    Absent,
    /// The response does not say.
    NotReturned,
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: ErrorKind,
    pub(super) message: Cow<'static, str>,
    /// The error code of the service, or the HTTP status.
    pub(super) code: Option<Cow<'static, str>>,
    /// The address of the server, if known.
    pub(super) address: Option<String>,
    /// Whether the request may have been applied.
    pub(super) maybe_applied: bool,
}

impl Failure {
    pub(super) fn new(
        kind: ErrorKind,
        message: impl Into<Cow<'static, str>>,
        maybe_applied: bool,
    ) -> Self {
        Failure { kind, message: message.into(), code: None, address: None, maybe_applied }
    }
    /// The message, with the code, the table and the server in parentheses.
    pub(super) fn describe(&self, table: Option<&str>) -> String {
        let location = match (table, &self.address) {
            (Some(table), Some(address)) => Some(format!("table `{table}` at {address}")),
            (Some(table), None) => Some(format!("table `{table}`")),
            (None, address) => address.clone(),
        };
        match (&self.code, location) {
            (Some(code), Some(location)) => format!("{} ({code}, {location})", self.message),
            (Some(code), None) => format!("{} ({code})", self.message),
            (None, Some(location)) => format!("{} ({location})", self.message),
            (None, None) => self.message.clone().into_owned(),
        }
    }
}

impl DynamoError {
    pub(super) fn new(kind: DynamoErrorKind) -> Self {
        DynamoError { kind, source: None }
    }
    pub(super) fn from_failure(failure: Failure) -> Self {
        DynamoError::new(DynamoErrorKind::CallFailed(failure))
    }
    /// The condition of a write did not hold. `item` is the item as it is stored, `None` if there
    /// is none. (Where the backend needs the item, its request asks for it with
    /// `ReturnValuesOnConditionCheckFailure`.)
    pub fn condition_failed(item: Option<HashMap<String, AttributeValue>>) -> Self {
        let item = item.map_or(ConflictingItem::Absent, ConflictingItem::Present);
        DynamoError::new(DynamoErrorKind::ConditionFailed(item))
    }
    /// The service cancelled a transaction. There is one reason per item; that of a failed
    /// condition contains the item if it exists.
    pub fn transaction_cancelled(reasons: Vec<CancellationReason>) -> Self {
        DynamoError::new(DynamoErrorKind::TransactionCancelled { reasons, have_items: true })
    }
    /// Marks an error of a client that does not return the items of failed conditions. The backend
    /// then reads the items.
    #[must_use]
    pub fn without_items(mut self) -> Self {
        self.kind = match self.kind {
            DynamoErrorKind::ConditionFailed(_) => {
                DynamoErrorKind::ConditionFailed(ConflictingItem::NotReturned)
            }
            DynamoErrorKind::TransactionCancelled { reasons, .. } => {
                DynamoErrorKind::TransactionCancelled { reasons, have_items: false }
            }
            other => other,
        };
        self
    }
    /// The request was not sent: the connection was refused, or the host name is unknown.
    pub fn not_sent(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let failure = Failure::new(ErrorKind::Unavailable, "DynamoDB cannot be reached", false);
        DynamoError::from_failure(failure).with_source(source)
    }
    /// The request may have been sent, and its response was lost with the connection.
    pub fn response_lost(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let message = "the response of DynamoDB was lost";
        let failure = Failure::new(ErrorKind::Unavailable, message, true);
        DynamoError::from_failure(failure).with_source(source)
    }
    /// The request may have been sent, and its response did not arrive in time.
    pub fn timeout() -> Self {
        let message = "DynamoDB did not answer in time";
        DynamoError::from_failure(Failure::new(ErrorKind::Timeout, message, true))
    }
    /// The response lacks a field that every response to this request has.
    pub(super) fn unreadable() -> Self {
        DynamoError::from_failure(Failure::new(ErrorKind::Unavailable, UNREADABLE, true))
    }
    /// Attaches the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
    /// The result of a call whose request the SDK refused to build.
    pub(super) fn build_failed<'a, T: Send + 'a>(
        source: impl StdError + Send + Sync + 'static,
    ) -> DynamoResult<'a, T> {
        let failure = Failure::new(ErrorKind::Other, "the request cannot be built", false);
        let error = DynamoError::from_failure(failure).with_source(source);
        Box::pin(std::future::ready(Err(error)))
    }
    /// The message, with the table of the request.
    pub(super) fn describe(&self, table: &str) -> String {
        match &self.kind {
            DynamoErrorKind::CallFailed(failure) => failure.describe(Some(table)),
            _ => self.to_string(),
        }
    }
    /// The error code of the service.
    pub(super) fn code(&self) -> Option<&str> {
        match &self.kind {
            DynamoErrorKind::CallFailed(failure) => failure.code.as_deref(),
            _ => None,
        }
    }
    pub(super) fn kind(&self) -> &DynamoErrorKind {
        &self.kind
    }
    pub(super) fn map_failure(mut self, change: impl FnOnce(&mut Failure)) -> Self {
        if let DynamoErrorKind::CallFailed(failure) = &mut self.kind {
            change(failure);
        }
        self
    }
    pub(super) fn from_parts(kind: DynamoErrorKind, source: Option<Source>) -> Self {
        DynamoError { kind, source }
    }
    pub(super) fn into_parts(self) -> (DynamoErrorKind, Option<Source>) {
        (self.kind, self.source)
    }
}

/// The error for a part of a request that the SDK refused to build.
pub(super) fn build_error(error: BuildError) -> Error {
    Error::new(ErrorKind::Other, "the request cannot be built").with_source(error)
}

impl Debug for DynamoError {
    /// Omits the item: it contains keys and values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DynamoError({self})")
    }
}

impl fmt::Display for DynamoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            DynamoErrorKind::ConditionFailed(_) => f.write_str("the condition does not hold"),
            DynamoErrorKind::TransactionCancelled { .. } => {
                f.write_str("the transaction was cancelled")
            }
            DynamoErrorKind::CallFailed(failure) => f.write_str(&failure.describe(None)),
        }
    }
}

impl StdError for DynamoError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_prints_no_item() {
        let item = HashMap::from([("secret".to_owned(), AttributeValue::S("secret".into()))]);
        let error = DynamoError::condition_failed(Some(item));
        assert!(!format!("{error:?} {error}").contains("secret"));
    }
}
