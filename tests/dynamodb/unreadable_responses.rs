//! Responses that cannot be parsed, and responses of a proxy or of another server: the outcome of a
//! write, and retries of reads.

use super::{TABLE, assert_error, observed, quick};
use crate::support::dynamodb::{database, dispatch, in_process, in_process_with};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use keyvaluestore::backend::aws_sdk_dynamodb::Client;
use keyvaluestore::{DynamoDb, ErrorKind, Result, Store};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A client whose first `times` requests for `call` are applied, and then get a response that
/// `garble` has changed; and a counter of these requests.
async fn garbling(
    call: &'static str,
    times: usize,
    garble: impl Fn(u16, String) -> (u16, String) + Send + Sync + 'static,
) -> (Client, Arc<AtomicUsize>) {
    let db = database();
    DynamoDb::create_table(&in_process(&db), TABLE).await.unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let client = in_process_with(&db, move |db, this, body| {
        let (status, answer) = dispatch(db, this, body);
        if this == call && count.fetch_add(1, Ordering::SeqCst) < times {
            return garble(status, answer);
        }
        (status, answer)
    });
    (client, seen)
}

type Garble = fn(u16, String) -> (u16, String);

const CUT: Garble = |status, answer| (status, answer[..answer.len() - 1].to_owned());
const HTML: Garble = |status, _| (status, "<html>Welcome to the hotel</html>".to_owned());
const TEXT: Garble = |status, _| (status, "\"yes\"".to_owned());
const EMPTY: Garble = |status, _| (status, "{}".to_owned());

type Write = fn(Store) -> BoxFuture<'static, Result<()>>;

macro_rules! writes {
    ($($call:literal, $s:ident => $write:expr;)*) => {
        &[$(($call, |$s| async move { $write.await.map(drop) }.boxed())),*]
    };
}

const WRITES: &[(&str, Write)] = writes! {
    "UpdateItem", s => s.incr_by("n", 1);
    "PutItem", s => s.set("k", "v");
    "PutItem", s => s.set_nx("new", "v");
    "PutItem", s => s.set_eq("k", "w", "v");
    "DeleteItem", s => s.delete("k");
    "UpdateItem", s => s.sadd("s", ["m"]);
    "UpdateItem", s => s.srem("s", ["a"]);
    "UpdateItem", s => s.hset("h", [("f", "v")]);
    "UpdateItem", s => s.hset_nx("h", "new", "v");
    "UpdateItem", s => s.hdel("h", ["f"]);
    "PutItem", s => s.zadd("z", "n", 1.0);
    "PutItem", s => s.zhadd("z", "n", "v", 1.0);
    "DeleteItem", s => s.zrem("z", "m");
    "UpdateItem", s => s.zincr_by("z", "m", 1.0);
};

async fn fill(client: &Client) {
    let (store, _) = observed(client, quick());
    store.set("k", "v").await.unwrap();
    store.sadd("s", ["a", "b"]).await.unwrap();
    store.hset("h", [("f", "1"), ("g", "2")]).await.unwrap();
    store.zadd("z", "m", 1.0).await.unwrap();
}

/// A response of status 200 was cut off, or replaced by the page of a proxy. The outcome was not
/// reported as unknown, so a caller that retried an increment counted twice.
#[tokio::test]
async fn after_an_answer_of_status_200_that_cannot_be_read_the_outcome_is_unknown() {
    for garble in [CUT, HTML, TEXT] {
        for (call, write) in WRITES {
            // The writes that fill the table are not garbled.
            let armed = Arc::new(Mutex::new(false));
            let is_armed = Arc::clone(&armed);
            let (client, seen) = garbling(call, usize::MAX, move |status, answer| {
                if *is_armed.lock().unwrap() { garble(status, answer) } else { (status, answer) }
            })
            .await;
            fill(&client).await;
            *armed.lock().unwrap() = true;
            seen.store(0, Ordering::SeqCst);
            let (store, recorder) = observed(&client, quick());
            let error = write(store).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{call}: {error}");
            assert!(error.outcome_is_unknown(), "{call}: {error}");
            assert_eq!(
                (seen.load(Ordering::SeqCst), recorder.take_retries()),
                (1, vec![]),
                "{call}"
            );
        }
    }
}

#[tokio::test]
async fn an_increment_whose_answer_bears_no_sum_is_of_unknown_outcome() {
    let (client, _) = garbling("UpdateItem", 1, EMPTY).await;
    let (store, _) = observed(&client, quick());
    let error = store.incr_by("n", 1).await.unwrap_err();
    assert!(error.outcome_is_unknown(), "{error}");
    assert_eq!(store.get("n").await.unwrap().unwrap(), "1");
}

#[tokio::test]
async fn a_batch_whose_answer_cannot_be_read_is_of_unknown_outcome() {
    for garble in [CUT, HTML] {
        let (client, seen) = garbling("BatchWriteItem", 1, garble).await;
        let (store, _) = observed(&client, quick());
        let mut batch = store.batch();
        let sets = [batch.set("a", "1"), batch.set("b", "2")];
        let mut replies = batch.exec_each().await;
        for set in sets {
            let error = replies.take(set).unwrap_err();
            assert!(error.outcome_is_unknown(), "{error}");
        }
        assert_eq!(store.get("b").await.unwrap().unwrap(), "2");
        assert_eq!(seen.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_read_whose_answer_cannot_be_read_is_asked_again() {
    for garble in [CUT, HTML, TEXT] {
        let (client, seen) = garbling("GetItem", 2, garble).await;
        fill(&client).await;
        let (store, recorder) = observed(&client, quick());
        assert_eq!(store.get("k").await.unwrap().unwrap(), "v");
        assert_eq!(seen.load(Ordering::SeqCst), 3);
        assert_eq!(recorder.take_retries(), [ErrorKind::Unavailable; 2]);
    }
    // These responses have a list even if they found nothing. `{}` is not a response of DynamoDB.
    for garble in [CUT, HTML, EMPTY] {
        let (client, seen) = garbling("Query", 2, garble).await;
        fill(&client).await;
        assert_eq!(observed(&client, quick()).0.zrange("z").await.unwrap(), ["m"]);
        assert_eq!(seen.load(Ordering::SeqCst), 3);
        let (client, seen) = garbling("BatchGetItem", 2, garble).await;
        fill(&client).await;
        let (store, _) = observed(&client, quick());
        let mut batch = store.batch();
        let (k, nothing) = (batch.get("k"), batch.get("nothing"));
        let mut replies = batch.exec().await.unwrap();
        assert_eq!(replies.take(k).unwrap().unwrap(), "v");
        assert_eq!(replies.take(nothing).unwrap(), None);
        assert_eq!(seen.load(Ordering::SeqCst), 3);
    }
}

#[tokio::test]
async fn an_atomic_write_whose_answer_cannot_be_read_goes_again_under_its_token() {
    for garble in [CUT, HTML, TEXT] {
        let (client, seen) = garbling("TransactWriteItems", 2, garble).await;
        let (store, _) = observed(&client, quick());
        let mut tx = store.atomic_write();
        tx.incr_by("n", 1);
        assert!(tx.exec().await.unwrap().is_committed());
        assert_eq!(store.get("n").await.unwrap().unwrap(), "1");
        assert_eq!(seen.load(Ordering::SeqCst), 3);
    }
}

/// The response of a proxy or of another server has a status, but no error code of DynamoDB.
#[tokio::test]
async fn only_a_status_of_4xx_says_that_nothing_was_applied() {
    use ErrorKind::*;
    for (status, kind, is_unknown, sent) in [
        (200, Unavailable, true, 1),
        (204, Unavailable, true, 1),
        (302, Unavailable, true, 1),
        (400, Other, false, 1),
        (403, AccessDenied, false, 1),
        (404, Other, false, 1),
        (407, AccessDenied, false, 1),
        (408, Timeout, false, 10),
        (413, TooLarge, false, 1),
        (429, Throttled, false, 10),
        (500, Unavailable, true, 1),
        (502, Unavailable, true, 1),
        (503, Unavailable, true, 1),
        (504, Unavailable, true, 1),
    ] {
        for body in ["<html>no</html>", "{\"message\":\"no\"}"] {
            // A status of 200 without the expected fields is another test.
            if status < 300 && body.starts_with('{') {
                continue;
            }
            let (client, seen) =
                garbling("UpdateItem", usize::MAX, move |_, _| (status, body.into())).await;
            let (store, _) = observed(&client, quick());
            let error = store.incr_by("n", 1).await.unwrap_err();
            assert_eq!(seen.load(Ordering::SeqCst), sent, "{status}: {error}");
            assert_error(&error, kind, is_unknown);
            assert!(status == 200 || error.to_string().contains(&status.to_string()), "{error}");
        }
    }
}

/// A code that excludes that the write was applied counts only with a status of 4xx.
#[tokio::test]
async fn a_code_with_a_status_of_5xx_does_not_say_that_nothing_was_applied() {
    for code in ["ThrottlingException", "TransactionConflictException", "NeverHeardOf"] {
        let body = format!("{{\"__type\":\"x#{code}\"}}");
        let (client, seen) =
            garbling("UpdateItem", usize::MAX, move |_, _| (503, body.clone())).await;
        let error = observed(&client, quick()).0.incr_by("n", 1).await.unwrap_err();
        assert!(error.is_retryable() && error.outcome_is_unknown(), "{error}");
        assert_eq!(seen.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_signature_that_has_expired_names_the_clock() {
    let words = "Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z";
    for (code, message) in [
        ("InvalidSignatureException", words),
        ("InvalidSignatureException", "Signature not yet current: 20260101T001000Z is still later"),
        ("RequestExpired", ""),
        ("RequestTimeTooSkewed", ""),
    ] {
        let body = format!("{{\"__type\":\"x#{code}\",\"message\":\"{message}\"}}");
        let (client, _) = garbling("UpdateItem", usize::MAX, move |_, _| (400, body.clone())).await;
        let error = observed(&client, quick()).0.incr_by("n", 1).await.unwrap_err();
        assert_error(&error, ErrorKind::AccessDenied, false);
        assert!(error.to_string().contains("clock"), "{error}");
    }
}
