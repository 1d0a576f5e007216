//! Every operation as one command.
//!
//! What Redis has a command for is that command; the rest is a call of a [script](super::scripts).
//! A new operation is an arm in `read` or `write` here, and one in [`replies`](super::replies).

use super::keys::companion;
use super::scripts::{self, By, Script};
use super::window::BYTES;
use crate::Value;
use crate::op::*;
use crate::op::{Condition, Range, Read, Score, Write};
use ::redis::Cmd;
use std::ops::Bound;

/// How many entries a script answers at once, and how many are asked for in one command: enough to
/// be quick, few enough not to keep others waiting.
pub(super) const PAGE: usize = 1_000;

/// Starts a command, with room for `args` more arguments of `bytes` together.
pub(super) fn command(name: &str, args: usize, bytes: usize) -> Cmd {
    let mut cmd = Cmd::with_capacity(1 + args, name.len() + bytes);
    cmd.arg(name);
    cmd
}

/// A command of a key and some arguments.
pub(super) fn plain(name: &str, key: &[u8], args: &[&[u8]]) -> Cmd {
    let bytes = args.iter().map(|arg| arg.len()).sum::<usize>();
    let mut cmd = command(name, 1 + args.len(), key.len() + bytes);
    cmd.arg(key);
    for arg in args {
        cmd.arg(*arg);
    }
    cmd
}

/// A command of a key and a list, which must not be empty.
fn list(name: &str, key: &[u8], members: &[Value]) -> Option<Cmd> {
    if members.is_empty() {
        return None;
    }
    let bytes = members.iter().map(|member| member.len()).sum::<usize>();
    let mut cmd = command(name, 1 + members.len(), key.len() + bytes);
    cmd.arg(key);
    for member in members {
        cmd.arg(&member[..]);
    }
    Some(cmd)
}

/// A call of a script on a key without a companion.
fn single(script: &Script, by: By, key: &[u8], args: &[&[u8]]) -> Cmd {
    let bytes = args.iter().map(|arg| arg.len()).sum::<usize>();
    let mut cmd = script.call(by, 1, args.len(), key.len() + bytes);
    cmd.arg(key);
    for arg in args {
        cmd.arg(*arg);
    }
    cmd
}

fn flag(flag: bool) -> &'static str {
    if flag { "1" } else { "0" }
}

fn score_bound(cmd: &mut Cmd, bound: &Bound<Score>, unbounded: &str) {
    match bound {
        Bound::Unbounded => cmd.arg(unbounded),
        Bound::Included(score) => cmd.arg(score.get()),
        Bound::Excluded(score) => cmd.arg(format!("({:e}", score.get())),
    };
}

fn lex_bound(cmd: &mut Cmd, bound: &Bound<Value>, unbounded: &str) {
    match bound {
        Bound::Unbounded => cmd.arg(unbounded),
        Bound::Included(member) => cmd.arg([b"[", &member[..]].concat()),
        Bound::Excluded(member) => cmd.arg([b"(", &member[..]].concat()),
    };
}

/// The ends of a range, in the order in which they are walked.
fn bounds(cmd: &mut Cmd, range: &Range, rev: bool) {
    let both = [0, 1];
    for end in if rev { [both[1], both[0]] } else { both } {
        match (range, end) {
            (Range::Score(range), 0) => score_bound(cmd, &range.min, "-inf"),
            (Range::Score(range), _) => score_bound(cmd, &range.max, "+inf"),
            (Range::Lex(range), 0) => lex_bound(cmd, &range.min, "-"),
            (Range::Lex(range), _) => lex_bound(cmd, &range.max, "+"),
        }
    }
}

/// What `ZRANGE` takes after the key; with the scores, if it can answer them.
pub(super) fn zrange_args(cmd: &mut Cmd, op: &ZRange, limit: Option<usize>) {
    bounds(cmd, &op.range, op.rev);
    let by_score = matches!(op.range, Range::Score(_));
    cmd.arg(if by_score { "BYSCORE" } else { "BYLEX" });
    if op.rev {
        cmd.arg("REV");
    }
    if let Some(limit) = limit {
        cmd.arg("LIMIT").arg(0).arg(i64::try_from(limit).unwrap_or(i64::MAX));
    }
    if op.scores && by_score {
        cmd.arg("WITHSCORES");
    }
}

/// Whether `ZRANGE` alone answers it.
fn is_plain(op: &ZRange) -> bool {
    !op.values && (!op.scores || matches!(op.range, Range::Score(_)))
}

/// Whether there may be more of it than a script answers. `bytes` is what [`Naming::read`] was
/// given.
pub(super) fn may_be_too_long(op: &ZRange, bytes: usize) -> bool {
    let many = op.limit.is_none_or(|limit| limit > PAGE);
    !is_plain(op) && (many || (op.values && bytes < usize::MAX))
}

/// The `bytes` of a read within a batch. A range of at most [`PAGE`] entries is not split there: a
/// write to the same key could not be in the same pipeline.
pub(super) fn bytes_in_batch(op: &Read) -> usize {
    match op {
        Read::ZRange(op) if op.limit.is_some_and(|limit| limit <= PAGE) => usize::MAX,
        _ => BYTES,
    }
}

/// What the names of things depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Naming {
    /// Whether a key and its companion have to be in one slot.
    pub(super) cluster: bool,
    pub(super) bare: Bare,
}

/// What a member without a value is in a sorted set without a companion.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bare {
    Own,
    Lost,
}

impl Bare {
    /// As the mark says it.
    fn mark(self) -> &'static str {
        match self {
            Bare::Own => "own",
            Bare::Lost => "lost",
        }
    }
}

impl Naming {
    pub(super) fn companion(self, key: &[u8]) -> Vec<u8> {
        companion(key, self.cluster)
    }

    /// A call of a script on a sorted set and its companion.
    fn sorted(self, script: &Script, by: By, key: &[u8], args: usize, bytes: usize) -> Cmd {
        let companion = self.companion(key);
        let mut cmd = script.call(by, 2, args, key.len() + companion.len() + bytes);
        cmd.arg(key).arg(companion);
        cmd
    }

    /// The script of a range answers no values if they are more than `bytes`.
    pub(super) fn read(self, op: &Read, by: By, bytes: usize) -> Cmd {
        match op {
            Read::Get(Get { key, .. }) => plain("GET", key, &[]),
            Read::SMembers(SMembers { key, .. }) => plain("SMEMBERS", key, &[]),
            Read::HGet(HGet { key, field, .. }) => plain("HGET", key, &[field]),
            Read::HGetAll(HGetAll { key, .. }) => plain("HGETALL", key, &[]),
            Read::ZScore(ZScore { key, member, .. }) => plain("ZSCORE", key, &[member]),
            Read::ZHGet(ZHGet { key, field, .. }) => {
                let mut cmd = self.sorted(&scripts::ZHGET, by, key, 2, field.len() + 4);
                cmd.arg(&field[..]).arg(self.bare.mark());
                cmd
            }
            Read::ZCount(ZCount { key, range, .. }) => {
                let by_score = matches!(range, Range::Score(_));
                let mut cmd =
                    command(if by_score { "ZCOUNT" } else { "ZLEXCOUNT" }, 3, key.len() + 64);
                cmd.arg(&key[..]);
                bounds(&mut cmd, range, false);
                cmd
            }
            Read::ZRange(op) if is_plain(op) => self.members(op),
            Read::ZRange(op) => {
                // One more than may be answered tells that there is more.
                let (most, asked) = match op.limit {
                    Some(limit) if limit <= PAGE => (limit, limit),
                    _ => (PAGE, PAGE + 1),
                };
                let mut cmd = self.sorted(&scripts::ZRANGE, by, &op.key, 13, 112);
                cmd.arg(most).arg(bytes).arg(flag(op.values)).arg(flag(op.scores));
                cmd.arg(self.bare.mark());
                zrange_args(&mut cmd, op, Some(asked));
                cmd
            }
        }
    }

    /// The members alone of a range, and their scores if it is by score.
    pub(super) fn members(self, op: &ZRange) -> Cmd {
        let mut cmd = command("ZRANGE", 8, op.key.len() + 96);
        cmd.arg(&op.key[..]);
        zrange_args(&mut cmd, op, op.limit);
        cmd
    }

    /// Scores of some members, and values if they are asked for, as they are at one moment.
    pub(super) fn page(self, op: &ZRange, members: &[Value]) -> Cmd {
        let bytes = members.iter().map(|member| member.len()).sum::<usize>();
        let mut cmd = self.sorted(&scripts::PAGE, By::Text, &op.key, 3 + members.len(), bytes + 16);
        cmd.arg(BYTES).arg(flag(op.values)).arg(self.bare.mark());
        for member in members {
            cmd.arg(&member[..]);
        }
        cmd
    }

    /// `None` if there is nothing to do.
    pub(super) fn write(self, op: &Write, by: By) -> Option<Cmd> {
        Some(match op {
            Write::Set(Set { key, value, condition, .. }) => match condition {
                Condition::Always => plain("SET", key, &[value]),
                Condition::NotExists => single(&scripts::SET_NX, by, key, &[value]),
                Condition::Exists => single(&scripts::SET_XX, by, key, &[value]),
                Condition::Equals(old) => single(&scripts::SET_EQ, by, key, &[value, old]),
            },
            Write::Delete(Delete { key, .. }) => self.sorted(&scripts::DELETE, by, key, 0, 0),
            Write::IncrBy(IncrBy { key, by, .. }) => {
                let mut cmd = command("INCRBY", 2, key.len() + 20);
                cmd.arg(&key[..]).arg(*by);
                cmd
            }
            Write::SAdd(SAdd { key, members, .. }) => list("SADD", key, members)?,
            Write::SRem(SRem { key, members, .. }) => list("SREM", key, members)?,
            Write::HDel(HDel { key, fields, .. }) => list("HDEL", key, fields)?,
            Write::HSet(HSet { key, fields, .. }) => {
                if fields.is_empty() {
                    return None;
                }
                let bytes = fields.iter().map(|(field, value)| field.len() + value.len());
                let bytes = bytes.sum::<usize>() + key.len();
                let mut cmd = command("HSET", 1 + 2 * fields.len(), bytes);
                cmd.arg(&key[..]);
                for (field, value) in fields {
                    cmd.arg(&field[..]).arg(&value[..]);
                }
                cmd
            }
            Write::HSetNx(HSetNx { key, field, value, .. }) => {
                plain("HSETNX", key, &[field, value])
            }
            Write::ZAdd(ZAdd { key, member, value, score, nx, .. }) => {
                let bytes = member.len() + value.as_ref().map_or(0, |value| value.len()) + 29;
                let mut cmd = self.sorted(&scripts::ZADD, by, key, 5, bytes);
                cmd.arg(score.get()).arg(&member[..]).arg(flag(*nx)).arg(self.bare.mark());
                if let Some(value) = value {
                    cmd.arg(&value[..]);
                }
                cmd
            }
            Write::ZRem(ZRem { key, member, .. }) => {
                let mut cmd = self.sorted(&scripts::ZREM, by, key, 1, member.len());
                cmd.arg(&member[..]);
                cmd
            }
            Write::ZIncrBy(ZIncrBy { key, member, by: n, .. }) => {
                let mut cmd = self.sorted(&scripts::ZINCR_BY, by, key, 2, member.len() + 24);
                cmd.arg(n.get()).arg(&member[..]);
                cmd
            }
        })
    }

    /// All writes as one call of the script that interprets them.
    pub(super) fn transact(self, writes: &[Write], by: By) -> Cmd {
        let sorted =
            |write: &Write| matches!(write, Write::ZAdd(_) | Write::ZRem(_) | Write::ZIncrBy(_));
        let keys = writes.iter().map(|write| 1 + usize::from(sorted(write))).sum();
        let mut cmd = scripts::TRANSACT.call(by, keys, 1 + 4 * writes.len(), 160 * writes.len());
        for write in writes {
            cmd.arg(&write.key()[..]);
            if sorted(write) {
                cmd.arg(self.companion(write.key()));
            }
        }
        cmd.arg(self.bare.mark());
        for write in writes {
            instruct(&mut cmd, write);
        }
        cmd
    }
}

/// Adds one write to the arguments of the script: its name, and what that takes. A list tells its
/// length first.
fn instruct(cmd: &mut Cmd, write: &Write) {
    let list = |cmd: &mut Cmd, name: &str, members: &[Value]| {
        cmd.arg(name).arg(members.len());
        for member in members {
            cmd.arg(&member[..]);
        }
    };
    match write {
        Write::Set(Set { value, condition, .. }) => {
            let name = match condition {
                Condition::Always => "set",
                Condition::NotExists => "set_nx",
                Condition::Exists => "set_xx",
                Condition::Equals(_) => "set_eq",
            };
            cmd.arg(name).arg(&value[..]);
            if let Condition::Equals(old) = condition {
                cmd.arg(&old[..]);
            }
        }
        Write::Delete(Delete { must_exist, .. }) => {
            cmd.arg(if *must_exist { "delete_xx" } else { "delete" });
        }
        Write::IncrBy(IncrBy { by, .. }) => {
            // Between which numbers the counter has to be for the sum to fit.
            let (least, most) = (i64::MIN - by.min(&0), i64::MAX - by.max(&0));
            cmd.arg("incr_by").arg(*by).arg(least).arg(most);
        }
        Write::SAdd(SAdd { members, .. }) => list(cmd, "sadd", members),
        Write::SRem(SRem { members, .. }) => list(cmd, "srem", members),
        Write::HDel(HDel { fields, .. }) => list(cmd, "hdel", fields),
        Write::HSet(HSet { fields, .. }) => {
            cmd.arg("hset").arg(2 * fields.len());
            for (field, value) in fields {
                cmd.arg(&field[..]).arg(&value[..]);
            }
        }
        Write::HSetNx(HSetNx { field, value, .. }) => {
            cmd.arg("hset_nx").arg(&field[..]).arg(&value[..]);
        }
        Write::ZAdd(ZAdd { member, value, score, nx, .. }) => {
            cmd.arg(match (value, nx) {
                (None, false) => "zadd",
                (None, true) => "zadd_nx",
                (Some(_), false) => "zhadd",
                (Some(_), true) => "zhadd_nx",
            });
            cmd.arg(score.get()).arg(&member[..]);
            if let Some(value) = value {
                cmd.arg(&value[..]);
            }
        }
        Write::ZRem(ZRem { member, .. }) => {
            cmd.arg("zrem").arg(&member[..]);
        }
        Write::ZIncrBy(ZIncrBy { member, by, .. }) => {
            cmd.arg("zincr_by").arg(by.get()).arg(&member[..]);
        }
    }
}
