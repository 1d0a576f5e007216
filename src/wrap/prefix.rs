//! [`Prefix`]: a namespace in front of every key.
//!
//! The name is followed by a colon, and a colon within the name is escaped. So no namespace is the
//! beginning of another: `a` and `ab` never meet, nor do `a` and `a:b`, whatever the keys contain.

use super::Wrapper;
use crate::backend::Context;
use crate::op::Get;
use crate::op::{Op, Read, Reply, Write};
use crate::{Backend, Key, Outcome, Result};

/// Puts `name:` in front of every key.
///
/// Two prefixes never see each other, whatever the keys contain. (Who uses the store without a
/// prefix sees the keys of all of them, as what they are: `name:key`.) In the name `:` becomes
/// `%3A` and `%` becomes `%25`. For a Redis cluster, `{name}` puts all keys of the prefix in one
/// slot.
///
/// A key may be as long as the backend allows, less the prefix: on DynamoDB, 2,048 bytes for both.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use keyvaluestore::wrap::Prefix;
/// use keyvaluestore::{Memory, Store};
///
/// let memory = Memory::new();
/// let blue = Store::new(Prefix::new(memory.clone(), "blue"));
/// let red = Store::new(Prefix::new(memory.clone(), "red"));
/// blue.set("k", 1).await?;
/// assert_eq!(red.get("k").await?, None);
/// assert_eq!(Store::new(memory).get("blue:k").await?.unwrap(), "1");
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Prefix<B> {
    inner: B,
    prefix: Key,
}

impl<B> Prefix<B> {
    /// Puts `name` in front of every key.
    pub fn new(inner: B, name: impl AsRef<[u8]>) -> Self {
        let mut prefix = Vec::new();
        for &byte in name.as_ref() {
            match byte {
                b':' => prefix.extend(b"%3A"),
                b'%' => prefix.extend(b"%25"),
                byte => prefix.push(byte),
            }
        }
        prefix.push(b':');
        Prefix { inner, prefix: prefix.into() }
    }
    #[inline]
    fn read(&self, op: &Read) -> Read {
        let mut op = op.clone();
        *op.key_mut() = self.prefix.followed_by(op.key());
        op
    }
    #[inline]
    fn write(&self, op: &Write) -> Write {
        let mut op = op.clone();
        *op.key_mut() = self.prefix.followed_by(op.key());
        op
    }
}

impl<B: Backend> Wrapper for Prefix<B> {
    type Inner = B;
    fn inner(&self) -> &B {
        &self.inner
    }
}

impl<B: Backend> Backend for Prefix<B> {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        // In its place in the future: to return it from a function would be another copy.
        let op = match op {
            // Made at once: to clone it first would be to clone the key that is replaced.
            Read::Get(get) => Read::Get(Get { key: self.prefix.followed_by(&get.key) }),
            _ => self.read(op),
        };
        self.inner.read(cx, &op).await
    }
    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        self.inner.write(cx, &self.write(op)).await
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        let put = |op: &Op| match op {
            Op::Read(op) => Op::Read(self.read(op)),
            Op::Write(op) => Op::Write(self.write(op)),
        };
        let ops: Vec<Op> = ops.iter().map(put).collect();
        self.inner.batch(cx, &ops).await
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        let writes: Vec<Write> = writes.iter().map(|op| self.write(op)).collect();
        self.inner.transact(cx, &writes).await
    }
}
