//! What Flux's controllers say when they fail, and what it means. The texts are those of kustomize-controller,
//! of its decryptor and of the API server.

use super::finding::State;

/// What a message means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    pub(super) state: State,
    pub(super) fix: String,
}

/// Reads the message of a condition.
pub(super) fn meaning(message: &str) -> Option<Meaning> {
    let say = |state, fix: &str| Some(Meaning { state, fix: fix.to_owned() });
    if let Some(fix) = decryption(message) {
        return say(State::Decryption, fix);
    }
    if let Some(namespace) = quoted_after(message, "namespaces ").filter(|_| message.contains("not found")) {
        let fix = format!(
            "create the namespace `{namespace}` on the worker, or have a Kustomization for namespaces do it and name it in `dependsOn`"
        );
        return say(State::NamespaceMissing, &fix);
    }
    if message.contains("no matches for kind") {
        return say(
            State::DefinitionMissing,
            "a Kustomization or HelmRelease that brings the definition must come first: name it in `dependsOn`",
        );
    }
    if message.contains("unable to read KubeConfig") || message.contains("does not contain a 'value'") {
        return say(
            State::Kubeconfig,
            "kubectl kubiya worker add NAME writes it; it must be in the Kustomization's own namespace",
        );
    }
    if message.contains("the server has asked for the client to provide credentials")
        || message.contains("Unauthorized")
    {
        return say(State::Refused, "kubectl kubiya worker add NAME makes new credentials");
    }
    let user = quoted_after(message, "User ")
        .filter(|_| message.contains("is forbidden") || message.contains("cannot "));
    if let Some(user) = user {
        if user.contains(":system:serviceaccount:") {
            return say(
                State::SubjectPrefix,
                &format!("bind the role on the worker to the user `{user}`, with its prefix"),
            );
        }
        return say(State::Rights, &format!("give `{user}` that right on the worker"));
    }
    None
}

/// Of which kind a failure of decryption is.
fn decryption(message: &str) -> Option<&'static str> {
    let has = |text: &str| message.contains(text);
    if has("configuring decryption is required") {
        return Some("add `decryption: {provider: sops, secretRef: {name: sops-age}}` to its spec");
    }
    if has("failed to import") && has("decryption Secret") {
        return Some(
            "one malformed line in that Secret keeps Flux from decrypting anything: mend or remove it",
        );
    }
    let about = has("decryption failed")
        || has("error decrypting")
        || has("sops data key")
        || has("decrypt and format");
    if has("decryption Secret") && has("not found") {
        return Some(
            "the Secret with the age key is not in the Kustomization's namespace on the infra cluster: kubectl kubiya bootstrap writes it",
        );
    }
    if !about {
        return None;
    }
    if has("MAC mismatch") || has("message authentication failed") {
        return Some(
            "the file was changed by hand after it was encrypted: kubectl kubiya check --decrypt says where; encrypt it anew",
        );
    }
    Some(
        "the file is for another key than Flux has: kubectl kubiya explain FILE says for whom; kubectl kubiya encrypt makes it as its rule says",
    )
}

/// What stands in quotes after a word.
fn quoted_after<'a>(message: &'a str, word: &str) -> Option<&'a str> {
    let (_, rest) = message.split_once(&format!("{word}\""))?;
    rest.split_once('"').map(|(quoted, _)| quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_controllers_and_what_they_mean() {
        for (message, state) in [
            (
                "BuildFailed: decryption failed for 'Secret.v1.[noGrp]/db': failed to decrypt and format 'default/db' \
                 Secret data: cannot get sops data key: age: identity did not match any of the recipients",
                State::Decryption,
            ),
            (
                "ReconciliationFailed: Secret/default/db is SOPS encrypted, configuring decryption is required for this secret to be reconciled",
                State::Decryption,
            ),
            (
                "BuildFailed: cannot get sops decryption Secret 'flux-system/sops-age': secrets \"sops-age\" not found",
                State::Decryption,
            ),
            (
                "ReconciliationFailed: Secret/apps/db not found: namespaces \"apps\" not found",
                State::NamespaceMissing,
            ),
            ("ReconciliationFailed: no matches for kind \"X\" in version \"a/v1\"", State::DefinitionMissing),
            (
                "ReconciliationFailed: the server has asked for the client to provide credentials",
                State::Refused,
            ),
            (
                "configmaps \"a\" is forbidden: User \"infra-cluster-oidc:system:serviceaccount:flux-system:apps\" cannot patch resource",
                State::SubjectPrefix,
            ),
            (
                "configmaps \"a\" is forbidden: User \"system:serviceaccount:k:flux\" cannot patch resource",
                State::Rights,
            ),
            (
                "ReconciliationFailed: unable to read KubeConfig secret 'a/b' error: not found",
                State::Kubeconfig,
            ),
        ] {
            assert_eq!(meaning(message).map(|meaning| meaning.state), Some(state), "{message}");
        }
        assert_eq!(meaning("HealthCheckFailed: timeout waiting for Deployment"), None);
        let fix = |message: &str| meaning(message).unwrap().fix;
        assert!(fix("x namespaces \"apps\" not found").contains("the namespace `apps`"));
        assert!(fix("decryption failed: MAC mismatch").contains("changed by hand"));
    }
}
