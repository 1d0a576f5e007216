//! [`Context`]: what travels down to the backend beside every operation.

use crate::observe::Observer;
use std::sync::Arc;

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
