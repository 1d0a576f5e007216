//! The Redis backend on real servers: round trips, failures of servers and networks, and data of
//! other programs.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "this is test code")]

#[path = "../support/mod.rs"]
mod support;

mod acl;
mod cluster_topology;
mod connect_backoff;
mod connection_urls;
mod errors;
mod go_layout_compat;
mod handshake;
mod large_replies;
mod lost_values;
mod network_faults;
mod observer;
mod out_of_memory;
mod reconnect;
mod replicas;
mod round_trips;
mod runtimes;
mod scripts;
mod slow_network;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use keyvaluestore::{Error, ErrorKind, Redis, Result, Store};
use std::fmt::Debug;
use std::time::Duration;
use support::redis::Server;

/// One operation on a key; it returns its reply as text.
struct Call {
    name: &'static str,
    /// The type of key that the operation is for, which is also the key.
    kind: &'static str,
    writes: bool,
    run: fn(Store, &'static str) -> BoxFuture<'static, Result<String>>,
}

macro_rules! calls {
    ($($kind:ident $writes:literal $method:ident $s:ident $k:ident => $call:expr;)*) => {
        &[$(Call {
            name: stringify!($call),
            kind: stringify!($kind),
            writes: $writes,
            run: |$s, $k| async move { Ok(format!("{:?}", $call.await?)) }.boxed(),
        }),*]
    };
}

/// Every operation, with every argument that changes its command.
const CALLS: &[Call] = calls! {
    text false get s k => s.get(k);
    text false exists s k => s.exists(k);
    text true set s k => s.set(k, "v");
    text true set_nx s k => s.set_nx(k, "v");
    text true set_xx s k => s.set_xx(k, "v");
    text true set_eq s k => s.set_eq(k, "v", "v");
    text true delete s k => s.delete(k);
    text true delete_xx s k => s.delete_xx(k);
    number true incr_by s k => s.incr_by(k, 3);
    set false smembers s k => s.smembers(k);
    set true sadd s k => s.sadd(k, ["a", "b"]);
    set true srem s k => s.srem(k, ["b", "c"]);
    hash false hget s k => s.hget(k, "f");
    hash false hgetall s k => s.hgetall(k);
    hash true hset s k => s.hset(k, [("f", "v"), ("g", "w")]);
    hash true hset_nx s k => s.hset_nx(k, "h", "v");
    hash true hdel s k => s.hdel(k, ["g", "x"]);
    sorted false zscore s k => s.zscore(k, "a");
    sorted false zcount s k => s.zcount(k, 0.0..);
    sorted false zlexcount s k => s.zlexcount(k, "a"..);
    sorted true zadd s k => s.zadd(k, "a", 1.0);
    sorted true zadd_nx s k => s.zadd_nx(k, "b", 1.0);
    sorted true zincr_by s k => s.zincr_by(k, "c", 1.5);
    sorted true zrem s k => s.zrem(k, "b");
    sorted false zrange s k => s.zrange(k);
    sorted false zrange s k => s.zrange(k).by_score(0.0..).rev().limit(2);
    sorted false zrange s k => s.zrange(k).by_score(0.0..).with_scores();
    sorted false zrange s k => s.zrange(k).by_lex("a"..).limit(2);
    sorted false zrange s k => s.zrange(k).by_lex("a"..).rev().with_scores();
    sorted true zhadd s k => s.zhadd(k, "f", "v", 1.0);
    sorted true zhadd_nx s k => s.zhadd_nx(k, "g", "v", 1.0);
    sorted true zhrem s k => s.zhrem(k, "g");
    sorted false zhget s k => s.zhget(k, "f");
    sorted false zhrange s k => s.zhrange(k);
    sorted false zhrange s k => s.zhrange(k).by_score(0.0..).rev().with_scores();
    sorted false zhrange s k => s.zhrange(k).by_lex("a"..).limit(2).with_scores();
};

async fn open(url: &str) -> Store {
    Store::new(Redis::open(url).await.unwrap())
}

#[track_caller]
fn assert_kind<T: Debug>(result: Result<T>, kind: ErrorKind) -> Error {
    let error = result.expect_err("this has to fail");
    assert_eq!(error.kind(), kind, "{error:?}");
    error
}

async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// A separate connection, with all permissions.
struct Admin(redis::Connection);

impl Admin {
    fn new(url: &str) -> Admin {
        let client = redis::Client::open(url).unwrap();
        Admin(client.get_connection_with_timeout(Duration::from_secs(5)).unwrap())
    }
    fn of(server: &Server) -> Admin {
        Admin::new(&server.url())
    }
    fn run<T: redis::FromRedisValue>(&mut self, args: &[&str]) -> T {
        let mut cmd = redis::Cmd::new();
        cmd.arg(args).query(&mut self.0).unwrap()
    }
    fn done(&mut self, args: &[&str]) {
        let _: redis::Value = self.run(args);
    }
    /// A digest of all data of the server.
    fn digest(&mut self) -> String {
        self.run(&["DEBUG", "DIGEST"])
    }
    /// One figure of `INFO`.
    fn info(&mut self, section: &str, name: &str) -> u64 {
        figure(&self.run::<String>(&["INFO", section]), name)
    }
    /// How many times the server has run a command.
    fn calls_of(&mut self, command: &str) -> u64 {
        let text: String = self.run(&["INFO", "commandstats"]);
        let prefix = format!("cmdstat_{command}:calls=");
        let rest = text.lines().find_map(|line| line.strip_prefix(&prefix));
        rest.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
    }
}

fn figure(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name}")).trim().parse().unwrap()
}
