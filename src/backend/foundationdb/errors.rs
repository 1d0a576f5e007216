//! Maps FoundationDB's error codes to ours.

use crate::{Error, ErrorKind};
use foundationdb::FdbError;

pub(super) const TRANSACTION_TOO_OLD: i32 = 1007;
pub(super) const TRANSACTION_TIMED_OUT: i32 = 1031;
pub(super) const INVALID_OPTION: i32 = 2007;
pub(super) const NETWORK_NOT_SETUP: i32 = 2008;
pub(super) const API_VERSION_UNSET: i32 = 2200;

/// The kind and the message of an error. The client's error, with the code, is the source.
fn meaning(code: i32) -> (ErrorKind, &'static str) {
    use ErrorKind::*;
    match code {
        1020 => {
            (Conflict, "another transaction changed rows that this one has read, on every attempt")
        }
        TRANSACTION_TOO_OLD => {
            (Conflict, "the transaction exceeded the five seconds that the cluster allows")
        }
        1009 | 1037 => (Unavailable, "a storage server of the cluster lags behind"),
        1021 | 1039 => {
            (Unavailable, "the cluster did not say whether the transaction was committed")
        }
        TRANSACTION_TIMED_OUT => (Timeout, "the cluster did not answer within the timeout"),
        1038 => (Unavailable, "the database is locked"),
        1042 | 1051 | 1078 | 1213 | 1223 | 1235 => (Throttled, "the cluster throttles requests"),
        1025 | 1100 | 1101 | 1500..1600 if !matches!(code, 1515 | 1516) => {
            (Unavailable, "the client library failed")
        }
        1515 | 1516 | 2104 => (InvalidArgument, "the cluster file is missing or invalid"),
        2101 => (TooLarge, "the transaction is larger than the cluster allows"),
        2102 | 2103 => (TooLarge, "a key or a value is larger than the cluster allows"),
        2004 => (InvalidArgument, "a key is outside of the allowed range"),
        6000..7000 => (AccessDenied, "the cluster denies access"),
        NETWORK_NOT_SETUP | 2009 | 2010 | 2025 | API_VERSION_UNSET..2210 => {
            (Unsupported, "the client library is not set up, or too old")
        }
        _ => (Other, "the cluster refused the request"),
    }
}

#[cold]
pub(super) fn translate(error: FdbError) -> Error {
    let (kind, sentence) = meaning(error.code());
    Error::new(kind, sentence).with_source(error)
}

/// The error of a failed commit.
#[cold]
pub(super) fn commit(error: FdbError) -> Error {
    let translated = translate(error);
    match is_known_not_committed(error) {
        true => translated,
        false => translated.with_unknown_outcome(),
    }
}

/// Whether the cluster or the client has refused the transaction. After any other error it may have
/// been committed: the reply may be lost, or the client may have stopped waiting for it.
pub(super) fn is_known_not_committed(error: FdbError) -> bool {
    // From 2000 on: refused by the client before sending, or by the cluster.
    error.is_retryable_not_committed() || matches!(error.code(), 1038 | 2000..7000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_committed_is_told_from_what_was_not() {
        for (code, kind, unknown) in [
            (1020, ErrorKind::Conflict, false),
            (1007, ErrorKind::Conflict, false),
            (1213, ErrorKind::Throttled, false),
            (2101, ErrorKind::TooLarge, false),
            (1021, ErrorKind::Unavailable, true),
            (1031, ErrorKind::Timeout, true),
            (1100, ErrorKind::Unavailable, true),
            (4100, ErrorKind::Other, false),
            (1, ErrorKind::Other, true),
        ] {
            let error = commit(FdbError::from_code(code));
            assert_eq!((error.kind(), error.outcome_is_unknown()), (kind, unknown), "{code}");
        }
    }
}
