//! Every wrapper on whatever is given, and all of them one in another. A new one is a function here
//! and a line in the list.

use keyvaluestore::Backend;
use keyvaluestore::observe::Profiler;
use keyvaluestore::wrap::*;
#[cfg(any(feature = "cache", feature = "timeout"))]
use std::time::Duration;

/// Hands all stacks to the macro `$each`, behind what else it wants: the name of the function, the
/// features that it needs, and `prefixed` where keys get longer on their way.
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
    // Small, so that much has to give way; eventual reads are kept, as nothing here lags behind.
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
/// As the documentation advises.
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
/// The other way round.
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
