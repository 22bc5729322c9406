//! The words that names of credentials are made of, and those that make them something else.

/// Last words that say it all.
pub(super) const NOUNS: [&str; 10] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "token",
    "apikey",
    "apitoken",
    "authtoken",
    "secretkey",
];

/// Ends of a last word in which several were written as one: `pgpassword`.
pub(super) const ENDS: [&str; 7] =
    ["password", "passwd", "passphrase", "apikey", "apitoken", "accesstoken", "clientsecret"];

/// Pairs of last words that say it all.
pub(super) const PAIRS: [(&str, &str); 5] =
    [("api", "key"), ("account", "key"), ("bot", "key"), ("encryption", "passphrase"), ("secret", "token")];

/// What a secret, in the singular, belongs to where the word does not mean the name of a Kubernetes Secret.
pub(super) const SECRETS_OF: [&str; 24] = [
    "client",
    "app",
    "application",
    "consumer",
    "shared",
    "webhook",
    "signing",
    "cookie",
    "session",
    "jwt",
    "hmac",
    "oauth",
    "oidc",
    "totp",
    "otp",
    "encryption",
    "rpc",
    "turn",
    "csrf",
    "hook",
    "api",
    "hash",
    "refresh",
    "state",
];

/// Whose `pass` it is, where it is not a verb or a mountain.
pub(super) const PASSES_OF: [&str; 20] = [
    "db", "database", "user", "admin", "root", "smtp", "mail", "email", "mysql", "postgres", "pg", "redis",
    "ftp", "auth", "login", "http", "proxy", "mqtt", "ldap", "bind",
];

/// What a key does where its value is a secret.
pub(super) const KEYS_OF: [&str; 16] = [
    "secret",
    "access",
    "private",
    "encryption",
    "signing",
    "master",
    "auth",
    "session",
    "shared",
    "license",
    "preshared",
    "cookie",
    "jwt",
    "hmac",
    "storage",
    "unseal",
];

/// Keys above a value that make it a name, a place or a description of the credential.
pub(super) const REFERRING: [&str; 22] = [
    "ref",
    "refs",
    "from",
    "keys",
    "mapping",
    "mappings",
    "selector",
    "labels",
    "permissions",
    "schema",
    "scopes",
    "columns",
    "fields",
    "names",
    "files",
    "paths",
    "messages",
    "translations",
    "variables",
    "properties",
    "requires",
    "dependencies",
];

/// Values that say what kind of thing it is, or that there is none.
pub(super) const WORDS: [&str; 30] = [
    "true",
    "false",
    "yes",
    "no",
    "on",
    "off",
    "none",
    "null",
    "nil",
    "undefined",
    "string",
    "str",
    "text",
    "optional",
    "required",
    "enabled",
    "disabled",
    "auto",
    "automatic",
    "default",
    "write",
    "read",
    "never",
    "always",
    "hidden",
    "masked",
    "redacted",
    "sensitive",
    "generated",
    "n/a",
];

/// How references to a value kept elsewhere begin.
pub(super) const REFERENCES: [&str; 22] = [
    "/",
    "./",
    "../",
    "~/",
    "file:",
    "http://",
    "https://",
    "vault:",
    "ref+",
    "op://",
    "arn:",
    "projects/",
    "ssm:",
    "awssm:",
    "env:",
    "secret:",
    "secret://",
    "bao:",
    "keyring:",
    "%",
    "@",
    "ENC[",
];
