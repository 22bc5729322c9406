//! Where a rotation stands, as data and in words.

use crate::commands::lines::Lines;
use crate::rotation::{Applied, Course, Ended, Exposed, For, Found, Held, Standing, kustomizations, short};
use crate::secrets::shown;
use kubiya_hook::edge::{Color, Failure};
use serde::Serialize;
use std::path::PathBuf;

/// A rotation as it is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Account {
    /// `none`, `planned`, `underway`, `proposed`, `unpushed`, `waiting` or `done`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_recipient: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_recipient: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    /// Whether it is the way back of one that was given up.
    given_up: bool,
    secrets: Vec<SecretLine>,
    branches: Vec<BranchLine>,
    /// Who else reads files of the key that goes, and stays.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    other_recipients: Vec<OtherLine>,
    /// The commits that this run pushed.
    commits: Vec<CommitLine>,
    kustomizations: Vec<ReaderLine>,
    /// Other branches on which files need the old key.
    branches_left: Vec<LeftLine>,
    /// What the old key could read, if others may have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    exposed: Option<Vec<Exposed>>,
    /// What to do next.
    next: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SecretLine {
    secret: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_key: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_key: Option<&'static str>,
    read_by: usize,
}

/// How many files and rules of a branch are for which key.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BranchLine {
    branch: String,
    old_alone: usize,
    both: usize,
    new_alone: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OtherLine {
    recipient: String,
    files: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CommitLine {
    branch: String,
    commit: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReaderLine {
    cluster: String,
    kustomization: String,
    /// Which keys the revision is for that it has applied.
    applied: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LeftLine {
    branch: String,
    files: Vec<String>,
}

/// What was seen on clusters and branches.
pub(super) struct Standings {
    secrets: Vec<SecretLine>,
    branches: Vec<BranchLine>,
    kustomizations: Vec<ReaderLine>,
    left: Vec<(String, Vec<PathBuf>)>,
}

impl Standings {
    /// Looks at everything.
    pub(super) fn look(course: &mut Course<'_>) -> Result<Self, Failure> {
        let mut secrets = Vec::new();
        let mut kustomizations = Vec::new();
        let intent = course.intent.clone();
        let (old, new) = intent.asked();
        for index in 0..course.sites.len() {
            let site = &course.sites[index];
            for secret in &site.secrets {
                let live =
                    course.runtime.block_on(site.connection.secret(&secret.namespace, &secret.name))?;
                let Some(live) = live else { continue };
                let entries = site.entries(&live)?;
                secrets.push(SecretLine {
                    secret: site.place(&live),
                    old_key: Some(word(entries.held(old))),
                    new_key: Some(word(entries.held(new))),
                    read_by: site.readers_of(secret).count(),
                });
            }
            let cluster = site.connection.context.clone();
            let readers = course.how_far(index)?.into_iter();
            kustomizations.extend(readers.map(|(kustomization, applied)| ReaderLine {
                cluster: cluster.clone(),
                kustomization,
                applied: match (applied, intent.given_up) {
                    (Applied::Other, _) => "another source",
                    (Applied::Suspended, _) => "suspended",
                    (Applied::Both, _) => "both keys",
                    (Applied::Old, false) | (Applied::New, true) => "old key",
                    (Applied::New, false) | (Applied::Old, true) => "new key",
                },
            }));
        }
        let mut branches = Vec::new();
        for index in 0..course.checkouts.len() {
            let standing = course.standing(index)?;
            branches.push(branch_line(course, course.checkouts[index].branch.to_string(), &standing));
        }
        let left = course.branches_left()?;
        Ok(Self { secrets, branches, kustomizations, left })
    }
}

fn word(held: Held) -> &'static str {
    match held {
        Held::No => "absent",
        Held::Retired => "retired",
        Held::Active => "active",
    }
}

fn branch_line(course: &Course<'_>, branch: String, standing: &Standing) -> BranchLine {
    let (goes, comes) = (standing.count(For::Old), standing.count(For::New));
    let (old_alone, new_alone) = if course.intent.given_up { (comes, goes) } else { (goes, comes) };
    BranchLine { branch, old_alone, both: standing.count(For::Both), new_alone }
}

impl Account {
    pub(super) fn nothing() -> Self {
        Self {
            state: "none",
            old_recipient: None,
            new_recipient: None,
            started_by: None,
            started: None,
            given_up: false,
            secrets: Vec::new(),
            branches: Vec::new(),
            other_recipients: Vec::new(),
            commits: Vec::new(),
            kustomizations: Vec::new(),
            branches_left: Vec::new(),
            exposed: None,
            next: Vec::new(),
        }
    }

    fn of(course: &Course<'_>, state: &'static str) -> Self {
        let intent = &course.intent;
        let (old, new) = intent.asked();
        Self {
            state,
            old_recipient: Some(old.to_owned()),
            new_recipient: Some(new.to_owned()),
            started_by: Some(intent.by.clone()),
            started: Some(intent.started.clone()),
            given_up: intent.given_up,
            ..Self::nothing()
        }
    }

    /// What would be done. A key that was only made to plan with is not the one that will come.
    pub(super) fn planned(course: &Course<'_>, found: &Found, is_made: bool) -> Self {
        let secrets = found.secrets.iter().map(|(secret, readers)| SecretLine {
            secret: secret.clone(),
            old_key: None,
            new_key: None,
            read_by: *readers,
        });
        let branches =
            found.branches.iter().map(|(branch, standing)| branch_line(course, branch.clone(), standing));
        let others = found
            .others
            .iter()
            .map(|(recipient, files)| OtherLine { recipient: recipient.clone(), files: *files });
        Self {
            other_recipients: others.collect(),
            secrets: secrets.collect(),
            branches: branches.collect(),
            next: vec!["nothing was changed: the same without --dry-run does it".to_owned()],
            new_recipient: (!is_made).then(|| course.intent.asked().1.to_owned()),
            ..Self::of(course, "planned")
        }
    }

    /// Where one stands that is under way.
    pub(super) fn status(course: &Course<'_>, standings: Standings) -> Self {
        let command = &course.command;
        let mut next = vec![format!("{command} --continue   # goes on")];
        if !course.intent.given_up {
            next.push(format!("{command} --abort      # goes back to the old key"));
        }
        let next = if course.intent.old_out.is_some() { vec![retire_line(course)] } else { next };
        Self { next, ..Self::of(course, "underway") }.with(standings)
    }

    /// How a run ended.
    pub(super) fn ended(course: &mut Course<'_>, ended: &Ended) -> Result<Self, Failure> {
        let go_on = format!("{} --continue", course.command);
        let (state, next) = match ended {
            Ended::Done => ("done", course.proposals_left()),
            Ended::Waiting => ("waiting", vec![retire_line(course)]),
            Ended::Unpushed(commands) => {
                ("unpushed", vec![format!("{}, then: {go_on}", commands.join(" && "))])
            }
            Ended::Proposed(branches) => {
                ("proposed", vec![format!("have {} merged, then: {go_on}", branches.join(" and "))])
            }
        };
        let standings = Standings::look(course)?;
        let commits = course
            .pushed
            .iter()
            .map(|(branch, commit)| CommitLine { branch: branch.to_string(), commit: commit.to_string() });
        Ok(Self { next, commits: commits.collect(), ..Self::of(course, state) }.with(standings))
    }

    /// With what the old key could read.
    pub(super) fn leaked(self, exposed: Option<Vec<Exposed>>) -> Self {
        Self { exposed, ..self }
    }

    fn with(mut self, standings: Standings) -> Self {
        self.secrets = standings.secrets;
        self.branches = standings.branches;
        self.kustomizations = standings.kustomizations;
        let left = standings.left.into_iter().map(|(branch, files)| LeftLine {
            branch,
            files: files.iter().map(|path| shown(path)).collect(),
        });
        self.branches_left = left.collect();
        self
    }

    /// In words.
    pub(super) fn say(&self, lines: &mut Lines<'_>) {
        if self.state == "planned" || self.state == "underway" {
            self.say_details(lines);
        }
        for left in &self.branches_left {
            let text = format!("{} files of branch {} need the old key", left.files.len(), left.branch);
            lines.say("note:", Color::Cyan, &text);
        }
        let (old, new) = (self.old_recipient.as_deref(), self.new_recipient.as_deref());
        if self.state == "done" {
            let (old, new) = (short(old.unwrap_or_default()), short(new.unwrap_or_default()));
            let text = match self.given_up {
                true => format!("the rotation is given up: {old} is the key, and {new} is out"),
                false => format!("{new} has taken the place of {old}"),
            };
            lines.say("done", Color::Green, &text);
            if !self.given_up {
                let text = "what is in Git's history stays readable with the old key: values that leaked need new ones";
                lines.say("note:", Color::Cyan, text);
            }
        }
        for exposed in self.exposed.iter().flatten() {
            lines.say("exposed", Color::Yellow, &exposed.line());
        }
        for next in &self.next {
            lines.say("next:", Color::Cyan, next);
        }
    }

    fn say_details(&self, lines: &mut Lines<'_>) {
        let (old, new) = (self.old_recipient.as_deref(), self.new_recipient.as_deref());
        let (old, new) = (old.unwrap_or_default(), new.unwrap_or("a new key"));
        let text = match self.given_up {
            true => format!("given up: {new} goes out again, {old} stays"),
            false => format!("{new} comes for {old}"),
        };
        lines.say("rotation", Color::Green, &text);
        if let (Some(by), Some(started), "underway") = (&self.started_by, &self.started, self.state) {
            lines.say("begun", Color::Green, &format!("{started} by {by}"));
        }
        for secret in &self.secrets {
            let held = match (secret.old_key, secret.new_key) {
                (Some(old), Some(new)) => format!("old key {old}, new key {new}; "),
                _ => String::new(),
            };
            lines.say(
                "secret",
                Color::Green,
                &format!("{}: {held}read by {}", secret.secret, kustomizations(secret.read_by)),
            );
        }
        for branch in &self.branches {
            let text = format!(
                "{}: files and rules for the old key alone {}, for both {}, for the new one alone {}",
                branch.branch, branch.old_alone, branch.both, branch.new_alone
            );
            lines.say("branch", Color::Green, &text);
        }
        for other in &self.other_recipients {
            let files = if other.files == 1 { "1 file".to_owned() } else { format!("{} files", other.files) };
            lines.say("stays", Color::Green, &format!("{}, who also reads {files}", other.recipient));
        }
        for reader in &self.kustomizations {
            let text =
                format!("Kustomization {} of {}: {}", reader.kustomization, reader.cluster, reader.applied);
            lines.say("applied", Color::Green, &text);
        }
    }
}

fn retire_line(course: &Course<'_>) -> String {
    let since = course.intent.old_out.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let wait = jiff::SignedDuration::try_from(course.retire_after()).unwrap_or_default();
    let from = since.and_then(|since| since.checked_add(wait).ok());
    let from = from.map(|from| format!("   # from {} on", from.strftime("%Y-%m-%d %H:%M UTC")));
    let kept = course.way.keep_old.is_some() || course.way.drop_old || course.intent.given_up;
    let keep = if kept { "" } else { " --keep-old FILE" };
    format!("{} --retire{keep}{}", course.command, from.unwrap_or_default())
}
