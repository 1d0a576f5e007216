//! Plans `set*`, `delete` and `incr_by`.

use super::encoded_value::EncodedValue;
use super::engine::{Change, Transaction, Visit};
use super::rows::{ChunkOwner, Kind};
use super::types;
use super::write::{Mode, Plan, Planner, apply, done};
use crate::op::*;
use crate::{Error, ErrorKind, Result, Value};
use futures_util::future::try_join;

/// The largest increment that an atomic write adds blindly, to a counter in the middle half of its
/// range. An overflow would take two billion concurrent increments, and a transaction takes
/// seconds.
const MAX_BLIND_ADD: u64 = 1 << 31;

impl<T: Transaction> Planner<'_, T> {
    pub(super) async fn set(&self, op: &Set, mode: Mode) -> Result<Plan> {
        let (holds, replaced) = match self.limits.checks_types {
            true => self.evaluate_typed(&op.condition, mode).await?,
            false => (self.evaluate_blind(&op.condition).await?, Replaced::Anything),
        };
        if !holds {
            return Ok(Plan::ConditionFailed);
        }
        apply(self.string(&op.value, replaced), Reply::Applied(true))
    }

    /// Evaluates a condition without checking the type of the key.
    async fn evaluate_blind(&self, condition: &Condition) -> Result<bool> {
        Ok(match condition {
            Condition::Always => true,
            Condition::NotExists => !self.any(self.rows.plain()).await?,
            Condition::Exists => self.any(self.rows.plain()).await?,
            Condition::Equals(old) => self.equals(old).await?.unwrap_or(false),
        })
    }

    /// Evaluates a condition and returns what the string would replace. A string never replaces a
    /// sorted set.
    async fn evaluate_typed(&self, condition: &Condition, mode: Mode) -> Result<(bool, Replaced)> {
        if let Condition::Equals(old) = condition
            && let Some(equal) = self.equals(old).await?
        {
            return Ok((equal, Replaced::String));
        }
        let kind = types::kind(self.tx, self.rows).await?;
        let holds = match (condition, kind) {
            (Condition::Always, _) => true,
            (Condition::NotExists, Some(Kind::Sorted)) => true,
            (Condition::NotExists, kind) => kind.is_none(),
            (Condition::Exists | Condition::Equals(_), None) => false,
            // In an atomic write conditions ignore sorted sets.
            (_, Some(Kind::Sorted)) if mode == Mode::Atomic => false,
            (Condition::Exists, Some(_)) => true,
            (Condition::Equals(_), Some(_)) => return Err(types::wrong_type()),
        };
        match kind {
            Some(Kind::Sorted) if holds => Err(types::wrong_type()),
            Some(Kind::String) => Ok((holds, Replaced::String)),
            Some(_) => Ok((holds, Replaced::Anything)),
            None => Ok((holds, Replaced::Nothing)),
        }
    }

    /// Whether the string has this value; `None` if there is no string.
    async fn equals(&self, old: &Value) -> Result<Option<bool>> {
        match self.tx.get(&self.rows.string(), EncodedValue::decode_string).await? {
            None => Ok(None),
            Some(encoded) => {
                let now =
                    encoded.resolve(self.tx, self.rows.chunks_of(ChunkOwner::String), None).await?;
                Ok(Some(now == *old))
            }
        }
    }

    /// Writes a string over anything except a sorted set.
    fn string(&self, value: &Value, replaced: Replaced) -> Vec<Change> {
        let encoded = EncodedValue::for_string(value, self.limits);
        let row = Change::Put(self.rows.string(), encoded.to_string_row());
        // A string has more than one row only if the engine splits values.
        let clear = match replaced {
            Replaced::Nothing => false,
            Replaced::String => self.limits.max_value < usize::MAX,
            Replaced::Anything => true,
        };
        let mut changes = match clear {
            true => vec![Change::Clear(self.rows.plain_except_string()), row],
            false => vec![row],
        };
        encoded.write_chunks(value, self.rows.chunks_of(ChunkOwner::String), &mut changes);
        changes
    }

    pub(super) async fn delete(&self, op: &Delete, mode: Mode) -> Result<Plan> {
        if mode == Mode::Atomic {
            return self.delete_atomic(op).await;
        }
        match self.any(self.rows.all()).await? {
            true => apply(vec![Change::Clear(self.rows.all())], Reply::Applied(true)),
            false => apply(Vec::new(), Reply::Applied(false)),
        }
    }

    /// In an atomic write `delete` returns `WrongType` for a sorted set.
    async fn delete_atomic(&self, op: &Delete) -> Result<Plan> {
        let plain = async {
            // Blind, unless the result depends on the old rows.
            let asked = op.must_exist || self.limits.checks_types;
            if asked { self.any(self.rows.plain()).await } else { Ok(true) }
        };
        let (plain, sorted) = try_join(plain, self.any(self.rows.sorted())).await?;
        if sorted {
            return Err(Error::wrong_type("an atomic write cannot delete a sorted set"));
        }
        match plain {
            true => apply(vec![Change::Clear(self.rows.plain())], Reply::Applied(true)),
            false if op.must_exist => Ok(Plan::ConditionFailed),
            false => apply(Vec::new(), Reply::Applied(false)),
        }
    }

    pub(super) async fn incr_by(&self, op: &IncrBy, mode: Mode) -> Result<Plan> {
        // An atomic write does not return the sum.
        if mode == Mode::Atomic
            && op.by.unsigned_abs() <= MAX_BLIND_ADD
            && self.counter(true).await?.unsigned_abs() <= i64::MAX as u64 / 2
        {
            self.tx.add_read_conflict(&self.rows.string_conflict_row())?;
            return done(vec![Change::Add(self.rows.string(), op.by)]);
        }
        let sum =
            self.counter(false).await?.checked_add(op.by).ok_or_else(|| {
                Error::new(ErrorKind::Overflow, "the sum does not fit into 64 bits")
            })?;
        let mut changes =
            vec![Change::Put(self.rows.string(), EncodedValue::Counter(sum).to_string_row())];
        if op.by.unsigned_abs() > MAX_BLIND_ADD {
            // Conflicts with blind adds, which assume that the counter is far from an overflow.
            changes.push(Change::Delete(self.rows.string_conflict_row()));
        }
        apply(changes, Reply::Integer(sum))
    }

    /// The counter of the key; 0 if the key does not exist.
    async fn counter(&self, snapshot: bool) -> Result<i64> {
        // The first row shows whether the key has a string, another type, or does not exist.
        let string = self.rows.string();
        let mut now = 0;
        let visit: &mut Visit<'_> = &mut |row, value| {
            now = match EncodedValue::decode_string(value) {
                Ok(EncodedValue::Counter(n)) if row == string => n,
                _ => return Err(Error::wrong_type("the key does not hold an integer")),
            };
            Ok(())
        };
        self.first(self.rows.all(), snapshot, visit).await?;
        Ok(now)
    }
}

/// What a new string replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replaced {
    Nothing,
    String,
    Anything,
}
