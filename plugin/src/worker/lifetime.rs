//! How long credentials live: read from themselves, never from the clock of who made them.

use base64::Engine as _;
use jiff::Timestamp;
use kube::config::AuthInfo;
use secrecy::ExposeSecret as _;
use std::time::Duration;

/// The shortest lifetime that nobody has to ask for: whatever lives less needs a renewal that runs by itself.
pub const LIVABLE: Duration = Duration::from_secs(7 * 24 * 3600);

/// When a bearer token ends: the claim `exp` of its payload. Nothing for a token that says nothing of it.
#[must_use]
pub(super) fn token_end(token: &str) -> Option<Timestamp> {
    Timestamp::from_second(claims(token)?["exp"].as_i64()?).ok()
}

/// Who made a bearer token: the claim `iss`.
#[must_use]
pub(super) fn token_issuer(token: &str) -> Option<String> {
    Some(claims(token)?["iss"].as_str()?.to_owned())
}

fn claims(token: &str) -> Option<serde_json::Value> {
    let payload = token.split('.').nth(1)?;
    let bytes =
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// When the first of the certificates in a PEM text ends. Nothing where there is none.
#[must_use]
pub(super) fn certificate_end(pem: &[u8]) -> Option<Timestamp> {
    let ends = x509_parser::pem::Pem::iter_from_buffer(pem).filter_map(|block| {
        let block = block.ok()?;
        let end = block.parse_x509().ok()?.validity().not_after.timestamp();
        Timestamp::from_second(end).ok()
    });
    ends.min()
}

/// As [`certificate_end`], of PEM text in base64, as kubeconfigs have it.
#[must_use]
pub(super) fn certificate_data_end(data: &str) -> Option<Timestamp> {
    let compact: String = data.split_whitespace().collect();
    certificate_end(&base64::engine::general_purpose::STANDARD.decode(compact).ok()?)
}

/// When the credentials of a user entry end, and what they are; of several the one that counts, which is the
/// token (client-go sends both, and the token decides who one is). A password says nothing of its end.
#[must_use]
pub(super) fn user_end(user: &AuthInfo) -> Option<(&'static str, Timestamp)> {
    if let Some(token) = &user.token {
        return token_end(token.expose_secret()).map(|end| ("token", end));
    }
    let certificate = user.client_certificate_data.as_deref()?;
    certificate_data_end(certificate).map(|end| ("client certificate", end))
}

/// What is to be thought of the lifetime that a server granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// As asked for.
    Full,
    /// Shorter, but one can live with it.
    Capped,
    /// Too short to live with.
    TooShort,
}

/// Compares what was granted with what was asked for. Servers cap lifetimes without a word. Who asks for a
/// short life has it; who asks for a long one needs at least [`LIVABLE`].
#[must_use]
pub(super) fn judge(asked: Duration, granted: Duration) -> Granted {
    // The server's clock and ours need not agree to the second.
    let slack = Duration::from_secs(300).min(asked / 10);
    if granted + slack >= asked {
        Granted::Full
    } else if granted + slack >= asked.min(LIVABLE) {
        Granted::Capped
    } else {
        Granted::TooShort
    }
}

/// What is left until then; nothing of what has passed.
#[must_use]
pub fn left(end: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(end.duration_since(now)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(payload: &str) -> String {
        let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(payload);
        format!("e30.{payload}.c2ln")
    }

    #[test]
    fn tokens_say_when_they_end() {
        let end = token_end(&jwt(r#"{"aud":["a"],"exp":1800000000}"#)).unwrap();
        assert_eq!(end.as_second(), 1_800_000_000);
        for token in ["", "opaque", "a.b.c", &jwt("{}"), &jwt("[]")] {
            assert_eq!(token_end(token), None, "{token}");
        }
    }

    #[test]
    fn the_first_certificate_to_end_counts() {
        let pem = |year: i32| {
            let mut parameters = rcgen::CertificateParams::new(["a".to_owned()]).unwrap();
            parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
            parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
        };
        let both = format!("a text before\n{}{}", pem(2040), pem(2031));
        assert_eq!(certificate_end(both.as_bytes()).unwrap().to_string(), "2031-01-01T00:00:00Z");
        let data = base64::engine::general_purpose::STANDARD.encode(&both);
        let user = AuthInfo { client_certificate_data: Some(data), ..AuthInfo::default() };
        assert_eq!(user_end(&user).unwrap().0, "client certificate");
        assert_eq!(certificate_end(b"no certificate"), None);
        assert_eq!(user_end(&AuthInfo::default()), None);
    }

    #[test]
    fn what_a_server_caps_is_seen() {
        let days = |days: u64| Duration::from_secs(days * 24 * 3600);
        assert_eq!(judge(days(365), days(365)), Granted::Full);
        assert_eq!(judge(days(365), days(365) - Duration::from_secs(30)), Granted::Full);
        assert_eq!(judge(days(365), days(30)), Granted::Capped);
        assert_eq!(judge(days(365), days(1)), Granted::TooShort);
        // Who asks for little gets little.
        assert_eq!(judge(days(1), days(1)), Granted::Full);
        assert_eq!(judge(days(2), days(1)), Granted::TooShort);
    }
}
