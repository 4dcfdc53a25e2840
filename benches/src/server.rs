//! The released binary as a server in a process of its own, and what the system says of that process.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::table::say;

/// What the kernel counts processor time in.
const TICKS_PER_SECOND: u64 = 100;

/// A running server.
pub(crate) struct Server {
    child: Child,
    endpoint: String,
}

/// The binary that is measured: built beside this one.
pub(crate) fn binary() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("a process knows its own path")?;
    let binary = own.with_file_name("rejoinder");
    ensure!(binary.exists(), "{} is missing: `make bench` builds it", binary.display());
    Ok(binary)
}

impl Server {
    /// Starts one and waits until it says that it is ready.
    pub(crate) fn start(data_dir: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(binary()?);
        command.args(["up", "--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--data-dir"]).arg(data_dir);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut stderr = BufReader::new(child.stderr.take().ok_or_else(|| anyhow!("no stderr"))?);
        let mut line = String::new();
        loop {
            line.clear();
            if stderr.read_line(&mut line)? == 0 {
                bail!("the server ended before it was ready");
            }
            if let Some(rest) = line.strip_prefix("ready: gRPC on ") {
                let endpoint = rest.split(',').next().unwrap_or_default().to_owned();
                std::thread::spawn(move || pass_on(stderr));
                return Ok(Self { child, endpoint });
            }
            say(line.trim_end());
        }
    }

    /// A connection to it.
    pub(crate) async fn channel(&self) -> anyhow::Result<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.endpoint))?;
        Ok(endpoint.tcp_nodelay(true).connect().await?)
    }

    /// Processor time that it used so far, user and system.
    pub(crate) fn processor_time(&self) -> Duration {
        processor_time(&self.child.id().to_string())
    }

    /// Resident bytes now, and at most so far.
    pub(crate) fn resident(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() << 10
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// Kills it without a word, and waits until it is gone.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to stop, which must go well.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        ensure!(asked.success(), "the server could not be asked to stop");
        let ended = self.child.wait()?;
        ensure!(ended.success(), "the server ended badly: {ended}");
        Ok(())
    }
}

/// Processor time that a process used so far, user and system; `self` is this one.
pub(crate) fn processor_time(process: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name in parentheses may hold blanks; fields 14 and 15 are user and system time.
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended and waited for already, unless a measurement failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pass_on(stderr: impl std::io::BufRead) {
    for line in stderr.lines().map_while(Result::ok) {
        say(&format!("server: {line}"));
    }
}

/// A request of a workspace.
pub(crate) fn of<T>(workspace: &str, message: T) -> Result<Request<T>, Status> {
    let mut request = Request::new(message);
    let name = MetadataValue::try_from(workspace).map_err(|_| Status::internal("a workspace's name is ASCII"))?;
    request.metadata_mut().insert(rejoinder_api::WORKSPACE, name);
    Ok(request)
}
