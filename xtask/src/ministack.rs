//! A second emulator of DynamoDB: `ministack`, from PyPI, in its own Python environment under
//! `target`. It can reject requests that dynoxide, the emulator in process, accepts by mistake.

use crate::python;
use std::io::{self, Error};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The name in the table and in `KVS_REQUIRE`.
pub(crate) const NAME: &str = "ministack";

/// The timeout for the start. Python starts slowly on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A running server, which is killed on drop.
#[derive(Debug)]
pub(crate) struct Ministack {
    child: Child,
    port: u16,
}

impl Ministack {
    /// Installs ministack if necessary, and starts it on a free port of the loopback interface.
    ///
    /// # Errors
    /// If Python is missing, or the installation or the start fails.
    pub(crate) fn start() -> io::Result<Ministack> {
        let program = python::environment(NAME, &[])?.join("bin/ministack");
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
                return Err(Error::other(format!(
                    "ministack exited before it accepted connections: {status}"
                )));
            }
            if start.elapsed() > START_TIMEOUT {
                return Err(Error::other("ministack does not accept connections"));
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
