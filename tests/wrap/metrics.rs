//! `Metrics`: what a recorder of the facade `metrics` receives.

use super::now;
use super::parking_backend::ParkingBackend;
use futures_util::FutureExt;
use keyvaluestore::observe::Observer;
use keyvaluestore::wrap::{Metrics, MetricsObserver};
use keyvaluestore::{ErrorKind, Store};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use std::time::{Duration, Instant};

#[test]
fn calls_are_timed_under_the_names_of_the_conventions_and_without_keys_or_values() {
    let recorder = DebuggingRecorder::new();
    let snapshots = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        let backend = ParkingBackend::default();
        let store = Store::new(Metrics::new(backend.clone(), "memory"));
        now(store.set("secret key", "secret value")).unwrap();
        now(store.get("secret key")).unwrap();
        now(store.get("secret key")).unwrap();
        backend.fail(ErrorKind::Throttled);
        now(store.get("secret key")).unwrap_err();
    });
    let mut recorded: Vec<String> = Vec::new();
    for (key, _, _, value) in snapshots.snapshot().into_vec() {
        let labels = key.key().labels().map(|label| format!("{}={}", label.key(), label.value()));
        let labels = labels.collect::<Vec<_>>().join(" ");
        let DebugValue::Histogram(values) = value else { panic!("{value:?}") };
        recorded.push(format!("{} {labels}: {}", key.key().name(), values.len()));
    }
    recorded.sort();
    let call = "db.client.operation.duration db.system.name=memory db.operation.name";
    assert_eq!(
        recorded,
        [
            format!("{call}=get error.type=throttled: 1"),
            format!("{call}=get: 2"),
            format!("{call}=set: 1"),
        ]
    );
}

#[test]
fn a_call_is_timed_by_the_clock_on_the_wall_and_told_when_it_is_given_up() {
    let recorder = DebuggingRecorder::new();
    let snapshots = recorder.snapshotter();
    let pause = Duration::from_millis(40);
    let slept = metrics::with_local_recorder(&recorder, || {
        let backend = ParkingBackend::default();
        let store = Store::new(Metrics::new(backend.clone(), "memory"));
        // The first call creates the histogram, and the next one uses it.
        now(store.get("k")).unwrap();
        let start = Instant::now();
        let parked = backend.park_before();
        let mut call = Box::pin(store.get("k"));
        assert!(call.as_mut().now_or_never().is_none());
        std::thread::sleep(pause);
        drop(parked);
        call.now_or_never().expect("it continues").unwrap();
        let slept = start.elapsed();

        let _parked = backend.park_before();
        assert!(Box::pin(store.set("k", 1)).as_mut().now_or_never().is_none());
        slept
    });
    let mut cancelled = 0;
    for (key, _, _, value) in snapshots.snapshot().into_vec() {
        let DebugValue::Histogram(values) = value else { panic!("{value:?}") };
        let label = |name| key.key().labels().find(|l| l.key() == name).map(metrics::Label::value);
        match (label("db.operation.name"), label("error.type")) {
            (Some("get"), None) => {
                let longest = values.iter().map(|seconds| seconds.0).fold(0.0, f64::max);
                let within = pause.as_secs_f64() * 0.99..slept.as_secs_f64() * 1.01;
                assert!(within.contains(&longest), "{longest} s, and not {within:?}");
            }
            (Some("set"), Some("cancelled")) => cancelled += values.len(),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(cancelled, 1);
}

/// Every metric has the name of the system from the semantic conventions.
#[test]
fn all_that_happens_below_bears_the_name_of_the_system() {
    let recorder = DebuggingRecorder::new();
    let snapshots = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        let observer = MetricsObserver::new("aws.dynamodb");
        observer.on_round_trip("dynamodb", "GetItem", Duration::from_millis(1));
        observer.on_retry(Some("dynamodb"), ErrorKind::Throttled);
        // A retry by a wrapper, which does not know its backend.
        observer.on_retry(None, ErrorKind::Throttled);
    });
    for (key, _, _, _) in snapshots.snapshot().into_vec() {
        let system = key.key().labels().find(|label| label.key() == "db.system.name");
        assert_eq!(system.unwrap().value(), "aws.dynamodb");
    }
}
