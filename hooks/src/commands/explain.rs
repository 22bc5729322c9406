//! `explain`: what a finding means and what to do; which rule governs a path.

use crate::edge::{Console, Failure, Outcome, shown};
use crate::report::text;
use crate::work_tree;
use clap::Args;
use kubiya_policies::builtin;
use kubiya_policies::finding::Code;
use kubiya_policies::rules::Rules;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Say what a finding means and what to do, or which rule governs a path
#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// Code of a finding, such as KBY001, or a path, which need not be there yet
    #[arg(value_name = "CODE|PATH")]
    what: OsString,
}

pub(crate) fn run(args: &ExplainArgs, console: &mut Console) -> Outcome {
    let word = args.what.to_str().unwrap_or_default();
    let lines = match parse(word) {
        Some(code) => text::explanation(code, console.out.style()),
        None if looks_like_code(word) => {
            let known: Vec<_> = builtin::codes().map(|code| code.to_string()).collect();
            return Err(Failure::usage(format!("no finding has the code `{word}`"))
                .hint(format!("known codes: {}", known.join(" "))));
        }
        None => path(Path::new(&args.what))?,
    };
    for line in lines {
        console.out.line(&line).map_err(|error| Failure::unverified("cannot write").because(&error))?;
    }
    Ok(0)
}

/// `KBY999`, and a number: not a path unless one is there.
fn looks_like_code(word: &str) -> bool {
    let upper = word.to_ascii_uppercase();
    let digits = upper.strip_prefix("KBY").unwrap_or(&upper);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && !Path::new(word).exists()
}

/// Which `.sops.yaml` and which of its rules are for a path.
fn path(path: &Path) -> Result<Vec<String>, Failure> {
    let name = |path: &Path| shown(path.as_os_str().as_bytes());
    let mut lines = vec![format!("{:>11}  {}", "file", name(path))];
    let mut line = |label: &str, text: &str| lines.push(format!("{label:>11}  {text}"));
    let governed = work_tree::governing(path)?;
    let Some((config, bytes, relative)) = governed else {
        line("rules", "no .sops.yaml at or above it");
        line("result", "no creation rule is for it");
        return Ok(lines);
    };
    line("rules", &name(&config));
    let rules = Rules::parse(relative.config.as_slice(), &bytes).map_err(|problems| {
        Failure::usage("the rules cannot be used").at(name(&config)).because_of(problems.to_string())
    })?;
    rules.account_for(&relative.path).lines().iter().for_each(|(label, text)| line(label, text));
    if let Some((_, rule)) = rules.for_path(&relative.path)
        && rule.is_catch_all()
    {
        line("note", "the rule is for every file: it says how to encrypt, not that this file must be");
    }
    Ok(lines)
}

/// Reads `KBY001`, `kby1` or `1`.
fn parse(text: &str) -> Option<Code> {
    let upper = text.to_ascii_uppercase();
    let code = Code(upper.strip_prefix("KBY").unwrap_or(&upper).parse().ok()?);
    builtin::codes().find(|known| *known == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_may_be_typed_short() {
        assert_eq!(parse("KBY001"), Some(Code(1)));
        assert_eq!(parse("kby1"), Some(Code(1)));
        assert_eq!(parse("1"), Some(Code(1)));
        assert_eq!(parse("KBY999"), None);
        assert_eq!(parse("x"), None);
    }
}
