//! [`RedisOptions`], and the URLs that Redis is named by.

use super::cluster::Cluster;
use super::commands::Bare;
use super::link::{Failure, Link, Patience};
use super::{Redis, Servers};
use crate::url::{duration, read_options};
use crate::{Error, ErrorKind, Result};
use ::redis::{Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

/// How to reach Redis.
///
/// | URL | |
/// |---|---|
/// | `redis://[user:password@]host[:port][/database]` | one server |
/// | `rediss://…` | the same through TLS, with the certificates that the system trusts |
/// | `redis+unix:///path[?db=1&user=…&pass=…]` | one server, through its socket |
/// | `redis+cluster://[user:password@]host:port[,host:port…]` | a cluster; one server that answers is enough |
/// | `rediss+cluster://…` | the same through TLS |
///
/// Behind a `?` come the same options as here: `connect_timeout=500ms`, `response_timeout=5s`, and
/// `replica=host:port`, as often as there are replicas; and `fields_as_values=true`.
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
    patience: Patience,
    replicas: Vec<String>,
    fields_as_values: bool,
}

impl Default for RedisOptions {
    fn default() -> Self {
        let patience =
            Patience { connect: Duration::from_secs(2), answer: Duration::from_secs(10) };
        RedisOptions { patience, replicas: Vec::new(), fields_as_values: false }
    }
}

impl RedisOptions {
    /// The default: 2 seconds to connect, 10 to answer, no replicas.
    pub fn new() -> Self {
        RedisOptions::default()
    }
    /// How long to wait for a connection, sign-in included, before a call fails with `Timeout`.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.patience.connect = timeout;
        self
    }
    /// How long to wait for an answer before a call fails with `Timeout`. Of a write it is then not known whether it was
    /// applied.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.patience.answer = timeout;
        self
    }
    /// Names a replica by `host:port`. It answers reads of
    /// [`eventually_consistent`](crate::Store::eventually_consistent) stores, and the primary does where it cannot; one that has
    /// failed is left alone for a second. User, password, database and TLS are the primary's. A cluster tells its replicas
    /// itself.
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
    /// `InvalidArgument` for a URL that cannot be read, `Unavailable`, `Timeout` or `AccessDenied` if no connection can be
    /// made.
    pub async fn open(self, url: impl AsRef<str>) -> Result<Redis> {
        let url = url.as_ref();
        let (rest, options) = self.take_options(url)?;
        let bare = if options.fields_as_values { Bare::Own } else { Bare::Lost };
        let Some((scheme, address)) = rest.split_once("://") else {
            return Err(Error::invalid("the URL of Redis is `redis://host:port`"));
        };
        let servers = match scheme {
            "redis+cluster" => options.cluster("redis", address)?,
            "rediss+cluster" => options.cluster("rediss", address)?,
            "redis" | "rediss" | "redis+unix" => options.one(&rest)?,
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
                "connect_timeout" => self.patience.connect = duration(value)?,
                "response_timeout" => self.patience.answer = duration(value)?,
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

    fn one(self, url: &str) -> Result<Servers> {
        let info = info(url)?;
        let mut replicas = Vec::with_capacity(self.replicas.len());
        for address in &self.replicas {
            let scheme = if url.starts_with("rediss:") { "rediss" } else { "redis" };
            let named = self::info(&format!("{scheme}://{address}"))?;
            let settings = info.redis_settings().clone();
            replicas.push(self.link(named.set_redis_settings(settings))?);
        }
        Ok(Servers::One { primary: self.link(info)?, replicas, turn: AtomicUsize::new(0) })
    }

    fn link(&self, info: ConnectionInfo) -> Result<Link> {
        Ok(Link::new(Client::open(info).map_err(unreadable)?, self.patience, false))
    }

    fn cluster(self, scheme: &str, address: &str) -> Result<Servers> {
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
        let seeds = hosts.split(',').map(|host| info(&format!("{scheme}://{credentials}{host}")));
        Ok(Servers::Cluster(Cluster::new(seeds.collect::<Result<_>>()?, self.patience)))
    }
}

/// How to connect, by a URL of the client library.
fn info(url: &str) -> Result<ConnectionInfo> {
    if url.starts_with("rediss:") {
        // TLS needs a provider; one that the program has installed itself is kept.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let info = url.into_connection_info().map_err(unreadable)?;
    // Nagle's algorithm stays on, as the client has it: with many callers it saves a fifth of the processor time, and one
    // command is one write, which it does not delay.
    // RESP3 is how a connection tells that it was lost before the next call is sent.
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
        assert_eq!(options.patience.connect, Duration::from_millis(300));
        assert_eq!(options.patience.answer, Duration::from_secs(7));
    }
}
