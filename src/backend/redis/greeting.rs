//! What goes wrong while a connection is made, as errors that say what to do about it. No command
//! was sent by then.

use super::connect::{Role, Stage};
use super::errors::{cause, is_cut_off, said};
use crate::{Error, ErrorKind};
use ::redis::{ErrorKind as Kind, RedisError, Value as Answer};
use std::io;

const IS_NODE: &str = "the server is a node of a cluster, which has a part of the keys; the URL of \
                       a cluster starts with `redis+cluster://`";

#[cold]
pub(super) fn timed_out(stage: Stage) -> Error {
    Error::new(
        ErrorKind::Timeout,
        match stage {
            Stage::Reach => "the server did not accept the connection in time",
            Stage::Tls => {
                "the server did not answer in TLS in time; the URL of a port without TLS starts \
                 with `redis`, not `rediss`"
            }
            Stage::Greeting => {
                "the server accepted the connection, and did not answer the greeting in time"
            }
        },
    )
}

#[cold]
pub(super) fn not_reached(error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the server cannot be reached").with_source(error)
}

#[cold]
pub(super) fn not_secured(error: io::Error) -> Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let (kind, message) = match inner {
        Some(rustls::Error::InvalidMessage(_)) => (
            ErrorKind::InvalidArgument,
            "the port does not speak TLS; its URL starts with `redis`, not `rediss`",
        ),
        Some(rustls::Error::InvalidCertificate(_)) => {
            (ErrorKind::AccessDenied, "the certificate of the server is not trusted")
        }
        Some(_) => (ErrorKind::Unavailable, "TLS with the server failed"),
        None => (
            ErrorKind::Unavailable,
            "the server closed the connection instead of answering in TLS; the URL of a port \
             without TLS starts with `redis`, not `rediss`",
        ),
    };
    Error::new(kind, message).with_source(error)
}

/// The server refused the greeting, or answered none.
#[cold]
pub(super) fn refused(error: &RedisError, password: Option<&str>) -> Error {
    let (kind, message) = match error.kind() {
        _ if is_cut_off(error) => (
            ErrorKind::Unavailable,
            "the server closed the connection at the greeting; the URL of a port with TLS starts \
             with `rediss`, and some proxies do so at `HELLO`, which this library needs",
        ),
        Kind::Parse => (
            ErrorKind::Unsupported,
            "the server does not speak the protocol of Redis; the URL of a port with TLS starts \
             with `rediss`",
        ),
        Kind::AuthenticationFailed => (ErrorKind::AccessDenied, "the server denies access"),
        Kind::RESP3NotSupported => return no_hello(),
        Kind::InvalidClientConfig => (ErrorKind::InvalidArgument, "the URL cannot be used"),
        _ if error.to_string().starts_with("Redis server refused to switch database") => {
            no_database(error.detail().unwrap_or_default())
        }
        _ => no_greeting(error.code().unwrap_or_default(), error.detail().unwrap_or_default()),
    };
    let told = error.detail().unwrap_or_default();
    // Some servers quote what they were sent.
    let is_secret =
        password.is_some_and(|password| !password.is_empty() && told.contains(password));
    match error.kind() {
        Kind::Io | Kind::Parse => Error::new(kind, message).with_source(cause(error)),
        _ if is_secret || told.is_empty() => Error::new(kind, message),
        _ => Error::new(kind, message).with_source(said(error.code(), told)),
    }
}

/// What the server says to `SELECT`.
fn no_database(told: &str) -> (ErrorKind, &'static str) {
    if told.contains("out of range") {
        (ErrorKind::InvalidArgument, "the server has no database of that number")
    } else if told.contains("cluster mode") {
        (ErrorKind::InvalidArgument, IS_NODE)
    } else {
        (ErrorKind::Unsupported, "the server, or a proxy before it, has no databases (`SELECT`)")
    }
}

/// What the server says to `HELLO`. Words that are neither about the user nor about the state of
/// the server are about the command.
fn no_greeting(code: &str, told: &str) -> (ErrorKind, &'static str) {
    let says = |words: &[&str]| words.iter().any(|word| told.contains(word));
    match code {
        "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED" => {
            (ErrorKind::AccessDenied, "the server denies access")
        }
        "LOADING" => (ErrorKind::Unavailable, "the server is loading its data"),
        "MASTERDOWN" | "BUSY" | "CLUSTERDOWN" | "MISCONF" | "TRYAGAIN" | "OOM" => {
            (ErrorKind::Unavailable, "the server refused the connection")
        }
        _ if says(&["unknown command"]) => NO_HELLO,
        _ if says(&["password", "not permitted", "uthenticat"]) => {
            (ErrorKind::AccessDenied, "the server denies access")
        }
        _ if says(&["max number of clients"]) => {
            (ErrorKind::Unavailable, "the server has as many clients as it allows")
        }
        // A proxy, of the server behind it.
        _ if says(&["upstream", "refused", "unavailable", "timeout", "timed out"]) => {
            (ErrorKind::Unavailable, "the server refused the connection")
        }
        _ => NO_HELLO,
    }
}

const NO_HELLO: (ErrorKind, &str) = (
    ErrorKind::Unsupported,
    "the server, or a proxy before it, refuses `HELLO 3`; Redis 6.2 and later know it",
);

#[cold]
fn no_hello() -> Error {
    Error::new(NO_HELLO.0, NO_HELLO.1)
}

/// Whether the server that answers `HELLO` is of use in its role. What does not say what it is
/// passes.
///
/// # Errors
/// `InvalidArgument`, saying which URL is meant.
pub(super) fn check_mode(hello: &Answer, role: Role) -> Result<(), Error> {
    match (mode(hello), role) {
        (Some("cluster"), Role::Alone) => Err(Error::invalid(IS_NODE)),
        (Some("sentinel"), _) => Err(Error::invalid(
            "the server is a Sentinel, which has no keys; name the server that it watches with \
             `redis://`, or a cluster with `redis+cluster://`",
        )),
        _ => Ok(()),
    }
}

/// `standalone`, `cluster` or `sentinel`.
fn mode(hello: &Answer) -> Option<&str> {
    match hello {
        Answer::Map(pairs) => pairs.iter().find(|(name, _)| text(name) == Some("mode")),
        _ => None,
    }
    .and_then(|(_, mode)| text(mode))
}

fn text(answer: &Answer) -> Option<&str> {
    match answer {
        Answer::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Answer::SimpleString(text) => Some(text),
        _ => None,
    }
}
