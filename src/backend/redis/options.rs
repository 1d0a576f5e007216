//! [`RedisOptions`], and the URLs that Redis is named by.

use super::cluster::Cluster;
use super::commands::Bare;
use super::connect::{Connector, Role, Timeouts, tls};
use super::link::{Failure, Link};
use super::{Redis, Servers};
use crate::url::{duration, read_options};
use crate::{Error, ErrorKind, Result};
use ::redis::{ConnectionInfo, IntoConnectionInfo, ProtocolVersion};
use rustls::ClientConfig;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

/// How to reach Redis.
///
/// | URL | |
/// |---|---|
/// | `redis://[user:password@]host[:port][/database]` | one server |
/// | `rediss://…` | the same through TLS, see below |
/// | `redis+unix:///path[?db=1&user=…&pass=…]` | one server, through its socket |
/// | `redis+cluster://[user:password@]host:port[,host:port…]` | a cluster; one server that answers is enough |
/// | `rediss+cluster://…` | the same through TLS |
///
/// Behind a `?` come the same options as here: `connect_timeout=500ms`, `response_timeout=5s`, and
/// `replica=host:port`, as often as there are replicas; and `fields_as_values=true`.
///
/// A node of a cluster is not opened as `redis://`, which would find a part of the keys, nor is a
/// Sentinel. Servers and proxies have to know RESP3 (`HELLO 3`), as Redis 6.2 and later do.
///
/// # TLS
///
/// The certificates are those that the system trusts when the store is opened. The provider of
/// cryptography is the default that the process has installed in rustls
/// (`CryptoProvider::install_default`), or ring if there is none. The library installs none, so
/// that a program can install its own before or after.
///
/// ```no_run
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use keyvaluestore::{Store, backend::RedisOptions};
/// use std::time::Duration;
/// let options = RedisOptions::new().response_timeout(Duration::from_millis(500));
/// let redis = options.replica("10.0.0.2:6379").open("redis://10.0.0.1").await?;
/// let store = Store::new(redis);
/// store.set("k", "v").await?;
/// let _perhaps_old = store.eventually_consistent().get("k").await?;
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct RedisOptions {
    timeouts: Timeouts,
    replicas: Vec<String>,
    fields_as_values: bool,
}

impl Default for RedisOptions {
    fn default() -> Self {
        let timeouts =
            Timeouts { connect: Duration::from_secs(2), answer: Duration::from_secs(10) };
        RedisOptions { timeouts, replicas: Vec::new(), fields_as_values: false }
    }
}

impl RedisOptions {
    /// The default: 2 seconds to connect, 10 to answer, no replicas.
    pub fn new() -> Self {
        RedisOptions::default()
    }
    /// How long to wait for a connection, sign-in included, before a call fails with `Timeout`.
    /// Calls after one that fails wait for nothing; see [`Redis`].
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.connect = timeout;
        self
    }
    /// How long to wait for an answer before a call fails with `Timeout`. Of a write it is then not
    /// known whether it was applied.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.answer = timeout;
        self
    }
    /// Names a replica by `host:port`. It answers reads of
    /// [`eventually_consistent`](crate::Store::eventually_consistent) stores, and the primary does
    /// where it cannot. One that has failed is asked again when it is connected again, which
    /// happens in the background. User, password, database and TLS are the primary's. A cluster
    /// names its replicas itself.
    pub fn replica(mut self, address: impl Into<String>) -> Self {
        self.replicas.push(address.into());
        self
    }
    /// Whether `zhget` and `zhrange` answer the fields of a sorted set that has no companion hash.
    /// Otherwise, which is the default, they return `Corrupt`, as the set may have lost its values:
    /// see [Lost values](Redis#lost-values).
    ///
    /// Turn it on for sorted sets that the Go library has made without any value, and only on a
    /// server that evicts nothing. In a URL it is `fields_as_values=true`.
    pub fn fields_as_values(mut self, yes: bool) -> Self {
        self.fields_as_values = yes;
        self
    }
    /// Connects to the server or cluster that `url` names.
    ///
    /// # Errors
    /// `InvalidArgument` for a URL that cannot be read, and for a server that is of another kind
    /// than the URL says; `Unavailable`, `Timeout` or `AccessDenied` if no connection can be made;
    /// `Unsupported` if the server does not know `HELLO 3`, or without a tokio runtime that has
    /// timers and I/O.
    pub async fn open(self, url: impl AsRef<str>) -> Result<Redis> {
        let url = url.as_ref();
        let (rest, options) = self.take_options(url)?;
        let bare = if options.fields_as_values { Bare::Own } else { Bare::Lost };
        let Some((scheme, address)) = rest.split_once("://") else {
            return Err(Error::invalid("the URL of Redis is `redis://host:port`"));
        };
        if rest.contains('#') {
            return Err(Error::invalid("the URL of Redis has no `#`; in a password it is `%23`"));
        }
        let tls = match scheme {
            "rediss" | "rediss+cluster" => Some(tls()?),
            _ => None,
        };
        let servers = match scheme {
            "redis+cluster" | "rediss+cluster" => options.cluster(address, tls)?,
            "redis" | "rediss" => options.one(&format!("redis://{address}"), tls)?,
            "redis+unix" => options.one(&rest, None)?,
            _ => {
                return Err(Error::invalid(format!("`{scheme}:` does not name a Redis server")));
            }
        };
        let connected = match &servers {
            Servers::One { primary, .. } => primary.connect().await,
            Servers::Cluster(cluster) => cluster.connect().await,
        };
        connected.map_err(|failure: Failure| failure.into_error(false))?;
        Ok(Redis::new(servers, bare))
    }

    /// Takes the options that are ours out of the URL.
    fn take_options(mut self, url: &str) -> Result<(String, Self)> {
        let Some((address, query)) = url.split_once('?') else { return Ok((url.to_owned(), self)) };
        // The client reads these itself.
        let is_other = |pair: &&str| {
            ["db", "user", "pass", "protocol"].contains(&pair.split('=').next().unwrap_or_default())
        };
        let (others, ours): (Vec<&str>, Vec<&str>) = query.split('&').partition(is_other);
        let known = [
            "connect_timeout=500ms",
            "response_timeout=5s",
            "replica=host:port",
            "db=1",
            "fields_as_values=true",
        ];
        read_options(&ours.join("&"), "Redis", &known, |name, value, _| {
            match name {
                "connect_timeout" => self.timeouts.connect = duration(value)?,
                "response_timeout" => self.timeouts.answer = duration(value)?,
                "replica" if !value.is_empty() => self.replicas.push(value.to_owned()),
                "fields_as_values" => self.fields_as_values = value.parse().ok()?,
                _ => return None,
            }
            Some(())
        })?;
        let query =
            if others.is_empty() { String::new() } else { format!("?{}", others.join("&")) };
        Ok((format!("{address}{query}"), self))
    }

    fn one(self, url: &str, tls: Option<Arc<ClientConfig>>) -> Result<Servers> {
        let info = info(url)?;
        let link = |info: ConnectionInfo, tls: Option<Arc<ClientConfig>>| {
            Link::new(Connector::new(info, tls, self.timeouts, Role::Alone))
        };
        let mut replicas = Vec::with_capacity(self.replicas.len());
        for address in &self.replicas {
            let named = self::info(&format!("redis://{address}"))?;
            let settings = info.redis_settings().clone();
            replicas.push(link(named.set_redis_settings(settings), tls.clone()));
        }
        Ok(Servers::One { primary: link(info, tls), replicas, turn: AtomicUsize::new(0) })
    }

    fn cluster(self, address: &str, tls: Option<Arc<ClientConfig>>) -> Result<Servers> {
        if !self.replicas.is_empty() {
            return Err(Error::invalid("a cluster tells its replicas itself"));
        }
        let (credentials, hosts) = match address.rsplit_once('@') {
            Some((credentials, hosts)) => (format!("{credentials}@"), hosts),
            None => (String::new(), address),
        };
        let hosts = hosts.trim_end_matches('/');
        if hosts.contains('/') {
            return Err(Error::invalid("a cluster has one database, and its URL no path"));
        }
        let seeds = hosts.split(',').map(|host| info(&format!("redis://{credentials}{host}")));
        Ok(Servers::Cluster(Cluster::new(seeds.collect::<Result<_>>()?, tls, self.timeouts)))
    }
}

/// How to connect, by a URL of the client library.
fn info(url: &str) -> Result<ConnectionInfo> {
    let info = url.into_connection_info().map_err(unreadable)?;
    // Nagle's algorithm stays on, as the client has it: with many callers it saves a fifth of the
    // processor time, and one command is one write, which it does not delay. RESP3 is how a
    // connection tells that it was lost before the next call is sent.
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_redis_settings(settings))
}

// The library's message quotes no part of the URL, which may hold a password.
fn unreadable(error: ::redis::RedisError) -> Error {
    Error::new(ErrorKind::InvalidArgument, "the URL of Redis cannot be read").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn what_is_no_url_of_redis_is_refused_without_its_secrets() {
        for (url, says) in [
            ("redis://u:secret@h:port/", "cannot be read"),
            ("redis:h", "redis://host:port"),
            ("redis://u:secret@h/x", "cannot be read"),
            ("rediss://u:secret@h/#insecure", "`%23`"),
            ("redis://u:sec#ret@h/", "`%23`"),
            ("redis://u:secret@h?response_timeout=5", "`response_timeout=5s`"),
            ("redis://u:secret@h?response_timeout=0s", "`response_timeout=5s`"),
            ("redis://u:secret@h?timeout=5s", "`timeout` is no option"),
            ("redis+cluster://u:secret@h:1,h:2/1", "one database"),
            ("redis+cluster://u:secret@h:1,h:x", "cannot be read"),
            ("redis+cluster://u:secret@h:1?replica=h:2", "itself"),
        ] {
            let error = RedisOptions::new().open(url).now_or_never().unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{url}");
            assert!(error.to_string().contains(says), "{url}: {error}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn options_are_read_and_the_rest_is_left() {
        let url =
            "redis://h?db=1&connect_timeout=300ms&replica=r:1&replica=r%3a2&response_timeout=7s";
        let (rest, options) = RedisOptions::new().take_options(url).unwrap();
        assert_eq!(rest, "redis://h?db=1");
        assert_eq!(options.replicas, ["r:1", "r:2"]);
        assert_eq!(options.timeouts.connect, Duration::from_millis(300));
        assert_eq!(options.timeouts.answer, Duration::from_secs(7));
    }
}
