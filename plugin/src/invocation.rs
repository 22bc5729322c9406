//! By which name we were called: help and hints use the same.

use std::ffi::OsString;
use std::path::Path;

/// The way the program was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Invocation {
    /// `kubectl kubiya`, through an executable `kubectl-kubiya`.
    Kubectl,
    /// `flux kubiya`, through an executable `flux-kubiya` in Flux's plugin folder.
    Flux,
    /// kubectl asks for completions, through an executable `kubectl_complete-kubiya`.
    KubectlComplete,
}

impl Invocation {
    /// Decides by the file name of the first argument. A symbolic link is enough for each name.
    pub(crate) fn of(args: &[OsString]) -> Self {
        let name = args.first().map(Path::new).and_then(Path::file_stem).unwrap_or_default();
        match name.to_str() {
            Some("flux-kubiya") => Invocation::Flux,
            Some("kubectl_complete-kubiya") => Invocation::KubectlComplete,
            _ => Invocation::Kubectl,
        }
    }

    /// What the user typed to get here, for usage lines and hints.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Invocation::Kubectl | Invocation::KubectlComplete => "kubectl kubiya",
            Invocation::Flux => "flux kubiya",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides() {
        let of = |name: &str| Invocation::of(&[OsString::from(name)]);
        assert_eq!(of("/usr/local/bin/kubectl-kubiya"), Invocation::Kubectl);
        assert_eq!(of("/home/me/.fluxcd/plugins/flux-kubiya"), Invocation::Flux);
        assert_eq!(of("kubectl_complete-kubiya"), Invocation::KubectlComplete);
        assert_eq!(of("renamed"), Invocation::Kubectl);
        assert_eq!(Invocation::of(&[]), Invocation::Kubectl);
    }
}
