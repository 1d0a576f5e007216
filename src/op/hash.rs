//! Hashes: [`HGet`], [`HGetAll`], [`HSet`], [`HSetNx`], [`HDel`].

use super::payload::{pairs, payload, values};
use crate::{AtomicWrite, Backend, Batch, Conditional, Handle, Key, Store, Value};
use crate::{Result, ToValue};
use std::collections::BTreeMap;

payload! {
    /// Reads one field. Answered by [`Reply::Value`](crate::op::Reply::Value).
    HGet "hget" {
        /// The fields or the field.
        field: Value,
    }
}
payload! {
    /// Reads all fields. Answered by [`Reply::Fields`](crate::op::Reply::Fields).
    HGetAll "hgetall" {}
}
payload! {
    /// Sets fields. Answered by [`Reply::Done`](crate::op::Reply::Done).
    HSet "hset" {
        /// Fields and their values. If a field is given twice, the last value wins.
        fields: Vec<(Value, Value)>,
    }
}
payload! {
    /// Sets a field that is not there. Answered by [`Reply::Applied`](crate::op::Reply::Applied).
    HSetNx "hset_nx" {
        /// The field.
        field: Value,
        /// Its value.
        value: Value,
    }
}
payload! {
    /// Removes fields. Answered by [`Reply::Done`](crate::op::Reply::Done).
    HDel "hdel" {
        /// The fields or the field.
        fields: Vec<Value>,
    }
}

impl HSetNx {
    fn of(key: impl Into<Key>, field: impl ToValue, value: impl ToValue) -> Result<Self> {
        Ok(HSetNx::new(key, field.to_value()?, value.to_value()?))
    }
}

/// # Hashes
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use keyvaluestore::{Memory, Store};
/// # let store = Store::new(Memory::new());
/// store.hset("car", [("colour", "red"), ("doors", "5")]).await?;
/// assert_eq!(store.hget("car", "colour").await?.unwrap(), "red");
/// assert!(!store.hset_nx("car", "doors", 3).await?);
/// store.hdel("car", ["colour"]).await?;
/// let car = store.hgetall("car").await?;
/// assert_eq!(car[&b"doors"[..]], "5");
/// assert_eq!(car.len(), 1);
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
impl<B: Backend> Store<B> {
    /// The value of one field of the hash at `key`.
    ///
    /// One round trip. Redis: `HGET`. DynamoDB: `GetItem` of the one attribute, charged as the
    /// whole hash.
    ///
    /// # Errors
    /// `InvalidArgument` or `TooLarge` for the key or the field, before anything is sent.
    #[inline]
    pub fn hget(
        &self,
        key: impl Into<Key>,
        field: impl ToValue,
    ) -> impl Future<Output = Result<Option<Value>>> + Send {
        self.run_read(field.to_value().map(|field| HGet::new(key, field)))
    }
    /// All fields of the hash at `key` with their values. Empty if there is no hash.
    ///
    /// One round trip. Redis: `HGETALL`. DynamoDB: `GetItem`.
    ///
    /// # Errors
    /// As [`hget`](Self::hget).
    #[inline]
    pub fn hgetall(
        &self,
        key: impl Into<Key>,
    ) -> impl Future<Output = Result<BTreeMap<Value, Value>>> + Send {
        self.run_read(Ok(HGetAll::new(key)))
    }
    /// Sets `fields` of the hash at `key`, all of them or none. If a field is given
    /// twice, the last value wins. No fields change nothing.
    ///
    /// One round trip. Redis: `HSET`. DynamoDB: `UpdateItem`.
    ///
    /// # Errors
    /// `TooLarge` for a field above 1,016 bytes or a value above 390 KiB, or from DynamoDB for a
    /// whole hash above 390 KiB.
    #[inline]
    pub fn hset<F: ToValue, V: ToValue>(
        &self,
        key: impl Into<Key>,
        fields: impl IntoIterator<Item = (F, V)>,
    ) -> impl Future<Output = Result<()>> + Send {
        self.run_write(pairs(fields).map(|fields| HSet::new(key, fields)))
    }
    /// Sets one field of the hash at `key` if it is absent. Returns whether it was.
    ///
    /// One round trip. Redis: `HSETNX`. DynamoDB: `UpdateItem` with a condition.
    ///
    /// # Errors
    /// As [`hset`](Self::hset).
    #[inline]
    pub fn hset_nx(
        &self,
        key: impl Into<Key>,
        field: impl ToValue,
        value: impl ToValue,
    ) -> impl Future<Output = Result<bool>> + Send {
        self.run_write(HSetNx::of(key, field, value))
    }
    /// Removes `fields` from the hash at `key`. The hash is gone with its last field.
    ///
    /// One round trip. Redis: `HDEL`. DynamoDB: `UpdateItem` with `REMOVE`.
    ///
    /// # Errors
    /// As [`hget`](Self::hget).
    #[inline]
    pub fn hdel<F: ToValue>(
        &self,
        key: impl Into<Key>,
        fields: impl IntoIterator<Item = F>,
    ) -> impl Future<Output = Result<()>> + Send {
        self.run_write(values(fields).map(|fields| HDel::new(key, fields)))
    }
}

/// # Hashes
impl<B: Backend> Batch<'_, B> {
    /// Adds a [`Store::hget`].
    pub fn hget(&mut self, key: impl Into<Key>, field: impl ToValue) -> Handle<Option<Value>> {
        self.try_push(field.to_value().map(|field| HGet::new(key, field)))
    }
    /// Adds a [`Store::hgetall`].
    pub fn hgetall(&mut self, key: impl Into<Key>) -> Handle<BTreeMap<Value, Value>> {
        self.push(HGetAll::new(key))
    }
    /// Adds a [`Store::hset`].
    pub fn hset<F: ToValue, V: ToValue>(
        &mut self,
        key: impl Into<Key>,
        fields: impl IntoIterator<Item = (F, V)>,
    ) -> Handle<()> {
        self.try_push(pairs(fields).map(|fields| HSet::new(key, fields)))
    }
    /// Adds a [`Store::hset_nx`].
    pub fn hset_nx(
        &mut self,
        key: impl Into<Key>,
        field: impl ToValue,
        value: impl ToValue,
    ) -> Handle<bool> {
        self.try_push(HSetNx::of(key, field, value))
    }
    /// Adds a [`Store::hdel`].
    pub fn hdel<F: ToValue>(
        &mut self,
        key: impl Into<Key>,
        fields: impl IntoIterator<Item = F>,
    ) -> Handle<()> {
        self.try_push(values(fields).map(|fields| HDel::new(key, fields)))
    }
}

/// # Hashes
impl<B: Backend> AtomicWrite<'_, B> {
    /// Adds a [`Store::hset`].
    pub fn hset<F: ToValue, V: ToValue>(
        &mut self,
        key: impl Into<Key>,
        fields: impl IntoIterator<Item = (F, V)>,
    ) {
        self.try_push(pairs(fields).map(|fields| HSet::new(key, fields)));
    }
    /// Adds a [`Store::hset_nx`]: the condition that the field is absent.
    pub fn hset_nx(
        &mut self,
        key: impl Into<Key>,
        field: impl ToValue,
        value: impl ToValue,
    ) -> Handle<Conditional> {
        self.try_push(HSetNx::of(key, field, value))
    }
    /// Adds a [`Store::hdel`].
    pub fn hdel<F: ToValue>(&mut self, key: impl Into<Key>, fields: impl IntoIterator<Item = F>) {
        self.try_push(values(fields).map(|fields| HDel::new(key, fields)));
    }
}
