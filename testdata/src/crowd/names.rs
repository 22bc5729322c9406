//! What one name of a crowd sees: its own access for Flux, and its own `kube-system`.

use sha2::{Digest as _, Sha256};

/// What the names of everything that an infra cluster has on a worker begin with; eight characters follow that
/// tell the infra clusters apart.
const OURS: &[u8] = b"kubiya-";
const TENANT: usize = 8;

/// From a client to the cluster: `kubiya-0a1b2c3d` becomes `kubiya-0a1b2c3d-NAME`.
pub(super) fn outward(text: &[u8], name: &str) -> Vec<u8> {
    rewritten(text, |rest, made| {
        made.extend_from_slice(format!("-{name}").as_bytes());
        rest
    })
}

/// And back.
pub(super) fn inward<'t>(text: &'t [u8], name: &str) -> Vec<u8> {
    let suffix = format!("-{name}");
    rewritten(text, |rest: &'t [u8], _| rest.strip_prefix(suffix.as_bytes()).unwrap_or(rest))
}

fn rewritten<'t>(text: &'t [u8], mut after: impl FnMut(&'t [u8], &mut Vec<u8>) -> &'t [u8]) -> Vec<u8> {
    let mut made = Vec::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some(at) = rest.windows(OURS.len()).position(|window| window == OURS) {
        let end = at + OURS.len();
        let is_tenant =
            rest.get(end..end + TENANT).is_some_and(|tenant| tenant.iter().all(u8::is_ascii_hexdigit));
        let end = if is_tenant { end + TENANT } else { end };
        made.extend_from_slice(&rest[..end]);
        rest = if is_tenant { after(&rest[end..], &mut made) } else { &rest[end..] };
    }
    made.extend_from_slice(rest);
    made
}

/// The UID of a name's `kube-system`: always the same.
pub(super) fn uid(name: &str) -> String {
    let hash = Sha256::digest(name.as_bytes());
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_a_namespace_of_its_own_and_does_not_know() {
        let asked = b"/api/v1/namespaces/kubiya-0a1b2c3d/secrets?labelSelector=managed-by%3Dkubectl-kubiya";
        let there = outward(asked, "w0001");
        assert!(
            String::from_utf8_lossy(&there)
                .contains("/kubiya-0a1b2c3d-w0001/secrets?labelSelector=managed-by%3Dkubectl-kubiya")
        );
        assert_eq!(inward(&there, "w0001"), asked);
        let binding = b"{\"name\":\"kubiya-0a1b2c3d-flux\"}";
        assert_eq!(inward(&outward(binding, "w1"), "w1"), binding);
        assert_eq!(outward(b"kubiya-issuer-discovery kubiya-", "w1"), b"kubiya-issuer-discovery kubiya-");
        assert_ne!(uid("w0001"), uid("w0002"));
        assert_eq!(uid("w0001").len(), 36);
    }
}
