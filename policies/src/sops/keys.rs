//! Data keys and the service that wraps and unwraps them.

use zeroize::Zeroizing;

use super::recipient::Recipient;

/// A file's data key: 256 bits. Wiped on drop; `Debug` shows nothing.
#[derive(Clone)]
pub struct DataKey(Zeroizing<[u8; 32]>);

impl DataKey {
    /// Takes the bytes over. Randomness is the caller's affair.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key itself: for ciphers and wrapping only.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey(…)")
    }
}

impl PartialEq for DataKey {
    /// Looks at every byte, whatever the first ones say.
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0.iter()).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
    }
}

impl Eq for DataKey {}

/// A data key wrapped for one recipient, as it stands in a file's `enc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// Whom the file names. A label: sops tries every identity on `enc`, whatever stands here.
    pub recipient: Recipient,
    /// The wrapped key, in the form of the recipient's kind; for age an armored file.
    pub enc: String,
}

/// Why a key could not be wrapped or unwrapped. No secret is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The service does not serve this kind of recipient.
    #[error("recipients of the kind {0} are not served here")]
    NotServed(String),
    /// The recipient is not well-formed.
    #[error("`{0}` is not a well-formed recipient")]
    BadRecipient(String),
    /// None of the identities opens the key.
    #[error("none of {tried} identities opens the key for {recipient}{}", not_tried(*.skipped))]
    NoIdentity {
        /// Whom the file names.
        recipient: String,
        /// How many identities were tried.
        tried: usize,
        /// How many could not be tried: post-quantum and plugin identities.
        skipped: usize,
    },
    /// The wrapped key is damaged.
    #[error("the wrapped key for {0} is damaged")]
    Damaged(String),
    /// What was wrapped is not a data key.
    #[error("what is wrapped for {0} is not a 256-bit data key")]
    NotADataKey(String),
    /// Wrapping failed.
    #[error("the key could not be wrapped for {0}")]
    Wrap(String),
}

fn not_tried(count: usize) -> String {
    if count == 0 { String::new() } else { format!(" ({count} more are post-quantum or plugin identities)") }
}

/// Wraps data keys for recipients and unwraps them: age here; key management services elsewhere.
pub trait KeyService {
    /// Wraps the key for the recipient.
    ///
    /// # Errors
    ///
    /// The recipient is of a kind that is not served, or malformed.
    fn wrap(&self, key: &DataKey, recipient: &Recipient) -> Result<WrappedKey, KeyError>;

    /// Unwraps a key.
    ///
    /// # Errors
    ///
    /// The kind is not served, nothing at hand opens it, or it is damaged.
    fn unwrap(&self, wrapped: &WrappedKey) -> Result<DataKey, KeyError>;
}
