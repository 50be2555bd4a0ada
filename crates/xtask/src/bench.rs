//! `cargo xtask bench`: appends against the released server in a process of its own, over TLS, with its store on a real disk.
//!
//! Machines differ and are shared, so a figure alone says nothing: each run also measures what the machine can do at best (an echo over
//! the same TLS, `verify_strict` on two cores, a bare `fdatasync`) and gives ratios. One JSON line for each benchmark.

mod load;
pub mod power;
mod program;
mod world;
mod yardstick;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::ChoreError;
use world::World;

/// Most calls in flight in [`append_unary`].
const IN_FLIGHT: usize = 256;
/// Lots over which the records are spread.
const LOTS: usize = 1_000;

/// What to run and for how long.
#[derive(clap::Args)]
pub struct Options {
    /// `append_unary`, `append_unary_two` or `append_latency`; all without it.
    pub name: Option<String>,
    /// How long each part is measured.
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// Where the ledger is made: a folder on the disk that is to be measured. A new folder of the system's otherwise.
    #[arg(long)]
    pub data: Option<PathBuf>,
}

/// Runs the benchmarks and prints a line for each. The client must not be what is slow: an unoptimised build starts an optimised one.
pub fn run(options: &Options) -> Result<(), ChoreError> {
    if cfg!(debug_assertions) {
        return again_optimised();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed("tokio"))?;
    runtime.block_on(all(options))
}

fn again_optimised() -> Result<(), ChoreError> {
    let status = std::process::Command::new(env!("CARGO"))
        .args(["run", "--release", "--package", "marrowline-xtask", "--"])
        .args(std::env::args_os().skip(1))
        .current_dir(crate::tree::root())
        .status()
        .map_err(failed("cargo run --release"))?;
    if status.success() { Ok(()) } else { Err(failed("bench")(status)) }
}

/// The yardstick's own server; started by the benchmark as a process of its own.
pub fn echo(options: &yardstick::Echo) -> Result<(), ChoreError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed("tokio"))?;
    runtime.block_on(yardstick::serve(options))
}

pub use yardstick::Echo;

/// An error of a named part.
fn failed<E: std::fmt::Display>(program: &'static str) -> impl Fn(E) -> ChoreError {
    move |e| ChoreError::Program { program, what: e.to_string() }
}

async fn all(options: &Options) -> Result<(), ChoreError> {
    let folder = match &options.data {
        Some(path) => tempfile::tempdir_in(path),
        None => tempfile::tempdir(),
    }
    .map_err(failed("temporary folder"))?;
    let time = Duration::from_secs(options.seconds.max(1));
    let wanted = |name: &str| options.name.as_deref().is_none_or(|n| n == name);
    let binary = program::build()?;
    let mut world = World::found(&binary, folder.path(), LOTS).await?;
    eprintln!("{} lots opened; the echo", LOTS);
    let echo = yardstick::echo(world.home(), time, IN_FLIGHT).await?;
    let verifies = yardstick::verify_strict_per_second(time.min(Duration::from_secs(3)));
    println!(
        "{}",
        json!({"bench": "echo_unary", "per_second": echo.per_second(), "p50_ms": echo.p50_ms(), "p99_ms": echo.p99_ms()})
    );
    println!("{}", json!({"bench": "verify_strict_two_cores", "per_second": verifies}));
    for (name, signatures) in [("append_unary", 1), ("append_unary_two", 2)] {
        if wanted(name) {
            unary(&mut world, name, signatures, time, &echo, verifies).await?;
        }
    }
    if wanted("append_latency") {
        latency(&mut world, time).await?;
    }
    world.stop()
}

async fn unary(
    world: &mut World,
    name: &str,
    signatures: usize,
    time: Duration,
    echo: &load::Outcome,
    verifies: f64,
) -> Result<(), ChoreError> {
    // A verified signature is in the way of each record: there cannot be more.
    let most = (time.as_secs_f64() * echo.per_second().min(verifies)) as usize / 2;
    eprintln!("{name}: signing beforehand");
    let requests = world.presign(most.div_ceil(LOTS), signatures)?;
    eprintln!("{name}: appending");
    let bytes_before = world.disk_bytes();
    let cpu_before = world.cpu();
    let outcome = load::append(world.channels().await?, world.bearer(), requests, IN_FLIGHT, time).await?;
    let cpu = world.cpu() - cpu_before;
    eprintln!("{name}: {} acknowledged; verifying their receipts", outcome.done());
    let verified = world.verify(&outcome.responses)?;
    world.follow(&outcome);
    let count = outcome.done().max(1) as f64;
    println!(
        "{}",
        json!({
            "bench": name,
            "per_second": round(outcome.per_second()),
            "ratio": round3(outcome.per_second() / echo.per_second()),
            "of": "echo_unary",
            "ratio_of_verify_strict": round3(outcome.per_second() / verifies),
            "p50_ms": outcome.p50_ms(),
            "p99_ms": outcome.p99_ms(),
            "server_cpu_us": round(cpu * 1e6 / count),
            "rss_mb": world.rss_mb(),
            "disk_bytes_per_record": round((world.disk_bytes().saturating_sub(bytes_before)) as f64 / count),
            "record_bytes": outcome.request_bytes,
            "receipts_verified": verified,
        })
    );
    Ok(())
}

async fn latency(world: &mut World, time: Duration) -> Result<(), ChoreError> {
    let requests = world.presign(((time.as_secs_f64() * 3_000.0) as usize).div_ceil(LOTS), 1)?;
    let sync_before = yardstick::fdatasync(world.home(), time / 4)?;
    let outcome = load::append(world.channels().await?, world.bearer(), requests, 1, time).await?;
    let sync_after = yardstick::fdatasync(world.home(), time / 4)?;
    world.verify(&outcome.responses)?;
    world.follow(&outcome);
    let sync_ms = f64::midpoint(sync_before, sync_after);
    println!(
        "{}",
        json!({
            "bench": "append_latency",
            "per_second": round(outcome.per_second()),
            "ratio": round3(outcome.p50_ms() / sync_ms),
            "of": "fdatasync p50",
            "fdatasync_p50_ms": sync_ms,
            "p50_ms": outcome.p50_ms(),
            "p99_ms": outcome.p99_ms(),
        })
    );
    Ok(())
}

fn round(value: f64) -> f64 {
    value.round()
}

fn round3(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}
