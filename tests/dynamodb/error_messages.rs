//! Error messages: they name the table and the server, and print each cause once.

use super::{TABLE, assert_error, observed, quick};
use crate::support::dynamodb::{
    client_with, closed_port, database, dispatch, in_process, in_process_with, responding,
};
use keyvaluestore::backend::DynamoError;
use keyvaluestore::{DynamoDb, Error, ErrorKind, Store};
use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The messages of an error and of its causes.
fn chain(error: &Error) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        texts.push(cause.to_string());
        next = cause.source();
    }
    texts
}

/// Checks that no message contains that of its cause.
pub(super) fn assert_no_repeated_cause(error: &Error) {
    let texts = chain(error);
    for (i, text) in texts.iter().enumerate() {
        // The SDK's connector prints `other` for unknown errors.
        for other in texts[i + 1..].iter().filter(|text| text.contains(' ')) {
            assert!(!text.contains(other.as_str()), "{texts:#?}");
        }
    }
}

#[tokio::test]
async fn an_error_names_the_table_and_the_server_and_tells_its_cause_once() {
    let not_http = "-ERR unknown command 'POST', with args beginning with: '/'\r\n";
    let options = quick().max_attempts(2).attempt_timeout(Duration::from_millis(300));
    for (url, kind, says) in [
        (closed_port(), ErrorKind::Unavailable, "cannot be reached"),
        ("http://host.invalid:8000".to_owned(), ErrorKind::Unavailable, "cannot be reached"),
        (responding(not_http, Duration::ZERO), ErrorKind::Unavailable, "is it DynamoDB"),
        (
            responding("HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno", Duration::ZERO),
            ErrorKind::Other,
            "is it DynamoDB",
        ),
        (
            responding("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno", Duration::ZERO),
            ErrorKind::Unavailable,
            "is it DynamoDB",
        ),
        (
            responding("HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno", Duration::ZERO),
            ErrorKind::Unavailable,
            "status 503",
        ),
        (responding("HTTP/1.1 200 OK\r\n", Duration::from_secs(60)), ErrorKind::Timeout, "in time"),
    ] {
        let client = client_with(None, &url);
        let (store, _) = observed(&client, options.clone());
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
            // The address is known also if no connection was made.
            assert!(text.contains(&url), "{text}");
            assert_no_repeated_cause(&error);
        }
        let error = DynamoDb::create_table(&client, TABLE);
        if kind != ErrorKind::Timeout {
            let error = error.await.unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(&url), "{error}");
            assert_no_repeated_cause(&error);
        }
    }
}

#[tokio::test]
async fn what_the_service_refuses_is_told_once_with_the_table() {
    for code in ["ThrottlingException", "AccessDeniedException", "ResourceNotFoundException"] {
        let body = format!("{{\"__type\":\"x#{code}\",\"message\":\"The words of the service\"}}");
        let client = in_process_with(&database(), move |_, _, _| (400, body.clone()));
        let (store, _) = observed(&client, quick().max_attempts(2));
        for error in [store.get("k").await.unwrap_err(), store.set("k", "v").await.unwrap_err()] {
            let text = error.to_string();
            assert!(text.contains(code) && text.contains(&format!("`{TABLE}`")), "{text}");
            assert!(text.contains("http://in-process"), "{text}");
            assert_no_repeated_cause(&error);
        }
    }
    // The error of another client has no address and no table.
    let error = DynamoError::service("ThrottlingException", "");
    assert_eq!(error.to_string(), "DynamoDB throttles (ThrottlingException)");
}

#[tokio::test]
async fn a_missing_table_names_itself_and_the_option_that_makes_it() {
    let client = in_process(&database());
    let error = observed(&client, quick()).0.get("k").await.unwrap_err();
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
        assert_error(&error, ErrorKind::InvalidArgument, false);
        assert!(error.to_string().starts_with("open: a table has a name of 3 to 255"), "{error}");
    }
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let client = in_process_with(&database(), move |db, call, body| {
        count.fetch_add(1, Ordering::SeqCst);
        dispatch(db, call, body)
    });
    let error = DynamoDb::create_table(&client, "t").await.unwrap_err();
    assert_error(&error, ErrorKind::InvalidArgument, false);
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}
