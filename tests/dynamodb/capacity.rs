//! The table of capacity units in the documentation: this test generates it, and checks that it is
//! up to date.

use super::{Recorder, TABLE, Units, client};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use keyvaluestore::backend::DynamoClient;
use keyvaluestore::{DynamoDb, Result, Store};
use std::fmt::Write;
use std::sync::Arc;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/backend/dynamodb/cost.md");

type Run = fn(Store) -> BoxFuture<'static, Result<()>>;

macro_rules! rows {
    ($($name:literal: $s:ident => $call:expr;)*) => {
        &[$(($name, |$s| async move { let _ = $call.await?; Ok(()) }.boxed())),*]
    };
}

const VALUE: &[u8; 100] = &[b'v'; 100];

fn batch_of_gets(s: &Store) -> impl Future<Output = Result<()>> + '_ {
    let mut batch = s.batch();
    (0..100).for_each(|i| {
        let _ = batch.get(format!("k{i}"));
    });
    async move { batch.exec().await.map(drop) }
}
fn batch_of_sets(s: &Store) -> impl Future<Output = Result<()>> + '_ {
    let mut batch = s.batch();
    (0..100).for_each(|i| {
        let _ = batch.set(format!("k{i}"), VALUE);
    });
    async move { batch.exec().await.map(drop) }
}
fn atomic(s: &Store) -> impl Future<Output = Result<()>> + '_ {
    let mut tx = s.atomic_write();
    (0..4).for_each(|i| tx.set(format!("k{i}"), VALUE));
    async move { tx.exec().await.map(drop) }
}

const ROWS: &[(&str, Run)] = rows! {
    "`get`": s => s.get("k");
    "`get`, eventually consistent": s => s.eventually_consistent().get("k");
    "`exists`": s => s.exists("k");
    "`exists` of a sorted set of 1,000": s => s.exists("z");
    "`set`, `set_nx`, `set_xx`, `set_eq`": s => s.set("k", VALUE);
    "`incr_by`": s => s.incr_by("n", 1);
    "`delete`": s => s.delete("k");
    "`delete` of nothing": s => s.delete("nothing");
    "`sadd`, `srem`": s => s.sadd("s", ["m"]);
    "`smembers`": s => s.smembers("s");
    "`srem` of the last members": s => s.srem("s", ["a", "b"]);
    "`hset`, `hset_nx`, `hdel`": s => s.hset("h", [("f", VALUE)]);
    "`hget`, `hgetall`": s => s.hgetall("h");
    "`hdel` of the last fields": s => s.hdel("h", ["f", "g"]);
    "`zadd`, `zhadd`: new": s => s.zadd("z", "new", 1.0);
    "`zadd`, `zhadd`: moved": s => s.zadd("z", "0001", 5_000.0);
    "`zadd`: score unchanged": s => s.zadd("z", "0001", 1.0);
    "`zrem`, `zhrem`": s => s.zrem("z", "0001");
    "`zscore`, `zhget`": s => s.zscore("z", "0001");
    "`zincr_by`": s => s.zincr_by("z", "0001", 5_000.0);
    "`zcount` of 10 of 1,000": s => s.zcount("z", 10.0..20.0);
    "`zcount` of 1,000": s => s.zcount("z", ..);
    "`zcount` of 1,000, 1 KB each": s => s.zcount("zh", ..);
    "`zrange` of 10 of 1,000": s => s.zrange("z").by_score(10.0..20.0);
    "`zhrange` of 10 of 1,000, 1 KB each": s => s.zhrange("zh").limit(10);
    "`delete` of a sorted set of 1,000": s => s.delete("z");
    "atomic write of 4 `set`": s => atomic(&s);
    "batch of 100 `get`": s => batch_of_gets(&s);
    "batch of 100 `set`": s => batch_of_sets(&s);
};

async fn filled(members: u16) -> Store {
    let client = DynamoClient::new(client().await);
    let store = Store::new(DynamoDb::with_api(client, TABLE));
    let mut batch = store.batch();
    batch.set("k", VALUE);
    batch.incr_by("n", 1);
    batch.sadd("s", ["a", "b"]);
    batch.hset("h", [("f", VALUE), ("g", VALUE)]);
    for i in 0..members {
        batch.zadd("z", format!("{i:04}"), f64::from(i));
        batch.zhadd("zh", format!("{i:04}"), [b'v'; 1_000], f64::from(i));
    }
    (0..100).for_each(|i| {
        let _ = batch.set(format!("k{i}"), VALUE);
    });
    drop(batch.exec().await.unwrap());
    store
}

#[tokio::test]
async fn the_table_of_prices_in_the_docs_is_what_they_are() {
    let mut table = String::from(
        "| | requests | read, table | read, index | written, table | written, index |\n\
         |---|---|---|---|---|---|\n",
    );
    // A new table for each row, so that rows do not depend on each other.
    for (name, run) in ROWS {
        let recorder = Arc::new(Recorder::default());
        let members = if name.contains("1,000") { 1_000 } else { 10 };
        let store = filled(members).await.with_observer(Arc::clone(&recorder) as _);
        run(store).await.unwrap();
        let Units { table: of_table, index } = recorder.take_units();
        let requests = recorder.take_round_trips().len();
        write!(table, "| {name} | {requests} |").unwrap();
        for units in [of_table.0, index.0, of_table.1, index.1] {
            let units = if units == 0.0 { String::new() } else { units.to_string() };
            write!(table, " {units} |").unwrap();
        }
        table.push('\n');
    }
    if std::env::var_os("KVS_WRITE_COSTS").is_some() {
        std::fs::write(FILE, &table).unwrap();
    }
    let shown = std::fs::read_to_string(FILE).unwrap();
    assert_eq!(
        shown, table,
        "to update it: KVS_WRITE_COSTS=1 \
         cargo test --features dynamodb,conformance --test dynamodb prices"
    );
}

#[tokio::test]
async fn an_eventual_read_costs_half_and_a_failed_request_nothing() {
    let recorder = Arc::new(Recorder::default());
    let store = filled(1_000).await.with_observer(Arc::clone(&recorder) as _);
    let eventual = store.eventually_consistent();
    let units = |run: BoxFuture<'static, Result<()>>| {
        run.now_or_never().unwrap().unwrap();
        recorder.take_units().read()
    };
    for (name, run) in ROWS.iter().filter(|(name, _)| {
        [
            "`get`",
            "`hget`",
            "`smembers`",
            "`zscore`",
            "`zcount` of 10 of 1,000",
            "`zhrange` of 10 of 1,000, 1 KB each",
            "batch of 100 `get`",
        ]
        .iter()
        .any(|read| name.starts_with(read))
            && !name.contains("eventually")
    }) {
        let (strong, weak) = (units(run(store.clone())), units(run(eventual.clone())));
        assert!(strong > 0.0 && weak == strong / 2.0, "{name}: {strong} and {weak}");
    }
    // Reads that a write depends on are strongly consistent, also on such a store.
    eventual.zincr_by("z", "0007", 1.0).await.unwrap();
    assert_eq!(recorder.take_units().read(), 1.0);
}
