//! [`DynBackend`]: any backend, with its type erased. The only place that boxes futures.

#[cfg(feature = "embedded")]
use super::Embedded;
use super::{Backend, Context, Memory};
use crate::op::{Op, Read, Reply, Write};
use crate::{Outcome, Result};
use std::any::Any;
use std::fmt::{self, Debug};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A boxed future.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Any backend, with its type erased. A call costs one small allocation, however many wrappers are
/// inside; none for a bare [`Memory`] in a [`Store`](crate::Store).
#[derive(Clone, Debug)]
pub struct DynBackend(Kind);

/// Memory has a variant of its own for the fast path of the store (`fast_path.rs`).
#[derive(Clone, Debug)]
enum Kind {
    Memory(Memory),
    Other(Arc<dyn DynBackendObject>),
}

impl DynBackend {
    /// Erases the type of `backend`. A `DynBackend` is returned as it is.
    pub fn new(backend: impl Backend) -> Self {
        let any: &dyn Any = &backend;
        if let Some(memory) = any.downcast_ref::<Memory>() {
            return DynBackend(Kind::Memory(memory.clone()));
        }
        if let Some(erased) = any.downcast_ref::<DynBackend>() {
            return erased.clone();
        }
        DynBackend(Kind::Other(Arc::new(Padded::new(backend))))
    }
    /// The backend, if it is a `B`. For the methods of a wrapper whose type was erased.
    ///
    /// ```
    /// use keyvaluestore::wrap::Prefix;
    /// use keyvaluestore::{Memory, Store};
    /// let store = Store::new(Prefix::new(Memory::new(), "app"));
    /// assert!(store.backend().downcast_ref::<Prefix<Memory>>().is_some());
    /// assert!(store.backend().downcast_ref::<Memory>().is_none());
    /// ```
    pub fn downcast_ref<B: Backend>(&self) -> Option<&B> {
        match &self.0 {
            Kind::Memory(memory) => (memory as &dyn Any).downcast_ref(),
            Kind::Other(backend) => backend.as_any().downcast_ref(),
        }
    }
    #[inline]
    pub(crate) fn as_memory(&self) -> Option<&Memory> {
        match &self.0 {
            Kind::Memory(memory) => Some(memory),
            Kind::Other(_) => None,
        }
    }
}

/// The name of a backend in this process, which sends no request that would carry its name.
pub(crate) fn local_name<B: Backend>(backend: &B) -> Option<&'static str> {
    #[cfg(feature = "embedded")]
    if as_embedded(backend).is_some() {
        return Some("embedded");
    }
    super::FastPath::of(backend).map(|_| "memory")
}

/// The backend as [`Embedded`], if it is one, erased or not.
#[cfg(feature = "embedded")]
pub(crate) fn as_embedded<B: Backend>(backend: &B) -> Option<&Embedded> {
    let any: &dyn Any = backend;
    match any.downcast_ref::<DynBackend>() {
        Some(erased) => erased.downcast_ref(),
        None => any.downcast_ref(),
    }
}

/// Padding against false sharing: every call of every thread reads `backend`, so no other data may
/// share its cache line. An alignment would do it, too, but aligned allocations are slower.
#[repr(C)]
struct Padded<B> {
    before: [u8; LINE],
    backend: B,
    behind: [u8; LINE],
}

/// Two cache lines, as some processors prefetch them in pairs.
const LINE: usize = 128;

impl<B> Padded<B> {
    fn new(backend: B) -> Self {
        Padded { before: [0; LINE], backend, behind: [0; LINE] }
    }
}

impl<B: Debug> Debug for Padded<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.backend.fmt(f)
    }
}

/// [`Backend`] as a trait that can be a trait object: it returns boxed futures.
trait DynBackendObject: Debug + Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn read<'a>(&'a self, cx: &'a Context, op: &'a Read) -> BoxFuture<'a, Result<Reply>>;
    fn write<'a>(&'a self, cx: &'a Context, op: &'a Write) -> BoxFuture<'a, Result<Reply>>;
    fn batch<'a>(&'a self, cx: &'a Context, ops: &'a [Op]) -> BoxFuture<'a, Vec<Result<Reply>>>;
    fn transact<'a>(
        &'a self,
        cx: &'a Context,
        writes: &'a [Write],
    ) -> BoxFuture<'a, Result<Outcome>>;
}

impl<B: Backend> DynBackendObject for Padded<B> {
    fn as_any(&self) -> &dyn Any {
        &self.backend
    }
    fn read<'a>(&'a self, cx: &'a Context, op: &'a Read) -> BoxFuture<'a, Result<Reply>> {
        Box::pin(self.backend.read(cx, op))
    }
    fn write<'a>(&'a self, cx: &'a Context, op: &'a Write) -> BoxFuture<'a, Result<Reply>> {
        Box::pin(self.backend.write(cx, op))
    }
    fn batch<'a>(&'a self, cx: &'a Context, ops: &'a [Op]) -> BoxFuture<'a, Vec<Result<Reply>>> {
        Box::pin(self.backend.batch(cx, ops))
    }
    fn transact<'a>(
        &'a self,
        cx: &'a Context,
        writes: &'a [Write],
    ) -> BoxFuture<'a, Result<Outcome>> {
        Box::pin(self.backend.transact(cx, writes))
    }
}

// Not `async fn`: that would put a second future around the boxed one.
impl Backend for DynBackend {
    #[inline]
    fn read<'a>(
        &'a self,
        cx: &'a Context,
        op: &'a Read,
    ) -> impl Future<Output = Result<Reply>> + Send + use<'a> {
        match &self.0 {
            Kind::Memory(memory) => Box::pin(memory.read(cx, op)),
            Kind::Other(backend) => backend.read(cx, op),
        }
    }
    #[inline]
    fn write<'a>(
        &'a self,
        cx: &'a Context,
        op: &'a Write,
    ) -> impl Future<Output = Result<Reply>> + Send + use<'a> {
        match &self.0 {
            Kind::Memory(memory) => Box::pin(memory.write(cx, op)),
            Kind::Other(backend) => backend.write(cx, op),
        }
    }
    #[inline]
    fn batch<'a>(
        &'a self,
        cx: &'a Context,
        ops: &'a [Op],
    ) -> impl Future<Output = Vec<Result<Reply>>> + Send + use<'a> {
        match &self.0 {
            Kind::Memory(memory) => Box::pin(memory.batch(cx, ops)),
            Kind::Other(backend) => backend.batch(cx, ops),
        }
    }
    #[inline]
    fn transact<'a>(
        &'a self,
        cx: &'a Context,
        writes: &'a [Write],
    ) -> impl Future<Output = Result<Outcome>> + Send + use<'a> {
        match &self.0 {
            Kind::Memory(memory) => Box::pin(memory.transact(cx, writes)),
            Kind::Other(backend) => backend.transact(cx, writes),
        }
    }
}
