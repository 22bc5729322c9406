//! A person at a terminal: a pty of its own, which is the controlling terminal of the program that runs there.

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);

/// Ctrl-C, as the keyboard sends it.
pub(crate) const CTRL_C: &str = "\u{3}";

pub(crate) struct Typist {
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
    child: Child,
    /// How much of the screen was waited for already.
    read: usize,
}

/// Nothing stays behind where a test fails.
impl Drop for Typist {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Typist {
    /// Starts a program with the terminal as its standard input and error. Its standard output is data, and goes nowhere.
    pub(crate) fn start(command: &Command) -> Self {
        let keyboard = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap());
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap().into_string().unwrap();
        let no_terminal_of_ours = i32::try_from(OFlags::NOCTTY.bits()).unwrap();
        let terminal =
            File::options().read(true).write(true).custom_flags(no_terminal_of_ours).open(name).unwrap();
        // Of util-linux, which every Linux has: a new session, and the terminal is its.
        let mut seated = Command::new(program("setsid"));
        seated.arg("--ctty").arg(command.get_program()).args(command.get_args()).env_clear();
        seated.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        // Words are looked for, whatever their colour.
        seated.env("NO_COLOR", "1").current_dir(command.get_current_dir().unwrap());
        seated.stdin(terminal.try_clone().unwrap()).stderr(terminal).stdout(std::process::Stdio::null());
        let child = seated.spawn().unwrap();
        // With the command, the last descriptor of the terminal that is not the program's is closed.
        drop(seated);
        let screen = Arc::new(Mutex::new(Vec::new()));
        let (mut reader, shown) = (keyboard.try_clone().unwrap(), screen.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            // Where nobody has the terminal open any more, reading fails.
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                shown.lock().unwrap().extend(&buffer[..count]);
            }
        });
        Self { keyboard, screen, child, read: 0 }
    }

    /// What was shown so far.
    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).replace('\r', "")
    }

    /// Waits until a question is shown that was not waited for before, and answers it.
    pub(crate) fn answer(&mut self, question: &str, keys: &str) {
        let end = Instant::now() + LONG;
        loop {
            let shown = self.shown();
            if let Some(at) = shown[self.read..].find(question) {
                self.read += at + question.len();
                break;
            }
            assert!(Instant::now() < end, "`{question}` is not asked:\n{shown}");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for the end of the program; its exit code and all that was shown.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let end = Instant::now() + LONG;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < end, "it does not end:\n{}", self.shown());
            std::thread::sleep(Duration::from_millis(20));
        };
        // What was written last may still be on its way.
        let mut shown = self.shown();
        loop {
            std::thread::sleep(Duration::from_millis(100));
            let now = self.shown();
            if now == shown {
                break;
            }
            shown = now;
        }
        (status.code(), shown)
    }
}

/// A program of this machine, by its whole path.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.ok_or_else(|| format!("`{name}` is not on PATH")).unwrap()
}
