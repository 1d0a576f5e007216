//! Lost responses: reads are retried, writes of unknown outcome are not, and an atomic write is
//! retried with its idempotency token.

use super::{assert_error, first, quick, store_with};
use crate::support::doubles::{Call, Script};
use keyvaluestore::backend::DynamoError;
use keyvaluestore::backend::aws_sdk_dynamodb::types::CancellationReason;
use keyvaluestore::{ErrorKind, Outcome};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[tokio::test]
async fn an_atomic_write_whose_answer_is_lost_is_applied_once() {
    for error in [
        || DynamoError::response_lost("the connection was closed"),
        || DynamoError::service("InternalServerError", ""),
        || DynamoError::timeout(),
    ] {
        let first = first(2);
        let rules = Script::default().after(move |call| {
            if call == "TransactWriteItems" && first() { Err(error()) } else { Ok(()) }
        });
        let (store, rules, recorder) = store_with(rules, quick()).await;
        let mut tx = store.atomic_write();
        tx.incr_by("n", 1);
        let won = tx.set_nx("k", "v");
        let outcome = tx.exec().await.unwrap();
        assert_eq!(outcome, Outcome::Committed, "{won:?}");
        assert_eq!(store.get("n").await.unwrap().unwrap(), "1");
        assert_eq!(rules.take()["TransactWriteItems"], 3);
        assert_eq!(recorder.take_retries().len(), 2);
    }
    // Without a successful retry, the outcome is unknown.
    let rules =
        Script::default().after(|_| Err(DynamoError::response_lost("the connection was closed")));
    let (store, rules, _) = store_with(rules, quick().max_attempts(2)).await;
    let mut tx = store.atomic_write();
    tx.incr_by("n", 1);
    assert_error(&tx.exec().await.unwrap_err(), ErrorKind::Unavailable, true);
    assert_eq!(rules.take()["TransactWriteItems"], 2);
}

#[tokio::test]
async fn the_same_token_goes_with_all_attempts_and_with_no_other_write() {
    let tokens = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (seen, first) = (Arc::clone(&tokens), first(2));
    let rules = Script::default().before(move |call| match call {
        Call::TransactWriteItems(input) => {
            seen.lock().unwrap().push(input.get_client_request_token().clone().unwrap());
            if first() {
                Err(DynamoError::response_lost("the connection was closed"))
            } else {
                Ok(())
            }
        }
        _ => Ok(()),
    });
    let (store, ..) = store_with(rules, quick()).await;
    for _ in 0..2 {
        let mut tx = store.atomic_write();
        tx.incr_by("n", 1);
        assert!(tx.exec().await.unwrap().is_committed());
    }
    assert_eq!(store.get("n").await.unwrap().unwrap(), "2");
    let tokens = tokens.lock().unwrap();
    assert_eq!(tokens.len(), 4);
    assert!(tokens[0] == tokens[1] && tokens[1] == tokens[2] && tokens[2] != tokens[3]);
}

#[tokio::test]
async fn reads_are_sent_again_and_writes_of_unknown_outcome_are_not() {
    for error in [
        || DynamoError::response_lost("the connection was closed"),
        || DynamoError::service("InternalServerError", ""),
        || DynamoError::timeout(),
    ] {
        let kind = match error().to_string() {
            words if words.contains("in time") => ErrorKind::Timeout,
            _ => ErrorKind::Unavailable,
        };
        let first = first(3);
        let is_read = |call: &str| ["GetItem", "Query", "BatchGetItem"].contains(&call);
        let rules = Script::default()
            .after(move |call| if !is_read(call) || first() { Err(error()) } else { Ok(()) });
        let (store, rules, recorder) = store_with(rules, quick()).await;
        assert_eq!(store.get("k").await.unwrap(), None);
        assert_eq!((rules.take()["GetItem"], recorder.take_retries()), (4, vec![kind; 3]));

        // Each write is applied, and sent once.
        assert_error(&store.incr_by("n", 1).await.unwrap_err(), kind, true);
        assert_eq!(store.get("n").await.unwrap().unwrap(), "1");
        assert_error(&store.set_nx("k", "v").await.unwrap_err(), kind, true);
        assert_error(&store.set("k", "w").await.unwrap_err(), kind, true);
        assert_error(&store.delete("k").await.unwrap_err(), kind, true);
        assert_error(&store.hset("h", [("f", "v")]).await.unwrap_err(), kind, true);
        assert_error(&store.zadd("z", "m", 1.0).await.unwrap_err(), kind, true);
        assert_error(&store.zincr_by("z", "m", 1.0).await.unwrap_err(), kind, true);
        assert_eq!(store.zscore("z", "m").await.unwrap(), Some(2.0));
        let mut batch = store.batch();
        let sets = [batch.set("a", "v"), batch.set("b", "v")];
        let get = batch.get("n");
        let mut replies = batch.exec_each().await;
        assert_eq!(replies.take(get).unwrap().unwrap(), "1");
        for set in sets {
            assert_error(&replies.take(set).unwrap_err(), kind, true);
        }
        let taken = rules.take();
        assert_eq!((taken["PutItem"], taken["BatchWriteItem"]), (3, 1), "{taken:?}");
        assert_eq!((taken["UpdateItem"], taken["DeleteItem"]), (3, 1), "{taken:?}");
        assert_eq!(recorder.take_retries(), []);
    }
}

#[tokio::test]
async fn a_write_that_was_not_applied_is_sent_again() {
    for error in [
        || DynamoError::not_sent("the connection was refused"),
        || DynamoError::service("ThrottlingException", ""),
        || DynamoError::service("RequestLimitExceeded", ""),
        || DynamoError::service("TransactionConflictException", ""),
    ] {
        let first = first(2);
        let rules = Script::default().before(move |_| if first() { Err(error()) } else { Ok(()) });
        let (store, rules, _) = store_with(rules, quick()).await;
        assert_eq!(store.incr_by("n", 1).await.unwrap(), 1);
        assert_eq!(rules.take()["UpdateItem"], 3);
    }
    // One attempt of several suffices to make the outcome unknown.
    let (first, second) = (first(1), first(1));
    let rules = Script::default().before(move |_| match () {
        () if first() => Err(DynamoError::service("ThrottlingException", "")),
        () if second() => Err(DynamoError::response_lost("the connection was closed")),
        () => Ok(()),
    });
    let (store, ..) = store_with(rules, quick()).await;
    assert_error(&store.incr_by("n", 1).await.unwrap_err(), ErrorKind::Unavailable, true);
}

/// The first attempt is applied, the later ones are throttled or rejected. The last error alone
/// would say that nothing was applied.
#[tokio::test]
async fn what_a_transaction_may_have_done_before_is_told_when_it_is_given_up() {
    for last in ["ThrottlingError", "TransactionConflict", "AccessDeniedException"] {
        let (first, calls) = (first(1), AtomicUsize::new(0));
        let reason = |code: &str| CancellationReason::builder().code(code).build();
        let rules = Script::default()
            .before(move |call| match call {
                Call::TransactWriteItems(_) => match calls.fetch_add(1, Ordering::SeqCst) {
                    0 => Ok(()),
                    1 => Err(DynamoError::transaction_cancelled(vec![reason("ThrottlingError")])),
                    _ if last == "AccessDeniedException" => Err(DynamoError::service(last, "")),
                    _ => Err(DynamoError::transaction_cancelled(vec![reason(last)])),
                },
                _ => Ok(()),
            })
            .after(move |call| match call == "TransactWriteItems" && first() {
                true => Err(DynamoError::response_lost("the connection was closed")),
                false => Ok(()),
            });
        let (store, _, _) = store_with(rules, quick().max_attempts(4)).await;
        let mut tx = store.atomic_write();
        tx.incr_by("n", 1);
        let error = tx.exec().await.unwrap_err();
        assert!(error.outcome_is_unknown(), "{last}: {error:?}");
        assert_eq!(store.get("n").await.unwrap().unwrap(), "1");
    }
}
