//! Prints a step as Rust calls, which can be pasted into a test.

use super::Step;
use super::generate::pattern;
use crate::op::*;
use crate::op::{Condition, Op, Range, Read, Score, Write};
use std::fmt::{self, Display, Formatter};
use std::ops::Bound;

pub(super) struct Calls<'a>(pub(super) &'a Step);

impl Display for Calls<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Step::One(op) => write!(f, "store.{}.await;", call(op, false)),
            Step::Batch(ops) => {
                writeln!(f, "let mut batch = store.batch();")?;
                ops.iter().try_for_each(|op| writeln!(f, "batch.{};", call(op, true)))?;
                f.write_str("batch.exec_each().await;")
            }
            Step::Atomic(ops) => {
                writeln!(f, "let mut tx = store.atomic_write();")?;
                ops.iter().try_for_each(|op| writeln!(f, "tx.{};", write(op)))?;
                f.write_str("tx.exec().await;")
            }
        }
    }
}

fn call(op: &Op, batch: bool) -> String {
    match op {
        Op::Read(Read::ZRange(op)) => zrange(op, batch),
        Op::Read(op) => read(op),
        Op::Write(op) => write(op),
    }
}

fn read(op: &Read) -> String {
    let (name, key) = (op.name(), Bytes(op.key()));
    match op {
        Read::HGet(HGet { field: x, .. })
        | Read::ZHGet(ZHGet { field: x, .. })
        | Read::ZScore(ZScore { member: x, .. }) => format!("{name}({key}, {})", Bytes(x)),
        Read::ZCount(op) => format!("{name}({key}, {})", range(&op.range)),
        _ => format!("{name}({key})"),
    }
}

fn write(op: &Write) -> String {
    let (name, key) = (op.name(), Bytes(op.key()));
    match op {
        Write::Set(Set { value, condition: Condition::Equals(old), .. }) => {
            format!("{name}({key}, {}, {})", Bytes(value), Bytes(old))
        }
        Write::Set(op) => format!("{name}({key}, {})", Bytes(&op.value)),
        Write::Delete(op) if op.must_exist => format!("delete_xx({key})"),
        Write::Delete(_) => format!("{name}({key})"),
        Write::IncrBy(op) => format!("{name}({key}, {})", op.by),
        Write::SAdd(SAdd { members: all, .. })
        | Write::SRem(SRem { members: all, .. })
        | Write::HDel(HDel { fields: all, .. }) => {
            format!("{name}({key}, {})", list(all.iter().map(|x| slice(x))))
        }
        Write::HSet(op) => {
            let pairs = op.fields.iter().map(|(f, v)| format!("({}, {})", slice(f), slice(v)));
            // An empty list needs the type of pairs.
            let pairs = list(pairs).replace("[\"\"; 0]", "[(\"\", \"\"); 0]");
            format!("{name}({key}, {pairs})")
        }
        Write::HSetNx(op) => format!("{name}({key}, {}, {})", Bytes(&op.field), Bytes(&op.value)),
        Write::ZAdd(op) => {
            let value = op.value.as_ref().map(|v| format!("{}, ", Bytes(v))).unwrap_or_default();
            format!("{name}({key}, {}, {value}{})", Bytes(&op.member), Number(op.score))
        }
        Write::ZRem(op) => format!("{name}({key}, {})", Bytes(&op.member)),
        Write::ZIncrBy(op) => format!("{name}({key}, {}, {})", Bytes(&op.member), Number(op.by)),
    }
}

fn zrange(op: &ZRange, batch: bool) -> String {
    let mut call = format!("{}({})", op.name(), Bytes(&op.key));
    let by = if matches!(op.range, Range::Score(_)) { "by_score" } else { "by_lex" };
    call += &format!(".{by}({})", range(&op.range));
    if op.rev {
        call += ".rev()";
    }
    if let Some(limit) = op.limit {
        call += &format!(".limit({limit})");
    }
    if op.scores {
        call += ".with_scores()";
    }
    if batch {
        call += ".queue()";
    }
    call
}

fn range(range: &Range) -> String {
    match range {
        Range::Score(r) => format!("({}, {})", bound(&r.min, number), bound(&r.max, number)),
        Range::Lex(r) => {
            format!("({}, {})", bound(&r.min, |v| slice(v)), bound(&r.max, |v| slice(v)))
        }
    }
}

fn bound<T>(bound: &Bound<T>, show: impl Fn(&T) -> String) -> String {
    match bound {
        Bound::Included(end) => format!("Bound::Included({})", show(end)),
        Bound::Excluded(end) => format!("Bound::Excluded({})", show(end)),
        Bound::Unbounded => "Bound::Unbounded".into(),
    }
}

fn number(score: &Score) -> String {
    Number(*score).to_string()
}
/// A byte string as a slice, because both ends of a range need the same type.
fn slice(bytes: &[u8]) -> String {
    let bytes = Bytes(bytes).to_string();
    format!("&{}[..]", bytes.trim_start_matches('&'))
}

/// An array expression; an empty one gets a type.
fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.collect();
    match items.is_empty() {
        true => "[\"\"; 0]".into(),
        false => format!("[{}]", items.join(", ")),
    }
}

struct Number(Score);

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.get() {
            f64::INFINITY => f.write_str("f64::INFINITY"),
            f64::NEG_INFINITY => f.write_str("f64::NEG_INFINITY"),
            number => write!(f, "{number:?}"),
        }
    }
}

/// A byte string as an expression that converts to `Key` and `Value`.
struct Bytes<'a>(&'a [u8]);

impl Display for Bytes<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            [first, ..] if self.0.len() > 40 && self.0.iter().all(|byte| byte == first) => {
                write!(f, "&[{first}; {}]", self.0.len())
            }
            bytes
                if bytes.len() > 40 && bytes.iter().enumerate().all(|(i, b)| *b == pattern(i)) =>
            {
                write!(f, "&Vec::from_iter((0..{}).map(|i| (i % 251) as u8))", bytes.len())
            }
            bytes => write!(f, "b\"{}\"", bytes.escape_ascii()),
        }
    }
}
