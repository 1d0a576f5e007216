//! The DynamoDB backend: requests and capacity, failures of the service and of the network,
//! concurrent writers, and data of other programs.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

#[path = "../support/mod.rs"]
mod support;

mod capacity;
mod connecting;
mod drivers;
mod error_messages;
mod go_layout_compat;
mod lost_responses;
mod network;
mod progress;
mod races;
mod retries;
mod round_trips;
mod service_errors;
mod setup;
mod unreadable_responses;

use keyvaluestore::backend::aws_sdk_dynamodb::Client;
use keyvaluestore::backend::{DynamoClient, DynamoDbOptions, DynamoError};
use keyvaluestore::observe::{ConsumedCapacity, Observer};
use keyvaluestore::{DynamoDb, Error, ErrorKind, Store};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::doubles::{Call, Counting, Double, Rules, Script, Strict};
use support::dynamodb::{database, in_process};

const TABLE: &str = "table";

/// A client of a new database with a table.
async fn client() -> Client {
    let client = in_process(&database());
    DynamoDb::create_table(&client, TABLE).await.unwrap();
    client
}

/// A store on `client`, under `rules` and the limits of the service.
fn store_on<R: Rules>(client: &Client, rules: &Arc<R>, options: DynamoDbOptions) -> Store {
    let api = Double { api: DynamoClient::new(client.clone()), rules: Arc::new(Strict) };
    let api = Double { api, rules: Arc::clone(rules) };
    Store::new(DynamoDb::with_api(api, TABLE).with_options(options))
}

/// A store on a new table, and a counter of its requests.
async fn counted() -> (Store, Arc<Counting>) {
    let counting = Arc::new(Counting::default());
    (store_on(&client().await, &counting, quick()), counting)
}

/// A store on a new table under `rules`, the rules, and its observer.
async fn store_with(
    rules: Script,
    options: DynamoDbOptions,
) -> (Store, Arc<Script>, Arc<Recorder>) {
    let (rules, recorder) = (Arc::new(rules), Arc::new(Recorder::default()));
    let store = store_on(&client().await, &rules, options);
    (store.with_observer(Arc::clone(&recorder) as _), rules, recorder)
}

/// A store on `client` without a test double, and its observer.
fn observed(client: &Client, options: DynamoDbOptions) -> (Store, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let backend = DynamoDb::new(client.clone(), TABLE).with_options(options);
    (Store::new(backend).with_observer(Arc::clone(&recorder) as _), recorder)
}

/// A short backoff.
fn quick() -> DynamoDbOptions {
    DynamoDbOptions::new().backoff(Duration::from_micros(50), Duration::from_millis(2))
}

/// Returns `true` the first `n` times.
fn first(n: usize) -> impl Fn() -> bool + Send + Sync {
    let left = AtomicUsize::new(n);
    move || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
}

/// A rule under which every call fails with this code.
fn fails_with(code: &'static str) -> impl Fn(Call<'_>) -> Result<(), DynamoError> + Send + Sync {
    move |_| Err(DynamoError::service(code, "the message of the service"))
}

#[track_caller]
fn assert_error(error: &Error, kind: ErrorKind, is_unknown: bool) {
    assert_eq!((error.kind(), error.outcome_is_unknown()), (kind, is_unknown), "{error:?}");
}

/// Capacity units, read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Units {
    table: (f64, f64),
    index: (f64, f64),
}

impl Units {
    fn read(self) -> f64 {
        self.table.0 + self.index.0
    }
}

/// An observer that records everything.
#[derive(Debug, Default)]
struct Recorder {
    round_trips: Mutex<Vec<&'static str>>,
    retries: Mutex<Vec<ErrorKind>>,
    units: Mutex<Units>,
}

impl Recorder {
    fn take_units(&self) -> Units {
        std::mem::take(&mut *self.units.lock().unwrap())
    }
    fn take_round_trips(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.round_trips.lock().unwrap())
    }
    fn take_retries(&self) -> Vec<ErrorKind> {
        std::mem::take(&mut *self.retries.lock().unwrap())
    }
}

impl Observer for Recorder {
    fn on_round_trip(&self, backend: &'static str, request: &'static str, _: Duration) {
        assert_eq!(backend, "dynamodb");
        self.round_trips.lock().unwrap().push(request);
    }
    fn on_retry(&self, _: Option<&'static str>, because: ErrorKind) {
        self.retries.lock().unwrap().push(because);
    }
    fn on_capacity(&self, _: &'static str, used: &ConsumedCapacity<'_>) {
        assert_eq!(used.table, TABLE);
        let mut units = self.units.lock().unwrap();
        let sum = match used.index {
            None => &mut units.table,
            Some("rk2") => &mut units.index,
            Some(other) => panic!("there is no index {other}"),
        };
        *sum = (sum.0 + used.read, sum.1 + used.write);
    }
}
