//! The SDK's client on a real connection, to a server that applies a request and loses the
//! response.

use super::{TABLE, observed, quick};
use crate::support::dynamodb::{Fate, Server, client_with, database, dispatch, in_process_with};
use dynoxide::Database;
use keyvaluestore::backend::aws_sdk_dynamodb::Client;
use keyvaluestore::backend::aws_sdk_dynamodb::primitives::Blob;
use keyvaluestore::backend::aws_sdk_dynamodb::types::AttributeValue;
use keyvaluestore::{DynamoDb, ErrorKind, Outcome, Store};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A client of a server for which the first `n` requests for `call` meet `fate`, and a counter of
/// these requests.
async fn losing(call: &'static str, n: usize, fate: Fate) -> (Client, Arc<AtomicUsize>) {
    let db = with_table().await;
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let server = Server::judging(&db, move |this| {
        let meant = this == call && count.fetch_add(1, Ordering::SeqCst) < n;
        if meant { fate } else { Fate::Answer }
    });
    (client_with(None, &server.url()), seen)
}

async fn with_table() -> Database {
    let db = database();
    DynamoDb::create_table(&crate::support::dynamodb::in_process(&db), TABLE).await.unwrap();
    db
}

#[tokio::test]
async fn an_increment_whose_answer_is_lost_is_applied_once() {
    for fate in [Fate::Drop, Fate::Fail] {
        let (client, seen) = losing("UpdateItem", 1, fate).await;
        let (store, recorder) = observed(&client, quick());
        let error = store.incr_by("n", 1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.outcome_is_unknown());
        assert_eq!(store.get("n").await.unwrap().unwrap(), "1");
        assert_eq!((seen.load(Ordering::SeqCst), recorder.take_retries()), (1, vec![]));
    }
}

/// This is why the SDK's retries are off.
#[tokio::test]
async fn the_client_alone_would_have_applied_it_twice() {
    let (client, seen) = losing("UpdateItem", 1, Fate::Drop).await;
    let update = client.update_item().table_name(TABLE).update_expression("ADD v :n");
    let key = |name: &[u8]| AttributeValue::B(Blob::new(name));
    let update = update.key("hk", key(b"n")).key("rk", key(b"_"));
    update.expression_attribute_values(":n", AttributeValue::N("1".into())).send().await.unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 2);
    assert_eq!(observed(&client, quick()).0.get("n").await.unwrap().unwrap(), "2");
}

#[tokio::test]
async fn the_winner_of_a_set_nx_is_not_told_that_it_lost() {
    let (client, seen) = losing("PutItem", 1, Fate::Drop).await;
    let (store, _) = observed(&client, quick());
    let error = store.set_nx("k", "v").await.unwrap_err();
    assert!(error.outcome_is_unknown(), "{error}");
    assert_eq!(store.get("k").await.unwrap().unwrap(), "v");
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_atomic_write_is_sent_again_and_applied_once() {
    for fate in [Fate::Drop, Fate::Fail] {
        let (client, seen) = losing("TransactWriteItems", 2, fate).await;
        let (store, recorder) = observed(&client, quick());
        let mut tx = store.atomic_write();
        tx.incr_by("n", 1);
        tx.set_nx("k", "v");
        assert_eq!(tx.exec().await.unwrap(), Outcome::Committed);
        assert_eq!(store.get("n").await.unwrap().unwrap(), "1");
        assert_eq!(seen.load(Ordering::SeqCst), 3);
        assert_eq!(recorder.take_retries(), [ErrorKind::Unavailable; 2]);
    }
}

#[tokio::test]
async fn reads_are_asked_again() {
    let (client, seen) = losing("GetItem", 2, Fate::Drop).await;
    let (store, _) = observed(&client, quick());
    assert_eq!(store.get("k").await.unwrap(), None);
    assert_eq!(seen.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn what_was_throttled_is_sent_again_writes_too() {
    let (client, seen) = losing("UpdateItem", 3, Fate::Throttle).await;
    let (store, recorder) = observed(&client, quick());
    assert_eq!(store.incr_by("n", 1).await.unwrap(), 1);
    assert_eq!(seen.load(Ordering::SeqCst), 4);
    assert_eq!(recorder.take_retries(), [ErrorKind::Throttled; 3]);
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_and_known_to_have_done_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = client_with(None, &format!("http://{address}"));
    let (closed, recorder) = observed(&client, quick());
    let error = closed.incr_by("n", 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(!error.outcome_is_unknown(), "{error}");
    assert_eq!(recorder.take_retries(), [ErrorKind::Unavailable; 9]);

    // The server starts while the call retries.
    let db = with_table().await;
    let options = quick().backoff(Duration::from_millis(50), Duration::from_millis(50));
    let options = options.max_attempts(1_000);
    let store = Store::new(DynamoDb::new(client, TABLE).with_options(options));
    let call = tokio::spawn(async move { store.incr_by("n", 1).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let _server = Server::on(TcpListener::bind(address).unwrap(), &db, |_| Fate::Answer);
    assert_eq!(call.await.unwrap().unwrap(), 1);
}

/// DynamoDB rejects a token that comes with another request than before.
#[tokio::test]
async fn what_is_sent_again_under_a_token_is_the_same_to_the_byte() {
    let db = with_table().await;
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let sent = Arc::clone(&bodies);
    let client = in_process_with(&db, move |db, call, body| {
        let answer = dispatch(db, call, body);
        if call != "TransactWriteItems" {
            return answer;
        }
        let mut sent = sent.lock().unwrap();
        sent.push(String::from_utf8_lossy(body).into_owned());
        match sent.len() {
            1..4 => (500, r#"{"__type":"InternalServerError"}"#.to_owned()),
            _ => answer,
        }
    });
    let (store, _) = observed(&client, quick());
    store.hset("some", [("a", "1"), ("b", "2"), ("c", "3")]).await.unwrap();
    store.sadd("full", ["a", "b", "c"]).await.unwrap();
    let mut tx = store.atomic_write();
    tx.set("string", "v");
    tx.set_nx("new", 7);
    tx.incr_by("counter", 3);
    tx.hset("hash", [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]);
    tx.hset_nx("another", "f", "v");
    tx.hdel("some", ["a", "b"]);
    tx.sadd("set", ["a", "b", "c"]);
    tx.srem("full", ["a", "b"]);
    tx.zhadd("sorted", "f", "v", 2.0);
    tx.zincr_by("sorted", "m", 3.0);
    tx.delete("gone");
    assert!(tx.exec().await.unwrap().is_committed());
    let bodies = std::mem::take(&mut *bodies.lock().unwrap());
    assert_eq!(bodies.len(), 4);
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:#?}");
    assert_eq!(store.hgetall("some").await.unwrap().len(), 1);
}
