//! One operation for each name, for tests that have to know all of them. `tests.rs` fails if one is
//! missing here.

use super::*;
use crate::op::{Score, ScoreRange};

fn value() -> Value {
    Value::from("v")
}

pub(crate) fn reads() -> Vec<Read> {
    let by_score = Range::Score(ScoreRange::ALL);
    let by_lex = Range::Lex(Box::new(LexRange::ALL));
    vec![
        Get::new("k").into(),
        Exists::new("k").into(),
        SMembers::new("k").into(),
        HGet::new("k", value()).into(),
        HGetAll::new("k").into(),
        ZScore::new("k", value()).into(),
        ZHGet::new("k", value()).into(),
        ZCount::new("k", by_score).into(),
        ZCount::new("k", by_lex).into(),
        ZRange::new("k").into(),
        ZRange::new("k").values(true).into(),
    ]
}

pub(crate) fn writes() -> Vec<Write> {
    let score = Score::new(1.0).unwrap();
    let set = |condition| Set::new("k", value()).condition(condition).into();
    let zadd = || ZAdd::new("k", value(), score);
    vec![
        set(Condition::Always),
        set(Condition::NotExists),
        set(Condition::Exists),
        set(Condition::Equals(value())),
        Delete::new("k").into(),
        Delete::new("k").must_exist(true).into(),
        IncrBy::new("k", 1).into(),
        SAdd::new("k", vec![value(), value()]).into(),
        SRem::new("k", vec![value(), value()]).into(),
        HSet::new("k", vec![(value(), value())]).into(),
        HSetNx::new("k", value(), value()).into(),
        HDel::new("k", vec![value(), value()]).into(),
        zadd().into(),
        zadd().nx(true).into(),
        zadd().value(value()).into(),
        zadd().value(value()).nx(true).into(),
        ZRem::new("k", value()).into(),
        ZIncrBy::new("k", value(), score).into(),
    ]
}
