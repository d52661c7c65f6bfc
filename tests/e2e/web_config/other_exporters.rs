//! Web configuration files as other exporters have them: what `promtool check web-config` accepts is accepted.

use std::{net::TcpListener, process::Command};

use super::{Folder, TLS, said};
use crate::support::{
    exporter::{program, run},
    free_address, tools,
};

/// bcrypt hashes of costs that are in use elsewhere.
const USERS: &str = "\
basic_auth_users:
  low: $2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze
  high: $2y$18$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze
";

const HEADERS: &str = "\
http_server_config:
  headers:
    X-Frame-Options: deny
    Strict-Transport-Security: max-age=31536000; includeSubDomains
    X-Content-Type-Options: nosniff
    X-XSS-Protection: 1
    Content-Security-Policy: \"default-src 'self' *.example.net\"
";

/// What a file is about, and its text.
type Named = (&'static str, String);

fn policy(word: &str) -> String {
    format!("{TLS}  client_auth_type: \"{word}\"\n")
}

fn if_given(more: &str) -> String {
    format!("{}{more}", policy("VerifyClientCertIfGiven"))
}

fn files_about_clients() -> Vec<Named> {
    let verified = policy("RequireAndVerifyClientCert");
    vec![
        ("a certificate if given, without a CA", if_given("")),
        ("any certificate", policy("RequireAnyClientCert")),
        ("any certificate, under the old name", policy("RequireClientCert")),
        ("a requested certificate", policy("RequestClientCert")),
        ("a verified certificate without a CA", verified.clone()),
        ("a verified certificate", format!("{verified}  client_ca_file: \"ca.crt\"\n")),
        ("no certificate", policy("NoClientCert")),
    ]
}

fn files_about_all_else() -> Vec<Named> {
    vec![
        ("an empty file", String::new()),
        ("TLS", TLS.to_owned()),
        (
            "one cipher suite and HTTP/1",
            if_given(
                "  cipher_suites:\n    - TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384\n  max_version: TLS12\n\
             http_server_config:\n  http2: false\n",
            ),
        ),
        (
            "the order of the client's suites",
            if_given(
                "  cipher_suites:\n  - TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384\n  - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n  \
             prefer_server_cipher_suites: false\n  min_version: TLS12\n  max_version: TLS12\n",
            ),
        ),
        (
            "old cipher suites",
            if_given(
                "  cipher_suites:\n  - TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA\n  - TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA\n",
            ),
        ),
        ("one curve", if_given("  min_version: TLS13\n  curve_preferences:\n  - CurveP521\n")),
        ("all curves", if_given("  curve_preferences: [CurveP256, CurveP384, CurveP521, X25519]\n")),
        ("an old version", format!("{TLS}  min_version: TLS10\n")),
        ("headers", HEADERS.to_owned()),
        ("every section", if_given(&format!("  client_ca_file: ca.crt\n{HEADERS}  http2: true\n{USERS}"))),
        ("users", USERS.to_owned()),
        ("users and TLS", format!("{TLS}{USERS}")),
    ]
}

/// Files with keys that Debian's promtool does not know yet.
fn files_with_newer_keys(folder: &Folder) -> Vec<Named> {
    let indented = |name: &str| {
        let text = std::fs::read_to_string(folder.path(name)).expect("a file of this folder");
        format!("    {}\n", text.trim_end().replace('\n', "\n    "))
    };
    let (certificate, key) = (indented("server.crt"), indented("server.key"));
    let names = "  client_ca_file: ca.crt\n  client_allowed_sans:\n    - one\n    - two\n";
    vec![
        ("certificate and key in the file", format!("tls_server_config:\n  cert: |\n{certificate}  key: |\n{key}")),
        ("only the key in the file", format!("tls_server_config:\n  cert_file: server.crt\n  key: |\n{key}")),
        ("names of clients", format!("{}{names}", policy("RequireAndVerifyClientCert"))),
        ("names of clients, not verified", format!("{}{names}", policy("RequireAnyClientCert"))),
        ("no rate limit", "rate_limit:\n  interval: 0\n  burst: 0\n".to_owned()),
    ]
}

/// Refused by both.
fn bad_files() -> Vec<Named> {
    let tls = |more: &str| format!("{TLS}{more}");
    vec![
        ("an unknown key", "tls_server_config:\n  cert_filse: server.crt\n".to_owned()),
        ("no key and value", "some text\nand more\n".to_owned()),
        ("no certificate", "tls_server_config:\n  cert_file: \"\"\n  key_file: server.key\n".to_owned()),
        ("no key", "tls_server_config:\n  cert_file: server.crt\n  key_file: \"\"\n".to_owned()),
        ("only a policy", "tls_server_config:\n  client_auth_type: NoClientCert\n".to_owned()),
        ("a missing file", "tls_server_config:\n  cert_file: nowhere\n  key_file: server.key\n".to_owned()),
        ("an unknown policy", tls("  client_auth_type: sometimes\n")),
        ("CAs without a policy", tls("  client_ca_file: ca.crt\n")),
        ("a missing CA", tls("  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: nowhere\n")),
        ("an unknown version", tls("  min_version: TLS111\n")),
        ("a password instead of a hash", format!("{TLS}basic_auth_users:\n  alice: wonder\n")),
        ("an unknown header", "http_server_config:\n  headers:\n    Content-Type: foo\n".to_owned()),
        ("a wrong header", "http_server_config:\n  headers:\n    X-Frame-Options: foo\n".to_owned()),
    ]
}

/// What `docs/WEB-CONFIG.md` lists as different: accepted by promtool, refused here.
fn stricter_here() -> Vec<Named> {
    vec![
        ("no version is left", format!("{TLS}  min_version: TLS10\n  max_version: TLS11\n")),
        (
            "a file of CAs without a certificate",
            format!("{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: empty\n"),
        ),
    ]
}

/// Whether this program and promtool accept a file; `None` if promtool is not installed. Also returns what they print.
fn verdicts(folder: &Folder, text: &str) -> (bool, String, Option<bool>) {
    folder.write("web.yml", text);
    folder.write("empty", "");
    let file = folder.shown("web.yml");
    // A port in use ends the program after it has read its configuration: with 1, or with 64 if a file is refused.
    let taken = TcpListener::bind(free_address()).expect("a free address");
    let listen = format!("--sandbox.listen-address={}", taken.local_addr().expect("an address"));
    let own = run(program().args(["demo", &listen, "--web.config.file", &file]));
    let promtool = tools::tool("promtool");
    let oracle = promtool.map(|promtool| tools::run(Command::new(promtool).args(["check", "web-config", &file]), ""));
    let said = format!("{}{}", own.stderr, oracle.as_ref().map(said).unwrap_or_default());
    assert!([Some(1), Some(64)].contains(&own.status.code()), "{said}");
    (own.status.code() == Some(1), said, oracle.map(|output| output.status.success()))
}

#[test]
fn files_that_promtool_accepts_are_accepted() {
    let folder = Folder::new();
    for (what, text) in files_about_clients().into_iter().chain(files_about_all_else()) {
        let (own, said, oracle) = verdicts(&folder, &text);
        assert!(own && oracle != Some(false), "{what}:\n{text}\n{said}");
    }
    for (what, text) in files_with_newer_keys(&folder) {
        let (own, said, _) = verdicts(&folder, &text);
        assert!(own, "{what}:\n{text}\n{said}");
    }
}

#[test]
fn files_that_promtool_refuses_are_refused() {
    let folder = Folder::new();
    for (what, text) in bad_files() {
        let (own, said, oracle) = verdicts(&folder, &text);
        assert!(!own && oracle != Some(true), "{what}:\n{text}\n{said}");
    }
    for (what, text) in stricter_here() {
        let (own, said, oracle) = verdicts(&folder, &text);
        assert!(!own && oracle != Some(false), "{what}:\n{text}\n{said}");
    }
}
