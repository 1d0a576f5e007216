//! [`DynamoDbOptions`], and URLs of tables.

use crate::backoff::ExponentialBackoff;
use crate::{Error, Result};
use std::time::Duration;

/// Timeouts, retries and concurrency of a [`DynamoDb`](super::DynamoDb), and the URL of its table.
///
/// ```no_run
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use keyvaluestore::{Store, backend::DynamoDbOptions};
/// use std::time::Duration;
/// let options = DynamoDbOptions::new().timeout(Duration::from_secs(5));
/// let store = Store::new(options.open("dynamodb://table?region=eu-central-1").await?);
/// store.set("k", "v").await?;
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
///
/// # URLs
///
/// `dynamodb://table?option=value&…`. The table is a name of 3 to 255 letters, digits and `_-.`, or
/// an ARN. Values are percent-encoded. The options, in any order:
///
/// | option | meaning |
/// |---|---|
/// | `region=eu-central-1` | the region; by default that of the environment or the profile |
/// | `endpoint=http://127.0.0.1:8000` | another server, such as DynamoDB Local |
/// | `create_table=true` | calls [`DynamoDb::create_table`](super::DynamoDb::create_table) |
/// | `timeout=5s` | [`timeout`](Self::timeout) |
/// | `attempt_timeout=500ms` | [`attempt_timeout`](Self::attempt_timeout) |
///
/// The SDK finds the credentials: in the environment, a profile, SSO, a web identity, or from the
/// container or the instance.
#[derive(Clone, Debug)]
#[must_use]
pub struct DynamoDbOptions {
    pub(super) timeout: Duration,
    pub(super) attempt_timeout: Duration,
    pub(super) max_attempts: u32,
    pub(super) max_concurrency: usize,
    pub(super) backoff: ExponentialBackoff,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) create_table: bool,
}

impl Default for DynamoDbOptions {
    /// A timeout of 30 seconds, 10 for each attempt, 10 attempts, a backoff of 25 ms doubling to
    /// 1 s, and 16 concurrent requests.
    fn default() -> Self {
        DynamoDbOptions {
            timeout: Duration::from_secs(30),
            attempt_timeout: Duration::from_secs(10),
            max_attempts: 10,
            max_concurrency: 16,
            backoff: ExponentialBackoff::new(Duration::from_millis(25), Duration::from_secs(1)),
            region: None,
            endpoint: None,
            create_table: false,
        }
    }
}

const OPTIONS: [&str; 5] = [
    "region=eu-central-1",
    "endpoint=http://127.0.0.1:8000",
    "create_table=true",
    "timeout=5s",
    "attempt_timeout=500ms",
];

impl DynamoDbOptions {
    /// The default options.
    pub fn new() -> Self {
        DynamoDbOptions::default()
    }
    /// How long a call may take, retries and backoff included. 30 seconds by default.
    ///
    /// A batch, a range and the `delete` of a sorted set may take longer. Each part that is done
    /// starts their timeout again, so they fail only if they make no progress for that long. To
    /// limit their total time, put a `wrap::Timeout` around the backend.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
    /// How long an attempt waits for the response. 10 seconds by default. A read is then retried; a
    /// group of reads asks for fewer items. A write without an idempotency token fails with
    /// `Timeout` and an unknown outcome. A write that still had no credentials or no connection is
    /// known not to be applied.
    ///
    /// No other limit applies to a response. The SDK waits up to 5 seconds for credentials and 3.1
    /// seconds for a connection; after that, the request is retried.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = timeout;
        self
    }
    /// How many attempts a request has, the first included. 10 by default; 1 turns retries off.
    ///
    /// If a group of a batch is processed in part, the rest is a new request with all its attempts.
    /// A write that conflicts with other writes is retried until its timeout, whatever this number.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts.max(1);
        self
    }
    /// How long to wait before a retry. The backoff has full jitter: it is drawn between zero and a
    /// bound that starts at `initial` and doubles with each attempt, up to `max`. 25 milliseconds
    /// and a second by default.
    pub fn backoff(mut self, initial: Duration, max: Duration) -> Self {
        self.backoff = ExponentialBackoff::new(initial, max);
        self
    }
    /// How many requests a batch sends concurrently. 16 by default. Large requests reduce it: at
    /// most 4 MB of writes are in flight, in groups of at most 1 MB, and a group of reads asks for
    /// as many items as arrive in about two seconds.
    pub fn max_concurrency(mut self, requests: usize) -> Self {
        self.max_concurrency = requests.max(1);
        self
    }

    /// The table that a URL names, and the options with those of the URL.
    pub(super) fn parse_url(mut self, url: &str) -> Result<(String, Self)> {
        let Some(rest) = url.strip_prefix("dynamodb://") else {
            return Err(Error::invalid("the URL of a table is `dynamodb://table?region=…`"));
        };
        let (table, query) = rest.split_once('?').unwrap_or((rest, ""));
        let table = table.trim_end_matches('/');
        check_table_name(table)?;
        crate::url::read_options(query, "DynamoDB", &OPTIONS, |name, value, _| {
            match name {
                "region" if is_region(value) => self.region = Some(value.to_owned()),
                "endpoint" if ["http://", "https://"].iter().any(|s| value.starts_with(s)) => {
                    self.endpoint = Some(value.to_owned());
                }
                "create_table" => self.create_table = value.parse().ok()?,
                "timeout" => self.timeout = crate::url::duration(value)?,
                "attempt_timeout" => self.attempt_timeout = crate::url::duration(value)?,
                _ => return None,
            }
            Some(())
        })?;
        Ok((table.to_owned(), self))
    }
}

/// Checks the name of a table, or its ARN.
///
/// # Errors
/// `InvalidArgument` for a name that the service would reject.
pub(super) fn check_table_name(table: &str) -> Result<()> {
    let is_arn = table.starts_with("arn:");
    let max_len = if is_arn { 1_024 } else { 255 };
    let is_valid =
        |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c) || (is_arn && ":/".contains(c));
    if (3..=max_len).contains(&table.len()) && table.chars().all(is_valid) {
        return Ok(());
    }
    Err(Error::invalid(
        "a table has a name of 3 to 255 letters, digits and `_-.`: `dynamodb://users`",
    ))
}

/// The region becomes a part of a host name.
fn is_region(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_table_and_its_options() {
        let url = "dynamodb://users-1?region=eu-west-1&endpoint=http://127.0.0.1:8000/%3fa=b%26c\
                   &create_table=true&timeout=5s";
        let (table, options) = DynamoDbOptions::new().parse_url(url).unwrap();
        assert_eq!(table, "users-1");
        assert_eq!(options.region.as_deref(), Some("eu-west-1"));
        assert_eq!(options.endpoint.as_deref(), Some("http://127.0.0.1:8000/?a=b&c"));
        assert!(options.create_table);
        assert_eq!(options.timeout, Duration::from_secs(5));
        let arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/users";
        let (table, _) = DynamoDbOptions::new().parse_url(&format!("dynamodb://{arn}")).unwrap();
        assert_eq!(table, arn);
    }

    #[test]
    fn what_is_no_url_of_a_table_says_what_is() {
        for (url, says) in [
            ("dynamodb:users", "dynamodb://table"),
            ("dynamodb://", "3 to 255 letters"),
            ("dynamodb://a b c", "3 to 255 letters"),
            ("dynamodb://t", "3 to 255 letters"),
            ("dynamodb://users:1", "3 to 255 letters"),
            ("dynamodb://table?zone=a", "`zone` is no option"),
            ("dynamodb://table?region=", "`region=eu-central-1`"),
            ("dynamodb://table?region=eu%20west", "`region=eu-central-1`"),
            ("dynamodb://table?timeout=5", "`timeout=5s`"),
            ("dynamodb://table?create_table=yes", "`create_table=true`"),
            ("dynamodb://table?endpoint=127.0.0.1:8000", "like `endpoint=http://127.0.0.1:8000`"),
        ] {
            let error = DynamoDbOptions::new().parse_url(url).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidArgument, "{url}");
            assert!(error.to_string().contains(says), "{url}: {error}");
        }
    }
}
