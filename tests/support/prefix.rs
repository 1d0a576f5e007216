//! A backend whose keys all start with the same bytes: gives every test a part of a shared server, and of a cluster one
//! slot, if that is wanted.

use keyvaluestore::backend::Context;
use keyvaluestore::{Backend, Key, Op, Outcome, Read, Reply, Result, Write};

#[derive(Debug)]
pub(crate) struct Prefixed<B> {
    pub(crate) prefix: String,
    pub(crate) inner: B,
}

impl<B> Prefixed<B> {
    fn put(&self, key: &mut Key) {
        *key = [self.prefix.as_bytes(), &key[..]].concat().into();
    }
    fn read(&self, op: &Read) -> Read {
        let mut op = op.clone();
        self.put(op.key_mut());
        op
    }
    fn write(&self, op: &Write) -> Write {
        let mut op = op.clone();
        self.put(op.key_mut());
        op
    }
}

impl<B: Backend> Backend for Prefixed<B> {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        self.inner.read(cx, &self.read(op)).await
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
