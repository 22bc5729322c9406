//! The log of decisions: JSON lines in a file, or messages to a syslog daemon.

use super::Decision;
use crate::config::Audit;
use crate::edge::shown;
use serde::Serialize;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

/// Why a decision cannot be logged.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the audit log {}: {source}", path.display())]
pub struct LogError {
    path: PathBuf,
    source: std::io::Error,
}

/// One decision.
#[derive(Clone, Debug, Serialize)]
pub struct Line<'l> {
    /// When.
    pub time: String,
    /// Who pushed, where the server tells.
    pub who: Option<&'l str>,
    /// To which repository.
    pub repository: &'l str,
    /// Which ref.
    #[serde(rename = "ref", serialize_with = "name")]
    pub reference: &'l [u8],
    /// The commit, or the object where there is none.
    pub oid: Option<String>,
    /// Code of the finding; `unverified` and `fault` where there is none, `bypass` for a push option.
    pub code: String,
    /// The file.
    #[serde(serialize_with = "name")]
    pub path: &'l [u8],
    /// What became of it.
    #[serde(serialize_with = "word")]
    pub decision: Decision,
}

fn name<S: serde::Serializer>(name: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&shown(name))
}

fn word<S: serde::Serializer>(decision: &Decision, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(decision.word())
}

/// Facility `authpriv`, severity `notice` (RFC 5424, 6.2.1).
const PRIORITY: u8 = 10 * 8 + 5;

/// Writes the decisions. Each line is one `write` to a file opened for appending, so that those of pushes at the
/// same time stay whole.
///
/// # Errors
/// Where the log cannot be written: what must be logged and cannot be must not happen.
pub fn write(audit: &Audit, lines: &[Line<'_>]) -> Result<(), LogError> {
    let path = match audit {
        Audit::File(path) | Audit::Syslog(path) => path.clone(),
    };
    let failed = |source| LogError { path: path.clone(), source };
    let texts = lines.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>();
    let texts = texts.map_err(|error| failed(error.into()))?;
    if texts.is_empty() {
        return Ok(());
    }
    match audit {
        Audit::File(path) => {
            let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path);
            let mut file = file.map_err(failed)?;
            for text in texts {
                let line = format!("{text}\n");
                let written = file.write(line.as_bytes()).map_err(failed)?;
                if written < line.len() {
                    return Err(failed(std::io::Error::from(std::io::ErrorKind::StorageFull)));
                }
            }
        }
        Audit::Syslog(path) => {
            let socket = UnixDatagram::unbound().map_err(failed)?;
            for text in texts {
                let message = format!("<{PRIORITY}>kubiya-hook[{}]: {text}", std::process::id());
                socket.send_to(message.as_bytes(), path).map_err(failed)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_no_place_for_a_value() {
        let line = Line {
            time: "2001-02-03T04:05:06Z".into(),
            who: Some("alice"),
            repository: "team/app",
            reference: b"refs/heads/main",
            oid: Some("ab12".into()),
            code: "KBY001".into(),
            path: b"a\nb\xff",
            decision: Decision::Refused,
        };
        insta::assert_snapshot!(serde_json::to_string(&line).unwrap(), @r#"{"time":"2001-02-03T04:05:06Z","who":"alice","repository":"team/app","ref":"refs/heads/main","oid":"ab12","code":"KBY001","path":"\"a\\nb\\377\"","decision":"refused"}"#);
    }
}
