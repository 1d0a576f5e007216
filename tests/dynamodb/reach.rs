//! What ends before the request is sent, what is slow to be answered, and who is named when a
//! server fails.

use super::{Notes, TABLE, quick};
use crate::support::dynamodb::{client_with, database, dispatch, in_process, in_process_with};
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as Future;
use keyvaluestore::backend::aws_sdk_dynamodb::config::{
    Credentials, ProvideCredentials, SharedCredentialsProvider,
};
use keyvaluestore::backend::aws_sdk_dynamodb::{Client, Config};
use keyvaluestore::backend::{DynamoDbOptions, DynamoError};
use keyvaluestore::{DynamoDb, Error, ErrorKind, Store};
use std::error::Error as StdError;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn is(error: &Error, kind: ErrorKind, is_unknown: bool) {
    assert_eq!((error.kind(), error.outcome_is_unknown()), (kind, is_unknown), "{error:?}");
}

/// A provider that fails in a way, and after so many failures has credentials.
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

/// A client of a new table, whose credentials come from `provider`, and the count of requests that
/// have reached the table.
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

fn store(client: &Client, options: DynamoDbOptions) -> (Store, Arc<Notes>) {
    let notes = Arc::new(Notes::default());
    let backend = DynamoDb::new(client.clone(), TABLE).with_options(options);
    (Store::new(backend).with_observer(Arc::clone(&notes) as _), notes)
}

/// A credentials endpoint that answers 500 for a moment made every call fail as `AccessDenied`,
/// which no caller tries again.
#[tokio::test]
async fn a_provider_of_credentials_that_fails_is_asked_again() {
    for error in [
        || CredentialsError::provider_error("the endpoint answered 500"),
        || CredentialsError::unhandled("the endpoint closed the connection"),
        || CredentialsError::provider_timed_out(Duration::from_secs(1)),
    ] {
        let (client, seen) = with_provider(provider(3, error)).await;
        let (healing, notes) = store(&client, quick());
        assert_eq!(healing.incr_by("n", 1).await.unwrap(), 1);
        assert_eq!(seen.load(Ordering::SeqCst), 1);
        assert_eq!(notes.take_retries(), [ErrorKind::Unavailable; 3]);

        let (client, seen) = with_provider(provider(usize::MAX, error)).await;
        let (store, _) = store(&client, quick().attempts(3));
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
            is(&error, ErrorKind::Unavailable, false);
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
        (|| CredentialsError::invalid_configuration("a loop"), "not configured as they should"),
    ] {
        let (client, seen) = with_provider(provider(usize::MAX, error)).await;
        let (store, notes) = store(&client, quick());
        let error = store.incr_by("n", 1).await.unwrap_err();
        is(&error, ErrorKind::AccessDenied, false);
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!((seen.load(Ordering::SeqCst), notes.take_retries()), (0, vec![]));
    }
}

/// The credentials come, but not in time. The request was never sent, so that it is known not to
/// have been applied.
#[tokio::test(start_paused = true)]
async fn what_ends_before_the_request_is_sent_is_known_not_to_be_applied() {
    // Our own limit ends it, or the SDK's own one, of 5 seconds.
    for limit in [Duration::from_millis(100), Duration::from_secs(8)] {
        let slow = Provider {
            failures: AtomicUsize::new(0),
            error: || CredentialsError::not_loaded("none"),
            delay: Duration::from_secs(3_600),
        };
        let (client, seen) = with_provider(slow).await;
        let options = quick().attempts(3).attempt_timeout(limit).timeout(Duration::from_secs(100));
        let (store, notes) = store(&client, options);
        let error = store.incr_by("n", 1).await.unwrap_err();
        assert!(error.is_retryable() && !error.outcome_is_unknown(), "{error:?}");
        assert_eq!(notes.take_retries().len(), 2);
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

/// A port whose queue of connections is full: one more is neither made nor refused.
fn full() -> (String, Vec<std::net::TcpStream>, tokio::net::TcpListener) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let patience = Duration::from_millis(100);
    let connect = || std::net::TcpStream::connect_timeout(&address, patience).ok();
    (format!("http://{address}"), std::iter::from_fn(connect).collect(), listener)
}

/// Runs a test that is ignored otherwise in a process of its own, as credentials are looked for in
/// the environment.
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

/// The connection does not come to be before the limit, of an attempt or of the call, ends the
/// request.
#[test]
fn what_ends_before_there_is_a_connection_is_known_not_to_be_applied() {
    let test = "reach::connecting_takes_too_long";
    with_environment(test, &[("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")]);
}

#[tokio::test]
#[ignore = "runs in a process of its own"]
async fn connecting_takes_too_long() {
    let (url, _connections, _listener) = full();
    let url = format!("dynamodb://{TABLE}?region=eu-west-1&endpoint={url}");
    for (limits, attempts) in [("&attempt_timeout=300ms", 2), ("&timeout=300ms", 1)] {
        let backend = quick().attempts(2).open(format!("{url}{limits}")).await.unwrap();
        let notes = Arc::new(Notes::default());
        let store = Store::new(backend).with_observer(Arc::clone(&notes) as _);
        let error = store.incr_by("n", 1).await.unwrap_err();
        is(&error, ErrorKind::Timeout, false);
        assert!(error.to_string().contains("no connection in time"), "{error}");
        assert_eq!(notes.take_trips().len(), attempts, "{error}");
    }
    // Where there is a connection, and no answer, it is not known.
    let url = serving("HTTP/1.1 200 OK\r\n", Duration::from_secs(60));
    let url = format!("dynamodb://{TABLE}?region=eu-west-1&attempt_timeout=300ms&endpoint={url}");
    let store = Store::open(url).await.unwrap();
    is(&store.incr_by("n", 1).await.unwrap_err(), ErrorKind::Timeout, true);
}

/// The endpoint of a container's credentials answers 500, or closes the connection, for a moment.
#[test]
fn an_endpoint_of_credentials_that_fails_for_a_moment_is_waited_out() {
    for answer in ["HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nno", "HTTP/1.1"] {
        let url = serving(answer, Duration::ZERO);
        let variables = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str())];
        with_environment("reach::the_endpoint_of_credentials_fails", &variables);
    }
    with_environment("reach::there_are_no_credentials", &[]);
}

#[tokio::test]
#[ignore = "runs in a process of its own"]
async fn the_endpoint_of_credentials_fails() {
    let url = format!("dynamodb://{TABLE}?region=eu-west-1&endpoint={}", closed());
    for (limit, kind) in [(100, ErrorKind::Timeout), (30_000, ErrorKind::Unavailable)] {
        let options = quick().attempts(1).attempt_timeout(Duration::from_millis(limit));
        let store = Store::new(options.open(&url).await.unwrap());
        let error = store.incr_by("n", 1).await.unwrap_err();
        is(&error, kind, false);
        assert!(error.is_retryable() && error.to_string().contains("credentials"), "{error:?}");
        told_once(&error);
    }
}

#[tokio::test]
#[ignore = "runs in a process of its own"]
async fn there_are_no_credentials() {
    let url = format!("dynamodb://{TABLE}?region=eu-west-1&endpoint={}", closed());
    let store = Store::open(url).await.unwrap();
    let error = store.incr_by("n", 1).await.unwrap_err();
    is(&error, ErrorKind::AccessDenied, false);
    assert!(error.to_string().contains("there are no credentials"), "{error:?}");
    told_once(&error);
}

/// A server that reads every request and answers what it is told to; `pause` before the last byte.
fn serving(answer: &'static str, pause: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut read = [0; 65_536];
                while stream.read(&mut read).is_ok_and(|n| n > 0) {
                    let (first, last) = answer.split_at(answer.len() - 1);
                    let _ = stream.write_all(first.as_bytes());
                    std::thread::sleep(pause);
                    let _ = stream.write_all(last.as_bytes());
                    // What is no answer to read to its end is followed by no other.
                    if answer == "HTTP/1.1" {
                        break;
                    }
                }
            });
        }
    });
    url
}

/// The SDK's stalled stream protection ended such an answer after 5 seconds, whatever was asked.
#[tokio::test]
async fn attempt_timeout_is_the_only_limit_of_an_answer_that_stalls() {
    let item = "HTTP/1.1 200 OK\r\ncontent-length: 27\r\n\r\n{\"Item\":{\"v\":{\"B\":\"dg==\"}}}";
    let client = client_with(None, &serving(item, Duration::from_millis(7_000)));
    let options = DynamoDbOptions::new().attempts(1).attempt_timeout(Duration::from_secs(20));
    let start = Instant::now();
    let (store, _) = store(&client, options);
    assert_eq!(store.get("k").await.unwrap().unwrap(), "v");
    assert!(start.elapsed() > Duration::from_secs(6));
}

/// Every text of an error and of its causes.
fn chain(error: &Error) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        texts.push(cause.to_string());
        next = cause.source();
    }
    texts
}

/// Whether no cause is told by what it is the cause of, too.
fn told_once(error: &Error) {
    let texts = chain(error);
    for (i, text) in texts.iter().enumerate() {
        // The SDK's connector has a word of its own for most of what it does not know: `other`.
        for other in texts[i + 1..].iter().filter(|text| text.contains(' ')) {
            assert!(!text.contains(other.as_str()), "{texts:#?}");
        }
    }
}

fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn an_error_names_the_table_and_the_server_and_tells_its_cause_once() {
    let not_http = "-ERR unknown command 'POST', with args beginning with: '/'\r\n";
    let options = quick().attempts(2).attempt_timeout(Duration::from_millis(300));
    for (url, kind, says) in [
        (closed(), ErrorKind::Unavailable, "cannot be reached"),
        ("http://host.invalid:8000".to_owned(), ErrorKind::Unavailable, "cannot be reached"),
        (serving(not_http, Duration::ZERO), ErrorKind::Unavailable, "is it DynamoDB"),
        (
            serving("HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno", Duration::ZERO),
            ErrorKind::Other,
            "is it DynamoDB",
        ),
        (
            serving("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno", Duration::ZERO),
            ErrorKind::Unavailable,
            "is it DynamoDB",
        ),
        (
            serving("HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno", Duration::ZERO),
            ErrorKind::Unavailable,
            "status 503",
        ),
        (serving("HTTP/1.1 200 OK\r\n", Duration::from_secs(60)), ErrorKind::Timeout, "in time"),
    ] {
        let client = client_with(None, &url);
        let (store, _) = store(&client, options.clone());
        let mut tx = store.atomic_write();
        tx.set("k", "v");
        let mut batch = store.batch();
        let gets = [batch.get("a"), batch.get("b")];
        let mut replies = batch.exec_each().await;
        let [a, b] = gets.map(|get| replies.take(get).unwrap_err());
        for error in [
            store.get("k").await.unwrap_err(),
            store.set("k", "v").await.unwrap_err(),
            store.zrange("z").await.unwrap_err(),
            tx.exec().await.unwrap_err(),
            a,
            b,
        ] {
            assert_eq!(error.kind(), kind, "{error}");
            let text = error.to_string();
            assert!(text.contains(says), "{text}");
            assert!(text.contains(&format!("table `{TABLE}`")), "{text}");
            // Where nothing could be sent, the name that was looked for is known, too.
            assert!(text.contains(&url), "{text}");
            told_once(&error);
        }
        let error = DynamoDb::create_table(&client, TABLE);
        if kind != ErrorKind::Timeout {
            let error = error.await.unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(&url), "{error}");
            told_once(&error);
        }
    }
}

#[tokio::test]
async fn what_the_service_refuses_is_told_once_with_the_table() {
    for code in ["ThrottlingException", "AccessDeniedException", "ResourceNotFoundException"] {
        let body = format!("{{\"__type\":\"x#{code}\",\"message\":\"The words of the service\"}}");
        let client = in_process_with(&database(), move |_, _, _| (400, body.clone()));
        let (store, _) = store(&client, quick().attempts(2));
        for error in [store.get("k").await.unwrap_err(), store.set("k", "v").await.unwrap_err()] {
            let text = error.to_string();
            assert!(text.contains(code) && text.contains(&format!("`{TABLE}`")), "{text}");
            assert!(text.contains("http://in-process"), "{text}");
            told_once(&error);
        }
    }
    // Of a client of another kind the address is not known, and the table is.
    let error = DynamoError::service("ThrottlingException", "");
    assert_eq!(error.to_string(), "DynamoDB throttles (ThrottlingException)");
}

#[tokio::test]
async fn a_missing_table_names_itself_and_the_option_that_makes_it() {
    let client = in_process(&database());
    let error = store(&client, quick()).0.get("k").await.unwrap_err();
    for says in [TABLE, "create_table=true", "DynamoDb::create_table"] {
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn the_name_of_a_table_is_checked_before_anything_is_sent() {
    for url in
        ["dynamodb://t?region=eu-west-1&create_table=true", "dynamodb://ab", "dynamodb://a,b,c"]
    {
        let error = Store::open(url).await.unwrap_err();
        is(&error, ErrorKind::InvalidArgument, false);
        assert!(error.to_string().starts_with("open: a table has a name of 3 to 255"), "{error}");
    }
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let client = in_process_with(&database(), move |db, call, body| {
        count.fetch_add(1, Ordering::SeqCst);
        dispatch(db, call, body)
    });
    let error = DynamoDb::create_table(&client, "t").await.unwrap_err();
    is(&error, ErrorKind::InvalidArgument, false);
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}
