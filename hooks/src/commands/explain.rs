//! `explain`: what a finding means and what to do.

use crate::edge::{Console, Failure, Outcome};
use crate::report::text;
use clap::Args;
use kubiya_policies::builtin;
use kubiya_policies::finding::Code;

/// Say what a finding means and what to do about it
#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// Code of the finding, such as KBY001
    code: String,
}

pub(crate) fn run(args: &ExplainArgs, console: &mut Console) -> Outcome {
    let code = parse(&args.code).ok_or_else(|| {
        let known: Vec<_> = builtin::codes().map(|code| code.to_string()).collect();
        Failure::usage(format!("no finding has the code `{}`", args.code))
            .hint(format!("known codes: {}", known.join(" ")))
    })?;
    for line in text::explanation(code, console.out.style()) {
        console.out.line(&line).map_err(|error| Failure::unverified("cannot write").because(&error))?;
    }
    Ok(0)
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
