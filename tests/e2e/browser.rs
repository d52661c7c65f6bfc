//! The web pages in a real browser: content, filters, layout, accessibility, and hostile names.

mod accessibility;
mod colours;
mod pictures;
mod world;

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use self::world::World;
use crate::{
    json_api::ten_thousand_tunnels,
    support::{
        SOON,
        api::{self, Api, by_collection},
        browser::Browser,
        eventually,
        exporter::{ACCOUNT, Exporter, program, token_file},
        free_address, http,
        tunnels::{gre_list, ipsec_list},
    },
};

const ENTER: &str = "\u{e007}";

/// The verdict and the name of each row, in the order of the table.
fn rows(browser: &Browser) -> Vec<(String, String)> {
    let verdicts = browser.texts(".tunnels tbody .verdict .badge");
    verdicts.into_iter().zip(browser.texts(".tunnels tbody .name a")).collect()
}

fn names(browser: &Browser) -> Vec<String> {
    rows(browser).into_iter().map(|(_, name)| name).collect()
}

/// Asserts that the page's policy blocked nothing, no file was missing and no script failed.
fn assert_quiet(browser: &Browser, where_: &str) {
    let lines = browser.console();
    assert!(lines.is_empty(), "{where_}: lines on the console:\n{}", lines.join("\n"));
}

#[test]
fn broken_tunnels_come_first() {
    let Some(browser) = Browser::start() else { return };
    let world = World::settled();
    browser.open(world.address(), "/");
    assert_eq!(browser.texts("h1"), [world::headline()]);
    assert_eq!(rows(&browser), world::rows());
    // The title of the tab repeats the headline.
    let title = browser.run("return document.title");
    assert!(title.as_str().is_some_and(|title| title.starts_with(&world::headline())), "{title}");
    assert_quiet(&browser, "the front page");
}

#[test]
fn a_filter_is_set_by_the_form_by_a_link_and_by_the_address() {
    let Some(browser) = Browser::start() else { return };
    let world = World::settled();
    browser.open(world.address(), "/");
    browser.keys(".filter input", &format!("frankfurt{ENTER}"));
    browser.until("the filter in the address", "return location.search === '?search=frankfurt'");
    browser.until("the one tunnel", "return document.querySelectorAll('.tunnels tbody tr').length === 1");
    assert_eq!(names(&browser), ["fra-ipsec-1"]);
    let kept = browser.run("return document.querySelector('.filter input').value");
    assert_eq!(kept, "frankfurt", "the field keeps the search");
    browser.click(".tile.fine");
    browser.until("the healthy ones", "return location.search === '?verdict=healthy'");
    assert!(rows(&browser).iter().all(|(verdict, _)| verdict == "Healthy"));
    let chosen = browser.run("return document.querySelector('.filter select[name=verdict]').value");
    assert_eq!(chosen, "healthy");
    browser.open(world.address(), "/?verdict=attention&type=gre");
    assert_eq!(names(&browser), ["mad-gre-1"]);
    browser.open(world.address(), "/?sort=name");
    let mut sorted = names(&browser);
    sorted.sort();
    assert_eq!(names(&browser), sorted);
    browser.open(world.address(), "/?search=nowhere");
    assert_eq!(browser.texts(".empty"), ["No tunnel matches this filter. Show all tunnels"]);
    assert_quiet(&browser, "filters");
    browser.open(world.address(), "/?verdict=good");
    assert!(browser.texts(".detail")[0].contains("must be one of healthy"));
}

#[test]
fn a_name_that_is_a_script_is_text() {
    let Some(browser) = Browser::start() else { return };
    let world = World::settled();
    browser.open(world.address(), "/?search=alert");
    assert_eq!(names(&browser), [world::HOSTILE]);
    // The page has its own script only, and an open `alert` would block the driver.
    let scripts = "return document.scripts.length === 1 && document.querySelectorAll('.tunnels img, .tunnels script').length === 0";
    assert_eq!(browser.run(scripts), Value::Bool(true));
    browser.click(".tunnels .name a");
    browser.until("the page of that tunnel", "return location.pathname.startsWith('/tunnels/')");
    assert!(browser.texts("h1")[0].starts_with(world::HOSTILE), "{:?}", browser.texts("h1"));
    assert_eq!(browser.run("return document.scripts.length"), json!(1));
    assert_quiet(&browser, "a hostile name");
}

#[test]
fn injected_scripts_and_styles_are_blocked_by_the_policy() {
    let Some(browser) = Browser::start() else { return };
    let world = World::settled();
    browser.open(world.address(), "/");
    // The elements that an escaping error would let through.
    browser.run(
        "const s = document.createElement('script'); s.textContent = 'window.bad = 1'; document.body.append(s); \
         document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.bad = 2\"><p style=\"color: red\">')",
    );
    eventually("the policy of the page to be enforced", SOON, || {
        let said = browser.console().join("\n");
        if said.contains("Content Security Policy") { Ok(()) } else { Err(said) }
    });
    assert_eq!(browser.run("return window.bad ?? null"), Value::Null);
}

#[test]
fn the_page_of_a_tunnel_shows_the_reason_and_every_field() {
    let Some(browser) = Browser::start() else { return };
    let world = World::settled();
    browser.open(world.address(), "/?search=ams-ipsec-1");
    browser.click(".tunnels .name a");
    browser.until("the page of that tunnel", "return location.pathname.startsWith('/tunnels/')");
    assert_eq!(browser.texts("h1"), ["ams-ipsec-1 Tunnel fault"]);
    let why = browser.texts(".headline .detail").join("");
    assert!(why.contains("does not answer while the customer endpoint") && why.contains("check IKE"), "{why}");
    assert_eq!(browser.texts(".views b"), ["Session down", "Silent", "Answers"]);
    assert_eq!(browser.texts(".target h3").len(), 2);
    let facts = browser.texts(".card dl div").join("\n");
    for fact in
        ["Customer endpoint\n127.0.2.2", "MD5 key\nset", "Customer's ASN\n4200000001", "Direction\nbidirectional"]
    {
        assert!(facts.contains(fact), "{fact} is missing in\n{facts}");
    }
    browser.click(".headline .since a");
    browser.until("the runbook", "return location.pathname + location.hash === '/runbooks#magictunnelfault'");
    let heading = browser.run("return document.querySelector(':target').innerText");
    assert_eq!(heading, "MagicTunnelFault");
    browser.run("history.back()");
    browser.until("the page of the tunnel again", "return location.pathname.startsWith('/tunnels/')");
    assert_quiet(&browser, "the page of a tunnel");
    browser.click(".as-json a");
    browser.until("the JSON of that tunnel", "return location.pathname.startsWith('/api/v1/tunnels/')");
}

/// Widens the text of a page by the spacing of WCAG 2.2, criterion 1.4.12. Widened text is wider than the same text in
/// any common font, so that the result of a layout test does not depend on the installed fonts.
const SPACED_TEXT: &str = "for (const e of document.querySelectorAll('body, body *')) {
    e.style.letterSpacing = '0.12em'; e.style.wordSpacing = '0.16em'; e.style.lineHeight = '1.5'; }";

/// The elements that make a page too wide, for the message of a failing test: without one of them the page fits.
const TOO_WIDE: &str = "const page = document.documentElement, fits = () => page.scrollWidth <= page.clientWidth;
    return [...document.querySelectorAll('body *')].filter(e => {
        const old = e.style.display; e.style.display = 'none';
        const found = fits(); e.style.display = old; return found;
    }).map(e => `${e.tagName} .${e.className}: ${e.textContent.trim().slice(0, 60)}`)";

#[test]
fn on_a_phone_no_page_scrolls_sideways_with_any_font() {
    let Some(browser) = Browser::start() else { return };
    let world = World::settled();
    for width in [320, 390, 768, 1280] {
        browser.resize(width, 800);
        for path in ["/", &world::path_of("fra-ipsec-1"), &world::path_of(world::HOSTILE), "/runbooks"] {
            browser.open(world.address(), path);
            for text in ["", SPACED_TEXT] {
                browser.run(text);
                let wide = browser.run("return document.documentElement.scrollWidth");
                let spaced = if text.is_empty() { "" } else { ", with spaced text" };
                assert_eq!(wide, json!(width), "{path} at a width of {width}{spaced}: {}", browser.run(TOO_WIDE));
            }
        }
    }
}

/// The cells that are not visible, or that show the name of their column nowhere.
const UNNAMED_CELLS: &str = "
    const shown = e => e.offsetWidth > 1 && e.offsetHeight > 1;
    const named = e => e.dataset.label && getComputedStyle(e, '::before').content !== 'none';
    return [...document.querySelectorAll('td:not(.verdict)')].filter(e => e.childNodes.length > 0 && !(shown(e) && named(e)))
        .map(e => `${e.className} ${e.textContent}`);";

#[test]
fn on_a_phone_the_tables_keep_every_value_and_the_names_of_the_columns() {
    let Some(browser) = Browser::start() else { return };
    let world = World::settled();
    for width in [390, 1000] {
        browser.resize(width, 800);
        for path in ["/", &world::path_of("fra-ipsec-1")] {
            browser.open(world.address(), path);
            assert_eq!(browser.run(UNNAMED_CELLS), json!([]), "{path} at a width of {width}");
        }
        browser.open(world.address(), "/");
        let checks = browser.texts(".tunnels .check");
        assert!(checks.iter().any(|check| check.contains("On")), "the health check of Cloudflare: {checks:?}");
        browser.click(".tunnels thead th:nth-child(2) a");
        browser.until("the order of the head", "return location.search === '?sort=name'");
        let head = browser.run("const e = document.querySelector('.tunnels thead a'); return e.offsetHeight > 8");
        assert_eq!(head, json!(true), "the head is visible at a width of {width}");
    }
}

/// Finds texts with a contrast below 4.5 to their background, by the formula of WCAG 2.
const CONTRASTS: &str = "
    const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const parse = c => (c.match(/[\\d.]+/g) ?? []).map(Number);
    const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const ground = e => { for (; e; e = e.parentElement) {
        const c = parse(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] === 1) return c; } return [255, 255, 255]; };
    const worst = [];
    for (const e of document.querySelectorAll('body *')) {
        const text = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
        if (!text || !e.checkVisibility() || e.closest('.skip')) continue;
        const [a, b] = [luminance(parse(getComputedStyle(e).color)), luminance(ground(e))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < 4.5) worst.push(`${contrast.toFixed(2)} ${e.tagName} .${e.className}: ${e.textContent.trim().slice(0, 40)}`);
    }
    return worst;";

#[test]
fn every_text_has_enough_contrast_in_the_light_and_the_dark_scheme() {
    let Some(browser) = Browser::start() else { return };
    let world = World::settled();
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        for path in ["/", &world::path_of("ams-ipsec-1"), "/runbooks"] {
            browser.open(world.address(), path);
            assert_eq!(browser.run(CONTRASTS), json!([]), "{path} in the {scheme} scheme: contrast below 4.5");
        }
        grounds.push(browser.run("return getComputedStyle(document.body).backgroundColor"));
    }
    assert_ne!(grounds[0], grounds[1], "the schemes have different backgrounds");
}

#[test]
fn the_history_of_a_tunnel_is_one_click_away() {
    let Some(browser) = Browser::start() else { return };
    let world = World::settled();
    browser.open(world.address(), "/?search=ams-ipsec-1");
    browser.click(".tunnels .since a");
    browser.until("the history", "return location.hash === '#history' && document.querySelector(':target') !== null");
    assert_eq!(browser.texts(":target h2"), ["Changes of the verdict"]);
    let missing = browser.run(
        "return [...document.querySelectorAll('.sections a')].map(e => e.hash).filter(hash => !document.querySelector(hash))",
    );
    assert_eq!(missing, json!([]), "links of the page to itself lead nowhere");
    for page in ["prefixes", "agents", "runbooks"] {
        browser.click(&format!(".banner a[href$={page}]"));
        browser.until("the page", &format!("return location.pathname === '/{page}'"));
    }
}

#[test]
fn links_are_underlined_in_both_schemes() {
    let Some(browser) = Browser::start() else { return };
    let world = World::settled();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        for path in ["/", &world::path_of("ams-ipsec-1"), "/runbooks", "/agents"] {
            browser.open(world.address(), path);
            let plain = browser.run(
                "return [...document.querySelectorAll('a:not(.tile, .brand, .skip)')]
                    .filter(e => getComputedStyle(e).textDecorationLine !== 'underline').map(e => e.outerHTML)",
            );
            assert_eq!(plain, json!([]), "{path} in the {scheme} scheme");
        }
    }
}

#[test]
fn pages_have_the_structure_that_screen_readers_need() {
    let Some(browser) = Browser::start() else { return };
    let world = World::settled();
    for path in ["/", &world::path_of("ams-ipsec-1"), "/runbooks"] {
        browser.open(world.address(), path);
        let missing = browser.run(
            "const bad = [];
             const need = (ok, what) => ok || bad.push(what);
             need(document.documentElement.lang === 'en', 'the language of the page');
             need(document.querySelectorAll('h1').length === 1, 'one h1');
             need(document.querySelectorAll('main').length === 1, 'one main');
             for (const e of document.querySelectorAll('input, select')) need(e.labels.length === 1, `a label for ${e.name}`);
             for (const e of document.querySelectorAll('thead th')) need(e.scope === 'col', `the scope of ${e.textContent}`);
             for (const e of document.querySelectorAll('tbody tr')) need(e.querySelector('th[scope=row]'), `a head for ${e.textContent}`);
             for (const e of document.querySelectorAll('svg:not([aria-hidden])')) need(e.getAttribute('aria-label'), 'a label for a graph');
             for (const e of document.querySelectorAll('a, button')) need(e.textContent.trim(), 'a text for a link');
             for (const e of document.querySelectorAll('time')) need(e.dateTime && (e.title || e.matches('.exact')), 'the exact time');
             const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
             need(new Set(ids).size === ids.length, 'ids that are unique');
             return bad;",
        );
        assert_eq!(missing, json!([]), "{path}");
    }
}

#[test]
fn the_page_works_without_scripts() {
    let Some(browser) = Browser::start() else { return };
    let world = World::settled();
    browser.without_scripts();
    browser.open(world.address(), "/");
    assert_eq!(rows(&browser), world::rows());
    let again = browser.run("return document.querySelector('meta[http-equiv=refresh]')?.content ?? null");
    assert_eq!(again, "30", "it refreshes itself");
    browser.keys(".filter input", &format!("vienna{ENTER}"));
    browser.until("the filtered page", "return document.querySelectorAll('.tunnels tbody tr').length === 1");
    assert_eq!(names(&browser), ["vie-gre-1"]);
}

#[test]
fn the_local_time_stands_beside_utc() {
    let Some(browser) = Browser::start() else { return };
    let world = World::settled();
    // India is five and a half hours ahead of UTC.
    browser.move_to("Asia/Kolkata");
    browser.open(world.address(), "/");
    let clocks = "const [utc, local] = document.querySelector('#clock').innerText.split(' = ');
        const seconds = clock => Date.parse(clock.replace(/ (UTC|local time)$/, '').replace(' ', 'T') + 'Z') / 1000;
        return seconds(local) - seconds(utc)";
    assert_eq!(browser.run(clocks), json!(19_800), "{:?}", browser.texts("#clock"));
    let title = browser.run("return document.querySelector('.tunnels time').title");
    assert!(title.as_str().is_some_and(|title| title.contains(" UTC = 20")), "{title}");
    browser.move_to("UTC");
    browser.open(world.address(), "/");
    assert!(!browser.texts("#clock")[0].contains('='), "{:?}", browser.texts("#clock"));
}

#[test]
fn the_page_refreshes_keeps_the_filter_and_shows_a_lost_connection() {
    let Some(browser) = Browser::start() else { return };
    let mut world = World::settled();
    browser.open(world.address(), "/?search=waw");
    browser.run("document.querySelector('.filter input').value = 'half a wo'; document.documentElement.dataset.mark = 'same page'");
    assert_eq!(rows(&browser), [("Healthy".to_owned(), "waw-ipsec-1".to_owned())]);
    world.report("waw-ipsec-1", "DOWN");
    browser.until("the change", "return document.querySelector('.tunnels .badge').innerText === 'BGP fault'");
    let kept = "return location.search === '?search=waw' && document.querySelector('.filter input').value === 'half a wo' \
                && document.documentElement.dataset.mark === 'same page'";
    assert_eq!(browser.run(kept), Value::Bool(true));
    assert_quiet(&browser, "a refresh");
    world.stop();
    browser.until("the loss of contact", "return !document.getElementById('contact').hidden");
    assert!(browser.texts("#contact")[0].starts_with("The exporter does not answer. This page was last updated at 20"));
}

#[test]
fn an_unknown_address_is_a_page_with_style_and_links() {
    let Some(browser) = Browser::start() else { return };
    let world = World::settled();
    let ground = "return getComputedStyle(document.body).backgroundColor";
    browser.open(world.address(), "/");
    let style = browser.run(ground);
    for path in ["/nowhere", "/tunnels/", "/a/<b>/c"] {
        browser.open(world.address(), path);
        assert_eq!(browser.texts("h1"), ["There is no such page"], "{path}");
        assert_eq!(browser.run(ground), style, "{path} has the style of the other pages");
        assert_eq!(browser.run("return document.querySelectorAll('b').length"), json!(0), "{path} is text");
        browser.click(".headline a");
        browser.until("the front page", "return location.pathname === '/'");
    }
    let reply = http::get(world.address(), "/nowhere").expect("an answer");
    assert!(reply.status == 404 && reply.text().starts_with("404 not found; pages: /"), "{}", reply.text());
}

#[test]
fn ten_thousand_tunnels_are_split_into_pages() {
    let Some(browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (_sandbox, exporter) = ten_thousand_tunnels(&folder);
    browser.open(exporter.address, "/?sort=name&search=gen-");
    assert_eq!(browser.texts(".tunnels caption"), ["1–100 of 10,000\u{a0}tunnels"]);
    let elements = browser.run("return document.querySelectorAll('*').length").as_u64().expect("a number");
    assert!(elements < 4_000, "{elements} elements");
    let first = names(&browser);
    browser.click(".pager a[rel=next]");
    browser.until("the second page", "return location.search.includes('page=2')");
    assert_eq!(browser.texts(".tunnels caption"), ["101–200 of 10,000\u{a0}tunnels"]);
    assert!(names(&browser).iter().all(|name| !first.contains(name)));
    browser.open(exporter.address, "/?page=999999&search=gen-");
    assert_eq!(
        browser.texts(".tunnels caption"),
        ["9,901–10,000 of 10,000\u{a0}tunnels"],
        "a number beyond the last page shows the last page"
    );
    assert_quiet(&browser, "ten thousand tunnels");
}

#[test]
fn a_page_without_tunnels_shows_the_reason() {
    let Some(browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let silent: api::Answer = Arc::new(|_, wire| {
        loop {
            wire.pause(Duration::from_millis(100))?;
        }
    });
    let api = Api::start(silent);
    let exporter = Exporter::start(
        program()
            .args(["serve", "--poll.timeout=1h", "--cloudflare.account-id", ACCOUNT, "--cloudflare.api-token-file"])
            .arg(token_file(&folder))
            .arg(format!("--cloudflare.api-url=http://{}/client/v4", api.address)),
    );
    browser.open(exporter.address, "/");
    assert_eq!(browser.texts("h1"), ["Waiting for the first poll"]);
    assert!(browser.texts(".notices")[0].contains("Probing is switched off"));
    drop(exporter);

    let refused = api::json("403 Forbidden", json!({ "success": false, "errors": [{ "code": 10_000 }] }).to_string());
    let api = Api::start(refused);
    let exporter = Exporter::serve(api.address, &token_file(&folder), &[]);
    exporter.await_ready();
    browser.open(exporter.address, "/");
    assert_eq!(browser.texts("h1"), ["The tunnels are unknown"]);
    let notices = browser.texts(".notice.broken").join("\n");
    assert!(notices.contains("(auth)") && notices.contains("Magic WAN Read"), "{notices}");
    drop(exporter);

    let api = Api::start(by_collection(ipsec_list(&[]), gre_list(&[])));
    let exporter = Exporter::serve(api.address, &token_file(&folder), &[]);
    exporter.await_ready();
    browser.open(exporter.address, "/");
    assert_eq!(browser.texts("h1"), ["There are no tunnels"]);
    assert_quiet(&browser, "pages without tunnels");
}

fn start_demo() -> Exporter {
    let demo = Exporter::start(program().arg("demo").arg(format!("--sandbox.listen-address={}", free_address())));
    demo.await_ready();
    demo
}

/// The demo, with its prefixes open in the browser.
fn demo_with_prefixes(browser: &Browser) -> Exporter {
    let demo = start_demo();
    eventually("prefixes", SOON, || {
        browser.open(demo.address, "/prefixes");
        let text = browser.texts("main").join("");
        if browser.texts("#prefixes tbody tr").is_empty() { Err(text) } else { Ok(()) }
    });
    demo
}

#[test]
fn a_tunnel_and_its_prefixes_link_to_each_other() {
    let Some(browser) = Browser::start() else { return };
    let demo = demo_with_prefixes(&browser);
    browser.click("#prefixes td a");
    browser.until("a tunnel", "return location.pathname.startsWith('/tunnels/')");
    browser.click(".sections a[href='#routes']");
    browser
        .until("its routes", "return location.hash === '#routes' && document.querySelector(':target code') !== null");
    browser.click("#routes .more a");
    browser.until("the prefixes", "return location.pathname + location.search === '/prefixes?account=demo'");
    browser.resize(390, 800);
    assert_eq!(browser.run(UNNAMED_CELLS), json!([]), "prefixes on a phone");
    assert_eq!(browser.run("return document.documentElement.scrollWidth"), json!(390));
    assert_quiet(&browser, "prefixes");
    drop(demo);
}

#[test]
fn the_demo_is_shown_at_once() {
    let Some(browser) = Browser::start() else { return };
    let demo = start_demo();
    browser.open(demo.address, "/");
    browser.until("the tunnels of the demo", "return document.querySelectorAll('.tunnels tbody tr').length === 9");
    assert_quiet(&browser, "the demo");
}
