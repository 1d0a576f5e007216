//! The same work with this library and with the client library alone. `benches/redis.rs` measures
//! its time, and `tests/allocations/redis.rs` its allocations.

use keyvaluestore::{Redis, Store};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Script, cmd};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const ROWS: [&str; 8] = [
    "get",
    "set",
    "set_eq",
    "zadd",
    "zrange of 10",
    "zhrange of 10",
    "atomic write of 4",
    "batch of 100 gets",
];

/// 100 bytes.
const VALUE: &str = concat!(
    "01234567890123456789012345678901234567890123456789",
    "01234567890123456789012345678901234567890123456789",
);

fn key(i: usize) -> String {
    format!("key:{:06}", i.wrapping_mul(7) % 1_000)
}

/// 1,000 strings, and a sorted set and a sorted hash of 1,000 members.
pub(crate) async fn fill(url: &str) {
    let store = Store::new(Redis::open(url).await.expect("a server"));
    let mut batch = store.batch();
    for i in 0..1_000 {
        batch.set(key(i), VALUE);
        batch.zadd("set", format!("member:{i:06}"), i as f64);
        batch.zhadd("hash", format!("member:{i:06}"), VALUE, i as f64);
    }
    drop(batch.exec().await.expect("it is filled"));
}

/// This library, through `Store::open`.
#[derive(Clone, Debug)]
pub(crate) struct Ours(Store);

impl Ours {
    pub(crate) async fn new(url: &str) -> Self {
        Ours(Store::open(url).await.expect("a server"))
    }

    pub(crate) async fn call(&self, row: &str, i: usize) {
        let store = &self.0;
        match row {
            "get" => assert!(black_box(store.get(key(i)).await.unwrap()).is_some()),
            "set" => store.set(key(i), VALUE).await.unwrap(),
            "set_eq" => assert!(store.set_eq(key(i), VALUE, VALUE).await.unwrap()),
            "zadd" => store.zadd("set", "member:000007", (i % 1_000) as f64).await.unwrap(),
            "zrange of 10" => {
                let from = (i % 900) as f64;
                let found = store.zrange("set").by_score(from..).limit(10).await.unwrap();
                assert_eq!(black_box(found).len(), 10);
            }
            "zhrange of 10" => {
                let from = (i % 900) as f64;
                let found = store.zhrange("hash").by_score(from..).limit(10).await.unwrap();
                assert_eq!(black_box(found).len(), 10);
            }
            "atomic write of 4" => {
                let mut tx = store.atomic_write();
                for n in 0..4 {
                    tx.set(key(4 * i + n), VALUE);
                }
                assert!(tx.exec().await.unwrap().is_committed());
            }
            _ => {
                let mut batch = store.batch();
                let gets: Vec<_> = (0..100).map(|n| batch.get(key(i + n))).collect();
                let mut replies = batch.exec().await.unwrap();
                for get in gets {
                    assert!(black_box(replies.take(get).unwrap()).is_some());
                }
            }
        }
    }
}

/// The client library alone, used in the most efficient way.
#[derive(Clone)]
pub(crate) struct Bare {
    connection: MultiplexedConnection,
    scripts: Arc<[Script; 4]>,
}

impl Bare {
    pub(crate) async fn new(url: &str) -> Self {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(2)))
            .set_response_timeout(Some(Duration::from_secs(10)));
        let client = Client::open(url).expect("a URL");
        let connection = client.get_multiplexed_async_connection_with_config(&config).await;
        // Minimal scripts, each for this one use.
        let scripts = [
            "if redis.call('GET', KEYS[1]) ~= ARGV[2] then return 0 end
             redis.call('SET', KEYS[1], ARGV[1]) return 1",
            "redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2]) redis.call('HDEL', KEYS[2], ARGV[2])",
            "local f = redis.call(
               'ZRANGE', KEYS[1], ARGV[1], '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[2])
             return redis.call('HMGET', KEYS[2], unpack(f))",
            "for i = 1, 4 do if redis.call('TYPE', KEYS[i]).ok == 'zset' then return 0 end end
             for i = 1, 4 do redis.call('SET', KEYS[i], ARGV[i]) end return 1",
        ];
        let scripts = Arc::new(scripts.map(Script::new));
        Bare { connection: connection.expect("a server"), scripts }
    }

    pub(crate) async fn call(&self, row: &str, i: usize) {
        let mut c = self.connection.clone();
        match row {
            "get" => {
                let found: Option<Vec<u8>> =
                    cmd("GET").arg(key(i)).query_async(&mut c).await.unwrap();
                assert!(black_box(found).is_some());
            }
            "set" => cmd("SET").arg(key(i)).arg(VALUE).exec_async(&mut c).await.unwrap(),
            "set_eq" => {
                let mut script = self.scripts[0].key(key(i));
                script.arg(VALUE).arg(VALUE);
                let done: bool = script.invoke_async(&mut c).await.unwrap();
                assert!(done);
            }
            "zadd" => {
                let mut script = self.scripts[1].key("set");
                script.key("__kvs_zh:set").arg((i % 1_000) as f64).arg("member:000007");
                script.invoke_async::<()>(&mut c).await.unwrap();
            }
            "zrange of 10" => {
                let mut range = cmd("ZRANGE");
                range.arg("set").arg((i % 900) as f64).arg("+inf").arg("BYSCORE");
                let found: Vec<Vec<u8>> =
                    range.arg("LIMIT").arg(0).arg(10).query_async(&mut c).await.unwrap();
                assert_eq!(black_box(found).len(), 10);
            }
            "zhrange of 10" => {
                let mut script = self.scripts[2].key("hash");
                script.key("__kvs_zh:hash").arg((i % 900) as f64).arg(10);
                let found: Vec<Vec<u8>> = script.invoke_async(&mut c).await.unwrap();
                assert_eq!(black_box(found).len(), 10);
            }
            "atomic write of 4" => {
                let mut script = self.scripts[3].key(key(4 * i));
                (1..4).for_each(|n| {
                    script.key(key(4 * i + n));
                });
                (0..4).for_each(|_| {
                    script.arg(VALUE);
                });
                script.invoke_async::<()>(&mut c).await.unwrap();
            }
            _ => {
                let keys: Vec<String> = (0..100).map(|n| key(i + n)).collect();
                let found: Vec<Vec<u8>> = cmd("MGET").arg(keys).query_async(&mut c).await.unwrap();
                assert_eq!(black_box(found).len(), 100);
            }
        }
    }
}
