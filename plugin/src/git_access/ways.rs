//! Every way to a repository, gone before a write: against the real `git http-backend` behind TLS, behind credentials for
//! a proxy, and behind the token of an app whose GitHub is a stand-in.

use super::*;
use ::ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kubiya_testdata::env::TestEnv;
use kubiya_testdata::git::GitRepo;
use kubiya_testdata::git_server::{GitServer, Options, Tls};
use kubiya_testdata::rig::certificates::Authority;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Command;

/// A server with a repository that has a branch, and a folder for files.
struct Place {
    server: GitServer,
    folder: tempfile::TempDir,
}

impl Place {
    fn new(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = GitServer::start_with(&folder.path().join("server"), options).unwrap();
        let bare = server.create_repo("r", None).unwrap();
        let env = TestEnv::new();
        let repo = GitRepo::init(&env, "w");
        repo.commit_file("a.yaml", "a: 1\n");
        repo.ok(["push", "--quiet", bare.to_str().unwrap(), "HEAD:refs/heads/main"]);
        Self { server, folder }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// What the repository answers to these credentials; `Err` with whether it is a refusal.
fn answer(url: &str, request: &GitAccessRequest) -> Result<(), (bool, String)> {
    let git = request.gather(url, "flux-system", false).unwrap();
    assert!(!format!("{git:?}").contains("PRIVATE KEY-----\nM"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match runtime.block_on(Look::with(url, "main", &git).fetch()) {
        Ok(fetched) => {
            assert!(fetched.is_some());
            Ok(())
        }
        Err(error) => Err((error.is_refusal(), error.to_string())),
    }
}

fn keys(access: &GitAccess) -> Vec<&str> {
    access.data.keys().map(String::as_str).collect()
}

#[test]
fn a_client_certificate_opens_a_server_that_wants_one() {
    let [authority, clients, others] =
        ["server", "clients", "others"].map(|name| Authority::new(name).unwrap());
    let server = authority.server().unwrap();
    let tls = Tls {
        certificate: server.certificate.clone(),
        key: server.key.clone(),
        clients: Some(clients.certificate().to_owned()),
    };
    let place = Place::new(Options { tls: Some(tls), ..Options::default() });
    let url = place.server.url("r");
    let ca_file = Some(place.write("ca.crt", authority.certificate()));
    let request = |from: &Authority| {
        let client = from.client("flux", None).unwrap();
        GitAccessRequest {
            ca_file: ca_file.clone(),
            tls_crt_file: Some(place.write("tls.crt", &client.certificate)),
            tls_key_file: Some(place.write("tls.key", &client.key)),
            ..GitAccessRequest::default()
        }
    };
    let good = request(&clients);
    assert_eq!(answer(&url, &good), Ok(()));
    assert_eq!(keys(&good.gather(&url, "flux-system", false).unwrap()), ["ca.crt", "tls.crt", "tls.key"]);
    for bad in
        [GitAccessRequest { ca_file: ca_file.clone(), ..GitAccessRequest::default() }, request(&others)]
    {
        let (is_refusal, said) = answer(&url, &bad).unwrap_err();
        assert!(is_refusal, "{said}");
    }
}

#[test]
fn a_server_whose_authority_is_not_known_is_not_talked_to() {
    let [authority, other] = ["server", "other"].map(|name| Authority::new(name).unwrap());
    let server = authority.server().unwrap();
    let tls = Tls { certificate: server.certificate, key: server.key, clients: None };
    let place = Place::new(Options { tls: Some(tls), token: Some("t".to_owned()), ..Options::default() });
    let url = place.server.url("r");
    let request = |authority: &Authority| GitAccessRequest {
        ca_file: Some(place.write("ca.crt", authority.certificate())),
        bearer_token_file: Some(place.write("token", "t").display().to_string()),
        ..GitAccessRequest::default()
    };
    assert_eq!(answer(&url, &request(&authority)), Ok(()));
    assert!(answer(&url, &request(&other)).unwrap_err().1.contains("certificate"));
}

#[test]
fn a_proxy_is_the_way_to_a_host_that_only_it_knows() {
    let credentials = Some(("me".to_owned(), "canary p@ss".to_owned()));
    let place = Place::new(Options { proxy_credentials: credentials, ..Options::default() });
    let url = "http://git.invalid/r.git";
    let request = |password: &str| GitAccessRequest {
        proxy: Some(place.server.base_url()),
        proxy_username: Some("me".to_owned()),
        proxy_password_file: Some(place.write("password", password).display().to_string()),
        ..GitAccessRequest::default()
    };
    assert_eq!(answer(url, &request("canary p@ss\n")), Ok(()));
    let access = request("canary p@ss").gather(url, "flux-system", false).unwrap();
    assert!(!format!("{access:?}").contains("canary"));
    let (name, data) = access.proxy.as_ref().unwrap();
    let entries: Vec<(&str, &str)> =
        data.iter().map(|(key, value)| (key.as_str(), value.expose_secret())).collect();
    let address = place.server.base_url();
    assert_eq!(name, "flux-system-proxy");
    assert_eq!(entries, [("address", &*address), ("password", "canary p@ss"), ("username", "me")]);
    let (is_refusal, said) = answer(url, &request("wrong")).unwrap_err();
    assert!(is_refusal && !said.contains("wrong"), "{said}");
    // What is on the cluster already is read back as the same.
    let live = data.iter().map(|(k, v)| (k.clone(), Zeroizing::new(v.expose_secret().as_bytes().to_vec())));
    assert_eq!(
        proxy_of(&live.collect()).unwrap().expose_secret(),
        access.access.proxy.unwrap().expose_secret()
    );
}

/// A stand-in for GitHub: knows one installation, and gives its token to whoever shows a statement signed by the key.
fn github(private_key: &str, token: &str) -> String {
    let (_, pem) = x509_parser::pem::parse_x509_pem(private_key.as_bytes()).unwrap();
    let public = RsaKeyPair::from_der(&pem.contents).unwrap().public().as_ref().to_vec();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let token = token.to_owned();
    // It ends with the process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let header: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let statement = header.iter().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("authorization")
                    .then(|| value.trim_start_matches("Bearer ").to_owned())
            });
            let known = statement.is_some_and(|statement| {
                let (signed, signature) = statement.rsplit_once('.').unwrap();
                let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
                let claims = URL_SAFE_NO_PAD.decode(signed.split_once('.').unwrap().1).unwrap();
                let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
                let lives = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
                let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &public);
                claims["iss"] == "17" && lives <= 600 && key.verify(signed.as_bytes(), &signature).is_ok()
            });
            let (status, body) = match header[0].split(' ').collect::<Vec<_>>()[..2] {
                _ if !known => {
                    ("401 Unauthorized", r#"{"message": "A JSON web token could not be decoded"}"#.to_owned())
                }
                ["GET", "/api/v3/app/installations?per_page=100&page=1"] => (
                    "200 OK",
                    r#"[{"id": 41, "account": {"login": "other"}}, {"id": 42, "account": {"login": "Org"}}]"#
                        .to_owned(),
                ),
                ["POST", "/api/v3/app/installations/42/access_tokens"] => {
                    ("201 Created", format!(r#"{{"token": "{token}"}}"#))
                }
                _ => ("404 Not Found", r#"{"message": "Not Found"}"#.to_owned()),
            };
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    });
    format!("http://{address}/api/v3")
}

fn rsa_key(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    let words = ["-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f"];
    assert!(Command::new("ssh-keygen").args(words).arg(&path).status().unwrap().success());
    path
}

#[test]
fn an_app_gets_a_token_as_flux_gets_one_and_reads_with_it() {
    let token = "canary-installation-token";
    let credentials = Some(("x-access-token".to_owned(), token.to_owned()));
    let place = Place::new(Options { credentials, ..Options::default() });
    let url = place.server.url("r");
    let key = rsa_key(place.folder.path(), "app.pem");
    let base_url = github(&std::fs::read_to_string(&key).unwrap(), token);
    let request = |id: Option<&str>, owner: Option<&str>, key: &Path| GitAccessRequest {
        github_app: GithubAppRequest {
            id: Some("17".to_owned()),
            installation_id: id.map(str::to_owned),
            installation_owner: owner.map(str::to_owned),
            private_key_file: Some(key.to_owned()),
            base_url: Some(base_url.clone()),
        },
        ..GitAccessRequest::default()
    };
    for good in [request(Some("42"), None, &key), request(None, Some("org"), &key)] {
        assert_eq!(answer(&url, &good), Ok(()));
        let access = good.gather(&url, "flux-system", false).unwrap();
        assert_eq!(access.provider(), Some("github"));
        let kind = if good.github_app.installation_id.is_some() { "ID" } else { "Owner" };
        let installation = format!("githubAppInstallation{kind}");
        assert_eq!(keys(&access), ["githubAppBaseURL", "githubAppID", &installation, "githubAppPrivateKey"]);
    }
    let other = rsa_key(place.folder.path(), "other.pem");
    for (bad, why) in [
        (request(Some("42"), None, &other), "401"),
        (request(Some("43"), None, &key), "404"),
        (request(None, Some("nobody"), &key), "not installed in the account"),
    ] {
        let (is_refusal, said) = answer(&url, &bad).unwrap_err();
        assert!(is_refusal && said.contains(why) && !said.contains("canary"), "{said}");
    }
    for wrong in
        [request(Some("42"), Some("org"), &key), request(None, None, &key), request(Some("x"), None, &key)]
    {
        assert!(wrong.gather(&url, "flux-system", false).is_err());
    }
}
