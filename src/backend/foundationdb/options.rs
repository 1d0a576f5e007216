//! [`FoundationDbOptions`], and the URL of a cluster.

use super::{FoundationDb, network};
use crate::url::{decoded, duration, read_options};
use crate::{Error, Result};
use foundationdb::tuple::Subspace;
use std::time::Duration;

/// Options of a [`FoundationDb`] store: timeout, attempts, URL.
///
/// # URLs
///
/// `foundationdb:` and the path of a cluster file, or nothing for the default one. Options follow
/// after a `?`, separated by `&`:
///
/// | option | default | |
/// |---|---|---|
/// | `subspace=app/users` | the whole database | the subspace of the tuple `("app", "users")` |
/// | `timeout=5s` | 10 s | [`timeout`](Self::timeout) |
/// | `max_attempts=20` | 100 | [`max_attempts`](Self::max_attempts) |
#[derive(Clone, Debug)]
#[must_use]
pub struct FoundationDbOptions {
    pub(super) timeout: Duration,
    pub(super) max_attempts: u32,
    subspace: Vec<String>,
}

impl Default for FoundationDbOptions {
    fn default() -> Self {
        FoundationDbOptions {
            timeout: Duration::from_secs(10),
            max_attempts: 100,
            subspace: Vec::new(),
        }
    }
}

impl FoundationDbOptions {
    /// The default options.
    pub fn new() -> Self {
        FoundationDbOptions::default()
    }
    /// The timeout of a transaction with all its retries. 10 seconds by default. If a long read
    /// continues at a newer state, its timeout starts anew.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
    /// The maximum number of attempts of a transaction that conflicts; 1 disables retries. 100 by
    /// default. The client's backoff grows up to 500 ms.
    pub fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.max_attempts = max_attempts.max(1);
        self
    }

    pub(super) fn timeout_millis(&self) -> i32 {
        i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX).max(1)
    }

    /// Opens the cluster of `url`. Nothing is sent yet. The first call in a process starts the
    /// client's network thread. All stores share it, and it runs until the process exits.
    ///
    /// # Errors
    /// `InvalidArgument` for a malformed URL or a missing cluster file; `Unsupported` if the client
    /// library is too old.
    pub async fn open(self, url: impl AsRef<str>) -> Result<FoundationDb> {
        let (path, options) = self.read(url.as_ref())?;
        let subspace = match &options.subspace[..] {
            [] => Subspace::all(),
            names => names.iter().fold(Subspace::all(), |within, name| within.subspace(name)),
        };
        let database = network::database(path.as_deref()).await?;
        FoundationDb::opened(database, subspace, options)
    }

    /// Parses the URL into the path of the cluster file and the options.
    fn read(mut self, url: &str) -> Result<(Option<String>, Self)> {
        let Some(rest) = url.strip_prefix("foundationdb:") else {
            return Err(Error::invalid("the URL of a cluster is `foundationdb:cluster-file`"));
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = match path.strip_prefix("//") {
            None => path,
            Some(path) if path.starts_with('/') || path.is_empty() => path,
            Some(_) => {
                return Err(Error::invalid(
                    "`foundationdb://` is followed by a host, and a cluster is named by its file: \
                     `foundationdb:/etc/foundationdb/fdb.cluster`",
                ));
            }
        };
        let known = ["subspace=app/users", "timeout=5s", "max_attempts=20"];
        read_options(query, "FoundationDB", &known, |name, value, raw| {
            match name {
                "subspace" if !value.is_empty() => {
                    // Split before decoding: `%2F` is part of a name.
                    let names: Result<_> = raw.split('/').map(decoded).collect();
                    self.subspace = names.ok()?;
                }
                "timeout" => self.timeout = duration(value)?,
                "max_attempts" => self.max_attempts = value.parse().ok().filter(|n| *n > 0)?,
                _ => return None,
            }
            Some(())
        })?;
        let path = decoded(path)?;
        Ok(((!path.is_empty()).then_some(path), self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_cluster_file_and_its_options() {
        let read = |url| FoundationDbOptions::new().read(url).unwrap();
        let (path, options) =
            read("foundationdb:a.cluster?subspace=app/users&timeout=5s&max_attempts=3");
        assert_eq!(path.as_deref(), Some("a.cluster"));
        assert_eq!(options.subspace, ["app", "users"]);
        assert_eq!((options.timeout, options.max_attempts), (Duration::from_secs(5), 3));
        assert_eq!(read("foundationdb:").0, None);
        let (path, options) = read("foundationdb:a%20b?subspace=a%2fb/c");
        assert_eq!(path.as_deref(), Some("a b"));
        assert_eq!(options.subspace, ["a/b", "c"]);
        assert_eq!(read("foundationdb:///etc/a").0.as_deref(), Some("/etc/a"));
    }

    #[test]
    fn what_is_no_url_of_a_cluster_says_what_is() {
        for (url, says) in [
            ("fdb:", "foundationdb:cluster-file"),
            ("foundationdb://host:4500", "named by its file"),
            ("foundationdb:?space=a", "`space` is no option"),
            ("foundationdb:?subspace=", "`subspace=app/users`"),
            ("foundationdb:?max_attempts=0", "`max_attempts=20`"),
            ("foundationdb:?timeout=5", "`timeout=5s`"),
        ] {
            let error = FoundationDbOptions::new().read(url).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidArgument, "{url}");
            assert!(error.to_string().contains(says), "{url}: {error}");
        }
    }
}
