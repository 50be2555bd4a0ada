//! The demo's ledger, played once for all tests; each test serves a copy of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use marrowline_client::{Client, Trust};
use marrowline_ledger::{Ledger, SystemTimeSource};
use marrowline_merkle::VerifierKey;
use marrowline_store::LocalStore;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_marrowline");

/// What `demo --exit` left, played once in this process.
pub fn demo() -> &'static Path {
    static PLAYED: OnceLock<PathBuf> = OnceLock::new();
    PLAYED.get_or_init(|| {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR"));
        remove_what_others_left(home);
        let folder = home.join(format!("demo-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let output = Command::new(PROGRAM).args(["demo", "--exit", "--subjects", "3", "--data"]).arg(&folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(printed.contains("all of it held"), "{printed}");
        folder
    })
}

/// Folders of test runs that have ended: a static is never dropped.
fn remove_what_others_left(home: &Path) {
    let processes = Path::new("/proc");
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let ended = name.strip_prefix("demo-").is_some_and(|process| !processes.join(process).exists());
        if ended && processes.exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

pub fn passphrase() -> String {
    fs::read_to_string(demo().join("passphrase.txt")).unwrap().trim_end().to_owned()
}

/// The key of somebody of the demo, from the encrypted file; opened once, since that is slow by design. `+name` is somebody who was not
/// in the demo and has no file.
pub fn key(handle: &str) -> SigningKey {
    static OPENED: Mutex<BTreeMap<String, SigningKey>> = Mutex::new(BTreeMap::new());
    if let Some(name) = handle.strip_prefix('+') {
        return SigningKey::from_bytes(&marrowline_record::digest(name.as_bytes()).0);
    }
    let mut opened = OPENED.lock().unwrap();
    let open = || {
        let pem = fs::read_to_string(demo().join(format!("people/{handle}.pem"))).unwrap();
        marrowline_client::decrypt(&pem, &passphrase()).unwrap()
    };
    opened.entry(handle.to_owned()).or_insert_with(open).clone()
}

pub fn trust() -> Trust {
    let read = |name: &str| fs::read_to_string(demo().join(name)).unwrap();
    Trust { log: VerifierKey::parse(read("log.vkey").trim()).unwrap(), ca_pem: read("ca.pem") }
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// A server of its own process.
pub struct Server {
    child: Child,
    pub endpoint: String,
    pub folder: PathBuf,
    owned: Option<tempfile::TempDir>,
    log: PathBuf,
}

impl Server {
    /// Serves a copy of the demo's ledger.
    pub fn start() -> Server {
        let owned = tempfile::tempdir().unwrap();
        let folder = owned.path().join("ledger");
        copy(&demo().join("ledger"), &folder);
        let mut server = Server::serve(&folder);
        server.owned = Some(owned);
        server
    }

    /// Serves a folder.
    pub fn serve(folder: &Path) -> Server {
        Server::serve_logging(folder, "debug")
    }

    /// Serves a folder and logs this much.
    pub fn serve_logging(folder: &Path, level: &str) -> Server {
        Server::serve_with(folder, level, &[], &[])
    }

    /// Serves a folder with further options and variables of the environment.
    pub fn serve_with(folder: &Path, level: &str, options: &[&str], variables: &[(String, String)]) -> Server {
        let log = folder.with_extension("log");
        let file = fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut child = Command::new(PROGRAM)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder)
            .args(options)
            .envs(variables.iter().cloned())
            .env("RUST_LOG", level)
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let endpoint =
            line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{}", fs::read_to_string(&log).unwrap()));
        Server { child, endpoint: endpoint.to_owned(), folder: folder.to_owned(), owned: None, log }
    }

    /// Starts a server and kills it after a while, whether it listens by then or not.
    pub fn kill_while_starting(folder: &Path, delay: Duration) {
        let mut child = Command::new(PROGRAM)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(delay);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub async fn client(&self, handle: &str) -> Client {
        Client::connect(&self.endpoint, trust(), &key(handle), 3_600).await.unwrap()
    }

    /// Runs the command line as this person against this server.
    pub fn run(&self, handle: &str, arguments: &[&str]) -> std::process::Output {
        let beside = |name: &str| demo().join(name);
        Command::new(PROGRAM)
            .args(arguments)
            .args(["--server", &self.endpoint])
            .arg("--ca")
            .arg(beside("ca.pem"))
            .arg("--log")
            .arg(beside("log.vkey"))
            .arg("--key")
            .arg(beside("people").join(format!("{handle}.pem")))
            .arg("--passphrase-file")
            .arg(beside("passphrase.txt"))
            .output()
            .unwrap()
    }

    /// What the server logged so far.
    pub fn logged(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the process to end.
    pub fn ended(&mut self, at_most: Duration) -> Option<ExitStatus> {
        let begin = Instant::now();
        while begin.elapsed() < at_most {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `fsck` on a folder that nobody serves.
pub fn fsck(folder: &Path) {
    let output = Command::new(PROGRAM).args(["fsck", "--data"]).arg(folder).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("nothing is wrong"), "{text}");
}

/// Serves a folder in this process, with other limits than the program's, and with the ledger at hand.
pub async fn in_this_process(folder: &Path, limits: marrowline_server::Limits, visit: impl AsyncFnOnce(String, Ledger)) {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let log_key = ed25519_dalek::SigningKey::from_pkcs8_pem(&read("log.key")).unwrap();
    let (store, _) = LocalStore::open(&folder.join("store"), &mut |_, _| {}).unwrap();
    let ledger = Ledger::open(Box::new(store), log_key, Box::new(SystemTimeSource::default())).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    let tls = marrowline_server::Tls { certificate_pem: read("server.pem"), key_pem: read("server.key") };
    let attachments = marrowline_attachments::Attachments::open(&folder.join("attachments")).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async {
        let _ = stopped.await;
    };
    let served = tokio::spawn(marrowline_server::run(ledger.clone(), listener, tls, limits, attachments, shutdown));
    visit(endpoint, ledger.clone()).await;
    stop.send(()).unwrap();
    served.await.unwrap().unwrap();
    tokio::task::spawn_blocking(move || ledger.shutdown()).await.unwrap();
}
