//! The certificates of one cluster: a CA of its own, the server, and the clients.

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

/// A certificate and its key, both PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The private key, PKCS #8.
    pub key: String,
}

/// The authority of one cluster. Clusters do not trust each other's.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a new authority for a cluster.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(cluster: &str) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name(&format!("{cluster}-ca"), None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// The certificate of the authority, PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A certificate for the API server.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn server(&self) -> Result<Identity> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name("kube-apiserver", None);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = vec![
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            // The first address of the service range is the API server's inside the cluster.
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))),
            SanType::DnsName("localhost".try_into()?),
            SanType::DnsName("kubernetes.default.svc".try_into()?),
        ];
        self.sign(params)
    }

    /// A certificate for a client: its user name and, where it has one, its group.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn client(&self, user: &str, group: Option<&str>) -> Result<Identity> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name(user, group);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    fn sign(&self, mut params: CertificateParams) -> Result<Identity> {
        let key = KeyPair::generate()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Identity { certificate, key: key.serialize_pem() })
    }
}

fn name(common: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name.push(DnType::CommonName, common);
    name
}

/// The files that an API server and a controller manager are started with.
pub struct Files {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The server's certificate.
    pub server_certificate: PathBuf,
    /// The server's key.
    pub server_key: PathBuf,
    /// The public key that ServiceAccount tokens are checked with.
    pub accounts_public: PathBuf,
    /// The private key that they are signed with.
    pub accounts_private: PathBuf,
}

impl Files {
    /// Writes them into a folder.
    ///
    /// # Errors
    /// When a key cannot be made or a file cannot be written.
    pub fn write(dir: &Path, authority: &Authority) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let server = authority.server()?;
        let accounts = KeyPair::generate()?;
        let write = |name: &str, content: &str| -> Result<PathBuf> {
            let path = dir.join(name);
            fs::write(&path, content)?;
            Ok(path)
        };
        Ok(Self {
            ca: write("ca.crt", authority.certificate())?,
            server_certificate: write("server.crt", &server.certificate)?,
            server_key: write("server.key", &server.key)?,
            accounts_public: write("service-accounts.pub", &accounts.public_key_pem())?,
            accounts_private: write("service-accounts.key", &accounts.serialize_pem())?,
        })
    }
}
