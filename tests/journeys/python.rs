//! A Python with what others wrote in it: the one named by `MARROWLINE_PYTHON`, `python3`, or a virtual environment beside the build.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a test needs of Python.
pub struct Needs {
    /// Name of the virtual environment.
    pub name: &'static str,
    /// Statement that fails if something is missing.
    pub import: &'static str,
    /// What pip installs.
    pub packages: &'static [&'static str],
}

impl Needs {
    fn are_met_by(&self, python: &Path) -> bool {
        let quiet = |stream: &mut Command| stream.stdout(Stdio::null()).stderr(Stdio::null()).status();
        quiet(Command::new(python).args(["-c", self.import])).is_ok_and(|status| status.success())
    }

    /// The Python; `None`, loudly, where there is none, unless `MARROWLINE_REQUIRE_PYTHON` says that there must be.
    pub fn python(&self, what: &str) -> Option<PathBuf> {
        let candidates = std::env::var_os("MARROWLINE_PYTHON").into_iter().chain(["python3".into()]).map(PathBuf::from);
        if let Some(found) = candidates.into_iter().find(|python| self.are_met_by(python)) {
            return Some(found);
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(self.name);
        let own = folder.join("bin/python");
        if !self.are_met_by(&own) {
            let quiet =
                |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
            let made = quiet(Command::new("python3").args(["-m", "venv"]).arg(&folder));
            let _ = made && quiet(Command::new(&own).args(["-m", "pip", "install", "--quiet"]).args(self.packages));
        }
        let found = self.are_met_by(&own).then_some(own);
        if found.is_none() {
            assert!(std::env::var_os("MARROWLINE_REQUIRE_PYTHON").is_none(), "no Python with {:?}", self.packages);
            eprintln!("SKIPPED: no Python with {:?}; {what} NOT tried", self.packages);
        }
        found
    }
}
