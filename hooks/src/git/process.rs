//! Running the `git` command: without questions to the user, and with a deadline.

use std::io::{Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Why a `git` command gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("cannot run git: {0}")]
    Start(#[source] std::io::Error),
    /// Its input or output broke off.
    #[error("the talk with git broke off: {0}")]
    Talk(#[source] std::io::Error),
    /// It ran longer than it may.
    #[error("git gave no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// It said no. The text is git's own, without credentials.
    #[error("git says: {0}")]
    Failed(String),
}

/// `git`, in an environment where it reads no replacement objects, asks nobody and speaks English.
pub(crate) fn git() -> Command {
    let mut command = Command::new("git");
    command
        // A pushed `refs/replace/…` must not change what is read.
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C");
    command
}

/// Runs a command to its end and gives its standard output.
pub(crate) fn output(mut command: Command, input: &[u8]) -> Result<Vec<u8>, ProcessError> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(ProcessError::Start)?;
    let stdin = child.stdin.take();
    let input = input.to_owned();
    // In a thread of its own: a child that writes before it has read all must not block both.
    let feeder = std::thread::spawn(move || stdin.map_or(Ok(()), |mut stdin| stdin.write_all(&input)));
    let done = child.wait_with_output().map_err(ProcessError::Talk)?;
    let fed = feeder.join();
    if !done.status.success() {
        return Err(failed(&done));
    }
    if let Ok(Err(error)) = fed {
        return Err(ProcessError::Talk(error));
    }
    Ok(done.stdout)
}

/// Runs a command that talks to a remote; it and its helpers are killed when the time is over.
pub(crate) fn output_within(mut command: Command, timeout: Duration) -> Result<Vec<u8>, ProcessError> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Helpers (ssh, git-remote-https) are in the same group and die with it.
        .process_group(0)
        .spawn()
        .map_err(ProcessError::Start)?;
    let stdout = reader(child.stdout.take());
    let stderr = reader(child.stderr.take());
    let deadline = Instant::now() + timeout;
    let mut pause = Duration::from_millis(1);
    let status = loop {
        if let Some(status) = child.try_wait().map_err(ProcessError::Talk)? {
            break status;
        }
        if Instant::now() >= deadline {
            kill_group(&mut child);
            return Err(ProcessError::Timeout(timeout));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    };
    let done = Output {
        status,
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    };
    if done.status.success() { Ok(done.stdout) } else { Err(failed(&done)) }
}

fn reader(stream: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What arrived before an error is still worth showing.
            let _ = stream.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn kill_group(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn failed(done: &Output) -> ProcessError {
    let text = String::from_utf8_lossy(&done.stderr);
    let text = without_credentials(text.trim());
    ProcessError::Failed(if text.is_empty() { done.status.to_string() } else { text })
}

/// The text with the user information of every URL in it masked.
pub(crate) fn without_credentials(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        shown.push_str(before);
        let end = after.find(['/', ' ', '\'', '"', '\n']).unwrap_or(after.len());
        match after[..end].rfind('@') {
            Some(at) => {
                shown.push_str("***");
                rest = &after[at..];
            }
            None => rest = after,
        }
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_urls_are_masked() {
        assert_eq!(
            without_credentials("cannot access 'https://me:pass@w0rd@host/r.git': no; see https://a.b/c"),
            "cannot access 'https://***@host/r.git': no; see https://a.b/c"
        );
        assert_eq!(without_credentials("git@host:r.git"), "git@host:r.git");
        assert_eq!(without_credentials("ssh://git@host"), "ssh://***@host");
    }

    #[test]
    fn a_command_that_hangs_is_ended() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & sleep 60"]);
        let start = Instant::now();
        let error = output_within(command, Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, ProcessError::Timeout(_)), "{error}");
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_child_that_answers_while_it_reads_does_not_block() {
        let input = vec![b'x'; 1 << 20];
        assert_eq!(output(Command::new("cat"), &input).unwrap(), input);
    }
}
