//! Each wrapper around a given backend, and all of them stacked. A new wrapper is a function here
//! and a line in the list.

use keyvaluestore::Backend;
use keyvaluestore::observe::Profiler;
use keyvaluestore::wrap::*;
#[cfg(any(feature = "cache", feature = "timeout"))]
use std::time::Duration;

/// Passes all stacks to the macro `$each`, after its own arguments: the name of the function, the
/// features that it needs, and `prefixed` if it makes keys longer.
macro_rules! every_stack {
    ($each:ident! $args:tt) => {
        $each! { $args
            prefix [] prefixed;
            on_write [];
            observed [];
            cache ["cache"];
            cache_of_a_request ["cache"];
            retry ["retry"];
            timeout ["timeout"];
            metrics ["metrics"];
            trace ["tracing"];
            nested ["cache", "retry", "timeout", "metrics", "tracing"] prefixed;
            nested_inside_out ["cache", "retry", "timeout", "metrics", "tracing"] prefixed;
        }
    };
}
#[allow(unused_imports, reason = "every test file uses a part of it")]
pub(crate) use every_stack;

pub(crate) fn prefix<B: Backend>(inner: B) -> impl Backend {
    Prefix::new(inner, "a:prefix")
}
pub(crate) fn on_write<B: Backend>(inner: B) -> impl Backend {
    OnWrite::new(inner, |_: &keyvaluestore::Key| ())
}
pub(crate) fn observed<B: Backend>(inner: B) -> impl Backend {
    Observed::new(inner, Profiler::new())
}
#[cfg(feature = "cache")]
fn options() -> CacheOptions {
    // A small bound, so that many replies are evicted. No settle time, so that replies to eventual
    // reads are cached.
    CacheOptions::max_replies(200).settle_time(Duration::ZERO)
}
#[cfg(feature = "cache")]
pub(crate) fn cache<B: Backend>(inner: B) -> impl Backend {
    Cache::shared(inner, options())
}
#[cfg(feature = "cache")]
pub(crate) fn cache_of_a_request<B: Backend>(inner: B) -> impl Backend {
    Cache::request_with(inner, options())
}
#[cfg(feature = "retry")]
pub(crate) fn retry<B: Backend>(inner: B) -> impl Backend {
    Retry::new(inner, RetryPolicy::default())
}
#[cfg(feature = "timeout")]
pub(crate) fn timeout<B: Backend>(inner: B) -> impl Backend {
    Timeout::new(inner, Duration::from_secs(50))
}
#[cfg(feature = "metrics")]
pub(crate) fn metrics<B: Backend>(inner: B) -> impl Backend {
    Metrics::new(inner, "test")
}
#[cfg(feature = "tracing")]
pub(crate) fn trace<B: Backend>(inner: B) -> impl Backend {
    Trace::new(inner, "test").with_keys()
}
/// All wrappers, in the order that the documentation recommends.
#[cfg(all(
    feature = "cache",
    feature = "retry",
    feature = "timeout",
    feature = "metrics",
    feature = "tracing"
))]
pub(crate) fn nested<B: Backend>(inner: B) -> impl Backend {
    let inner = timeout(observed(prefix(inner)));
    let inner = cache_of_a_request(cache(on_write(retry(inner))));
    metrics(trace(inner))
}
/// All wrappers, in the reverse order.
#[cfg(all(
    feature = "cache",
    feature = "retry",
    feature = "timeout",
    feature = "metrics",
    feature = "tracing"
))]
pub(crate) fn nested_inside_out<B: Backend>(inner: B) -> impl Backend {
    let inner = cache(cache_of_a_request(trace(metrics(inner))));
    prefix(observed(timeout(retry(on_write(inner)))))
}
