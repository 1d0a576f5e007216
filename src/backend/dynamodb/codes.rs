//! What the codes and the statuses of an answer mean.

use super::error::{Failed, Found, Told, UNREADABLE, What};
use crate::ErrorKind;

/// The error codes of DynamoDB, from its API reference ("Error handling with DynamoDB" and the
/// pages of the calls). `message` is only looked at: it may name what is stored.
pub(super) fn by_code(code: &str, message: &str) -> What {
    use ErrorKind::*;
    let (kind, what) = match code {
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
        | "ProvisionedThroughputExceeded" => (Throttled, "DynamoDB throttles"),
        "TransactionConflictException"
        | "TransactionConflict"
        | "TransactionInProgressException"
        | "ReplicatedWriteConflictException" => (Conflict, "another transaction has the item"),
        "ItemCollectionSizeLimitExceededException" | "ItemCollectionSizeLimitExceeded" => {
            (TooLarge, "the items of one key are more than 10 GB")
        }
        "ValidationException" | "ValidationError" if is_about_size(message) => {
            (TooLarge, "more than DynamoDB can hold")
        }
        "ValidationException" | "ValidationError" => {
            (InvalidArgument, "DynamoDB refuses the request")
        }
        "RequestTooLargeException" | "PayloadTooLarge" => {
            (TooLarge, "more than DynamoDB takes in one request")
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
        _ => (Other, "DynamoDB answers with an error"),
    };
    let mut failed = Failed::new(kind, what, kind == Unavailable);
    failed.code = Some(code.to_owned().into());
    What::Failed(failed)
}

const NO_TABLE: &str =
    "there is no such table; `create_table=true` in the URL or `DynamoDb::create_table` makes it";
const CLOCK: &str =
    "the signature has expired or is not valid yet; is the clock of this machine right?";

/// What an answer without a code of DynamoDB's means: that of a proxy in between, or of another
/// server.
pub(super) fn by_status(status: u16) -> Failed {
    use ErrorKind::*;
    let (kind, what) = match status {
        401 | 403 | 407 => (AccessDenied, "the caller is refused, but not by DynamoDB"),
        408 => (Timeout, "the request did not arrive in time"),
        413 => (TooLarge, "more than the server takes in one request"),
        429 => (Throttled, "the server throttles"),
        400..=499 => (Other, "the server refuses the request; is it DynamoDB?"),
        500..=599 => (Unavailable, "the server failed"),
        _ => (Unavailable, UNREADABLE),
    };
    let mut failed = Failed::new(kind, what, is_unknown(status));
    failed.code = Some(format!("status {status}").into());
    failed
}

/// Whether a write may have been applied that was answered so: only a refusal says that it was not.
pub(super) fn is_unknown(status: u16) -> bool {
    !(400..500).contains(&status)
}

/// The messages of `InvalidSignatureException` about the time: "Signature expired: … is now earlier
/// than …", "Signature not yet current: …".
fn is_about_time(message: &str) -> bool {
    ["Signature expired", "Signature not yet current"].iter().any(|words| message.contains(words))
}

/// The messages of DynamoDB about limits of size. Their words are the only thing that tells them
/// from other refusals.
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
}
