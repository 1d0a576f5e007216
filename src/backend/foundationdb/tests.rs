//! Tests of the engine below the public API: conflict ranges, and snapshots that age.

#[path = "../../../tests/support/foundationdb.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod cluster;
#[path = "../../../tests/support/process.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod process;

use super::FoundationDb;
use super::database::Fdb;
use super::tx::Tx;
use crate::backend::ordered::{
    Access, Engine, Program, Scan, Span, Transact, Transaction, WriteOne,
};
use crate::backend::{Consistency, Context};
use crate::op::*;
use crate::op::{Condition, Score, Write};
use crate::{Result, Store, Value};
use foundationdb::RangeOption;
use std::time::{Duration, Instant};

async fn open() -> (Fdb, Store) {
    let cluster = FoundationDb::open(cluster::subspace()).await.unwrap();
    (cluster.0.engine().clone(), Store::new(cluster))
}

type Ranges = Vec<(Vec<u8>, Vec<u8>)>;

/// The conflict ranges of a program.
#[derive(Debug)]
struct Conflicts {
    read: Ranges,
    written: Ranges,
}

impl Conflicts {
    async fn of<P: Program>(engine: &Fdb, program: P) -> Self {
        let (cx, begun) = (Context::default(), engine.begin(Access::Write, 1).unwrap());
        let tx = Tx::new(engine, &cx, Access::Write, begun);
        program.run(&tx).await.unwrap();
        let transaction = tx.finish().transaction.unwrap();
        let read = ranges(&transaction, "read").await;
        Conflicts { written: ranges(&transaction, "write").await, read }
    }
    /// Whether this program conflicts if `other` commits first.
    fn after(&self, other: &Conflicts) -> bool {
        let overlap = |r: &(Vec<u8>, Vec<u8>), w: &(Vec<u8>, Vec<u8>)| r.0 < w.1 && w.0 < r.1;
        self.read.iter().any(|r| other.written.iter().any(|w| overlap(r, w)))
    }
}

/// The client lists boundaries: `1` where a range begins, `0` where it ends.
async fn ranges(transaction: &foundationdb::Transaction, kind: &str) -> Ranges {
    let begin = [b"\xff\xff/transaction/", kind.as_bytes(), b"_conflict_range/"].concat();
    let end = [&begin[..], &[0xff, 0xff]].concat();
    let option = RangeOption::from((&begin[..], &end[..]));
    let rows = transaction.get_range(&option, 1, false).await.unwrap();
    let mut ranges = Ranges::new();
    let mut start = None;
    for row in rows.iter() {
        let name = row.key()[begin.len()..].to_vec();
        match row.value() {
            b"1" => start = Some(name),
            _ => ranges.extend(start.take().map(|start| (start, name))),
        }
    }
    ranges
}

fn zadd(member: &str) -> Write {
    ZAdd::new("z", member.into(), Score::new(1.0).unwrap()).into()
}
fn set(value: &str, condition: Condition) -> Write {
    Set::new("k", value.into()).condition(condition).into()
}
fn hset(field: &str) -> Write {
    HSet::new("h", vec![(field.into(), Value::from("v"))]).into()
}
fn sadd(member: &str) -> Write {
    SAdd::new("s", vec![member.into()]).into()
}

#[tokio::test]
async fn writes_conflict_where_they_have_to_and_nowhere_else() {
    let (engine, store) = open().await;
    store.set("n", 5).await.unwrap();
    let limits = engine.limits();
    let alone = async |op: Write| Conflicts::of(&engine, WriteOne { op, limits }).await;
    let atomic =
        async |op: Write| Conflicts::of(&engine, Transact { writes: vec![op], limits }).await;
    let incr = || Write::from(IncrBy::new("n", 1));

    for (a, b) in [(sadd("a"), sadd("b")), (hset("a"), hset("b")), (zadd("a"), zadd("b"))] {
        let (a, b) = (alone(a).await, alone(b).await);
        assert!(!a.after(&b) && !b.after(&a), "{a:?} {b:?}");
    }
    // Blind writes read nothing.
    for op in [sadd("a"), hset("a"), set("v", Condition::Always)] {
        assert_eq!(alone(op).await.read, []);
    }
    let same_member = (alone(zadd("a")).await, alone(zadd("a")).await);
    assert_eq!(
        (same_member.0.read.len(), same_member.0.after(&same_member.1)),
        (1, true),
        "of one member they do"
    );

    let (nx, blind) =
        (alone(set("v", Condition::NotExists)).await, alone(set("v", Condition::Always)).await);
    assert!(nx.after(&blind) && !blind.after(&nx));
    let member: Write = SAdd::new("k", vec!["m".into()]).into();
    assert!(nx.after(&alone(member).await), "a set would be in the way, too");

    // A single `incr_by` returns the sum, so it reads the counter. In an atomic write it is an
    // atomic addition.
    let (counted, added) = (alone(incr()).await, atomic(incr()).await);
    assert!(counted.after(&counted) && counted.after(&added));
    assert!(!added.after(&added) && !added.after(&counted), "{added:?}");
    let word: Write = Set::new("n", "a word".into()).into();
    assert!(added.after(&alone(word).await), "there may be no counter left");
    assert!(added.after(&alone(Delete::new("n").into()).await));
}

#[tokio::test]
async fn a_reader_that_grows_old_goes_on_at_a_newer_state() -> Result<()> {
    let (engine, store) = open().await;
    for i in 0..4 {
        store.sadd("s", [i]).await?;
    }
    let (cx, access) = (Context::default(), Access::Read(Consistency::Strong));
    let tx = Tx::new(&engine, &cx, access, engine.begin(access, usize::MAX)?);
    // All rows of the subspace, two per page.
    let all = || Span { begin: Vec::new(), end: vec![0xff] };
    let scan = Scan { span: all(), reverse: false, limit: 2, snapshot: false };
    let mut seen = 0;
    tx.range(&scan, &mut |_, _| {
        seen += 1;
        Ok(())
    })
    .await?;
    assert_eq!((seen, tx.count(&all()).await?), (2, 4));
    store.sadd("s", ["new"]).await?;
    assert_eq!(tx.count(&all()).await?, 4, "one state, for as long as the cluster keeps it");
    // The cluster keeps a version for five seconds or somewhat longer.
    let start = Instant::now();
    while tx.count(&all()).await? == 4 {
        assert!(start.elapsed() < Duration::from_secs(60), "it stays at its first state");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(start.elapsed() > Duration::from_secs(2), "it was of one state for a while");
    assert_eq!(tx.count(&all()).await?, 5);
    Ok(())
}
