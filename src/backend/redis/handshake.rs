//! Errors of connecting: TCP, TLS, `HELLO`, and a server of another role than the URL says. Each
//! error says what to change. No command of a caller was sent by then.

use super::errors::{cause, is_disconnect, server_text};
use crate::{Error, ErrorKind};
use ::redis::{ErrorKind as Kind, RedisError, Value as RespValue};
use std::io;

const IS_NODE: &str = "the server is a node of a cluster and has only a part of the keys; the URL \
                       of a cluster starts with `redis+cluster://`";

/// What the server is expected to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Standalone,
    ClusterNode,
    /// A cluster node that answers reads even if it is a replica (`READONLY`).
    ClusterReader,
}

/// The progress of an attempt.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    Connect,
    Tls,
    Hello,
}

#[cold]
pub(super) fn timed_out(stage: Stage) -> Error {
    Error::new(
        ErrorKind::Timeout,
        match stage {
            Stage::Connect => "the server did not accept the connection in time",
            Stage::Tls => {
                "the TLS handshake timed out; the URL of a port without TLS starts with `redis`, \
                 not `rediss`"
            }
            Stage::Hello => "the server accepted the connection but did not answer `HELLO` in time",
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
        Some(_) => (ErrorKind::Unavailable, "the TLS handshake failed"),
        None => (
            ErrorKind::Unavailable,
            "the server closed the connection during the TLS handshake; the URL of a port without \
             TLS starts with `redis`, not `rediss`",
        ),
    };
    Error::new(kind, message).with_source(error)
}

/// The server refused `HELLO`, or did not answer it.
#[cold]
pub(super) fn refused(error: &RedisError, password: Option<&str>) -> Error {
    let (kind, message) = match error.kind() {
        _ if is_disconnect(error) => (
            ErrorKind::Unavailable,
            "the server closed the connection at `HELLO`; the URL of a port with TLS starts with \
             `rediss`, and some proxies do not support `HELLO`, which this library needs",
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
        _ => hello_refused(error.code().unwrap_or_default(), error.detail().unwrap_or_default()),
    };
    let text = error.detail().unwrap_or_default();
    // Some servers quote the command, with the password.
    let is_secret =
        password.is_some_and(|password| !password.is_empty() && text.contains(password));
    match error.kind() {
        Kind::Io | Kind::Parse => Error::new(kind, message).with_source(cause(error)),
        _ if is_secret || text.is_empty() => Error::new(kind, message),
        _ => Error::new(kind, message).with_source(server_text(error.code(), text)),
    }
}

/// The server refused `SELECT`.
fn no_database(text: &str) -> (ErrorKind, &'static str) {
    if text.contains("out of range") {
        (ErrorKind::InvalidArgument, "the server has no database with that number")
    } else if text.contains("cluster mode") {
        (ErrorKind::InvalidArgument, IS_NODE)
    } else {
        (
            ErrorKind::Unsupported,
            "the server, or a proxy in front of it, has no databases (`SELECT`)",
        )
    }
}

/// The server refused `HELLO`. An error that is neither about the user nor about the state of the
/// server is about the command.
fn hello_refused(code: &str, text: &str) -> (ErrorKind, &'static str) {
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
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
            (ErrorKind::Unavailable, "the server has reached `maxclients`")
        }
        // From a proxy, about the server behind it.
        _ if says(&["upstream", "refused", "unavailable", "timeout", "timed out"]) => {
            (ErrorKind::Unavailable, "the server refused the connection")
        }
        _ => NO_HELLO,
    }
}

const NO_HELLO: (ErrorKind, &str) = (
    ErrorKind::Unsupported,
    "the server, or a proxy in front of it, refuses `HELLO 3`; Redis 6.2 and later support it",
);

#[cold]
fn no_hello() -> Error {
    Error::new(NO_HELLO.0, NO_HELLO.1)
}

/// Checks the `mode` in the answer to `HELLO`. A server that has none is accepted.
///
/// # Errors
/// `InvalidArgument` with the URL to use.
pub(super) fn check_role(hello: &RespValue, role: Role) -> Result<(), Error> {
    match (mode(hello), role) {
        (Some("cluster"), Role::Standalone) => Err(Error::invalid(IS_NODE)),
        (Some("sentinel"), _) => Err(Error::invalid(
            "the server is a Sentinel and has no keys; open the server that it monitors with \
             `redis://`, or a cluster with `redis+cluster://`",
        )),
        _ => Ok(()),
    }
}

/// `standalone`, `cluster` or `sentinel`.
fn mode(hello: &RespValue) -> Option<&str> {
    match hello {
        RespValue::Map(pairs) => pairs.iter().find(|(name, _)| text(name) == Some("mode")),
        _ => None,
    }
    .and_then(|(_, mode)| text(mode))
}

fn text(answer: &RespValue) -> Option<&str> {
    match answer {
        RespValue::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        RespValue::SimpleString(text) => Some(text),
        _ => None,
    }
}
