//! Ranges of sorted sets and sorted hashes: [`ZRange`], and [`RangeQuery`], which builds it for
//! [`Store`] and [`Batch`].

use crate::backend::BoxFuture;
use crate::op::{FromReply, Range, ScoreRange, ToLexRange};
use crate::{Backend, Batch, Handle, Key, Result, Store, Value};
use std::marker::PhantomData;
use std::ops::RangeBounds;

/// Reads the members, or the values, in a range. Answered by
/// [`Reply::Values`](crate::op::Reply::Values), or with scores by
/// [`Reply::Scored`](crate::op::Reply::Scored).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ZRange {
    /// The key.
    pub key: Key,
    /// The scores or members to read.
    pub range: Range,
    /// Whether the order is descending.
    pub rev: bool,
    /// The maximum number; `None` is all.
    pub limit: Option<usize>,
    /// Whether the reply has the scores.
    pub scores: bool,
    /// Whether the reply has the values (`zhrange`) instead of the members (`zrange`).
    pub values: bool,
}

impl crate::op::Named for ZRange {
    const NAME: &'static str = "zrange";
}

impl ZRange {
    /// All members in order, for [`Store::run`], [`Batch::push`] or a backend.
    pub fn new(key: impl Into<Key>) -> Self {
        ZRange {
            key: key.into(),
            range: Range::Score(ScoreRange::ALL),
            rev: false,
            limit: None,
            scores: false,
            values: false,
        }
    }
    /// Sets [`range`](Self::range).
    #[must_use]
    pub fn range(mut self, range: Range) -> Self {
        self.range = range;
        self
    }
    /// Sets [`rev`](Self::rev).
    #[must_use]
    pub fn rev(mut self, rev: bool) -> Self {
        self.rev = rev;
        self
    }
    /// Sets [`limit`](Self::limit).
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }
    /// Sets [`scores`](Self::scores).
    #[must_use]
    pub fn scores(mut self, scores: bool) -> Self {
        self.scores = scores;
        self
    }
    /// Sets [`values`](Self::values).
    #[must_use]
    pub fn values(mut self, values: bool) -> Self {
        self.values = values;
        self
    }
    pub(crate) fn name(&self) -> &'static str {
        if self.values { "zhrange" } else { "zrange" }
    }
}

/// Builds a range read. Made by [`Store::zrange`], [`Store::zhrange`] and the same methods of
/// [`Batch`].
///
/// By default it reads everything, in ascending order. On a store, `.await` it; in a batch, end it
/// with [`queue`](Self::queue). An invalid argument (a NaN) is an error there.
#[derive(Debug)]
#[must_use = "nothing is read until it is awaited, or queued in a batch"]
pub struct RangeQuery<T, O = Vec<Value>> {
    target: T,
    read: Result<ZRange>,
    output: PhantomData<fn() -> O>,
}

impl<T> RangeQuery<T> {
    pub(super) fn new(target: T, key: Key, values: bool) -> Self {
        let read = Ok(ZRange { values, ..ZRange::new(key) });
        RangeQuery { target, read, output: PhantomData }
    }
    /// Returns the scores, too: `Vec<(Value, f64)>`. Redis: `WITHSCORES`.
    pub fn with_scores(self) -> RangeQuery<T, Vec<(Value, f64)>> {
        let read = self.read.map(|read| ZRange { scores: true, ..read });
        RangeQuery { target: self.target, read, output: PhantomData }
    }
}

impl<T, O> RangeQuery<T, O> {
    fn range(mut self, range: Result<Range>) -> Self {
        match (&mut self.read, range) {
            (Ok(read), Ok(range)) => read.range = range,
            (Ok(_), Err(e)) => self.read = Err(e),
            (Err(_), _) => {}
        }
        self
    }
    /// Only scores in `range`: `1.0..=2.0`, `(Bound::Excluded(a), Bound::Included(b))`. The last
    /// call of this or [`by_lex`](Self::by_lex) counts. Redis: `BYSCORE`.
    pub fn by_score(self, range: impl RangeBounds<f64>) -> Self {
        self.range(ScoreRange::new(range).map(Range::Score))
    }
    /// Only members in `range`: `"a".."b"`. For keys whose scores are all equal (0 by convention);
    /// with other scores the answer is unspecified. Redis: `BYLEX`.
    ///
    /// Page by page, each after the last member of the previous one:
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// use std::ops::Bound;
    /// # let store = keyvaluestore::Store::memory();
    /// # for word in ["a", "b", "c", "d", "e"] {
    /// #     store.zadd("words", word, 0.0).await?;
    /// # }
    /// let mut after = Bound::Unbounded;
    /// loop {
    ///     let page = store.zrange("words").by_lex((after, Bound::Unbounded)).limit(2).await?;
    ///     let Some(last) = page.last() else { break };
    ///     after = Bound::Excluded(last.clone());
    ///     println!("{page:?}");
    /// }
    /// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
    /// ```
    pub fn by_lex(self, range: impl ToLexRange) -> Self {
        self.range(range.to_lex_range().map(|range| Range::Lex(Box::new(range))))
    }
    /// In descending order, exactly the reverse. [`limit`](Self::limit) then counts from the end.
    /// Redis: `REV`.
    pub fn rev(mut self) -> Self {
        if let Ok(read) = &mut self.read {
            read.rev = true;
        }
        self
    }
    /// The first `n` at most. 0 answers nothing. Redis: `LIMIT 0 n`.
    pub fn limit(mut self, n: usize) -> Self {
        if let Ok(read) = &mut self.read {
            read.limit = Some(n);
        }
        self
    }
}

impl<'s, B: Backend, O: FromReply + 's> IntoFuture for RangeQuery<&'s Store<B>, O> {
    type Output = Result<O>;
    type IntoFuture = BoxFuture<'s, Result<O>>;

    fn into_future(self) -> Self::IntoFuture {
        let (store, read) = (self.target, self.read);
        Box::pin(store.run_read(read))
    }
}

impl<B: Backend, O: FromReply> RangeQuery<&mut Batch<'_, B>, O> {
    /// Adds the read to the batch.
    pub fn queue(self) -> Handle<O> {
        self.target.try_push(self.read)
    }
}
