//! The same work through this library and through the bare crate, for `benches/foundationdb.rs`.
//! The bare side makes the same reads and writes, on rows of the same layout.

use foundationdb::options::StreamingMode;
use foundationdb::tuple::{Bytes, Subspace, pack, unpack};
use foundationdb::{Database, FdbBindingError, RangeOption, RetryableTransaction, Transaction};
use futures_util::future::try_join_all;
use keyvaluestore::Store;
use keyvaluestore::backend::foundationdb_client as foundationdb;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) const ROWS: [&str; 8] = [
    "get",
    "set",
    "set_nx",
    "incr_by",
    "zadd",
    "zrange of 100",
    "atomic write of 10",
    "batch of 100 gets",
];

/// 100 bytes.
const VALUE: &str = "01234567890123456789012345678901234567890123456789\
                     01234567890123456789012345678901234567890123456789";

fn key(i: usize) -> String {
    format!("key:{:06}", i.wrapping_mul(7) % 1_000)
}
/// A key that is not in use.
fn new_key() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("new:{:09}", NEXT.fetch_add(1, Ordering::Relaxed))
}
fn member(i: usize) -> String {
    format!("member:{i:06}")
}
/// A new score each time, so that the member moves.
fn score() -> f64 {
    static NEXT: AtomicUsize = AtomicUsize::new(1_000);
    NEXT.fetch_add(1, Ordering::Relaxed) as f64
}

/// This library.
#[derive(Clone, Debug)]
pub(crate) struct Ours(Store);

impl Ours {
    /// Fills the subspace with 1,000 strings and a sorted set of 1,000 members.
    pub(crate) async fn new(url: &str) -> Self {
        let store = Store::open(url).await.unwrap();
        let mut batch = store.batch();
        for i in 0..1_000 {
            batch.set(key(i), VALUE);
            batch.zadd("z", member(i), i as f64);
        }
        batch.exec().await.unwrap();
        Ours(store)
    }

    pub(crate) async fn call(&self, row: &str, i: usize) {
        let store = &self.0;
        match row {
            "get" => assert_eq!(store.get(key(i)).await.unwrap().unwrap().len(), 100),
            "set" => store.set(key(i), VALUE).await.unwrap(),
            "set_nx" => assert!(store.set_nx(new_key(), VALUE).await.unwrap()),
            "incr_by" => assert!(store.incr_by(format!("counter:{i}"), 1).await.unwrap() > 0),
            "zadd" => store.zadd("moving", member(i), score()).await.unwrap(),
            "zrange of 100" => {
                let found = store.zrange("z").by_score(100.0..).limit(100).await.unwrap();
                assert_eq!(black_box(found).len(), 100);
            }
            "atomic write of 10" => {
                let mut tx = store.atomic_write();
                (0..10).for_each(|j| tx.set(key(i * 10 + j), VALUE));
                assert!(tx.exec().await.unwrap().is_committed());
            }
            "batch of 100 gets" => {
                let mut batch = store.batch();
                let gets: Vec<_> = (0..100).map(|j| batch.get(key(i + j))).collect();
                let mut replies = batch.exec().await.unwrap();
                for get in gets {
                    assert_eq!(black_box(replies.take(get).unwrap()).unwrap().len(), 100);
                }
            }
            other => panic!("no row {other}"),
        }
    }
}

/// The bare crate.
#[derive(Clone)]
pub(crate) struct Bare {
    database: Arc<Database>,
    subspace: Subspace,
}

const STRING: i64 = 0;
const SET: i64 = 1;
const SORTED: i64 = 4;
const ORDER: i64 = 5;

fn bytes(text: &str) -> Bytes<'_> {
    Bytes::from(text.as_bytes())
}

impl Bare {
    /// On the rows that [`Ours`] has written to the same subspace.
    pub(crate) fn new(url: &str) -> Self {
        let (path, query) = url["foundationdb:".len()..].split_once('?').unwrap();
        let names = query.strip_prefix("subspace=").unwrap();
        let subspace = names.split('/').fold(Subspace::all(), |at, name| at.subspace(&name));
        let database = Arc::new(Database::new(Some(path)).unwrap());
        Bare { database, subspace }
    }
    fn string(&self, key: &str) -> Vec<u8> {
        self.subspace.pack(&(bytes(key), STRING))
    }
    fn put(&self, tx: &Transaction, key: &str) {
        let from = self.subspace.pack(&(bytes(key), SET));
        tx.clear_range(&from, &self.subspace.pack(&(bytes(key), SORTED)));
        tx.set(&self.string(key), &[&[1], VALUE.as_bytes()].concat());
    }
    /// The first row of a key, if any.
    async fn first(&self, tx: &Transaction, key: &str, end: i64) -> Option<(Vec<u8>, Vec<u8>)> {
        let (begin, end) = (self.string(key), self.subspace.pack(&(bytes(key), end)));
        let option = RangeOption {
            limit: Some(1),
            mode: StreamingMode::WantAll,
            ..RangeOption::from((begin, end))
        };
        let rows = tx.get_range(&option, 1, false).await.unwrap();
        rows.first().map(|row| (row.key().to_vec(), row.value().to_vec()))
    }
    async fn write<F>(&self, write: impl Fn(RetryableTransaction) -> F)
    where
        F: Future<Output = Result<(), FdbBindingError>>,
    {
        self.database.run(|tx, _| write(tx)).await.unwrap();
    }

    async fn set_nx(&self) {
        let key = new_key();
        self.write(async |tx| {
            assert!(self.first(&tx, &key, SORTED).await.is_none());
            self.put(&tx, &key);
            Ok(())
        })
        .await;
    }
    async fn incr_by(&self, i: usize) {
        let key = format!("counter:{i}");
        self.write(async |tx| {
            let row = self.first(&tx, &key, 8).await;
            let now = row.map_or(0, |(_, n)| i64::from_le_bytes(n[..].try_into().unwrap()));
            tx.set(&self.string(&key), &(now + 1).to_le_bytes());
            Ok(())
        })
        .await;
    }
    async fn zadd(&self, i: usize) {
        let (member, score) = (member(i), score());
        let key = bytes("moving");
        self.write(async |tx| {
            let row = self.subspace.pack(&(&key, SORTED, bytes(&member)));
            let in_order = |score: f64| self.subspace.pack(&(&key, ORDER, score, bytes(&member)));
            if let Some(old) = tx.get(&row, false).await? {
                tx.clear(&in_order(f64::from_be_bytes(old[..8].try_into().unwrap())));
            }
            tx.set(&in_order(score), &[0]);
            tx.set(&row, &[&score.to_be_bytes()[..], &[0]].concat());
            Ok(())
        })
        .await;
    }
    async fn zrange(&self) {
        let tx = self.database.create_trx().unwrap();
        let begin = self.subspace.pack(&(bytes("z"), ORDER, 100.0));
        let end = self.subspace.pack(&(bytes("z"), ORDER + 1));
        let option = RangeOption {
            limit: Some(100),
            mode: StreamingMode::WantAll,
            ..RangeOption::from((begin, end))
        };
        let rows = tx.get_range(&option, 1, true).await.unwrap();
        let tail = self.subspace.bytes().len() + pack(&(bytes("z"), ORDER)).len();
        let members = rows.iter().map(|row| {
            let (_, member): (f64, Bytes<'_>) = unpack(&row.key()[tail..]).unwrap();
            member.to_vec()
        });
        assert_eq!(black_box(members.collect::<Vec<_>>()).len(), 100);
    }

    pub(crate) async fn call(&self, row: &str, i: usize) {
        match row {
            "get" => {
                let tx = self.database.create_trx().unwrap();
                let value = tx.get(&self.string(&key(i)), true).await.unwrap().unwrap();
                assert_eq!(black_box(value[1..].to_vec()).len(), 100);
            }
            "set" => {
                self.write(async |tx| {
                    self.put(&tx, &key(i));
                    Ok(())
                })
                .await;
            }
            "set_nx" => self.set_nx().await,
            "incr_by" => self.incr_by(i).await,
            "zadd" => self.zadd(i).await,
            "zrange of 100" => self.zrange().await,
            "atomic write of 10" => {
                self.write(async |tx| {
                    (0..10).for_each(|j| self.put(&tx, &key(i * 10 + j)));
                    Ok(())
                })
                .await;
            }
            "batch of 100 gets" => {
                let tx = self.database.create_trx().unwrap();
                let gets = (0..100).map(|j| tx.get(&self.string(&key(i + j)), true));
                for value in try_join_all(gets).await.unwrap() {
                    assert_eq!(black_box(value.unwrap()[1..].to_vec()).len(), 100);
                }
            }
            other => panic!("no row {other}"),
        }
    }
}
