//! Sorted sets: [`ZScore`], [`ZCount`], [`ZAdd`], [`ZRem`], [`ZIncrBy`]. Ranges are in
//! `range_query.rs`.
//!
//! A sorted hash is the same structure with values, so it uses these operations, too. Its methods
//! are in `sorted_hash.rs`.

use super::payload::payload;
use super::range_query::RangeQuery;
use crate::op::{Range, Score, ScoreRange, ToLexRange};
use crate::{AtomicWrite, Backend, Batch, Conditional, Handle, Key, Result, Store, ToValue, Value};
use std::ops::RangeBounds;

payload! {
    /// Reads the score of a member. Answered by [`Reply::Score`](crate::op::Reply::Score).
    ZScore "zscore" {
        /// The member.
        member: Value,
    }
}
payload! {
    /// Adds to the score of a member. Answered by [`Reply::Score`](crate::op::Reply::Score).
    ZIncrBy "zincr_by" {
        /// The member.
        member: Value,
        /// The increment.
        by: Score,
    }
}
payload! {
    /// Removes a member with its value. Answered by [`Reply::Done`](crate::op::Reply::Done).
    ZRem "zrem" {
        /// The member.
        member: Value,
    }
}

/// Counts the members in a range. Answered by [`Reply::Count`](crate::op::Reply::Count).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ZCount {
    /// The key.
    pub key: Key,
    /// The scores or members to count.
    pub range: Range,
}

impl crate::op::Named for ZCount {
    const NAME: &'static str = "zcount";
}

impl ZCount {
    /// An operation for [`Store::run`], [`Batch::push`] or a backend.
    pub fn new(key: impl Into<Key>, range: Range) -> Self {
        ZCount { key: key.into(), range }
    }
    pub(crate) fn name(&self) -> &'static str {
        match self.range {
            Range::Score(_) => "zcount",
            Range::Lex(_) => "zlexcount",
        }
    }
    fn by_score(key: impl Into<Key>, range: impl RangeBounds<f64>) -> Result<Self> {
        Ok(ZCount::new(key, Range::Score(ScoreRange::new(range)?)))
    }
    fn by_lex(key: impl Into<Key>, range: impl ToLexRange) -> Result<Self> {
        Ok(ZCount::new(key, Range::Lex(Box::new(range.to_lex_range()?))))
    }
}

/// Adds a member, or moves it to a new score. Answered by
/// [`Reply::Applied`](crate::op::Reply::Applied).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ZAdd {
    /// The key.
    pub key: Key,
    /// The member, or field.
    pub member: Value,
    /// The value of the field. `None`: the member is its own value.
    pub value: Option<Value>,
    /// Its score.
    pub score: Score,
    /// Whether it is applied only if the member is absent.
    pub nx: bool,
}

impl crate::op::Named for ZAdd {
    const NAME: &'static str = "zadd";
}

impl ZAdd {
    /// An operation for [`Store::run`], [`Batch::push`] or a backend. Without a value or a
    /// condition.
    #[inline]
    pub fn new(key: impl Into<Key>, member: Value, score: Score) -> Self {
        ZAdd { key: key.into(), member, value: None, score, nx: false }
    }
    /// Sets [`value`](Self::value).
    #[must_use]
    #[inline]
    pub fn value(mut self, value: Value) -> Self {
        self.value = Some(value);
        self
    }
    /// Sets [`nx`](Self::nx).
    #[must_use]
    #[inline]
    pub fn nx(mut self, nx: bool) -> Self {
        self.nx = nx;
        self
    }
    pub(crate) fn name(&self) -> &'static str {
        match (&self.value, self.nx) {
            (None, false) => "zadd",
            (None, true) => "zadd_nx",
            (Some(_), false) => "zhadd",
            (Some(_), true) => "zhadd_nx",
        }
    }
    #[inline]
    fn of(key: impl Into<Key>, member: impl ToValue, score: f64, nx: bool) -> Result<Self> {
        Ok(ZAdd::new(key, member.to_value()?, Score::new(score)?).nx(nx))
    }
}

fn incr(key: impl Into<Key>, member: impl ToValue, by: f64) -> Result<ZIncrBy> {
    Ok(ZIncrBy::new(key, member.to_value()?, Score::new(by)?))
}

/// # Sorted sets
///
/// Members in the order of their scores, then of their bytes. Sorted sets and sorted hashes are one
/// structure: a member that was added without a value has itself as its value.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use keyvaluestore::{Memory, Store};
/// # let store = Store::new(Memory::new());
/// store.zadd("board", "alice", 31.0).await?;
/// store.zadd("board", "bob", 8.0).await?;
/// assert_eq!(store.zincr_by("board", "bob", 12.5).await?, 20.5);
///
/// assert_eq!(store.zrange("board").rev().limit(1).await?, ["alice"]);
/// let low = store.zrange("board").by_score(..25.0).with_scores().await?;
/// assert_eq!(low, [("bob".into(), 20.5)]);
/// assert_eq!(store.zcount("board", 0.0..=100.0).await?, 2);
///
/// for word in ["apple", "banana", "cherry"] {
///     store.zadd("words", word, 0.0).await?;
/// }
/// assert_eq!(store.zrange("words").by_lex("b"..).await?, ["banana", "cherry"]);
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
impl<B: Backend> Store<B> {
    /// The score of `member` in the sorted set at `key`, or `None` if it is not there.
    ///
    /// One round trip. Redis: `ZSCORE`. DynamoDB: `GetItem`.
    ///
    /// # Errors
    /// `InvalidArgument` or `TooLarge` for the key or the member (1 to 1,016 bytes), before
    /// anything is sent.
    #[inline]
    pub fn zscore(
        &self,
        key: impl Into<Key>,
        member: impl ToValue,
    ) -> impl Future<Output = Result<Option<f64>>> + Send {
        self.run_read(member.to_value().map(|member| ZScore::new(key, member)))
    }
    /// The number of members with a score in `range`; of all, with `..`.
    ///
    /// One round trip. Redis: `ZCOUNT`, logarithmic in the set. DynamoDB: `Query` of the index,
    /// page by page, which consumes read capacity for the whole range. In memory, in a file and on
    /// FoundationDB: linear in the range.
    ///
    /// # Errors
    /// `InvalidArgument` if a bound is NaN, and those of [`zscore`](Self::zscore) for the key.
    #[inline]
    pub fn zcount(
        &self,
        key: impl Into<Key>,
        range: impl RangeBounds<f64>,
    ) -> impl Future<Output = Result<u64>> + Send {
        self.run_read(ZCount::by_score(key, range))
    }
    /// The number of members in `range`, in a set whose scores are all equal.
    ///
    /// One round trip. Redis: `ZLEXCOUNT`, logarithmic in the set. DynamoDB: `Query`, page by page,
    /// which consumes read capacity for the whole range. In memory, in a file and on FoundationDB:
    /// linear in the range.
    ///
    /// # Errors
    /// Those of [`zscore`](Self::zscore) for the key and the members. A bound may be empty.
    #[inline]
    pub fn zlexcount(
        &self,
        key: impl Into<Key>,
        range: impl ToLexRange,
    ) -> impl Future<Output = Result<u64>> + Send {
        self.run_read(ZCount::by_lex(key, range))
    }
    /// The members of the sorted set at `key`. The methods of [`RangeQuery`] select a part.
    ///
    /// One round trip, or several pages if the answer is large. Redis: `ZRANGE`. DynamoDB: `Query`.
    /// On every backend the cost is the search for the first member, logarithmic in the set, and
    /// the members that are returned.
    ///
    /// # Errors
    /// When awaited: as [`zcount`](Self::zcount).
    pub fn zrange(&self, key: impl Into<Key>) -> RangeQuery<&Self> {
        RangeQuery::new(self, key.into(), false)
    }
    /// Adds `member` with `score` to the sorted set at `key`, or changes its score. If it was a
    /// field of a sorted hash, its value is lost: [`zhget`](Self::zhget) then returns the member.
    ///
    /// One round trip. Redis: `ZADD`, and `HDEL` of an older value, in a script. DynamoDB:
    /// `PutItem`.
    ///
    /// # Errors
    /// `InvalidArgument` if the score is NaN, and those of [`zscore`](Self::zscore).
    #[inline]
    pub fn zadd(
        &self,
        key: impl Into<Key>,
        member: impl ToValue,
        score: f64,
    ) -> impl Future<Output = Result<()>> + Send {
        self.run_write(ZAdd::of(key, member, score, false))
    }
    /// [`zadd`](Self::zadd) if the member is absent. Returns whether it was added.
    ///
    /// One round trip. Redis: a script. DynamoDB: `PutItem` with a condition.
    ///
    /// # Errors
    /// As [`zadd`](Self::zadd).
    #[inline]
    pub fn zadd_nx(
        &self,
        key: impl Into<Key>,
        member: impl ToValue,
        score: f64,
    ) -> impl Future<Output = Result<bool>> + Send {
        self.run_write(ZAdd::of(key, member, score, true))
    }
    /// Removes `member` from the sorted set at `key`. The set is gone with its last member.
    ///
    /// One round trip. Redis: `ZREM` and `HDEL` in a script. DynamoDB: `DeleteItem`.
    ///
    /// # Errors
    /// As [`zscore`](Self::zscore).
    #[inline]
    pub fn zrem(
        &self,
        key: impl Into<Key>,
        member: impl ToValue,
    ) -> impl Future<Output = Result<()>> + Send {
        self.run_write(member.to_value().map(|member| ZRem::new(key, member)))
    }
    /// Adds `by` to the score of `member`. Returns the new score. A missing member counts from 0; a
    /// field of a sorted hash keeps its value.
    ///
    /// One round trip. Redis: `ZINCRBY` in a script. DynamoDB: two, a read and a conditional write,
    /// tried again under contention.
    ///
    /// # Errors
    /// `InvalidArgument` if `by` is NaN; `Overflow` if the sum is (infinity minus infinity), which
    /// changes nothing; and those of [`zscore`](Self::zscore).
    #[inline]
    pub fn zincr_by(
        &self,
        key: impl Into<Key>,
        member: impl ToValue,
        by: f64,
    ) -> impl Future<Output = Result<f64>> + Send {
        self.run_write(incr(key, member, by))
    }
}

/// # Sorted sets
impl<B: Backend> Batch<'_, B> {
    /// Adds a [`Store::zscore`].
    pub fn zscore(&mut self, key: impl Into<Key>, member: impl ToValue) -> Handle<Option<f64>> {
        self.try_push(member.to_value().map(|member| ZScore::new(key, member)))
    }
    /// Adds a [`Store::zcount`].
    pub fn zcount(&mut self, key: impl Into<Key>, range: impl RangeBounds<f64>) -> Handle<u64> {
        self.try_push(ZCount::by_score(key, range))
    }
    /// Adds a [`Store::zlexcount`].
    pub fn zlexcount(&mut self, key: impl Into<Key>, range: impl ToLexRange) -> Handle<u64> {
        self.try_push(ZCount::by_lex(key, range))
    }
    /// Starts a [`Store::zrange`]; [`queue`](RangeQuery::queue) adds it.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use keyvaluestore::{Memory, Store};
    /// # let store = Store::new(Memory::new());
    /// store.zadd("board", "alice", 31.0).await?;
    /// let mut batch = store.batch();
    /// let top = batch.zrange("board").rev().limit(3).queue();
    /// assert_eq!(batch.exec().await?.take(top)?, ["alice"]);
    /// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
    /// ```
    pub fn zrange(&mut self, key: impl Into<Key>) -> RangeQuery<&mut Self> {
        RangeQuery::new(self, key.into(), false)
    }
    /// Adds a [`Store::zadd`].
    pub fn zadd(&mut self, key: impl Into<Key>, member: impl ToValue, score: f64) -> Handle<()> {
        self.try_push(ZAdd::of(key, member, score, false))
    }
    /// Adds a [`Store::zadd_nx`].
    pub fn zadd_nx(
        &mut self,
        key: impl Into<Key>,
        member: impl ToValue,
        score: f64,
    ) -> Handle<bool> {
        self.try_push(ZAdd::of(key, member, score, true))
    }
    /// Adds a [`Store::zrem`].
    pub fn zrem(&mut self, key: impl Into<Key>, member: impl ToValue) -> Handle<()> {
        self.try_push(member.to_value().map(|member| ZRem::new(key, member)))
    }
    /// Adds a [`Store::zincr_by`].
    pub fn zincr_by(&mut self, key: impl Into<Key>, member: impl ToValue, by: f64) -> Handle<f64> {
        self.try_push(incr(key, member, by))
    }
}

/// # Sorted sets
impl<B: Backend> AtomicWrite<'_, B> {
    /// Adds a [`Store::zadd`].
    pub fn zadd(&mut self, key: impl Into<Key>, member: impl ToValue, score: f64) {
        self.try_push(ZAdd::of(key, member, score, false));
    }
    /// Adds a [`Store::zadd_nx`]: the condition that the member is absent.
    pub fn zadd_nx(
        &mut self,
        key: impl Into<Key>,
        member: impl ToValue,
        score: f64,
    ) -> Handle<Conditional> {
        self.try_push(ZAdd::of(key, member, score, true))
    }
    /// Adds a [`Store::zrem`].
    pub fn zrem(&mut self, key: impl Into<Key>, member: impl ToValue) {
        self.try_push(member.to_value().map(|member| ZRem::new(key, member)));
    }
    /// Adds a [`Store::zincr_by`]. An atomic write does not return the new score.
    pub fn zincr_by(&mut self, key: impl Into<Key>, member: impl ToValue, by: f64) {
        self.try_push(incr(key, member, by));
    }
}
