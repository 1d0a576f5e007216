//! What gets to a recorder of the facade `metrics`.

use crate::double::Double;
use crate::now;
use keyvaluestore::wrap::Metrics;
use keyvaluestore::{ErrorKind, Store};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

#[test]
fn calls_are_timed_under_the_names_of_the_conventions_and_without_keys_or_values() {
    let recorder = DebuggingRecorder::new();
    let snapshots = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        let double = Double::default();
        let store = Store::new(Metrics::new(double.clone(), "memory"));
        now(store.set("secret key", "secret value")).unwrap();
        now(store.get("secret key")).unwrap();
        now(store.get("secret key")).unwrap();
        double.fail(ErrorKind::Throttled);
        now(store.get("secret key")).unwrap_err();
    });
    let mut told: Vec<String> = Vec::new();
    for (key, _, _, value) in snapshots.snapshot().into_vec() {
        let labels = key.key().labels().map(|label| format!("{}={}", label.key(), label.value()));
        let labels = labels.collect::<Vec<_>>().join(" ");
        let DebugValue::Histogram(values) = value else { panic!("{value:?}") };
        told.push(format!("{} {labels}: {}", key.key().name(), values.len()));
    }
    told.sort();
    let call = "db.client.operation.duration db.system.name=memory db.operation.name";
    assert_eq!(
        told,
        [
            format!("{call}=get error.type=throttled: 1"),
            format!("{call}=get: 2"),
            format!("{call}=set: 1"),
        ]
    );
}
