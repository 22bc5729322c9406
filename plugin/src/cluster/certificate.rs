//! Why the certificate of an API server is not accepted.

use jiff::Timestamp;
use kubiya_hook::edge::Failure;
use rustls::CertificateError;
use std::error::Error;

/// What is wrong with the certificate that a server showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateProblem {
    /// The authority that the kubeconfig names did not sign it.
    Authority,
    /// It ended; when, where that is known.
    Ended(Option<Timestamp>),
    /// It begins later; when, where that is known.
    NotYet(Option<Timestamp>),
    /// It is for other names than the one that was asked for.
    Name,
}

impl CertificateProblem {
    /// The problem that an error of the Kubernetes client came from; `None` where it is no certificate's.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            // An I/O error shows the source of what it holds, and not what it holds.
            let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            let held = held.map(|held| held as &(dyn Error + 'static));
            if let Some(rustls::Error::InvalidCertificate(problem)) =
                held.unwrap_or(error).downcast_ref::<rustls::Error>()
            {
                return Self::of_certificate(problem);
            }
            next = held.filter(|held| !held.is::<rustls::Error>()).or_else(|| error.source());
        }
        None
    }

    fn of_certificate(problem: &CertificateError) -> Option<Self> {
        let at = |time: &rustls::pki_types::UnixTime| {
            i64::try_from(time.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok())
        };
        Some(match problem {
            // The second: of an authority of the same name, as those of rebuilt clusters are.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::Authority,
            CertificateError::Expired => Self::Ended(None),
            CertificateError::ExpiredContext { not_after, .. } => Self::Ended(at(not_after)),
            CertificateError::NotValidYet => Self::NotYet(None),
            CertificateError::NotValidYetContext { not_before, .. } => Self::NotYet(at(not_before)),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::Name,
            _ => return None,
        })
    }

    /// The failure with what this means and what to type.
    pub(super) fn explain(&self, failure: Failure) -> Failure {
        let at = |when: &Option<Timestamp>| when.map(|when| format!(" at {when}")).unwrap_or_default();
        match self {
            Self::Authority => failure
                .because_of("the server's certificate is not from the authority that the kubeconfig names")
                .hint("fetch the kubeconfig of this cluster again"),
            Self::Ended(when) => failure
                .because_of(format!("the certificate of the API server ended{}", at(when)))
                .hint("date                                # is the clock of this machine right?")
                .hint("kubeadm certs renew apiserver       # on the server; or as your provider has it"),
            Self::NotYet(when) => failure
                .because_of(format!("the certificate of the API server begins{}", at(when)))
                .hint("date   # is the clock of this machine right?"),
            Self::Name => failure
                .because_of("the certificate of the API server is for other names than this address")
                .hint("use an address that it is for, or say which: kubectl config set-cluster NAME --tls-server-name=…"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_however_deep_it_is_held() {
        let expired = || rustls::Error::InvalidCertificate(CertificateError::Expired);
        let twice = std::io::Error::other(std::io::Error::other(expired()));
        let errors: [Box<dyn Error>; 3] =
            [Box::new(expired()), Box::new(std::io::Error::other(expired())), Box::new(twice)];
        for error in errors {
            assert_eq!(CertificateProblem::of(&*error), Some(CertificateProblem::Ended(None)), "{error}");
        }
        assert_eq!(CertificateProblem::of(&std::io::Error::other("reset")), None);
    }
}
