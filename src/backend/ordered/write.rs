//! Plans writes: each reads rows, and returns the changes to make. Planning changes nothing; the
//! program applies the plan. Strings, counters and `delete` are in `strings.rs`.

use super::encoded_value::EncodedValue;
use super::engine::{Change, EngineLimits, Scan, Span, Transaction, Visit};
use super::read::{mark, sorted};
use super::rows::{ChunkOwner, Kind, Rows};
use super::types;
use crate::op::*;
use crate::{Error, ErrorKind, Result, Value};

/// The result of planning a write.
#[derive(Debug)]
pub(super) enum Plan {
    Apply { changes: Vec<Change>, reply: Reply },
    ConditionFailed,
}

/// Whether a write runs on its own or in an atomic write, where `delete` does not delete sorted
/// sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Single,
    Atomic,
}

pub(super) async fn plan<T: Transaction>(
    tx: &T,
    op: &Write,
    mode: Mode,
    limits: &EngineLimits,
) -> Result<Plan> {
    let planner = Planner { tx, rows: Rows::of(op.key()), limits };
    match op {
        Write::Set(op) => planner.set(op, mode).await,
        Write::Delete(op) => planner.delete(op, mode).await,
        Write::IncrBy(op) => planner.incr_by(op, mode).await,
        Write::SAdd(op) => {
            planner.expect_type(Kind::Set).await?;
            let put = |member| Change::Put(planner.rows.set_member(member), Vec::new());
            done(op.members.iter().map(put).collect())
        }
        Write::SRem(op) => {
            planner.expect_type(Kind::Set).await?;
            let delete = |member| Change::Delete(planner.rows.set_member(member));
            done(op.members.iter().map(delete).collect())
        }
        Write::HSet(op) => {
            planner.expect_type(Kind::Hash).await?;
            let mut changes = Vec::with_capacity(op.fields.len());
            op.fields.iter().for_each(|(field, value)| planner.field(field, value, &mut changes));
            done(changes)
        }
        Write::HSetNx(op) => planner.hset_nx(op).await,
        Write::HDel(op) => {
            planner.expect_type(Kind::Hash).await?;
            let mut changes = Vec::with_capacity(op.fields.len());
            for field in &op.fields {
                changes.push(Change::Delete(planner.rows.hash_field(field)));
                planner.clear_long(ChunkOwner::Field(field), &mut changes);
            }
            done(changes)
        }
        Write::ZAdd(op) => planner.zadd(op).await,
        Write::ZRem(op) => planner.zrem(op).await,
        Write::ZIncrBy(op) => planner.zincr_by(op).await,
    }
}

pub(super) fn done(changes: Vec<Change>) -> Result<Plan> {
    apply(changes, Reply::Done)
}
pub(super) fn apply(changes: Vec<Change>, reply: Reply) -> Result<Plan> {
    Ok(Plan::Apply { changes, reply })
}

pub(super) struct Planner<'a, T> {
    pub(super) tx: &'a T,
    pub(super) rows: Rows<'a>,
    pub(super) limits: &'a EngineLimits,
}

impl<T: Transaction> Planner<'_, T> {
    /// Returns `WrongType` if the key has another type and the engine checks types.
    async fn expect_type(&self, kind: Kind) -> Result<()> {
        types::expect_type(self.tx, self.rows, kind, self.limits).await
    }

    async fn hset_nx(&self, op: &HSetNx) -> Result<Plan> {
        if self.tx.get(&self.rows.hash_field(&op.field), |_| Ok(())).await?.is_some() {
            return Ok(Plan::ConditionFailed);
        }
        self.expect_type(Kind::Hash).await?;
        let mut changes = Vec::new();
        self.field(&op.field, &op.value, &mut changes);
        apply(changes, Reply::Applied(true))
    }

    fn field(&self, field: &Value, value: &Value, changes: &mut Vec<Change>) {
        self.clear_long(ChunkOwner::Field(field), changes);
        let encoded = EncodedValue::for_hash_field(value, self.limits);
        let mut row = Vec::new();
        encoded.encode(&mut row);
        changes.push(Change::Put(self.rows.hash_field(field), row));
        encoded.write_chunks(value, self.rows.chunks_of(ChunkOwner::Field(field)), changes);
    }

    /// Clears the chunks of an old value, blindly. An engine without a limit of values has no
    /// chunks.
    fn clear_long(&self, owner: ChunkOwner<'_>, changes: &mut Vec<Change>) {
        if self.limits.max_value < usize::MAX {
            changes.push(Change::Clear(self.rows.chunks_of(owner).all()));
        }
    }

    async fn zadd(&self, op: &ZAdd) -> Result<Plan> {
        let old = self.sorted(&op.member).await?;
        if op.nx && old.is_some() {
            return Ok(Plan::ConditionFailed);
        }
        let encoded = EncodedValue::for_sorted(op.value.as_ref(), self.limits);
        let mut changes = self.member_changes(&op.member, old, op.score, &encoded);
        // Also if the row is unchanged: two different values may have the same stamp.
        if let Some(value) = &op.value {
            let long = self.rows.chunks_of(ChunkOwner::Member(&op.member));
            encoded.write_chunks(value, long, &mut changes);
        }
        apply(changes, Reply::Applied(true))
    }

    /// The score and the value of a sorted member. An existing member proves the type of the key.
    async fn sorted(&self, member: &Value) -> Result<Option<(Score, EncodedValue)>> {
        let found = sorted(self.tx, self.rows, member).await?;
        if found.is_none() {
            self.expect_type(Kind::Sorted).await?;
        }
        Ok(found)
    }

    async fn zincr_by(&self, op: &ZIncrBy) -> Result<Plan> {
        let old = self.sorted(&op.member).await?;
        let (now, encoded) =
            old.as_ref().map_or((0.0, EncodedValue::SameAsMember), |(score, encoded)| {
                (score.get(), encoded.clone())
            });
        let score = Score::new(now + op.by.get())
            .map_err(|_| Error::new(ErrorKind::Overflow, "the new score is not a number"))?;
        apply(
            self.member_changes(&op.member, old, score, &encoded),
            Reply::Score(Some(score.get())),
        )
    }

    async fn zrem(&self, op: &ZRem) -> Result<Plan> {
        let Some((score, encoded)) = self.sorted(&op.member).await? else {
            return done(Vec::new());
        };
        let mut changes = vec![
            Change::Delete(self.rows.sorted_member(&op.member)),
            Change::Delete(self.rows.sorted_order(score, &op.member)),
        ];
        if encoded != EncodedValue::SameAsMember {
            changes.push(Change::Delete(self.rows.sorted_value(score, &op.member)));
        }
        if encoded.is_chunked() {
            changes.push(Change::Clear(self.rows.chunks_of(ChunkOwner::Member(&op.member)).all()));
        }
        done(changes)
    }

    /// The changes that bring a sorted member from `old` to the new score and value. Empty if they
    /// are equal.
    fn member_changes(
        &self,
        member: &Value,
        old: Option<(Score, EncodedValue)>,
        score: Score,
        encoded: &EncodedValue,
    ) -> Vec<Change> {
        let (rows, mut changes) = (self.rows, Vec::with_capacity(6));
        match old {
            Some((old, same)) if old == score && same == *encoded => return changes,
            Some((old, before)) => {
                if old != score {
                    changes.push(Change::Delete(rows.sorted_order(old, member)));
                }
                if before != EncodedValue::SameAsMember
                    && (old != score || *encoded == EncodedValue::SameAsMember)
                {
                    changes.push(Change::Delete(rows.sorted_value(old, member)));
                }
                if before.is_chunked() && before != *encoded {
                    changes.push(Change::Clear(rows.chunks_of(ChunkOwner::Member(member)).all()));
                }
            }
            None => {}
        }
        let mut row = score.get().to_be_bytes().to_vec();
        encoded.encode(&mut row);
        if *encoded != EncodedValue::SameAsMember {
            changes.push(Change::Put(rows.sorted_value(score, member), row[8..].into()));
        }
        changes.push(Change::Put(
            rows.sorted_order(score, member),
            mark(*encoded != EncodedValue::SameAsMember),
        ));
        changes.push(Change::Put(rows.sorted_member(member), row));
        changes
    }

    /// Whether `span` has any row.
    pub(super) async fn any(&self, span: Span) -> Result<bool> {
        let mut any = false;
        self.first(span, false, &mut |_, _| {
            any = true;
            Ok(())
        })
        .await?;
        Ok(any)
    }

    /// Visits the first row of `span`, if any.
    pub(super) async fn first(
        &self,
        span: Span,
        snapshot: bool,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        let scan = Scan { span, reverse: false, limit: 1, snapshot };
        self.tx.range(&scan, visit).await.map(drop)
    }
}

/// Refuses names that exceed the engine's limit.
pub(super) fn check_names(key: &[u8], longest: usize, limits: &EngineLimits) -> Result<()> {
    // Every byte may need an escape. 64 bytes cover kinds, scores and stamps.
    let needed = key.len().saturating_add(longest).saturating_mul(2).saturating_add(64);
    if needed > limits.max_name {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "key and member may need {needed} bytes; the limit of this backend is {}",
                limits.max_name
            ),
        ));
    }
    Ok(())
}
