//! Asking a person: for passphrases, and what age plugins want to know.

use kubiya_hook::edge::Console;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use secrecy::SecretString;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::time::Duration;
use zeroize::Zeroizing;

/// Somebody who can be asked, or nobody.
pub trait Ask: Send + Sync {
    /// Asks for a secret, which is not shown while it is typed. `None` where nobody can be asked, or
    /// nothing was typed.
    fn secret(&self, question: &str) -> Option<SecretString>;

    /// Asks for a line. `None` where nobody can be asked.
    fn line(&self, question: &str) -> Option<String>;

    /// Says something that needs no answer.
    fn say(&self, message: &str);

    /// Warns, with what to type about it.
    fn warn(&self, message: &str, hint: &str);
}

/// The terminal of the process, if stderr is one; questions and answers go past stdin and stdout, which
/// may be data.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terminal;

impl Terminal {
    fn open() -> Option<File> {
        if !std::io::IsTerminal::is_terminal(&std::io::stderr()) {
            return None;
        }
        File::options().read(true).write(true).open("/dev/tty").ok()
    }
}

/// Does what may ask a person on a thread of its own: a runtime that takes the signals hears Ctrl-C only while nothing
/// blocks it.
pub(crate) async fn while_asking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(done) => done,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // Not done because the runtime ends, and whoever waits for it as well.
        Err(Err(_)) => std::future::pending().await,
    }
}

impl Ask for Terminal {
    fn secret(&self, question: &str) -> Option<SecretString> {
        let terminal = Self::open()?;
        read_secret(&terminal, question)
    }

    fn line(&self, question: &str) -> Option<String> {
        let mut terminal = Self::open()?;
        write!(terminal, "{question} ").ok()?;
        let mut line = Vec::new();
        let mut byte = [0];
        while terminal.read(&mut byte).ok()? == 1 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        String::from_utf8(line).ok()
    }

    fn say(&self, message: &str) {
        // Nobody reads a closed stderr.
        let _ = Console::of_process().err.line(message);
    }

    fn warn(&self, message: &str, hint: &str) {
        let mut console = Console::of_process();
        console.warn(message);
        console.hint(hint);
    }
}

/// The terminal as it was, put back whatever happens.
struct Restored<'t> {
    terminal: &'t File,
    before: Termios,
}

impl Drop for Restored<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
        let _ = (&mut &*self.terminal).write_all(b"\r\n");
    }
}

/// Reads a line without showing it. The terminal hands over every key: a signal would end the process
/// with the terminal mute, or wait unheard where signals are taken by a runtime. `None` when it is ended
/// by Ctrl-C, which is then sent on as the signal it is, or by the end of input, or when nothing is typed.
fn read_secret(mut terminal: &File, question: &str) -> Option<SecretString> {
    let before = tcgetattr(terminal).ok()?;
    let mut mute = before.clone();
    mute.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
    let restored = Restored { terminal, before };
    tcsetattr(terminal, OptionalActions::Flush, &mute).ok()?;
    write!(terminal, "{question} ").ok()?;
    // Large enough from the start: growing would leave copies behind.
    let mut typed = Zeroizing::new(Vec::with_capacity(4096));
    let mut byte = [0];
    loop {
        if terminal.read(&mut byte).ok()? == 0 {
            return None;
        }
        match byte[0] {
            b'\r' | b'\n' => break,
            CTRL_C => {
                drop(restored);
                let _ =
                    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::INT);
                // The signal ends the process, here or where signals are waited for: no answer must come before that.
                std::thread::sleep(END);
                return None;
            }
            CTRL_D if typed.is_empty() => return None,
            CTRL_U => typed.clear(),
            BACKSPACE | DELETE => erase_character(&mut typed),
            other if typed.len() < typed.capacity() => typed.push(other),
            _ => return None,
        }
    }
    std::str::from_utf8(&typed).ok().filter(|text| !text.is_empty()).map(SecretString::from)
}

/// More than a process needs to end by a signal.
const END: Duration = Duration::from_secs(10);

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const BACKSPACE: u8 = 8;
const CTRL_U: u8 = 21;
const DELETE: u8 = 127;

/// Takes the last character away, which may be several bytes.
fn erase_character(typed: &mut Vec<u8>) {
    while typed.pop().is_some_and(|byte| (0x80..0xc0).contains(&byte)) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use secrecy::ExposeSecret as _;

    /// Types into a terminal of its own, and gives what was read and what was shown.
    fn typed(keys: &[u8]) -> (Option<String>, String) {
        let keyboard = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap());
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap().into_string().unwrap();
        let terminal = File::options().read(true).write(true).open(name).unwrap();
        let echo = |terminal: &File| tcgetattr(terminal).unwrap().local_modes.contains(LocalModes::ECHO);
        assert!(echo(&terminal));
        let reader = std::thread::spawn(move || {
            let secret = read_secret(&terminal, "Passphrase:");
            (secret.map(|secret| secret.expose_secret().to_owned()), echo(&terminal), terminal)
        });
        let mut shown = Vec::new();
        let mut buffer = [0; 256];
        // What is typed before the question is thrown away.
        while !shown.ends_with(b"Passphrase: ") {
            let read = (&keyboard).read(&mut buffer).unwrap();
            shown.extend(&buffer[..read]);
        }
        (&keyboard).write_all(keys).unwrap();
        let (secret, echoes, terminal) = reader.join().unwrap();
        assert!(echoes, "the terminal stayed mute");
        let read = (&keyboard).read(&mut buffer).unwrap();
        shown.extend(&buffer[..read]);
        drop(terminal);
        (secret, String::from_utf8(shown).unwrap())
    }

    #[test]
    fn a_secret_is_read_without_being_shown() {
        let (secret, shown) = typed("correct horse\n".as_bytes());
        assert_eq!(secret.as_deref(), Some("correct horse"));
        assert!(!shown.contains("horse") && shown.starts_with("Passphrase: "), "{shown:?}");
    }

    #[test]
    fn a_secret_can_be_corrected_while_it_is_typed() {
        assert_eq!(typed("wrong\x15täx\x7f\x7f\x08ok\r".as_bytes()).0.as_deref(), Some("ok"));
        assert_eq!(typed("tä\x7fa\r".as_bytes()).0.as_deref(), Some("ta"));
    }

    #[test]
    fn nothing_typed_is_no_secret() {
        assert_eq!(typed(b"\n").0, None);
        assert_eq!(typed(b"\x04").0, None);
    }
}
