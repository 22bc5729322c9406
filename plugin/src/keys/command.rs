//! Commands that print keys, such as `SOPS_AGE_KEY_CMD`, and commands that store one.

use super::source::{KeyError, read_all};
use std::collections::HashSet;
use std::io::Write as _;
use std::process::{Command, ExitStatus, Stdio};
use zeroize::Zeroizing;

/// Why a key command gave or took nothing. It quotes neither the command, which may hold a password, nor its output.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The words cannot be told apart, or there are none.
    #[error("it is not a command: a quote is not closed, or nothing is in it")]
    Words,
    /// It cannot be started.
    #[error("it cannot be started: {0}")]
    Start(std::io::Error),
    /// It ended with an error.
    #[error("it ended with {0}")]
    Failed(ExitStatus),
    /// Its output is no key.
    #[error(transparent)]
    Output(#[from] KeyError),
}

/// A command, and for whom it was run.
///
/// It is told the recipient for whom a key is wanted (`SOPS_AGE_RECIPIENT`), so it may have to run once
/// for each; one that answers with another key does not listen, and is never run again.
#[derive(Debug)]
pub(super) struct KeyCommand {
    text: String,
    asked: HashSet<String>,
    settled: bool,
}

impl KeyCommand {
    pub(super) fn new(text: String) -> Self {
        Self { text, asked: HashSet::new(), settled: false }
    }

    /// Runs it for a recipient. `None` where that was done, or would give the same again.
    pub(super) fn run(&mut self, recipient: &str) -> Option<Result<Zeroizing<Vec<u8>>, CommandError>> {
        if self.settled || !self.asked.insert(recipient.to_owned()) {
            return None;
        }
        Some(output(&self.text, recipient))
    }

    /// Notes the public keys of what it gave when it was run for a recipient.
    pub(super) fn gave(&mut self, recipient: &str, public: &[String]) {
        self.settled |= public.iter().any(|public| public != recipient);
    }
}

/// What a command prints when it is asked for the key of a recipient. What it says on stderr is for the person.
fn output(text: &str, recipient: &str) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    let mut command = command(text)?;
    printed(command.env("SOPS_AGE_RECIPIENT", recipient))
}

/// What a command prints that knows a key.
///
/// # Errors
/// It cannot be started, ended with an error, or prints too much.
pub fn key_printed_by(text: &str) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    printed(&mut command(text)?)
}

/// Gives a key to a command on its standard input, which others cannot read as they can arguments and
/// variables. Nothing that it says is shown: it has the key, and may say it.
///
/// # Errors
/// It cannot be started, or ended with an error.
pub fn key_given_to(text: &str, key: &[u8]) -> Result<(), CommandError> {
    let mut command = command(text)?;
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(CommandError::Start)?;
    // Whether it listened to the end is told by what is read back.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(key));
    ended(child.wait())
}

/// What a command prints of a key that it was given, and nothing of what it says besides.
///
/// # Errors
/// It cannot be started, ended with an error, or prints too much.
pub fn key_read_back_by(text: &str) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    printed(command(text)?.stderr(Stdio::null()))
}

/// Splits into words as a shell would, and runs them without one, as sops does.
fn command(text: &str) -> Result<Command, CommandError> {
    let words = shlex::split(text).ok_or(CommandError::Words)?;
    let (program, arguments) = words.split_first().ok_or(CommandError::Words)?;
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

fn printed(command: &mut Command) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(CommandError::Start)?;
    let output = match child.stdout.take() {
        Some(stdout) => read_all(stdout),
        None => Ok(Zeroizing::default()),
    };
    if output.is_err() {
        // It may write for ever.
        let _ = child.kill();
    }
    let ended = ended(child.wait());
    let output = output?;
    ended.map(|()| output)
}

fn ended(status: std::io::Result<ExitStatus>) -> Result<(), CommandError> {
    match status.map_err(CommandError::Start)? {
        status if status.success() => Ok(()),
        status => Err(CommandError::Failed(status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<String, String> {
        let output = KeyCommand::new(text.to_owned()).run("age1you").unwrap();
        output.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn words_are_those_of_a_shell_and_no_shell_runs() {
        assert_eq!(run("echo 'a  b' $HOME \"c\"").unwrap(), "a  b $HOME c\n");
        assert_eq!(run("sh -c 'echo $SOPS_AGE_RECIPIENT'").unwrap(), "age1you\n");
    }

    #[test]
    fn what_fails_is_told_without_the_command() {
        for (text, wanted) in [
            ("echo 'hunter2", "it is not a command"),
            ("", "it is not a command"),
            ("/nowhere/hunter2", "it cannot be started"),
            ("sh -c 'echo hunter2; exit 3' hunter2", "exit status: 3"),
            ("sh -c 'yes hunter2'", "too large"),
        ] {
            let error = run(text).unwrap_err();
            assert!(error.contains(wanted) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_command_runs_once_for_a_recipient_and_not_at_all_when_it_does_not_listen() {
        let mut command = KeyCommand::new("true".to_owned());
        assert!(command.run("age1a").is_some());
        assert!(command.run("age1a").is_none());
        command.gave("age1a", &["age1a".to_owned()]);
        assert!(command.run("age1b").is_some());
        command.gave("age1b", &["age1a".to_owned()]);
        assert!(command.run("age1c").is_none());
    }
}
