//! Where the value of `set` comes from, and what it is.

use crate::files::MAX_BYTES;
use crate::keys::{Ask as _, Terminal};
use base64::Engine as _;
use clap::{Args, ValueEnum};
use kubiya_hook::edge::{self, Failure};
use kubiya_policies::sops::edit::New;
use kubiya_policies::sops::plain::Plain;
use kubiya_policies::yaml::KeyPath;
use secrecy::ExposeSecret as _;
use std::io::{IsTerminal as _, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use zeroize::Zeroizing;

#[derive(Args, Debug)]
#[command(next_help_heading = "Value")]
pub(super) struct ValueArgs {
    /// `-`, the default: the value is read from standard input
    #[arg(value_name = "-", hide = true)]
    stdin: Option<String>,
    /// Read the value from a file, as it is
    #[arg(long, value_name = "FILE", conflicts_with_all = ["stdin", "value_command"])]
    value_file: Option<PathBuf>,
    /// Run a command (split into words, without a shell) and take its output
    #[arg(long, value_name = "COMMAND", conflicts_with = "stdin")]
    value_command: Option<String>,
    /// Keep the line break at the end of standard input or of a command's output
    #[arg(long)]
    keep_newline: bool,
    /// What the value is; `json` for maps and lists too
    #[arg(long = "type", value_name = "TYPE", default_value = "str")]
    kind: ValueKind,
    /// Encode the value, as `data` of a Secret wants it
    #[arg(long)]
    base64: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ValueKind {
    Str,
    Int,
    Float,
    Bool,
    Null,
    Json,
}

impl ValueArgs {
    /// Whether standard input is the value.
    pub(super) fn wants_stdin(&self) -> bool {
        self.kind != ValueKind::Null && self.value_file.is_none() && self.value_command.is_none()
    }

    /// Reads the value.
    ///
    /// # Errors
    /// It cannot be read, or is not of its type. No part of it is in the failure.
    pub(super) fn read(&self, key: &KeyPath) -> Result<New, Failure> {
        if self.stdin.as_deref().is_some_and(|word| word != "-") {
            return Err(Failure::usage(
                "the value is not given on the command line, where every process can see it",
            )
            .hint("… | kubectl kubiya set PATH KEY.PATH")
            .hint("kubectl kubiya set PATH KEY.PATH --value-file FILE"));
        }
        if self.base64 && self.kind != ValueKind::Str {
            return Err(Failure::usage("--base64 is for --type str"));
        }
        if self.kind == ValueKind::Null {
            return Ok(New::Null);
        }
        let mut bytes = self.bytes(key)?;
        if self.value_file.is_none() && !self.keep_newline {
            cut_newline(&mut bytes);
        }
        if self.base64 {
            let text = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(&bytes));
            return Ok(New::Scalar(Plain::text(&text)));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| {
            Failure::usage("the value is not text in UTF-8").hint("--base64   # for `data` of a Secret")
        })?;
        typed(self.kind, text)
    }

    fn bytes(&self, key: &KeyPath) -> Result<Zeroizing<Vec<u8>>, Failure> {
        if let Some(file) = &self.value_file {
            let place = || edge::shown(std::os::unix::ffi::OsStrExt::as_bytes(file.as_os_str()));
            let opened = std::fs::File::open(file)
                .map_err(|error| Failure::usage("cannot read the value").at(place()).because(&error))?;
            return read_all(opened, &place());
        }
        if let Some(command) = &self.value_command {
            return output(command);
        }
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            let question = format!("Value of {}:", edge::shown(key.to_string().as_bytes()));
            let answer = Terminal.secret(&question).ok_or_else(|| Failure::usage("no value was typed"))?;
            return Ok(Zeroizing::new(answer.expose_secret().as_bytes().to_vec()));
        }
        read_all(stdin.lock(), "standard input")
    }
}

fn typed(kind: ValueKind, text: &str) -> Result<New, Failure> {
    let not = |what: &str| Failure::usage(format!("the value is not {what}"));
    let trimmed = text.trim();
    Ok(New::Scalar(match kind {
        ValueKind::Str => Plain::text(text),
        ValueKind::Int => Plain::Int(trimmed.parse().map_err(|_| not("an integer of 64 bits"))?),
        ValueKind::Float => Plain::Float(trimmed.parse().map_err(|_| not("a number"))?),
        ValueKind::Bool => Plain::Bool(trimmed.parse().map_err(|_| not("true or false"))?),
        ValueKind::Null => return Ok(New::Null),
        ValueKind::Json => {
            let json = serde_json::from_str::<serde_json::Value>(text).map_err(|error| {
                // The message of the parser may quote the value; its place does not.
                not("JSON").because_of(format!("line {}, column {}", error.line(), error.column()))
            })?;
            return Ok(New::of_json(&json));
        }
    }))
}

fn cut_newline(bytes: &mut Zeroizing<Vec<u8>>) {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
}

fn read_all(from: impl Read, name: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // Large enough from the start for most: growing leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(64 << 10));
    from.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::usage("cannot read the value").at(name).because(&error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Failure::usage(format!("the value is larger than {} MiB", MAX_BYTES >> 20)).at(name));
    }
    Ok(bytes)
}

/// What a command prints. Neither the command, which may hold a password, nor its output is in a failure.
fn output(command: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let place = "--value-command";
    let words = shlex::split(command).unwrap_or_default();
    let Some((program, arguments)) = words.split_first() else {
        let what = "it is not a command: a quote is not closed, or nothing is in it";
        return Err(Failure::usage(what).at(place));
    };
    let failed =
        |error: &dyn std::error::Error| Failure::usage("it cannot be started").at(place).because(error);
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&error))?;
    let read = match child.stdout.take() {
        Some(stdout) => read_all(stdout, place),
        None => Ok(Zeroizing::default()),
    };
    if read.is_err() {
        // It may write for ever.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| failed(&error))?;
    let read = read?;
    if status.success() {
        Ok(read)
    } else {
        Err(Failure::usage(format!("it ended with {status}; the file stays as it was")).at(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_break_at_the_end_is_cut() {
        for (text, wanted) in
            [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), ("", ""), ("a\r", "a\r")]
        {
            let mut bytes = Zeroizing::new(text.as_bytes().to_vec());
            cut_newline(&mut bytes);
            assert_eq!(bytes.as_slice(), wanted.as_bytes());
        }
    }

    #[test]
    fn a_value_of_another_type_is_refused_without_being_shown() {
        let kinds = [ValueKind::Int, ValueKind::Float, ValueKind::Bool, ValueKind::Json];
        for kind in kinds {
            let failure = format!("{:?}", typed(kind, "hunter2").unwrap_err());
            assert!(!failure.contains("hunter2"), "{failure}");
        }
        assert_eq!(typed(ValueKind::Int, " -5 ").unwrap(), New::Scalar(Plain::Int(-5)));
        assert_eq!(typed(ValueKind::Json, "[null]").unwrap(), New::List(vec![New::Null]));
    }
}
