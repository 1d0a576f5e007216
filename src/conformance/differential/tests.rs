//! Tests that differences are found, shrunk and printed.

use super::*;
use crate::backend::{Backend, Context};
use crate::op::ZRange;
use crate::op::{Range, Read, Reply};
use crate::{Memory, Outcome, Result};

/// Drops the last member of every range of more than two.
#[derive(Debug)]
struct Faulty(Memory);

impl Backend for Faulty {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        Ok(match self.0.read(cx, op).await? {
            Reply::Values(mut values) if matches!(op, Read::ZRange(_)) && values.len() > 2 => {
                values.pop();
                Reply::Values(values)
            }
            reply => reply,
        })
    }
    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        self.0.write(cx, op).await
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        crate::backend::batch_sequentially(self, cx, ops).await
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        self.0.transact(cx, writes).await
    }
}

async fn first_difference() -> (Program, Difference) {
    let subject = Subject::new(Faulty(Memory::new()));
    for seed in 0..200 {
        let program = generate::program(seed, 50);
        let mut runner = run::Runner::new(&subject, seed);
        if let Some(found) = runner.run(&program).await {
            return shrink::shrink(&mut runner, program, found).await;
        }
    }
    panic!("200 programs did not find the dropped member");
}

#[tokio::test]
async fn a_lost_member_is_found_and_the_program_is_as_short_as_it_can_be() {
    let (program, found) = first_difference().await;
    let report = Report(&program, &found).to_string();
    // The minimum is three added members and one range.
    let added = report.matches("zadd").count()
        + report.matches("zhadd").count()
        + report.matches("zincr_by").count();
    assert_eq!(added, 3, "{report}");
    assert!(program.0.len() <= 4, "{report}");
    assert!(report.contains("range("), "{report}");
    assert!(report.contains("// the model returns"), "{report}");
}

/// Returns lexicographic ranges in the order of scores, as a backend with one index does.
#[derive(Debug)]
struct OneIndex(Memory);

impl Backend for OneIndex {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        let scores = ZRange { scores: true, ..ZRange::new(op.key()) };
        if let Read::ZRange(ZRange { range: Range::Lex(_), .. }) = op
            && let Ok(Reply::Scored(all)) = self.0.read(cx, &scores.into()).await
            && all.windows(2).any(|pair| pair[0].1 != pair[1].1)
        {
            return Ok(Reply::Values(all.into_iter().map(|(member, _)| member).collect()));
        }
        self.0.read(cx, op).await
    }
    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        self.0.write(cx, op).await
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        crate::backend::batch_sequentially(self, cx, ops).await
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        self.0.transact(cx, writes).await
    }
}

/// Regression: the generator sometimes writes other scores to the keys for lexicographic ranges,
/// and the differential test accepted only the reply of the memory backend.
#[tokio::test]
async fn a_lexicographic_range_of_mixed_scores_may_answer_anything() {
    check(async || OneIndex(Memory::new()), Plan::new(300)).await;
}

/// Reports success for every `sadd`, also on a key of another type.
#[derive(Debug)]
struct Blind(Memory);

impl Backend for Blind {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        self.0.read(cx, op).await
    }
    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        match (op, self.0.write(cx, op).await) {
            (Write::SAdd(_), Err(_)) => Ok(Reply::Done),
            (_, reply) => reply,
        }
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        crate::backend::batch_sequentially(self, cx, ops).await
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        self.0.transact(cx, writes).await
    }
}

#[tokio::test]
async fn a_use_as_another_type_is_compared_where_the_backend_sees_types() {
    check(async || Blind(Memory::new()), Plan::new(100)).await;
    let found = async |subject: Subject| {
        for seed in 0..100 {
            let program = generate::program(seed, 50);
            if run::Runner::new(&subject, seed).run(&program).await.is_some() {
                return true;
            }
        }
        false
    };
    assert!(found(Subject::new(Blind(Memory::new())).sees_types()).await);
    assert!(!found(Subject::new(Memory::new()).sees_types()).await);
}

#[tokio::test]
async fn the_same_seed_makes_the_same_program_and_another_makes_another() {
    let text = |seed| format!("{:?}", generate::program(seed, 50));
    assert_eq!(text(7), text(7));
    assert_ne!(text(7), text(8));
}

#[test]
fn programs_reach_every_operation_in_every_company() {
    use crate::op::{READ_NAMES, WRITE_NAMES};
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..300 {
        for step in generate::program(seed, 50).0 {
            match step {
                Step::One(op) => drop(seen.insert(format!("{op}"))),
                Step::Batch(ops) => seen.extend(ops.iter().map(|op| format!("batch {op}"))),
                Step::Atomic(ops) => {
                    seen.extend(ops.iter().map(|op| format!("atomic {}", op.name())));
                }
            }
        }
    }
    // `delete_xx` reports the name `delete`.
    let writes = || WRITE_NAMES.iter().filter(|name| **name != "delete_xx");
    for name in READ_NAMES.iter().chain(writes()) {
        assert!(seen.contains(*name) && seen.contains(&format!("batch {name}")), "{name}");
    }
    for name in writes() {
        assert!(seen.contains(&format!("atomic {name}")), "{name}");
    }
}

#[test]
fn a_step_prints_as_the_calls_that_make_it() {
    use crate::op::*;
    let print = |step: &Step| calls::Calls(step).to_string();
    let zadd = ZAdd::new("k", "m".into(), Score::MIN).value([7u8; 50][..].into()).nx(true);
    assert_eq!(
        print(&Step::One(zadd.into())),
        r#"store.zhadd_nx(b"k", b"m", &[7; 50], f64::NEG_INFINITY).await;"#
    );
    let long: Vec<u8> = (0..6_000).map(generate::pattern).collect();
    let hset = HSet::new("k", vec![("f".into(), long.into())]);
    assert_eq!(
        print(&Step::One(hset.into())),
        "store.hset(b\"k\", [(&b\"f\"[..], \
         &Vec::from_iter((0..6000).map(|i| (i % 251) as u8))[..])]).await;"
    );
    let range = ZRange { limit: Some(3), rev: true, ..ZRange::new(b"\0") };
    assert_eq!(
        print(&Step::Batch(vec![range.into()])),
        "let mut batch = store.batch();\n\
         batch.zrange(b\"\\x00\").by_score((Bound::Unbounded, Bound::Unbounded))\
         .rev().limit(3).queue();\n\
         batch.exec_each().await;"
    );
    let sadd = SAdd::new("k", vec!["a".into(), "bb".into()]);
    assert_eq!(
        print(&Step::Atomic(vec![sadd.into()])),
        "let mut tx = store.atomic_write();\n\
         tx.sadd(b\"k\", [&b\"a\"[..], &b\"bb\"[..]]);\n\
         tx.exec().await;"
    );
}
