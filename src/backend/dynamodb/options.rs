//! [`DynamoDbOptions`], and the URLs that a table is named by.

use super::{DynamoClient, DynamoDb};
use crate::backoff::ExponentialBackoff;
use crate::{Error, Result};
use aws_config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::Client;
use aws_smithy_http_client::Builder as HttpClient;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use std::time::Duration;

/// Timeouts, attempts and pauses of calls to DynamoDB, and how to reach it.
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
/// `dynamodb://table`, whose name has 3 to 255 letters, digits and `_-.` (or is an ARN), and behind
/// a `?`, separated by `&`, percent-encoded, in any order:
///
/// | | |
/// |---|---|
/// | `region=eu-central-1` | otherwise what the environment or the profile says |
/// | `endpoint=http://127.0.0.1:8000` | another server, such as DynamoDB Local |
/// | `create_table=true` | makes the table if there is none, as [`DynamoDb::create_table`] does |
/// | `timeout=5s`, `attempt_timeout=500ms` | as the methods here |
///
/// Credentials are found where the SDK finds them: environment, profile, SSO, web identity,
/// container, instance.
#[derive(Clone, Debug)]
#[must_use]
pub struct DynamoDbOptions {
    pub(super) timeout: Duration,
    pub(super) attempt_timeout: Duration,
    pub(super) attempts: u32,
    pub(super) concurrency: usize,
    pub(super) backoff: ExponentialBackoff,
    region: Option<String>,
    endpoint: Option<String>,
    create_table: bool,
}

impl Default for DynamoDbOptions {
    fn default() -> Self {
        DynamoDbOptions {
            timeout: Duration::from_secs(30),
            attempt_timeout: Duration::from_secs(10),
            attempts: 10,
            concurrency: 16,
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
    /// The default: 30 seconds for a call, 10 for a request, 10 attempts, 16 requests at once.
    pub fn new() -> Self {
        DynamoDbOptions::default()
    }
    /// How long a call may take, with all that is sent again for it and the pauses in between.
    ///
    /// A batch, a range and the `delete` of a sorted set may take longer. Their time begins anew
    /// with every piece that is done, so they fail only if they make no progress for so long. To
    /// bound them in any case, put a `wrap::Timeout` around the backend.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
    /// How long to wait for the answer to one request. A read is then retried, and a group of reads
    /// asks for fewer items. A write without an idempotency token fails with `Timeout` and an
    /// unknown outcome. If the time was over before there were credentials or a connection, the
    /// write is known not to be applied.
    ///
    /// This is the only limit of an answer. The SDK also stops waiting for credentials after 5
    /// seconds and for a connection after 3.1 seconds; both are retried.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = timeout;
        self
    }
    /// How often a request is sent at most: 1 for never again. What a group of a batch leaves
    /// unprocessed is a request of its own where some of it was processed. A write that has lost to
    /// another writer is tried again for as long as there is time, whatever is said here.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }
    /// How long to wait before a request is sent again: a random time, of at most `first`, and up
    /// to twice as long each further time, but never more than `longest`. 25 milliseconds and a
    /// second by default.
    pub fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = ExponentialBackoff::new(first, longest);
        self
    }
    /// How many requests a batch sends at once. Fewer if they are large: at most 4 MB of writes are
    /// in flight, in groups of at most 1 MB, and a group of reads asks for as many items as arrive
    /// in about two seconds.
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests.max(1);
        self
    }

    /// Opens the table that `url` names, with the credentials that the SDK finds. Nothing is sent
    /// yet, but for `create_table=true`.
    ///
    /// # Errors
    /// `InvalidArgument` for a URL that cannot be read, a name that no table can have, or if no
    /// region is to be found; `Unsupported` without a tokio runtime that has timers and I/O
    /// (`Builder::enable_all`); what [`create_table`](DynamoDb::create_table) says.
    pub async fn open(self, url: impl AsRef<str>) -> Result<DynamoDb> {
        let (table, options) = self.read(url.as_ref())?;
        // The SDK looks for a region, and then for credentials, in the network, too.
        crate::runtime::require_drivers()?;
        // TLS as for the other backends: no C to compile but ring's.
        let http = HttpClient::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let mut config = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http);
        if let Some(region) = &options.region {
            config = config.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &options.endpoint {
            config = config.endpoint_url(endpoint);
        }
        let shared = config.load().await;
        let mut config = aws_sdk_dynamodb::config::Builder::from(&shared);
        match (shared.region(), &options.endpoint) {
            (Some(_), _) => {}
            // A server of one's own is in no region, but requests are signed for one.
            (None, Some(_)) => config = config.region(Region::from_static("us-east-1")),
            (None, None) => {
                return Err(Error::invalid(
                    "there is no region: add `?region=…` to the URL, or set AWS_REGION",
                ));
            }
        }
        let client = Client::from_conf(config.build());
        if options.create_table {
            DynamoDb::create_table(&client, &table).await?;
        }
        Ok(DynamoDb::with_api(DynamoClient::of_hyper(client), table).with_options(options))
    }

    /// The table that a URL names, and its options.
    fn read(mut self, url: &str) -> Result<(String, Self)> {
        let Some(rest) = url.strip_prefix("dynamodb://") else {
            return Err(Error::invalid("the URL of a table is `dynamodb://table?region=…`"));
        };
        let (table, query) = rest.split_once('?').unwrap_or((rest, ""));
        let table = table.trim_end_matches('/');
        super::setup::check_name(table)?;
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

/// It becomes a part of a host name.
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
        let (table, options) = DynamoDbOptions::new().read(url).unwrap();
        assert_eq!(table, "users-1");
        assert_eq!(options.region.as_deref(), Some("eu-west-1"));
        assert_eq!(options.endpoint.as_deref(), Some("http://127.0.0.1:8000/?a=b&c"));
        assert!(options.create_table);
        assert_eq!(options.timeout, Duration::from_secs(5));
        let arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/users";
        let (table, _) = DynamoDbOptions::new().read(&format!("dynamodb://{arn}")).unwrap();
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
            let error = DynamoDbOptions::new().read(url).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidArgument, "{url}");
            assert!(error.to_string().contains(says), "{url}: {error}");
        }
    }
}
