//! The same work through this library and through the bare SDK. `benches/dynamodb.rs` measures its
//! time, `tests/allocations/dynamodb.rs` its allocations. The bare side makes the same requests
//! with the SDK's fluent builders, and reads the same responses.
//!
//! Responses are those of the emulator, cached. The time of a server or a network is the same on
//! both sides, and would hide the difference.

use super::dynamodb::{database, dispatch, in_process, in_process_with};
use keyvaluestore::backend::aws_sdk_dynamodb::Client;
use keyvaluestore::backend::aws_sdk_dynamodb::primitives::Blob;
use keyvaluestore::backend::aws_sdk_dynamodb::types::{
    AttributeValue, KeysAndAttributes, Put, PutRequest, ReturnValue, Select, TransactWriteItem,
    WriteRequest,
};
use keyvaluestore::{DynamoDb, Store};
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Arc, LazyLock, Mutex};

pub(crate) const ROWS: [&str; 10] = [
    "get",
    "set",
    "incr_by",
    "hget",
    "sadd",
    "zadd",
    "zrange of 10",
    "zcount",
    "atomic write of 4",
    "batch of 25 sets",
];
/// Most of its time is spent on the response.
pub(crate) const LARGE: &str = "batch of 100 gets";

const TABLE: &str = "table";
/// 100 bytes.
const VALUE: &str = "01234567890123456789012345678901234567890123456789\
                     01234567890123456789012345678901234567890123456789";

type Answers = Arc<Mutex<HashMap<String, (u16, String)>>>;

/// Both sides, with one client.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    store: Store,
    bare: Client,
    answers: Answers,
}

/// The key of a caller, which both sides must copy.
fn key(i: usize) -> &'static str {
    static KEYS: LazyLock<Vec<String>> =
        LazyLock::new(|| (0..100).map(|i| format!("key:{i:06}")).collect());
    &KEYS[i]
}
fn b(bytes: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}
fn item(key: &str) -> HashMap<String, AttributeValue> {
    HashMap::from([("hk".into(), b(key)), ("rk".into(), b("_"))])
}
/// The bytes of a non-negative score in an index key.
fn place(score: f64) -> [u8; 8] {
    (score.to_bits() ^ 1 << 63).to_be_bytes()
}

impl Work {
    pub(crate) async fn new() -> Self {
        let answers = Answers::default();
        let kept = Arc::clone(&answers);
        let db = database();
        DynamoDb::create_table(&in_process(&db), TABLE).await.expect("a table");
        let client = in_process_with(&db, move |db, call, body| {
            if let Some(answer) = kept.lock().unwrap().get(call) {
                return answer.clone();
            }
            let answer = dispatch(db, call, body);
            kept.lock().unwrap().insert(call.to_owned(), answer.clone());
            answer
        });
        Work { store: Store::new(DynamoDb::new(client.clone(), TABLE)), bare: client, answers }
    }

    /// Clears the cached responses. The next request of each kind runs in the emulator, and its
    /// response is cached.
    pub(crate) fn forget(&self) {
        self.answers.lock().unwrap().clear();
    }

    /// Writes the data of a row.
    pub(crate) async fn fill(&self, row: &str) {
        let store = &self.store;
        self.forget();
        match row {
            "get" => store.set(key(0), VALUE).await.unwrap(),
            "hget" => store.hset("hash", [("field", VALUE)]).await.unwrap(),
            "zrange of 10" | "zcount" => {
                for i in 0..10 {
                    self.forget();
                    store.zadd("z", format!("member:{i:06}"), f64::from(i)).await.unwrap();
                }
            }
            LARGE => {
                for i in 0..100 {
                    self.forget();
                    store.set(key(i), VALUE).await.unwrap();
                }
            }
            _ => {}
        }
        self.forget();
    }

    pub(crate) async fn ours(&self, row: &str) {
        let store = &self.store;
        match row {
            "get" => assert_eq!(black_box(store.get(key(0)).await.unwrap()).unwrap().len(), 100),
            "set" => store.set(key(0), VALUE).await.unwrap(),
            "incr_by" => assert!(black_box(store.incr_by("counter", 1).await.unwrap()) > 0),
            "hget" => {
                let found = store.hget("hash", "field").await.unwrap();
                assert_eq!(black_box(found).unwrap().len(), 100);
            }
            "sadd" => store.sadd("set", ["a", "b"]).await.unwrap(),
            "zadd" => store.zadd("z", "member:000000", 1.0).await.unwrap(),
            "zrange of 10" => {
                let found = store.zrange("z").by_score(0.0..100.0).await.unwrap();
                assert_eq!(black_box(found).len(), 10);
            }
            "zcount" => assert_eq!(store.zcount("z", 0.0..100.0).await.unwrap(), 10),
            "atomic write of 4" => {
                let mut tx = store.atomic_write();
                (0..4).for_each(|i| tx.set(key(i), VALUE));
                assert!(tx.exec().await.unwrap().is_committed());
            }
            "batch of 25 sets" => {
                let mut batch = store.batch();
                (0..25).for_each(|i| {
                    let _ = batch.set(key(i), VALUE);
                });
                let _ = black_box(batch.exec().await.unwrap());
            }
            LARGE => {
                let mut batch = store.batch();
                let gets: Vec<_> = (0..100).map(|i| batch.get(key(i))).collect();
                let mut replies = batch.exec().await.unwrap();
                for get in gets {
                    assert_eq!(black_box(replies.take(get).unwrap()).unwrap().len(), 100);
                }
            }
            other => panic!("no row {other}"),
        }
    }

    pub(crate) async fn bare(&self, row: &str) {
        let client = &self.bare;
        match row {
            "get" => get(client).await,
            "set" => set(client).await,
            "incr_by" => incr_by(client).await,
            "hget" => hget(client).await,
            "sadd" => sadd(client).await,
            "zadd" => zadd(client).await,
            "zrange of 10" | "zcount" => query(client, row).await,
            "atomic write of 4" => transact_write(client).await,
            "batch of 25 sets" => batch_write(client).await,
            LARGE => batch_get(client).await,
            other => panic!("no row {other}"),
        }
    }
}

async fn get(client: &Client) {
    let get = client.get_item().table_name(TABLE).consistent_read(true);
    let get = get.key("hk", b(key(0))).key("rk", b("_")).projection_expression("v, rk2");
    let item = get.send().await.unwrap().item.unwrap();
    assert_eq!(black_box(&item["v"]).as_b().unwrap().as_ref().len(), 100);
}

async fn set(client: &Client) {
    let put = client.put_item().table_name(TABLE);
    let put = put.item("hk", b(key(0))).item("rk", b("_")).item("v", b(VALUE));
    drop(put.send().await.unwrap());
}

async fn incr_by(client: &Client) {
    let update = client.update_item().table_name(TABLE).update_expression("ADD v :by");
    let update = update.key("hk", b("counter")).key("rk", b("_"));
    let output = update
        .condition_expression("attribute_not_exists(hk) OR v <= :bound")
        .expression_attribute_values(":by", AttributeValue::N("1".into()))
        .expression_attribute_values(":bound", AttributeValue::N((i64::MAX - 1).to_string()))
        .return_values(ReturnValue::UpdatedNew)
        .send()
        .await
        .unwrap();
    let n: i64 = output.attributes.unwrap()["v"].as_n().unwrap().parse().unwrap();
    assert!(black_box(n) > 0);
}

async fn hget(client: &Client) {
    let get = client.get_item().table_name(TABLE).consistent_read(true);
    let get = get.key("hk", b("hash")).key("rk", b("_")).projection_expression("#f");
    let get = get.expression_attribute_names("#f", "~ZmllbGQ");
    let item = get.send().await.unwrap().item.unwrap();
    assert_eq!(black_box(&item["~ZmllbGQ"]).as_b().unwrap().as_ref().len(), 100);
}

async fn sadd(client: &Client) {
    let update = client.update_item().table_name(TABLE);
    let update = update.key("hk", b("set")).key("rk", b("_"));
    let members = vec![Blob::new("a"), Blob::new("b")];
    drop(
        update
            .update_expression("ADD v :v REMOVE t")
            .condition_expression("attribute_not_exists(hk) OR attribute_type(v, :bs)")
            .expression_attribute_values(":v", AttributeValue::Bs(members))
            .expression_attribute_values(":bs", AttributeValue::S("BS".into()))
            .send()
            .await
            .unwrap(),
    );
}

async fn zadd(client: &Client) {
    let member = "member:000000";
    let put = client.put_item().table_name(TABLE);
    let put = put.item("hk", b("z")).item("rk", b(member)).item("v", b(member));
    let place = [&place(1.0)[..], member.as_bytes()].concat();
    drop(put.item("rk2", b(place)).send().await.unwrap());
}

async fn query(client: &Client, row: &str) {
    let query = client.query().table_name(TABLE).index_name("rk2").consistent_read(true);
    let query = query
        .key_condition_expression("hk = :k AND rk2 BETWEEN :a AND :z")
        .expression_attribute_values(":k", b("z"))
        .expression_attribute_values(":a", b(place(0.0)))
        .expression_attribute_values(":z", b(place(100.0)));
    if row == "zcount" {
        let output = query.select(Select::Count).send().await.unwrap();
        return assert_eq!(black_box(output.count), 10);
    }
    let output = query.projection_expression("rk, rk2").send().await.unwrap();
    let mut members = Vec::new();
    for mut item in output.items.unwrap() {
        let Some(AttributeValue::B(member)) = item.remove("rk") else { panic!() };
        members.push(member.into_inner());
    }
    assert_eq!(black_box(members).len(), 10);
}

async fn transact_write(client: &Client) {
    let mut write = client.transact_write_items();
    for i in 0..4 {
        let put = Put::builder().table_name(TABLE).set_item(Some(item(key(i))));
        let put = put.item("v", b(VALUE)).build().unwrap();
        write = write.transact_items(TransactWriteItem::builder().put(put).build());
    }
    drop(write.send().await.unwrap());
}

async fn batch_write(client: &Client) {
    let mut requests = Vec::with_capacity(25);
    for i in 0..25 {
        let put = PutRequest::builder().set_item(Some(item(key(i))));
        let put = put.item("v", b(VALUE)).build().unwrap();
        requests.push(WriteRequest::builder().put_request(put).build());
    }
    let write = client.batch_write_item().request_items(TABLE, requests);
    assert!(write.send().await.unwrap().unprocessed_items().unwrap().is_empty());
}

async fn batch_get(client: &Client) {
    let keys = (0..100).map(|i| item(key(i))).collect();
    let keys = KeysAndAttributes::builder().consistent_read(true).set_keys(Some(keys));
    let get = client.batch_get_item().request_items(TABLE, keys.build().unwrap());
    let found = get.send().await.unwrap().responses.unwrap().remove(TABLE).unwrap();
    // The response is not in the order of the keys.
    let mut values = HashMap::with_capacity(100);
    for mut item in found {
        let (Some(key), Some(value)) = (item.remove("hk"), item.remove("v")) else { panic!() };
        let (AttributeValue::B(key), AttributeValue::B(value)) = (key, value) else { panic!() };
        values.insert(key.into_inner(), value.into_inner());
    }
    for i in 0..100 {
        let value = values.remove(key(i).as_bytes()).unwrap();
        assert_eq!(black_box(value).len(), 100);
    }
}
