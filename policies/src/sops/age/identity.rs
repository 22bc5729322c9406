//! age identities and the files that hold them.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};

use super::super::recipient::Long;
use super::passphrase::{self, PassphraseError};
use super::{post_quantum, x25519};

/// What kind of identity it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdentityKind {
    /// `AGE-SECRET-KEY-1…`: opened here.
    X25519,
    /// `AGE-SECRET-KEY-PQ-1…`: opened here, by age 1.3 and sops 3.12 and what is newer.
    PostQuantum,
    /// `AGE-PLUGIN-…`: kept as it is; needs a plugin program, which Flux's controllers do not have.
    Plugin,
    /// An ssh private key; it stands in a file of its own.
    Ssh,
}

/// What opens a stanza; shared by the copies of an identity.
type Opener = Arc<dyn ::age::Identity + Send + Sync>;

/// One age identity. `Debug` shows its kind and public key only.
#[derive(Clone)]
pub struct Identity {
    kind: IdentityKind,
    line: SecretString,
    /// The public key, where it can be told.
    recipient: Option<String>,
    /// What opens; made once, because a post-quantum key costs as much to expand as to use.
    opener: Option<Opener>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("kind", &self.kind)
            .field("recipient", &self.recipient)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.line.expose_secret() == other.line.expose_secret()
    }
}

impl Eq for Identity {}

impl Identity {
    /// Reads one identity, without anything around it.
    ///
    /// # Errors
    ///
    /// What is wrong with it, never the text.
    pub fn parse(line: &str) -> Result<Self, LineProblem> {
        let (kind, prefix) = if line.starts_with("AGE-SECRET-KEY-PQ-1") {
            (IdentityKind::PostQuantum, "AGE-SECRET-KEY-PQ-")
        } else if line.starts_with("AGE-SECRET-KEY-1") {
            (IdentityKind::X25519, "AGE-SECRET-KEY-")
        } else if line.starts_with("AGE-PLUGIN-") {
            (IdentityKind::Plugin, "AGE-PLUGIN-")
        } else if line.starts_with("age1") {
            return Err(LineProblem::PublicKey);
        } else if line.starts_with([' ', '\t']) {
            return Err(LineProblem::LeadingBlank);
        } else {
            return Err(LineProblem::NotAnIdentity);
        };
        let decoded = bech32::primitives::decode::CheckedHrpstring::new::<Long>(line);
        let well_formed = decoded.is_ok_and(|decoded| {
            let name = decoded.hrp().to_string();
            if kind == IdentityKind::Plugin {
                name.starts_with(prefix) && name.ends_with('-')
            } else {
                name == prefix
            }
        });
        if !well_formed {
            return Err(LineProblem::Malformed);
        }
        Self::of_line(kind, line).ok_or(LineProblem::Malformed)
    }

    /// Makes what opens out of a well-formed line.
    fn of_line(kind: IdentityKind, line: &str) -> Option<Self> {
        let (recipient, opener): (_, Opener) = match kind {
            IdentityKind::X25519 => {
                let identity: ::age::x25519::Identity = line.parse().ok()?;
                (identity.to_public().to_string(), Arc::new(x25519::Identity::parse(line)?))
            }
            IdentityKind::PostQuantum => {
                let identity = post_quantum::Identity::parse(line)?;
                (identity.recipient().to_string(), Arc::new(identity))
            }
            IdentityKind::Plugin | IdentityKind::Ssh => {
                return Some(Self { kind, line: SecretString::from(line), recipient: None, opener: None });
            }
        };
        Some(Self { kind, line: SecretString::from(line), recipient: Some(recipient), opener: Some(opener) })
    }

    /// An ssh key that needs no passphrase (any more).
    pub(super) fn of_ssh(text: SecretString, recipient: String, key: ::age::ssh::Identity) -> Self {
        Self { kind: IdentityKind::Ssh, line: text, recipient: Some(recipient), opener: Some(Arc::new(key)) }
    }

    /// Makes a new X25519 identity from the system's randomness.
    pub fn generate() -> Self {
        let identity = ::age::x25519::Identity::generate();
        let line = identity.to_string();
        let opener: Opener = match x25519::Identity::parse(line.expose_secret()) {
            Some(own) => Arc::new(own),
            None => Arc::new(identity.clone()),
        };
        let recipient = Some(identity.to_public().to_string());
        Self { kind: IdentityKind::X25519, line, recipient, opener: Some(opener) }
    }

    /// Its kind.
    pub fn kind(&self) -> IdentityKind {
        self.kind
    }

    /// The public key, where it can be told without a program of its own: for all but plugins.
    pub fn recipient(&self) -> Option<String> {
        self.recipient.clone()
    }

    /// What opens, for all but plugins.
    pub fn opener(&self) -> Option<&dyn ::age::Identity> {
        self.opener.as_ref().map(|opener| &**opener as &dyn ::age::Identity)
    }

    /// The identity as it stands in a key file, to write it into a Secret; of an ssh key its whole file.
    pub fn expose_line(&self) -> &SecretString {
        &self.line
    }
}

/// What is wrong with a line of a key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineProblem {
    /// Blanks before the identity: sops and Flux refuse the whole file.
    #[error("begins with a blank, which sops and Flux refuse")]
    LeadingBlank,
    /// Not an age identity.
    #[error("is not an age identity, a comment or an empty line")]
    NotAnIdentity,
    /// A public key where a private one belongs.
    #[error("is a public key; a key file holds private ones (AGE-SECRET-KEY-1…)")]
    PublicKey,
    /// An identity with a typo or cut off.
    #[error("is a damaged age identity: its check sum does not fit")]
    Malformed,
    /// Not text.
    #[error("is not text in UTF-8")]
    NotUtf8,
}

/// Why a key file cannot be used. It never quotes the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityFileError {
    /// The file is encrypted with a passphrase.
    #[error("the key file is passphrase-protected")]
    PassphraseProtected,
    /// No identity in it.
    #[error("the key file holds no age identity")]
    Empty,
    /// A line that makes sops and Flux refuse the file.
    #[error("line {line} {problem}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: LineProblem,
    },
}

/// The identities of a key file.
///
/// Read as sops (`age/keysource.go`) and, through it, Flux's kustomize-controller do: one identity a line,
/// empty lines and lines that begin with `#` skipped, a CR at the end tolerated; anything else on any line
/// makes the whole file useless, so it is an error here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFile {
    identities: Vec<Identity>,
}

impl IdentityFile {
    /// Reads a key file.
    ///
    /// # Errors
    ///
    /// Passphrase-protected, without identity, or with a line that sops refuses.
    pub fn parse(bytes: &[u8]) -> Result<Self, IdentityFileError> {
        if passphrase::is_encrypted(bytes) {
            return Err(IdentityFileError::PassphraseProtected);
        }
        Self::parse_lines(bytes, |line| vec![line])
    }

    /// Reads line by line; `identities_of` gives the identities of one.
    fn parse_lines(
        bytes: &[u8],
        identities_of: impl Fn(&str) -> Vec<&str>,
    ) -> Result<Self, IdentityFileError> {
        let mut identities = Vec::new();
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let at = |problem| IdentityFileError::Line { line: index + 1, problem };
            let line = std::str::from_utf8(line).map_err(|_| at(LineProblem::NotUtf8))?;
            for identity in identities_of(line) {
                identities.push(Identity::parse(identity).map_err(at)?);
            }
        }
        if identities.is_empty() { Err(IdentityFileError::Empty) } else { Ok(Self { identities }) }
    }

    /// Reads a key file that is encrypted with a passphrase, armored or not.
    ///
    /// # Errors
    ///
    /// The passphrase is wrong; the file is damaged, or encrypted for something else than a passphrase; what
    /// is in it is not a key file.
    pub fn decrypt(bytes: &[u8], passphrase: &SecretString) -> Result<Self, PassphraseError> {
        Ok(Self::parse(&passphrase::open(bytes, passphrase)?)?)
    }

    /// Reads the value of the environment's `SOPS_AGE_KEY`: as a key file, but several identities may stand on
    /// one line (`age/keysource.go`, since sops 3.13).
    ///
    /// # Errors
    ///
    /// As [`IdentityFile::parse`].
    pub fn parse_words(bytes: &[u8]) -> Result<Self, IdentityFileError> {
        if passphrase::is_encrypted(bytes) {
            return Err(IdentityFileError::PassphraseProtected);
        }
        Self::parse_lines(bytes, |line| line.split_ascii_whitespace().collect())
    }

    /// The identities, in the order of the file.
    pub fn identities(&self) -> &[Identity] {
        &self.identities
    }

    /// Gives the identities away.
    pub fn into_identities(self) -> Vec<Identity> {
        self.identities
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(identity: &Identity) -> String {
        identity.expose_line().expose_secret().to_owned()
    }

    fn bech32(hrp: &str, data: &[u8]) -> String {
        bech32::encode_upper::<Long>(bech32::Hrp::parse(hrp).unwrap(), data).unwrap()
    }

    #[test]
    fn a_key_file_is_read_as_sops_reads_it() {
        let one = Identity::generate();
        let pq = bech32("AGE-SECRET-KEY-PQ-", &[7; 32]);
        let plugin = bech32("AGE-PLUGIN-YUBIKEY-", &[7; 12]);
        let text = format!("# created: today\n\n{}\r\n{pq}\n{plugin}", line(&one));
        let file = IdentityFile::parse(text.as_bytes()).unwrap();
        let kinds = file.identities().iter().map(Identity::kind).collect::<Vec<_>>();
        assert_eq!(kinds, [IdentityKind::X25519, IdentityKind::PostQuantum, IdentityKind::Plugin]);
        assert_eq!(file.identities()[0], one);
        assert!(one.recipient().unwrap().starts_with("age1"));
        assert!(file.identities()[1].recipient().unwrap().starts_with("age1pq1"));
        assert_eq!(file.identities()[2].recipient(), None);
        assert_eq!(line(&file.identities()[1]), pq);
        assert!(!format!("{file:?}").contains(&line(&one)[20..30]));
    }

    #[test]
    fn a_bad_line_is_named_by_number_and_never_quoted() {
        let good = line(&Identity::generate());
        let damaged = format!("{}Q", &good[..good.len() - 1]);
        let damaged = if damaged == good { format!("{}P", &good[..good.len() - 1]) } else { damaged };
        let public = Identity::generate().recipient().unwrap();
        let at = |line, problem| IdentityFileError::Line { line, problem };
        let table = [
            (format!("{good}\n {good}\n"), at(2, LineProblem::LeadingBlank)),
            (format!("#\n\n{good} \n"), at(3, LineProblem::Malformed)),
            (format!("{good}\nhunter2\n"), at(2, LineProblem::NotAnIdentity)),
            (format!("{good}\n \n"), at(2, LineProblem::LeadingBlank)),
            (damaged, at(1, LineProblem::Malformed)),
            (good.to_lowercase(), at(1, LineProblem::NotAnIdentity)),
            (public, at(1, LineProblem::PublicKey)),
            ("# nothing\n".to_owned(), IdentityFileError::Empty),
            (String::new(), IdentityFileError::Empty),
            ("age-encryption.org/v1\n-> scrypt x 18\n".to_owned(), IdentityFileError::PassphraseProtected),
            ("-----BEGIN AGE ENCRYPTED FILE-----\nx\n".to_owned(), IdentityFileError::PassphraseProtected),
        ];
        for (text, wanted) in table {
            let error = IdentityFile::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error, wanted);
            assert!(!error.to_string().contains("hunter2") && !error.to_string().contains(&good[20..]));
        }
        assert_eq!(IdentityFile::parse(b"\xff\n").unwrap_err(), at(1, LineProblem::NotUtf8));
    }
}
