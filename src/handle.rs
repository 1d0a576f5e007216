//! [`Handle`]: refers to one operation of a [`Batch`](crate::Batch), or to one condition of an
//! [`AtomicWrite`](crate::AtomicWrite), until it has run.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

/// Identifies one batch or atomic write, so that a handle cannot be used with another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

impl Ticket {
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Ticket(NEXT.fetch_add(1, Ordering::Relaxed))
    }
    /// The ticket of no batch.
    pub(crate) const NONE: Ticket = Ticket(0);
}

/// Refers to the result of one operation of a [`Batch`](crate::Batch), or to one condition of an
/// [`AtomicWrite`](crate::AtomicWrite).
pub struct Handle<T> {
    pub(crate) ticket: Ticket,
    pub(crate) index: usize,
    of: PhantomData<fn() -> T>,
}

impl<T> Handle<T> {
    pub(crate) fn new(ticket: Ticket, index: usize) -> Self {
        Handle { ticket, index, of: PhantomData }
    }
}
impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.index).finish()
    }
}

/// The type of a [`Handle`] that refers to a condition of an [`AtomicWrite`](crate::AtomicWrite).
/// [`FailedConditions::contains`](crate::FailedConditions::contains) takes it.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums)]
pub enum Conditional {}

impl Clone for Handle<Conditional> {
    fn clone(&self) -> Self {
        *self
    }
}
impl Copy for Handle<Conditional> {}
