//! `cargo xtask powercut`: the power fails on a real file system, and nothing that was acknowledged is lost.
//!
//! A ledger is served from an ext4 image on a loop device. While clients append, the image is copied at the instant after an
//! acknowledgement: what the kernel had not yet written is not in the copy, as after a power cut. The copy is mounted (ext4 replays
//! its journal), served, and asked for every record that was acknowledged before. It is kinder than a real cut: sectors are whole.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use marrowline_api::v1;
use marrowline_api::v1::ledger_service_client::LedgerServiceClient;
use marrowline_client::Client;
use marrowline_proof::Receipt;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use super::failed;
use super::program::{self, Program};
use super::world::{World, person};
use crate::ChoreError;

/// Lots, each with a client of its own.
const LOTS: usize = 24;
/// Records signed beforehand for each.
const OF_EACH_LOT: usize = 400;
const IMAGE_MEGABYTES: u64 = 384;

/// How often.
#[derive(clap::Args)]
pub struct Options {
    /// Power cuts, each with a ledger of its own.
    #[arg(long, default_value_t = 3)]
    pub cycles: u32,
}

/// Cuts the power; needs root for the loop device, and says so where it is not root.
pub fn run(options: &Options) -> Result<(), ChoreError> {
    let probe = tempfile::tempdir().map_err(failed("temporary folder"))?;
    let disk = match Disk::new(probe.path()).and_then(|mut disk| disk.mount().map(|()| disk)) {
        Ok(disk) => disk,
        Err(error) => {
            println!("no power was cut: an image cannot be mounted here ({error})");
            return Ok(());
        }
    };
    drop(disk);
    let binary = program::build()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed("tokio"))?;
    for cycle in 0..options.cycles {
        let delay = Duration::from_millis(150 + u64::from(cycle * 7919 % 13) * 90);
        let (acknowledged, found) = runtime.block_on(cut(&binary, delay))?;
        println!("power cut {}: {acknowledged} records acknowledged, all there; the log had {found} leaves", cycle + 1);
    }
    Ok(())
}

/// An ext4 image and where it is mounted.
struct Disk {
    image: PathBuf,
    folder: PathBuf,
    mounted: bool,
}

impl Disk {
    fn new(within: &Path) -> Result<Disk, ChoreError> {
        let disk = Disk { image: within.join("disk.img"), folder: within.join("disk"), mounted: false };
        std::fs::create_dir(&disk.folder).map_err(failed("folder"))?;
        let file = std::fs::File::create(&disk.image).map_err(failed("image"))?;
        file.set_len(IMAGE_MEGABYTES << 20).map_err(failed("image"))?;
        execute("mkfs.ext4", &["-q".as_ref(), disk.image.as_os_str()])?;
        Ok(disk)
    }

    fn mount(&mut self) -> Result<(), ChoreError> {
        execute("mount", &["-o".as_ref(), "loop".as_ref(), self.image.as_os_str(), self.folder.as_os_str()])?;
        self.mounted = true;
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            let _ = execute("umount", &["-l".as_ref(), self.folder.as_os_str()]);
        }
    }
}

fn execute(name: &'static str, arguments: &[&std::ffi::OsStr]) -> Result<(), ChoreError> {
    let output = Command::new(name).args(arguments).stdin(Stdio::null()).output().map_err(failed(name))?;
    if output.status.success() { Ok(()) } else { Err(failed(name)(String::from_utf8_lossy(&output.stderr).trim().to_owned())) }
}

/// One ledger, one cut. How many records were acknowledged, and how many leaves the log has after it.
async fn cut(binary: &Path, delay: Duration) -> Result<(usize, u64), ChoreError> {
    let folder = tempfile::tempdir().map_err(failed("temporary folder"))?;
    let mut disk = Disk::new(folder.path())?;
    disk.mount()?;
    let mut world = World::found(binary, &disk.folder, LOTS).await?;
    let requests = world.presign(OF_EACH_LOT, 1)?;
    let load = Load::start(world.channels().await?, &world.bearer(), requests);
    tokio::time::sleep(delay).await;

    let copy = Disk { image: folder.path().join("after.img"), folder: folder.path().join("after"), mounted: false };
    // From here on the process does nothing more, as after a cut; what it did is in the image or lost.
    let acknowledged = load.freeze(world.process())?;
    execute("cp", &["--sparse=always".as_ref(), disk.image.as_os_str(), copy.image.as_os_str()])?;
    let trust = world.trust().clone();
    world.stop()?;
    load.end().await;

    let mut copy = copy;
    std::fs::create_dir(&copy.folder).map_err(failed("folder"))?;
    copy.mount()?;
    let home = copy.folder.join("ledger").display().to_string();
    let program = Program::start(binary, &["serve", "--data", &home, "--listen", "127.0.0.1:0"])?;
    let client = Client::connect(&program.endpoint, trust.clone(), &person("operator"), 3_600).await.map_err(failed("client"))?;
    let mut size = 0;
    for response in &acknowledged {
        let receipt: Receipt = response.receipt.clone().ok_or_else(|| failed("receipt")("none"))?.into();
        let before = receipt.verify(&trust.log, None).map_err(failed("receipt"))?;
        let (after, _) = client.record_at(receipt.index).await.map_err(failed("an acknowledged record"))?;
        if after.record() != before.record() || after.leaf() != before.leaf() {
            return Err(failed("powercut")(format!("leaf {} is another one than was acknowledged", receipt.index)));
        }
        size = size.max(after.checkpoint().size());
    }
    drop(program);
    execute_fsck(binary, &home)?;
    Ok((acknowledged.len(), size))
}

fn execute_fsck(binary: &Path, home: &str) -> Result<(), ChoreError> {
    let output = Command::new(binary).args(["fsck", "--data", home]).output().map_err(failed("fsck"))?;
    if output.status.success() { Ok(()) } else { Err(failed("fsck")(String::from_utf8_lossy(&output.stderr).trim().to_owned())) }
}

/// Clients that append as fast as they are answered, and what they were answered.
struct Load {
    answered: Arc<Mutex<Vec<v1::AppendResponse>>>,
    is_over: Arc<AtomicBool>,
    workers: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(channels: Vec<Channel>, bearer: &MetadataValue<Ascii>, lots: Vec<Vec<v1::AppendRequest>>) -> Load {
        let (answered, is_over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let workers = lots.into_iter().zip(channels.into_iter().cycle()).map(|(lot, channel)| {
            let (answered, is_over, bearer) = (Arc::clone(&answered), Arc::clone(&is_over), bearer.clone());
            tokio::spawn(async move {
                let mut client = LedgerServiceClient::new(channel);
                for request in lot {
                    let mut request = tonic::Request::new(request);
                    request.metadata_mut().insert("authorization", bearer.clone());
                    let Ok(response) = client.append(request).await else { return };
                    match answered.lock() {
                        Ok(mut answered) if !is_over.load(Ordering::SeqCst) => answered.push(response.into_inner()),
                        _ => return,
                    }
                }
            })
        });
        Load { workers: workers.collect(), answered, is_over }
    }

    /// Stops the process where it stands. What was acknowledged until then is what must be there.
    fn freeze(&self, process: u32) -> Result<Vec<v1::AppendResponse>, ChoreError> {
        execute("kill", &["-STOP".as_ref(), process.to_string().as_ref()])?;
        let answered = self.answered.lock().map_err(failed("load"))?;
        self.is_over.store(true, Ordering::SeqCst);
        Ok(answered.clone())
    }

    async fn end(self) {
        for worker in self.workers {
            let _ = worker.await;
        }
    }
}
