//! A repository with rules and a key, whose files are encrypted by the program under test and opened by sops.

use kubiya_policies::sops::age::Identity;
use kubiya_testdata::env::{TestEnv, Transcript};
use kubiya_testdata::git::GitRepo;
use secrecy::ExposeSecret as _;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// What every secret value of these tests has in it, and no output may show.
pub(crate) const CANARY: &str = "canary-Zx81";

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_kubectl-kubiya");

/// A Secret with two values that stand below each other; everything but the keys is secret.
pub(crate) fn secret(one: &str, two: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\nstringData:\n  one: {CANARY}-{one}\n  \
         # about {CANARY}\n  two: {CANARY}-{two}\n"
    )
}

/// A repository and the key that opens its files.
pub(crate) struct World<'e> {
    pub(crate) repo: GitRepo<'e>,
    pub(crate) identity: Identity,
}

impl<'e> World<'e> {
    /// A repository with the setup, a rule for one recipient, and the recipient's key where sops looks.
    pub(crate) fn new(env: &'e TestEnv) -> Self {
        let world = Self { repo: GitRepo::init(env, "repo"), identity: Identity::generate() };
        world.give_key();
        world.rule(&[&world.identity]);
        world.kubiya(["git-setup"]);
        let _ = world.repo.commit_all("rules");
        world
    }

    fn key_file(&self) -> std::path::PathBuf {
        self.repo.env().root().join("home/.config/sops/age/keys.txt")
    }

    pub(crate) fn give_key(&self) {
        let path = self.key_file();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, self.identity.expose_line().expose_secret()).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn take_key(&self) {
        std::fs::remove_file(self.key_file()).unwrap();
    }

    /// The one rule: for these recipients.
    pub(crate) fn rule(&self, recipients: &[&Identity]) {
        let recipients = recipients.iter().map(|identity| identity.recipient().unwrap()).collect::<Vec<_>>();
        let recipients = recipients.join(",");
        let rule =
            format!("creation_rules:\n  - encrypted_regex: ^(data|stringData)$\n    age: {recipients}\n");
        self.repo.write(".sops.yaml", rule);
    }

    pub(crate) fn kubiya<const N: usize>(&self, words: [&str; N]) -> String {
        let transcript = self.repo.env().run(self.repo.command(BINARY).args(words));
        assert_eq!(transcript.code(), Some(0), "{transcript}");
        checked(&transcript)
    }

    /// Writes a file and encrypts it, going on with the version in the index.
    pub(crate) fn put(&self, path: &str, plain: &str) {
        self.repo.write(path, plain);
        self.kubiya(["encrypt", path]);
        assert!(self.read(path).contains("ENC[AES256_GCM,") && !self.read(path).contains(CANARY));
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.repo.path().join(path)).unwrap()
    }

    /// Commits an encrypted file.
    pub(crate) fn commit(&self, path: &str, plain: &str) {
        self.put(path, plain);
        let _ = self.repo.commit_all(path);
    }

    /// On `main` the base and then ours; on `theirs` the base and then theirs. `main` is checked out.
    pub(crate) fn diverge(&self, path: &str, base: &str, ours: &str, theirs: &str) {
        self.commit(path, base);
        let _ = self.repo.ok(["checkout", "-q", "-b", "theirs"]);
        self.commit(path, theirs);
        let _ = self.repo.ok(["checkout", "-q", "main"]);
        self.commit(path, ours);
    }

    /// Runs git; whatever it says, no value is in it.
    pub(crate) fn git<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> (Option<i32>, String) {
        let transcript = self.repo.git(words);
        (transcript.code(), checked(&transcript))
    }

    /// The plain file as sops gives it, which checks the message authentication code.
    pub(crate) fn opened_by_sops(&self, path: &str) -> String {
        String::from_utf8(self.sops(&["decrypt", path]).stdout().to_vec()).unwrap()
    }

    /// Gives a file a new data key.
    pub(crate) fn rotate_by_sops(&self, path: &str) {
        let _ = self.sops(&["rotate", "--in-place", path]).success();
    }

    fn sops(&self, words: &[&str]) -> Transcript {
        let mut command = self.repo.command(sops());
        let transcript = self.repo.env().run(command.env("SOPS_DISABLE_VERSION_CHECK", "1").args(words));
        assert_eq!(transcript.code(), Some(0), "{transcript}");
        transcript
    }
}

/// Standard output, then standard error; a value in either ends the test.
fn checked(transcript: &Transcript) -> String {
    let all = format!("{}{}", String::from_utf8_lossy(transcript.stdout()), transcript.stderr());
    assert!(!all.contains(CANARY), "a value was shown:\n{all}");
    all
}

fn sops() -> std::path::PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("sops")).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("`sops` is not on PATH: run the tests by scripts/test"))
}

/// The lines that a diff adds or takes away, the names of values replaced by letters in the order of their
/// first appearance.
pub(crate) fn changes(diff: &str) -> String {
    let mut names: Vec<String> = Vec::new();
    let mut text = String::new();
    let lines = diff.lines().filter(|line| line.starts_with(['+', '-']));
    for line in lines.filter(|line| !line.starts_with("+++") && !line.starts_with("---")) {
        let mut rest = line;
        while let Some((before, (name, after))) =
            rest.split_once('«').and_then(|(before, rest)| Some((before, rest.split_once('»')?)))
        {
            let (kind, hash) = name.split_once(' ').unwrap();
            assert!(hash.len() == 10 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
            let at = names.iter().position(|known| known == hash).unwrap_or_else(|| {
                names.push(hash.to_owned());
                names.len() - 1
            });
            let letter = char::from(b'A' + u8::try_from(at).unwrap());
            text.push_str(&format!("{before}«{kind} {letter}»"));
            rest = after;
        }
        text.push_str(rest);
        text.push('\n');
    }
    text
}

/// The folder that a test's executable is copied to.
pub(crate) fn copy_binary(to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(BINARY, to).unwrap();
}
