//! What each document needs for its commands, and what they print.

use super::story::{Story, await_server};
use crate::alerts::{repository, text};

/// A test for each document.
macro_rules! stories {
    ($($test:ident: $document:literal, $story:ident;)*) => {
        /// The documents with a story.
        pub(super) const DOCUMENTS: &[&str] = &[$($document),*];

        $(
            #[test]
            fn $test() {
                Story::run(concat!(module_path!(), "::", stringify!($test)), |lab| {
                    let mut story = Story::of($document, lab);
                    $story(&mut story);
                    story.ends();
                });
            }
        )*
    };
}

stories! {
    the_quick_start_shows_the_verdict_of_each_tunnel: "README.md", quick_start;
    the_commands_for_the_json_api_print_what_they_select: "docs/API.md", json_api;
    the_command_of_the_configuration_reloads_it: "docs/CONFIGURATION.md", reload;
    the_commands_for_a_fleet_show_the_quorum_of_three_agents: "docs/FLEET.md", fleet;
    the_commands_for_operations_list_tunnels_and_silence_alerts: "docs/OPERATIONS.md", operations;
    the_commands_of_the_runbooks_work: "docs/RUNBOOKS.md", runbooks;
    the_rehearsal_shows_an_outage_and_its_end: "docs/SANDBOX.md", rehearsal;
}

const EXPORTER: &str = "127.0.0.1:9847";
const AGENT: &str = "127.0.0.1:9851";
const SANDBOX: &str = "127.0.0.1:9848";
const ALERTMANAGER: &str = "127.0.0.1:9093";

/// A simulated API with the account of the documents, and settings with which the program uses it.
fn start_sandbox(story: &mut Story) {
    let routes = "    routes:\n      - {prefix: 10.10.0.0/16, nexthop: 127.0.10.1, priority: 100}\n";
    story.file("story.yml", &format!("{}{routes}", text(&repository("deploy/fleet/story.yml"))));
    story.prepare("magic-tunnel-exporter sandbox --sandbox.story \"$TMPDIR/story.yml\" &");
    await_server(SANDBOX);
    story.prepare(
        "export CLOUDFLARE_API_URL=http://127.0.0.1:9848/client/v4\n\
         export CLOUDFLARE_ACCOUNT_ID=0123456789abcdef0123456789abcdef CLOUDFLARE_API_TOKEN=any",
    );
}

fn start_alertmanager(story: &mut Story) {
    story.prepare(
        "prometheus-alertmanager --config.file alerts/alertmanager.example.yml --storage.path \"$(mktemp -d)\" \
         --web.listen-address 127.0.0.1:9093 --cluster.listen-address= &",
    );
    await_server(ALERTMANAGER);
}

fn quick_start(story: &mut Story) {
    story.serves("demo", EXPORTER);
    start_sandbox(story);
    story.prints("tunnels --probe", "healthy  fra-1");
    story.serves("--probe", EXPORTER);
}

fn json_api(story: &mut Story) {
    story.prepare("magic-tunnel-exporter demo &");
    await_server(EXPORTER);
    story.prints("verdict=attention", "bgp_fault mad-gre-1: ");
    story.prints("events", ", was healthy");
    story.prints("sites", "demo Madrid: 1 broken");
    story.executes("state=lost");
}

fn reload(story: &mut Story) {
    story.prepare("magic-tunnel-exporter demo --web.enable-lifecycle &");
    await_server(EXPORTER);
    let printed = story.executes("/-/reload");
    assert!(printed.contains("reloaded"), "{printed}");
}

fn fleet(story: &mut Story) {
    story.executes("deploy/fleet/story.yml");
    story.prints("quorum", "tunnel_name=\"fra-1\", tunnel_type=\"ipsec\", verdict=\"healthy\"} => 3");
    let said = story.executes("BGP_DOWN");
    assert!(said.contains("BGP_DOWN"), "{said}");
    story.prints("fra-1", "tunnel_name=\"fra-1\", tunnel_type=\"ipsec\", verdict=\"bgp_fault\"} => 3");
    story.executes("kill");

    story.file("hub-web.yml", "http_server_config: {headers: {X-Frame-Options: deny}}\n");
    story.file("hub-password", "of the hub\n");
    story.prepare("wait; cp deploy/fleet/hub.yml \"$TMPDIR\"; cd \"$TMPDIR\"; export CLOUDFLARE_API_TOKEN=any");
    story.serves("--web.config.file", EXPORTER);
    story.prepare("unset CLOUDFLARE_API_TOKEN");
    story.replace(&[("var", "tmp")]);
    story.serves("--inventory.url", EXPORTER);
}

fn operations(story: &mut Story) {
    start_alertmanager(story);
    start_sandbox(story);
    story.prepare("cp deploy/fleet/hub.yml \"$TMPDIR/new.yml\"; cd \"$TMPDIR\"");
    // Each list of tunnels succeeds only while no tunnel needs attention.
    story.prints("check --offline", "ok    configuration");
    story.replace(&[("ID", "$(amtool --alertmanager.url=\"$ALERTMANAGER\" silence query --quiet | head -n 1)")]);
    let printed = story.executes("silence add");
    let sites = printed.matches("frankfurt").count();
    assert!(printed.contains("fra-ipsec-1") && sites > 0, "{printed}");
}

/// A hub that probes, an agent and Prometheus. One BGP session is down.
fn runbooks(story: &mut Story) {
    start_sandbox(story);
    start_alertmanager(story);
    story.prepare(
        "env -u CLOUDFLARE_ACCOUNT_ID magic-tunnel-exporter --config.file deploy/fleet/hub.yml --probe --web.expose reported,observed,exporter &\n\
         env -u CLOUDFLARE_ACCOUNT_ID -u CLOUDFLARE_API_TOKEN -u CLOUDFLARE_API_URL \
         magic-tunnel-exporter --config.file deploy/fleet/agent.yml --inventory.prober fra-1 \
         --inventory.advertise http://127.0.0.1:9851 --web.listen-address 127.0.0.1:9851 &\n\
         prometheus --config.file deploy/fleet/prometheus.yml --storage.tsdb.path \"$(mktemp -d)\" &",
    );
    for address in [EXPORTER, AGENT, "127.0.0.1:9090"] {
        await_server(address);
    }
    story.prepare(
        "curl -sf -X PUT -d '{\"state\": \"BGP_DOWN\"}' \
         http://127.0.0.1:9848/sandbox/accounts/$CLOUDFLARE_ACCOUNT_ID/tunnels/fra-1/bgp_status\n\
         await() { until \"${@:2}\" | grep -q \"$1\"; do sleep 0.2; done; }\n\
         await fra-1 curl -s 'http://127.0.0.1:9847/api/v1/tunnels?verdict=attention'\n\
         await fra-1 curl -s http://127.0.0.1:9847/api/v1/agents\n\
         await fra-1 curl -s http://127.0.0.1:9851/api/v1/tunnels\n\
         await hub promtool query instant http://127.0.0.1:9090 'up == 1'\n\
         cp deploy/fleet/hub.yml \"$TMPDIR\"; cd \"$TMPDIR\"; echo any >token; export TOKEN=any WRITE_TOKEN=any",
    );
    story.redirect_to(SANDBOX);
    story.replace(&[
        ("NAME", "fra-1"),
        ("ACCOUNT", "lab"),
        ("ACCOUNT_ID", "0123456789abcdef0123456789abcdef"),
        ("SITE", "fra"),
        ("INSTANCE", AGENT),
        ("ROUTER_INSIDE", "127.0.10.1"),
        ("FILE", "hub.yml"),
        ("TOKEN_FILE", "token"),
    ]);
    story.executes_the_rest(|place, block, printed| {
        // Prometheus has no series of a fault that does not exist. The exporter answers questions without a condition.
        let conditions = ["verdict=unreachable", "state=", "select("];
        let answers = block.contains("curl -sf") && !conditions.iter().any(|condition| block.contains(condition));
        assert!(!answers || !printed.is_empty(), "{place} prints nothing:\n{block}");
        let drains = block.contains("tee drain.json");
        assert!(!drains || printed.contains("600100"), "{place} does not raise the priority:\n{printed}");
    });
}

fn rehearsal(story: &mut Story) {
    story.executes("magic-tunnel-exporter sandbox");
    story.executes("magic-tunnel-exporter serve");
    story.executes("BGP_DOWN");
    story.prints("tunnel_bgp_up", "\"waw-ipsec-1\",tunnel_type=\"ipsec\"} 0");
    story.executes_the_rest(|place, block, printed| {
        let failed = ["\"success\":false", "\"error\"", "\"errors\":[{"].iter().any(|mark| printed.contains(mark));
        assert!(!failed, "{place}:\n{block}\nprinted:\n{printed}");
    });
}
