//! Errors of the service that a retry does not help, and cancelled transactions.

use super::{TABLE, assert_error, client, fails_with, quick, store_with};
use crate::support::doubles::{Call, Script};
use keyvaluestore::backend::DynamoError;
use keyvaluestore::backend::aws_sdk_dynamodb::types::{AttributeValue, CancellationReason};
use keyvaluestore::{DynamoDb, Error, ErrorKind, Store};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Every transaction is cancelled for this reason at its second item, or is rejected.
fn cancelled(reason: &'static str) -> Script {
    let reason_of = |code: &str| CancellationReason::builder().code(code).message("words").build();
    Script::default().before(move |call| match call {
        Call::TransactWriteItems(_) if reason == "TransactionInProgressException" => {
            Err(DynamoError::service(reason, ""))
        }
        Call::TransactWriteItems(_) => {
            Err(DynamoError::transaction_cancelled(vec![reason_of("None"), reason_of(reason)]))
        }
        _ => Ok(()),
    })
}

#[tokio::test]
async fn an_atomic_write_that_is_cancelled_says_why() {
    for (reason, kind, attempts) in [
        ("TransactionConflict", ErrorKind::Conflict, 4),
        ("TransactionInProgressException", ErrorKind::Conflict, 4),
        ("ThrottlingError", ErrorKind::Throttled, 4),
        ("ProvisionedThroughputExceeded", ErrorKind::Throttled, 4),
        ("ItemCollectionSizeLimitExceeded", ErrorKind::TooLarge, 1),
        ("ValidationError", ErrorKind::InvalidArgument, 1),
        ("SomethingNew", ErrorKind::Other, 1),
    ] {
        let (store, rules, _) = store_with(cancelled(reason), quick().max_attempts(4)).await;
        let mut tx = store.atomic_write();
        tx.set("a", "v");
        tx.set("b", "v");
        let error = tx.exec().await.unwrap_err();
        assert_error(&error, kind, false);
        assert_eq!(rules.take()["TransactWriteItems"], attempts, "{reason}");
    }
}

#[tokio::test]
async fn what_will_not_pass_is_told_at_once() {
    for (name, kind, says) in [
        ("ExpiredTokenException", ErrorKind::AccessDenied, "refuses the caller"),
        ("AccessDeniedException", ErrorKind::AccessDenied, "refuses the caller"),
        ("UnrecognizedClientException", ErrorKind::AccessDenied, "refuses the caller"),
        ("ResourceNotFoundException", ErrorKind::Other, "create_table"),
        ("ItemCollectionSizeLimitExceededException", ErrorKind::TooLarge, "10 GB"),
        ("ValidationException", ErrorKind::InvalidArgument, "refuses the request"),
        ("NeverHeardOf", ErrorKind::Other, "NeverHeardOf"),
    ] {
        let (store, rules, recorder) =
            store_with(Script::default().before(fails_with(name)), quick()).await;
        let mut tx = store.atomic_write();
        tx.set("k", "v");
        let mut batch = store.batch();
        let (a, b) = (batch.get("a"), batch.get("b"));
        let mut replies = batch.exec_each().await;
        for error in [
            store.get("k").await.unwrap_err(),
            store.set("k", "v").await.unwrap_err(),
            store.zrange("z").await.unwrap_err(),
            tx.exec().await.unwrap_err(),
            replies.take(a).unwrap_err(),
            replies.take(b).unwrap_err(),
        ] {
            assert_error(&error, kind, false);
            assert!(error.to_string().contains(says), "{name}: {error}");
            assert!(error.to_string().contains(name), "{name}: {error}");
        }
        let taken = rules.take();
        // After an invalid request, the items of a group are sent one by one.
        let gets =
            if kind == ErrorKind::InvalidArgument || kind == ErrorKind::TooLarge { 3 } else { 1 };
        assert_eq!(taken["GetItem"], gets, "{name}: {taken:?}");
        assert_eq!((taken["PutItem"], taken["Query"], taken["BatchGetItem"]), (1, 1, 1), "{name}");
        assert_eq!(recorder.take_retries(), []);
    }
}

#[tokio::test]
async fn a_missing_table_says_how_to_make_it() {
    let client = client().await;
    let store = Store::new(DynamoDb::new(client, "another"));
    let error = store.get("k").await.unwrap_err();
    assert!(error.to_string().contains("DynamoDb::create_table"), "{error}");
    assert_error(&store.set("k", "v").await.unwrap_err(), ErrorKind::Other, false);
}

#[tokio::test]
async fn one_refused_item_hides_no_other() {
    let refused = |item: &str| item == "bad";
    let key = |input: &HashMap<String, _>| -> String {
        let attribute: &AttributeValue = &input["hk"];
        String::from_utf8_lossy(attribute.as_b().unwrap().as_ref()).into_owned()
    };
    let rules = Script::default().before(move |call| {
        let keys: Vec<String> = match call {
            Call::PutItem(input) => vec![key(input.get_item().as_ref().unwrap())],
            Call::BatchWriteItem(input) => input.get_request_items().as_ref().unwrap()[TABLE]
                .iter()
                .map(|request| key(request.put_request().unwrap().item()))
                .collect(),
            _ => vec![],
        };
        if keys.iter().any(|key| refused(key)) {
            return Err(DynamoError::service("ValidationException", "one of them is not to be"));
        }
        Ok(())
    });
    let (store, rules, _) = store_with(rules, quick()).await;
    let mut batch = store.batch();
    let good: Vec<_> = (0..40).map(|i| batch.set(i.to_string(), "v")).collect();
    let bad = batch.set("bad", "v");
    let mut replies = batch.exec_each().await;
    for (i, good) in good.into_iter().enumerate() {
        replies.take(good).unwrap();
        assert_eq!(store.get(i.to_string()).await.unwrap().unwrap(), "v");
    }
    assert_error(&replies.take(bad).unwrap_err(), ErrorKind::InvalidArgument, false);
    assert_eq!(rules.take()["BatchWriteItem"], 2);
}

#[tokio::test]
async fn one_failed_group_hides_no_other() {
    let second = AtomicUsize::new(0);
    let rules = Script::default().before(move |call| match call {
        Call::BatchGetItem(_) if second.fetch_add(1, Ordering::SeqCst) == 1 => {
            Err(DynamoError::service("AccessDeniedException", ""))
        }
        _ => Ok(()),
    });
    let (store, ..) = store_with(rules, quick()).await;
    let mut batch = store.batch();
    let gets: Vec<_> = (0..250).map(|i| batch.get(i.to_string())).collect();
    let mut replies = batch.exec_each().await;
    let errors: Vec<Error> = gets.into_iter().filter_map(|get| replies.take(get).err()).collect();
    assert_eq!(errors.len(), 100);
    errors.iter().for_each(|error| assert_error(error, ErrorKind::AccessDenied, false));
}
