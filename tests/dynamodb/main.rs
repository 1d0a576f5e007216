//! The DynamoDB backend: what a call costs there, and what is left when the service, the network
//! and others fail it.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod cost;
mod drivers;
mod failures;
mod network;
mod progress;
mod races;
mod reach;
mod setup;
mod strangers;
mod trips;

use keyvaluestore::backend::aws_sdk_dynamodb::Client;
use keyvaluestore::backend::{DynamoClient, DynamoDbOptions};
use keyvaluestore::observe::{ConsumedCapacity, Observer};
use keyvaluestore::{DynamoDb, ErrorKind, Store};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::doubles::{Counting, Double, Rules, Strict};
use support::dynamodb::{database, in_process};

const TABLE: &str = "table";

/// A client of a new database with a table.
async fn client() -> Client {
    let client = in_process(&database());
    DynamoDb::create_table(&client, TABLE).await.unwrap();
    client
}

/// A store on `client`, under `rules` and those of the service.
fn store_on<R: Rules>(client: &Client, rules: &Arc<R>, options: DynamoDbOptions) -> Store {
    let api = Double { api: DynamoClient::new(client.clone()), rules: Arc::new(Strict) };
    let api = Double { api, rules: Arc::clone(rules) };
    Store::new(DynamoDb::with_api(api, TABLE).with_options(options))
}

/// A store on a new table, and the count of its requests.
async fn counted() -> (Store, Arc<Counting>) {
    let counting = Arc::new(Counting::default());
    (store_on(&client().await, &counting, quick()), counting)
}

/// Pauses that a test can wait for.
fn quick() -> DynamoDbOptions {
    DynamoDbOptions::new().pauses(Duration::from_micros(50), Duration::from_millis(2))
}

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

/// What an observer hears.
#[derive(Debug, Default)]
struct Notes {
    trips: Mutex<Vec<&'static str>>,
    retries: Mutex<Vec<ErrorKind>>,
    /// Units of the table and of the index, read and written.
    units: Mutex<Units>,
}

impl Notes {
    fn take_units(&self) -> Units {
        std::mem::take(&mut *self.units.lock().unwrap())
    }
    fn take_trips(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.trips.lock().unwrap())
    }
    fn take_retries(&self) -> Vec<ErrorKind> {
        std::mem::take(&mut *self.retries.lock().unwrap())
    }
}

impl Observer for Notes {
    fn on_round_trip(&self, backend: &'static str, request: &'static str, _: Duration) {
        assert_eq!(backend, "dynamodb");
        self.trips.lock().unwrap().push(request);
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
