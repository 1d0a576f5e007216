//! Without tokio, or in a runtime without timer or I/O driver: an error that says what is missing,
//! and no panic.

use super::TABLE;
use crate::support::dynamodb::{Server, client_with, database, in_process};
use futures_util::FutureExt;
use keyvaluestore::{DynamoDb, Error, ErrorKind, Store};
use tokio::runtime::{Builder, Runtime};

fn runtimes() -> Vec<(&'static str, Runtime)> {
    let bare = || Builder::new_current_thread();
    vec![
        ("bare", bare().build().unwrap()),
        ("timer", bare().enable_time().build().unwrap()),
        ("I/O", bare().enable_io().build().unwrap()),
    ]
}

fn is_unsupported(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(!error.outcome_is_unknown());
    assert!(error.to_string().contains("tokio runtime"), "{error}");
}

/// The errors of every kind of call.
async fn failures(store: Store) -> Vec<Error> {
    let mut tx = store.atomic_write();
    tx.incr_by("n", 1);
    let mut batch = store.batch();
    let (get, set, other) = (batch.get("a"), batch.set("b", "v"), batch.set("c", "v"));
    let mut replies = batch.exec_each().await;
    vec![
        store.get("k").await.unwrap_err(),
        store.set("k", "v").await.unwrap_err(),
        store.delete("k").await.unwrap_err(),
        store.zrange("z").await.unwrap_err(),
        store.zincr_by("z", "m", 1.0).await.unwrap_err(),
        tx.exec().await.unwrap_err(),
        replies.take(get).unwrap_err(),
        replies.take(set).unwrap_err(),
        replies.take(other).unwrap_err(),
    ]
}

#[test]
fn a_store_that_is_opened_without_drivers_is_an_error() {
    let url = "dynamodb://table?region=eu-west-1&endpoint=http://127.0.0.1:1";
    for url in [url.to_owned(), format!("{url}&create_table=true"), "dynamodb://table".to_owned()] {
        is_unsupported(&Store::open(&url).now_or_never().unwrap().unwrap_err());
        for (_, runtime) in runtimes() {
            is_unsupported(&runtime.block_on(Store::open(&url)).unwrap_err());
        }
    }
}

#[test]
fn a_call_without_drivers_is_an_error() {
    let whole = Builder::new_multi_thread().enable_all().build().unwrap();
    let db = database();
    whole.block_on(DynamoDb::create_table(&in_process(&db), TABLE)).unwrap();
    let server = Server::start(&db);
    let client = client_with(None, &server.url());
    for (name, runtime) in runtimes() {
        // A new client, without connections of another runtime.
        let client = client_with(None, &server.url());
        let errors = runtime.block_on(failures(Store::new(DynamoDb::new(client.clone(), TABLE))));
        errors.iter().for_each(is_unsupported);
        assert_eq!(errors.len(), 9, "{name}");
        is_unsupported(&runtime.block_on(DynamoDb::create_table(&client, TABLE)).unwrap_err());
    }
    let store = Store::new(DynamoDb::new(client, TABLE));
    let errors = failures(store.clone()).now_or_never().unwrap();
    errors.iter().for_each(is_unsupported);
    // The same store works in a complete runtime.
    assert_eq!(whole.block_on(store.incr_by("n", 1)).unwrap(), 1);
}

#[test]
fn a_client_that_needs_no_socket_needs_a_timer_alone() {
    let whole = Builder::new_current_thread().enable_all().build().unwrap();
    let client = in_process(&database());
    whole.block_on(DynamoDb::create_table(&client, TABLE)).unwrap();
    let timer = Builder::new_current_thread().enable_time().build().unwrap();
    let store = Store::new(DynamoDb::new(client, TABLE));
    assert_eq!(timer.block_on(store.incr_by("n", 1)).unwrap(), 1);
}
