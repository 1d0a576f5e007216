//! [`Store`]: the handle that an application holds. Its operations are in `ops/`, by data type.

#[cfg(feature = "embedded")]
use crate::backend::as_embedded;
use crate::backend::{Consistency, Context, DynBackend, as_memory, local_name};
use crate::observe::Profiler;
use crate::observe::{CallGuard, Fanout, Observer};
use crate::op::Named;
use crate::op::{FromReply, Op, Read, Reply, Write};
use crate::{AtomicWrite, Backend, Batch, Limits, Memory, Outcome, Result};
use std::sync::Arc;

/// A key-value store: one Redis-like API over any [`Backend`].
///
/// Cheap to clone, and clones share the data, so pass it by value to whoever needs it. All methods
/// take `&self` and may run at the same time.
///
/// `Store` with no type argument holds its backend behind a pointer, whatever it is, at the price
/// of one small allocation per call (none for a bare [`Memory`]). `Store<Memory>`, or any other
/// concrete type, costs none.
///
/// The methods do nothing until their future is awaited. The future is `Send`, whatever was passed
/// in: arguments are turned into the operation on the spot, and only that is kept. Dropped before
/// its end, a write may be applied or not, or later, but never half of it; nothing is lost by it,
/// and nobody else has to wait.
#[derive(Clone, Debug)]
pub struct Store<B = DynBackend> {
    backend: B,
    context: Context,
    limits: Limits,
    /// The file below the wrappers, to be closed.
    #[cfg(feature = "embedded")]
    file: Option<crate::Embedded>,
}

impl Store {
    /// A store on `backend`, whose type is erased.
    pub fn new(backend: impl Backend) -> Self {
        Store::with_backend(DynBackend::new(backend))
    }
    /// A new, empty store in memory: what unit tests run on.
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
    /// | `file:path`, `file:///path` | `Embedded`: the file is made if it is not there |
    /// | `redis://host:port`, `rediss://…`, `redis+unix:///path` | `Redis`: one server |
    /// | `redis+cluster://host:port,host:port`, `rediss+cluster://…` | `Redis`: a cluster |
    /// | `dynamodb://table?region=…`, `dynamodb://table?endpoint=…` | `DynamoDb`: a table |
    /// | `foundationdb:cluster-file?subspace=…` | `FoundationDb`: a part of a cluster |
    ///
    /// Options stand behind a `?`, separated by `&`: `file:users.kvs?cache=64MiB&verify=false`. The
    /// pages of the backends list them. Paths and values are percent-encoded: `file:a%20b.kvs`. An
    /// unknown option is an error.
    ///
    /// [`wrap`](Self::wrap) puts [wrappers](crate::wrap) around an opened store, and
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
    /// `InvalidArgument` for a URL that is none of these, `Unsupported` for one that this build of
    /// the library cannot open, and what the backend says. Each says what to do.
    pub async fn open(url: impl AsRef<str>) -> Result<Self> {
        crate::url::open(url.as_ref()).await.map_err(|e| e.in_operation("open"))
    }
}

impl<B> Store<B> {
    /// A store on `backend`, whose type is kept.
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
    /// The same context and limits on another backend.
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
    /// The same store with reads that may be answered from a replica, and so may miss the latest
    /// writes. DynamoDB charges half for them. Backends that have no replica answer as ever.
    #[must_use]
    pub fn eventually_consistent(&self) -> Self {
        let context = self.context.clone().with_consistency(Consistency::Eventual);
        Store { context, ..self.clone() }
    }
    /// The same store with `observer` hearing what its calls cost inside the backend.
    #[must_use]
    pub fn with_observer(&self, observer: Arc<dyn Observer>) -> Self {
        let context = self.context.clone().with_observer(observer);
        Store { context, ..self.clone() }
    }
    /// The same store on a backend made of this one's: limits, consistency and observers stay. The
    /// mirror of [`inner`](Self::inner).
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
    /// The same store with the type of its backend erased, as [`Store::new`] makes it.
    pub fn erased(&self) -> Store
    where
        B: Backend,
    {
        self.wrap(DynBackend::new)
    }
    /// The same store with `profiler` counting its calls and what they cost. It nests: the
    /// profilers, and the observer, that the store has already go on to count.
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
    /// The same store with other limits than the portable ones. See [`Limits`].
    #[must_use]
    pub fn with_limits(&self, limits: Limits) -> Self {
        Store { limits, ..self.clone() }
    }
}

impl<B: Backend> Store<B> {
    /// Closes the file of a store that was opened by `file:` URL or made of an `Embedded`, also
    /// below wrappers that [`wrap`](Self::wrap) has put around it. Later operations fail with
    /// `Unavailable`, through every clone. Waits for the writes under way, without blocking the
    /// thread. Other backends have nothing to close.
    ///
    /// Dropping the last clone closes the file, too, and blocks the thread meanwhile.
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
    /// `Unavailable` if the file cannot be closed in order. What was answered is in it all the
    /// same.
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
    /// Carries out one operation that you hold as data. The methods by name are shorter; this one
    /// is for gateways and tools.
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
    /// What the method of the operation says.
    pub async fn run<T: FromReply>(&self, op: impl Into<Op>) -> Result<T> {
        match op.into() {
            Op::Read(op) => self.run_read(Ok(op)).await,
            Op::Write(op) => self.run_write(Ok(op)).await,
        }
    }

    // Not `async fn`, and nor are the methods that call these: what they are given is turned into
    // the operation on the spot, and the future that is left is one, holds the operation once, and
    // is `Send` whatever was given.
    //
    // Inlined whether the compiler would or not, as are the methods for strings: the operation is
    // then made in the place where it stays. Returned from a function it is a copy of what has been
    // written a moment ago in smaller pieces, for which a processor waits longer than for the map
    // of the memory backend.
    #[inline]
    pub(crate) fn run_read<T: FromReply, O>(
        &self,
        op: Result<O>,
    ) -> impl Future<Output = Result<T>> + Send
    where
        O: Into<Read> + Named,
    {
        let op = op.map(Into::into);
        async move {
            // By reference: to move it out would be another copy.
            let op = match op {
                Ok(ref op) => op,
                Err(e) => return Err(e.in_operation(O::NAME)),
            };
            if let Err(e) = self.limits.check_read(op) {
                return Err(e.in_operation(op.name()));
            }
            let reply = match (self.context.observer.as_deref(), as_memory(&self.backend)) {
                (None, Some(memory)) => return decoded(memory.answer(op), || op.name(), false),
                (None, None) => self.backend.read(&self.context, op).await,
                (Some(observer), _) => Box::pin(self.watched_read(observer, op)).await,
            };
            decoded(reply, || op.name(), false)
        }
    }

    #[inline(always)]
    pub(crate) fn run_write<T: FromReply, O>(
        &self,
        op: Result<O>,
    ) -> impl Future<Output = Result<T>> + Send
    where
        O: Into<Write> + Named,
    {
        let mut op = op.map(Into::into);
        async move {
            // By reference: to move it out would be another copy.
            let op = match op {
                Ok(ref mut op) => op,
                Err(e) => return Err(e.in_operation(O::NAME)),
            };
            if let Err(e) = self.limits.check_write(op) {
                return Err(e.in_operation(op.name()));
            }
            let reply = match (self.context.observer.as_deref(), as_memory(&self.backend)) {
                (None, Some(memory)) => return decoded(memory.apply(op), || op.name(), true),
                (None, None) => self.backend.write(&self.context, op).await,
                (Some(observer), _) => Box::pin(self.watched_write(observer, op)).await,
            };
            decoded(reply, || op.name(), true)
        }
    }
}

/// What the caller asked for. A write whose reply is not that has been applied all the same.
#[inline]
fn decoded<T: FromReply>(
    reply: Result<Reply>,
    name: impl FnOnce() -> &'static str,
    is_write: bool,
) -> Result<T> {
    match reply {
        Ok(reply) => T::from_reply(reply).map_err(|e| {
            let e = e.in_operation(name());
            if is_write { e.with_unknown_outcome() } else { e }
        }),
        Err(e) => Err(e.in_operation(name())),
    }
}

/// The same with somebody listening: apart, and boxed, so that a call to which nobody listens pays
/// nothing for it.
impl<B: Backend> Store<B> {
    async fn watched_read(&self, observer: &dyn Observer, op: &Read) -> Result<Reply> {
        let mut watched = CallGuard::start(&self.context, observer, op.name(), 1);
        let reply = self.backend.read(&watched.cx, op).await;
        watched.end(&reply);
        reply
    }
    async fn watched_write(&self, observer: &dyn Observer, op: &Write) -> Result<Reply> {
        let mut watched = CallGuard::start(&self.context, observer, op.name(), 1);
        let reply = self.backend.write(&watched.cx, op).await;
        watched.end(&reply);
        reply
    }
    /// Carries out a batch.
    pub(crate) async fn send_batch(&self, ops: &[Op]) -> Vec<Result<Reply>> {
        let Some(observer) = self.context.observer.as_deref() else {
            return self.backend.batch(&self.context, ops).await;
        };
        let mut watched = CallGuard::start(&self.context, observer, "batch", ops.len());
        let replies = self.backend.batch(&watched.cx, ops).await;
        watched.end_each(&replies);
        replies
    }
    /// Carries out an atomic write.
    pub(crate) async fn send_atomic(&self, writes: &mut [Write]) -> Result<Outcome> {
        let Some(observer) = self.context.observer.as_deref() else {
            return match as_memory(&self.backend) {
                Some(memory) => memory.apply_all(writes),
                None => self.backend.transact(&self.context, writes).await,
            };
        };
        let mut watched = CallGuard::start(&self.context, observer, "atomic_write", writes.len());
        let outcome = self.backend.transact(&watched.cx, writes).await;
        watched.end(&outcome);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::backend::Consistency::{self, Eventual, Strong};
    use futures_util::FutureExt;
    use std::sync::Mutex;

    /// Notes how fresh each call wants to be.
    #[derive(Clone, Debug, Default)]
    struct Notes(Memory, Arc<Mutex<Vec<Consistency>>>);

    impl Notes {
        fn note(&self, cx: &Context) {
            self.1.lock().unwrap().push(cx.consistency);
        }
    }

    impl Backend for Notes {
        async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
            self.note(cx);
            self.0.read(cx, op).await
        }
        async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
            self.note(cx);
            self.0.write(cx, op).await
        }
        async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
            self.note(cx);
            self.0.batch(cx, ops).await
        }
        async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
            self.note(cx);
            self.0.transact(cx, writes).await
        }
    }

    #[test]
    fn a_backend_is_told_how_fresh_a_read_has_to_be() {
        let store = Store::with_backend(Notes::default());
        let eventual = store.eventually_consistent();
        let read = |store: &Store<Notes>| {
            store.get("k").now_or_never().unwrap().unwrap();
            store.zrange("k").into_future().now_or_never().unwrap().unwrap();
            let mut batch = store.batch();
            batch.get("k");
            drop(batch.exec().now_or_never().unwrap().unwrap());
        };
        read(&store);
        read(&eventual);
        read(&eventual.with_limits(Limits::NONE));
        read(&store);
        let told = std::mem::take(&mut *store.backend().1.lock().unwrap());
        let expected = [[Strong; 3], [Eventual; 3], [Eventual; 3], [Strong; 3]];
        assert_eq!(told, expected.concat());
    }

    #[test]
    fn lifted_limits_are_lifted() {
        let store = Store::memory();
        let free = store.with_limits(Limits::NONE);
        let long = vec![b'x'; 400 * 1_024];
        free.set(&long[..], &long).now_or_never().unwrap().unwrap();
        free.sadd("", [&long]).now_or_never().unwrap().unwrap();
        for member in [&b""[..], &long] {
            free.zhadd("z", member, &long, 0.0).now_or_never().unwrap().unwrap();
        }
        let all = free.zrange("z").by_score(0.0..=0.0).into_future();
        assert_eq!(all.now_or_never().unwrap().unwrap(), [&b""[..], &long]);
        let below = free.zcount("z", ..0.0).now_or_never().unwrap().unwrap();
        assert_eq!(below, 0);
        let refused = store.get(&long[..]).now_or_never().unwrap().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::TooLarge);
    }
    #[test]
    fn what_is_wrapped_keeps_limits_consistency_and_profilers() {
        use crate::wrap::Prefix;
        let profiler = Profiler::new();
        let opened = Store::with_backend(Notes::default()).eventually_consistent();
        let opened = opened.with_limits(Limits::NONE).with_profiler(&profiler);
        let wrapped = opened.wrap(|backend| Prefix::new(backend, "app"));
        let long = "x".repeat(3_000);
        wrapped.get(&long).now_or_never().unwrap().unwrap();
        wrapped.erased().get(&long).now_or_never().unwrap().unwrap();
        wrapped.erased().erased().get(&long).now_or_never().unwrap().unwrap();
        assert_eq!(*opened.backend().1.lock().unwrap(), [Eventual; 3]);
        assert_eq!(profiler.total().calls, 3);
        assert_eq!(wrapped.inner().limits(), &Limits::NONE);
    }
    #[cfg(feature = "embedded")]
    #[tokio::test]
    async fn a_file_is_closed_through_any_clone_and_below_what_wraps_it() {
        use crate::wrap::Prefix;
        let dir = tempfile::tempdir().unwrap();
        let url = format!("file:{}", dir.path().join("a b.kvs").display()).replace(' ', "%20");
        let closers: [fn(&Store) -> Store; 4] = [
            Store::clone,
            |store| store.eventually_consistent().with_limits(Limits::NONE),
            |store| store.wrap(|b| Prefix::new(Prefix::new(b, "a"), "b")).erased(),
            |store| store.wrap(|b| Prefix::new(b, "a")).wrap(|b| Prefix::new(b, "b")).erased(),
        ];
        for closer in closers {
            let store = Store::open(&url).await.unwrap();
            store.set("k", "v").await.unwrap();
            closer(&store).close().await.unwrap();
            let error = store.get("k").await.unwrap_err();
            assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, false));
            store.close().await.unwrap(); // closed already
        }
        assert_eq!(Store::open(&url).await.unwrap().get("k").await.unwrap().unwrap(), "v");
        Store::memory().close().await.unwrap();
    }
    #[test]
    fn a_profiler_names_the_backend_that_answers_in_the_process() {
        let profiler = Profiler::new();
        let store = Store::memory().with_profiler(&profiler);
        store.set("k", 1).now_or_never().unwrap().unwrap();
        store.wrap(|b| crate::wrap::Prefix::new(b, "a")).get("k").now_or_never().unwrap().unwrap();
        assert!(profiler.calls().iter().all(|call| call.backend == Some("memory")));
    }
    /// It cannot be taken back, and is not to be done again.
    #[test]
    fn a_write_that_answers_something_else_than_was_asked_for_has_been_applied() {
        let store = Store::memory();
        let wrong = store.run::<u64>(crate::op::IncrBy::new("n", 1)).now_or_never().unwrap();
        assert!(wrong.unwrap_err().outcome_is_unknown());
        let wrong = store.run::<u64>(crate::op::Get::new("n")).now_or_never().unwrap();
        assert!(!wrong.unwrap_err().outcome_is_unknown());
        assert_eq!(store.get("n").now_or_never().unwrap().unwrap().unwrap(), "1");
    }
}
