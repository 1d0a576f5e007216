//! Strings and counters: [`Get`], [`Set`], [`Delete`], [`IncrBy`]. Keys of any type: [`Exists`].

use super::payload::payload;
use crate::op::Condition;
use crate::op::Write;
use crate::{AtomicWrite, Backend, Batch, Conditional, Handle, Key, Store, Value};
use crate::{Result, ToValue};

payload! {
    /// Reads a string or counter. Answered by [`Reply::Value`](crate::op::Reply::Value).
    Get "get" {}
}
payload! {
    /// Checks whether a key exists, of any type. Answered by
    /// [`Reply::Exists`](crate::op::Reply::Exists).
    Exists "exists" {}
}
/// Removes a key. Answered by [`Reply::Applied`](crate::op::Reply::Applied): was it there?
///
/// Alone and in a batch it removes any type. In an atomic write it has no reply, and a key that
/// holds a sorted set is `WrongType`, if the backend can see it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Delete {
    /// The key.
    pub key: Key,
    /// In an atomic write: the condition that a string, counter, set or hash is there.
    pub must_exist: bool,
}

impl crate::op::Named for Delete {
    const NAME: &'static str = "delete";
}

impl Delete {
    /// An operation for [`Store::run`], [`Batch::push`] or a backend. Without a condition.
    #[inline]
    pub fn new(key: impl Into<Key>) -> Self {
        Delete { key: key.into(), must_exist: false }
    }
    /// Sets [`must_exist`](Self::must_exist).
    #[must_use]
    #[inline]
    pub fn must_exist(mut self, must_exist: bool) -> Self {
        self.must_exist = must_exist;
        self
    }
    #[inline]
    pub(crate) fn name(&self) -> &'static str {
        "delete"
    }
}

payload! {
    /// Adds to a counter. Answered by [`Reply::Integer`](crate::op::Reply::Integer).
    IncrBy "incr_by" {
        /// The increment.
        by: i64,
    }
}

/// Sets a string. Answered by [`Reply::Applied`](crate::op::Reply::Applied).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Set {
    /// The key.
    pub key: Key,
    /// The new value.
    pub value: Value,
    /// The condition under which it is written.
    pub condition: Condition,
}

impl crate::op::Named for Set {
    const NAME: &'static str = "set";
}

impl Set {
    /// An operation for [`Store::run`], [`Batch::push`] or a backend. Without a condition.
    pub fn new(key: impl Into<Key>, value: Value) -> Self {
        Set { key: key.into(), value, condition: Condition::Always }
    }
    /// Sets [`condition`](Self::condition).
    #[must_use]
    pub fn condition(mut self, condition: Condition) -> Self {
        self.condition = condition;
        self
    }
    pub(crate) fn name(&self) -> &'static str {
        match self.condition {
            Condition::Always => "set",
            Condition::NotExists => "set_nx",
            Condition::Exists => "set_xx",
            Condition::Equals(_) => "set_eq",
        }
    }
    /// Returns a [`Write`], so that it is built in place.
    #[inline(always)]
    fn of(key: impl Into<Key>, value: impl ToValue, condition: Condition) -> Result<Write> {
        let value = value.to_value()?;
        Ok(Write::Set(Set { key: key.into(), value, condition }))
    }
}

/// # Strings and counters
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use keyvaluestore::{Memory, Store};
/// # let store = Store::new(Memory::new());
/// store.set("greeting", "hello").await?;
/// assert_eq!(store.get("greeting").await?.unwrap(), "hello");
/// assert!(!store.set_nx("greeting", "hi").await?);           // it is there already
/// assert!(store.set_eq("greeting", "hi", "hello").await?);   // compare and set
///
/// assert_eq!(store.incr_by("visits", 2).await?, 2);
/// assert_eq!(store.incr_by("visits", -5).await?, -3);
/// assert_eq!(store.get("visits").await?.unwrap().to::<i64>()?, -3);
///
/// assert!(store.exists("visits").await?);
/// assert!(store.delete("visits").await?);
/// assert!(!store.delete("visits").await?);
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
impl<B: Backend> Store<B> {
    /// The string or counter at `key`, or `None` if there is none. A counter reads as its decimal
    /// text.
    ///
    /// One round trip. Redis: `GET`. DynamoDB: `GetItem`.
    ///
    /// # Errors
    /// `InvalidArgument` or `TooLarge` for the key, before anything is sent.
    #[inline]
    pub fn get(&self, key: impl Into<Key>) -> impl Future<Output = Result<Option<Value>>> + Send {
        self.run_read(Ok(Get::new(key)))
    }
    /// Whether `key` holds anything: a string, counter, set, hash, sorted set or sorted hash.
    ///
    /// One round trip. Redis: `EXISTS`. DynamoDB: `Query` of one item, charged as that item; a
    /// second one if the item is a hash that an atomic write emptied. In memory, in a file and on
    /// FoundationDB: one row.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[inline]
    pub fn exists(&self, key: impl Into<Key>) -> impl Future<Output = Result<bool>> + Send {
        self.run_read(Ok(Exists::new(key)))
    }
    /// Sets `key` to `value`. Replaces a string, counter, set or hash.
    ///
    /// One round trip. Redis: `SET`. DynamoDB: `PutItem`.
    ///
    /// # Errors
    /// `TooLarge` for a value above 390 KiB, and those of [`get`](Self::get). `WrongType` if `key`
    /// holds a sorted set, in memory and in a file; `Redis` replaces the sorted set. `DynamoDb` and
    /// `FoundationDb` do not check for one: then both exist.
    #[inline(always)]
    pub fn set(
        &self,
        key: impl Into<Key>,
        value: impl ToValue,
    ) -> impl Future<Output = Result<()>> + Send {
        self.run_write(Set::of(key, value, Condition::Always))
    }
    /// Sets `key` if no string, counter, set or hash is there. Returns whether it was set.
    ///
    /// One round trip. Redis: a script around `SET NX`. DynamoDB: `PutItem` with a condition.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    #[inline(always)]
    pub fn set_nx(
        &self,
        key: impl Into<Key>,
        value: impl ToValue,
    ) -> impl Future<Output = Result<bool>> + Send {
        self.run_write(Set::of(key, value, Condition::NotExists))
    }
    /// Sets `key` if a string, counter, set or hash is there. Returns whether it was set.
    ///
    /// One round trip. Redis: a script. DynamoDB: `PutItem` with a condition; one
    /// request more over a hash.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    #[inline(always)]
    pub fn set_xx(
        &self,
        key: impl Into<Key>,
        value: impl ToValue,
    ) -> impl Future<Output = Result<bool>> + Send {
        self.run_write(Set::of(key, value, Condition::Exists))
    }
    /// Sets `key` if the string or counter there equals `old`: compare and swap. Returns whether it
    /// was set. A missing key equals nothing, not even the empty string.
    ///
    /// One round trip. Redis: a script. DynamoDB: `PutItem` with a condition.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    #[inline(always)]
    pub fn set_eq(
        &self,
        key: impl Into<Key>,
        value: impl ToValue,
        old: impl ToValue,
    ) -> impl Future<Output = Result<bool>> + Send {
        self.run_write(old.to_value().and_then(|old| Set::of(key, value, Condition::Equals(old))))
    }
    /// Removes `key`, whatever it holds, sorted sets included. Returns whether it existed. On
    /// DynamoDB a key can hold a sorted set and another type; `delete` removes one of them.
    ///
    /// One round trip, except on DynamoDB: `DeleteItem`; if there is no such item, also a `Query`,
    /// and a `BatchWriteItem` per 25 members of a sorted set. Redis: `UNLINK` in a script. In
    /// memory and in a file: linear in the members. FoundationDB: one range clear.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    #[inline(always)]
    pub fn delete(&self, key: impl Into<Key>) -> impl Future<Output = Result<bool>> + Send {
        self.run_write(Ok(Delete::new(key)))
    }
    /// An alias of [`delete`](Self::delete). In an [`AtomicWrite`] it is a condition.
    ///
    /// # Errors
    /// As [`delete`](Self::delete).
    #[inline(always)]
    pub fn delete_xx(&self, key: impl Into<Key>) -> impl Future<Output = Result<bool>> + Send {
        self.run_write(Ok(Delete::new(key).must_exist(true)))
    }
    /// Adds `by` to the counter at `key`. Returns the new value. A missing key counts from 0, and
    /// exists afterwards even if `by` is 0.
    ///
    /// One round trip. Redis: `INCRBY`. DynamoDB: `UpdateItem` with `ADD`; one request more after a
    /// `set`.
    ///
    /// # Errors
    /// `WrongType` if the string there is not the canonical decimal text of an `i64`; `Overflow` if
    /// the sum is not an `i64`. Neither changes anything.
    #[inline(always)]
    pub fn incr_by(
        &self,
        key: impl Into<Key>,
        by: i64,
    ) -> impl Future<Output = Result<i64>> + Send {
        self.run_write(Ok(IncrBy::new(key, by)))
    }
}

/// # Strings and counters
impl<B: Backend> Batch<'_, B> {
    /// Adds a [`Store::get`].
    pub fn get(&mut self, key: impl Into<Key>) -> Handle<Option<Value>> {
        self.push(Get::new(key))
    }
    /// Adds a [`Store::exists`].
    pub fn exists(&mut self, key: impl Into<Key>) -> Handle<bool> {
        self.push(Exists::new(key))
    }
    /// Adds a [`Store::set`].
    pub fn set(&mut self, key: impl Into<Key>, value: impl ToValue) -> Handle<()> {
        self.try_push(Set::of(key, value, Condition::Always))
    }
    /// Adds a [`Store::set_nx`].
    pub fn set_nx(&mut self, key: impl Into<Key>, value: impl ToValue) -> Handle<bool> {
        self.try_push(Set::of(key, value, Condition::NotExists))
    }
    /// Adds a [`Store::set_xx`].
    pub fn set_xx(&mut self, key: impl Into<Key>, value: impl ToValue) -> Handle<bool> {
        self.try_push(Set::of(key, value, Condition::Exists))
    }
    /// Adds a [`Store::set_eq`].
    pub fn set_eq(
        &mut self,
        key: impl Into<Key>,
        value: impl ToValue,
        old: impl ToValue,
    ) -> Handle<bool> {
        self.try_push(old.to_value().and_then(|old| Set::of(key, value, Condition::Equals(old))))
    }
    /// Adds a [`Store::delete`].
    pub fn delete(&mut self, key: impl Into<Key>) -> Handle<bool> {
        self.push(Delete::new(key))
    }
    /// Adds a [`Store::delete_xx`].
    pub fn delete_xx(&mut self, key: impl Into<Key>) -> Handle<bool> {
        self.push(Delete::new(key).must_exist(true))
    }
    /// Adds a [`Store::incr_by`].
    pub fn incr_by(&mut self, key: impl Into<Key>, by: i64) -> Handle<i64> {
        self.push(IncrBy::new(key, by))
    }
}

/// # Strings and counters
impl<B: Backend> AtomicWrite<'_, B> {
    /// Adds a [`Store::set`].
    pub fn set(&mut self, key: impl Into<Key>, value: impl ToValue) {
        self.try_push(Set::of(key, value, Condition::Always));
    }
    /// Adds a [`Store::set_nx`]: the condition that no string, counter, set or hash is there.
    pub fn set_nx(&mut self, key: impl Into<Key>, value: impl ToValue) -> Handle<Conditional> {
        self.try_push(Set::of(key, value, Condition::NotExists))
    }
    /// Adds a [`Store::set_xx`]: the condition that a string, counter, set or hash is there.
    pub fn set_xx(&mut self, key: impl Into<Key>, value: impl ToValue) -> Handle<Conditional> {
        self.try_push(Set::of(key, value, Condition::Exists))
    }
    /// Adds a [`Store::set_eq`]: the condition that the string or counter there equals `old`.
    pub fn set_eq(
        &mut self,
        key: impl Into<Key>,
        value: impl ToValue,
        old: impl ToValue,
    ) -> Handle<Conditional> {
        self.try_push(old.to_value().and_then(|old| Set::of(key, value, Condition::Equals(old))))
    }
    /// Removes a string, counter, set or hash, if one is there. If the key holds a sorted set, the
    /// atomic write fails with `WrongType`; `DynamoDb` does not check for it and keeps it.
    pub fn delete(&mut self, key: impl Into<Key>) {
        self.push(Delete::new(key));
    }
    /// Removes a string, counter, set or hash: the condition that one is there. A sorted set is
    /// treated as by [`delete`](Self::delete).
    pub fn delete_xx(&mut self, key: impl Into<Key>) -> Handle<Conditional> {
        self.push(Delete::new(key).must_exist(true))
    }
    /// Adds a [`Store::incr_by`]. An atomic write does not return the new value.
    pub fn incr_by(&mut self, key: impl Into<Key>, by: i64) {
        self.push(IncrBy::new(key, by));
    }
}
