//! Sets: [`SMembers`], [`SAdd`], [`SRem`].

use super::payload::{payload, values};
use crate::{AtomicWrite, Backend, Batch, Handle, Key, Result, Store, ToValue, Value};

payload! {
    /// Reads all members of a set. Answered by [`Reply::Values`](crate::op::Reply::Values).
    SMembers "smembers" {}
}
payload! {
    /// Adds members to a set. Answered by [`Reply::Done`](crate::op::Reply::Done).
    SAdd "sadd" {
        /// The members. Duplicates count once.
        members: Vec<Value>,
    }
}
payload! {
    /// Removes members from a set. Answered by [`Reply::Done`](crate::op::Reply::Done).
    SRem "srem" {
        /// The members.
        members: Vec<Value>,
    }
}

/// # Sets
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use keyvaluestore::{Memory, Store};
/// # let store = Store::new(Memory::new());
/// store.sadd("tags", ["red", "green", "red"]).await?;
/// store.srem("tags", ["green", "blue"]).await?;
/// assert_eq!(store.smembers("tags").await?, ["red"]);
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
impl<B: Backend> Store<B> {
    /// All members of the set at `key`, in no particular order. Empty if there is no set.
    ///
    /// One round trip. Redis: `SMEMBERS`. DynamoDB: `GetItem`.
    ///
    /// # Errors
    /// `InvalidArgument` or `TooLarge` for the key, before anything is sent.
    #[inline]
    pub fn smembers(&self, key: impl Into<Key>) -> impl Future<Output = Result<Vec<Value>>> + Send {
        self.run_read(Ok(SMembers::new(key)))
    }
    /// Adds `members` to the set at `key`, all of them or none. No members is no change.
    ///
    /// One round trip. Redis: `SADD`. DynamoDB: `UpdateItem` with `ADD`.
    ///
    /// # Errors
    /// `TooLarge` for a member above 1,016 bytes, or from DynamoDB for a whole set above 390 KiB.
    #[inline]
    pub fn sadd<V: ToValue>(
        &self,
        key: impl Into<Key>,
        members: impl IntoIterator<Item = V>,
    ) -> impl Future<Output = Result<()>> + Send {
        self.run_write(values(members).map(|members| SAdd::new(key, members)))
    }
    /// Removes `members` from the set at `key`. The set is gone with its last member.
    ///
    /// One round trip. Redis: `SREM`. DynamoDB: `UpdateItem` with `DELETE`.
    ///
    /// # Errors
    /// As [`sadd`](Self::sadd).
    #[inline]
    pub fn srem<V: ToValue>(
        &self,
        key: impl Into<Key>,
        members: impl IntoIterator<Item = V>,
    ) -> impl Future<Output = Result<()>> + Send {
        self.run_write(values(members).map(|members| SRem::new(key, members)))
    }
}

/// # Sets
impl<B: Backend> Batch<'_, B> {
    /// Adds a [`Store::smembers`].
    pub fn smembers(&mut self, key: impl Into<Key>) -> Handle<Vec<Value>> {
        self.push(SMembers::new(key))
    }
    /// Adds a [`Store::sadd`].
    pub fn sadd<V: ToValue>(
        &mut self,
        key: impl Into<Key>,
        members: impl IntoIterator<Item = V>,
    ) -> Handle<()> {
        self.try_push(values(members).map(|members| SAdd::new(key, members)))
    }
    /// Adds a [`Store::srem`].
    pub fn srem<V: ToValue>(
        &mut self,
        key: impl Into<Key>,
        members: impl IntoIterator<Item = V>,
    ) -> Handle<()> {
        self.try_push(values(members).map(|members| SRem::new(key, members)))
    }
}

/// # Sets
impl<B: Backend> AtomicWrite<'_, B> {
    /// Adds a [`Store::sadd`].
    pub fn sadd<V: ToValue>(&mut self, key: impl Into<Key>, members: impl IntoIterator<Item = V>) {
        self.try_push(values(members).map(|members| SAdd::new(key, members)));
    }
    /// Adds a [`Store::srem`].
    pub fn srem<V: ToValue>(&mut self, key: impl Into<Key>, members: impl IntoIterator<Item = V>) {
        self.try_push(values(members).map(|members| SRem::new(key, members)));
    }
}
