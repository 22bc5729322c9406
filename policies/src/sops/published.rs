//! The values that sops publishes with its own tests (`aes/cipher_test.go`, `age/keysource_test.go`): a
//! ciphertext, and wrapped keys with the identities that open them.

use secrecy::{ExposeSecret as _, SecretString};

use super::age::{AgeKeys, Identity, IdentityFile, SshKey};
use super::cipher::Cipher;
use super::keys::{DataKey, KeyError, KeyService as _, WrappedKey};
use super::recipient::Recipient;
use super::value;

const VALUE: &str = "ENC[AES256_GCM,data:oYyi,iv:MyIDYbT718JRr11QtBkcj3Dwm4k1aCGZBVeZf0EyV8o=,tag:t5z2Z023Up0kxwCgw1gNxg==,type:str]";
const RECIPIENT: &str = "age1lzd99uklcjnc0e7d860axevet2cz99ce9pq6tzuzd05l5nr28ams36nvun";
const IDENTITY: &str = "AGE-SECRET-KEY-1G0Q5K9TV4REQ3ZSQRMTMG8NSWQGYT0T7TZ33RAZEE0GZYVZN0APSU24RK7";
const WRAPPED: &str = "-----BEGIN AGE ENCRYPTED FILE-----\n\
YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBvY2t2NkdLUGRvY3l2OGNy\n\
MVJWcUhCOEZrUG8yeCtnRnhxL0I5NFk4YjJFCmE4SVQ3MEdyZkFqRWpSa2F0NVhF\n\
VDUybzBxdS9nSGpHSVRVMUI0UEVqZkkKLS0tIGJjeGhNQ0Y5L2VZRVVYSm90djFF\n\
bzdnQ3UwTGljMmtrbWNMV1MxYkFzUFUK4xjOZOTGdcbzuwUY/zeBXhcF+Md3e5PQ\n\
EylloI7MNGbadPGb\n\
-----END AGE ENCRYPTED FILE-----";
const PROTECTED: &str = "-----BEGIN AGE ENCRYPTED FILE-----\n\
YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdCBMN2FXZW9xSFViYjdNeW5D\n\
dy9iSHFnIDE4Ck9zV0ZoNldmci9rL3VXd3BtZmQvK3VZWEpBQjdhZ0UrcmhqR2lF\n\
YThFMzAKLS0tIGVEQ0xwODI1TlNYeHNHaHZKWHoyLzYwMTMvTGhaZG1oa203cSs0\n\
VUpBL1kKsaTnt+H/z8mkL21UYKIt3YMpWSV/oYqTm1cSSUnF9InZEYU9HndK9rc8\n\
ni+MTJCmYf4mgvvGPMf7oIQvs6ijaTdlQb+zeQsL4eif20w+CWgvPNrS6iXUIs8W\n\
w5/fHsxwmrkG96nDkMErJKhmjmLpC+YdbiMe6P/KIpas09m08RTIqcz7ua0Xm3ey\n\
ndU+8ILJOhcnWV55W43nTw/UUFse7f+qY61n7kcd1sGd7ZfSEdEIqS3K2vEtA3ER\n\
fn0s3cyXVEBxL9OZqcAk45bCFVOl13Fp/DBfquHEjvAyeg0=\n\
-----END AGE ENCRYPTED FILE-----";
const SSH_RECIPIENT: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAID+Wi8WZw2bXfBpcs/WECttCzP39OkenS6pHWHWGFJvN Test";
const SSH_IDENTITY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\n\
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n\
QyNTUxOQAAACA/lovFmcNm13waXLP1hArbQsz9/TpHp0uqR1h1hhSbzQAAAIgCXDMIAlwz\n\
CAAAAAtzc2gtZWQyNTUxOQAAACA/lovFmcNm13waXLP1hArbQsz9/TpHp0uqR1h1hhSbzQ\n\
AAAEBJdWTJ8dC0OnMcwy4gQ96sp6KG8GE9EiyhFGhKldKiST+Wi8WZw2bXfBpcs/WECttC\n\
zP39OkenS6pHWHWGFJvNAAAABFRlc3QB\n\
-----END OPENSSH PRIVATE KEY-----";
const SSH_WRAPPED: &str = "-----BEGIN AGE ENCRYPTED FILE-----\n\
YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNzaC1lZDI1NTE5IDJjd0R4dyB2R3Ns\n\
VUNHaXBiTEJaNU5BMFFQZUpCYWJqODFyTTZ4WWZoRVpUd2M2aTBFCkduUFJHb1U2\n\
K3RqWVQrLzE4anZKZ3h2T3c2MFpZTHlGaHprcElXenByWTAKLS0tIG56MHFSZERl\n\
em9PWmRMMTY4aytYTnVZN04yeER5Z2E3TWxWT3JTZWR2ekUKp/HZLy4MzQqoszGk\n\
+P0hSPPNhOhvFwv4AqCw1+A+WyeHGQPq\n\
-----END AGE ENCRYPTED FILE-----";

#[test]
fn the_value_of_sops_opens_at_its_place_and_nowhere_else() {
    let cipher = Cipher::new(&DataKey::new([b'f'; 32]));
    let value = value::parse(VALUE).unwrap();
    assert_eq!(cipher.open(&value, "bar:").unwrap().as_slice(), b"foo");
    assert!(cipher.open(&value, "").is_err());
}

/// What is wrapped there is `data`, which is no data key; that it is told from damage shows that it opened.
fn opens(identity: Identity, recipient: &str, enc: &str) {
    let wrapped = WrappedKey { recipient: Recipient::Age(recipient.to_owned()), enc: enc.to_owned() };
    let error = AgeKeys::new(vec![identity]).unwrap(&wrapped).unwrap_err();
    assert!(matches!(error, KeyError::NotADataKey(_)), "{error}");
}

#[test]
fn the_wrapped_keys_of_sops_open_with_its_identities() {
    let identity = Identity::parse(IDENTITY).unwrap();
    assert_eq!(identity.recipient().unwrap(), RECIPIENT);
    opens(identity, RECIPIENT, WRAPPED);
    let Ok(SshKey::Open(identity)) = SshKey::parse(SSH_IDENTITY.as_bytes()) else { panic!("an open key") };
    opens(identity, SSH_RECIPIENT, SSH_WRAPPED);
    let other = WrappedKey { recipient: Recipient::Age(RECIPIENT.to_owned()), enc: WRAPPED.to_owned() };
    let error = AgeKeys::new(vec![Identity::generate()]).unwrap(&other).unwrap_err();
    assert!(matches!(error, KeyError::NoIdentity { .. }), "{error}");
}

#[test]
fn the_protected_identity_of_sops_opens_with_its_passphrase() {
    let passphrase = SecretString::from("passphrase");
    let file = IdentityFile::decrypt(PROTECTED.as_bytes(), &passphrase).unwrap();
    let lines = file.identities().iter().map(|identity| identity.expose_line().expose_secret());
    assert_eq!(lines.collect::<Vec<_>>(), [IDENTITY]);
}
