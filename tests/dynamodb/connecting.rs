//! Before the response: providers of credentials that fail or are slow, connections that are not
//! made, and responses that stall.

use super::error_messages::assert_no_repeated_cause;
use super::{Recorder, TABLE, assert_error, observed, quick};
use crate::support::dynamodb::{
    client_with, closed_port, database, dispatch, in_process, in_process_with, responding,
};
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as Future;
use keyvaluestore::backend::DynamoDbOptions;
use keyvaluestore::backend::aws_sdk_dynamodb::config::{
    Credentials, ProvideCredentials, SharedCredentialsProvider,
};
use keyvaluestore::backend::aws_sdk_dynamodb::{Client, Config};
use keyvaluestore::{DynamoDb, ErrorKind, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A provider of credentials that fails `failures` times, and then succeeds.
struct Provider {
    failures: AtomicUsize,
    error: fn() -> CredentialsError,
    delay: Duration,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Provider")
    }
}

impl ProvideCredentials for Provider {
    fn provide_credentials<'a>(&'a self) -> Future<'a>
    where
        Self: 'a,
    {
        Future::new(async move {
            tokio::time::sleep(self.delay).await;
            let left = self.failures.load(Ordering::SeqCst);
            if left == 0 {
                return Ok(Credentials::new("test", "test", None, None, "tests"));
            }
            self.failures.store(left - 1, Ordering::SeqCst);
            Err((self.error)())
        })
    }
}

/// A client of a new table with credentials from `provider`, and a counter of the requests that
/// reach the table.
async fn with_provider(provider: Provider) -> (Client, Arc<AtomicUsize>) {
    let db = database();
    DynamoDb::create_table(&in_process(&db), TABLE).await.unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let client = in_process_with(&db, move |db, call, body| {
        count.fetch_add(1, Ordering::SeqCst);
        dispatch(db, call, body)
    });
    let config: &Config = client.config();
    let provider = SharedCredentialsProvider::new(provider);
    (Client::from_conf(config.to_builder().credentials_provider(provider).build()), seen)
}

fn provider(failures: usize, error: fn() -> CredentialsError) -> Provider {
    Provider { failures: AtomicUsize::new(failures), error, delay: Duration::ZERO }
}

/// A credentials endpoint that returned 500 for a moment made every call fail with `AccessDenied`,
/// which is not retryable.
#[tokio::test]
async fn a_provider_of_credentials_that_fails_is_asked_again() {
    for error in [
        || CredentialsError::provider_error("the endpoint answered 500"),
        || CredentialsError::unhandled("the endpoint closed the connection"),
        || CredentialsError::provider_timed_out(Duration::from_secs(1)),
    ] {
        let (client, seen) = with_provider(provider(3, error)).await;
        let (healing, recorder) = observed(&client, quick());
        assert_eq!(healing.incr_by("n", 1).await.unwrap(), 1);
        assert_eq!(seen.load(Ordering::SeqCst), 1);
        assert_eq!(recorder.take_retries(), [ErrorKind::Unavailable; 3]);

        let (client, seen) = with_provider(provider(usize::MAX, error)).await;
        let (store, _) = observed(&client, quick().max_attempts(3));
        let mut tx = store.atomic_write();
        tx.incr_by("n", 1);
        let mut batch = store.batch();
        let sets = [batch.set("a", 1), batch.set("b", 1)];
        let mut replies = batch.exec_each().await;
        let [a, b] = sets.map(|set| replies.take(set).unwrap_err());
        for error in [
            store.incr_by("n", 1).await.unwrap_err(),
            store.get("n").await.unwrap_err(),
            tx.exec().await.unwrap_err(),
            a,
            b,
        ] {
            assert_error(&error, ErrorKind::Unavailable, false);
            assert!(error.is_retryable());
            assert!(error.to_string().contains("the provider of the credentials"), "{error}");
        }
        assert_eq!(seen.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn no_credentials_are_told_only_where_no_provider_had_any() {
    for (error, says) in [
        ((|| CredentialsError::not_loaded("none")) as fn() -> _, "there are no credentials"),
        (
            || CredentialsError::invalid_configuration("a loop"),
            "configuration of the credentials for AWS is invalid",
        ),
    ] {
        let (client, seen) = with_provider(provider(usize::MAX, error)).await;
        let (store, recorder) = observed(&client, quick());
        let error = store.incr_by("n", 1).await.unwrap_err();
        assert_error(&error, ErrorKind::AccessDenied, false);
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!((seen.load(Ordering::SeqCst), recorder.take_retries()), (0, vec![]));
    }
}

/// The credentials do not arrive in time. The request was not sent, so the write is known not to be
/// applied.
#[tokio::test(start_paused = true)]
async fn what_ends_before_the_request_is_sent_is_known_not_to_be_applied() {
    // Either this library's timeout or the SDK's, which is 5 seconds.
    for limit in [Duration::from_millis(100), Duration::from_secs(8)] {
        let slow = Provider {
            failures: AtomicUsize::new(0),
            error: || CredentialsError::not_loaded("none"),
            delay: Duration::from_secs(3_600),
        };
        let (client, seen) = with_provider(slow).await;
        let options =
            quick().max_attempts(3).attempt_timeout(limit).timeout(Duration::from_secs(100));
        let (store, recorder) = observed(&client, options);
        let error = store.incr_by("n", 1).await.unwrap_err();
        assert!(error.is_retryable() && !error.outcome_is_unknown(), "{error:?}");
        assert_eq!(recorder.take_retries().len(), 2);
        let mut tx = store.atomic_write();
        tx.incr_by("n", 1);
        let error = tx.exec().await.unwrap_err();
        assert!(error.is_retryable() && !error.outcome_is_unknown(), "{error:?}");
        let mut batch = store.batch();
        let set = batch.set("a", 1);
        let _ = batch.set("b", 1);
        let error = batch.exec_each().await.take(set).unwrap_err();
        assert!(error.is_retryable() && !error.outcome_is_unknown(), "{error:?}");
        assert_eq!(seen.load(Ordering::SeqCst), 0);
    }
}

/// A port whose accept queue is full: it neither accepts nor refuses another connection.
fn full() -> (String, Vec<std::net::TcpStream>, tokio::net::TcpListener) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let timeout = Duration::from_millis(100);
    let connect = || std::net::TcpStream::connect_timeout(&address, timeout).ok();
    (format!("http://{address}"), std::iter::from_fn(connect).collect(), listener)
}

/// Runs an ignored test in a process of its own, because the SDK reads credentials from the
/// environment.
fn with_environment(test: &str, variables: &[(&str, &str)]) {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", test]).envs(variables.iter().copied());
    for name in ["AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB"] {
        command.env_remove(name);
    }
    let output = command.env("AWS_EC2_METADATA_DISABLED", "true").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// The timeout of the attempt or of the call ends the request before it has a connection.
#[test]
fn what_ends_before_there_is_a_connection_is_known_not_to_be_applied() {
    let test = "connecting::connecting_takes_too_long";
    with_environment(test, &[("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")]);
}

#[tokio::test]
#[ignore = "runs in a process of its own"]
async fn connecting_takes_too_long() {
    let (url, _connections, _listener) = full();
    let url = format!("dynamodb://{TABLE}?region=eu-west-1&endpoint={url}");
    for (limits, attempts) in [("&attempt_timeout=300ms", 2), ("&timeout=300ms", 1)] {
        let backend = quick().max_attempts(2).open(format!("{url}{limits}")).await.unwrap();
        let recorder = Arc::new(Recorder::default());
        let store = Store::new(backend).with_observer(Arc::clone(&recorder) as _);
        let error = store.incr_by("n", 1).await.unwrap_err();
        assert_error(&error, ErrorKind::Timeout, false);
        assert!(error.to_string().contains("no connection in time"), "{error}");
        assert_eq!(recorder.take_round_trips().len(), attempts, "{error}");
    }
    // With a connection and no response, the outcome is unknown.
    let url = responding("HTTP/1.1 200 OK\r\n", Duration::from_secs(60));
    let url = format!("dynamodb://{TABLE}?region=eu-west-1&attempt_timeout=300ms&endpoint={url}");
    let store = Store::open(url).await.unwrap();
    assert_error(&store.incr_by("n", 1).await.unwrap_err(), ErrorKind::Timeout, true);
}

/// The credentials endpoint of a container returns 500, or closes the connection, for a moment.
#[test]
fn an_endpoint_of_credentials_that_fails_for_a_moment_is_waited_out() {
    for answer in ["HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nno", "HTTP/1.1"] {
        let url = responding(answer, Duration::ZERO);
        let variables = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str())];
        with_environment("connecting::the_endpoint_of_credentials_fails", &variables);
    }
    with_environment("connecting::there_are_no_credentials", &[]);
}

#[tokio::test]
#[ignore = "runs in a process of its own"]
async fn the_endpoint_of_credentials_fails() {
    let url = format!("dynamodb://{TABLE}?region=eu-west-1&endpoint={}", closed_port());
    for (limit, kind) in [(100, ErrorKind::Timeout), (30_000, ErrorKind::Unavailable)] {
        let options = quick().max_attempts(1).attempt_timeout(Duration::from_millis(limit));
        let store = Store::new(options.open(&url).await.unwrap());
        let error = store.incr_by("n", 1).await.unwrap_err();
        assert_error(&error, kind, false);
        assert!(error.is_retryable() && error.to_string().contains("credentials"), "{error:?}");
        assert_no_repeated_cause(&error);
    }
}

#[tokio::test]
#[ignore = "runs in a process of its own"]
async fn there_are_no_credentials() {
    let url = format!("dynamodb://{TABLE}?region=eu-west-1&endpoint={}", closed_port());
    let store = Store::open(url).await.unwrap();
    let error = store.incr_by("n", 1).await.unwrap_err();
    assert_error(&error, ErrorKind::AccessDenied, false);
    assert!(error.to_string().contains("there are no credentials"), "{error:?}");
    assert_no_repeated_cause(&error);
}

/// The SDK's stalled stream protection ended such a response after 5 seconds.
#[tokio::test]
async fn attempt_timeout_is_the_only_limit_of_an_answer_that_stalls() {
    let item = "HTTP/1.1 200 OK\r\ncontent-length: 27\r\n\r\n{\"Item\":{\"v\":{\"B\":\"dg==\"}}}";
    let client = client_with(None, &responding(item, Duration::from_millis(7_000)));
    let options = DynamoDbOptions::new().max_attempts(1).attempt_timeout(Duration::from_secs(20));
    let start = Instant::now();
    let (store, _) = observed(&client, options);
    assert_eq!(store.get("k").await.unwrap().unwrap(), "v");
    assert!(start.elapsed() > Duration::from_secs(6));
}
