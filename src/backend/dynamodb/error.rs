//! What can go wrong with a call, and what it means to the backend. What the service's codes mean
//! is in `codes.rs`, what the SDK makes of them in `translate.rs`.

use super::api::{DynamoResult, Item};
use super::codes::by_code;
use crate::ErrorKind;
use aws_sdk_dynamodb::types::{AttributeValue, CancellationReason};
use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt::{self, Debug};

/// What an answer is that is not as DynamoDB answers.
pub(super) const UNREADABLE: &str = "the answer cannot be read; is it DynamoDB that answers?";

/// Why a call of [`DynamoApi`](super::DynamoApi) failed: what the service said, or that it could
/// not be asked.
pub struct DynamoError {
    what: What,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

#[derive(Debug)]
pub(super) enum What {
    /// A condition did not hold.
    ConditionFailed(Found),
    /// A transaction was not applied, for a reason per item.
    Cancelled(Vec<CancellationReason>, Told),
    /// Everything else.
    Failed(Failed),
}

/// What a condition that failed has found.
#[derive(Debug)]
pub(super) enum Found {
    Item(Item),
    Nothing,
    /// The client does not say.
    Untold,
}

/// Whether the reasons of a cancelled transaction bear the items that were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    All,
    None,
}

/// A failure as far as the backend acts on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) kind: ErrorKind,
    pub(super) what: Cow<'static, str>,
    /// The code of the service, or the status of the answer.
    pub(super) code: Option<Cow<'static, str>>,
    /// The address of the server, where it is known.
    pub(super) address: Option<String>,
    /// Whether the request may have been carried out.
    pub(super) maybe_applied: bool,
}

impl Failed {
    pub(super) fn new(
        kind: ErrorKind,
        what: impl Into<Cow<'static, str>>,
        maybe_applied: bool,
    ) -> Self {
        Failed { kind, what: what.into(), code: None, address: None, maybe_applied }
    }
    /// What it was, and of which table at which server.
    pub(super) fn told(&self, table: Option<&str>) -> String {
        let place = match (table, &self.address) {
            (Some(table), Some(address)) => Some(format!("table `{table}` at {address}")),
            (Some(table), None) => Some(format!("table `{table}`")),
            (None, address) => address.clone(),
        };
        match (&self.code, place) {
            (Some(code), Some(place)) => format!("{} ({code}, {place})", self.what),
            (Some(code), None) => format!("{} ({code})", self.what),
            (None, Some(place)) => format!("{} ({place})", self.what),
            (None, None) => self.what.clone().into_owned(),
        }
    }
}

impl DynamoError {
    pub(super) fn new(what: What) -> Self {
        DynamoError { what, source: None }
    }
    pub(super) fn failed(failed: Failed) -> Self {
        DynamoError::new(What::Failed(failed))
    }
    /// The service refused a write because its condition did not hold: `item` is there, or nothing
    /// is. (Where the backend needs to know, its request asks for the item.)
    pub fn condition_failed(item: Option<HashMap<String, AttributeValue>>) -> Self {
        DynamoError::new(What::ConditionFailed(item.map_or(Found::Nothing, Found::Item)))
    }
    /// The service cancelled a transaction, for one reason per item, which bears the item if it is
    /// there.
    pub fn transaction_cancelled(reasons: Vec<CancellationReason>) -> Self {
        DynamoError::new(What::Cancelled(reasons, Told::All))
    }
    /// The same from a client that does not hand on the items of failed conditions: the backend
    /// reads them.
    #[must_use]
    pub fn without_items(mut self) -> Self {
        self.what = match self.what {
            What::ConditionFailed(_) => What::ConditionFailed(Found::Untold),
            What::Cancelled(reasons, _) => What::Cancelled(reasons, Told::None),
            other => other,
        };
        self
    }
    /// The service answered with an error, by the code that DynamoDB gives it:
    /// `"ThrottlingException"`.
    pub fn service(code: &str, message: impl Into<String>) -> Self {
        DynamoError::new(by_code(code, &message.into()))
    }
    /// The request was never sent: the connection was refused, the name is not known.
    pub fn not_sent(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let what = "DynamoDB cannot be reached";
        DynamoError::failed(Failed::new(ErrorKind::Unavailable, what, false)).with_source(source)
    }
    /// The request was sent, perhaps, and no answer came: the connection was lost.
    pub fn lost(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let what = "the answer of DynamoDB was lost";
        DynamoError::failed(Failed::new(ErrorKind::Unavailable, what, true)).with_source(source)
    }
    /// No answer came in time.
    pub fn timeout() -> Self {
        DynamoError::failed(Failed::new(
            ErrorKind::Timeout,
            "DynamoDB did not answer in time",
            true,
        ))
    }
    /// An answer came, and bears not what every answer to this request bears.
    pub(super) fn unreadable() -> Self {
        DynamoError::failed(Failed::new(ErrorKind::Unavailable, UNREADABLE, true))
    }
    /// Attaches the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
    /// The answer to a request that could not be made.
    pub(super) fn unmade<'a, T: Send + 'a>(
        source: impl StdError + Send + Sync + 'static,
    ) -> DynamoResult<'a, T> {
        let failed = Failed::new(ErrorKind::Other, "the request cannot be made", false);
        Box::pin(std::future::ready(Err(DynamoError::failed(failed).with_source(source))))
    }
    /// The error in words, with the table that the request was about.
    pub(super) fn told(&self, table: &str) -> String {
        match &self.what {
            What::Failed(failed) => failed.told(Some(table)),
            _ => self.to_string(),
        }
    }
    /// The code of the service.
    pub(super) fn code(&self) -> Option<&str> {
        match &self.what {
            What::Failed(failed) => failed.code.as_deref(),
            _ => None,
        }
    }
    pub(super) fn what(&self) -> &What {
        &self.what
    }
    pub(super) fn map_failed(mut self, change: impl FnOnce(&mut Failed)) -> Self {
        if let What::Failed(failed) = &mut self.what {
            change(failed);
        }
        self
    }
    pub(super) fn put_back(what: What, source: Option<Box<dyn StdError + Send + Sync>>) -> Self {
        DynamoError { what, source }
    }
    pub(super) fn take(self) -> (What, Option<Box<dyn StdError + Send + Sync>>) {
        (self.what, self.source)
    }
}

impl Debug for DynamoError {
    /// Without the item, which holds keys and values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DynamoError({self})")
    }
}

impl fmt::Display for DynamoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::ConditionFailed(_) => f.write_str("the condition does not hold"),
            What::Cancelled(..) => f.write_str("the transaction was cancelled"),
            What::Failed(failed) => f.write_str(&failed.told(None)),
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
