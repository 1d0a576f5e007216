//! The kinds of the service's error codes and of HTTP statuses.

use super::error::{ConflictingItem, DynamoError, DynamoErrorKind, Failure, UNREADABLE};
use crate::ErrorKind;

impl DynamoError {
    /// The service returned an error with this code, such as `"ThrottlingException"`.
    pub fn service(code: &str, message: impl Into<String>) -> Self {
        DynamoError::new(by_code(code, &message.into()))
    }
}

/// The kind of an error code of DynamoDB. The codes are those of its API reference: "Error handling
/// with DynamoDB" and the pages of the calls. `message` is not part of the result: it may contain
/// stored data.
pub(super) fn by_code(code: &str, message: &str) -> DynamoErrorKind {
    use ErrorKind::*;
    let (kind, message) = match code {
        "ConditionalCheckFailedException" | "ConditionalCheckFailed" => {
            return DynamoErrorKind::ConditionFailed(ConflictingItem::NotReturned);
        }
        "TransactionCanceledException" => {
            let reasons = Vec::new();
            return DynamoErrorKind::TransactionCancelled { reasons, have_items: false };
        }
        "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "TooManyRequestsException"
        | "ThrottlingError"
        | "ProvisionedThroughputExceeded" => (Throttled, "DynamoDB throttles"),
        "TransactionConflictException"
        | "TransactionConflict"
        | "TransactionInProgressException"
        | "ReplicatedWriteConflictException" => (Conflict, "the item is in another transaction"),
        "ItemCollectionSizeLimitExceededException" | "ItemCollectionSizeLimitExceeded" => {
            (TooLarge, "the items of one key exceed 10 GB")
        }
        "ValidationException" | "ValidationError" if is_about_size(message) => {
            (TooLarge, "the item exceeds a size limit of DynamoDB")
        }
        "ValidationException" | "ValidationError" => {
            (InvalidArgument, "DynamoDB refuses the request")
        }
        "RequestTooLargeException" | "PayloadTooLarge" => {
            (TooLarge, "the request exceeds the size limit of DynamoDB")
        }
        "ResourceNotFoundException" => (Other, NO_TABLE),
        "InvalidSignatureException" if is_about_time(message) => (AccessDenied, CLOCK),
        "RequestExpired" | "RequestTimeTooSkewed" => (AccessDenied, CLOCK),
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
        | "OptInRequired" => (AccessDenied, "DynamoDB refuses the caller"),
        "InternalServerError"
        | "InternalServerErrorException"
        | "InternalFailure"
        | "ServiceUnavailable"
        | "ServiceUnavailableException" => (Unavailable, "DynamoDB failed"),
        _ => (Other, "DynamoDB returned an error"),
    };
    let mut failure = Failure::new(kind, message, kind == Unavailable);
    failure.code = Some(code.to_owned().into());
    DynamoErrorKind::CallFailed(failure)
}

const NO_TABLE: &str = "the table does not exist; create it with `create_table=true` in the URL or \
                        with `DynamoDb::create_table`";
const CLOCK: &str = "the signature has expired or is not valid yet; is the system clock right?";

/// The failure for a response without an error code of DynamoDB. It comes from a proxy, or from
/// another server.
pub(super) fn by_status(status: u16) -> Failure {
    use ErrorKind::*;
    let (kind, message) = match status {
        401 | 403 | 407 => (AccessDenied, "a server other than DynamoDB refuses the caller"),
        408 => (Timeout, "the request did not arrive in time"),
        413 => (TooLarge, "the request exceeds the size limit of the server"),
        429 => (Throttled, "the server throttles"),
        400..=499 => (Other, "the server refuses the request; is it DynamoDB?"),
        500..=599 => (Unavailable, "the server failed"),
        _ => (Unavailable, UNREADABLE),
    };
    let mut failure = Failure::new(kind, message, outcome_is_unknown(status));
    failure.code = Some(format!("status {status}").into());
    failure
}

/// Whether a write with this response may have been applied. Only a status of 4xx excludes it.
pub(super) fn outcome_is_unknown(status: u16) -> bool {
    !(400..500).contains(&status)
}

/// Matches the messages of `InvalidSignatureException` about the time: "Signature expired: … is now
/// earlier than …", "Signature not yet current: …".
fn is_about_time(message: &str) -> bool {
    ["Signature expired", "Signature not yet current"].iter().any(|words| message.contains(words))
}

/// Matches the messages of a `ValidationException` about size limits. It has the same code as
/// every other invalid request.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: &str, message: &str) -> (ErrorKind, bool) {
        match by_code(code, message) {
            DynamoErrorKind::CallFailed(failure) => (failure.kind, failure.maybe_applied),
            kind => panic!("{kind:?}"),
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
}
