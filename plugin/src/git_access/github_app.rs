//! A GitHub App: what Flux reads of it in a Secret, and the token that it gets for it, asked for the same way here
//! (fluxcd/pkg `auth/githubapp`): with a statement that the app's key has signed, of the app's installation.

use super::public_file;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kubiya_hook::edge::Failure;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// The user name that goes with the token of an installation.
pub(super) const USERNAME: &str = "x-access-token";
/// Where the app's installations are asked for, unless it is one of a GitHub Enterprise Server.
const PUBLIC: &str = "https://api.github.com";
/// How long GitHub may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many installations GitHub lists at once, and how many such pages are read.
const PER_PAGE: usize = 100;
const PAGES: usize = 20;

/// What was asked for, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GithubAppRequest {
    /// The app's id.
    pub id: Option<String>,
    /// The id of its installation.
    pub installation_id: Option<String>,
    /// Or the account in which it is installed.
    pub installation_owner: Option<String>,
    /// File with its private key (PEM).
    pub private_key_file: Option<PathBuf>,
    /// The API of a GitHub Enterprise Server.
    pub base_url: Option<String>,
}

/// A checked app.
pub struct GithubApp {
    id: String,
    installation: Installation,
    key: RsaKeyPair,
    base_url: String,
    /// Certificates and proxy, for the way to GitHub.
    pub(super) certificate_authority: Option<PathBuf>,
    pub(super) proxy: Option<SecretString>,
}

#[derive(Clone, Debug)]
enum Installation {
    Id(String),
    Owner(String),
}

impl std::fmt::Debug for GithubApp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GithubApp")
            .field("id", &self.id)
            .field("installation", &self.installation)
            .finish_non_exhaustive()
    }
}

/// Why GitHub gave no token. Holds nothing of the key, and of GitHub's answer only its own message.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// It said no: another key, no such installation, no rights.
    #[error("GitHub does not accept the app: {0}")]
    Refused(String),
    /// It gave no answer, or one that is not understood.
    #[error("GitHub gave no token: {0}")]
    NoAnswer(String),
}

impl GithubAppRequest {
    /// Whether anything of an app was named.
    #[must_use]
    pub fn is_some(&self) -> bool {
        *self != Self::default()
    }

    /// Reads and checks it, and gives the entries of the Secret.
    pub(super) fn gather(&self) -> Result<(GithubApp, BTreeMap<String, SecretString>), Failure> {
        let wrong = |what: &str| Failure::usage(what.to_owned());
        let id = self
            .id
            .as_deref()
            .ok_or_else(|| wrong("--github-app-id is missing: it is on the page of the app's settings"))?;
        let file = self
            .private_key_file
            .as_deref()
            .ok_or_else(|| wrong("--github-app-private-key-file is missing"))?;
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(id) {
            return Err(wrong("--github-app-id: a number is wanted"));
        }
        let installation = match (&self.installation_id, &self.installation_owner) {
            (Some(number), None) if is_number(number) => Installation::Id(number.clone()),
            (Some(_), None) => return Err(wrong("--github-app-installation-id: a number is wanted")),
            (None, Some(owner)) => Installation::Owner(owner.clone()),
            _ => {
                return Err(wrong(
                    "of --github-app-installation-id and --github-app-installation-owner, Flux takes exactly one",
                ));
            }
        };
        let base_url = self.base_url.as_deref().unwrap_or(PUBLIC).trim_end_matches('/').to_owned();
        let parsed = url::Url::parse(&base_url).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
        if parsed.is_none() {
            return Err(wrong("--github-app-base-url: not a URL, such as https://github.example.com/api/v3"));
        }
        let (text, key) = private_key(file)?;
        let mut data = BTreeMap::from([
            ("githubAppID".to_owned(), SecretString::from(id)),
            ("githubAppPrivateKey".to_owned(), SecretString::from(text.as_str())),
        ]);
        let (name, value) = match &installation {
            Installation::Id(id) => ("githubAppInstallationID", id),
            Installation::Owner(owner) => ("githubAppInstallationOwner", owner),
        };
        data.insert(name.to_owned(), SecretString::from(value.as_str()));
        if let Some(url) = &self.base_url {
            data.insert("githubAppBaseURL".to_owned(), SecretString::from(url.as_str()));
        }
        let app = GithubApp {
            id: id.to_owned(),
            installation,
            key,
            base_url,
            certificate_authority: None,
            proxy: None,
        };
        Ok((app, data))
    }
}

/// An RSA key in PEM, as GitHub gives it (PKCS#1), or in PKCS#8.
fn private_key(path: &Path) -> Result<(Zeroizing<String>, RsaKeyPair), Failure> {
    let flag = "--github-app-private-key-file";
    let (text, _) = public_file(path, flag)?;
    let text = Zeroizing::new(text);
    let wrong = || {
        Failure::usage(format!("{flag}: no private key of RSA in PEM, as GitHub gives it"))
            .at(path.display().to_string())
    };
    let (_, pem) = x509_parser::pem::parse_x509_pem(text.as_bytes()).map_err(|_| wrong())?;
    let der = Zeroizing::new(pem.contents);
    let key = match pem.label.as_str() {
        "RSA PRIVATE KEY" => RsaKeyPair::from_der(&der),
        "PRIVATE KEY" => RsaKeyPair::from_pkcs8(&der),
        _ => return Err(wrong()),
    };
    key.map(|key| (text, key)).map_err(|_| wrong())
}

impl GithubApp {
    /// A token of the installation, as Flux gets one.
    ///
    /// # Errors
    /// GitHub refuses, or gives no answer.
    pub(super) fn token(&self) -> Result<SecretString, AppError> {
        let statement = self.statement(jiff::Timestamp::now().as_second())?;
        let agent = self.agent()?;
        let installation = match &self.installation {
            Installation::Id(id) => id.clone(),
            Installation::Owner(owner) => self.installation_of(&agent, &statement, owner)?,
        };
        let url = format!("{}/app/installations/{installation}/access_tokens", self.base_url);
        let answer =
            agent.post(&url).header("Authorization", bearer(&statement)).header("Accept", JSON).send_empty();
        let answer = read(answer)?;
        let token = answer["token"].as_str().filter(|token| !token.is_empty());
        token
            .map(SecretString::from)
            .ok_or_else(|| AppError::NoAnswer("there is none in its answer".to_owned()))
    }

    /// The number of the app's installation in an account.
    fn installation_of(
        &self,
        agent: &ureq::Agent,
        statement: &SecretString,
        owner: &str,
    ) -> Result<String, AppError> {
        for page in 1..=PAGES {
            let url = format!("{}/app/installations?per_page={PER_PAGE}&page={page}", self.base_url);
            let answer =
                agent.get(&url).header("Authorization", bearer(statement)).header("Accept", JSON).call();
            let answer = read(answer)?;
            let list = answer.as_array().map(Vec::as_slice).unwrap_or_default();
            let found = list.iter().find(|one| {
                one["account"]["login"].as_str().is_some_and(|login| login.eq_ignore_ascii_case(owner))
            });
            if let Some(id) = found.and_then(|one| one["id"].as_u64()) {
                return Ok(id.to_string());
            }
            if list.len() < PER_PAGE {
                break;
            }
        }
        Err(AppError::Refused(format!("it is not installed in the account `{owner}`")))
    }

    /// Who we are, signed by the app's key (RFC 7519, RS256), from a little before now for clocks that go slow.
    fn statement(&self, now: i64) -> Result<SecretString, AppError> {
        let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = encoded(&json!({"alg": "RS256", "typ": "JWT"}));
        let claims = encoded(&json!({"iat": now - 30, "exp": now + 90, "iss": self.id}));
        let signed = format!("{header}.{claims}");
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| AppError::NoAnswer("its key does not sign".to_owned()))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)).into())
    }

    fn agent(&self) -> Result<ureq::Agent, AppError> {
        let failed = |error: &dyn std::fmt::Display| AppError::NoAnswer(error.to_string());
        let mut config = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .user_agent("kubectl-kubiya")
            // A refusal's text is worth reading, and a redirection is none of GitHub's API.
            .http_status_as_error(false)
            .max_redirects(0);
        if let Some(path) = &self.certificate_authority {
            let pem = std::fs::read(path).map_err(|error| failed(&error))?;
            let certificates = ureq::tls::parse_pem(&pem).filter_map(|item| match item {
                Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            });
            let roots = ureq::tls::RootCerts::new_with_certs(&certificates.collect::<Vec<_>>());
            config = config.tls_config(ureq::tls::TlsConfig::builder().root_certs(roots).build());
        }
        if let Some(proxy) = &self.proxy {
            let proxy =
                ureq::Proxy::new(proxy.expose_secret()).map_err(|_| failed(&"the proxy cannot be used"))?;
            config = config.proxy(Some(proxy));
        }
        Ok(config.build().into())
    }
}

/// What GitHub's API is asked to speak.
const JSON: &str = "application/vnd.github+json";

fn bearer(statement: &SecretString) -> String {
    format!("Bearer {}", statement.expose_secret())
}

type Answer = Result<http::Response<ureq::Body>, ureq::Error>;

fn read(answer: Answer) -> Result<Value, AppError> {
    let mut answer = answer.map_err(|error| AppError::NoAnswer(error.to_string()))?;
    let status = answer.status();
    let text = answer.body_mut().with_config().limit(1 << 20).read_to_string();
    let value: Value = text.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    if status.is_success() {
        return Ok(value);
    }
    let message = value["message"].as_str().unwrap_or("without a reason");
    let said = format!("{}: {message}", status.as_u16());
    if status.is_client_error() { Err(AppError::Refused(said)) } else { Err(AppError::NoAnswer(said)) }
}
