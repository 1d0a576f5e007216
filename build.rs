//! For the feature `foundationdb`: adds the directories of FoundationDB's client library that the
//! crate `foundationdb` does not search by itself.

use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for variable in ["FDB_CLIENT_LIB_PATH", "FDB_HOME"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    if std::env::var_os("CARGO_FEATURE_FOUNDATIONDB").is_none() {
        return;
    }
    let named = std::env::var_os("FDB_CLIENT_LIB_PATH").map(PathBuf::from);
    let home = std::env::var_os("FDB_HOME").map(|home| PathBuf::from(home).join("lib"));
    for dir in named.into_iter().chain(home).chain(["/usr/local/lib".into(), "/usr/lib".into()]) {
        if ["libfdb_c.so", "libfdb_c.dylib"].iter().any(|name| dir.join(name).is_file()) {
            println!("cargo::rustc-link-search=native={}", dir.display());
        }
    }
}
