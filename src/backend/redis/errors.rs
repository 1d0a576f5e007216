//! What Redis and the connection to it say, as errors of this library.

use crate::{Error, ErrorKind};
use ::redis::{RedisError, ServerError};

/// What the scripts answer as `KVSLOST`.
const LOST: &str = "the value is lost: the hash that holds the values of the sorted set was evicted, has \
                    expired, or was deleted or left behind from outside";

/// The codes that a refusal within a script may have.
const CODES: [&str; 7] =
    ["WRONGTYPE", "OOM", "READONLY", "NOPERM", "MISCONF", "NOREPLICAS", "MASTERDOWN"];

/// The code of a refusal, wherever the server puts it.
///
/// What a script was refused has its code in front, from Redis 7 on. Before that it is the last part of another
/// message: `ERR Error running script (…): @user_script:1: @user_script: 1: -OOM …`, or, where the script has
/// caught it, `@user_script: 1: -OOM …`. A denied permission has lost its code in all versions.
pub(super) fn code(error: &ServerError) -> &str {
    let (code, details) = (error.code(), error.details().unwrap_or_default());
    if code != "ERR" && !code.starts_with("@user_script") {
        return code;
    }
    if details.contains("ACL failure in script") || details.contains("user executing the script") {
        return "NOPERM";
    }
    let last = details.rsplit(": ").next().unwrap_or_default();
    let word = last.trim_start_matches('-').split(' ').next().unwrap_or_default();
    if CODES.contains(&word) { word } else { code }
}

/// A refusal that the server has answered. What it refuses it has not applied.
#[cold]
pub(super) fn refused(error: &ServerError) -> Error {
    use ErrorKind::*;
    let details = error.details().unwrap_or_default();
    let (kind, message) = match code(error) {
        "KVSLOST" => (Corrupt, LOST),
        "WRONGTYPE" => (WrongType, "the key holds another type"),
        "OOM" => (Unavailable, "the server is out of memory, and its policy is to evict nothing"),
        "READONLY" => (Unavailable, "the server is a read-only replica"),
        "LOADING" => (Unavailable, "the server is loading its data"),
        "MASTERDOWN" => (Unavailable, "the replica has lost its primary"),
        "MISCONF" => (Unavailable, "the server cannot write to its disk, and so refuses writes"),
        "NOREPLICAS" => (Unavailable, "too few replicas are in sync, and so writes are refused"),
        "CLUSTERDOWN" => (Unavailable, "the cluster is down"),
        "TRYAGAIN" | "MOVED" | "ASK" => (Unavailable, "the slot of the key is on the move"),
        "BUSY" => (Unavailable, "the server is busy with a script"),
        "NOAUTH" | "WRONGPASS" | "NOPERM" => (AccessDenied, "the server denies access"),
        "ERR" if details.contains("not an integer") => {
            (WrongType, "the string is not a decimal integer")
        }
        "ERR" if details.contains("would overflow") => {
            (Overflow, "the sum does not fit into 64 bits")
        }
        "ERR" if details.contains("not a number (NaN)") => {
            (Overflow, "the new score is not a number")
        }
        "ERR" if details.contains("max number of clients") => {
            (Unavailable, "the server has as many clients as it allows")
        }
        "ERR" if details.contains("maximum allowed size") => {
            (TooLarge, "the string is longer than the server allows")
        }
        _ => (Other, "the server refused the command"),
    };
    // As a source it may quote what the server says, which names no keys or values.
    Error::new(kind, message).with_source(RedisError::from(error.clone()))
}

/// No connection could be made: nothing was sent.
#[cold]
pub(super) fn not_connected(error: RedisError) -> Error {
    use ::redis::ErrorKind as Kind;
    let (kind, message) = match error.kind() {
        Kind::AuthenticationFailed => (ErrorKind::AccessDenied, "the server denies access"),
        Kind::RESP3NotSupported => {
            (ErrorKind::Unsupported, "the server is older than Redis 6.2, and cannot be used")
        }
        Kind::InvalidClientConfig => (ErrorKind::InvalidArgument, "the URL cannot be used"),
        Kind::Server(_) | Kind::Extension => match error.code() {
            Some("NOAUTH" | "WRONGPASS" | "NOPERM") => {
                (ErrorKind::AccessDenied, "the server denies access")
            }
            Some("LOADING") => (ErrorKind::Unavailable, "the server is loading its data"),
            _ if error.to_string().contains("DB index is out of range") => {
                (ErrorKind::InvalidArgument, "the server has no database of that number")
            }
            _ if error.to_string().contains("invalid password") => {
                (ErrorKind::AccessDenied, "the server denies access")
            }
            _ => (ErrorKind::Unavailable, "the server refused the connection"),
        },
        _ if error.is_timeout() => {
            (ErrorKind::Timeout, "the server did not accept the connection in time")
        }
        _ => (ErrorKind::Unavailable, "the server cannot be reached"),
    };
    Error::new(kind, message).with_source(error)
}

/// The connection was lost, or the answer did not come in time. Whether a write was applied cannot be known.
#[cold]
pub(super) fn lost(error: RedisError) -> Error {
    if error.is_timeout() {
        Error::new(ErrorKind::Timeout, "no answer came in time").with_source(error)
    } else if error.is_io_error()
        || error.is_connection_dropped()
        // Which is how an answer that is cut in the middle is told.
        || error.to_string().contains("Unexpected end of input")
    {
        Error::new(ErrorKind::Unavailable, "the connection was lost").with_source(error)
    } else {
        // The client's own words quote the answer, and so might show data.
        Error::new(ErrorKind::Other, "the answer makes no sense")
    }
}

/// An answer of a shape that the command does not have.
#[cold]
pub(super) fn unexpected() -> Error {
    Error::new(ErrorKind::Other, "the server answered something that the command does not answer")
}
