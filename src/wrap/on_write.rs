//! [`OnWrite`]: tells a hook which keys were written, for caches that this process does not hold.

use super::Wrapper;
use crate::backend::Context;
use crate::op::{Op, Read, Reply, Write};
use crate::{Backend, Key, Outcome, Result};
use std::fmt;

/// Calls a hook with every key that a write, a batch or an atomic write has touched.
///
/// Once per key and call, after the write has ended, whatever the outcome: also if it failed, if a
/// condition did not hold, or if its future was dropped. Reads do not call it. The hook is called
/// on the thread of the writer, which waits for it: it should only take note.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use keyvaluestore::wrap::OnWrite;
/// use keyvaluestore::{Key, Memory, Store};
/// use std::sync::{Arc, Mutex};
///
/// let touched = Arc::new(Mutex::new(Vec::new()));
/// let note = Arc::clone(&touched);
/// let hook = move |key: &Key| note.lock().unwrap().push(key.clone());
/// let store = Store::new(OnWrite::new(Memory::new(), hook));
/// store.set("a", 1).await?;
/// store.get("a").await?;
/// assert_eq!(*touched.lock().unwrap(), ["a"]);
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct OnWrite<B, H> {
    inner: B,
    hook: H,
}

impl<B, H: Fn(&Key)> OnWrite<B, H> {
    /// Has `hook` told what is written to `inner`.
    pub fn new(inner: B, hook: H) -> Self {
        OnWrite { inner, hook }
    }
    /// The keys of a call, to be told when the answer is dropped.
    fn touched<'a>(&'a self, keys: impl Iterator<Item = &'a Key>) -> Touched<'a, H> {
        let mut keys: Vec<&Key> = keys.collect();
        keys.sort_unstable();
        keys.dedup();
        Touched { keys, hook: &self.hook }
    }
}

struct Touched<'a, H: Fn(&Key)> {
    keys: Vec<&'a Key>,
    hook: &'a H,
}

impl<H: Fn(&Key)> Drop for Touched<'_, H> {
    fn drop(&mut self) {
        self.keys.iter().for_each(|key| (self.hook)(key));
    }
}

impl<B: fmt::Debug, H> fmt::Debug for OnWrite<B, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnWrite").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<B: Backend, H: Fn(&Key) + Send + Sync + 'static> Wrapper for OnWrite<B, H> {
    type Inner = B;
    fn inner(&self) -> &B {
        &self.inner
    }
}

impl<B: Backend, H: Fn(&Key) + Send + Sync + 'static> Backend for OnWrite<B, H> {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        self.inner.read(cx, op).await
    }
    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        let _touched = self.touched([op.key()].into_iter());
        self.inner.write(cx, op).await
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        let writes = ops.iter().filter(|op| matches!(op, Op::Write(_)));
        let _touched = self.touched(writes.map(Op::key));
        self.inner.batch(cx, ops).await
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        let _touched = self.touched(writes.iter().map(Write::key));
        self.inner.transact(cx, writes).await
    }
}
