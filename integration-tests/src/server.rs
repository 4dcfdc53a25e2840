//! The binary as a server: started, asked, killed.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use rejoinder_api::ingest::ingest_service_client::IngestServiceClient;
use tonic::transport::Channel;

/// A server of the binary under test.
pub struct Server {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// Where gRPC listens.
    pub endpoint: String,
    /// Where HTTP listens.
    pub http: String,
}

/// The addresses of a server once it is ready, or what it said until it ended.
fn until_ready(stderr: &mut BufReader<ChildStderr>) -> Result<(String, String), String> {
    let mut said = String::new();
    loop {
        let mut line = String::new();
        if stderr.read_line(&mut line).expect("stderr is read") == 0 {
            return Err(said);
        }
        if let Some(rest) = line.strip_prefix("ready: gRPC on ") {
            let (grpc, rest) = rest.split_once(", HTTP on ").expect("both addresses are named");
            let http = rest.split(',').next().unwrap_or_default();
            return Ok((grpc.to_owned(), http.to_owned()));
        }
        said.push_str(&line);
    }
}

impl Server {
    /// Starts a server and waits until it is ready.
    ///
    /// # Errors
    /// What it said when it ended instead.
    pub fn try_start(data_dir: &Path, environment: &[(String, String)]) -> Result<Self, String> {
        let mut command = crate::command();
        command.args(["up", "--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--data-dir"]).arg(data_dir);
        command.envs(environment.iter().cloned()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
        match until_ready(&mut stderr) {
            Ok((endpoint, http)) => Ok(Self { child, stderr, endpoint, http }),
            Err(said) => {
                let _ = child.wait();
                Err(said)
            }
        }
    }

    /// Starts a server, which must get ready.
    #[must_use]
    pub fn start(data_dir: &Path, environment: &[(String, String)]) -> Self {
        Self::try_start(data_dir, environment).unwrap_or_else(|said| panic!("the server did not start: {said}"))
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
    pub fn kill(mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop, which must go well, and returns what it said.
    #[must_use]
    pub fn stop(mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
        let mut said = String::new();
        let _ = self.stderr.read_to_string(&mut said);
        let status = self.child.wait().expect("the server ends");
        assert!(status.success(), "{status}: {said}");
        said
    }
}
