//! Programs that run beside the benchmark, and what the kernel says about them.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::failed;
use crate::ChoreError;
use crate::tree;

/// Builds the released binary and says where it is.
pub fn build() -> Result<PathBuf, ChoreError> {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--release", "--bin", "marrowline", "--message-format", "json"])
        .current_dir(tree::root())
        .stderr(Stdio::inherit())
        .output()
        .map_err(failed("cargo build"))?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|m| m.get("executable").and_then(|e| e.as_str()).map(PathBuf::from))
        .next_back()
        .ok_or_else(|| failed("cargo build")("the binary was not built"))
}

/// A server that was started and ends with its value.
pub struct Program {
    child: Child,
    /// Where it listens.
    pub endpoint: String,
}

impl Program {
    /// Starts a server and waits for the line in which it says where it listens.
    pub fn start(binary: &Path, arguments: &[&str]) -> Result<Program, ChoreError> {
        let mut child = Command::new(binary)
            .args(arguments)
            .env("RUST_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed("server"))?;
        let stdout = child.stdout.take().ok_or_else(|| failed("server")("no output"))?;
        for line in BufReader::new(stdout).lines() {
            let line = line.map_err(failed("server"))?;
            if let Some(endpoint) = line.strip_prefix("listening on ") {
                return Ok(Program { child, endpoint: endpoint.replace("127.0.0.1", "localhost") });
            }
        }
        let _ = child.wait();
        Err(failed("server")("it ended before it listened"))
    }

    /// Seconds of CPU so far, of all threads. The kernel counts in hundredths.
    pub fn cpu(&self) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let after_name = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
        ticks as f64 / 100.0
    }

    /// Resident memory, MB.
    pub fn rss_mb(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        let kib: u64 = line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0);
        kib / 1_024
    }

    /// Process id, for a profiler.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
