//! Counters in Prometheus' text format, in a file that its node exporter collects. They go on from push to push.

use super::Decision;
use rustix::fs::{FlockOperation, flock};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Count {
    /// A push, by what became of it.
    Push(Decision),
    /// A finding, by its code and what became of it.
    Finding(String, Decision),
}

const PUSHES: &str = "kubiya_hook_pushes_total";
const FINDINGS: &str = "kubiya_hook_findings_total";

impl Count {
    fn series(&self) -> String {
        match self {
            Self::Push(decision) => format!("{PUSHES}{{decision=\"{}\"}}", decision.word()),
            Self::Finding(code, decision) => {
                format!("{FINDINGS}{{code=\"{code}\",decision=\"{}\"}}", decision.word())
            }
        }
    }
}

/// Adds to the counters of a file. Pushes at the same time wait for each other; readers see the old or the new
/// file, never half of one.
///
/// # Errors
/// Where the file cannot be read or replaced.
pub fn count(file: &Path, counts: &[Count]) -> io::Result<()> {
    let beside = |suffix: &str| {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(suffix);
        file.with_file_name(name)
    };
    let lock =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o644).open(beside(".lock"))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    let old = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let new = beside(&format!(".{}", std::process::id()));
    std::fs::write(&new, added(&old, counts))?;
    std::fs::rename(&new, file)
}

fn added(old: &str, counts: &[Count]) -> String {
    let mut series: BTreeMap<String, u64> = BTreeMap::new();
    for line in old.lines().filter(|line| !line.starts_with('#')) {
        if let Some((name, value)) = line.rsplit_once(' ')
            && let Ok(value) = value.parse()
        {
            series.insert(name.to_owned(), value);
        }
    }
    for count in counts {
        *series.entry(count.series()).or_default() += 1;
    }
    let mut text = String::new();
    for (name, help) in [(FINDINGS, "Findings in pushes."), (PUSHES, "Pushes that were judged.")] {
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} counter\n"));
        for (series, value) in series.iter().filter(|(series, _)| series.starts_with(name)) {
            text.push_str(&format!("{series} {value}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_go_on() {
        let one =
            added("", &[Count::Push(Decision::Refused), Count::Finding("KBY001".into(), Decision::Refused)]);
        let two = added(&one, &[Count::Push(Decision::Refused), Count::Push(Decision::Passed)]);
        insta::assert_snapshot!(two, @r#"
        # HELP kubiya_hook_findings_total Findings in pushes.
        # TYPE kubiya_hook_findings_total counter
        kubiya_hook_findings_total{code="KBY001",decision="refused"} 1
        # HELP kubiya_hook_pushes_total Pushes that were judged.
        # TYPE kubiya_hook_pushes_total counter
        kubiya_hook_pushes_total{decision="passed"} 1
        kubiya_hook_pushes_total{decision="refused"} 2
        "#);
    }
}
