//! [`Context`]: passed to the backend with every operation.

use crate::observe::Observer;
use std::sync::Arc;

/// The consistency of reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Consistency {
    /// A read sees every write that completed before it started.
    #[default]
    Strong,
    /// A read may miss recent writes, if that is cheaper.
    Eventual,
}

/// Passed to the backend with every operation.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Context {
    /// The consistency of reads.
    pub consistency: Consistency,
    /// Receives the events of the call.
    pub observer: Option<Arc<dyn Observer>>,
}

impl Context {
    /// Replaces the consistency.
    #[must_use]
    pub fn with_consistency(mut self, consistency: Consistency) -> Self {
        self.consistency = consistency;
        self
    }
    /// Replaces the observer.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }
}
