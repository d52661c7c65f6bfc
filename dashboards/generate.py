#!/usr/bin/env python3
"""Writes the dashboards: `dashboards/generate.py` after a change, `dashboards/generate.py FOLDER` to look first.

Needs Python's standard library only. The JSON files beside it are its output; a test holds them to that, and runs every
query of theirs on a real Prometheus.
"""

import json
import pathlib
import sys

from grafana import (
    Board, annotation, bars, choice_variable, datasource_variable, graph, heatmap, link, mapping, override,
    query_variable, stat, table, target, thresholds, timeline,
)  # fmt: skip

TAG = "cloudflare-magic"
OVERVIEW, TUNNEL, EXPORTER = (f"{TAG}-{name}" for name in ("overview", "tunnel", "exporter"))

# --- Selectors ------------------------------------------------------------------------------------------------------

KEY = "job, instance, account, tunnel_id"  # one tunnel as one exporter sees it
WHO = f"{KEY}, tunnel_name, tunnel_type"
SCRAPE = 'job=~"$job", instance=~"$instance"'
ACCOUNT = f'{SCRAPE}, account=~"$account"'
CHOSEN = f'{ACCOUNT}, tunnel_name=~"$tunnel"'


def own(name, *more):
    """A series of the exporter itself."""
    return f"cloudflare_magic_{name}{{{', '.join((SCRAPE, *more))}}}"


def account(name, *more):
    """A series of an account."""
    return f"cloudflare_magic_{name}{{{', '.join((ACCOUNT, *more))}}}"


def tunnel(name, *more):
    """A series of the chosen tunnels."""
    return f"cloudflare_magic_tunnel_{name}{{{', '.join((CHOSEN, *more))}}}"


def scraped(name):
    """A series that every process, or Prometheus for every target, has."""
    return f"{name}{{{SCRAPE}}}"


def rate(selector):
    return f"rate({selector}[$__rate_interval])"


def over_range(function, selector, pinned=False):
    """Over the range that the dashboard shows. Pinned, a graph has one value of it, and not one for each of its points."""
    return f"{function}({selector}[$__range]{' @ end()' if pinned else ''})"


# --- What both dashboards of tunnels ask ------------------------------------------------------------------------------

HEALTHY = tunnel("verdict", 'verdict="healthy"')
BROKEN = tunnel("verdict", 'verdict!~"healthy|unknown"')
INSIDE = 'probe_target=~"interface_.*"'
REAL = 'reason!="not_sent"'  # what was not sent says nothing about the path

VERDICTS = (
    ("healthy", "healthy", "green"),
    ("bgp_fault", "BGP fault", "orange"),
    ("tunnel_fault", "tunnel fault", "red"),
    ("unreachable", "unreachable", "dark-red"),
    ("path_mismatch", "path mismatch", "purple"),
    ("reported_down", "reported down", "light-red"),
    ("prober_isolated", "prober isolated", "blue"),
    ("unknown", "unknown", "text"),
)
BGP_STATES = (
    ("up", "up", "green"),
    ("establishing", "establishing", "yellow"),
    ("down", "down", "red"),
    ("unknown", "unknown", "text"),
)


def by_code(states):
    return mapping(*((code, text, color) for code, (_, text, color) in enumerate(states)))


UP = mapping((0, "silent", "red"), (1, "answers", "green"))
YES_NO = mapping((0, "no", "text"), (1, "yes", "text"))
GOOD = thresholds("red", (0.99, "orange"), (0.999, "green"))
NONE_IS_GOOD = thresholds("green", (1, "red"))
NEUTRAL = thresholds("blue")


def code(name, label, states, these):
    """The state of some tunnels as its place in `states`, for timelines: a state is a series of 0 and 1 for each name.

    Each tunnel is in one operand only, and most are in the last: thousands of them are compared once, not for each state.
    """
    series = [tunnel(name, f'{label}="{state}"') for state, _, _ in states]
    usual, *others = (f"{place} * ({one} == 1)" for place, one in enumerate(series))
    return f"sum without ({label}) (({' or '.join((*others, usual))}) and on ({KEY}) {these})"



def worst(selector):
    """The tunnels for which a 0/1 series was 1 for the smallest part of the range; the same ones at every point of it."""
    return f"bottomk($limit, {over_range('avg_over_time', selector, pinned=True)})"


LEAST_HEALTHY = worst(HEALTHY)
VERDICT_CODE = code("verdict", "verdict", VERDICTS, LEAST_HEALTHY)
BGP_CODE = code("bgp_state", "state", BGP_STATES, LEAST_HEALTHY)


def only(expr, these):
    return f"({expr}) and on ({KEY}) {these}"


def most(expr, pinned):
    """`expr` of the `$limit` tunnels where `pinned` is highest."""
    return only(expr, f"topk($limit, {pinned})")


def loss(part, by, *matchers):
    """Lost echoes by those that ended, of which `part` makes a rate or an increase."""
    failed, replied = (tunnel(f"probe_{name}_total", *matchers) for name in ("failures", "replies"))
    lost = f"sum by ({by}) ({part(tunnel('probe_failures_total', *matchers, REAL))})"
    return f"{lost} / (sum by ({by}) ({part(replied)}) + sum by ({by}) ({part(failed)}))"


def increase(selector):
    return over_range("increase", selector)


def mean_rtt(by, *matchers):
    total, count = (tunnel(f"probe_rtt_seconds_{name}", *matchers) for name in ("sum", "count"))
    return f"sum by ({by}) ({rate(total)}) / sum by ({by}) ({rate(count)})"


def quantile(q, by, buckets):
    return f"histogram_quantile({q}, sum by (le, {by}) ({rate(buckets)}))"


def tunnels_where(name, *matchers, value=1):
    """How many tunnels; one that several exporters watch counts once."""
    return f"sum(max by (account, tunnel_id) ({tunnel(name, *matchers)} == bool {value}))"


SINCE = f"1000 * {tunnel('verdict_changed_timestamp_seconds')}"


def verdict_since(verdicts):
    """The moment at which the current one of `verdicts` was reached, in milliseconds, with its name as a label."""
    return f"({SINCE}) * ignoring (verdict) group_left (verdict) ({verdicts} == 1)"



def url(account_field, name_field, instance_field):
    chosen = (
        f"var-instance=${{{instance_field}:percentencode}}"
        f"&var-account=${{{account_field}:percentencode}}&var-tunnel=${{{name_field}:percentencode}}"
    )
    return f"/d/{TUNNEL}?${{datasource:queryparam}}&${{job:queryparam}}&{chosen}&${{__url_time_range}}"


FROM_ROW = link("Open this tunnel", url(*(f"__data.fields.{field}" for field in ("account", "tunnel_name", "instance"))))
FROM_LEGEND = link("Open this tunnel", url(*(f"__field.labels.{label}" for label in ("account", "tunnel_name", "instance"))))

COLORED = {"type": "color-background", "mode": "basic"}
NAME_COLUMN = override("tunnel_name", displayName="Tunnel", links=FROM_ROW, custom__minWidth=140)
TYPE_COLUMN = override("tunnel_type", displayName="Type", custom__width=80)
ACCOUNT_COLUMN = override("account", displayName="Account")
EXPORTER_COLUMN = override("instance", displayName="Exporter")


def state_column(field, title, states):
    return override(field, displayName=title, mappings=mapping(*states), custom__cellOptions=COLORED)


VERDICT_COLUMN = state_column("verdict", "Verdict", VERDICTS)
BGP_COLUMN = state_column("state", "BGP", BGP_STATES)


def variables(*names):
    asked = {
        "job": "label_values(cloudflare_magic_exporter_build_info, job)",
        "instance": 'label_values(cloudflare_magic_exporter_build_info{job=~"$job"}, instance)',
        "account": f"label_values(cloudflare_magic_collection_up{{{SCRAPE}}}, account)",
        "tunnel": f"label_values(cloudflare_magic_tunnel_bgp_configured{{{ACCOUNT}}}, tunnel_name)",
    }
    limit = choice_variable("limit", "Rows at most", ["10", "25", "50", "100"], "25")
    return [datasource_variable(), *(query_variable(name, asked[name]) for name in names), limit]


# --- Overview ---------------------------------------------------------------------------------------------------------


def overview():
    board = Board(
        OVERVIEW,
        "Magic tunnels / Overview",
        "What is broken now, and what was: Cloudflare Magic WAN and Magic Transit tunnels, any number of them.",
        TAG,
        variables("job", "instance", "account", "tunnel"),
    )
    board.row("Now")
    board.line(4, *counts())
    board.line(9, broken_now(), tunnels_by_verdict(), widths=[15, 9])
    board.row("Over time")
    board.line(
        11,
        timeline(
            "Verdicts",
            "The verdict on each tunnel. Where there are more tunnels than rows, those that were healthy for the smallest part of the range.",
            [target(VERDICT_CODE, "{{tunnel_name}}")],
            by_code(VERDICTS),
            links=FROM_LEGEND,
        ),
    )
    board.line(
        11,
        timeline(
            "BGP sessions",
            "The state of each session as Cloudflare reports it; tunnels without a status have none. Where there are more than rows, "
            "those that were up for the smallest part of the range.",
            [target(code("bgp_state", "state", BGP_STATES, worst(tunnel("bgp_up"))), "{{tunnel_name}}")],
            by_code(BGP_STATES),
            links=FROM_LEGEND,
        ),
    )
    board.row("Tunnels")
    board.line(12, tunnel_table())
    board.line(9, loss_graph(), rtt_graph(), changes_bars())
    return board


def counts():
    return (
        stat(
            "Tunnels",
            "Tunnels that Cloudflare lists. One that several exporters watch counts once.",
            "none",
            [target(f"count(count by (account, tunnel_id) ({tunnel('bgp_configured')}))", instant=True)],
            colors=NEUTRAL,
        ),
        stat(
            "Broken",
            "Tunnels whose verdict is neither healthy nor unknown.",
            "none",
            [target(f"sum(max by (account, tunnel_id) ({BROKEN}))", instant=True)],
            colors=NONE_IS_GOOD,
        ),
        stat(
            "BGP not up",
            "Tunnels whose BGP session is down or establishing as Cloudflare reports it.",
            "none",
            [target(tunnels_where("bgp_up", value=0), instant=True)],
            colors=NONE_IS_GOOD,
        ),
        stat(
            "Carrying nothing",
            "Tunnels whose inside addresses do not answer. No data without probing.",
            "none",
            [target(tunnels_where("reachable", value=0), instant=True)],
            colors=NONE_IS_GOOD,
        ),
        stat(
            "Availability",
            "Part of the range for which the tunnels were healthy, as the mean of all.",
            "percentunit",
            [target(f"avg({over_range('avg_over_time', HEALTHY)})", instant=True)],
            colors=GOOD,
        ),
        stat(
            "Not checked",
            "Tunnels for which Cloudflare's own health checks are disabled: Cloudflare shows them as down and cannot steer by them.",
            "none",
            [target(tunnels_where("health_check_enabled", value=0), instant=True)],
            colors=thresholds("green", (1, "orange")),
        ),
        stat(
            "May be unencrypted",
            "IPsec tunnels that allow the null cipher.",
            "none",
            [target(tunnels_where("null_cipher_allowed"), instant=True)],
            colors=thresholds("green", (1, "orange")),
        ),
        stat(
            "Age of the reports",
            "Time since the collection that waits longest was last read from Cloudflare's API.",
            "s",
            [target(f"time() - min({account('poll_last_success_timestamp_seconds')})", instant=True)],
            colors=thresholds("green", (180, "orange"), (300, "red")),
        ),
    )


def broken_now():
    return table(
        "What is broken now",
        "Tunnels whose verdict is neither healthy nor unknown, the newest change first. BGP fault: the tunnel carries traffic, the session "
        "does not come up (ASN, MD5 key, TCP 179, policy). Tunnel fault: the underlay is there, the tunnel carries nothing (IKE, PSK, GRE, "
        "MTU). Unreachable: nothing answers (circuit, router, power). Path mismatch: Cloudflare says up, nothing passes from here; while "
        "young it is the early warning. Reported down: nothing was observed. Prober isolated: the fault is where the exporter runs.",
        "dateTimeFromNow",
        [f"topk($limit, {verdict_since(BROKEN)})"],
        ["tunnel_name", "verdict", "Value", "tunnel_type", "account", "instance", "-job", "-tunnel_id"],
        overrides=[
            NAME_COLUMN,
            VERDICT_COLUMN,
            TYPE_COLUMN,
            ACCOUNT_COLUMN,
            EXPORTER_COLUMN,
            override("Value", displayName="Since"),
        ],
        sort="Since",
        descending=True,
        empty="Nothing is broken",
    )


def tunnels_by_verdict():
    # Cheaper than to find each tunnel's twin of another exporter.
    seen = f"sum by (job, instance, account, verdict) ({tunnel('verdict')})"
    count = f"sum by (verdict) (max by (account, verdict) ({seen}))"
    colors = [
        override(state, displayName=text, color={"mode": "fixed", "fixedColor": color}) for state, text, color in VERDICTS
    ]
    return graph(
        "Tunnels by verdict",
        "How many tunnels have each verdict. Where several exporters watch an account, the highest count among them.",
        "none",
        [target(count, "{{verdict}}")],
        stack=True,
        low=0,
        overrides=colors,
    )


def tunnel_table():
    changes = f"sum by ({WHO}) ({increase(tunnel('verdict_changes_total'))})"
    exprs = [
        f"max by ({WHO}) (bottomk($limit, {over_range('avg_over_time', HEALTHY)}))",
        only(f"max by ({WHO}, verdict) ({tunnel('verdict')} == 1)", LEAST_HEALTHY),
        only(f"max by ({WHO}, state) ({tunnel('bgp_state')} == 1)", LEAST_HEALTHY),
        only(f"max by ({WHO}) ({SINCE})", LEAST_HEALTHY),
        only(changes, LEAST_HEALTHY),
        only(loss(increase, WHO, INSIDE), LEAST_HEALTHY),
        only(mean_rtt(WHO, INSIDE), LEAST_HEALTHY),
    ]
    columns = ["tunnel_name", "verdict", "Value #D", "state", "Value #A", "Value #E", "Value #F", "Value #G"]
    columns += ["tunnel_type", "account", "instance", "-job", "-tunnel_id", "-Value #B", "-Value #C"]
    available = {"displayName": "Available", "unit": "percentunit", "custom__cellOptions": {"type": "color-text"}}
    return table(
        "Tunnels",
        "Every tunnel, those first that were healthy for the smallest part of the range; as many as the limit allows. Loss and round trip "
        "are those of the addresses inside the tunnel. A click on the name opens the tunnel.",
        "none",
        exprs,
        columns,
        overrides=[
            NAME_COLUMN,
            VERDICT_COLUMN,
            BGP_COLUMN,
            TYPE_COLUMN,
            ACCOUNT_COLUMN,
            EXPORTER_COLUMN,
            override("Value #A", **available, decimals=2, **GOOD),
            override("Value #D", displayName="Since", unit="dateTimeFromNow"),
            override("Value #E", displayName="Changes", unit="none", decimals=0),
            override("Value #F", displayName="Loss", unit="percentunit", decimals=2),
            override("Value #G", displayName="Round trip", unit="s"),
        ],
        sort="Available",
        empty="No tunnels",
    )


def loss_graph():
    lost = over_range("increase", tunnel("probe_failures_total", INSIDE, REAL), pinned=True)
    return graph(
        "Highest loss",
        "Lost echoes to the addresses inside the tunnel, for the tunnels that lost most over the range.",
        "percentunit",
        [target(most(loss(rate, WHO, INSIDE), f"sum by ({WHO}) ({lost})"), "{{tunnel_name}}")],
        low=0,
        high=1,
        links=FROM_LEGEND,
        points=150,
    )


def rtt_graph():
    total, count = (
        over_range("increase", tunnel(f"probe_rtt_seconds_{name}", INSIDE), pinned=True) for name in ("sum", "count")
    )
    slowest = f"(sum by ({WHO}) ({total}) / (sum by ({WHO}) ({count}) > 0))"
    return graph(
        "Slowest",
        "Mean round-trip time of the addresses inside the tunnel, for the tunnels that were slowest over the range.",
        "s",
        [target(most(mean_rtt(WHO, INSIDE), slowest), "{{tunnel_name}}")],
        low=0,
        links=FROM_LEGEND,
        points=150,
    )


def changes_bars():
    return bars(
        "Most changes of BGP",
        "Changes of the BGP state over the range, as seen from poll to poll. A session that comes and goes between two polls is not seen.",
        "none",
        [target(f"topk($limit, {increase(tunnel('bgp_state_changes_total'))})", "{{tunnel_name}}", instant=True)],
        links=FROM_LEGEND,
    )


# --- Tunnel -----------------------------------------------------------------------------------------------------------


def tunnel_annotations():
    # A mark for each of thousands of tunnels would hide the graphs: there are marks while the choice is narrow.
    few = f"and on () count({tunnel('bgp_configured')}) <= 20"
    modified = f"1000 * {tunnel('modified_timestamp_seconds')}"
    return [
        annotation(
            "Verdict",
            "purple",
            f"({verdict_since(tunnel('verdict'))}) {few}",
            "{{tunnel_name}} is {{verdict}}",
            value_is_time=True,
        ),
        annotation(
            "BGP state changed",
            "orange",
            f"(increase({tunnel('bgp_state_changes_total')}[$__rate_interval]) > 0) {few}",
            "{{tunnel_name}}",
        ),
        annotation("Configuration modified", "blue", f"({modified}) {few}", "{{tunnel_name}}", value_is_time=True),
    ]


def one_tunnel():
    board = Board(
        TUNNEL,
        "Magic tunnels / Tunnel",
        "One tunnel, or a few: verdict, what Cloudflare reports, what the prober observes, configuration.",
        TAG,
        variables("job", "instance", "account", "tunnel"),
        tunnel_annotations(),
    )
    board.row("Now")
    board.line(4, *tunnel_now())
    board.row("What is broken, and where")
    board.line(6, verdict_history(), verdict_shares(), widths=[17, 7])
    board.line(6, bgp_history(), answers_history())
    board.row("Observed")
    board.line(9, rtt_heatmap(), rtt_by_target())
    board.line(8, loss_by_target(), failures_by_reason(), last_replies())
    board.row("BGP")
    board.line(7, *bgp_details())
    board.row("Configuration")
    board.line(7, addresses_table())
    board.line(7, bgp_table(), health_check_table())
    board.line(7, settings_table())
    return board


def tunnel_now():
    name = "{{tunnel_name}}"
    since = only(SINCE, LEAST_HEALTHY)
    return (
        stat(
            "Verdict",
            "What report and observation add up to.",
            "none",
            [target(VERDICT_CODE, name, instant=True)],
            mappings=by_code(VERDICTS),
        ),
        stat("Since", "When the verdict was reached.", "dateTimeFromNow", [target(since, name, instant=True)]),
        stat(
            "BGP session",
            "As Cloudflare reports it. No data for tunnels without BGP.",
            "none",
            [target(BGP_CODE, name, instant=True)],
            mappings=by_code(BGP_STATES),
        ),
        stat(
            "Inside",
            "Whether the addresses inside the tunnel answer. No data without probing, or where none ever answered.",
            "none",
            [target(only(tunnel("reachable"), LEAST_HEALTHY), name, instant=True)],
            mappings=UP,
        ),
        stat(
            "Loss",
            "Lost echoes to the addresses inside the tunnel, over the range.",
            "percentunit",
            [target(only(loss(increase, WHO, INSIDE), LEAST_HEALTHY), name, instant=True)],
            colors=thresholds("green", (0.01, "orange"), (0.05, "red")),
            background=False,
        ),
        stat(
            "Available",
            "Part of the range for which the tunnel was healthy.",
            "percentunit",
            [target(f"bottomk($limit, {over_range('avg_over_time', HEALTHY)})", name, instant=True)],
            colors=GOOD,
            background=False,
        ),
    )


def verdict_history():
    return timeline(
        "Verdict",
        "The verdict in time.",
        [target(VERDICT_CODE, "{{tunnel_name}}")],
        by_code(VERDICTS),
    )


def verdict_shares():
    share = f"avg by (verdict) ({over_range('avg_over_time', tunnel('verdict'))})"
    colors = [
        override(state, displayName=text, color={"mode": "fixed", "fixedColor": color}) for state, text, color in VERDICTS
    ]
    return bars(
        "Parts of the range",
        "For which part of the range each verdict held; of several tunnels, the mean.",
        "percentunit",
        [target(share, "{{verdict}}", instant=True)],
        overrides=colors,
        high=1,
    )


def bgp_history():
    return timeline(
        "Reported: BGP",
        "The state of the session as Cloudflare reports it.",
        [target(BGP_CODE, "{{tunnel_name}}")],
        by_code(BGP_STATES),
    )


def answers_history():
    return timeline(
        "Observed: who answers",
        "Whether each probed address answers, debounced. Silence inside with an answer from the customer endpoint is the tunnel's; "
        "silence of both is the circuit's or the router's.",
        [target(only(tunnel("probe_up"), LEAST_HEALTHY), "{{tunnel_name}} {{probe_target}}")],
        UP,
    )


def rtt_heatmap():
    buckets = f"sum by (le) ({rate(tunnel('probe_rtt_seconds_bucket', INSIDE))})"
    return heatmap("Round trips inside", "Round-trip times of the addresses inside the tunnel: how many replies a second took how long.", "s", buckets)


def rtt_by_target():
    buckets = tunnel("probe_rtt_seconds_bucket")
    quantiles = [target(quantile(q, "probe_target", buckets), f"p{100 * q:.0f} {{{{probe_target}}}}") for q in (0.5, 0.99)]
    return graph(
        "Round trips by address",
        "Median and 99th percentile of the round-trip times of each kind of probed address; of several tunnels, together.",
        "s",
        quantiles,
        low=0,
    )


def loss_by_target():
    return graph(
        "Loss by address",
        "Lost echoes by all that ended. Echoes that this machine could not send are left out: they say nothing about the path.",
        "percentunit",
        [target(only(loss(rate, f"{WHO}, probe_target"), LEAST_HEALTHY), "{{tunnel_name}} {{probe_target}}")],
        low=0,
        high=1,
        points=150,
    )


def failures_by_reason():
    return graph(
        "Failures by reason",
        "Echoes that were not answered. Timeout: nothing came back. Unreachable, prohibited, TTL exceeded, too big: somebody on the path "
        "said so. Not sent: this machine could not send.",
        "ops",
        [target(f"sum by (probe_target, reason) ({rate(tunnel('probe_failures_total'))})", "{{probe_target}} {{reason}}")],
        low=0,
    )


def last_replies():
    age = f"time() - {tunnel('probe_last_reply_timestamp_seconds')}"
    return graph(
        "Time since the last reply",
        "How long each address has been silent. No series before its first answer.",
        "s",
        [target(only(age, LEAST_HEALTHY), "{{tunnel_name}} {{probe_target}}")],
        low=0,
    )


def bgp_details():
    name = "{{tunnel_name}}"
    status_age = f"time() - {tunnel('bgp_status_timestamp_seconds')}"
    changes = f"increase({tunnel('bgp_state_changes_total')}[$__rate_interval])"
    return (
        timeline(
            "TCP connection",
            "Whether the TCP connection of the session is established. Without it look at routing, TCP port 179 and policy; with it and "
            "no session, at ASN, MD5 key and timers.",
            [target(only(tunnel("bgp_tcp_established"), LEAST_HEALTHY), name)],
            mapping((0, "not established", "red"), (1, "established", "green")),
        ),
        graph("Changes of the state", "Changes of the BGP state as seen from poll to poll.", "none", [target(only(changes, LEAST_HEALTHY), name)], low=0),
        graph("Age of the status", "Time since Cloudflare itself last refreshed the status.", "s", [target(only(status_age, LEAST_HEALTHY), name)], low=0),
        graph(
            "Extra prefixes",
            "Prefixes that Cloudflare advertises to the router beside those of the Magic routing table.",
            "none",
            [target(only(tunnel("bgp_extra_prefixes"), LEAST_HEALTHY), name)],
            low=0,
        ),
    )


def facts(name, *labels):
    """The labels of an info series. Its addresses may change: for a moment there may be two of a tunnel, hence `max`."""
    return only(f"max by ({', '.join((WHO, *labels))}) ({tunnel(name)})", LEAST_HEALTHY)


def fact_table(title, description, name, labels):
    columns = ["tunnel_name", *labels, "tunnel_type", "account", "-instance", "-job", "-tunnel_id", "-Value"]
    titles = [override(label, displayName=text) for label, text in labels.items()]
    exprs = [facts(name, *labels)]
    overrides = [override("tunnel_name", displayName="Tunnel"), TYPE_COLUMN, ACCOUNT_COLUMN, *titles]
    return table(title, description, "none", exprs, columns, overrides=overrides, sort="Tunnel")


def addresses_table():
    return fact_table(
        "Addresses",
        "The tunnel as Cloudflare's API describes it.",
        "info",
        {
            "description": "Description",
            "customer_endpoint": "Customer endpoint",
            "cloudflare_endpoint": "Cloudflare endpoint",
            "interface_address": "Interface address",
            "interface_address6": "Interface address, IPv6",
        },
    )


def bgp_table():
    return fact_table(
        "BGP",
        "The session's configuration and the state of its finite state machine (RFC 4271).",
        "bgp_info",
        {"customer_asn": "Customer ASN", "fsm_state": "State machine", "md5": "MD5 key set"},
    )


def health_check_table():
    return fact_table(
        "Health checks of Cloudflare",
        "What Cloudflare's edge checks; empty where the API did not say. Target source: saved in the configuration, or Cloudflare's default.",
        "health_check_info",
        {"check_type": "Type of check", "direction": "Direction", "rate": "Rate", "target": "Target", "target_source": "Target source"},
    )


def settings_table():
    settings = (
        ("created_timestamp_seconds", "Created", "dateTimeFromNow"),
        ("modified_timestamp_seconds", "Modified", "dateTimeFromNow"),
        ("psk_generated_timestamp_seconds", "PSK generated", "dateTimeFromNow"),
        ("health_check_enabled", "Health checks", None),
        ("automatic_return_routing", "Automatic return routing", None),
        ("replay_protection", "Replay protection", None),
        ("null_cipher_allowed", "Null cipher allowed", None),
        ("custom_identity", "Custom IKE identity", None),
        ("mtu_bytes", "MTU", "bytes"),
        ("ttl_hops", "TTL", "none"),
    )
    exprs, overrides, columns = [], [override("tunnel_name", displayName="Tunnel"), TYPE_COLUMN], ["tunnel_name"]
    for letter, (name, title, unit) in zip("ABCDEFGHIJ", settings, strict=True):
        factor = "1000 * " if unit == "dateTimeFromNow" else ""
        exprs.append(only(f"max by ({WHO}) ({factor}{tunnel(name)})", LEAST_HEALTHY))
        look = {"unit": unit} if unit else {"unit": "none", "mappings": YES_NO}
        overrides.append(override(f"Value #{letter}", displayName=title, **look))
        columns.append(f"Value #{letter}")
    return table(
        "Settings",
        "Settings that the API states; those of the other tunnel type are empty.",
        "none",
        exprs,
        [*columns, "tunnel_type", "-account", "-instance", "-job", "-tunnel_id"],
        overrides=overrides,
        sort="Tunnel",
    )


# --- Exporter ---------------------------------------------------------------------------------------------------------


def exporter():
    board = Board(
        EXPORTER,
        "Magic tunnels / Exporter",
        "Whether the exporter itself can be trusted: polls, the API, the prober, the process.",
        TAG,
        variables("job", "instance", "account"),
        [
            annotation(
                "Exporter started",
                "blue",
                f"1000 * {scraped('process_start_time_seconds')}",
                "{{instance}}",
                value_is_time=True,
            )
        ],
    )
    board.row("Now")
    board.line(4, *exporter_now())
    board.row("Polls")
    board.line(8, *polls())
    board.row("Cloudflare's API")
    board.line(8, *api())
    board.line(8, *api_details())
    board.row("Prober")
    board.line(8, *prober())
    board.line(8, *prober_details())
    board.row("Process")
    board.line(8, *process(), widths=[6, 6, 6, 6])
    return board


def exporter_now():
    reload = f"min({own('config_last_reload_successful')})"
    return (
        stat(
            "Exporters not scraped",
            "Targets of the job that Prometheus could not scrape.",
            "none",
            [target(f"sum({scraped('up')} == bool 0)", instant=True)],
            colors=NONE_IS_GOOD,
        ),
        stat(
            "Version",
            "Versions that run.",
            "none",
            [target(f"max by (version) ({own('exporter_build_info')})", "{{version}}", instant=True)],
            colors=NEUTRAL,
            text="name",
        ),
        stat(
            "Collections failing",
            "Lists of the API whose newest poll failed.",
            "none",
            [target(f"sum({account('collection_up')} == bool 0)", instant=True)],
            colors=NONE_IS_GOOD,
        ),
        stat(
            "Probed addresses",
            "Addresses that are probed; tunnels that share one count once for each exporter.",
            "none",
            [target(f"sum({own('probe_targets')})", instant=True)],
            colors=NEUTRAL,
        ),
        stat(
            "Closed ICMP sockets",
            "IP versions for which a socket could not be opened: the exporter lacks the permission to ping, and says so in its log.",
            "none",
            [target(f"sum({own('probe_socket_up')} == bool 0)", instant=True)],
            colors=NONE_IS_GOOD,
        ),
        stat(
            "Configuration",
            "Whether the configuration was read when it was last asked for.",
            "none",
            [target(reload, instant=True)],
            mappings=mapping((0, "refused", "red"), (1, "in force", "green")),
        ),
    )


def polls():
    collection = "{{account}} {{collection}}"
    age = f"topk($limit, time() - {account('poll_last_success_timestamp_seconds')})"
    return (
        graph(
            "Age of the data",
            "Time since each collection was last read, and the configured interval. Past --poll.stale-after its series are left out.",
            "s",
            [target(age, collection), target(f"max({own('poll_interval_seconds')})", "interval")],
            low=0,
            overrides=[override("interval", custom__lineStyle={"fill": "dash", "dash": [8, 8]}, color={"mode": "fixed", "fixedColor": "text"})],
        ),
        timeline(
            "Collections",
            "Whether the newest poll of each collection succeeded.",
            [target(f"bottomk($limit, {account('collection_up')})", collection)],
            mapping((0, "failed", "red"), (1, "read", "green")),
        ),
        graph(
            "Duration of polls",
            "How long the newest poll of each collection took, retries included.",
            "s",
            [target(f"topk($limit, {account('poll_duration_seconds')})", collection)],
            low=0,
        ),
        graph(
            "Tunnels listed",
            "Tunnels that the API listed, by type.",
            "none",
            [target(f"sum by (tunnel_type) (max by (account, tunnel_type) ({account('tunnels')}))", "{{tunnel_type}}")],
            stack=True,
            low=0,
        ),
    )


def api():
    buckets = own("api_request_duration_seconds_bucket")
    return (
        graph(
            "Requests",
            "Requests by HTTP status; none is where no answer came. Cloudflare allows 1200 in five minutes for all of an account's users together.",
            "reqps",
            [target(f"sum by (collection, code) ({rate(own('api_requests_total'))})", "{{collection}} {{code}}")],
            low=0,
        ),
        graph(
            "Failures",
            "Requests that gave nothing usable, by reason.",
            "reqps",
            [target(f"sum by (collection, reason) ({rate(own('api_request_failures_total'))})", "{{collection}} {{reason}}")],
            low=0,
        ),
        graph(
            "Latency",
            "Time from sending a request to the end of its answer: median and 99th percentile.",
            "s",
            [target(quantile(q, "collection", buckets), f"p{100 * q:.0f} {{{{collection}}}}") for q in (0.5, 0.99)],
            low=0,
        ),
    )


def api_details():
    buckets = own("api_request_duration_seconds_bucket")
    return (
        heatmap(
            "Latency, all requests",
            "How many requests a second took how long.",
            "s",
            f"sum by (le) ({rate(buckets)})",
        ),
        graph(
            "Unknown values",
            "Values that this version does not know or cannot read, by field. More than zero: Cloudflare has changed something, look for a newer version.",
            "none",
            [target(f"sum by (field) (increase({own('unknown_values_total')}[$__rate_interval]))", "{{field}}")],
            low=0,
        ),
        graph(
            "Rejected tunnels",
            "Members of the API's lists that were left out because they cannot be told apart or read.",
            "none",
            [target(f"sum by (reason) ({account('tunnels_rejected')})", "{{reason}}")],
            low=0,
        ),
    )


def prober():
    buckets = own("probe_schedule_lag_seconds_bucket")
    return (
        heatmap(
            "Lateness of echoes",
            "How late echoes were sent. Late echoes mean that the machine is busy: then round trips and losses are not to be trusted.",
            "s",
            f"sum by (le) ({rate(buckets)})",
        ),
        graph(
            "Lateness, quantiles",
            "Median and 99th percentile of how late echoes were sent.",
            "s",
            [target(quantile(q, "instance", buckets), f"p{100 * q:.0f} {{{{instance}}}}") for q in (0.5, 0.99)],
            low=0,
        ),
        graph(
            "Echoes",
            "Echoes begun, replies and failures of all tunnels. Tunnels that share an address share its counters, so each of them counts.",
            "ops",
            [
                target(f"sum({rate(account(f'tunnel_probe_{name}_total'))})", name)
                for name in ("requests", "replies", "failures")
            ],
            low=0,
        ),
        graph(
            "In flight",
            "Echoes that were sent and have not ended yet.",
            "none",
            [target(own("probe_in_flight"), "{{instance}}")],
            low=0,
        ),
    )


def prober_details():
    return (
        timeline(
            "ICMP sockets",
            "Whether the sockets of each IP version are open, and of which kind they are.",
            [target(own("probe_socket_up"), "{{instance}} IPv{{ip_version}} {{mode}}")],
            mapping((0, "closed", "red"), (1, "open", "green")),
        ),
        timeline(
            "Uplinks",
            "Whether each uplink address (--probe.uplink) answers. No data where none is configured.",
            [target(own("probe_uplink_up"), "{{instance}} {{address}}")],
            UP,
        ),
        graph(
            "Refused addresses",
            "Addresses of tunnels and uplinks that are not probed although asked for, by reason.",
            "none",
            [target(f"sum by (reason) ({own('probe_targets_refused')})", "{{reason}}")],
            low=0,
        ),
    )


def process():
    instance = "{{instance}}"
    return (
        graph("Memory", "Resident memory.", "bytes", [target(scraped("process_resident_memory_bytes"), instance)], low=0),
        graph("CPU", "CPU time by second: 1 is one core.", "none", [target(rate(scraped("process_cpu_seconds_total")), instance)], low=0),
        graph(
            "File descriptors and threads",
            "Open file descriptors, connections and sockets among them, and threads of the operating system.",
            "none",
            [
                target(scraped("process_open_fds"), f"{instance} descriptors"),
                target(scraped("process_threads"), f"{instance} threads"),
            ],
            low=0,
        ),
        graph(
            "Scrapes",
            "How long Prometheus took to scrape the exporter.",
            "s",
            [target(scraped("scrape_duration_seconds"), instance)],
            low=0,
        ),
    )


# --- Files ------------------------------------------------------------------------------------------------------------


def lint_exceptions(boards):
    """What grafana/dashboard-linter is told to overlook, and why."""
    lines = [
        "# Exceptions for grafana/dashboard-linter. Written by generate.py.",
        "exclusions:",
        "  target-histogram-rule:",
        "    reason: A heatmap draws the buckets themselves; histogram_quantile would leave one line of them.",
        "    entries:",
    ]
    for board in boards:
        for panel in board["panels"]:
            if panel["type"] == "heatmap":
                lines += [f"      - dashboard: {board['title']}", f"        panel: {panel['title']}"]
    return "\n".join(lines) + "\n"


def files():
    boards = {"overview": overview(), "tunnel": one_tunnel(), "exporter": exporter()}
    written = {f"{name}.json": board.json() for name, board in boards.items()}
    texts = {name: json.dumps(board, indent=2, ensure_ascii=False) + "\n" for name, board in written.items()}
    return texts | {".lint": lint_exceptions(written.values())}


def main(arguments):
    folder = pathlib.Path(arguments[0]) if arguments else pathlib.Path(__file__).parent
    for name, text in files().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
