//! Isolation of subspaces, also if one contains the other.

use super::support::foundationdb::subspace;
use keyvaluestore::backend::foundationdb_client::Database;
use keyvaluestore::backend::foundationdb_client::tuple::{Bytes, Subspace};
use keyvaluestore::{ErrorKind, FoundationDb, Store};

#[tokio::test]
async fn different_subspaces_never_see_each_other() {
    let url = subspace();
    let outer = Store::open(&url).await.unwrap();
    let inner = Store::open(&format!("{url}/inner")).await.unwrap();
    let same = Store::open(&url).await.unwrap();
    for (store, value) in [(&outer, "outer"), (&inner, "inner")] {
        for key in ["k", "inner", "inner/k", "\0"] {
            store.set(key, value).await.unwrap();
            store.zadd("z", value, 1.0).await.unwrap();
        }
    }
    assert_eq!(outer.get("k").await.unwrap().unwrap(), "outer");
    assert_eq!(inner.get("k").await.unwrap().unwrap(), "inner");
    assert_eq!(same.zrange("z").await.unwrap(), ["outer"]);
    assert!(outer.delete("inner").await.unwrap());
    assert!(outer.delete("z").await.unwrap());
    assert_eq!(inner.zrange("z").await.unwrap(), ["inner"]);
    assert_eq!(inner.get("inner").await.unwrap().unwrap(), "inner");
}

#[tokio::test]
async fn a_database_of_ones_own_and_a_subspace_of_any_bytes() {
    let url = subspace();
    let _network = Store::open(&url).await.unwrap(); // has started the network
    let file = url["foundationdb:".len()..].split('?').next().unwrap();
    let database = Database::new(Some(file)).unwrap();
    let id = fastrand::u64(..);
    let of = |name: &[u8]| Subspace::from((id, Bytes::from(name.to_vec())));
    let database = std::sync::Arc::new(database);
    let open = |subspace| Store::new(FoundationDb::new(database.clone(), subspace).unwrap());
    let a = open(of(b"\xff\0a"));
    // Within the first one, at the prefix of its key `k`.
    let b = open(of(b"\xff\0a").subspace(&Bytes::from(&b"k"[..])));
    a.set("k", "a").await.unwrap();
    b.set("k", "b").await.unwrap();
    assert_eq!(a.get("k").await.unwrap().unwrap(), "a");
    assert!(a.delete("k").await.unwrap());
    assert!(!a.delete("k").await.unwrap());
    assert_eq!(b.get("k").await.unwrap().unwrap(), "b");

    let error = FoundationDb::new(database, Subspace::from_bytes(vec![1; 3_000])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

#[tokio::test]
async fn binary_keys_keep_their_order() {
    let store = super::store().await;
    let members = [
        &b"\0"[..],
        b"\0\0",
        b"\0\xff",
        b"\x01",
        b"a",
        b"a\0",
        b"\xfe",
        b"\xff",
        b"\xff\0",
        b"\xff\xff",
    ];
    for member in members.iter().rev() {
        store.zadd("z", *member, 0.0).await.unwrap();
    }
    assert_eq!(store.zrange("z").await.unwrap(), members);
    assert_eq!(store.zrange("z").by_lex(&b"\xff"[..]..).await.unwrap(), members[7..]);
}
