//! Sealing: what the selector covers becomes encrypted, what it does not becomes plain, and nothing else
//! changes.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::open::{Opened, Value, verify_mac};
use super::stamp::{new_block, renewed};
use super::{File, Recipe};
use crate::sops::block::Meta;
use crate::sops::cipher::{Cipher, Random};
use crate::sops::keys::{DataKey, WrappedKey};
use crate::sops::mac::{Mac, aad_of};
use crate::sops::metadata::Metadata;
use crate::sops::parallel;
use crate::sops::plain::Plain;
use crate::sops::problem::{Problem, ProblemKind};
use crate::sops::selector::Selector;
use crate::sops::store::{self, Edit, Layout};
use crate::sops::tree::{Site, Stop, Visit, walk};
use crate::sops::value::{self, EncryptedValue, ValueType};

/// What a file is sealed with.
#[derive(Clone, Debug)]
pub enum Lock {
    /// The data key of the version that was there before, with its recipients as they are. Encrypted values
    /// that did not change are kept.
    Kept,
    /// The data key of the version before, wrapped for these recipients; values are kept too.
    Wrapped(Vec<Vec<WrappedKey>>),
    /// A new data key, wrapped for the recipients: every value is encrypted anew.
    New(DataKey, Vec<Vec<WrappedKey>>),
}

/// How to seal.
#[derive(Debug)]
pub struct Sealing<'a> {
    /// What is encrypted, and what is authenticated.
    pub recipe: &'a Recipe,
    /// With which key.
    pub lock: Lock,
    /// The version that was there before: what the file itself opens to where it is encrypted, else an older
    /// one, whose encrypted values and metadata are gone on with.
    pub before: Option<&'a Opened>,
    /// The time, as RFC 3339 in UTC and whole seconds.
    pub now: &'a str,
}

/// A sealed file.
#[derive(Debug)]
pub struct Sealed {
    /// The new bytes, in which there is no secret. Equal to the old ones where nothing was to be done.
    pub bytes: Vec<u8>,
    /// Keys of the values that were plain and are encrypted now, encrypted values of before that were used
    /// again not among them.
    pub newly: Vec<String>,
    /// Keys of values that were encrypted and are plain now: the selector does not cover them any more.
    pub released: Vec<String>,
    /// How many encrypted values were kept as they are.
    pub kept: usize,
    /// The data key, which opens the new bytes to the values that were sealed: that was proven.
    pub key: DataKey,
    /// The metadata as it was read back from the new bytes.
    pub metadata: Metadata,
}

impl File<'_> {
    /// Seals the file.
    ///
    /// # Errors
    ///
    /// Everything that cannot be encrypted so that sops and Flux read it back, with its place. Nothing is
    /// given out that was not read again, opened and compared.
    pub fn seal(&self, sealing: &Sealing<'_>, random: &mut Random<'_>) -> Result<Sealed, Vec<Problem>> {
        if !self.parsed.duplicate_keys.is_empty() {
            return Err(self.parsed.duplicate_keys.clone());
        }
        let values = self.values_now(sealing)?;
        let key = match (&sealing.lock, sealing.before) {
            (Lock::New(key, _), _) => key,
            (_, Some(before)) => &before.key,
            _ => return Err(vec![Problem::of_file(ProblemKind::NotEncrypted)]),
        };
        let selector = sealing.recipe.selector_for(self.format);
        let mut places = Places::of(self, &selector);
        let mut round = 1;
        loop {
            let mut sealed = self.attempt(sealing, key, &values, &places, random)?;
            if sealed.bytes == self.bytes {
                return Ok(sealed);
            }
            let mut again = File::read(&sealed.bytes, self.format, self.settings)
                .map_err(|_| vec![unproven("the encrypted file is not read back")])?;
            // The metadata is content too: a comment before it may belong elsewhere than at the end of a file.
            let there = Places::of(&again, &selector);
            if round < ROUNDS && places.differ(&there) {
                places = places.moved(there);
                round += 1;
                continue;
            }
            prove_sealed(&again, key, &values)?;
            let metadata = again.metadata.take();
            drop(again);
            sealed.metadata = metadata.unwrap_or_default();
            return Ok(sealed);
        }
    }

    fn attempt(
        &self,
        sealing: &Sealing<'_>,
        key: &DataKey,
        values: &[Value],
        places: &Places,
        random: &mut Random<'_>,
    ) -> Result<Sealed, Vec<Problem>> {
        let same_key = sealing.before.is_some_and(|before| before.key == *key);
        let mut work = Work {
            layout: self.parsed.layout.as_ref(),
            cipher: Cipher::new(key),
            mac: Mac::new(sealing.recipe.mac_only_encrypted),
            pool: if same_key { pool(sealing.before) } else { HashMap::new() },
            same_key,
            values: values.iter(),
            places,
            leaves: 0,
            astray: false,
            random,
            edits: Vec::with_capacity(values.len()),
            closing: Vec::with_capacity(values.len()),
            problems: Vec::new(),
            sealed: Sealed {
                bytes: vec![],
                newly: Vec::with_capacity(if sealing.before.is_none() { values.len() } else { 0 }),
                released: vec![],
                kept: 0,
                key: key.clone(),
                metadata: self.metadata.clone().unwrap_or_default(),
            },
        };
        let selector = sealing.recipe.selector_for(self.format);
        for document in &self.parsed.documents {
            walk(document, &selector, &mut |visit| work.visit(visit));
        }
        if work.astray || work.values.next().is_some() {
            return Err(vec![unproven("the values are another version's")]);
        }
        work.close_all();
        if work.problems.is_empty() { self.finish(work, sealing) } else { Err(work.problems()) }
    }

    /// All values and comments in plain, in the order of a walk.
    fn values_now<'v>(&self, sealing: &Sealing<'v>) -> Result<Cow<'v, [Value]>, Vec<Problem>> {
        if self.metadata.is_some() {
            let before = sealing.before.ok_or_else(|| vec![Problem::of_file(ProblemKind::NotEncrypted)])?;
            return Ok(Cow::Borrowed(&before.values));
        }
        let layout = self.parsed.layout.as_ref();
        let (mut values, mut orphans) = (Vec::with_capacity(self.stops()), Vec::new());
        for document in &self.parsed.documents {
            walk(document, &sealing.recipe.selector_for(self.format), &mut |visit| {
                let (plain, site, is_comment) = match visit.stop {
                    Stop::Leaf(plain, site) => (plain.clone(), site, false),
                    Stop::Comment(comment) => (Plain::text(&comment.text), comment.site, true),
                };
                let key_path = visit.key_path();
                if plain.as_text().is_some_and(|text| value::parse(text.trim()).is_ok()) {
                    orphans.push(Problem::at(ProblemKind::Orphan, layout.span(site)).key(key_path.clone()));
                }
                values.push(Value { aad: visit.aad(), key_path, plain, sealed: None, is_comment, site });
            });
        }
        if orphans.is_empty() { Ok(Cow::Owned(values)) } else { Err(orphans) }
    }

    fn finish(&self, work: Work<'_, '_>, sealing: &Sealing<'_>) -> Result<Sealed, Vec<Problem>> {
        let Work { mut edits, mut sealed, mac, cipher, random, .. } = work;
        let code = mac.finish();
        let unchanged = edits.is_empty() && matches!(sealing.lock, Lock::Kept);
        let recipe_holds = self.metadata.as_ref().is_some_and(|metadata| {
            metadata.effective_selector() == sealing.recipe.selector_for(self.format)
                && metadata.mac_only_encrypted == sealing.recipe.mac_only_encrypted
        });
        let code_holds = sealing.before.is_some_and(|before| before.mac.is_ok());
        if unchanged && recipe_holds && code_holds && self.metadata.is_some() {
            sealed.bytes = self.bytes.to_vec();
            return Ok(sealed);
        }
        let mut block = match sealing.before {
            Some(before) => renewed(&before.block, sealing, self.format),
            None => new_block(sealing, self.format),
        };
        let mac = cipher.seal(ValueType::Str, code.as_bytes(), &aad_of(sealing.now), random);
        block.set("lastmodified", Meta::Text(sealing.now.to_owned()));
        block.set("mac", Meta::Text(mac.text()));
        edits.extend(self.parsed.layout.stamp(&block).map_err(|problem| vec![problem])?);
        sealed.bytes = store::apply_public(self.bytes, edits).map_err(|problem| vec![problem])?;
        Ok(sealed)
    }
}

fn unproven(what: &'static str) -> Problem {
    Problem::of_file(ProblemKind::Unproven(what))
}

/// Opens the new file and compares: what is given out holds what was there, and its code fits.
fn prove_sealed(again: &File<'_>, key: &DataKey, values: &[Value]) -> Result<(), Vec<Problem>> {
    let metadata = again.usable_metadata().map_err(|problem| vec![problem])?;
    let cipher = Cipher::new(key);
    let selector = metadata.effective_selector();
    let mut wanted = values.iter().filter(|value| !value.is_comment);
    let leaves = again.leaves(&selector);
    let mut pairs = Vec::with_capacity(leaves.len());
    for leaf in &leaves {
        // In a list sops keeps an encrypted comment as an item.
        let value = if leaf.is_sealed_comment() {
            None
        } else {
            Some(wanted.next().ok_or_else(|| vec![unproven("a value would be added")])?)
        };
        pairs.push((leaf, value));
    }
    if wanted.next().is_some() {
        return Err(vec![unproven("a value would be lost")]);
    }
    let proven = parallel::map(&pairs, |(leaf, value)| leaf.opens_to(&cipher, *value));
    let mut mac = Mac::new(metadata.mac_only_encrypted);
    for ((leaf, value), proven) in pairs.iter().zip(proven) {
        if !proven {
            let problem = unproven("a value would come back as another one");
            let key_path = value.map(|value| value.key_path.clone());
            return Err(vec![problem.key(key_path.unwrap_or_default())]);
        }
        // It opens to the same bytes.
        if let Some(value) = value {
            mac.add(&value.plain, leaf.covered);
        }
    }
    verify_mac(metadata, &cipher, &mac.finish())
        .map_err(|_| vec![unproven("the message authentication code would not fit")])
}

/// How often a file is sealed until every comment is where its encryption says: twice is enough but for
/// selectors by comment.
const ROUNDS: usize = 4;

/// Where sops sees comments, and what that means for leaves. Nothing where there are no comments.
#[derive(Debug, Default, PartialEq)]
struct Places {
    /// Place and coverage of each comment, in the order of the file.
    comments: Vec<(String, bool)>,
    /// The comments as the file that is sealed names them, in the same order.
    sites: Vec<Site>,
    by_site: HashMap<Site, usize>,
    /// Coverage of each leaf, in the order of the walk.
    leaves: Vec<bool>,
}

impl Places {
    fn of(file: &File<'_>, selector: &Selector) -> Self {
        if file.parsed.documents.iter().all(|document| document.count().comments == 0) {
            return Self::default();
        }
        let mut comments = Vec::new();
        let mut leaves = Vec::new();
        for document in &file.parsed.documents {
            walk(document, selector, &mut |visit| match visit.stop {
                Stop::Leaf(..) => leaves.push(visit.covered),
                Stop::Comment(comment) => {
                    let offset = file.parsed.layout.offset(comment.site);
                    comments.push((offset, comment.site, (visit.aad(), visit.covered)));
                }
            });
        }
        comments.sort_by_key(|(offset, ..)| *offset);
        let sites = comments.iter().map(|(_, site, _)| *site).collect::<Vec<_>>();
        let by_site = sites.iter().enumerate().map(|(index, site)| (*site, index)).collect();
        Self { comments: comments.into_iter().map(|(_, _, place)| place).collect(), sites, by_site, leaves }
    }

    fn differ(&self, there: &Self) -> bool {
        self.comments != there.comments || self.leaves != there.leaves
    }

    /// The same comments at the places where another reading sees them.
    fn moved(self, there: Self) -> Self {
        if there.comments.len() != self.sites.len() || there.leaves.len() != self.leaves.len() {
            return self;
        }
        Self { comments: there.comments, leaves: there.leaves, ..self }
    }
}

/// Encrypted values of the version before, by place and plain value. Each is used once, so that equal values
/// do not get equal ciphertexts.
type Pool = HashMap<[u8; 32], VecDeque<EncryptedValue>>;

/// The name of a value in the pool: a hash, so that no plain value is kept for it.
fn name(aad: &str, kind: ValueType, bytes: &[u8]) -> [u8; 32] {
    let hash = Sha256::new().chain_update(aad.len().to_be_bytes()).chain_update(aad);
    hash.chain_update(kind.name()).chain_update([0]).chain_update(bytes).finalize().into()
}

/// What is encrypted for a value. An empty comment becomes a blank: sops takes no empty ciphertext.
fn bytes_of(value: &Value) -> Zeroizing<Vec<u8>> {
    let mut bytes = value.plain.canonical();
    if value.is_comment && bytes.is_empty() {
        bytes.push(b' ');
    }
    bytes
}

fn pool(before: Option<&Opened>) -> Pool {
    let mut pool = Pool::new();
    for value in before.into_iter().flat_map(|before| before.spare.as_ref().unwrap_or(&before.values)) {
        if let Some(sealed) = &value.sealed {
            let name = name(&value.aad, sealed.kind, &bytes_of(value));
            pool.entry(name).or_default().push_back(sealed.as_ref().clone());
        }
    }
    pool
}

struct Work<'w, 'r> {
    layout: &'w dyn Layout,
    cipher: Cipher,
    mac: Mac,
    pool: Pool,
    same_key: bool,
    values: std::slice::Iter<'w, Value>,
    places: &'w Places,
    /// How many leaves were visited.
    leaves: usize,
    /// The values are not those of this file.
    astray: bool,
    random: &'w mut Random<'r>,
    edits: Vec<Edit>,
    closing: Vec<Closing<'w>>,
    problems: Vec<(&'w Value, Problem)>,
    sealed: Sealed,
}

/// A value that is to be encrypted.
struct Closing<'w> {
    value: &'w Value,
    /// The additional data of its place.
    aad: Cow<'w, str>,
    /// Whether it is written as a comment; one that sops keeps as a list item stays one.
    as_comment: bool,
    with: With,
}

/// What a value is encrypted with.
enum With {
    /// This nonce.
    Nonce([u8; 32]),
    /// It was, before.
    Before(Box<EncryptedValue>),
}

impl Closing<'_> {
    fn edits(&self, cipher: &Cipher, layout: &dyn Layout) -> Result<Vec<Edit>, Problem> {
        let Self { value, aad, .. } = self;
        let text = match &self.with {
            With::Nonce(nonce) => cipher.seal_under(*nonce, kind_of(value), &bytes_of(value), aad).text(),
            With::Before(sealed) => sealed.text(),
        };
        if self.as_comment { layout.comment(value.site, &text) } else { layout.seal(value.site, &text) }
    }
}

fn kind_of(value: &Value) -> ValueType {
    if value.is_comment { ValueType::Comment } else { value.plain.kind() }
}

impl<'w> Work<'w, '_> {
    fn visit(&mut self, visit: Visit<'_, '_>) {
        // The walk and the values come from the same documents in the same order.
        let value = self.values.next().filter(|value| value.site == visit.stop.site());
        let Some(value) = value else {
            self.astray = true;
            return;
        };
        let covered = self.covered(&visit);
        if !value.is_comment {
            self.mac.add(&value.plain, covered);
        }
        if matches!(value.plain, Plain::Float(float) if float == 0.0 && float.is_sign_negative()) {
            let problem =
                Problem::at(ProblemKind::Unreadable("the number -0.0"), self.layout.span(value.site));
            return self.problems.push((value, problem));
        }
        // Where sops decrypts an empty comment in a list, it makes an empty item of it.
        let wanted = covered && (!value.plain.is_empty() || (value.is_comment && visit.in_list));
        let edits = match (&value.sealed, wanted) {
            (Some(_), true) if self.same_key && self.at_its_place(value) => {
                self.sealed.kept += 1;
                return;
            }
            (_, true) => return self.close(value, &visit),
            (Some(_), false) => self.release(value),
            (None, false) => self.layout.keep(value.site).map(|()| Vec::new()),
        };
        match edits {
            Ok(edits) => self.edits.extend(edits),
            Err(problem) => self.problems.push((value, problem)),
        }
    }

    /// What is wrong, in the order of the file.
    fn problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|(value, _)| self.layout.offset(value.site));
        self.problems.into_iter().map(|(value, problem)| problem.key(value.key_path.clone())).collect()
    }

    fn place(&self, site: Site) -> Option<&(String, bool)> {
        self.places.by_site.get(&site).and_then(|index| self.places.comments.get(*index))
    }

    /// Whether what is visited is encrypted in the file that will be.
    fn covered(&mut self, visit: &Visit<'_, '_>) -> bool {
        match visit.stop {
            Stop::Comment(comment) => self.place(comment.site).map(|(_, covered)| *covered),
            Stop::Leaf(..) => {
                self.leaves += 1;
                self.places.leaves.get(self.leaves - 1).copied()
            }
        }
        .unwrap_or(visit.covered)
    }

    /// Whether an encrypted comment opens where sops sees it; values always do.
    fn at_its_place(&self, value: &Value) -> bool {
        !value.is_comment || self.place(value.site).is_none_or(|(place, _)| *place == value.aad)
    }

    fn close(&mut self, value: &'w Value, visit: &Visit<'_, '_>) {
        let aad = match self.place(value.site) {
            Some((place, _)) => Cow::Owned(place.clone()),
            None if value.is_comment => Cow::Owned(visit.aad()),
            None => Cow::Borrowed(value.aad.as_str()),
        };
        let with = match self.kept(value, &aad) {
            Some(before) => With::Before(Box::new(before)),
            None => {
                if value.sealed.is_none() && !value.is_comment {
                    self.sealed.newly.push(value.key_path.clone());
                }
                let mut nonce = [0; 32];
                (self.random)(&mut nonce);
                With::Nonce(nonce)
            }
        };
        self.closing.push(Closing { value, aad, as_comment: matches!(visit.stop, Stop::Comment(_)), with });
    }

    /// Encrypts what is to be, a large file's values on all cores.
    fn close_all(&mut self) {
        let closing = std::mem::take(&mut self.closing);
        let results = parallel::map(&closing, |closing| closing.edits(&self.cipher, self.layout));
        for (closing, result) in closing.iter().zip(results) {
            match result {
                Ok(edits) => self.edits.extend(edits),
                Err(problem) => self.problems.push((closing.value, problem)),
            }
        }
    }

    /// The encrypted value of before for this value at this place, where one is left.
    fn kept(&mut self, value: &Value, aad: &str) -> Option<EncryptedValue> {
        if self.pool.is_empty() {
            return None;
        }
        let name = name(aad, kind_of(value), &bytes_of(value));
        let kept = self.pool.get_mut(&name)?.pop_front()?;
        self.sealed.kept += 1;
        Some(kept)
    }

    fn release(&mut self, value: &Value) -> Result<Vec<Edit>, Problem> {
        if value.is_comment {
            return self.layout.comment(value.site, value.plain.as_text().unwrap_or_default());
        }
        self.sealed.released.push(value.key_path.clone());
        self.layout.open(value.site, &value.plain)
    }
}
