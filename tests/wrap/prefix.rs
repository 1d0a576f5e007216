//! `Prefix`: namespaces do not collide.

use super::now;
use keyvaluestore::wrap::Prefix;
use keyvaluestore::{Memory, Store};

#[test]
fn two_prefixes_never_see_each_other_whatever_names_and_keys_contain() {
    let parts = ["a", "b", "ab", ":", "a:", ":a", "%", "%3A", "%25", "a:b", "a%3Ab", "\0"];
    let mut names: Vec<String> = parts.iter().map(ToString::to_string).collect();
    names.extend(parts.iter().flat_map(|a| parts.iter().map(move |b| format!("{a}{b}"))));
    names.push(String::new());
    names.sort();
    names.dedup();
    let memory = Memory::new();
    let stores: Vec<_> =
        names.iter().map(|name| Store::new(Prefix::new(memory.clone(), name))).collect();
    let keys: Vec<&String> = names.iter().filter(|key| !key.is_empty()).collect();
    for (name, store) in names.iter().zip(&stores) {
        for key in &keys {
            assert!(now(store.set_nx(*key, name)).unwrap(), "{name:?} meets another at {key:?}");
        }
    }
    for (name, store) in names.iter().zip(&stores) {
        for key in &keys {
            assert_eq!(now(store.get(*key)).unwrap().unwrap(), *name);
        }
    }
}

#[test]
fn a_prefix_within_a_prefix_is_one_of_its_own() {
    let memory = Memory::new();
    let outer = Store::with_backend(Prefix::new(Prefix::new(memory.clone(), "in"), "out"));
    now(outer.set("k", "v")).unwrap();
    assert_eq!(now(Store::new(memory).get("in:out:k")).unwrap().unwrap(), "v");
    assert_eq!(now(outer.inner().get("out:k")).unwrap().unwrap(), "v");
    assert_eq!(now(outer.inner().inner().get("in:out:k")).unwrap().unwrap(), "v");
}

#[test]
fn keys_of_every_length_around_the_inline_one_are_put_together() {
    let memory = Memory::new();
    let store = Store::new(Prefix::new(memory.clone(), "name"));
    for len in 1..60 {
        let key = "k".repeat(len);
        now(store.set(&key, len)).unwrap();
        assert_eq!(
            now(Store::new(memory.clone()).get(format!("name:{key}"))).unwrap().unwrap(),
            len.to_string()
        );
    }
}
