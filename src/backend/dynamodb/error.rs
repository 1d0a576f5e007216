//! What can go wrong with a call: how the SDK tells it, and what it means to the backend.

use super::api::{DynamoResult, Item};
use crate::ErrorKind;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{AttributeValue, CancellationReason};
use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt::{self, Debug};
use std::io;

/// Why a call of [`DynamoApi`](super::DynamoApi) failed: what the service said, or that it could not be asked.
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
    pub(super) message: String,
    /// Whether the request may have been carried out.
    pub(super) maybe_applied: bool,
}

impl DynamoError {
    fn new(what: What) -> Self {
        DynamoError { what, source: None }
    }
    /// The service refused a write because its condition did not hold: `item` is there, or nothing is. (Where
    /// the backend needs to know, its request asks for the item.)
    pub fn condition_failed(item: Option<HashMap<String, AttributeValue>>) -> Self {
        DynamoError::new(What::ConditionFailed(item.map_or(Found::Nothing, Found::Item)))
    }
    /// The service cancelled a transaction, for one reason per item, which bears the item if it is there.
    pub fn transaction_cancelled(reasons: Vec<CancellationReason>) -> Self {
        DynamoError::new(What::Cancelled(reasons, Told::All))
    }
    /// The same from a client that does not hand on the items of failed conditions: the backend reads them.
    #[must_use]
    pub fn without_items(mut self) -> Self {
        self.what = match self.what {
            What::ConditionFailed(_) => What::ConditionFailed(Found::Untold),
            What::Cancelled(reasons, _) => What::Cancelled(reasons, Told::None),
            other => other,
        };
        self
    }
    /// The service answered with an error, by the code that DynamoDB gives it: `"ThrottlingException"`.
    pub fn service(code: &str, message: impl Into<String>) -> Self {
        DynamoError::new(by_code(code, message.into()))
    }
    /// The request was never sent: the connection was refused, the name is not known.
    pub fn not_sent(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let failed = failed(ErrorKind::Unavailable, "DynamoDB cannot be reached", false);
        DynamoError::new(failed).with_source(source)
    }
    /// The request was sent, perhaps, and no answer came: the connection was lost.
    pub fn lost(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let failed = failed(ErrorKind::Unavailable, "the answer of DynamoDB was lost", true);
        DynamoError::new(failed).with_source(source)
    }
    /// No answer came in time.
    pub fn timeout() -> Self {
        DynamoError::new(failed(ErrorKind::Timeout, "DynamoDB did not answer in time", true))
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
        let failed = failed(ErrorKind::Other, "the request cannot be made", false);
        Box::pin(std::future::ready(Err(DynamoError::new(failed).with_source(source))))
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
            What::Failed(failed) => f.write_str(&failed.message),
        }
    }
}

impl StdError for DynamoError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

fn failed(kind: ErrorKind, message: impl Into<String>, maybe_applied: bool) -> What {
    What::Failed(Failed { kind, message: message.into(), maybe_applied })
}

/// The error codes of DynamoDB, from its API reference ("Error handling with DynamoDB" and the pages of the calls).
pub(super) fn by_code(code: &str, message: String) -> What {
    use ErrorKind::*;
    let of_service = |what: &str| format!("{what} ({code})");
    let (kind, message, maybe_applied) = match code {
        "ConditionalCheckFailedException" | "ConditionalCheckFailed" => {
            return What::ConditionFailed(Found::Untold);
        }
        "TransactionCanceledException" => return What::Cancelled(Vec::new(), Told::None),
        "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "TooManyRequestsException"
        | "ThrottlingError"
        | "ProvisionedThroughputExceeded" => (Throttled, of_service("DynamoDB throttles"), false),
        "TransactionConflictException"
        | "TransactionConflict"
        | "TransactionInProgressException"
        | "ReplicatedWriteConflictException" => {
            (Conflict, of_service("another transaction has the item"), false)
        }
        "ItemCollectionSizeLimitExceededException" | "ItemCollectionSizeLimitExceeded" => {
            (TooLarge, of_service("the items of one key are more than 10 GB"), false)
        }
        "ValidationException" | "ValidationError" if is_about_size(&message) => {
            (TooLarge, of_service("more than DynamoDB can hold"), false)
        }
        "ValidationException" | "ValidationError" => {
            (InvalidArgument, of_service("DynamoDB refuses the request"), false)
        }
        "RequestTooLargeException" | "PayloadTooLarge" => {
            (TooLarge, of_service("more than DynamoDB takes in one request"), false)
        }
        "ResourceNotFoundException" => {
            (Other, of_service("there is no such table; `DynamoDb::create_table` makes it"), false)
        }
        "AccessDeniedException"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignatureException"
        | "MissingAuthenticationTokenException"
        | "MissingAuthenticationToken"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "NotAuthorized"
        | "OptInRequired" => (AccessDenied, of_service("DynamoDB refuses the caller"), false),
        "InternalServerError"
        | "InternalServerErrorException"
        | "InternalFailure"
        | "ServiceUnavailable"
        | "ServiceUnavailableException" => (Unavailable, of_service("DynamoDB failed"), true),
        _ => (Other, of_service("DynamoDB answers with an error"), false),
    };
    failed(kind, message, maybe_applied)
}

/// The messages of DynamoDB about limits of size. Their words are the only thing that tells them from other refusals.
fn is_about_size(message: &str) -> bool {
    const WORDS: [&str; 5] = [
        "size has exceeded",
        "size to update has exceeded",
        "exceeds the maximum allowed size",
        "exceeded the maximum allowed size",
        "size limit of",
    ];
    WORDS.iter().any(|words| message.contains(words))
        || (message.contains("ggregate") && message.contains("exceed"))
}

/// What an error of one call tells beyond its code.
pub(super) trait Tells {
    fn told(&self) -> Option<What>;
}

#[cold]
pub(super) fn translate<E>(error: SdkError<E, HttpResponse>) -> DynamoError
where
    E: Tells + ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let what = match &error {
        SdkError::ServiceError(answer) => {
            let (said, status) = (answer.err(), answer.raw().status());
            match (said.told(), said.code()) {
                // It bears items, which the source of an error is not to print.
                (Some(what), _) => return DynamoError::new(what),
                (None, code) => {
                    let message = said.message().unwrap_or_default().to_owned();
                    match by_code(code.unwrap_or("no code"), message) {
                        // A failure by a name that is not known here.
                        What::Failed(unknown)
                            if unknown.kind == ErrorKind::Other && status.is_server_error() =>
                        {
                            failed(ErrorKind::Unavailable, unknown.message, true)
                        }
                        what => what,
                    }
                }
            }
        }
        SdkError::ConstructionFailure(_) => {
            failed(ErrorKind::Other, "the request cannot be made", false)
        }
        SdkError::TimeoutError(_) => return DynamoError::timeout().with_source(error),
        SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
            _ if has_no_credentials(&error) => {
                failed(ErrorKind::AccessDenied, "there are no credentials for AWS", false)
            }
            _ if never_connected(&error) => return DynamoError::not_sent(error),
            Some(connector) if connector.is_timeout() => {
                return DynamoError::timeout().with_source(error);
            }
            _ => return DynamoError::lost(error),
        },
        // What came is no answer of DynamoDB's, or was cut off.
        _ => return DynamoError::lost(error),
    };
    let error = match error {
        // Without the answer as it came, which is long.
        SdkError::ServiceError(answer) => {
            return DynamoError::new(what).with_source(answer.into_err());
        }
        error => error,
    };
    DynamoError::new(what).with_source(error)
}

/// The kind of an error of a call that is not one of the nine.
pub(super) fn kind_of<E>(error: &SdkError<E, HttpResponse>) -> ErrorKind
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    match error {
        SdkError::ServiceError(answer) => {
            match by_code(answer.err().code().unwrap_or("no code"), String::new()) {
                What::Failed(failed) => failed.kind,
                _ => ErrorKind::Other,
            }
        }
        SdkError::ConstructionFailure(_) => ErrorKind::Other,
        SdkError::TimeoutError(_) => ErrorKind::Timeout,
        error if has_no_credentials(error) => ErrorKind::AccessDenied,
        _ => ErrorKind::Unavailable,
    }
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

fn has_no_credentials(error: &(dyn StdError + 'static)) -> bool {
    use aws_credential_types::provider::error::CredentialsError;
    chain(error).any(|e| e.is::<CredentialsError>())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: &str, message: &str) -> (ErrorKind, bool) {
        match by_code(code, message.into()) {
            What::Failed(failed) => (failed.kind, failed.maybe_applied),
            what => panic!("{what:?}"),
        }
    }

    #[test]
    fn codes_are_kinds() {
        use ErrorKind::*;
        assert_eq!(kind("ThrottlingException", ""), (Throttled, false));
        assert_eq!(kind("TransactionInProgressException", ""), (Conflict, false));
        assert_eq!(kind("ExpiredTokenException", ""), (AccessDenied, false));
        assert_eq!(kind("InternalServerError", ""), (Unavailable, true));
        assert_eq!(kind("SomethingNew", ""), (Other, false));
        let large = "Item size to update has exceeded the maximum allowed size";
        assert_eq!(kind("ValidationException", large), (TooLarge, false));
        let refused = kind("ValidationException", "Invalid UpdateExpression");
        assert_eq!(refused, (InvalidArgument, false));
    }

    #[test]
    fn an_error_prints_no_item() {
        let item = HashMap::from([("secret".to_owned(), AttributeValue::S("secret".into()))]);
        let error = DynamoError::condition_failed(Some(item));
        assert!(!format!("{error:?} {error}").contains("secret"));
    }
}
