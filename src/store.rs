//! [`Store`]: the handle that an application holds. Its operations are in `op/`, by data type.

#[cfg(feature = "embedded")]
use crate::backend::as_embedded;
use crate::backend::{Consistency, Context, DynBackend, local_name};
use crate::observe::{Fanout, Observer, Profiler};
use crate::op::{FromReply, Op};
use crate::{AtomicWrite, Backend, Batch, Limits, Memory, Result};
use std::sync::Arc;

mod run;

/// A key-value store: one Redis-like API over any [`Backend`].
///
/// Cheap to clone, and clones share the data, so pass it by value. All methods take `&self` and can
/// run concurrently.
///
/// `Store` without a type argument erases the type of its backend. That costs one small allocation
/// per call (none for a bare [`Memory`]). `Store<Memory>`, or any other concrete type, costs none.
///
/// A method converts its arguments at once, and sends nothing until its future is polled. So the
/// future is `Send` whatever the types of the arguments are. If a future is dropped before its end,
/// its write may be applied or not, now or later, but never in part. Other calls do not wait for
/// it.
///
/// Every operation can fail with `WrongType` if its key holds [another
/// type](crate#one-key-one-type), and with the errors of its backend (`Unavailable`, `Timeout`, …).
/// The methods list only the other errors.
#[derive(Clone, Debug)]
pub struct Store<B = DynBackend> {
    backend: B,
    context: Context,
    limits: Limits,
    /// The file below the wrappers, for [`Store::close`].
    #[cfg(feature = "embedded")]
    file: Option<crate::Embedded>,
}

impl Store {
    /// A store on `backend`, with its type erased.
    pub fn new(backend: impl Backend) -> Self {
        Store::with_backend(DynBackend::new(backend))
    }
    /// A new, empty store in memory, for unit tests.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let store = keyvaluestore::Store::memory();
    /// store.set("k", "v").await?;
    /// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
    /// ```
    pub fn memory() -> Self {
        Store::new(Memory::new())
    }
    /// Opens the store that `url` names.
    ///
    /// | URL | backend |
    /// |---|---|
    /// | `memory:` | a new, empty [`Memory`] |
    /// | `file:path`, `file:///path` | `Embedded`: the file is created if it does not exist |
    /// | `redis://host:port`, `rediss://…`, `redis+unix:///path` | `Redis`: one server |
    /// | `redis+cluster://host:port,host:port`, `rediss+cluster://…` | `Redis`: a cluster |
    /// | `dynamodb://table?region=…`, `dynamodb://table?endpoint=…` | `DynamoDb`: a table |
    /// | `foundationdb:cluster-file?subspace=…` | `FoundationDb`: a part of a cluster |
    ///
    /// Options follow a `?`, separated by `&`: `file:users.kvs?cache=64MiB&verify=false`. The page
    /// of each backend lists its options. Paths and values are percent-encoded: `file:a%20b.kvs`.
    /// An unknown option is an error.
    ///
    /// [`wrap`](Self::wrap) adds [wrappers](crate::wrap) to an open store, and
    /// [`close`](Self::close) closes its file.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let store = keyvaluestore::Store::open("memory:").await?;
    /// let error = keyvaluestore::Store::open("mongodb://db").await.unwrap_err();
    /// assert!(error.to_string().contains("memory:"), "{error}");
    /// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `InvalidArgument` for any other URL, `Unsupported` for a backend whose feature is not
    /// enabled, and the errors of the backend. The message says what to do.
    pub async fn open(url: impl AsRef<str>) -> Result<Self> {
        crate::url::open(url.as_ref()).await.map_err(|e| e.in_operation("open"))
    }
}

impl<B> Store<B> {
    /// A store on `backend`, with its type kept.
    pub fn with_backend(backend: B) -> Self {
        Store {
            backend,
            context: Context::default(),
            limits: Limits::PORTABLE,
            #[cfg(feature = "embedded")]
            file: None,
        }
    }
    /// The backend.
    pub fn backend(&self) -> &B {
        &self.backend
    }
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }
    /// The same context and limits on `backend`.
    pub(crate) fn on<C>(&self, backend: C) -> Store<C> {
        Store {
            backend,
            context: self.context.clone(),
            limits: self.limits,
            #[cfg(feature = "embedded")]
            file: self.file.clone(),
        }
    }
}

impl<B: Clone> Store<B> {
    /// The same store with eventually consistent reads: they may be served by a replica and miss
    /// the latest writes. DynamoDB charges half for them. On a backend without replicas all reads
    /// stay strongly consistent.
    #[must_use]
    pub fn eventually_consistent(&self) -> Self {
        let context = self.context.clone().with_consistency(Consistency::Eventual);
        Store { context, ..self.clone() }
    }
    /// The same store with `observer` in place of its observer. It receives an event per call,
    /// round trip, retry and consumed capacity.
    #[must_use]
    pub fn with_observer(&self, observer: Arc<dyn Observer>) -> Self {
        let context = self.context.clone().with_observer(observer);
        Store { context, ..self.clone() }
    }
    /// A store on the backend that `wrap` returns, with the same limits, consistency and observer.
    /// The inverse of [`inner`](Self::inner).
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// use keyvaluestore::Store;
    /// use keyvaluestore::wrap::Prefix;
    /// let opened = Store::open("memory:").await?;
    /// let store: Store = opened.wrap(|backend| Prefix::new(backend, "app")).erased();
    /// store.set("k", "v").await?;
    /// assert_eq!(opened.get("app:k").await?.unwrap(), "v");
    /// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
    /// ```
    pub fn wrap<W: Backend>(&self, wrap: impl FnOnce(B) -> W) -> Store<W>
    where
        B: Backend,
    {
        #[allow(unused_mut, reason = "there is a file only with the feature `embedded`")]
        let mut store = self.on(wrap(self.backend.clone()));
        #[cfg(feature = "embedded")]
        if store.file.is_none() {
            store.file = as_embedded(&self.backend).cloned();
        }
        store
    }
    /// The same store with the type of its backend erased, as by [`Store::new`].
    pub fn erased(&self) -> Store
    where
        B: Backend,
    {
        self.wrap(DynBackend::new)
    }
    /// The same store with `profiler` added: it counts the calls and their cost. Profilers and the
    /// observer that the store already has stay.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// use keyvaluestore::Store;
    /// use keyvaluestore::observe::Profiler;
    /// let (all, page) = (Profiler::new(), Profiler::new());
    /// let store = Store::memory().with_profiler(&all);
    /// store.set("k", 1).await?;
    /// store.with_profiler(&page).get("k").await?;
    /// assert_eq!((all.total().calls, page.total().calls), (2, 1));
    /// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
    /// ```
    #[must_use]
    pub fn with_profiler(&self, profiler: &Profiler) -> Self
    where
        B: Backend,
    {
        let profiler = profiler.observer_of(local_name(&self.backend));
        let observer = Fanout::of(self.context.observer.as_ref(), profiler);
        self.with_observer(observer)
    }
    /// The same store with `limits` instead of the portable ones. See [`Limits`].
    #[must_use]
    pub fn with_limits(&self, limits: Limits) -> Self {
        Store { limits, ..self.clone() }
    }
}

impl<B: Backend> Store<B> {
    /// Closes the file of a store that was opened by a `file:` URL or made from an `Embedded`, also
    /// through the wrappers that [`wrap`](Self::wrap) added. Waits for pending writes without
    /// blocking the thread. Later operations fail with `Unavailable`, on every clone. Does nothing
    /// on other backends.
    ///
    /// Dropping the last clone closes the file, too, but blocks the thread meanwhile.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let url = format!("file:{}", dir.path().join("users.kvs").display());
    /// # #[cfg(feature = "embedded")] {
    /// use keyvaluestore::Store;
    /// let store = Store::open(&url).await?;
    /// store.set("k", "v").await?;
    /// store.close().await?;
    /// assert!(store.get("k").await.is_err());
    /// assert_eq!(Store::open(&url).await?.get("k").await?.unwrap(), "v");
    /// # }
    /// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `Unavailable` if no thread can be started to close the file. If the disk has failed, the
    /// next open repairs the file; no acknowledged write is lost.
    pub async fn close(&self) -> Result<()> {
        #[cfg(feature = "embedded")]
        if let Some(file) = self.file.as_ref().or_else(|| as_embedded(&self.backend)) {
            return file.close().await.map_err(|e| e.in_operation("close"));
        }
        Ok(())
    }
    /// Starts a batch: many operations in few round trips.
    pub fn batch(&self) -> Batch<'_, B> {
        Batch::new(self)
    }
    /// Starts an atomic write: many writes, with conditions, all or nothing.
    pub fn atomic_write(&self) -> AtomicWrite<'_, B> {
        AtomicWrite::new(self)
    }
    /// Runs one operation given as data, for gateways and tools. Otherwise use the method of the
    /// operation.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// use keyvaluestore::op::Reply;
    /// use keyvaluestore::{Store, op};
    /// let store = Store::memory();
    /// let n: i64 = store.run(op::IncrBy::new("n", 2)).await?;
    /// let reply: Reply = store.run(op::Get::new("n")).await?;
    /// assert_eq!(reply, Reply::Value(Some("2".into())));
    /// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Those of the method of the operation.
    pub async fn run<T: FromReply>(&self, op: impl Into<Op>) -> Result<T> {
        match op.into() {
            Op::Read(op) => self.run_read(Ok(op)).await,
            Op::Write(op) => self.run_write(Ok(op)).await,
        }
    }
}

#[cfg(test)]
mod tests;
