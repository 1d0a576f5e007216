//! Observers: every round trip, and every resend.

use crate::support::redis::database;
use keyvaluestore::observe::Observer;
use keyvaluestore::{ErrorKind, Store};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Debug, Default)]
struct Notes(Mutex<Vec<String>>);

impl Observer for Notes {
    fn on_round_trip(&self, backend: &'static str, request: &'static str, took: Duration) {
        assert!(took > Duration::ZERO);
        self.0.lock().unwrap().push(format!("{backend} {request}"));
    }
    fn on_retry(&self, backend: Option<&'static str>, because: ErrorKind) {
        let backend = backend.unwrap();
        self.0.lock().unwrap().push(format!("{backend} again: {because:?}"));
    }
}

#[tokio::test]
async fn an_observer_hears_every_round_trip_and_what_is_sent_again() {
    // Not the shared server, as the test flushes its scripts.
    let server = crate::Server::start(&[]);
    let notes = Arc::new(Notes::default());
    let observer: Arc<dyn Observer> = Arc::clone(&notes) as _;
    let store = Store::open(server.url()).await.unwrap().with_observer(observer);
    let heard = || std::mem::take(&mut *notes.0.lock().unwrap());
    store.get("k").await.unwrap();
    let mut batch = store.batch();
    batch.get("k");
    batch.zadd("z", "m", 1.0);
    drop(batch.exec().await.unwrap());
    assert_eq!(heard(), ["redis get", "redis batch"]);
    // The server has the script of `zadd` from the batch, but not that of `set_eq`.
    store.zadd("z", "m", 2.0).await.unwrap();
    assert!(!store.set_eq("k", "v", "old").await.unwrap());
    let again = "redis again: Unavailable";
    assert_eq!(heard(), ["redis zadd", "redis set_eq", again, "redis set_eq"]);
    server.command(&["SCRIPT", "FLUSH"]);
    let mut tx = store.atomic_write();
    tx.set("k", "v");
    assert!(tx.exec().await.unwrap().is_committed());
    assert!(store.zhrange("z").await.is_ok());
    let atomic = "redis atomic_write";
    assert_eq!(heard(), [atomic, again, atomic, "redis zhrange", again, "redis zhrange"]);
    // An observer gets only the events of its own store.
    Store::open(database()).await.unwrap().get("k").await.unwrap();
    assert!(heard().is_empty());
}
