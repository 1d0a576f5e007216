//! What the service answers when it does not do its work, and what is made of it.

use super::{Notes, TABLE, client, quick, store_on};
use crate::support::doubles::{Call, Double, Script};
use keyvaluestore::backend::aws_sdk_dynamodb::types::{AttributeValue, CancellationReason};
use keyvaluestore::backend::{DynamoClient, DynamoDbOptions, DynamoError};
use keyvaluestore::{DynamoDb, Error, ErrorKind, Handle, Outcome, Store, Value};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A store on a new table under `rules`, the rules again, and what its observer hears.
async fn under(rules: Script, options: DynamoDbOptions) -> (Store, Arc<Script>, Arc<Notes>) {
    let (rules, notes) = (Arc::new(rules), Arc::new(Notes::default()));
    let store = store_on(&client().await, &rules, options);
    (store.with_observer(Arc::clone(&notes) as _), rules, notes)
}

/// Answers `true` the first `n` times.
fn at_first(n: usize) -> impl Fn() -> bool + Send + Sync {
    let left = AtomicUsize::new(n);
    move || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
}

fn code(code: &'static str) -> impl Fn(Call<'_>) -> Result<(), DynamoError> + Send + Sync {
    move |_| Err(DynamoError::service(code, "said the service"))
}

fn is(error: &Error, kind: ErrorKind, is_unknown: bool) {
    assert_eq!((error.kind(), error.outcome_is_unknown()), (kind, is_unknown), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn throttling_of_one_call_in_three_is_waited_out() {
    let (calls, thrown) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&thrown);
    let rules = Script::default().slow(Duration::from_millis(1)).before(move |_| {
        if !calls.fetch_add(1, Ordering::SeqCst).is_multiple_of(3) {
            return Ok(());
        }
        counter.fetch_add(1, Ordering::SeqCst);
        Err(DynamoError::service("ThrottlingException", ""))
    });
    let (store, _, notes) = under(rules, quick().attempts(100)).await;
    let tasks = (0..8).map(|task| {
        let store = store.clone();
        tokio::spawn(async move {
            for i in 0..20 {
                store.incr_by("n", 1).await.unwrap();
                store.hset("h", [(format!("{task}-{i}"), "v")]).await.unwrap();
                store.zincr_by("z", "m", 1.0).await.unwrap();
                let mut tx = store.atomic_write();
                tx.sadd("s", [format!("{task}-{i}")]);
                tx.incr_by("t", 1);
                assert!(tx.exec().await.unwrap().is_committed());
                let mut batch = store.batch();
                batch.set(format!("k{task}"), i);
                batch.get("n");
                let _ = batch.exec().await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(store.get("n").await.unwrap().unwrap(), "160");
    assert_eq!(store.get("t").await.unwrap().unwrap(), "160");
    assert_eq!(store.zscore("z", "m").await.unwrap(), Some(160.0));
    assert_eq!(store.hgetall("h").await.unwrap().len(), 160);
    assert_eq!(store.smembers("s").await.unwrap().len(), 160);
    let heard = notes.take_retries();
    let throttles = heard.iter().filter(|kind| **kind == ErrorKind::Throttled).count();
    assert_eq!(throttles, thrown.load(Ordering::SeqCst));
    assert!(heard.iter().all(|kind| matches!(kind, ErrorKind::Throttled | ErrorKind::Conflict)));
}

#[tokio::test]
async fn what_stays_unprocessed_is_an_error_for_exactly_those_operations() {
    // Whatever is asked, two are left.
    let rules = Script::default().processing(|of| of.saturating_sub(2));
    let (store, rules, notes) = under(rules, quick().attempts(3)).await;
    let mut batch = store.batch();
    let sets: Vec<_> = (0..10).map(|i| batch.set(i.to_string(), i)).collect();
    let other = batch.incr_by("n", 1);
    let mut replies = batch.exec_each().await;
    assert_eq!(replies.take(other).unwrap(), 1);
    // 10, then what is left of them again and again: 2 twice more.
    assert_eq!(rules.take()["BatchWriteItem"], 4);
    assert_eq!(notes.take_retries(), [ErrorKind::Throttled; 3]);
    let mut lost = 0;
    for (i, set) in sets.into_iter().enumerate() {
        let there = store.get(i.to_string()).await.unwrap().is_some();
        match replies.take(set) {
            Ok(()) => assert!(there, "{i}"),
            Err(error) => {
                is(&error, ErrorKind::Throttled, false);
                assert!(!there, "{i}");
                lost += 1;
            }
        }
    }
    assert_eq!(lost, 2);

    for i in 0..10 {
        store.set(i.to_string(), i).await.unwrap();
    }
    let mut batch = store.batch();
    let gets: Vec<Handle<Option<Value>>> = (0..10).map(|i| batch.get(i.to_string())).collect();
    let mut replies = batch.exec_each().await;
    let kinds: Vec<_> =
        gets.into_iter().filter_map(|get| replies.take(get).err()).map(|e| e.kind()).collect();
    assert_eq!(kinds, [ErrorKind::Throttled; 2]);
}

#[tokio::test]
async fn groups_that_are_answered_in_parts_are_read_and_written_to_the_end() {
    // Reads of 16 MB and more are answered so. As something is done each time, it is no further
    // attempt.
    let rules = Script::default().processing(|of| of.min(7));
    let (store, rules, _) = under(rules, quick().attempts(2)).await;
    let mut batch = store.batch();
    (0..100).for_each(|i| {
        let _ = batch.set(i.to_string(), i);
    });
    let _ = batch.exec().await.unwrap();
    assert_eq!(rules.take()["BatchWriteItem"], 16);
    let mut batch = store.batch();
    let gets: Vec<_> = (0..100).map(|i| batch.get(i.to_string())).collect();
    let mut replies = batch.exec().await.unwrap();
    assert_eq!(rules.take()["BatchGetItem"], 15);
    for (i, get) in gets.into_iter().enumerate() {
        assert_eq!(replies.take(get).unwrap().unwrap(), i.to_string().as_str());
    }
}

#[tokio::test]
async fn a_conflict_that_does_not_pass_ends_as_one() {
    let (store, rules, notes) =
        under(Script::default().before(code("TransactionConflictException")), quick().attempts(4))
            .await;
    is(&store.set("k", "v").await.unwrap_err(), ErrorKind::Conflict, false);
    assert_eq!(rules.take()["PutItem"], 4);
    assert_eq!(notes.take_retries(), [ErrorKind::Conflict; 3]);
    is(&store.incr_by("k", 1).await.unwrap_err(), ErrorKind::Conflict, false);
    assert_eq!(rules.take()["UpdateItem"], 4);
}

/// Cancels every transaction for a reason at its second item, or does not let it begin.
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
        let (store, rules, _) = under(cancelled(reason), quick().attempts(4)).await;
        let mut tx = store.atomic_write();
        tx.set("a", "v");
        tx.set("b", "v");
        let error = tx.exec().await.unwrap_err();
        is(&error, kind, false);
        assert_eq!(rules.take()["TransactWriteItems"], attempts, "{reason}");
    }
}

#[tokio::test]
async fn an_atomic_write_whose_answer_is_lost_is_applied_once() {
    for error in [
        || DynamoError::lost("the connection was closed"),
        || DynamoError::service("InternalServerError", ""),
        || DynamoError::timeout(),
    ] {
        let first = at_first(2);
        let rules = Script::default().after(move |call| {
            if call == "TransactWriteItems" && first() { Err(error()) } else { Ok(()) }
        });
        let (store, rules, notes) = under(rules, quick()).await;
        let mut tx = store.atomic_write();
        tx.incr_by("n", 1);
        let won = tx.set_nx("k", "v");
        let outcome = tx.exec().await.unwrap();
        assert_eq!(outcome, Outcome::Committed, "{won:?}");
        assert_eq!(store.get("n").await.unwrap().unwrap(), "1");
        assert_eq!(rules.take()["TransactWriteItems"], 3);
        assert_eq!(notes.take_retries().len(), 2);
    }
    // With no attempt left it is not known.
    let rules = Script::default().after(|_| Err(DynamoError::lost("the connection was closed")));
    let (store, rules, _) = under(rules, quick().attempts(2)).await;
    let mut tx = store.atomic_write();
    tx.incr_by("n", 1);
    is(&tx.exec().await.unwrap_err(), ErrorKind::Unavailable, true);
    assert_eq!(rules.take()["TransactWriteItems"], 2);
}

#[tokio::test]
async fn the_same_token_goes_with_all_attempts_and_with_no_other_write() {
    let tokens = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (seen, first) = (Arc::clone(&tokens), at_first(2));
    let rules = Script::default().before(move |call| match call {
        Call::TransactWriteItems(input) => {
            seen.lock().unwrap().push(input.get_client_request_token().clone().unwrap());
            if first() { Err(DynamoError::lost("the connection was closed")) } else { Ok(()) }
        }
        _ => Ok(()),
    });
    let (store, ..) = under(rules, quick()).await;
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
        || DynamoError::lost("the connection was closed"),
        || DynamoError::service("InternalServerError", ""),
        || DynamoError::timeout(),
    ] {
        let kind = match error().to_string() {
            words if words.contains("in time") => ErrorKind::Timeout,
            _ => ErrorKind::Unavailable,
        };
        let first = at_first(3);
        let is_read = |call: &str| ["GetItem", "Query", "BatchGetItem"].contains(&call);
        let rules = Script::default()
            .after(move |call| if !is_read(call) || first() { Err(error()) } else { Ok(()) });
        let (store, rules, notes) = under(rules, quick()).await;
        assert_eq!(store.get("k").await.unwrap(), None);
        assert_eq!((rules.take()["GetItem"], notes.take_retries()), (4, vec![kind; 3]));

        // Each was applied, and sent once.
        is(&store.incr_by("n", 1).await.unwrap_err(), kind, true);
        assert_eq!(store.get("n").await.unwrap().unwrap(), "1");
        is(&store.set_nx("k", "v").await.unwrap_err(), kind, true);
        is(&store.set("k", "w").await.unwrap_err(), kind, true);
        is(&store.delete("k").await.unwrap_err(), kind, true);
        is(&store.hset("h", [("f", "v")]).await.unwrap_err(), kind, true);
        is(&store.zadd("z", "m", 1.0).await.unwrap_err(), kind, true);
        is(&store.zincr_by("z", "m", 1.0).await.unwrap_err(), kind, true);
        assert_eq!(store.zscore("z", "m").await.unwrap(), Some(2.0));
        let mut batch = store.batch();
        let sets = [batch.set("a", "v"), batch.set("b", "v")];
        let get = batch.get("n");
        let mut replies = batch.exec_each().await;
        assert_eq!(replies.take(get).unwrap().unwrap(), "1");
        for set in sets {
            is(&replies.take(set).unwrap_err(), kind, true);
        }
        let taken = rules.take();
        assert_eq!((taken["PutItem"], taken["BatchWriteItem"]), (3, 1), "{taken:?}");
        assert_eq!((taken["UpdateItem"], taken["DeleteItem"]), (3, 1), "{taken:?}");
        assert_eq!(notes.take_retries(), []);
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
        let first = at_first(2);
        let rules = Script::default().before(move |_| if first() { Err(error()) } else { Ok(()) });
        let (store, rules, _) = under(rules, quick()).await;
        assert_eq!(store.incr_by("n", 1).await.unwrap(), 1);
        assert_eq!(rules.take()["UpdateItem"], 3);
    }
    // Of several attempts, one is enough to make the outcome unknown.
    let (first, second) = (at_first(1), at_first(1));
    let rules = Script::default().before(move |_| match () {
        () if first() => Err(DynamoError::service("ThrottlingException", "")),
        () if second() => Err(DynamoError::lost("the connection was closed")),
        () => Ok(()),
    });
    let (store, ..) = under(rules, quick()).await;
    is(&store.incr_by("n", 1).await.unwrap_err(), ErrorKind::Unavailable, true);
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
        let (store, rules, notes) = under(Script::default().before(code(name)), quick()).await;
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
            is(&error, kind, false);
            assert!(error.to_string().contains(says), "{name}: {error}");
            assert!(error.to_string().contains(name), "{name}: {error}");
        }
        let taken = rules.take();
        // A group that the service refuses as a request is asked item by item: one of them may be
        // at fault.
        let gets =
            if kind == ErrorKind::InvalidArgument || kind == ErrorKind::TooLarge { 3 } else { 1 };
        assert_eq!(taken["GetItem"], gets, "{name}: {taken:?}");
        assert_eq!((taken["PutItem"], taken["Query"], taken["BatchGetItem"]), (1, 1, 1), "{name}");
        assert_eq!(notes.take_retries(), []);
    }
}

#[tokio::test]
async fn a_missing_table_says_how_to_make_it() {
    let client = client().await;
    let store = Store::new(DynamoDb::new(client, "another"));
    let error = store.get("k").await.unwrap_err();
    assert!(error.to_string().contains("DynamoDb::create_table"), "{error}");
    is(&store.set("k", "v").await.unwrap_err(), ErrorKind::Other, false);
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
    let (store, rules, _) = under(rules, quick()).await;
    let mut batch = store.batch();
    let good: Vec<_> = (0..40).map(|i| batch.set(i.to_string(), "v")).collect();
    let bad = batch.set("bad", "v");
    let mut replies = batch.exec_each().await;
    for (i, good) in good.into_iter().enumerate() {
        replies.take(good).unwrap();
        assert_eq!(store.get(i.to_string()).await.unwrap().unwrap(), "v");
    }
    is(&replies.take(bad).unwrap_err(), ErrorKind::InvalidArgument, false);
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
    let (store, ..) = under(rules, quick()).await;
    let mut batch = store.batch();
    let gets: Vec<_> = (0..250).map(|i| batch.get(i.to_string())).collect();
    let mut replies = batch.exec_each().await;
    let errors: Vec<Error> = gets.into_iter().filter_map(|get| replies.take(get).err()).collect();
    assert_eq!(errors.len(), 100);
    errors.iter().for_each(|error| is(error, ErrorKind::AccessDenied, false));
}

#[tokio::test]
async fn a_call_ends_in_time_whatever_goes_wrong() {
    let limit = Duration::from_millis(200);
    // Attempts without end, and a service that never gets better.
    let endless = DynamoDbOptions::new().attempts(u32::MAX).timeout(limit);
    let slow = endless.clone().pauses(Duration::from_millis(5), Duration::from_millis(20));
    for name in ["ThrottlingException", "TransactionConflictException"] {
        let (store, ..) = under(Script::default().before(code(name)), slow.clone()).await;
        let mut batch = store.batch();
        (0..60).for_each(|i| {
            let _ = batch.set(i.to_string(), i);
            let _ = batch.zincr_by("z", i, 1.0);
        });
        let mut tx = store.atomic_write();
        tx.zincr_by("z", "m", 1.0);
        let start = Instant::now();
        let (get, set, range, tx, batch) = tokio::join!(
            store.get("k"),
            store.set("k", "v"),
            async { store.zrange("z").await },
            tx.exec(),
            batch.exec()
        );
        assert!(start.elapsed() < limit * 3, "{:?}", start.elapsed());
        let errors = [get.err(), set.err(), range.err(), tx.err(), batch.err()].map(Option::unwrap);
        for error in errors {
            assert!(error.is_retryable(), "{error}");
        }
    }
    // A service that does not answer at all.
    let hangs = Script::default().slow(Duration::from_secs(1_000_000));
    let (store, rules, _) = under(hangs, slow.attempt_timeout(Duration::from_millis(50))).await;
    let start = Instant::now();
    is(&store.set("k", "v").await.unwrap_err(), ErrorKind::Timeout, true);
    assert!(start.elapsed() < limit, "{:?}", start.elapsed());
    is(&store.get("k").await.unwrap_err(), ErrorKind::Timeout, false);
    assert!(start.elapsed() < limit * 3, "{:?}", start.elapsed());
    drop(rules);
}

#[tokio::test]
async fn one_attempt_is_one() {
    let (store, rules, notes) =
        under(Script::default().before(code("ThrottlingException")), quick().attempts(1)).await;
    is(&store.get("k").await.unwrap_err(), ErrorKind::Throttled, false);
    is(&store.set("k", "v").await.unwrap_err(), ErrorKind::Throttled, false);
    let mut batch = store.batch();
    (0..3).for_each(|i| {
        let _ = batch.get(i.to_string());
    });
    assert_eq!(batch.exec().await.unwrap_err().kind(), ErrorKind::Throttled);
    let taken = rules.take();
    assert_eq!((taken["GetItem"], taken["PutItem"], taken["BatchGetItem"]), (1, 1, 1));
    assert_eq!(notes.take_retries(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn answers_may_come_in_any_order() {
    let (store, ..) = under(Script::default().slow(Duration::from_millis(3)), quick()).await;
    let mut batch = store.batch();
    // Each key: a write, a read that sees it, a write, a read.
    let mut expected = Vec::new();
    for round in 0..3 {
        for key in 0..40 {
            let value = format!("{round}-{key}");
            let _ = batch.set(key.to_string(), &value);
            let _ = batch.hset(format!("h{key}"), [("f", &value)]);
            expected.push((batch.get(key.to_string()), value.clone()));
            expected.push((batch.hget(format!("h{key}"), "f"), value));
        }
    }
    let mut replies = batch.exec().await.unwrap();
    for (handle, value) in expected {
        assert_eq!(replies.take(handle).unwrap().unwrap(), value.as_str());
    }
    let calls = (0..40).map(|key| {
        let store = store.clone();
        tokio::spawn(async move {
            let value = store.get(key.to_string()).await.unwrap().unwrap();
            assert_eq!(value, format!("2-{key}").as_str());
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_nothing_behind() {
    // The request may be on its way; what must not be is a task that goes on sending.
    let (store, rules, _) =
        under(Script::default().before(code("ThrottlingException")), DynamoDbOptions::new()).await;
    let call = tokio::time::timeout(Duration::from_millis(5), store.set("k", "v"));
    assert!(call.await.is_err());
    rules.take();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(rules.take().is_empty());
}

#[tokio::test]
async fn reads_go_where_reads_go_and_what_a_write_depends_on_does_not() {
    let (reads, writes) = (Arc::new(Script::default()), Arc::new(Script::default()));
    let client = client().await;
    let double = |rules: &Arc<Script>| Double {
        api: DynamoClient::new(client.clone()),
        rules: Arc::clone(rules),
    };
    let backend = DynamoDb::with_api(double(&writes), TABLE).with_reads(double(&reads));
    let store = Store::new(backend).eventually_consistent();
    store.zadd("z", "m", 1.0).await.unwrap();
    store.zincr_by("z", "m", 1.0).await.unwrap();
    let taken = writes.take();
    assert_eq!((taken["GetItem"], taken["PutItem"], taken["UpdateItem"]), (1, 1, 1));
    assert!(reads.take().is_empty());
    store.get("k").await.unwrap();
    store.zcount("z", ..).await.unwrap();
    let mut batch = store.batch();
    let _ = (batch.get("a"), batch.get("b"), batch.set("c", "v"));
    let _ = batch.exec().await.unwrap();
    let taken = reads.take();
    assert_eq!((taken["GetItem"], taken["Query"], taken["BatchGetItem"]), (1, 1, 1));
    assert_eq!(writes.take().into_iter().collect::<Vec<_>>(), [("PutItem", 1)]);
}

/// One that was applied, and then only throttled or refused: what the last answer says of itself
/// does not hold for the first.
#[tokio::test]
async fn what_a_transaction_may_have_done_before_is_told_when_it_is_given_up() {
    for last in ["ThrottlingError", "TransactionConflict", "AccessDeniedException"] {
        let (first, calls) = (at_first(1), AtomicUsize::new(0));
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
                true => Err(DynamoError::lost("the connection was closed")),
                false => Ok(()),
            });
        let (store, _, _) = under(rules, quick().attempts(4)).await;
        let mut tx = store.atomic_write();
        tx.incr_by("n", 1);
        let error = tx.exec().await.unwrap_err();
        assert!(error.outcome_is_unknown(), "{last}: {error:?}");
        assert_eq!(store.get("n").await.unwrap().unwrap(), "1");
    }
}

#[tokio::test]
async fn pauses_of_any_length_are_taken() {
    let rules = Script::default().before(code("ThrottlingException"));
    let long = DynamoDbOptions::new().pauses(Duration::MAX, Duration::MAX);
    let (store, _, _) = under(rules, long).await;
    for _ in 0..30 {
        is(&store.set("k", "v").await.unwrap_err(), ErrorKind::Throttled, false);
    }
}

/// All that an expression refers to may have two megabytes.
#[tokio::test]
async fn members_that_are_not_there_are_not_sent_if_they_are_very_many() {
    let longest = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&longest);
    let rules = Script::default().before(move |call| {
        if let Call::UpdateItem(input) = call {
            let values = input.get_expression_attribute_values().iter().flatten();
            let members = values.filter_map(|(_, value)| value.as_bs().ok()).flatten();
            let bytes = members.map(|member| member.as_ref().len()).sum();
            seen.fetch_max(bytes, Ordering::SeqCst);
        }
        Ok(())
    });
    let (store, _, _) = under(rules, quick()).await;
    store.sadd("s", 0..5_000).await.unwrap();
    let absent = (0..2_200).map(|i| format!("{i:01016}"));
    store.srem("s", absent.chain((0..100).map(|i| i.to_string()))).await.unwrap();
    assert_eq!(store.smembers("s").await.unwrap().len(), 4_900);
    assert!(longest.load(Ordering::SeqCst) < 1 << 20, "{longest:?} bytes");
}
