#!/usr/bin/env python3
"""Generates the dashboards. Run `dashboards/generate.py` after a change, or `dashboards/generate.py FOLDER` for a preview.

Needs only Python's standard library. The JSON files in this folder are its output. A test checks that they are up to date
and runs all their queries against a real Prometheus.
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

KEY = "job, instance, account, tunnel_id"  # one tunnel of one exporter
TUNNEL_LABELS = f"{KEY}, tunnel_name, tunnel_type"
SCRAPE = 'job=~"$job", instance=~"$instance"'
ACCOUNT = f'{SCRAPE}, account=~"$account"'
CHOSEN = f'{ACCOUNT}, tunnel_name=~"$tunnel"'


def own(name, *more):
    """Selects a metric of the exporter itself."""
    return f"cloudflare_magic_{name}{{{', '.join((SCRAPE, *more))}}}"


def account(name, *more):
    """Selects a metric of the chosen accounts."""
    return f"cloudflare_magic_{name}{{{', '.join((ACCOUNT, *more))}}}"


def tunnel(name, *more):
    """Selects a metric of the chosen tunnels."""
    return f"cloudflare_magic_tunnel_{name}{{{', '.join((CHOSEN, *more))}}}"


def scraped(name):
    """Selects a standard process metric, or a metric that Prometheus adds for every target."""
    return f"{name}{{{SCRAPE}}}"


def rate(selector):
    return f"rate({selector}[$__rate_interval])"


def over_range(function, selector, pinned=False):
    """Applies `function` to the range of the dashboard. If pinned, a graph uses one value instead of one per point."""
    return f"{function}({selector}[$__range]{' @ end()' if pinned else ''})"


# --- Queries of both tunnel dashboards --------------------------------------------------------------------------------

HEALTHY = tunnel("verdict", 'verdict="healthy"')
BROKEN = tunnel("verdict", 'verdict!~"healthy|unknown"')
INSIDE = 'probe_target=~"interface_.*"'
REAL = 'reason!="not_sent"'  # pings that were not sent are unrelated to the path

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
    """Encodes the state of tunnels as its index in `states`, for timelines. The metric has one 0/1 series per state.

    Each tunnel matches one operand of `or` only. The most common state is the last operand, so that thousands of tunnels
    are compared once and not once per state.
    """
    series = [tunnel(name, f'{label}="{state}"') for state, _, _ in states]
    usual, *others = (f"{place} * ({one} == 1)" for place, one in enumerate(series))
    return f"sum without ({label}) (({' or '.join((*others, usual))}) and on ({KEY}) {these})"



def worst(selector):
    """Selects the tunnels with a 0/1 series that was 1 for the smallest part of the range, the same ones at every point."""
    return f"bottomk($limit, {over_range('avg_over_time', selector, pinned=True)})"


LEAST_HEALTHY = worst(HEALTHY)
VERDICT_CODE = code("verdict", "verdict", VERDICTS, LEAST_HEALTHY)
BGP_CODE = code("bgp_state", "state", BGP_STATES, LEAST_HEALTHY)


def only(expr, these):
    return f"({expr}) and on ({KEY}) {these}"


def most(expr, pinned):
    """Limits `expr` to the `$limit` tunnels with the highest `pinned`."""
    return only(expr, f"topk($limit, {pinned})")


def loss(part, by, *matchers):
    """Divides lost pings by completed pings; `part` is `rate` or `increase`."""
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
    """Counts tunnels; a tunnel of several exporters counts once."""
    return f"sum(max by (account, tunnel_id) ({tunnel(name, *matchers)} == bool {value}))"


SINCE = f"1000 * {tunnel('verdict_changed_timestamp_seconds')}"


def verdict_since(verdicts):
    """Time of the last change to the current one of `verdicts`, in milliseconds, with the verdict as a label."""
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
        "Current and past faults of Cloudflare Magic WAN and Magic Transit tunnels, for any number of tunnels.",
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
            "The verdict of each tunnel. If there are more tunnels than rows, the least healthy ones of the range are shown.",
            [target(VERDICT_CODE, "{{tunnel_name}}")],
            by_code(VERDICTS),
            links=FROM_LEGEND,
        ),
    )
    board.line(
        11,
        timeline(
            "BGP sessions",
            "The state of each session as reported by Cloudflare; tunnels without a status are not shown. If there are more tunnels "
            "than rows, those with the shortest time up in the range are shown.",
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
            "Tunnels that Cloudflare lists. A tunnel of several exporters counts once.",
            "none",
            [target(f"count(count by (account, tunnel_id) ({tunnel('bgp_configured')}))", instant=True)],
            colors=NEUTRAL,
        ),
        stat(
            "Broken",
            "Tunnels with a verdict other than healthy or unknown.",
            "none",
            [target(f"sum(max by (account, tunnel_id) ({BROKEN}))", instant=True)],
            colors=NONE_IS_GOOD,
        ),
        stat(
            "BGP not up",
            "Tunnels with a BGP session that Cloudflare reports as down or establishing.",
            "none",
            [target(tunnels_where("bgp_up", value=0), instant=True)],
            colors=NONE_IS_GOOD,
        ),
        stat(
            "No traffic",
            "Tunnels in which no inside address answers. No data without probing.",
            "none",
            [target(tunnels_where("reachable", value=0), instant=True)],
            colors=NONE_IS_GOOD,
        ),
        stat(
            "Availability",
            "Fraction of the range in which tunnels were healthy; mean of all tunnels.",
            "percentunit",
            [target(f"avg({over_range('avg_over_time', HEALTHY)})", instant=True)],
            colors=GOOD,
        ),
        stat(
            "Not checked",
            "Tunnels with Cloudflare's own health checks disabled: Cloudflare shows them as down and cannot steer traffic around them.",
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
            "Age of the API data",
            "Time since the last successful poll, for the oldest collection.",
            "s",
            [target(f"time() - min({account('poll_last_success_timestamp_seconds')})", instant=True)],
            colors=thresholds("green", (180, "orange"), (300, "red")),
        ),
    )


def broken_now():
    return table(
        "Broken tunnels",
        "Tunnels with a verdict other than healthy or unknown, the latest change first. BGP fault: the tunnel carries traffic, but the "
        "session does not come up (ASN, MD5 key, TCP 179, policy). Tunnel fault: the underlay works, but the tunnel carries no traffic "
        "(IKE, PSK, GRE, MTU). Unreachable: no address answers (circuit, router, power). Path mismatch: Cloudflare reports up, but no "
        "traffic from the prober passes; when new, an early warning. Reported down: reported by Cloudflare, without probe results. "
        "Prober isolated: the fault is at the exporter's machine.",
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
        empty="No broken tunnels",
    )


def tunnels_by_verdict():
    # Cheaper than matching each tunnel with the same tunnel of another exporter.
    seen = f"sum by (job, instance, account, verdict) ({tunnel('verdict')})"
    count = f"sum by (verdict) (max by (account, verdict) ({seen}))"
    colors = [
        override(state, displayName=text, color={"mode": "fixed", "fixedColor": color}) for state, text, color in VERDICTS
    ]
    return graph(
        "Tunnels by verdict",
        "Number of tunnels with each verdict. If several exporters monitor an account, the highest count of them.",
        "none",
        [target(count, "{{verdict}}")],
        stack=True,
        low=0,
        overrides=colors,
    )


def tunnel_table():
    changes = f"sum by ({TUNNEL_LABELS}) ({increase(tunnel('verdict_changes_total'))})"
    exprs = [
        f"max by ({TUNNEL_LABELS}) (bottomk($limit, {over_range('avg_over_time', HEALTHY)}))",
        only(f"max by ({TUNNEL_LABELS}, verdict) ({tunnel('verdict')} == 1)", LEAST_HEALTHY),
        only(f"max by ({TUNNEL_LABELS}, state) ({tunnel('bgp_state')} == 1)", LEAST_HEALTHY),
        only(f"max by ({TUNNEL_LABELS}) ({SINCE})", LEAST_HEALTHY),
        only(changes, LEAST_HEALTHY),
        only(loss(increase, TUNNEL_LABELS, INSIDE), LEAST_HEALTHY),
        only(mean_rtt(TUNNEL_LABELS, INSIDE), LEAST_HEALTHY),
    ]
    columns = ["tunnel_name", "verdict", "Value #D", "state", "Value #A", "Value #E", "Value #F", "Value #G"]
    columns += ["tunnel_type", "account", "instance", "-job", "-tunnel_id", "-Value #B", "-Value #C"]
    available = {"displayName": "Available", "unit": "percentunit", "custom__cellOptions": {"type": "color-text"}}
    return table(
        "Tunnels",
        "All tunnels up to the limit, the least healthy ones of the range first. Loss and round-trip time refer to the addresses "
        "inside the tunnel. Click a name to open the tunnel.",
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
            override("Value #G", displayName="RTT", unit="s"),
        ],
        sort="Available",
        empty="No tunnels",
    )


def loss_graph():
    lost = over_range("increase", tunnel("probe_failures_total", INSIDE, REAL), pinned=True)
    return graph(
        "Highest loss",
        "Packet loss of the addresses inside the tunnel, for the tunnels with the highest loss in the range.",
        "percentunit",
        [target(most(loss(rate, TUNNEL_LABELS, INSIDE), f"sum by ({TUNNEL_LABELS}) ({lost})"), "{{tunnel_name}}")],
        low=0,
        high=1,
        links=FROM_LEGEND,
        points=150,
    )


def rtt_graph():
    total, count = (
        over_range("increase", tunnel(f"probe_rtt_seconds_{name}", INSIDE), pinned=True) for name in ("sum", "count")
    )
    slowest = f"(sum by ({TUNNEL_LABELS}) ({total}) / (sum by ({TUNNEL_LABELS}) ({count}) > 0))"
    return graph(
        "Highest round-trip times",
        "Mean round-trip time of the addresses inside the tunnel, for the slowest tunnels in the range.",
        "s",
        [target(most(mean_rtt(TUNNEL_LABELS, INSIDE), slowest), "{{tunnel_name}}")],
        low=0,
        links=FROM_LEGEND,
        points=150,
    )


def changes_bars():
    return bars(
        "Most BGP state changes",
        "Changes of the BGP state in the range, as seen from poll to poll. Changes between two polls are not counted.",
        "none",
        [target(f"topk($limit, {increase(tunnel('bgp_state_changes_total'))})", "{{tunnel_name}}", instant=True)],
        links=FROM_LEGEND,
    )


# --- Tunnel -----------------------------------------------------------------------------------------------------------


def tunnel_annotations():
    # Annotations of thousands of tunnels would hide the graphs, so they are shown for at most 20 tunnels.
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
        "One or a few tunnels: verdict, Cloudflare's report, probe results, configuration.",
        TAG,
        variables("job", "instance", "account", "tunnel"),
        tunnel_annotations(),
    )
    board.row("Now")
    board.line(4, *tunnel_now())
    board.row("Verdict, report and probes")
    board.line(6, verdict_history(), verdict_shares(), widths=[17, 7])
    board.line(6, bgp_history(), answers_history())
    board.row("Probes")
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
            "The status derived from Cloudflare's report and the probes.",
            "none",
            [target(VERDICT_CODE, name, instant=True)],
            mappings=by_code(VERDICTS),
        ),
        stat("Since", "Time of the last change of the verdict.", "dateTimeFromNow", [target(since, name, instant=True)]),
        stat(
            "BGP session",
            "State of the session as reported by Cloudflare. No data for tunnels without BGP.",
            "none",
            [target(BGP_CODE, name, instant=True)],
            mappings=by_code(BGP_STATES),
        ),
        stat(
            "Inside",
            "Whether the addresses inside the tunnel answer. No data without probing, or if no address has ever answered.",
            "none",
            [target(only(tunnel("reachable"), LEAST_HEALTHY), name, instant=True)],
            mappings=UP,
        ),
        stat(
            "Loss",
            "Packet loss of the addresses inside the tunnel in the range.",
            "percentunit",
            [target(only(loss(increase, TUNNEL_LABELS, INSIDE), LEAST_HEALTHY), name, instant=True)],
            colors=thresholds("green", (0.01, "orange"), (0.05, "red")),
            background=False,
        ),
        stat(
            "Availability",
            "Fraction of the range in which the tunnel was healthy.",
            "percentunit",
            [target(f"bottomk($limit, {over_range('avg_over_time', HEALTHY)})", name, instant=True)],
            colors=GOOD,
            background=False,
        ),
    )


def verdict_history():
    return timeline(
        "Verdict",
        "The verdict over time.",
        [target(VERDICT_CODE, "{{tunnel_name}}")],
        by_code(VERDICTS),
    )


def verdict_shares():
    share = f"avg by (verdict) ({over_range('avg_over_time', tunnel('verdict'))})"
    colors = [
        override(state, displayName=text, color={"mode": "fixed", "fixedColor": color}) for state, text, color in VERDICTS
    ]
    return bars(
        "Share of each verdict",
        "Fraction of the range in which each verdict applied; mean of all chosen tunnels.",
        "percentunit",
        [target(share, "{{verdict}}", instant=True)],
        overrides=colors,
        high=1,
    )


def bgp_history():
    return timeline(
        "Reported: BGP",
        "The state of the session as reported by Cloudflare.",
        [target(BGP_CODE, "{{tunnel_name}}")],
        by_code(BGP_STATES),
    )


def answers_history():
    return timeline(
        "Probed: replies",
        "Whether each probed address answers, debounced. If only the addresses inside the tunnel are silent, the tunnel is at fault. If "
        "the customer endpoint is silent too, the circuit or the router is.",
        [target(only(tunnel("probe_up"), LEAST_HEALTHY), "{{tunnel_name}} {{probe_target}}")],
        UP,
    )


def rtt_heatmap():
    buckets = f"sum by (le) ({rate(tunnel('probe_rtt_seconds_bucket', INSIDE))})"
    return heatmap("Round-trip times inside", "Round-trip times of the addresses inside the tunnel, in replies per second.", "s", buckets)


def rtt_by_target():
    buckets = tunnel("probe_rtt_seconds_bucket")
    quantiles = [target(quantile(q, "probe_target", buckets), f"p{100 * q:.0f} {{{{probe_target}}}}") for q in (0.5, 0.99)]
    return graph(
        "Round-trip times by address",
        "Median and 99th percentile of the round-trip time of each kind of probed address, for all chosen tunnels together.",
        "s",
        quantiles,
        low=0,
    )


def loss_by_target():
    return graph(
        "Loss by address",
        "Lost pings divided by completed pings. Excludes pings that this machine could not send, because they are unrelated to the path.",
        "percentunit",
        [target(only(loss(rate, f"{TUNNEL_LABELS}, probe_target"), LEAST_HEALTHY), "{{tunnel_name}} {{probe_target}}")],
        low=0,
        high=1,
        points=150,
    )


def failures_by_reason():
    return graph(
        "Failures by reason",
        "Unanswered pings by reason. Timeout: no reply. Unreachable, prohibited, TTL exceeded, too big: a router on the path reported "
        "it. Not sent: this machine could not send.",
        "ops",
        [target(f"sum by (probe_target, reason) ({rate(tunnel('probe_failures_total'))})", "{{probe_target}} {{reason}}")],
        low=0,
    )


def last_replies():
    age = f"time() - {tunnel('probe_last_reply_timestamp_seconds')}"
    return graph(
        "Time since the last reply",
        "Time since the last reply of each address. No series before its first reply.",
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
            "Whether the TCP connection of the session is established. If not, check routing, TCP port 179 and policy. If it is, but the "
            "session is down, check ASN, MD5 key and timers.",
            [target(only(tunnel("bgp_tcp_established"), LEAST_HEALTHY), name)],
            mapping((0, "not established", "red"), (1, "established", "green")),
        ),
        graph("State changes", "Changes of the BGP state, as seen from poll to poll.", "none", [target(only(changes, LEAST_HEALTHY), name)], low=0),
        graph("Age of the status", "Time since Cloudflare last refreshed the status.", "s", [target(only(status_age, LEAST_HEALTHY), name)], low=0),
        graph(
            "Extra prefixes",
            "Prefixes that Cloudflare advertises to the router in addition to those of the Magic routing table.",
            "none",
            [target(only(tunnel("bgp_extra_prefixes"), LEAST_HEALTHY), name)],
            low=0,
        ),
    )


def facts(name, *labels):
    """Selects the labels of an info metric. After a change there can briefly be two series per tunnel, hence `max`."""
    return only(f"max by ({', '.join((TUNNEL_LABELS, *labels))}) ({tunnel(name)})", LEAST_HEALTHY)


def fact_table(title, description, name, labels):
    columns = ["tunnel_name", *labels, "tunnel_type", "account", "-instance", "-job", "-tunnel_id", "-Value"]
    titles = [override(label, displayName=text) for label, text in labels.items()]
    exprs = [facts(name, *labels)]
    overrides = [override("tunnel_name", displayName="Tunnel"), TYPE_COLUMN, ACCOUNT_COLUMN, *titles]
    return table(title, description, "none", exprs, columns, overrides=overrides, sort="Tunnel")


def addresses_table():
    return fact_table(
        "Addresses",
        "Addresses and description from Cloudflare's API.",
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
        "Configuration of the session and the state of its finite state machine (RFC 4271).",
        "bgp_info",
        {"customer_asn": "Customer ASN", "fsm_state": "State machine", "md5": "MD5 key set"},
    )


def health_check_table():
    return fact_table(
        "Cloudflare health checks",
        "Cloudflare's health checks of the tunnel; empty if the API omits a value. Target source: saved in the configuration, or "
        "Cloudflare's default.",
        "health_check_info",
        {"check_type": "Check type", "direction": "Direction", "rate": "Rate", "target": "Target", "target_source": "Target source"},
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
        exprs.append(only(f"max by ({TUNNEL_LABELS}) ({factor}{tunnel(name)})", LEAST_HEALTHY))
        look = {"unit": unit} if unit else {"unit": "none", "mappings": YES_NO}
        overrides.append(override(f"Value #{letter}", displayName=title, **look))
        columns.append(f"Value #{letter}")
    return table(
        "Settings",
        "Settings from the API; those of the other tunnel type are empty.",
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
        "Health of the exporter itself: polls, the API, the prober, the process.",
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
            "Running versions.",
            "none",
            [target(f"max by (version) ({own('exporter_build_info')})", "{{version}}", instant=True)],
            colors=NEUTRAL,
            text="name",
        ),
        stat(
            "Collections failing",
            "Lists of the API for which the last poll failed.",
            "none",
            [target(f"sum({account('collection_up')} == bool 0)", instant=True)],
            colors=NONE_IS_GOOD,
        ),
        stat(
            "Probed addresses",
            "Probed addresses. A shared address counts once per exporter.",
            "none",
            [target(f"sum({own('probe_targets')})", instant=True)],
            colors=NEUTRAL,
        ),
        stat(
            "Closed ICMP sockets",
            "IP versions for which no socket could be opened, because the exporter lacks the permission to ping; see its log.",
            "none",
            [target(f"sum({own('probe_socket_up')} == bool 0)", instant=True)],
            colors=NONE_IS_GOOD,
        ),
        stat(
            "Configuration",
            "Whether the last reload of the configuration succeeded.",
            "none",
            [target(reload, instant=True)],
            mappings=mapping((0, "rejected", "red"), (1, "active", "green")),
        ),
    )


def polls():
    collection = "{{account}} {{collection}}"
    age = f"topk($limit, time() - {account('poll_last_success_timestamp_seconds')})"
    return (
        graph(
            "Age of the data",
            "Time since the last successful poll of each collection, and the configured interval. After --poll.stale-after its series are omitted.",
            "s",
            [target(age, collection), target(f"max({own('poll_interval_seconds')})", "interval")],
            low=0,
            overrides=[override("interval", custom__lineStyle={"fill": "dash", "dash": [8, 8]}, color={"mode": "fixed", "fixedColor": "text"})],
        ),
        timeline(
            "Collections",
            "Whether the last poll of each collection succeeded.",
            [target(f"bottomk($limit, {account('collection_up')})", collection)],
            mapping((0, "failed", "red"), (1, "succeeded", "green")),
        ),
        graph(
            "Duration of polls",
            "Duration of the last poll of each collection, including retries.",
            "s",
            [target(f"topk($limit, {account('poll_duration_seconds')})", collection)],
            low=0,
        ),
        graph(
            "Tunnels listed",
            "Tunnels that the API lists, by type.",
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
            "Requests by HTTP status; none: no response. Cloudflare allows 1200 requests in five minutes for all users of an account together.",
            "reqps",
            [target(f"sum by (collection, code) ({rate(own('api_requests_total'))})", "{{collection}} {{code}}")],
            low=0,
        ),
        graph(
            "Failures",
            "Requests without a usable response, by reason.",
            "reqps",
            [target(f"sum by (collection, reason) ({rate(own('api_request_failures_total'))})", "{{collection}} {{reason}}")],
            low=0,
        ),
        graph(
            "Latency",
            "Time from sending a request to the end of its response: median and 99th percentile.",
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
            "Distribution of the request durations, in requests per second.",
            "s",
            f"sum by (le) ({rate(buckets)})",
        ),
        graph(
            "Unknown values",
            "Values that this version does not know or cannot read, by field. If not zero, Cloudflare has changed its API: look for a newer version.",
            "none",
            [target(f"sum by (field) (increase({own('unknown_values_total')}[$__rate_interval]))", "{{field}}")],
            low=0,
        ),
        graph(
            "Rejected tunnels",
            "Entries of the API's lists that were omitted because they cannot be read or have no unique id.",
            "none",
            [target(f"sum by (reason) ({account('tunnels_rejected')})", "{{reason}}")],
            low=0,
        ),
    )


def prober():
    buckets = own("probe_schedule_lag_seconds_bucket")
    return (
        heatmap(
            "Send delay",
            "How late pings were sent. A high delay means that the machine is overloaded, so loss and round-trip times are unreliable.",
            "s",
            f"sum by (le) ({rate(buckets)})",
        ),
        graph(
            "Send delay, quantiles",
            "Median and 99th percentile of the send delay.",
            "s",
            [target(quantile(q, "instance", buckets), f"p{100 * q:.0f} {{{{instance}}}}") for q in (0.5, 0.99)],
            low=0,
        ),
        graph(
            "Pings",
            "Pings started, replies and failures of all tunnels. A shared address counts once for each of its tunnels.",
            "ops",
            [
                target(f"sum({rate(account(f'tunnel_probe_{name}_total'))})", name)
                for name in ("requests", "replies", "failures")
            ],
            low=0,
        ),
        graph(
            "In flight",
            "Pings that were sent and are not yet completed.",
            "none",
            [target(own("probe_in_flight"), "{{instance}}")],
            low=0,
        ),
    )


def prober_details():
    return (
        timeline(
            "ICMP sockets",
            "Whether the sockets of each IP version are open, and their mode.",
            [target(own("probe_socket_up"), "{{instance}} IPv{{ip_version}} {{mode}}")],
            mapping((0, "closed", "red"), (1, "open", "green")),
        ),
        timeline(
            "Uplinks",
            "Whether each uplink address (--probe.uplink) answers. No data without uplinks.",
            [target(own("probe_uplink_up"), "{{instance}} {{address}}")],
            UP,
        ),
        graph(
            "Refused addresses",
            "Addresses of tunnels and uplinks that are configured but cannot be probed, by reason.",
            "none",
            [target(f"sum by (reason) ({own('probe_targets_refused')})", "{{reason}}")],
            low=0,
        ),
    )


def process():
    instance = "{{instance}}"
    return (
        graph("Memory", "Resident memory.", "bytes", [target(scraped("process_resident_memory_bytes"), instance)], low=0),
        graph("CPU", "CPU time per second: 1 is one core.", "none", [target(rate(scraped("process_cpu_seconds_total")), instance)], low=0),
        graph(
            "File descriptors and threads",
            "Open file descriptors (including connections and sockets) and operating system threads.",
            "none",
            [
                target(scraped("process_open_fds"), f"{instance} descriptors"),
                target(scraped("process_threads"), f"{instance} threads"),
            ],
            low=0,
        ),
        graph(
            "Scrapes",
            "Duration of the scrapes by Prometheus.",
            "s",
            [target(scraped("scrape_duration_seconds"), instance)],
            low=0,
        ),
    )


# --- Files ------------------------------------------------------------------------------------------------------------


def lint_exceptions(boards):
    """Exceptions for grafana/dashboard-linter, with reasons."""
    lines = [
        "# Exceptions for grafana/dashboard-linter. Generated by generate.py.",
        "exclusions:",
        "  target-histogram-rule:",
        "    reason: A heatmap shows the buckets themselves; histogram_quantile would reduce them to one line.",
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
