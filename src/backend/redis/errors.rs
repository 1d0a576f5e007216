//! Errors of Redis and of the connection, as errors of this library.

use crate::{Error, ErrorKind};
use ::redis::{RedisError, ServerError};
use std::error::Error as StdError;
use std::{fmt, io};

/// The message for the code `KVSLOST` of the scripts.
const LOST: &str = "the value is lost: the hash with the values of the sorted set was evicted, has \
                    expired, or was deleted or left behind by another program";

/// The error codes that a command within a script may have.
const CODES: [&str; 7] =
    ["WRONGTYPE", "OOM", "READONLY", "NOPERM", "MISCONF", "NOREPLICAS", "MASTERDOWN"];

/// The code of a server error, also of one within a script.
///
/// From Redis 7 on, an error within a script starts with its code. Before, the code is in the last
/// part of the message: `ERR Error running script (…): @user_script:1: @user_script: 1: -OOM …`,
/// or, if the script catches the error, `@user_script: 1: -OOM …`. A denied permission has no code
/// in any version.
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

/// A server error. The server has not applied the command.
#[cold]
pub(super) fn refused(error: &ServerError) -> Error {
    use ErrorKind::*;
    let details = error.details().unwrap_or_default();
    let (kind, message) = match code(error) {
        "KVSLOST" => (Corrupt, LOST),
        "WRONGTYPE" => (WrongType, "the key holds another type"),
        "OOM" => {
            (Unavailable, "the server is out of memory, and its `maxmemory-policy` evicts nothing")
        }
        "READONLY" => (Unavailable, "the server is a read-only replica"),
        "LOADING" => (Unavailable, "the server is loading its data"),
        "MASTERDOWN" => (Unavailable, "the replica has lost its primary"),
        "MISCONF" => (Unavailable, "the server refuses writes, as it cannot write to its disk"),
        "NOREPLICAS" => (Unavailable, "the server refuses writes, as too few replicas are in sync"),
        "CLUSTERDOWN" => (Unavailable, "the cluster is down"),
        "TRYAGAIN" | "MOVED" | "ASK" => (Unavailable, "the slot of the key is being moved"),
        "BUSY" => (Unavailable, "the server is busy running a script"),
        "NOAUTH" | "WRONGPASS" | "NOPERM" => (AccessDenied, "the server denies access"),
        "ERR" if details.contains("not an integer") => {
            (WrongType, "the string is not a decimal integer")
        }
        "ERR" if details.contains("would overflow") => {
            (Overflow, "the sum does not fit in 64 bits")
        }
        "ERR" if details.contains("not a number (NaN)") => {
            (Overflow, "the new score is not a number")
        }
        "ERR" if details.contains("max number of clients") => {
            (Unavailable, "the server has reached `maxclients`")
        }
        "ERR" if details.contains("maximum allowed size") => {
            (TooLarge, "the string is longer than the server allows")
        }
        _ => (Other, "the server refused the command"),
    };
    Error::new(kind, message).with_source(server_text(Some(error.code()), details))
}

/// The connection was lost. The outcome of a write is unknown.
#[cold]
pub(super) fn lost(error: &RedisError) -> Error {
    if error.is_timeout() {
        timed_out()
    } else if is_disconnect(error) {
        Error::new(ErrorKind::Unavailable, "the connection was lost").with_source(cause(error))
    } else {
        // The client's error is not the source: it quotes the answer, which may have user data.
        Error::new(ErrorKind::Other, "the server's reply cannot be parsed")
    }
}

/// Whether the connection was closed, before an answer or in the middle of one.
pub(super) fn is_disconnect(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_connection_dropped()
        // The parser's error for an answer that ends early.
        || error.to_string().contains("Unexpected end of input")
}

/// The response timeout. The outcome of a write is unknown.
#[cold]
pub(super) fn timed_out() -> Error {
    Error::new(ErrorKind::Timeout, "the server did not answer in time")
}

/// The reply has a type or shape that the command never returns.
#[cold]
pub(super) fn unexpected() -> Error {
    Error::new(ErrorKind::Other, "the server's reply has another type than the command returns")
}

/// The server's text, as a source. For an unknown command Redis quotes the arguments: they are cut
/// off.
pub(super) fn server_text(code: Option<&str>, details: &str) -> Text {
    let details = details.split(", with args beginning with").next().unwrap_or_default();
    Text(format!("{} {details}", code.unwrap_or_default()).trim().to_owned())
}

/// The client's error, as a source. Without its own source, which has the same text.
pub(super) fn cause(error: &RedisError) -> Box<dyn StdError + Send + Sync> {
    match error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(io) => match io.raw_os_error() {
            Some(code) => Box::new(io::Error::from_raw_os_error(code)),
            None => Box::new(io::Error::new(io.kind(), io.to_string())),
        },
        None => Box::new(Text(error.to_string())),
    }
}

/// An error text of the server or of the client.
#[derive(Debug)]
pub(super) struct Text(String);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Text {}

#[cfg(test)]
mod tests {
    use super::*;
    use ::redis::Value;

    /// The texts of Redis 6.2.14, 7.0.15 and 8.2.3, for `redis.call` and `redis.pcall`.
    #[test]
    fn a_refusal_within_a_script_is_recognised_in_every_version() {
        use ErrorKind::*;
        let kinds = [
            ("-OOM command not allowed when used memory > 'maxmemory'.", Unavailable),
            ("-READONLY You can't write against a read only replica.", Unavailable),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", WrongType),
            ("-NOREPLICAS Not enough good replicas to write.", Unavailable),
            ("The user executing the script can't run this command or subcommand", AccessDenied),
        ];
        let mut texts = Vec::new();
        for (said, kind) in kinds {
            let error = "ERR Error running script (call to f_37df): @user_script:1: ";
            texts.push((format!("{error}@user_script: 1: {said}"), kind));
            texts.push((format!("@user_script: 1: {said}"), kind));
        }
        let wrong = "WRONGTYPE Operation against a key holding the wrong kind of value";
        texts.push((
            format!("ERR Error running script (call to f_37df): @user_script:1: {wrong}"),
            WrongType,
        ));
        for text in [
            "ERR The user executing the script can't access at least one of the keys mentioned in \
             the command arguments script: 37df, on @user_script:1.",
            "ERR ACL failure in script: User u has no permissions to run the 'zadd' command",
            "NOPERM this user has no permissions to run the 'set' command",
        ] {
            texts.push((text.to_owned(), AccessDenied));
        }
        texts.push((
            "OOM command not allowed. script: 897a, on @user_script:1.".into(),
            Unavailable,
        ));
        texts.push(("ERR something else: -OOMPH happened".into(), Other));
        texts.push(("KVSLOST value".into(), Corrupt));
        for (text, kind) in texts {
            let answer = ::redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap();
            let Value::ServerError(error) = answer else { panic!("{text}") };
            let error = refused(&error);
            assert_eq!(error.kind(), kind, "{text}");
            assert!(!error.outcome_is_unknown());
        }
    }
}
