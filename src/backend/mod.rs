//! What a storage system must provide: four functions over data. And the storage systems that do.
//!
//! Writing a backend of your own takes [one page](crate::conformance).

mod call;
mod memory;
#[cfg(feature = "ordered")]
#[cfg_attr(
    not(all(feature = "embedded", feature = "foundationdb")),
    allow(dead_code, reason = "each engine uses a part of it")
)]
pub(crate) mod ordered;

#[cfg(feature = "embedded")]
mod embedded;

#[cfg(feature = "redis")]
mod redis;

#[cfg(feature = "dynamodb")]
mod dynamodb;

/// The SDK that the feature `dynamodb` is built on: its types are in the signatures of [`DynamoApi`] and [`DynamoDb`].
#[cfg(feature = "dynamodb")]
pub use aws_sdk_dynamodb;
#[cfg(feature = "dynamodb")]
pub use dynamodb::{DynamoApi, DynamoClient, DynamoDb, DynamoDbOptions, DynamoError, DynamoResult};

#[cfg(feature = "foundationdb")]
mod foundationdb;

/// The client that the feature `foundationdb` is built on: its types are in the signatures of [`FoundationDb`].
#[cfg(feature = "foundationdb")]
pub use ::foundationdb as foundationdb_client;
#[cfg(feature = "foundationdb")]
pub use foundationdb::{FoundationDb, FoundationDbOptions};

pub use call::CallSummary;
pub(crate) use call::{Both, Listener, Watched};
#[cfg(feature = "embedded")]
pub use embedded::{Embedded, EmbeddedOptions};
pub use memory::Memory;
#[cfg(feature = "redis")]
pub use redis::{Redis, RedisOptions};

use crate::op::{Op, Read, Reply, Write};
use crate::{ErrorKind, Outcome, Result};
use std::any::Any;
use std::fmt::{self, Debug};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
#[cfg(any(feature = "redis", feature = "dynamodb", feature = "foundationdb"))]
use std::time::Instant;

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Consistency {
    /// Sees every write that finished before it started.
    #[default]
    Strong,
    /// May miss recent writes, if that is cheaper.
    Eventual,
}

/// Hears what a backend does to carry out an operation. It only observes: nothing it does changes a result.
/// Called in the middle of the work, so it should be quick.
pub trait Observer: Debug + Send + Sync {
    /// A request to the storage system ended, answered or not.
    fn on_round_trip(&self, backend: &'static str, request: &'static str, took: Duration) {
        let _ = (backend, request, took);
    }
    /// A request is about to be sent again by `backend`, because of an error of this kind; or a whole call by
    /// [`Retry`](crate::wrap::Retry), which is no backend.
    fn on_retry(&self, backend: Option<&'static str>, because: ErrorKind) {
        let _ = (backend, because);
    }
    /// The storage system charged for a request: once for the table, and once for each index.
    fn on_capacity(&self, backend: &'static str, used: &ConsumedCapacity<'_>) {
        let _ = (backend, used);
    }
    /// A call begins. Whoever wants to know which call a round trip belongs to answers an observer of its own for this one
    /// call: that hears all of the above and the [`on_call_end`](Self::on_call_end) in place of this one. An observer that hands on what it
    /// hears to others hands on this, too.
    fn on_call_start(&self, name: &'static str) -> Option<Arc<dyn Observer>> {
        let _ = name;
        None
    }
    /// A call ended: one of the store, or of the place in a stack of wrappers at which this observer listens.
    fn on_call_end(&self, call: &CallSummary) {
        let _ = call;
    }
}

/// What a request consumed of a table, or of one of its indexes, in the units of the storage system (of DynamoDB: read and
/// write capacity units).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ConsumedCapacity<'c> {
    /// The table.
    pub table: &'c str,
    /// Its index, or `None` for the table itself.
    pub index: Option<&'c str>,
    /// Units of reading.
    pub read: f64,
    /// Units of writing.
    pub write: f64,
}

/// Tells the observer of a round trip when it ends, one way or another.
#[cfg(any(feature = "redis", feature = "dynamodb", feature = "foundationdb"))]
struct Heard<'c> {
    observer: &'c dyn Observer,
    backend: &'static str,
    request: &'static str,
    start: Instant,
}

#[cfg(any(feature = "redis", feature = "dynamodb", feature = "foundationdb"))]
impl<'c> Heard<'c> {
    /// `None` if nobody listens.
    fn start(cx: &'c Context, backend: &'static str, request: &'static str) -> Option<Self> {
        let observer = cx.observer.as_deref()?;
        Some(Heard { observer, backend, request, start: Instant::now() })
    }
}

#[cfg(any(feature = "redis", feature = "dynamodb", feature = "foundationdb"))]
impl Drop for Heard<'_> {
    fn drop(&mut self) {
        self.observer.on_round_trip(self.backend, self.request, self.start.elapsed());
    }
}

/// What travels down to the backend beside every operation.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Context {
    /// How fresh reads must be.
    pub consistency: Consistency,
    /// Who is listening.
    pub observer: Option<Arc<dyn Observer>>,
}

impl Context {
    /// The same with another consistency.
    #[must_use]
    pub fn with_consistency(mut self, consistency: Consistency) -> Self {
        self.consistency = consistency;
        self
    }
    /// The same with an observer.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }
}

/// A storage system, or a wrapper around one.
///
/// # Contract
///
/// - Each operation means what its method of [`Store`](crate::Store) says, and is answered by the [`Reply`]
///   that its payload names.
/// - `batch` answers exactly one result per operation, in their order. Operations on one key take effect as
///   though in that order; beyond that it promises neither atomicity nor isolation. One that fails neither
///   stops nor hides another. What could not be carried out is an error, never dropped.
/// - `transact` judges every condition against the state before any of the writes, tells every one that
///   failed, and applies all of the writes or none, also on errors.
/// - A write is sent again only if the first one is known not to have been applied. Where that cannot be
///   known, the error says so ([`outcome_is_unknown`](crate::Error::outcome_is_unknown)).
/// - A dropped future may leave a write applied or not, never half of it.
/// - Nothing panics on what the storage system answers.
///
/// In return it may rely on the [façade](crate::Store): arguments are within the
/// [limits](crate::Limits) that the user chose, no score is NaN, and no two writes of a `transact` are of one
/// [`Item`](crate::Item) or use one key both as a sorted set and as another type. That a key may hold another type
/// than an operation works on is for the backend to find: it answers `WrongType`, or as though the key were
/// absent, and never hands out bytes of its own encoding.
///
/// Each function is written as an `async fn`, without the lifetimes. None has a default: a wrapper that forgot one would
/// silently lose the inner backend's version of it. Storage systems without batches call [`batch_sequentially`].
pub trait Backend: Debug + Send + Sync + 'static {
    /// Carries out one read.
    fn read<'a>(
        &'a self,
        cx: &'a Context,
        op: &'a Read,
    ) -> impl Future<Output = Result<Reply>> + Send + use<'a, Self>;
    /// Carries out one write.
    fn write<'a>(
        &'a self,
        cx: &'a Context,
        op: &'a Write,
    ) -> impl Future<Output = Result<Reply>> + Send + use<'a, Self>;
    /// Carries out many operations, in as few round trips as it can.
    fn batch<'a>(
        &'a self,
        cx: &'a Context,
        ops: &'a [Op],
    ) -> impl Future<Output = Vec<Result<Reply>>> + Send + use<'a, Self>;
    /// Carries out all of the writes or none.
    fn transact<'a>(
        &'a self,
        cx: &'a Context,
        writes: &'a [Write],
    ) -> impl Future<Output = Result<Outcome>> + Send + use<'a, Self>;
}

/// A [`Backend::batch`] for storage systems that have none.
pub async fn batch_sequentially<B: Backend>(
    backend: &B,
    cx: &Context,
    ops: &[Op],
) -> Vec<Result<Reply>> {
    let mut replies = Vec::with_capacity(ops.len());
    for op in ops {
        replies.push(match op {
            Op::Read(op) => backend.read(cx, op).await,
            Op::Write(op) => backend.write(cx, op).await,
        });
    }
    replies
}

/// A future behind a pointer.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Any backend, at the price of one small allocation per call, however many wrappers are inside. A bare
/// [`Memory`] in a [`Store`](crate::Store) costs none.
#[derive(Clone, Debug)]
pub struct DynBackend(Held);

/// Memory is known by name: the store asks it without a future (see [`as_memory`]).
#[derive(Clone, Debug)]
enum Held {
    Memory(Memory),
    Other(Arc<dyn Erased>),
}

impl DynBackend {
    /// Erases the type of `backend`. One that is erased stays as it is.
    pub fn new(backend: impl Backend) -> Self {
        let any: &dyn Any = &backend;
        if let Some(memory) = any.downcast_ref::<Memory>() {
            return DynBackend(Held::Memory(memory.clone()));
        }
        if let Some(erased) = any.downcast_ref::<DynBackend>() {
            return erased.clone();
        }
        DynBackend(Held::Other(Arc::new(Apart::new(backend))))
    }
    /// The backend, if it is a `B`: the way to a wrapper whose type was erased.
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
            Held::Memory(memory) => (memory as &dyn Any).downcast_ref(),
            Held::Other(backend) => backend.as_any().downcast_ref(),
        }
    }
}

/// The memory backend, if this is it. It answers at once: what takes no future takes no copies of what would be in it.
#[inline]
pub(crate) fn as_memory<B: Backend>(backend: &B) -> Option<&Memory> {
    let backend: &dyn Any = backend;
    match backend.downcast_ref::<DynBackend>() {
        Some(DynBackend(Held::Memory(memory))) => Some(memory),
        _ => backend.downcast_ref(),
    }
}

/// The name of a backend that answers in this process, where no request shows its name.
pub(crate) fn local_name<B: Backend>(backend: &B) -> Option<&'static str> {
    #[cfg(feature = "embedded")]
    if as_embedded(backend).is_some() {
        return Some("embedded");
    }
    as_memory(backend).map(|_| "memory")
}

/// The file, if this is one.
#[cfg(feature = "embedded")]
pub(crate) fn as_embedded<B: Backend>(backend: &B) -> Option<&Embedded> {
    let any: &dyn Any = backend;
    match any.downcast_ref::<DynBackend>() {
        Some(erased) => erased.downcast_ref(),
        None => any.downcast_ref(),
    }
}

/// Every call of every thread reads it, so it shares no line of memory with what somebody writes. By room on both sides, and not by
/// an alignment, for which an allocator takes its time.
#[repr(C)]
struct Apart<B> {
    before: [u8; LINE],
    backend: B,
    behind: [u8; LINE],
}

/// What two processors hand each other at once: some take lines in pairs.
const LINE: usize = 128;

impl<B> Apart<B> {
    fn new(backend: B) -> Self {
        Apart { before: [0; LINE], backend, behind: [0; LINE] }
    }
}

impl<B: Debug> Debug for Apart<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.backend.fmt(f)
    }
}

/// The object-safe twin of [`Backend`]; the only place that boxes a backend's futures.
trait Erased: Debug + Send + Sync {
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

impl<B: Backend> Erased for Apart<B> {
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

// Not `async fn`: what is in the box is the future already, and another one around it would be one more to carry.
impl Backend for DynBackend {
    #[inline]
    fn read<'a>(
        &'a self,
        cx: &'a Context,
        op: &'a Read,
    ) -> impl Future<Output = Result<Reply>> + Send + use<'a> {
        match &self.0 {
            Held::Memory(memory) => Box::pin(memory.read(cx, op)),
            Held::Other(backend) => backend.read(cx, op),
        }
    }
    #[inline]
    fn write<'a>(
        &'a self,
        cx: &'a Context,
        op: &'a Write,
    ) -> impl Future<Output = Result<Reply>> + Send + use<'a> {
        match &self.0 {
            Held::Memory(memory) => Box::pin(memory.write(cx, op)),
            Held::Other(backend) => backend.write(cx, op),
        }
    }
    #[inline]
    fn batch<'a>(
        &'a self,
        cx: &'a Context,
        ops: &'a [Op],
    ) -> impl Future<Output = Vec<Result<Reply>>> + Send + use<'a> {
        match &self.0 {
            Held::Memory(memory) => Box::pin(memory.batch(cx, ops)),
            Held::Other(backend) => backend.batch(cx, ops),
        }
    }
    #[inline]
    fn transact<'a>(
        &'a self,
        cx: &'a Context,
        writes: &'a [Write],
    ) -> impl Future<Output = Result<Outcome>> + Send + use<'a> {
        match &self.0 {
            Held::Memory(memory) => Box::pin(memory.transact(cx, writes)),
            Held::Other(backend) => backend.transact(cx, writes),
        }
    }
}

/// Shared is as good as owned.
impl<B: Backend> Backend for Arc<B> {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        B::read(self, cx, op).await
    }
    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        B::write(self, cx, op).await
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        B::batch(self, cx, ops).await
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        B::transact(self, cx, writes).await
    }
}
