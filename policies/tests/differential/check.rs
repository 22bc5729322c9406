//! The comparison of one document, in every direction.

use super::Document;
use super::real::{Said, Sops};
use super::recipe;
use kubiya_policies::sops::age::{AgeKeys, Identity};
use kubiya_policies::sops::file::{File, Lock, MacCheck, Opened, Recipe, Sealed, Sealing};
use kubiya_policies::sops::keys::{DataKey, lock, unlock};
use kubiya_policies::sops::plain::Plain;
use kubiya_policies::sops::problem::{Problem, ProblemKind};
use kubiya_policies::sops::store::{self, Format, StoreSettings};
use kubiya_policies::sops::tree::{Branch, Element, Item, Tree};
use std::cell::LazyCell;
use std::sync::OnceLock;

const NOW: &str = "2026-11-21T06:00:00Z";
const LATER: &str = "2026-11-21T07:00:00Z";

/// The one identity of a run.
pub(crate) fn identity() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(Identity::generate)
}

/// Something that must not be.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) what: &'static str,
    pub(crate) detail: String,
}

/// What came out for one document.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) counts: Vec<String>,
    pub(crate) failures: Vec<Failure>,
}

impl Verdict {
    fn count(&mut self, what: impl Into<String>) {
        self.counts.push(what.into());
    }

    fn fail(&mut self, what: &'static str, detail: impl Into<String>) {
        self.failures.push(Failure { what, detail: detail.into() });
    }
}

/// What a worker works with.
pub(crate) struct Bench {
    /// Started when it is needed.
    sops: LazyCell<Sops>,
    keys: AgeKeys,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { sops: LazyCell::new(Sops::new), keys: AgeKeys::new(vec![identity().clone()]) }
    }

    pub(crate) fn compare(&self, document: &Document, number: usize) -> Verdict {
        let mut verdict = Verdict::default();
        let recipe = recipe::recipe(number);
        let theirs = self.sops.run("encrypt", number, document.format, &document.bytes);
        let ours = self.seal(document.format, &document.bytes, &recipe);
        match (&ours, theirs.ok) {
            (Err(_), false) => {
                return {
                    verdict.count("refused by both");
                    verdict
                };
            }
            (Err(problems), true) => {
                let problem = &problems[0].kind;
                verdict.count(format!("refused by us only: {problem}"));
                if matches!(problem, ProblemKind::Alias(_)) {
                    self.expanded(document, number, &mut verdict);
                }
                if format!("{problem}").contains("check of what would be written") {
                    verdict.fail("we made what does not read back", format!("{}", problems[0]));
                }
            }
            (Ok(_), false) => verdict.count(format!("refused by sops only: {}", reason(&theirs))),
            (Ok(_), true) => verdict.count("encrypted by both"),
        }
        let mut trees = (None, None);
        if let Ok(sealed) = &ours {
            trees.0 = self.ours_by_sops(document, number, sealed, &mut verdict);
            self.back_and_forth(document, &recipe, sealed, &mut verdict);
        }
        if theirs.ok {
            trees.1 = self.sops_by_us(document, number, &theirs, &mut verdict);
        }
        if has_empty_comment(document) {
            verdict.count("sops makes list items of empty comments: trees not compared");
        } else if let (Some(ours), Some(theirs)) = trees
            && ours != theirs
        {
            verdict
                .fail("(a) sops reads another tree from ours than from its own", difference(&theirs, &ours));
        }
        verdict
    }

    /// A document whose aliases keep it from being encrypted, without them: the same values, and encrypted.
    fn expanded(&self, document: &Document, number: usize, verdict: &mut Verdict) {
        let all = |bytes: &[u8]| flat(document.format, bytes).map(|(values, _)| values);
        match store::expand_aliases(&document.bytes) {
            Ok(bytes) if all(&bytes) == all(&document.bytes) => {
                let expanded = Document { bytes: bytes.to_vec(), exact: false, ..document.clone() };
                let inner = self.compare(&expanded, number);
                if !inner.counts.iter().any(|what| what == "encrypted by both") {
                    verdict.fail("without aliases it is not encrypted", inner.counts.join("\n"));
                }
                verdict.count("encrypted without its aliases");
                verdict.failures.extend(inner.failures);
            }
            Ok(bytes) => {
                verdict.fail("without aliases the values are others", String::from_utf8_lossy(&bytes));
            }
            Err(problems) => verdict.fail("aliases are not expanded", problems[0].to_string()),
        }
    }

    /// Directions (c) and (d) alone, which need no sops.
    pub(crate) fn alone(&self, document: &Document, number: usize) -> Verdict {
        let mut verdict = Verdict::default();
        let recipe = recipe::recipe(number);
        match self.seal(document.format, &document.bytes, &recipe) {
            Ok(sealed) => self.back_and_forth(document, &recipe, &sealed, &mut verdict),
            Err(problems) if problems[0].to_string().contains("check of what would be written") => {
                verdict.fail("we made what does not read back", problems[0].to_string());
            }
            Err(_) => verdict.count("refused"),
        }
        verdict
    }

    /// Reads, opens, seals and decrypts bytes that are no document any more: whatever comes out, it comes soon.
    pub(crate) fn damaged(&self, format: Format, bytes: &[u8]) {
        let key = DataKey::new([7; 32]);
        if let Ok(file) = File::read(bytes, format, StoreSettings::default()) {
            let _ = file.deviations(&recipe::recipe(6));
            let opened = file.open(&key);
            let _ = file.decrypt(&key, MacCheck::Ignored);
            if let Ok(opened) = opened {
                let recipe = Recipe::of(&opened.metadata);
                let sealing =
                    Sealing { recipe: &recipe, lock: Lock::Kept, before: Some(&opened), now: LATER };
                let _ = file.seal(&sealing, &mut |buffer| buffer.fill(1));
            }
        }
        let _ = self.seal(format, bytes, &recipe::recipe(6));
        let _ = store::expand_aliases(bytes);
    }

    /// What a document is encrypted as; nothing where it is refused.
    pub(crate) fn sealed(&self, document: &Document) -> Option<Vec<u8>> {
        let sealed = self.seal(document.format, &document.bytes, &recipe::recipe(6)).ok()?;
        Some(sealed.bytes)
    }

    fn seal(&self, format: Format, bytes: &[u8], recipe: &Recipe) -> Result<Sealed, Vec<Problem>> {
        let file = File::read(bytes, format, StoreSettings::default())?;
        let key = DataKey::new([7; 32]);
        let mut random = super::Random::of(1, 2);
        let mut fill = |buffer: &mut [u8]| random.fill(buffer);
        let wrapped = lock(&key, &recipe.groups, recipe.shamir_threshold, &self.keys, &mut fill).unwrap();
        let sealing = Sealing { recipe, lock: Lock::New(key, wrapped), before: None, now: NOW };
        file.seal(&sealing, &mut fill)
    }

    /// Direction (a): what we encrypted, decrypted by sops.
    fn ours_by_sops(
        &self,
        document: &Document,
        number: usize,
        sealed: &Sealed,
        verdict: &mut Verdict,
    ) -> Option<Vec<String>> {
        let said = self.sops.run("decrypt", number, document.format, &sealed.bytes);
        let shown = || format!("{}\n--- encrypted\n{}", said.stderr, String::from_utf8_lossy(&sealed.bytes));
        if !said.ok {
            verdict.fail("(a) sops does not decrypt ours", shown());
            return None;
        }
        let left = String::from_utf8_lossy(&said.stdout).matches("#ENC[").count();
        if left > 0 {
            verdict.count("comments that sops leaves encrypted, documents");
            verdict.fail("(a) sops leaves comments of ours encrypted", shown());
        }
        let plain = flat(document.format, &said.stdout);
        match plain {
            Ok((values, _)) => {
                verdict.count("(a) ours, decrypted by sops");
                Some(values)
            }
            Err(_) if !self.sops.run("encrypt", number, document.format, &said.stdout).ok => {
                verdict.count("(a) what sops writes is not read by sops");
                None
            }
            Err(problem) if writes_no_block(&problem) => {
                verdict.count("(a) sops writes a block text that reads back as another");
                None
            }
            Err(problem) => {
                verdict.fail("(a) we do not read what sops decrypted", format!("{problem}\n{}", shown()));
                None
            }
        }
    }

    /// Direction (b): what sops encrypted, opened by us.
    fn sops_by_us(
        &self,
        document: &Document,
        number: usize,
        theirs: &Said,
        verdict: &mut Verdict,
    ) -> Option<Vec<String>> {
        let bytes = theirs.stdout.as_slice();
        let said = self.sops.run("decrypt", number, document.format, bytes);
        let shown = || format!("{}\n--- encrypted by sops\n{}", said.stderr, String::from_utf8_lossy(bytes));
        if !said.ok {
            verdict.count(format!("sops does not decrypt its own: {}", reason(&said)));
            return None;
        }
        let opened = File::read(bytes, document.format, StoreSettings::default()).and_then(|file| {
            let key = self.key(&file);
            let decrypted = file.decrypt(&key, MacCheck::Required)?;
            Ok((file.open(&key)?, decrypted))
        });
        let (opened, decrypted) = match opened {
            Ok(opened) => opened,
            Err(problems) if writes_no_block(&problems[0]) => {
                verdict.count("(b) sops writes a block text that reads back as another");
                return None;
            }
            Err(problems)
                if document.format == Format::Ini && problems[0].to_string().contains("is not read back") =>
            {
                verdict.count("(b) INI texts that no reader of sops gives back: refused");
                return None;
            }
            Err(problems) => {
                verdict.fail("(b) we do not decrypt theirs", format!("{}\n{}", problems[0], shown()));
                return None;
            }
        };
        let Ok((theirs, their_comments)) = flat(document.format, &said.stdout) else {
            let refused = flat(document.format, &said.stdout).err();
            if refused.as_ref().is_some_and(writes_no_block) {
                verdict.count("(b) sops writes a block text that reads back as another");
            } else if self.sops.run("encrypt", number, document.format, &said.stdout).ok {
                verdict.fail("(b) what sops decrypted is not read", shown());
            } else {
                verdict.count("(b) what sops writes is not read by sops");
            }
            return None;
        };
        if theirs.iter().any(|value| value.contains("ENC[AES256_GCM")) {
            verdict.count("(b) sops leaves comments of its own as encrypted items");
            return None;
        }
        let Ok((ours, our_comments)) = flat(document.format, &decrypted.bytes) else {
            verdict.fail("(b) what was decrypted is not read", shown());
            return None;
        };
        if ours != theirs && !has_empty_comment(document) {
            verdict.fail(
                "(b) we read another tree from theirs",
                format!("{}\n{}", difference(&theirs, &ours), shown()),
            );
        }
        let readable = File::read(&document.bytes, document.format, StoreSettings::default()).is_ok();
        let mut missing = their_comments.clone();
        for comment in &our_comments {
            if let Some(at) = missing.iter().position(|other| other == comment) {
                missing.remove(at);
            }
        }
        if missing.iter().any(|comment| !comment.starts_with("ENC[")) {
            verdict.fail("(b) a comment is missing", format!("{missing:?}\n{}", shown()));
        }
        if document.format == Format::Yaml && !has_empty_comment(document) && readable {
            let theirs =
                opened.values.iter().filter(|value| !value.is_comment).map(|value| typed(&value.plain));
            let theirs = theirs.collect::<Vec<_>>();
            let parsed = store::read(document.format, &document.bytes, StoreSettings::default());
            let mut ours = Vec::new();
            for branch in parsed.into_iter().flat_map(|parsed| parsed.documents) {
                leaves(&branch, &mut |plain| ours.push(typed(plain)));
            }
            if ours != theirs {
                verdict.fail(
                    "(b) a value or type differs",
                    format!("{}\n{}", difference(&theirs, &ours), shown()),
                );
            }
        }
        verdict.count("(b) theirs, decrypted by us");
        Some(theirs)
    }

    fn key(&self, file: &File<'_>) -> DataKey {
        unlock(file.metadata().unwrap(), &self.keys).unwrap()
    }

    /// Directions (c), what we encrypted and decrypt, and (d), a value changed.
    fn back_and_forth(&self, document: &Document, recipe: &Recipe, sealed: &Sealed, verdict: &mut Verdict) {
        let file = File::read(&sealed.bytes, document.format, StoreSettings::default()).unwrap();
        let key = self.key(&file);
        let shown =
            |detail: &str| format!("{detail}\n--- encrypted\n{}", String::from_utf8_lossy(&sealed.bytes));
        let decrypted = match file.decrypt(&key, MacCheck::Required) {
            Ok(decrypted) => decrypted,
            Err(problems) => {
                return verdict.fail("(c) we do not decrypt ours", shown(&problems[0].to_string()));
            }
        };
        if document.exact && decrypted.bytes.as_slice() != document.bytes {
            let detail = shown(&format!("{}", String::from_utf8_lossy(&decrypted.bytes)));
            return verdict.fail("(c) the bytes do not come back", detail);
        }
        verdict.count(if document.exact { "(c) back, byte for byte" } else { "(c) back, spelled otherwise" });
        let Some(changed) = document.changed() else { return };
        let opened = file.open(&key).unwrap();
        match changed_and_sealed(document, recipe, &changed, &opened) {
            Err(problem) => verdict.fail("(d) a changed value is not sealed", shown(&problem.to_string())),
            Ok(again) => {
                // Equal comments of one map may change places: they are looked at by themselves.
                let lines = |bytes: &[u8]| {
                    let text = String::from_utf8_lossy(bytes).into_owned();
                    let parts = text.lines().flat_map(|line| line.split('#'));
                    parts.map(|part| part.trim().to_owned()).collect::<Vec<_>>()
                };
                let (before, after) = (lines(&sealed.bytes), lines(&again.bytes));
                let different = after.iter().filter(|line| !before.contains(line)).count();
                // The value, and two lines of metadata in each document.
                let most = 1 + 2 * String::from_utf8_lossy(&sealed.bytes).matches("lastmodified").count();
                if before.len() != after.len() || different > most {
                    let detail = String::from_utf8_lossy(&again.bytes).into_owned();
                    return verdict.fail("(d) more changes than the value", shown(&detail));
                }
                verdict.count("(d) one value changed");
            }
        }
    }
}

/// The file with its changed text sealed again, with the data key and ciphertexts of before.
fn changed_and_sealed(
    document: &Document,
    recipe: &Recipe,
    bytes: &[u8],
    before: &Opened,
) -> Result<Sealed, Problem> {
    let first = |problems: Vec<Problem>| problems[0].clone();
    let file = File::read(bytes, document.format, StoreSettings::default()).map_err(first)?;
    let sealing = Sealing { recipe, lock: Lock::Kept, before: Some(before), now: LATER };
    let mut random = super::Random::of(3, 4);
    file.seal(&sealing, &mut |buffer| random.fill(buffer)).map_err(first)
}

/// sops's library indents a block text in a list less than its header says.
fn writes_no_block(problem: &Problem) -> bool {
    problem.to_string().contains("block scalar indent")
}

fn has_empty_comment(document: &Document) -> bool {
    let text = String::from_utf8_lossy(&document.bytes);
    document.format == Format::Yaml && text.lines().any(|line| line.trim_end().ends_with('#'))
}

/// The last line that sops said, without what differs from document to document.
fn reason(said: &Said) -> String {
    let line = said.stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let line = line.rsplit("yaml: ").next().unwrap_or(line);
    let mut text = line.chars().filter(|c| !c.is_ascii_digit()).take(90).collect::<String>();
    if let Some(at) = text.find("mapping key") {
        text.truncate(at + 11);
    }
    text
}

fn difference(theirs: &[String], ours: &[String]) -> String {
    let at = theirs.iter().zip(ours).take_while(|(a, b)| a == b).count();
    let at_or = |all: &[String]| all.get(at).cloned().unwrap_or_else(|| "nothing".to_owned());
    format!("theirs {:?}\nours   {:?}", at_or(theirs), at_or(ours))
}

/// Every value with its path and type, and the comments.
fn flat(format: Format, bytes: &[u8]) -> Result<(Vec<String>, Vec<String>), Problem> {
    if format == Format::Binary {
        return Ok((vec![String::from_utf8_lossy(bytes).into_owned()], Vec::new()));
    }
    let parsed = match store::read(format, bytes, StoreSettings::default()) {
        Ok(parsed) => parsed,
        // Of dotenv and INI files, nothing is left where nothing was.
        Err(problems) if problems[0].kind == ProblemKind::Empty && format != Format::Yaml => {
            return Ok((vec![], vec![]));
        }
        Err(problems) => return Err(problems[0].clone()),
    };
    let (mut values, mut comments) = (Vec::new(), Vec::new());
    for (number, branch) in parsed.documents.iter().enumerate() {
        flatten(branch, &number.to_string(), &mut values, &mut comments);
    }
    comments.sort();
    Ok((values, comments))
}

/// The lines of a comment without its signs: INI has comments of several lines.
fn lines(comment: &str) -> impl Iterator<Item = String> {
    comment.lines().map(|line| line.trim_start_matches([' ', ';', '#']).trim().to_owned())
}

fn flatten(branch: &Branch, path: &str, values: &mut Vec<String>, comments: &mut Vec<String>) {
    values.push(format!("{path} map"));
    for item in &branch.items {
        match item {
            Item::Comment(comment) => comments.extend(lines(&comment.text)),
            Item::Entry(key, tree) => flatten_tree(tree, &format!("{path}/{key}"), values, comments),
        }
    }
}

fn flatten_tree(tree: &Tree, path: &str, values: &mut Vec<String>, comments: &mut Vec<String>) {
    match tree {
        Tree::Map(branch) => flatten(branch, path, values, comments),
        Tree::List(elements) => {
            values.push(format!("{path} list"));
            for (index, element) in elements.iter().filter(|e| matches!(e, Element::Value(_))).enumerate() {
                if let Element::Value(tree) = element {
                    flatten_tree(tree, &format!("{path}/{index}"), values, comments);
                }
            }
            for element in elements {
                if let Element::Comment(comment) = element {
                    comments.extend(lines(&comment.text));
                }
            }
        }
        Tree::Leaf(leaf) => {
            let value = leaf.value.as_ref().map_or_else(|| "null".to_owned(), typed);
            values.push(format!("{path} {value}"));
        }
    }
}

/// Type and text. sops writes whole floating point numbers as integers.
fn typed(plain: &Plain) -> String {
    let text = String::from_utf8_lossy(&plain.canonical()).into_owned();
    let whole = matches!(plain, Plain::Float(_)) && text.parse::<i64>().is_ok();
    if whole {
        format!("{:?} {text}", Plain::Int(0))
    } else {
        format!("{plain:?} {text:?}").replace("\"", "")
    }
}

fn leaves(branch: &Branch, visit: &mut dyn FnMut(&Plain)) {
    for item in &branch.items {
        if let Item::Entry(_, tree) = item {
            leaves_of(tree, visit);
        }
    }
}

fn leaves_of(tree: &Tree, visit: &mut dyn FnMut(&Plain)) {
    match tree {
        Tree::Map(branch) => leaves(branch, visit),
        Tree::List(elements) => {
            for element in elements {
                if let Element::Value(tree) = element {
                    leaves_of(tree, visit);
                }
            }
        }
        Tree::Leaf(leaf) => leaf.value.iter().for_each(visit),
    }
}
