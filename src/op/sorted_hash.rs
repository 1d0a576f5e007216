//! Sorted hashes: sorted sets whose members carry a value of any size. [`ZHGet`]; the rest are the
//! operations of `sorted_set.rs`, made by the methods here.

use super::payload::payload;
use super::{RangeQuery, ZAdd, ZRem};
use crate::op::Score;
use crate::{AtomicWrite, Backend, Batch, Conditional, Handle, Key, Result, Store};
use crate::{ToValue, Value};

payload! {
    /// Reads the value of a field. Answered by [`Reply::Value`](crate::op::Reply::Value).
    ZHGet "zhget" {
        /// The field.
        field: Value,
    }
}

fn add(
    key: impl Into<Key>,
    field: impl ToValue,
    value: impl ToValue,
    score: f64,
    nx: bool,
) -> Result<ZAdd> {
    let value = value.to_value()?;
    Ok(ZAdd::new(key, field.to_value()?, Score::new(score)?).value(value).nx(nx))
}

/// # Sorted hashes
///
/// Fields sorted by score, then by their bytes, each with a value. [`zrange`](Self::zrange) reads
/// the fields, [`zhrange`](Self::zhrange) their values in the same order.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use keyvaluestore::{Memory, Store};
/// # let store = Store::new(Memory::new());
/// store.zhadd("usernames", "alice", "42", 0.0).await?;
/// store.zhadd("usernames", "bob", "7", 0.0).await?;
/// assert_eq!(store.zhget("usernames", "bob").await?.unwrap(), "7");
/// assert_eq!(store.zhrange("usernames").await?, ["42", "7"]);
/// assert_eq!(store.zrange("usernames").await?, ["alice", "bob"]);
/// store.zhrem("usernames", "bob").await?;
/// assert_eq!(store.zhget("usernames", "bob").await?, None);
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
impl<B: Backend> Store<B> {
    /// The value of `field` in the sorted hash at `key`; of a member of a sorted set, itself.
    ///
    /// One round trip. Redis: `ZSCORE` and `HGET` in a script. DynamoDB: `GetItem`.
    ///
    /// # Errors
    /// `InvalidArgument` or `TooLarge` for the key or the field (1 to 1,016 bytes), before anything
    /// is sent.
    #[inline]
    pub fn zhget(
        &self,
        key: impl Into<Key>,
        field: impl ToValue,
    ) -> impl Future<Output = Result<Option<Value>>> + Send {
        self.run_read(field.to_value().map(|field| ZHGet::new(key, field)))
    }
    /// The values of the sorted hash at `key`. The methods of [`RangeQuery`] select a part.
    ///
    /// One round trip; page by page where the answer is large. Redis: `ZRANGE` and `HMGET` in a
    /// script, and from 1,000 entries on three round trips. DynamoDB: `Query`.
    ///
    /// # Errors
    /// When awaited: as [`zcount`](Self::zcount).
    pub fn zhrange(&self, key: impl Into<Key>) -> RangeQuery<&Self> {
        RangeQuery::new(self, key.into(), true)
    }
    /// Adds `field` with `value` at `score` to the sorted hash at `key`, or replaces it.
    ///
    /// One round trip. Redis: `ZADD` and `HSET` in a script. DynamoDB: `PutItem`.
    ///
    /// # Errors
    /// `InvalidArgument` if the score is NaN, `TooLarge` for a value above 390 KiB, and those that
    /// [`zhget`](Self::zhget) returns.
    #[inline]
    pub fn zhadd(
        &self,
        key: impl Into<Key>,
        field: impl ToValue,
        value: impl ToValue,
        score: f64,
    ) -> impl Future<Output = Result<()>> + Send {
        self.run_write(add(key, field, value, score, false))
    }
    /// [`zhadd`](Self::zhadd) if the field is absent. Returns whether it was added.
    ///
    /// One round trip. Redis: a script. DynamoDB: `PutItem` with a condition.
    ///
    /// # Errors
    /// As [`zhadd`](Self::zhadd).
    #[inline]
    pub fn zhadd_nx(
        &self,
        key: impl Into<Key>,
        field: impl ToValue,
        value: impl ToValue,
        score: f64,
    ) -> impl Future<Output = Result<bool>> + Send {
        self.run_write(add(key, field, value, score, true))
    }
    /// Removes `field` and its value from the sorted hash at `key`. An alias of
    /// [`zrem`](Self::zrem).
    ///
    /// # Errors
    /// As [`zhget`](Self::zhget).
    #[inline]
    pub fn zhrem(
        &self,
        key: impl Into<Key>,
        field: impl ToValue,
    ) -> impl Future<Output = Result<()>> + Send {
        self.run_write(field.to_value().map(|field| ZRem::new(key, field)))
    }
}

/// # Sorted hashes
impl<B: Backend> Batch<'_, B> {
    /// Adds a [`Store::zhget`].
    pub fn zhget(&mut self, key: impl Into<Key>, field: impl ToValue) -> Handle<Option<Value>> {
        self.try_push(field.to_value().map(|field| ZHGet::new(key, field)))
    }
    /// Starts a [`Store::zhrange`]; [`queue`](RangeQuery::queue) adds it.
    pub fn zhrange(&mut self, key: impl Into<Key>) -> RangeQuery<&mut Self> {
        RangeQuery::new(self, key.into(), true)
    }
    /// Adds a [`Store::zhadd`].
    pub fn zhadd(
        &mut self,
        key: impl Into<Key>,
        field: impl ToValue,
        value: impl ToValue,
        score: f64,
    ) -> Handle<()> {
        self.try_push(add(key, field, value, score, false))
    }
    /// Adds a [`Store::zhadd_nx`].
    pub fn zhadd_nx(
        &mut self,
        key: impl Into<Key>,
        field: impl ToValue,
        value: impl ToValue,
        score: f64,
    ) -> Handle<bool> {
        self.try_push(add(key, field, value, score, true))
    }
    /// Adds a [`Store::zhrem`].
    pub fn zhrem(&mut self, key: impl Into<Key>, field: impl ToValue) -> Handle<()> {
        self.try_push(field.to_value().map(|field| ZRem::new(key, field)))
    }
}

/// # Sorted hashes
impl<B: Backend> AtomicWrite<'_, B> {
    /// Adds a [`Store::zhadd`].
    pub fn zhadd(
        &mut self,
        key: impl Into<Key>,
        field: impl ToValue,
        value: impl ToValue,
        score: f64,
    ) {
        self.try_push(add(key, field, value, score, false));
    }
    /// Adds a [`Store::zhadd_nx`]: the condition that the field is absent.
    pub fn zhadd_nx(
        &mut self,
        key: impl Into<Key>,
        field: impl ToValue,
        value: impl ToValue,
        score: f64,
    ) -> Handle<Conditional> {
        self.try_push(add(key, field, value, score, true))
    }
    /// Adds a [`Store::zhrem`].
    pub fn zhrem(&mut self, key: impl Into<Key>, field: impl ToValue) {
        self.try_push(field.to_value().map(|field| ZRem::new(key, field)));
    }
}
