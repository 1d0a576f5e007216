//! [`Prefix`]: puts a namespace in front of every key.
//!
//! A colon follows the name, and colons in the name are escaped. So no prefix is the start of
//! another: the keys of `a` and `ab`, or of `a` and `a:b`, never collide.

use super::Wrapper;
use crate::backend::Context;
use crate::op::Get;
use crate::op::{Op, Read, Reply, Write};
use crate::{Backend, Key, Outcome, Result};

/// Puts `name:` in front of every key.
///
/// The keys of two prefixes never collide. Without a prefix, the store contains the keys of all
/// prefixes as `name:key`. In the name, `:` becomes `%3A` and `%` becomes `%25`. In a Redis
/// cluster, the name `{name}` is a hash tag: all keys of the prefix are in one slot.
///
/// The limit of the backend is for prefix and key together: on DynamoDB, 2,048 bytes.
///
/// No feature. A call costs about 140 instructions more, and an allocation if prefix and key are
/// longer than 22 bytes. It emits no event; errors and observers do not contain keys.
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
    fn prefixed_read(&self, op: &Read) -> Read {
        let mut op = op.clone();
        *op.key_mut() = self.prefix.followed_by(op.key());
        op
    }
    #[inline]
    fn prefixed_write(&self, op: &Write) -> Write {
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
        // Built in place: a function that returns it would cost another copy.
        let op = match op {
            // Without a clone of the key that is replaced.
            Read::Get(get) => Read::Get(Get { key: self.prefix.followed_by(&get.key) }),
            _ => self.prefixed_read(op),
        };
        self.inner.read(cx, &op).await
    }
    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        self.inner.write(cx, &self.prefixed_write(op)).await
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        let prefixed = |op: &Op| match op {
            Op::Read(op) => Op::Read(self.prefixed_read(op)),
            Op::Write(op) => Op::Write(self.prefixed_write(op)),
        };
        let ops: Vec<Op> = ops.iter().map(prefixed).collect();
        self.inner.batch(cx, &ops).await
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        let writes: Vec<Write> = writes.iter().map(|op| self.prefixed_write(op)).collect();
        self.inner.transact(cx, &writes).await
    }
}
