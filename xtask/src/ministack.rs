//! The second opinion on DynamoDB: `ministack`, from PyPI, in a Python environment of its own under `target`. What dynoxide, in
//! process, lets pass or gets wrong, another program does not have to.

use crate::command::{root, run};
use std::io::{self, Error};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The name in the table and in `KVS_REQUIRE`.
pub(crate) const NAME: &str = "ministack";

/// How long it may take to answer: it is Python, and may start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running one. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Ministack {
    child: Child,
    port: u16,
}

impl Ministack {
    /// Installs it if need be, and starts it on a free port of the loopback interface.
    ///
    /// # Errors
    /// Where there is no Python, or no way to install it.
    pub(crate) fn start() -> io::Result<Ministack> {
        let program = installed()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let child = Command::new(program)
            .env("GATEWAY_PORT", port.to_string())
            .env("BIND_HOST", Ipv4Addr::LOCALHOST.to_string())
            .env("SERVICES", "dynamodb")
            .env("LOG_LEVEL", "ERROR")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut ministack = Ministack { child, port };
        ministack.wait()?;
        Ok(ministack)
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    fn wait(&mut self) -> io::Result<()> {
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if let Some(status) = self.child.try_wait()? {
                return Err(Error::other(format!("ministack ended before it answered: {status}")));
            }
            if start.elapsed() > PATIENCE {
                return Err(Error::other("ministack does not answer"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Ministack {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, in an environment that holds just what `ministack.txt` names.
fn installed() -> io::Result<PathBuf> {
    let wanted = root().join("xtask/ministack.txt");
    let env = target().join("ministack");
    let stamp = env.join("installed.txt");
    let program = env.join("bin/ministack");
    let text = std::fs::read(&wanted)?;
    if program.is_file() && std::fs::read(&stamp).is_ok_and(|installed| installed == text) {
        return Ok(program);
    }
    let python = |program: &Path, args: &[&str]| match run(Command::new(program).args(args)) {
        Ok(true) => Ok(()),
        Ok(false) => {
            Err(Error::other(format!("`{} {}` failed", program.display(), args.join(" "))))
        }
        Err(e) => Err(Error::new(e.kind(), format!("`{}`: {e}", program.display()))),
    };
    let (dir, list) = (env.to_string_lossy(), wanted.to_string_lossy());
    python(Path::new("python3"), &["-m", "venv", "--clear", &dir])?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", &list];
    python(&env.join("bin/python"), &pip)?;
    std::fs::write(stamp, text)?;
    Ok(program)
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
