//! The binary as a server: started, asked, killed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};

use rejoinder_api::ingest::ingest_service_client::IngestServiceClient;
use tonic::transport::Channel;

/// A server of the binary under test. It is killed when it is dropped.
pub struct Server {
    child: Child,
    stderr: Receiver<String>,
    said: String,
    /// Where gRPC listens.
    pub endpoint: String,
    /// Where HTTP listens.
    pub http: String,
}

/// What a process says on stderr, line by line, read at once: a full pipe would stop it.
fn lines(child: &mut Child) -> Receiver<String> {
    let stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
    let (to, said) = channel();
    std::thread::spawn(move || {
        for line in stderr.split(b'\n').map_while(Result::ok) {
            // Nobody may want to know any more.
            let _ = to.send(format!("{}\n", String::from_utf8_lossy(&line)));
        }
    });
    said
}

/// The addresses of a server once it is ready, `None` when it ended. What it says goes to `said`.
fn until_ready(stderr: &Receiver<String>, said: &mut String) -> Option<(String, String)> {
    while let Ok(line) = stderr.recv() {
        if let Some(rest) = line.strip_prefix("ready: gRPC on ") {
            let (grpc, rest) = rest.split_once(", HTTP on ").expect("both addresses are named");
            let http = rest.split(',').next().unwrap_or_default();
            return Some((grpc.to_owned(), http.to_owned()));
        }
        said.push_str(&line);
    }
    None
}

impl Server {
    /// Starts a server and waits until it is ready.
    ///
    /// # Errors
    /// How it ended instead, and what it said.
    pub fn try_start(data_dir: &Path, environment: &[(String, String)]) -> Result<Self, String> {
        Self::try_start_by(&mut crate::command(), data_dir, environment)
    }

    /// Starts a server where another one was, for clients that come back there.
    ///
    /// # Panics
    /// When it does not get ready.
    #[must_use]
    pub fn start_at(endpoint: &str, data_dir: &Path) -> Self {
        let mut command = crate::command();
        command.args(["up", "--http-addr", "127.0.0.1:0", "--grpc-addr", endpoint, "--data-dir"]).arg(data_dir);
        Self::launch(&mut command).unwrap_or_else(|said| panic!("the server did not start: {said}"))
    }

    /// Starts a server by a command that runs the binary, and waits until it is ready.
    ///
    /// # Errors
    /// How it ended instead, and what it said.
    pub fn try_start_by(
        command: &mut Command,
        data_dir: &Path,
        environment: &[(String, String)],
    ) -> Result<Self, String> {
        command.args(["up", "--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--data-dir"]).arg(data_dir);
        Self::launch(command.envs(environment.iter().cloned()))
    }

    fn launch(command: &mut Command) -> Result<Self, String> {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let stderr = lines(&mut child);
        let mut said = String::new();
        match until_ready(&stderr, &mut said) {
            Some((endpoint, http)) => Ok(Self { child, stderr, said, endpoint, http }),
            None => {
                let status = child.wait().expect("the server ends");
                Err(format!("{status}: {said}"))
            }
        }
    }

    /// Starts a server, which must get ready.
    #[must_use]
    pub fn start(data_dir: &Path, environment: &[(String, String)]) -> Self {
        Self::try_start(data_dir, environment).unwrap_or_else(|said| panic!("the server did not start: {said}"))
    }

    /// Waits until it is ready again, after it started itself anew.
    ///
    /// # Errors
    /// What it said when it ended instead.
    pub fn ready_again(&mut self) -> Result<(), String> {
        let ready = until_ready(&self.stderr, &mut self.said);
        (self.endpoint, self.http) = ready.ok_or_else(|| std::mem::take(&mut self.said))?;
        Ok(())
    }

    /// The number of its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A connection to it.
    ///
    /// # Panics
    /// When nobody answers.
    pub async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.endpoint)).expect("an address");
        endpoint.tcp_nodelay(true).connect().await.expect("the server answers")
    }

    /// A client of ingest.
    pub async fn ingest(&self) -> IngestServiceClient<Channel> {
        IngestServiceClient::new(self.channel().await)
    }

    /// Kills it without a word.
    pub fn kill(self) {
        drop(self);
    }

    /// Waits until it has ended by itself, and returns how, and all that it said.
    ///
    /// # Panics
    /// When it is lost.
    #[must_use]
    pub fn ended(mut self) -> (ExitStatus, String) {
        self.said.extend(self.stderr.iter());
        (self.child.wait().expect("the server ends"), std::mem::take(&mut self.said))
    }

    /// Asks it to stop, which must go well, and returns all that it said.
    #[must_use]
    pub fn stop(self) -> String {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
        let (status, said) = self.ended();
        assert!(status.success(), "{status}: {said}");
        said
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
