//! `Retry` and `Timeout` without a tokio runtime, or on one without a timer: an error, not a panic.

use super::parking_backend::ParkingBackend;
use keyvaluestore::wrap::{Retry, RetryPolicy, Timeout};
use keyvaluestore::{Error, ErrorKind, Store};
use std::future::Future;
use std::time::Duration;

/// Runs `call` without a runtime, and on a runtime without a timer.
fn without_a_timer<F: Future<Output = ()>>(call: impl Fn() -> F) {
    futures_util::FutureExt::now_or_never(call()).expect("it does not wait");
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(call());
}

#[track_caller]
fn names_what_is_needed(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(!error.is_retryable());
    assert!(error.to_string().contains("tokio runtime"), "{error}");
}

#[test]
fn a_timeout_without_a_timer_is_unsupported() {
    without_a_timer(|| async {
        let backend = ParkingBackend::default();
        let store = Store::new(Timeout::new(backend.clone(), Duration::from_secs(2)));
        store.set("k", 1).await.unwrap(); // completes at the first poll
        let _parked: Vec<_> = (0..4).map(|_| backend.park_before()).collect();
        names_what_is_needed(&store.get("k").await.unwrap_err());
        let error = store.set("k", 2).await.unwrap_err();
        names_what_is_needed(&error);
        assert!(error.outcome_is_unknown(), "the write has started");
        let mut batch = store.batch();
        let (get, set) = (batch.get("k"), batch.set("k", 2));
        let mut replies = batch.exec_each().await;
        let error = replies.take(get).unwrap_err();
        names_what_is_needed(&error);
        assert!(!error.outcome_is_unknown());
        let error = replies.take(set).unwrap_err();
        names_what_is_needed(&error);
        assert!(error.outcome_is_unknown());
        let mut tx = store.atomic_write();
        tx.set("k", 2);
        let error = tx.exec().await.unwrap_err();
        names_what_is_needed(&error);
        assert!(error.outcome_is_unknown());
    });
}

#[test]
fn a_retry_without_a_timer_is_unsupported_and_keeps_the_cause() {
    without_a_timer(|| async {
        let backend = ParkingBackend::default();
        let store = Store::new(Retry::new(backend.clone(), RetryPolicy::default()));
        backend.fail(ErrorKind::Unavailable);
        let error = store.get("k").await.unwrap_err();
        names_what_is_needed(&error);
        let cause = std::error::Error::source(&error).unwrap().downcast_ref::<Error>().unwrap();
        assert_eq!(cause.kind(), ErrorKind::Unavailable);
        backend.fail(ErrorKind::Throttled);
        let error = store.set("k", 1).await.unwrap_err();
        names_what_is_needed(&error);
        assert!(!error.outcome_is_unknown(), "it is known not to have been applied");
        backend.fail(ErrorKind::Throttled);
        let mut batch = store.batch();
        let (get, set) = (batch.get("k"), batch.set("k", 2));
        let mut replies = batch.exec_each().await;
        names_what_is_needed(&replies.take(get).unwrap_err());
        names_what_is_needed(&replies.take(set).unwrap_err());
        assert_eq!(backend.calls().len(), 3, "nothing is retried");
    });
}
