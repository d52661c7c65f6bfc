use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;

/// A folder with a certificate, its key and a CA, and the file that is checked.
struct Folder(tempfile::TempDir);

const HASH: &str = "$2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze";

/// The keys that are enough to enable TLS.
const PAIR: &str = "cert_file: server.crt, key_file: server.key";

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let mut holds = CertificateParams::new(vec!["exporter.example".to_owned()]).unwrap();
        holds.not_before = date_time_ymd(2020, 1, 1);
        holds.not_after = date_time_ymd(2030, 1, 1);
        for (name, key) in [("server", KeyPair::generate().unwrap()), ("other", KeyPair::generate().unwrap())] {
            folder.write(&format!("{name}.crt"), holds.self_signed(&key).unwrap().pem());
            folder.write(&format!("{name}.key"), key.serialize_pem());
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn load(&self, text: &str) -> Result<WebFile, String> {
        self.write("web.yml", text);
        let loaded = WebFile::load(named(&self.path("web.yml"))).map_err(|error| error.to_string());
        loaded.map_err(|sentence| sentence.replace(&format!("{}/", self.0.path().display()), ""))
    }

    /// The only mistake of a file of one line.
    fn complaint(&self, text: &str) -> String {
        let sentence = self.load(text).unwrap_err();
        sentence.strip_prefix("web.yml: line 1: ").unwrap_or_else(|| panic!("{sentence}")).to_owned()
    }

    /// With this in `tls_server_config`.
    fn tls(&self, section: &str) -> Result<WebFile, String> {
        self.load(&format!("tls_server_config: {{{section}}}\n"))
    }
}

fn named(path: &Path) -> Setting {
    Setting::from_flag("--web.config.file", &path.display().to_string())
}

fn now() -> Timestamp {
    "2026-11-21T00:00:00Z".parse().unwrap()
}

#[test]
fn a_whole_file_is_read() {
    let folder = Folder::new();
    let file = folder
        .load(&format!(
            "# as in the documentation of Prometheus\n\
             tls_server_config:\n  \
               cert_file: server.crt\n  \
               key_file: {}\n  \
               client_auth_type: RequireAndVerifyClientCert\n  \
               client_ca_file: other.crt\n  \
               client_allowed_sans: [prometheus.example, 192.0.2.1]\n  \
               min_version: TLS12\n  \
               max_version: TLS13\n  \
               cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, unknown]\n  \
               curve_preferences: [X25519, CurveP256]\n  \
               prefer_server_cipher_suites: false\n\
             http_server_config:\n  \
               http2: false\n  \
               headers:\n    \
                 Content-Security-Policy: default-src 'self'\n    \
                 X-Frame-Options: deny\n    \
                 X-Content-Type-Options: nosniff\n    \
                 X-XSS-Protection: 0\n    \
                 Strict-Transport-Security: \"\"\n\
             basic_auth_users:\n  \
               alice: {HASH}\n  \
               0815: \"{HASH}\"\n\
             rate_limit:\n  \
               interval: 100ms\n  \
               burst: 20\n",
            folder.path("server.key").display()
        ))
        .unwrap();
    let Clients::Verified { names, .. } = file.tls.as_ref().unwrap().clients().clone() else { panic!("{file:?}") };
    assert_eq!(names, ["prometheus.example", "192.0.2.1"]);
    assert!(file.rules.users().is_some());
    let ignored = ["cipher_suites", "curve_preferences", "prefer_server_cipher_suites"];
    let ignored = ignored.map(|key| format!("`tls_server_config.{key}` has no effect: the secure defaults are used"));
    assert_eq!(file.warnings(now()), ignored);
    let files: Vec<_> = file.files.keys().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(files, ["other.crt", "server.crt", "server.key", "web.yml"]);
}

#[test]
fn certificates_can_be_in_the_file_itself() {
    let folder = Folder::new();
    let indented = |name: &str| folder.text(name).replace('\n', "\n    ");
    let text = format!(
        "tls_server_config:\n  cert: |\n    {}\n  key: |\n    {}\n  client_ca: |\n    {}\n  client_auth_type: VerifyClientCertIfGiven\n",
        indented("server.crt"),
        indented("server.key"),
        indented("other.crt"),
    );
    let file = folder.load(&text).unwrap();
    assert!(matches!(file.tls.unwrap().clients(), Clients::VerifiedIfGiven { .. }));
    let swapped = text.replace(&indented("server.key"), &indented("other.key"));
    let sentence = folder.load(&swapped).unwrap_err();
    assert_eq!(
        sentence,
        "web.yml: line 15: `tls_server_config.key` does not belong to the certificate: the public keys differ"
    );
}

#[test]
fn a_file_without_requirements_is_accepted_with_a_warning() {
    let folder = Folder::new();
    for text in [
        "",
        "# nothing\n",
        "tls_server_config:\nbasic_auth_users:\n",
        "tls_server_config: {}\nbasic_auth_users: {}\nhttp_server_config: {}\nrate_limit: {interval: 0}\n",
        "tls_server_config: {cert_file: \"\", min_version: TLS12}\n",
    ] {
        let file = folder.load(text).unwrap();
        assert!(file.tls.is_none() && file.rules.users().is_none(), "{text:?}");
        let remarks = file.warnings(now());
        assert_eq!(remarks, ["neither TLS nor a password is required: everything that reaches the port can read it"]);
    }
}

#[test]
fn valid_but_insecure_settings_are_warned_about() {
    let folder = Folder::new();
    let users = format!("basic_auth_users: {{alice: {HASH}}}\n");
    let remarks = folder.load(&users).unwrap().warnings(now());
    assert_eq!(remarks, ["passwords are required, but TLS is not: they cross the network in clear text"]);
    fs::set_permissions(folder.path("server.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let remarks = folder.tls(PAIR).unwrap().warnings(now());
    let readable =
        "`tls_server_config.key_file` can be read by every user of this machine: run `chmod o-r` on its file";
    assert_eq!(remarks, [readable]);
}

#[test]
fn an_expired_certificate_is_accepted_with_a_warning() {
    let file = Folder::new().tls(PAIR).unwrap();
    let at = |time: &str| file.warnings(time.parse().unwrap());
    assert_eq!(
        at("2019-12-31T23:59:59Z"),
        ["the certificate is not valid before 2020-01-01T00:00:00Z: clients that verify it refuse to connect"]
    );
    assert_eq!(at("2020-01-01T00:00:00Z"), [""; 0]);
    assert_eq!(at("2030-01-01T00:00:00Z"), [""; 0]);
    assert_eq!(
        at("2030-01-01T00:00:01Z"),
        ["the certificate expired at 2030-01-01T00:00:00Z: clients that verify it refuse to connect"]
    );
}

#[test]
fn weak_settings_that_other_exporters_accept_are_accepted_with_a_warning() {
    let folder = Folder::new();
    let policy = |word: &str, remark: &str| {
        let remark = format!("`tls_server_config.client_auth_type` is `{word}`: it {remark}");
        (with_pair(&format!("client_auth_type: {word}")), remark)
    };
    let table = [
        policy("RequestClientCert", "has no effect: client certificates would not be verified"),
        policy("RequireClientCert", "accepts certificates of any issuer, which protects nothing"),
        policy("RequireAnyClientCert", "accepts certificates of any issuer, which protects nothing"),
        policy(
            "VerifyClientCertIfGiven",
            "has no effect without `client_ca_file`: no client is asked for a certificate",
        ),
        policy(
            "RequireAndVerifyClientCert",
            "refuses every client without `client_ca_file`, the CA that signs their certificates",
        ),
        (
            with_pair("min_version: TLS10"),
            "`tls_server_config.min_version` is `TLS10`: TLS12 is the oldest version that is supported".to_owned(),
        ),
    ];
    for (section, remark) in table {
        assert_eq!(folder.tls(&section).unwrap().warnings(now()), [remark], "{section}");
    }
    let costly = HASH.replace("$10$", "$18$");
    let file = folder.load(&format!("tls_server_config: {{{PAIR}}}\nbasic_auth_users: {{bob: {costly}}}\n")).unwrap();
    let remark = "`basic_auth_users.bob` has a bcrypt cost of 18: checking its password takes longer than a scrape \
        timeout; use at most 16";
    assert_eq!(file.warnings(now()), [remark]);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = Folder::new();
    folder.write("binary", [0xff, 0xfe, 0]);
    folder.write("huge", "#".repeat((1 << 20) + 1));
    for (name, rule) in [
        ("missing", "must be a readable file: No such file or directory (os error 2)"),
        ("", "must be a file: it is a directory"),
        ("binary", "must be UTF-8 text"),
        ("huge", "must be at most 1024 KiB"),
    ] {
        let path = folder.path(name);
        let sentence = WebFile::load(named(&path)).unwrap_err().to_string();
        assert_eq!(sentence, format!("`--web.config.file` is `{}`: {rule}", path.display()));
    }
}

const NO_CERTIFICATE: &str = "must contain a PEM certificate, beginning with `-----BEGIN CERTIFICATE-----`";
const NO_KEY: &str = "must contain an unencrypted PEM private key in PKCS #8, PKCS #1 or SEC1 format";

/// Next to a valid certificate and key.
fn with_pair(more: &str) -> String {
    format!("{PAIR}, {more}")
}

#[test]
fn every_mistake_about_certificate_and_key_is_reported() {
    let folder = Folder::new();
    folder.write("empty", "");
    folder.write("binary", [0xff, 0xfe, 0]);
    folder.write("huge", "#".repeat((1 << 20) + 1));
    folder.write("broken.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    folder.write("cut.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    folder.write("locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    folder.write("broken.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    let cert = |name: &str| format!("cert_file: {name}, key_file: server.key");
    let key = |name: &str| format!("cert_file: server.crt, key_file: {name}");
    let table = [
        (cert("missing"), "`tls_server_config.cert_file` is `missing`: must be a readable file: No such file or directory (os error 2)".to_owned()),
        (cert("."), "`tls_server_config.cert_file` is `.`: must be a file: it is a directory".into()),
        (cert("/dev/zero"), "`tls_server_config.cert_file` is `/dev/zero`: must be a regular file, not a device, pipe or socket".into()),
        (cert("huge"), "`tls_server_config.cert_file` is `huge`: must be at most 1024 KiB".into()),
        (cert("empty"), format!("`tls_server_config.cert_file` {NO_CERTIFICATE}")),
        (cert("binary"), format!("`tls_server_config.cert_file` {NO_CERTIFICATE}")),
        (cert("server.key"), format!("`tls_server_config.cert_file` {NO_CERTIFICATE}")),
        (cert("broken.crt"), "`tls_server_config.cert_file` contains a certificate that cannot be parsed".into()),
        (cert("cut.crt"), "`tls_server_config.cert_file` contains a certificate that cannot be parsed".into()),
        (cert("[a]"), "`tls_server_config.cert_file` must be one value, not a list or a section".into()),
        (key("missing"), "`tls_server_config.key_file` is `missing`: must be a readable file: No such file or directory (os error 2)".into()),
        (key("empty"), format!("`tls_server_config.key_file` {NO_KEY}")),
        (key("server.crt"), format!("`tls_server_config.key_file` {NO_KEY}")),
        (key("locked.key"), format!("`tls_server_config.key_file` {NO_KEY}")),
        (key("other.key"), "`tls_server_config.key_file` does not belong to the certificate: the public keys differ".into()),
        (
            key("broken.key"),
            "`tls_server_config.key_file` has an unsupported key type; use an RSA key (2048 bits or more), ECDSA P-256, \
             ECDSA P-384 or Ed25519"
                .into(),
        ),
        (
            key(&format!("{:?}", folder.text("server.key"))),
            "`tls_server_config.key_file` must be a path: put the text itself into the same key without `_file`".into(),
        ),
        ("cert_file: server.crt".into(), "`tls_server_config.key_file` is missing, and TLS needs it".into()),
        ("key_file: server.key".into(), "`tls_server_config.cert_file` is missing, and TLS needs it".into()),
        (
            "client_auth_type: RequireAndVerifyClientCert, client_ca_file: other.crt".into(),
            "`tls_server_config.cert_file` is missing, and TLS needs it".into(),
        ),
        (
            with_pair("cert: x"),
            "`tls_server_config.cert_file` must not be set together with `cert`".into(),
        ),
    ];
    for (section, expected) in table {
        assert_eq!(folder.complaint(&format!("tls_server_config: {{{section}}}\n")), expected, "{section}");
    }
}

#[test]
fn every_mistake_about_versions_is_reported() {
    let folder = Folder::new();
    let table = [
        (
            with_pair("max_version: TLS11"),
            "`tls_server_config.max_version` is `TLS11`: must be TLS12 or TLS13; older versions are insecure and not supported",
        ),
        (with_pair("max_version: 1.2"), "`tls_server_config.max_version` is `1.2`: must be TLS12 or TLS13"),
        (
            with_pair("min_version: TLS13, max_version: TLS12"),
            "`tls_server_config.min_version` is `TLS13`: must not be above `max_version`",
        ),
    ];
    for (section, expected) in table {
        assert_eq!(folder.complaint(&format!("tls_server_config: {{{section}}}\n")), expected, "{section}");
    }
}

#[test]
fn every_mistake_about_clients_is_reported() {
    let folder = Folder::new();
    folder.write("empty", "");
    folder.write("broken.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let table = [
        (
            with_pair("client_ca_file: other.crt"),
            "`tls_server_config.client_ca_file` needs `client_auth_type: RequireAndVerifyClientCert`; otherwise clients are not \
             asked for a certificate"
                .into(),
        ),
        (
            with_pair("client_ca_file: empty, client_auth_type: RequireAndVerifyClientCert"),
            format!("`tls_server_config.client_ca_file` {NO_CERTIFICATE}"),
        ),
        (
            with_pair("client_ca_file: broken.crt, client_auth_type: RequireAndVerifyClientCert"),
            "`tls_server_config.client_ca_file` contains a certificate that cannot be parsed".into(),
        ),
        (
            with_pair("client_auth_type: sometimes"),
            "`tls_server_config.client_auth_type` is `sometimes`: must be NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert".into(),
        ),
        (
            with_pair("client_ca_file: other.crt, client_auth_type: VerifyClientCertIfGiven, client_allowed_sans: [a]"),
            "`tls_server_config.client_allowed_sans` needs `client_auth_type: RequireAndVerifyClientCert`; otherwise the names \
             are not verified"
                .into(),
        ),
        (
            with_pair("cert_fil: x"),
            "unknown key `tls_server_config.cert_fil`; did you mean `cert_file`?".into(),
        ),
    ];
    for (section, expected) in table {
        assert_eq!(folder.complaint(&format!("tls_server_config: {{{section}}}\n")), expected, "{section}");
    }
}

#[test]
fn every_mistake_about_keys_and_headers_is_reported() {
    let folder = Folder::new();
    let table = [
        ("- a\n", "the file must begin with a key and a colon"),
        ("tls\n", "the file must begin with a key and a colon"),
        (
            "tls_server_config: on\n",
            "`tls_server_config` must be a section: put its keys on the lines below it, indented",
        ),
        (
            "auth_excluded_paths: [/metrics]\n",
            "unknown key `auth_excluded_paths`; expected one of `tls_server_config`, `http_server_config`, `basic_auth_users`, `rate_limit`",
        ),
        ("http_server_config: {http2: perhaps}\n", "`http_server_config.http2` is `perhaps`: must be true or false"),
        (
            "http_server_config: {headers: {Server: none}}\n",
            "`http_server_config.headers.Server` cannot be set; expected one of Content-Security-Policy, Strict-Transport-Security, \
             X-Content-Type-Options, X-Frame-Options, X-XSS-Protection",
        ),
        (
            "http_server_config: {headers: {X-Frame-Options: maybe}}\n",
            "`http_server_config.headers.X-Frame-Options` is `maybe`: must be deny or sameorigin",
        ),
        (
            "http_server_config: {headers: {X-Content-Type-Options: sniff}}\n",
            "`http_server_config.headers.X-Content-Type-Options` is `sniff`: must be nosniff",
        ),
        (
            "http_server_config: {headers: {X-XSS-Protection: \"a\\nb\"}}\n",
            "`http_server_config.headers.X-XSS-Protection` is `ab`: must be one line of printable text",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(folder.complaint(text), expected, "{text}");
    }
}

#[test]
fn every_mistake_about_users_and_the_rate_is_reported() {
    let folder = Folder::new();
    let table = [
        (
            "basic_auth_users: {alice: wonder}\n",
            "`basic_auth_users.alice` must be a bcrypt hash as printed by `htpasswd -nBC 10 USER`: `$2y$10$` and 53 \
             characters",
        ),
        (
            "basic_auth_users: {alice: $2y$32$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze}\n",
            "`basic_auth_users.alice` must be a bcrypt hash as printed by `htpasswd -nBC 10 USER`: `$2y$10$` and 53 \
             characters",
        ),
        ("basic_auth_users: {alice: [a]}\n", "`basic_auth_users.alice` must be one value, not a list or a section"),
        (
            "basic_auth_users: [alice]\n",
            "`basic_auth_users` must be a section: put its keys on the lines below it, indented",
        ),
        (
            "basic_auth_users: {\"a:b\": x}\n",
            "`basic_auth_users` must have user names as keys and hashes as values; a user name is not empty and contains neither `:` nor `$`",
        ),
        (
            "rate_limit: {interval: 1s}\n",
            "`rate_limit.interval` needs `rate_limit.burst`: how many requests are answered at once",
        ),
        (
            "rate_limit: {interval: 1s, burst: 0}\n",
            "`rate_limit.burst` is `0`: must be a whole number from 1 to 1000000",
        ),
        (
            "rate_limit: {interval: 1s, burst: -1}\n",
            "`rate_limit.burst` is `-1`: must be a whole number from 1 to 1000000",
        ),
        (
            "rate_limit: {interval: soon, burst: 1}\n",
            "`rate_limit.interval` is `soon`: must be a duration up to 1h such as 1s or 100ms, or 0 for no limit",
        ),
        (
            "rate_limit: {interval: 2h, burst: 1}\n",
            "`rate_limit.interval` is `2h`: must be a duration up to 1h such as 1s or 100ms, or 0 for no limit",
        ),
        ("rate_limit: {every: 1s}\n", "unknown key `rate_limit.every`; expected one of `interval`, `burst`"),
    ];
    for (text, expected) in table {
        assert_eq!(folder.complaint(text), expected, "{text}");
    }
}

/// Wherever a secret is put by mistake, the message does not quote it.
#[test]
fn no_message_quotes_a_secret() {
    const SECRET: &str = "s3cr3t/w0rd+0123456789abcdef";
    let folder = Folder::new();
    for template in [
        "basic_auth_users: {alice: SECRET}\n",
        "basic_auth_users: {$2y$SECRET: alice}\n",
        "basic_auth_users: SECRET\n",
        "basic_auth_users: [SECRET]\n",
        "basic_auth_users: {alice: {SECRET: x}}\n",
        "SECRET\n",
        "tls_server_config: SECRET\n",
        "tls_server_config: {key: SECRET, cert_file: server.crt}\n",
        "tls_server_config: {key: [SECRET], cert_file: server.crt}\n",
        "tls_server_config: {cert: SECRET, key_file: server.key}\n",
        "tls_server_config:\n  key: |\n  SECRET\n  cert_file: server.crt\n",
        "tls_server_config: {key: \"SECRET}\n",
        "tls_server_config: {key: *SECRET}\n",
        "tls_server_config: {key: !SECRET x}\n",
        "tls_server_config: {key: @SECRET}\n",
        "tls_server_config: {key: `SECRET`}\n",
        "tls_server_config:\n\tkey: SECRET\n",
        "a: 1\nSECRET\n",
        "? [SECRET]\n: 1\n",
        "http_server_config: {headers: SECRET}\n",
    ] {
        let sentence = folder.load(&template.replace("SECRET", SECRET)).unwrap_err();
        assert!(!sentence.contains(SECRET), "{template}: {sentence}");
    }
    let file = folder.load(&format!("tls_server_config: {{{PAIR}}}\nbasic_auth_users: {{alice: {HASH}}}\n")).unwrap();
    let (shown, key) = (format!("{file:?}"), folder.text("server.key"));
    assert!(!shown.contains(&HASH[7..]) && key.lines().all(|line| !shown.contains(line)), "{shown}");
}

#[test]
fn a_file_that_requires_less_is_recognized() {
    let folder = Folder::new();
    let users = format!("basic_auth_users: {{alice: {HASH}}}\n");
    let tls = |more: &str| format!("tls_server_config: {{{PAIR}{more}}}\n");
    let verified = ", client_ca_file: other.crt, client_auth_type: RequireAndVerifyClientCert";
    // Ordered by what is required of clients.
    let ladder = [
        String::new(),
        tls(""),
        tls(", client_ca_file: other.crt, client_auth_type: VerifyClientCertIfGiven"),
        tls(", client_auth_type: RequireAnyClientCert"),
        tls(verified),
        tls(&format!("{verified}, client_allowed_sans: [a]")),
        tls(&format!("{verified}, client_allowed_sans: [a]")) + &users,
    ];
    let files: Vec<WebFile> = ladder.iter().map(|text| folder.load(text).unwrap()).collect();
    for (i, old) in files.iter().enumerate() {
        for (k, new) in files.iter().enumerate() {
            assert_eq!(old.weakened_by(new).is_some(), k < i, "from {i} to {k}");
        }
    }
    let (open, users) = (folder.load("").unwrap(), folder.load(&users).unwrap());
    assert_eq!(users.weakened_by(&open), Some("it no longer has basic_auth_users"));
    assert_eq!(open.weakened_by(&users), None);
    assert_eq!(files[1].weakened_by(&users), Some("it no longer has tls_server_config"));
}

#[test]
fn the_examples_of_the_documentation_are_read() {
    let folder = Folder::new();
    folder.write("clients-ca.crt", folder.text("other.crt"));
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/WEB-CONFIG.md")).unwrap();
    let examples: Vec<&str> =
        page.split("```yaml\n# web.yml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 2);
    for example in examples {
        let file = folder.load(example).unwrap();
        assert_eq!(file.warnings(now()), [""; 0], "{example}");
    }
}
