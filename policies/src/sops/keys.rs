//! Data keys, the service that wraps and unwraps them, and how a file's groups of recipients hold one.

use zeroize::{Zeroize as _, Zeroizing};

use super::cipher::Random;
use super::metadata::Metadata;
use super::recipient::{KeyGroup, Recipient};
use super::shamir::{self, ShamirError, Share};

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

/// What is wrapped for one recipient: a data key, or a share of one in a file with several key groups.
/// `Debug` shows nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyBytes {
    /// The data key.
    Whole(DataKey),
    /// A share of it.
    Share(Share),
}

impl KeyBytes {
    /// Reads what was unwrapped; its length tells what it is. `None` for any other length.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if let Ok(mut key) = <[u8; 32]>::try_from(bytes) {
            let whole = Self::Whole(DataKey::new(key));
            key.zeroize();
            return Some(whole);
        }
        let mut share = <[u8; shamir::SHARE_BYTES]>::try_from(bytes).ok()?;
        let share_of_key = Self::Share(Share::new(share));
        share.zeroize();
        Some(share_of_key)
    }

    /// The bytes: for wrapping only.
    pub fn expose(&self) -> &[u8] {
        match self {
            Self::Whole(key) => key.expose(),
            Self::Share(share) => share.expose(),
        }
    }
}

impl From<DataKey> for KeyBytes {
    fn from(key: DataKey) -> Self {
        Self::Whole(key)
    }
}

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
    /// The recipient is that of an age plugin, which runs as a program of its own.
    #[error("{recipient} needs the program age-plugin-{plugin}")]
    NeedsPlugin {
        /// The recipient.
        recipient: String,
        /// The plugin's name.
        plugin: String,
    },
    /// A program that had to help did not.
    #[error("the key for {recipient}: {problem}")]
    Helper {
        /// Whom the file or the rule names.
        recipient: String,
        /// What went wrong, in the program's words or ours.
        problem: String,
    },
    /// None of the identities opens the key.
    #[error("none of {tried} identities opens the key for {recipient}{}", not_tried(*.skipped))]
    NoIdentity {
        /// Whom the file names.
        recipient: String,
        /// How many identities were tried.
        tried: usize,
        /// How many could not be tried: plugin identities.
        skipped: usize,
    },
    /// The wrapped key is damaged.
    #[error("the wrapped key for {0} is damaged")]
    Damaged(String),
    /// What was wrapped is not a data key, or is one where a share belongs.
    #[error("what is wrapped for {0} is not the data key, or share of it, that belongs there")]
    NotADataKey(String),
    /// Wrapping failed.
    #[error("the key could not be wrapped for {0}")]
    Wrap(String),
    /// A key group without recipients, counted from 1.
    #[error("key group {0} is empty")]
    EmptyGroup(usize),
    /// No key group.
    #[error("there is no recipient to encrypt for")]
    NoGroups,
    /// The key cannot be split for the groups.
    #[error(transparent)]
    Split(#[from] ShamirError),
}

fn not_tried(count: usize) -> String {
    if count == 0 { String::new() } else { format!(" ({count} more are plugin identities)") }
}

/// Wraps data keys for recipients and unwraps them: age here; key management services elsewhere.
pub trait KeyService {
    /// Wraps a data key, or a share of one, for the recipient.
    ///
    /// # Errors
    ///
    /// The recipient is of a kind that is not served, or malformed.
    fn wrap(&self, secret: &KeyBytes, recipient: &Recipient) -> Result<WrappedKey, KeyError>;

    /// Unwraps a data key or a share.
    ///
    /// # Errors
    ///
    /// The kind is not served, nothing at hand opens it, or it is damaged.
    fn unwrap(&self, wrapped: &WrappedKey) -> Result<KeyBytes, KeyError>;

    /// Unwraps the first that opens of a group's keys, which all hold the same. A service that has to ask
    /// a person for some of its identities tries the others on the whole group before.
    ///
    /// # Errors
    ///
    /// None opens: why not, for each of the group in its order.
    fn unwrap_one(&self, group: &[WrappedKey]) -> Result<KeyBytes, Vec<KeyError>> {
        let mut errors = Vec::with_capacity(group.len());
        for wrapped in group {
            match self.unwrap(wrapped) {
                Ok(secret) => return Ok(secret),
                Err(error) => errors.push(error),
            }
        }
        Err(errors)
    }
}

/// Why a file's data key could not be had. It names recipients, which are public, and no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.summary())]
pub struct Locked {
    /// How many key groups the file has.
    pub groups: usize,
    /// How many of them have to open.
    pub needed: usize,
    /// How many opened.
    pub opened: usize,
    /// Every wrapped key that did not open, in the order of the file.
    pub tried: Vec<Tried>,
    /// Enough opened, and yet what they hold makes no key.
    pub shares: Option<ShamirError>,
}

/// A wrapped key that did not open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Its key group, from 1.
    pub group: usize,
    /// Whom the file names.
    pub recipient: Recipient,
    /// Why it did not open.
    pub error: KeyError,
}

impl Locked {
    fn summary(&self) -> String {
        match (self.shares, self.groups) {
            (Some(error), _) => error.to_string(),
            (None, 0) => "the file has no wrapped data key".to_owned(),
            (None, 1) => "none of the keys at hand opens it".to_owned(),
            (None, groups) => {
                format!("{} of its {groups} key groups have to open, {} did", self.needed, self.opened)
            }
        }
    }
}

/// Opens a file's data key: with one key group by its first wrapped key that opens, with several from one
/// share of each of as many groups as are needed (all of them where no threshold is written).
///
/// # Errors
///
/// Too few groups open: every wrapped key that was tried, and why it did not open.
pub fn unlock(metadata: &Metadata, keys: &dyn KeyService) -> Result<DataKey, Locked> {
    let groups = metadata.wrapped.len();
    let threshold = metadata.shamir_threshold.filter(|threshold| *threshold > 0);
    let needed = match threshold.and_then(|threshold| usize::try_from(threshold).ok()) {
        _ if groups < 2 => 1,
        Some(threshold) => threshold.max(2),
        None => groups,
    };
    let mut locked = Locked { groups, needed, opened: 0, tried: Vec::new(), shares: None };
    let mut shares = Vec::new();
    for (index, group) in metadata.wrapped.iter().enumerate() {
        let tried = |(wrapped, error): (&WrappedKey, KeyError)| Tried {
            group: index + 1,
            recipient: wrapped.recipient.clone(),
            error,
        };
        match keys.unwrap_one(group) {
            Ok(KeyBytes::Whole(key)) if groups == 1 => return Ok(key),
            Ok(KeyBytes::Share(share)) if groups > 1 => shares.push(share),
            // The other of the two: what is wrapped does not fit the file.
            Ok(_) => locked.tried.extend(
                group
                    .iter()
                    .take(1)
                    .map(|wrapped| tried((wrapped, KeyError::NotADataKey(wrapped.recipient.to_string())))),
            ),
            Err(errors) => locked.tried.extend(group.iter().zip(errors).map(tried)),
        }
        if shares.len() == needed {
            return shamir::combine(&shares).map_err(|error| {
                locked.opened = shares.len();
                Locked { shares: Some(error), ..locked }
            });
        }
    }
    locked.opened = shares.len();
    Err(locked)
}

/// Wraps a data key for groups of recipients: whole for one group, in shares for several, of which
/// `threshold` are needed (all of them where it is `None`). For each group its wrapped keys, in its order.
///
/// # Errors
///
/// All problems at once: no group or an empty one, a threshold that does not fit, and every recipient
/// that is malformed or not served.
pub fn lock(
    key: &DataKey,
    groups: &[KeyGroup],
    threshold: Option<u32>,
    keys: &dyn KeyService,
    random: &mut Random<'_>,
) -> Result<Vec<Vec<WrappedKey>>, Vec<KeyError>> {
    let secrets = secrets_for(key, groups.len(), threshold, random);
    let mut problems = secrets.as_ref().err().cloned().into_iter().collect::<Vec<_>>();
    // Where the key cannot be split, the recipients are still looked at.
    let secrets = secrets.unwrap_or_else(|_| vec![KeyBytes::Whole(key.clone()); groups.len()]);
    let mut locked = Vec::with_capacity(groups.len());
    for (index, (group, secret)) in groups.iter().zip(&secrets).enumerate() {
        if group.recipients.is_empty() {
            problems.push(KeyError::EmptyGroup(index + 1));
        }
        let mut wrapped = Vec::with_capacity(group.recipients.len());
        for recipient in &group.recipients {
            match keys.wrap(secret, recipient) {
                Ok(key) => wrapped.push(key),
                Err(problem) => problems.push(problem),
            }
        }
        locked.push(wrapped);
    }
    if problems.is_empty() { Ok(locked) } else { Err(problems) }
}

/// What each group's recipients get.
fn secrets_for(
    key: &DataKey,
    groups: usize,
    threshold: Option<u32>,
    random: &mut Random<'_>,
) -> Result<Vec<KeyBytes>, KeyError> {
    match groups {
        0 => Err(KeyError::NoGroups),
        1 => Ok(vec![KeyBytes::Whole(key.clone())]),
        _ => {
            let threshold = threshold.filter(|threshold| *threshold > 0);
            let threshold = threshold.unwrap_or(u32::try_from(groups).unwrap_or(u32::MAX));
            let (Ok(shares), Ok(needed)) = (u8::try_from(groups), u8::try_from(threshold)) else {
                return Err(ShamirError::Threshold { groups, threshold }.into());
            };
            let shares = shamir::split(key, shares, needed, random)?;
            Ok(shares.into_iter().map(KeyBytes::Share).collect())
        }
    }
}
