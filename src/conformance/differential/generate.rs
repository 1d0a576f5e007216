//! Generates random programs. There are few keys and few members, so that operations interact. They
//! are the edge cases that have caused bugs: empty, binary, long, adjacent to another.

use super::{Program, Step};
use crate::op::WriteTarget;
use crate::op::*;
use crate::op::{Condition, LexRange, Op, Range, Read, Score, ScoreRange, Write};
use crate::{Key, Value};
use fastrand::Rng;
use std::ops::Bound;

/// The usual use of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    String,
    Counter,
    Set,
    Hash,
    /// A sorted set with any scores, read by score.
    ByScore,
    /// A sorted set with equal scores, read by member, too.
    ByLex,
}

const FAMILIES: [Family; 6] =
    [Family::String, Family::Counter, Family::Set, Family::Hash, Family::ByScore, Family::ByLex];

/// Keys that are adjacent in byte order belong to different families.
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

/// They include the lengths around each threshold at which a backend stores values differently:
/// inline, in the row or in chunks of 64 bytes, in both rows of a sorted field or in one.
const VALUES: [&[u8]; 22] = [
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
    &[b'v'; 48],
    &[b'v'; 49],
    &[b'v'; 64],
    &[b'v'; 65],
    &[b'v'; 1_023],
    &[b'v'; 1_100],
    &patterned::<6_000>(),
    // More than 255 chunks.
    &patterned::<17_000>(),
];

/// Bytes in which no two chunks are equal, so that a wrong order of chunks is found.
const fn patterned<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let mut i = 0;
    while i < N {
        bytes[i] = pattern(i);
        i += 1;
    }
    bytes
}
/// The byte at `i` of a long value.
pub(super) const fn pattern(i: usize) -> u8 {
    (i % 251) as u8
}

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

/// Generates the program of a seed.
pub(super) fn program(seed: u64, steps: usize) -> Program {
    let mut rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    // Each program uses only some of the keys, so that its operations interact.
    let keys = 2 + rng.usize(..KEYS.len() - 1);
    let mut generator = Generator { rng, keys };
    let mut steps: Vec<Step> = (0..steps).map(|_| generator.step()).collect();
    steps.extend(generator.cleanup());
    Program(steps)
}

struct Generator {
    rng: Rng,
    keys: usize,
}

/// Reads that return everything that a key of this family holds.
fn read_all(key: &Key, family: Family) -> Vec<Op> {
    let range = |values| ZRange { values, scores: true, ..ZRange::new(key) };
    match family {
        Family::String | Family::Counter => vec![Get::new(key).into()],
        Family::Set => vec![SMembers::new(key).into()],
        Family::Hash => vec![HGetAll::new(key).into()],
        Family::ByScore => vec![range(false).into(), range(true).into()],
        Family::ByLex => {
            let lex = ZRange { range: Range::Lex(Box::new(LexRange::ALL)), ..range(true) };
            vec![range(true).into(), lex.into()]
        }
    }
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
                Step::Atomic(self.atomic(n))
            }
        }
    }
    /// Up to `n` writes, usually with different targets.
    fn atomic(&mut self, n: usize) -> Vec<Write> {
        let careless = self.one_in(8);
        let mut writes: Vec<Write> = Vec::with_capacity(n);
        for _ in 0..n {
            let write = self.write();
            let (item, others) = (write.target(), writes.iter().map(Write::target));
            let mut others = others.filter(|other| other.key == item.key);
            let apart = |other: WriteTarget<'_>| {
                other.member.is_some() && item.member.is_some() && other.member != item.member
            };
            if careless || others.all(apart) {
                writes.push(write);
            }
        }
        writes
    }
    /// Reads every key, empties it, and checks that it does not exist.
    fn cleanup(&mut self) -> [Step; 4] {
        let (mut reads, mut removals, mut deletions) = (Vec::new(), Vec::new(), Vec::new());
        let mut members: Vec<Value> = MEMBERS.map(Value::from).into();
        for n in 0..self.keys {
            let (key, family) = (Key::from(KEYS[n]), FAMILIES[n % FAMILIES.len()]);
            reads.extend(read_all(&key, family));
            // The program may have replaced a set or hash with a string.
            if matches!(family, Family::Set | Family::Hash) && self.one_in(2) {
                deletions.push(Delete::new(&key).into());
                continue;
            }
            let sorted = |member: &Value| ZRem::new(&key, member.clone()).into();
            match family {
                Family::String | Family::Counter => deletions.push(Delete::new(&key).into()),
                Family::ByScore | Family::ByLex => removals.extend(members.iter().map(sorted)),
                Family::Set | Family::Hash => {
                    members.push(Value::default());
                    removals.push(match family {
                        Family::Set => SRem::new(&key, members.clone()).into(),
                        _ => HDel::new(&key, members.clone()).into(),
                    });
                    members.pop();
                }
            }
        }
        let gone = KEYS[..self.keys].iter().map(|key| Delete::new(*key).into());
        let gone = Step::Batch(gone.collect());
        [Step::Batch(reads), Step::Batch(removals), Step::Atomic(deletions), gone]
    }
    fn op(&mut self) -> Op {
        if self.rng.bool() { self.write().into() } else { self.read().into() }
    }

    /// A key and the family of the operation on it, which is sometimes not the key's own.
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
            _ if self.one_in(12) => Exists::new(key).into(),
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
            return Range::Lex(Box::new(LexRange { min, max }));
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
            return Delete::new(key).must_exist(self.rng.bool()).into();
        }
        // `set` may replace a counter, set or hash.
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
        Set::new(key, self.value()).condition(condition)
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
            2 | 3 => ZAdd::new(key, member, score).nx(self.one_in(3)).into(),
            _ => {
                let value = Some(self.value());
                ZAdd { value, ..ZAdd::new(key, member, score).nx(self.one_in(3)) }.into()
            }
        }
    }
}
