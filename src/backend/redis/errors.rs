//! What Redis and the connection to it say, as errors of this library.

use crate::{Error, ErrorKind};
use ::redis::{RedisError, ServerError};
use std::error::Error as StdError;
use std::{fmt, io};

/// A refusal that the server has answered. What it refuses it has not applied.
#[cold]
pub(super) fn refused(error: &ServerError) -> Error {
    use ErrorKind::*;
    let details = error.details().unwrap_or_default();
    let (kind, message) = match error.code() {
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
        "ERR" if details.contains("user executing the script") => {
            (AccessDenied, "the server denies access")
        }
        // Before Redis 7, what a script was refused is quoted in a general error.
        "ERR" if details.contains("WRONGTYPE") => (WrongType, "the key holds another type"),
        "ERR" if details.contains("OOM command") => {
            (Unavailable, "the server is out of memory, and its policy is to evict nothing")
        }
        _ => (Other, "the server refused the command"),
    };
    Error::new(kind, message).with_source(said(Some(error.code()), details))
}

/// The connection was lost. Whether a write was applied cannot be known.
#[cold]
pub(super) fn lost(error: &RedisError) -> Error {
    if error.is_timeout() {
        timed_out()
    } else if is_cut_off(error) {
        Error::new(ErrorKind::Unavailable, "the connection was lost").with_source(cause(error))
    } else {
        // The client's own words quote the answer, and so might show data.
        Error::new(ErrorKind::Other, "the answer makes no sense")
    }
}

/// Whether the connection has ended, before an answer or in the middle of one.
pub(super) fn is_cut_off(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_connection_dropped()
        // How the parser reports that.
        || error.to_string().contains("Unexpected end of input")
}

/// The answer did not come in time. Whether a write was applied cannot be known.
#[cold]
pub(super) fn timed_out() -> Error {
    Error::new(ErrorKind::Timeout, "no answer came in time")
}

/// An answer of a shape that the command does not have.
#[cold]
pub(super) fn unexpected() -> Error {
    Error::new(ErrorKind::Other, "the server answered something that the command does not answer")
}

/// What the server says, as a source. Of a command that it does not know it would quote the
/// arguments.
pub(super) fn said(code: Option<&str>, details: &str) -> Said {
    let details = details.split(", with args beginning with").next().unwrap_or_default();
    Said(format!("{} {details}", code.unwrap_or_default()).trim().to_owned())
}

/// What the client says, as a source. The client's errors repeat themselves as their own sources.
pub(super) fn cause(error: &RedisError) -> Box<dyn StdError + Send + Sync> {
    match error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(io) => match io.raw_os_error() {
            Some(code) => Box::new(io::Error::from_raw_os_error(code)),
            None => Box::new(io::Error::new(io.kind(), io.to_string())),
        },
        None => Box::new(Said(error.to_string())),
    }
}

/// Words of a server or of the client.
#[derive(Debug)]
pub(super) struct Said(String);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Said {}
