//! Archives: a chart's package, a tar, a zip. What is in them is in Git, too.

use super::super::{ChartFile, MOST_CHART_BYTES, check, check_chart};
use super::Judge;
use crate::archive::{self, Closed};
use crate::builtin as codes;
use crate::contract::{Input, Role};
use crate::detect::Sink;
use crate::finding::{Finding, Severity};

impl Judge<'_> {
    /// An archive where content must be encrypted is refused for being plain, as anything is. Elsewhere it is opened,
    /// and what would be refused in it is told of; a private age identity is refused everywhere.
    pub(super) fn archive(&self, sink: &mut Sink<'_>) {
        let at = || (None, String::new(), Some(self.source.span(&(0..0))));
        if self.class.governed() || self.input.role != Role::File {
            self.whole(sink);
            return;
        }
        let mut found: Vec<(String, Finding)> = Vec::new();
        let (mut members, mut size) = (Vec::new(), 0);
        let closed = archive::open(self.input.bytes, &mut |member| {
            size += member.bytes.len();
            if size <= MOST_CHART_BYTES {
                members.push((member.path.clone(), member.bytes.clone()));
            }
            let path = [self.input.path, b"/", member.path.as_slice()].concat();
            let input = Input { path: &path, bytes: &member.bytes, rules: None, role: Role::File };
            let errors = check(&input).findings.into_iter().filter(|f| f.severity == Severity::Error);
            found.extend(errors.map(|finding| (String::from_utf8_lossy(&member.path).into_owned(), finding)));
        });
        // A packed chart: what its files make together.
        let parts = members.iter().map(|(path, bytes)| ChartFile { path, bytes });
        let together = check_chart(&parts.collect::<Vec<_>>()).into_iter();
        let together =
            together.map(|finding| (String::from_utf8_lossy(&finding.place.path).into_owned(), finding));
        found.extend(together.filter(|(_, finding)| finding.severity == Severity::Error));
        let gravest = found.iter().find(|(_, finding)| finding.code == codes::AGE_IDENTITY);
        if let Some((member, finding)) = gravest.or(found.first()) {
            let severity = if gravest.is_some() { Severity::Error } else { Severity::Warning };
            let more = match found.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            let message = format!("in the archive, {member}: {}{more}", finding.message);
            sink.add(codes::PACKED, severity, at(), message);
        }
        match closed {
            Some(Closed::TooMuch) => {
                let message = "cannot be judged: there is more in the archive than what is read";
                sink.add(codes::BEYOND_LIMITS, Severity::Warning, at(), message);
            }
            Some(Closed::Broken | Closed::Unknown) => {
                let message = "not judged: an archive that is broken, locked or packed in another way";
                sink.add(codes::UNREADABLE, Severity::Note, at(), message);
            }
            None => {}
        }
    }
}
