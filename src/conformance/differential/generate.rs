//! Random programs. Few keys and few members, so that operations meet; each of a shape that has been a bug
//! somewhere: empty, binary, long, next to another.

use super::{Program, Step};
use crate::ops::*;
use crate::{Condition, Key, LexRange, Op, Range, Read, Score, ScoreRange, Value, Write};
use fastrand::Rng;
use std::ops::Bound;

/// What a key is for, most of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    String,
    Counter,
    Set,
    Hash,
    /// Any scores, asked for by score.
    ByScore,
    /// All scores 0, asked for by member, too.
    ByLex,
}

const FAMILIES: [Family; 6] =
    [Family::String, Family::Counter, Family::Set, Family::Hash, Family::ByScore, Family::ByLex];

/// Neighbours in the order of bytes belong to different families.
const KEYS: [&[u8]; 13] = [
    b"a",
    b"a\0",
    b"a\0\0",
    b"a\0\x01",
    b"a\0\xff",
    b"a\x01",
    b"a\xff",
    b"aa",
    b"b",
    b"\0",
    b"\xff",
    b"_",
    &[b'k'; 1_900],
];

const MEMBERS: [&[u8]; 12] = [
    b"a",
    b"a\0",
    b"a\0\0",
    b"a\0\xff",
    b"a\xff",
    b"b",
    b"_",
    b"\0",
    b"\xff\xff",
    b"1",
    b"twenty-three bytes long",
    &[b'm'; 1_016],
];

const VALUES: [&[u8]; 16] = [
    b"",
    b"0",
    b"1",
    b"-1",
    b"42",
    b"007",
    b"+1",
    b"-0",
    b"x",
    b"x\0",
    b"\xff\xfe",
    b"9223372036854775807",
    b"-9223372036854775808",
    &[b'v'; 23],
    &[b'v'; 1_100],
    &[b'v'; 6_000],
];

const SCORES: [f64; 14] = [
    0.0,
    0.0,
    1.0,
    1.0,
    -1.0,
    1.5,
    2.0,
    5e-324,
    -5e-324,
    1e300,
    -1e300,
    f64::INFINITY,
    f64::NEG_INFINITY,
    -0.0,
];

const INCREMENTS: [i64; 8] = [0, 1, 1, -1, 5, -7, i64::MAX, i64::MIN];

/// The program of a seed.
pub(super) fn program(seed: u64, steps: usize) -> Program {
    let mut rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    // A program has a theme: a few keys, more often than not the same.
    let keys = 2 + rng.usize(..KEYS.len() - 1);
    let mut generator = Generator { rng, keys };
    Program((0..steps).map(|_| generator.step()).collect())
}

struct Generator {
    rng: Rng,
    keys: usize,
}

impl Generator {
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.usize(..from.len())]
    }
    fn one_in(&mut self, n: u32) -> bool {
        self.rng.u32(..n) == 0
    }

    fn step(&mut self) -> Step {
        match self.rng.u32(..20) {
            0..=10 => Step::One(self.op()),
            11..=14 => {
                let n = self.rng.usize(..9);
                Step::Batch((0..n).map(|_| self.op()).collect())
            }
            _ => {
                let n = if self.one_in(10) { 20 } else { self.rng.usize(..6) };
                Step::Atomic((0..n).map(|_| self.write()).collect())
            }
        }
    }
    fn op(&mut self) -> Op {
        if self.rng.bool() { self.write().into() } else { self.read().into() }
    }

    /// A key, and what it is to be used as: now and then not what it is for.
    fn key(&mut self) -> (Key, Family) {
        let n = self.rng.usize(..self.keys);
        let family = match self.one_in(30) {
            true => self.pick(&FAMILIES),
            false => FAMILIES[n % FAMILIES.len()],
        };
        (KEYS[n].into(), family)
    }
    fn member(&mut self) -> Value {
        if self.one_in(40) { Value::default() } else { self.pick(&MEMBERS).into() }
    }
    fn value(&mut self) -> Value {
        self.pick(&VALUES).into()
    }
    fn members(&mut self) -> Vec<Value> {
        let n = self.rng.usize(..4);
        (0..n).map(|_| self.member()).collect()
    }
    fn score(&mut self, family: Family) -> Score {
        let score = if family == Family::ByLex { 0.0 } else { self.pick(&SCORES) };
        Score::new(score).unwrap_or(Score::MIN) // none of them is NaN
    }

    fn read(&mut self) -> Read {
        let (key, family) = self.key();
        match family {
            Family::String | Family::Counter => Get::new(key).into(),
            Family::Set => SMembers::new(key).into(),
            Family::Hash if self.rng.bool() => HGetAll::new(key).into(),
            Family::Hash => HGet::new(key, self.member()).into(),
            Family::ByScore | Family::ByLex => match self.rng.u32(..6) {
                0 => ZScore::new(key, self.member()).into(),
                1 => ZHGet::new(key, self.member()).into(),
                2 => ZCount::new(key, self.range(family)).into(),
                _ => self.zrange(key, family).into(),
            },
        }
    }
    fn zrange(&mut self, key: Key, family: Family) -> ZRange {
        let limit = match self.rng.u32(..4) {
            0 => Some(self.rng.usize(..4)),
            1 => Some(100),
            _ => None,
        };
        ZRange {
            range: self.range(family),
            rev: self.rng.bool(),
            limit,
            scores: self.rng.bool(),
            values: self.rng.bool(),
            ..ZRange::new(key)
        }
    }
    fn range(&mut self, family: Family) -> Range {
        if family == Family::ByLex && self.rng.bool() {
            let (min, max) = (self.lex_bound(), self.lex_bound());
            return Range::Lex(LexRange { min, max });
        }
        let (min, max) = (self.score_bound(), self.score_bound());
        Range::Score(ScoreRange { min, max })
    }
    fn lex_bound(&mut self) -> Bound<Value> {
        match self.rng.u32(..5) {
            0 => Bound::Unbounded,
            1 | 2 => Bound::Included(self.member()),
            _ => Bound::Excluded(self.member()),
        }
    }
    fn score_bound(&mut self) -> Bound<Score> {
        match self.rng.u32(..5) {
            0 => Bound::Unbounded,
            1 | 2 => Bound::Included(self.score(Family::ByScore)),
            _ => Bound::Excluded(self.score(Family::ByScore)),
        }
    }

    fn write(&mut self) -> Write {
        let (key, family) = self.key();
        if self.one_in(12) {
            return Delete::new(key, self.rng.bool()).into();
        }
        // Strings may replace counters, sets and hashes.
        let string =
            matches!(family, Family::Set | Family::Hash | Family::Counter) && self.one_in(8);
        match family {
            Family::String => self.set(key).into(),
            _ if string => self.set(key).into(),
            Family::Counter => IncrBy::new(key, self.pick(&INCREMENTS)).into(),
            Family::Set if self.rng.bool() => SAdd::new(key, self.members()).into(),
            Family::Set => SRem::new(key, self.members()).into(),
            Family::Hash => self.hash_write(key),
            Family::ByScore | Family::ByLex => self.sorted_write(key, family),
        }
    }
    fn set(&mut self, key: Key) -> Set {
        let condition = match self.rng.u32(..7) {
            0 => Condition::NotExists,
            1 => Condition::Exists,
            2 | 3 => Condition::Equals(self.value()),
            _ => Condition::Always,
        };
        Set::new(key, self.value(), condition)
    }
    fn hash_write(&mut self, key: Key) -> Write {
        match self.rng.u32(..4) {
            0 => HSetNx::new(key, self.member(), self.value()).into(),
            1 => HDel::new(key, self.members()).into(),
            _ => {
                let n = self.rng.usize(..4);
                HSet::new(key, (0..n).map(|_| (self.member(), self.value())).collect()).into()
            }
        }
    }
    fn sorted_write(&mut self, key: Key, family: Family) -> Write {
        let (member, score) = (self.member(), self.score(family));
        match self.rng.u32(..6) {
            0 => ZRem::new(key, member).into(),
            1 => ZIncrBy::new(key, member, score).into(),
            2 | 3 => ZAdd::new(key, member, None, score, self.one_in(3)).into(),
            _ => {
                let value = Some(self.value());
                ZAdd::new(key, member, value, score, self.one_in(3)).into()
            }
        }
    }
}
