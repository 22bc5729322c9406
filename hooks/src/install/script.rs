//! The small script that stands where Git looks for a hook.
//!
//! A script and no link: where the program is gone, a link leads nowhere, and Git takes that for "no hook" and
//! lets everything pass. The script refuses.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// By this line a script of ours is known.
const MARK: &str = "# Written by `kubiya-hook install`; `kubiya-hook uninstall` takes it away.";

/// What is appended to the name of a hook that was there before.
pub const BEFORE: &str = ".before-kubiya";

/// Where the hook that was there before is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// Nowhere: the folder runs all hooks that are in it.
    None,
    /// Beside the script, with [`BEFORE`] at its name, if at all.
    Beside,
    /// In the repository's own folder, if at all: `core.hooksPath` leads to the script.
    InRepository,
}

/// A script to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Script<'s> {
    /// The command of the program: the name of the hook.
    pub(super) hook: &'s str,
    /// The program.
    pub(super) program: &'s Path,
    /// The server's configuration.
    pub(super) config: Option<&'s Path>,
    /// The hook that was there before.
    pub(super) before: Before,
}

/// Whether a file is a script of ours.
pub(super) fn is_ours(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n').take(3).any(|line| line == MARK.as_bytes())
}

impl Script<'_> {
    /// Its text.
    ///
    /// Other hooks of a clone go first, as they may change what is staged; on a server ours does, so that
    /// nothing is done for a push that is refused.
    pub(super) fn text(&self) -> String {
        let hook = self.hook;
        let is_server = SERVER_HOOKS.contains(&hook);
        let ask = if is_server { "ask who runs this server" } else { "install it again" };
        let mut text = format!("#!/bin/sh\n{MARK}\nprogram={}\n", quoted(self.program));
        if let Some(config) = self.config {
            let _ = writeln!(text, "export KUBIYA_HOOK_CONFIG={}", quoted(config));
        }
        text.push_str("if ! [ -x \"$program\" ]; then\n");
        let _ = writeln!(text, "    echo \"error: refused: $program is not there; {ask}\" >&2");
        text.push_str("    exit 3\nfi\n");
        let ours = format!("\"$program\" {hook} \"$@\"");
        match self.before {
            Before::None => {
                let _ = writeln!(text, "exec {ours}");
                return text;
            }
            Before::Beside => {
                let _ = writeln!(text, "before=$0{BEFORE}");
            }
            Before::InRepository => text.push_str(&in_repository(hook)),
        }
        let _ = writeln!(text, "[ -x \"$before\" ] || exec {ours}");
        let theirs = "\"$before\" \"$@\"";
        let (first, second) = if is_server { (&*ours, theirs) } else { (theirs, &*ours) };
        if READS_INPUT.contains(&hook) {
            // The dot keeps the line end that the shell would take away.
            text.push_str("input=$(cat && echo .) || exit 3\n");
            let _ = writeln!(text, "printf %s \"${{input%.}}\" | {first} || exit");
            let _ = writeln!(text, "printf %s \"${{input%.}}\" | {second}");
        } else {
            let _ = writeln!(text, "{first} || exit\nexec {second}");
        }
        text
    }
}

/// The text of a script that only runs the repository's own hook of a name.
pub(super) fn pass_on(hook: &str) -> String {
    format!(
        "#!/bin/sh\n{MARK}\n{}[ -x \"$before\" ] || exit 0\nexec \"$before\" \"$@\"\n",
        in_repository(hook)
    )
}

fn in_repository(hook: &str) -> String {
    format!("before=$(git rev-parse --git-common-dir)/hooks/{hook} || exit 3\n")
}

const SERVER_HOOKS: [&str; 3] = ["pre-receive", "update", "ref-update"];

/// Of the hooks that we are, those that read standard input.
const READS_INPUT: [&str; 2] = ["pre-receive", "pre-push"];

/// A path as a word of the shell.
pub(super) fn quoted(path: &Path) -> String {
    let text = String::from_utf8_lossy(path.as_os_str().as_bytes());
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(hook: &str, before: Before) -> String {
        let program = Path::new("/opt/it's/kubiya-hook");
        Script { hook, program, config: Some(Path::new("/etc/kubiya-hook.yaml")), before }.text()
    }

    #[test]
    fn the_script_of_a_server_judges_first() {
        insta::assert_snapshot!(script("pre-receive", Before::Beside), @r#"
        #!/bin/sh
        # Written by `kubiya-hook install`; `kubiya-hook uninstall` takes it away.
        program='/opt/it'\''s/kubiya-hook'
        export KUBIYA_HOOK_CONFIG='/etc/kubiya-hook.yaml'
        if ! [ -x "$program" ]; then
            echo "error: refused: $program is not there; ask who runs this server" >&2
            exit 3
        fi
        before=$0.before-kubiya
        [ -x "$before" ] || exec "$program" pre-receive "$@"
        input=$(cat && echo .) || exit 3
        printf %s "${input%.}" | "$program" pre-receive "$@" || exit
        printf %s "${input%.}" | "$before" "$@"
        "#);
        assert!(is_ours(script("update", Before::None).as_bytes()));
        assert!(!is_ours(b"#!/bin/sh\nexit 0\n"));
    }

    #[test]
    fn the_script_of_a_clone_judges_what_others_left() {
        let text = script("pre-commit", Before::Beside);
        let lines: Vec<_> = text.lines().rev().take(2).collect();
        assert_eq!(lines, [r#"exec "$program" pre-commit "$@""#, r#""$before" "$@" || exit"#]);
    }
}
