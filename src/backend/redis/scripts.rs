//! The Lua scripts: each is one operation that Redis has no single command for. Their source is
//! fixed. They are called with `EVALSHA`, and with `EVAL` if the server does not have them.

use ::redis::Cmd;
use std::sync::LazyLock;

#[derive(Debug)]
pub(super) struct Script {
    /// Without comments and indentation: a batch sends it with each call.
    source: String,
    sha: String,
}

/// How a command refers to its script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScriptRef {
    /// `EVALSHA`. The server may not have it: `NOSCRIPT`.
    Sha,
    /// `EVAL`.
    Source,
}

impl Script {
    fn new(file: &str) -> Self {
        let code = file.lines().map(str::trim_start).filter(|line| !line.starts_with("--"));
        let source = code.collect::<Vec<_>>().join("\n");
        let sha = ::redis::Script::new(&source).get_hash().to_owned();
        Script { source, sha }
    }

    /// Starts a call: its keys and arguments come next, of `bytes` together.
    pub(super) fn call(&self, script: ScriptRef, keys: usize, args: usize, bytes: usize) -> Cmd {
        let (command, name) = match script {
            ScriptRef::Sha => ("EVALSHA", &self.sha),
            ScriptRef::Source => ("EVAL", &self.source),
        };
        let mut cmd = Cmd::with_capacity(3 + keys + args, bytes + name.len() + 16);
        cmd.arg(command).arg(name).arg(keys);
        cmd
    }
}

macro_rules! scripts {
    ($($name:ident = $file:literal;)*) => {$(
        pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(include_str!(concat!("scripts/", $file))));
    )*};
}
scripts! {
    DELETE = "delete.lua";
    PAGE = "page.lua";
    SET_EQ = "set_eq.lua";
    SET_NX = "set_nx.lua";
    SET_XX = "set_xx.lua";
    TRANSACT = "transact.lua";
    ZADD = "zadd.lua";
    ZHGET = "zhget.lua";
    ZINCR_BY = "zincr_by.lua";
    ZRANGE = "zrange.lua";
    ZREM = "zrem.lua";
}
