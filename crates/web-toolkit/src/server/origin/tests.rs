use super::*;

/// A request with this target and these headers.
fn request(method: &str, target: &str, version: Version, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(target).version(version);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

fn status(hosts: &Hosts, request: &Request<()>) -> u16 {
    hosts.refuse(request).map_or(200, |(status, _)| status.as_u16())
}

#[test]
fn a_request_needs_exactly_one_valid_host() {
    let any = Hosts::default();
    for (version, hosts, expected) in [
        (Version::HTTP_11, &["a"][..], 200),
        (Version::HTTP_11, &["a.example:9847"], 200),
        (Version::HTTP_11, &["[2001:db8::1]:9847"], 200),
        (Version::HTTP_11, &[""], 200),
        (Version::HTTP_11, &[], 400),
        (Version::HTTP_11, &["a", "a"], 400),
        (Version::HTTP_11, &["a", "b"], 400),
        (Version::HTTP_11, &["a b"], 400),
        (Version::HTTP_11, &["user@a"], 400),
        (Version::HTTP_11, &["http://a/"], 400),
        (Version::HTTP_10, &[], 200),
        (Version::HTTP_10, &["a", "b"], 400),
    ] {
        let headers: Vec<_> = hosts.iter().map(|host| ("Host", *host)).collect();
        assert_eq!(status(&any, &request("GET", "/", version, &headers)), expected, "{version:?} {hosts:?}");
    }
}

#[test]
fn with_an_allow_list_only_its_names_and_addresses_are_answered() {
    let names = ["exporter.example", "other.example"].map(|name| name.parse().unwrap());
    let hosts = Hosts::new(&names);
    for (host, expected) in [
        ("exporter.example", 200),
        ("Exporter.Example.:9847", 200),
        ("other.example:80", 200),
        ("127.0.0.1:9847", 200),
        ("10.0.0.7", 200),
        ("[::1]:9847", 200),
        ("localhost:9847", 200),
        ("evil.example", 421),
        ("exporter.example.evil.example", 421),
        ("x.exporter.example", 421),
        ("", 421),
    ] {
        assert_eq!(status(&hosts, &request("GET", "/", Version::HTTP_11, &[("Host", host)])), expected, "{host}");
    }
    let absolute = request("GET", "http://evil.example/metrics", Version::HTTP_11, &[("Host", "exporter.example")]);
    assert_eq!(status(&hosts, &absolute), 421, "the target overrides the header");
    assert_eq!(status(&hosts, &request("GET", "/", Version::HTTP_10, &[])), 421);
}

#[test]
fn a_host_name_has_neither_scheme_nor_port_nor_path() {
    for good in ["exporter.example", "exporter", "a-b.example.", "a_b", "1.example"] {
        assert!(good.parse::<HostName>().is_ok(), "{good}");
    }
    for bad in ["", ".", "exporter:9847", "http://exporter", "a/b", "a b", "*.example", "127.0.0.1", "::1", "[::1]"] {
        assert!(bad.parse::<HostName>().is_err(), "{bad}");
    }
}

#[test]
fn another_site_can_read_through_a_link_but_change_nothing() {
    let table: [(&[(&str, &str)], bool); 14] = [
        (&[], true),
        (&[("Sec-Fetch-Site", "same-origin")], true),
        (&[("Sec-Fetch-Site", "none")], true),
        (&[("Sec-Fetch-Site", "same-site")], false),
        (&[("Sec-Fetch-Site", "cross-site")], false),
        (&[("Sec-Fetch-Site", "SAME-ORIGIN")], false),
        (&[("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")], false),
        (&[("Origin", "http://a.example:9847")], true),
        (&[("Origin", "https://A.example:9847")], true),
        (&[("Origin", "http://a.example")], false),
        (&[("Origin", "https://evil.example")], false),
        (&[("Origin", "null")], false),
        (&[("Origin", "")], false),
        // A proxy in front of the exporter changes `Host`.
        (&[("Sec-Fetch-Site", "same-origin"), ("Origin", "https://public.example")], true),
    ];
    for (more, allowed) in table {
        let headers = [&[("Host", "a.example:9847")], more].concat();
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let expected = if allowed { 200 } else { 403 };
            let request = request(method, "/-/reload", Version::HTTP_11, &headers);
            assert_eq!(status(&Hosts::default(), &request), expected, "{method} {more:?}");
        }
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert_eq!(status(&Hosts::default(), &request(method, "/", Version::HTTP_11, &headers)), 200, "{more:?}");
        }
    }
}
