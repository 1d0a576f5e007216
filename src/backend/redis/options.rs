//! [`RedisOptions`], and the URLs of Redis.

use super::client::Servers;
use super::cluster::Cluster;
use super::connect::{Connector, Timeouts};
use super::connection::{Connection, Failure};
use super::handshake::Role;
use super::keys::DefaultMark;
use super::{Redis, tls};
use crate::url::{duration, read_options};
use crate::{Error, ErrorKind, Result};
use ::redis::{ConnectionInfo, IntoConnectionInfo, ProtocolVersion};
use rustls::ClientConfig;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

/// How to connect to Redis.
///
/// | URL | |
/// |---|---|
/// | `redis://[user:password@]host[:port][/database]` | one server |
/// | `rediss://…` | the same with TLS |
/// | `redis+unix:///path[?db=1&user=…&pass=…]` | one server, through a Unix socket |
/// | `redis+cluster://[user:password@]host:port[,host:port…]` | a cluster, by some of its nodes |
/// | `rediss+cluster://…` | the same with TLS |
///
/// The options below can also be in the URL, after a `?`:
///
/// | in the URL | |
/// |---|---|
/// | `connect_timeout=500ms` | [`connect_timeout`](Self::connect_timeout) |
/// | `response_timeout=5s` | [`response_timeout`](Self::response_timeout) |
/// | `replica=host:port` | [`replica`](Self::replica); once for each replica |
/// | `fields_as_values=true` | [`fields_as_values`](Self::fields_as_values) |
///
/// One reachable node is enough to open a cluster.
/// `redis://` refuses a node of a cluster, which has only a part of the keys, and a Sentinel.
/// Servers and proxies must support RESP3 (`HELLO 3`), as Redis 6.2 and later do.
///
/// # TLS
///
/// The system's certificates at the time of `open` are trusted. The provider of cryptography is
/// rustls's default provider of the process (`CryptoProvider::install_default`), or ring if there
/// is none. The library installs none, so a program can install its own before or after.
///
/// ```no_run
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use keyvaluestore::{Store, backend::RedisOptions};
/// use std::time::Duration;
/// let options = RedisOptions::new().response_timeout(Duration::from_millis(500));
/// let redis = options.replica("10.0.0.2:6379").open("redis://10.0.0.1").await?;
/// let store = Store::new(redis);
/// store.set("k", "v").await?;
/// let _maybe_stale = store.eventually_consistent().get("k").await?;
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
            Timeouts { connect: Duration::from_secs(2), response: Duration::from_secs(10) };
        RedisOptions { timeouts, replicas: Vec::new(), fields_as_values: false }
    }
}

impl RedisOptions {
    /// The defaults: 2 seconds to connect, 10 seconds for a response, no replicas.
    pub fn new() -> Self {
        RedisOptions::default()
    }
    /// The timeout of connecting, sign-in included: the call fails with `Timeout`. Calls during the
    /// backoff after a failed attempt do not wait; see [Behavior](Redis#behavior).
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.connect = timeout;
        self
    }
    /// The timeout of a response: the call fails with `Timeout`. The outcome of a write is then
    /// unknown.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.response = timeout;
        self
    }
    /// Adds a replica, `host:port`, with the user, password, database and TLS of the primary. It
    /// answers the reads of [`eventually_consistent`](crate::Store::eventually_consistent) stores.
    /// If it cannot, the primary does, and the replica reconnects in the background. A cluster
    /// reports its replicas itself.
    pub fn replica(mut self, address: impl Into<String>) -> Self {
        self.replicas.push(address.into());
        self
    }
    /// Whether `zhget` and `zhrange` return the fields of a sorted set that has no value hash. If
    /// not, which is the default, they fail with `Corrupt`, as the set may have lost its values:
    /// see [Lost values](Redis#lost-values).
    ///
    /// Turn it on for sorted sets that the Go library has created without any value, and only on a
    /// server that evicts nothing. In a URL it is `fields_as_values=true`.
    pub fn fields_as_values(mut self, yes: bool) -> Self {
        self.fields_as_values = yes;
        self
    }
    /// Connects to the server or cluster that `url` names.
    ///
    /// # Errors
    /// - `InvalidArgument`: the URL cannot be parsed, or the server is of another kind than the URL
    ///   says.
    /// - `Unavailable`, `Timeout` or `AccessDenied`: there is no connection.
    /// - `Unsupported`: the server does not support `HELLO 3`, or there is no tokio runtime with
    ///   timers and I/O.
    pub async fn open(self, url: impl AsRef<str>) -> Result<Redis> {
        let url = url.as_ref();
        let (rest, options) = self.take_options(url)?;
        let default_mark =
            if options.fields_as_values { DefaultMark::Own } else { DefaultMark::Lost };
        let Some((scheme, address)) = rest.split_once("://") else {
            return Err(Error::invalid("the URL of Redis is `redis://host:port`"));
        };
        if rest.contains('#') {
            return Err(Error::invalid("the URL of Redis has no `#`; in a password it is `%23`"));
        }
        let tls = match scheme {
            "rediss" | "rediss+cluster" => Some(tls::client_config()?),
            _ => None,
        };
        let servers = match scheme {
            "redis+cluster" | "rediss+cluster" => options.cluster(address, tls)?,
            "redis" | "rediss" => options.one_server(&format!("redis://{address}"), tls)?,
            "redis+unix" => options.one_server(&rest, None)?,
            _ => {
                return Err(Error::invalid(format!("`{scheme}:` does not name a Redis server")));
            }
        };
        let connected = match &servers {
            Servers::One { primary, .. } => primary.connect().await,
            Servers::Cluster(cluster) => cluster.connect().await,
        };
        connected.map_err(|failure: Failure| failure.into_error(false))?;
        Ok(Redis::new(servers, default_mark))
    }

    /// Splits the URL into the part for the client library and the options of this library.
    fn take_options(mut self, url: &str) -> Result<(String, Self)> {
        let Some((address, query)) = url.split_once('?') else { return Ok((url.to_owned(), self)) };
        // The client library parses these.
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
                "response_timeout" => self.timeouts.response = duration(value)?,
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

    fn one_server(self, url: &str, tls: Option<Arc<ClientConfig>>) -> Result<Servers> {
        let info = info(url)?;
        let connection = |info: ConnectionInfo, tls: Option<Arc<ClientConfig>>| {
            Connection::new(Connector::new(info, tls, self.timeouts, Role::Standalone))
        };
        let mut replicas = Vec::with_capacity(self.replicas.len());
        for address in &self.replicas {
            let named = self::info(&format!("redis://{address}"))?;
            let settings = info.redis_settings().clone();
            replicas.push(connection(named.set_redis_settings(settings), tls.clone()));
        }
        Ok(Servers::One { primary: connection(info, tls), replicas, turn: AtomicUsize::new(0) })
    }

    fn cluster(self, address: &str, tls: Option<Arc<ClientConfig>>) -> Result<Servers> {
        if !self.replicas.is_empty() {
            return Err(Error::invalid("a cluster reports its replicas itself"));
        }
        let (credentials, hosts) = match address.rsplit_once('@') {
            Some((credentials, hosts)) => (format!("{credentials}@"), hosts),
            None => (String::new(), address),
        };
        let hosts = hosts.trim_end_matches('/');
        if hosts.contains('/') {
            return Err(Error::invalid("a cluster has only one database: its URL has no path"));
        }
        let seeds = hosts.split(',').map(|host| info(&format!("redis://{credentials}{host}")));
        Ok(Servers::Cluster(Cluster::new(seeds.collect::<Result<_>>()?, tls, self.timeouts)))
    }
}

/// Parses a URL of the client library.
fn info(url: &str) -> Result<ConnectionInfo> {
    let info = url.into_connection_info().map_err(invalid_url)?;
    // Nagle's algorithm stays on, the client's default: with many callers it saves a fifth of the
    // CPU time, and it does not delay a command, which is one write. RESP3 is needed to detect a
    // disconnect before the next call is sent.
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_redis_settings(settings))
}

// The client library's message quotes no part of the URL, which may have a password.
fn invalid_url(error: ::redis::RedisError) -> Error {
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
        assert_eq!(options.timeouts.response, Duration::from_secs(7));
    }
}
