//! The scripts: each is one operation that Redis has no single command for. Their texts are fixed.
//! The server is asked for one by its hash, and given the text when it does not know it.

use ::redis::Cmd;
use std::sync::LazyLock;

#[derive(Debug)]
pub(super) struct Script {
    /// Without its comments and its indentation: in a batch it is sent with each call.
    text: String,
    sha: String,
}

/// How a script is named to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Which the server may have forgotten.
    Hash,
    Text,
}

impl Script {
    fn new(source: &str) -> Self {
        let code = source.lines().map(str::trim_start).filter(|line| !line.starts_with("--"));
        let text = code.collect::<Vec<_>>().join("\n");
        let sha = ::redis::Script::new(&text).get_hash().to_owned();
        Script { text, sha }
    }

    /// Starts a call: keys and arguments come next.
    pub(super) fn call(&self, by: By, keys: usize, args: usize, bytes: usize) -> Cmd {
        let (command, name) = match by {
            By::Hash => ("EVALSHA", &self.sha),
            By::Text => ("EVAL", &self.text),
        };
        let mut cmd = Cmd::with_capacity(3 + keys + args, bytes + name.len() + 16);
        cmd.arg(command).arg(name).arg(keys);
        cmd
    }
}

/// Whether the script of this hash or text reads alone.
pub(super) fn is_read(named: &[u8]) -> bool {
    let is_it =
        |script: &Script| [&script.sha, &script.text].iter().any(|it| it.as_bytes() == named);
    [&PAGE, &ZHGET, &ZRANGE].into_iter().any(|script| is_it(script))
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
