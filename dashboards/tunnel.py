"""The dashboard for one or a few tunnels."""

from panels import Annotation, Board, bars, buckets, field, graph, instant, mapping, number, query, rows, timeline
from queries import (
    ACCOUNT_COLUMN, BGP_STATES, EDGE_STATES, GOOD, INSIDE, NAME, SINCE, TUNNEL, TUNNEL_LABELS, TYPE_COLUMN, UP,
    VERDICTS, VERDICT_COLORS, YES_NO, account, alerts, availability, bgp_code, by_code, edge_code, latency, loss,
    over_range, rate, thresholds, tunnel, variables, verdict, verdict_code,
)  # fmt: skip

TARGET = f"{NAME} {{{{probe_target}}}}"


def board():
    built = Board(
        "tunnel",
        "One or a few tunnels: verdict, Cloudflare's report, probe results, configuration.",
        variables("job", "instance", "account", "site", "tunnel", every_tunnel=False),
        annotations(),
    )
    built.row("Now")
    built.line(4, *now())
    built.row("Verdict, report and probes")
    built.line(6, verdict_history(), verdict_shares(), widths=[17, 7])
    built.line(6, bgp_history(), answers_history())
    built.row("Probes")
    built.line(9, rtt_heatmap(), rtt_by_target())
    built.line(8, loss_by_target(), failures_by_reason(), last_replies(), path_mtu())
    built.row("BGP")
    built.line(7, *bgp_details())
    built.row("Cloudflare's edge")
    built.line(6, edge_history(), edge_age(), widths=[17, 7])
    built.line(8, edge_scores(), edge_checks(), edge_traffic())
    built.row("Configuration")
    built.line(7, addresses())
    built.line(7, bgp(), health_checks())
    built.line(7, settings())
    return built


def annotations():
    # Annotations of many tunnels would hide the graphs.
    few = f"and on () count(count by (tunnel_id) ({verdict()})) <= 20"
    changed = f"({SINCE}) * on (job, instance, account, tunnel_id) group_left (verdict) ({verdict()})"
    modified = f"1000 * {tunnel('modified_timestamp_seconds')}"
    bgp_changes = f"increase({tunnel('bgp_state_changes_total')}[$__rate_interval]) > 0"
    return [
        alerts("Alerts", ["alertname", "tunnel_name"], TUNNEL),
        Annotation("Verdict", "purple", f"({changed}) {few}", "{{tunnel_name}} is {{verdict}}", value_is_time=True),
        Annotation("BGP state changed", "orange", f"({bgp_changes}) {few}", "{{tunnel_name}}"),
        Annotation("Configuration modified", "blue", f"({modified}) {few}", "{{tunnel_name}}", value_is_time=True),
    ]


def now():
    return (
        number(
            "Current verdict",
            "The status derived from Cloudflare's report and the probes.",
            instant(verdict_code(), NAME),
            mappings=by_code(VERDICTS),
        ),
        number("Since", "Time of the last change of the verdict.", instant(SINCE, NAME), unit="dateTimeFromNow"),
        number(
            "BGP session",
            "State of the session as reported by Cloudflare. No data for tunnels without BGP.",
            instant(bgp_code(), NAME),
            mappings=by_code(BGP_STATES),
        ),
        number(
            "Edge",
            "State of the tunnel in the health checks of Cloudflare's edge, minutes old. No data without the edge "
            "view.",
            instant(edge_code(), NAME),
            mappings=by_code(EDGE_STATES),
        ),
        number(
            "Traffic",
            "Traffic in both directions as Cloudflare measures it, in the newest complete five minutes. No data "
            "without the edge view, or without traffic.",
            instant(f"sum by ({TUNNEL_LABELS}) ({edge_bits()})", NAME),
            background=False,
            unit="bps",
        ),
        number(
            "Inside",
            "Whether the addresses inside the tunnel answer. No data without probing, or if no address has ever "
            "answered.",
            instant(tunnel("reachable"), NAME),
            mappings=UP,
        ),
        number(
            "Loss",
            "Packet loss of the addresses inside the tunnel in the range.",
            instant(f"avg by ({TUNNEL_LABELS}) ({over_range('avg_over_time', loss(INSIDE))})", NAME),
            colors=thresholds("green", (0.01, "orange"), (0.05, "red")),
            background=False,
            unit="percentunit",
        ),
        number(
            "Availability",
            "Fraction of the range in which the tunnel worked.",
            instant(availability(TUNNEL_LABELS), NAME),
            colors=GOOD,
            background=False,
            unit="percentunit",
        ),
    )


def verdict_history():
    return timeline("Verdict", "The verdict over time.", query(verdict_code(), NAME), mappings=by_code(VERDICTS))


def verdict_shares():
    # `count` of the label, because a verdict that did not occur has no series.
    times = f"sum by (verdict) ({over_range('count_over_time', verdict())})"
    return bars(
        "Share of each verdict",
        "Fraction of the range in which each verdict applied; mean of all chosen tunnels.",
        instant(f"{times} / on () group_left () sum({times})", "{{verdict}}"),
        fields=VERDICT_COLORS,
        high=1,
        unit="percentunit",
    )


def bgp_history():
    about = "The state of the session as reported by Cloudflare."
    return timeline("Reported: BGP", about, query(bgp_code(), NAME), mappings=by_code(BGP_STATES))


def answers_history():
    return timeline(
        "Probed: replies",
        "Whether each probed address answers, debounced. If only the addresses inside the tunnel are silent, the "
        "tunnel is at fault. If the customer endpoint is silent too, the circuit or the router is.",
        query(tunnel("probe_up"), TARGET),
        mappings=UP,
    )


def rtt_heatmap():
    expr = f"sum by (le) ({rate(tunnel('probe_rtt_seconds_bucket', INSIDE))})"
    return buckets(
        "Round-trip times inside",
        "Round-trip times of the addresses inside the tunnel, in replies per second.",
        expr,
        unit="s",
    )


def rtt_by_target():
    return graph(
        "Round-trip times by address",
        "Median and 99th percentile of the round-trip time of each kind of probed address, for all chosen tunnels "
        "together.",
        *(query(expr, legend) for expr, legend in latency(tunnel("probe_rtt_seconds_bucket"), "probe_target")),
        unit="s",
    )


def loss_by_target():
    return graph(
        "Loss by address",
        "Lost pings divided by completed pings over 5 minutes. Excludes pings that this machine could not send, "
        "because they are unrelated to the path.",
        query(loss(), TARGET),
        high=1,
        points=150,
        unit="percentunit",
    )


def failures_by_reason():
    return graph(
        "Failures by reason",
        "Unanswered pings by reason. Timeout: no reply. Unreachable, prohibited, TTL exceeded, too big: a router on "
        "the path reported it. Not sent: this machine could not send.",
        query(
            f"sum by (probe_target, reason) ({rate(tunnel('probe_failures_total'))}) > 0",
            "{{probe_target}} {{reason}}",
        ),
        unit="ops",
    )


def last_replies():
    age = f"time() - {tunnel('probe_last_reply_timestamp_seconds')}"
    about = "Time since the last reply of each address. No series before its first reply."
    return graph("Time since the last reply", about, query(age, TARGET), unit="s")


def path_mtu():
    return graph(
        "Path MTU",
        "The largest IP packet that each address inside the tunnel answers, and the expected size. Mainly from the site "
        "to Cloudflare. No data without --probe.mtu.",
        query(tunnel("probe_path_mtu_bytes"), TARGET),
        query(tunnel("probe_expected_mtu_bytes"), f"{TARGET} expected"),
        unit="bytes",
    )


def bgp_details():
    status_age = f"time() - {tunnel('bgp_status_timestamp_seconds')}"
    changes = f"increase({tunnel('bgp_state_changes_total')}[$__rate_interval])"
    return (
        timeline(
            "TCP connection",
            "Whether the TCP connection of the session is established. If not, check routing, TCP port 179 and "
            "policy. If it is, but the session is down, check ASN, MD5 key and timers.",
            query(tunnel("bgp_tcp_established"), NAME),
            mappings=mapping((0, "not established", "red"), (1, "established", "green")),
        ),
        graph("State changes", "Changes of the BGP state, as seen from poll to poll.", query(changes, NAME)),
        graph(
            "Age of the status", "Time since Cloudflare last refreshed the status.", query(status_age, NAME), unit="s"
        ),
        graph(
            "Extra prefixes",
            "Prefixes that Cloudflare advertises to the router in addition to those of the Magic routing table.",
            query(tunnel("bgp_extra_prefixes"), NAME),
        ),
    )


def edge_bits():
    return f"8 * {tunnel('edge_traffic_bytes_per_second')}"


def edge_history():
    about = (
        "The state of the tunnel in the health checks of Cloudflare's edge: healthy above 80 % of the checks, down "
        "below 40 %. The data is minutes old. No data without the edge view."
    )
    return timeline("Reported: edge", about, query(edge_code(), NAME), mappings=by_code(EDGE_STATES))


def edge_age():
    age = f"time() - {account('edge_window_end_timestamp_seconds')}"
    about = "Time since the end of the time span that the data of the edge is about."
    return graph("Age of the edge's data", about, query(age, "{{account}} {{dataset}} {{instance}}"), unit="s")


def edge_scores():
    return graph(
        "Checks that pass",
        "Share of Cloudflare's health checks that passed, and the score by which Cloudflare steers traffic, from 0 "
        "(down) to 1 (healthy). They can differ.",
        query(tunnel("edge_pass_ratio"), f"{NAME} passed"),
        query(tunnel("edge_routing_score"), f"{NAME} score"),
        high=1,
        unit="percentunit",
    )


def edge_checks():
    return graph(
        "Checks by result",
        "Estimated number of Cloudflare's health checks in the time span, by result.",
        query(f"sum by (result) ({tunnel('edge_checks')})", "{{result}}"),
        stack=True,
    )


def edge_traffic():
    return graph(
        "Traffic",
        "Traffic as Cloudflare measures it, in periods of five minutes. Cloudflare revises the values for up to half a "
        "day.",
        query(edge_bits(), f"{NAME} {{{{direction}}}}"),
        unit="bps",
    )


def facts(title, description, name, labels):
    """A table of the labels of an info metric. `max`, because two series can exist for a moment after a change."""
    columns = ["tunnel_name", *labels, "tunnel_type", "account", "-instance", "-job", "-tunnel_id", "-Value"]
    expr = f"max by ({', '.join((TUNNEL_LABELS, *labels))}) ({tunnel(name)})"
    fields = [
        field("tunnel_name", "Tunnel"),
        TYPE_COLUMN,
        ACCOUNT_COLUMN,
        *(field(label, text) for label, text in labels.items()),
    ]
    return rows(title, description, [expr], columns, fields=fields, sort="Tunnel")


def addresses():
    labels = {
        "description": "Description",
        "customer_endpoint": "Customer endpoint",
        "cloudflare_endpoint": "Cloudflare endpoint",
        "interface_address": "Interface address",
        "interface_address6": "Interface address, IPv6",
    }
    return facts("Addresses", "Addresses and description from Cloudflare's API.", "info", labels)


def bgp():
    labels = {"customer_asn": "Customer ASN", "fsm_state": "State machine", "md5": "MD5 key set"}
    return facts(
        "BGP", "Configuration of the session and the state of its finite state machine (RFC 4271).", "bgp_info", labels
    )


def health_checks():
    return facts(
        "Cloudflare health checks",
        "Cloudflare's health checks of the tunnel; empty if the API omits a value. Target source: saved in the "
        "configuration, or Cloudflare's default.",
        "health_check_info",
        {
            "check_type": "Check type",
            "direction": "Direction",
            "rate": "Rate",
            "target": "Target",
            "target_source": "Target source",
        },
    )


SETTINGS = (
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


def settings():
    exprs, fields, columns = [], [field("tunnel_name", "Tunnel"), TYPE_COLUMN], ["tunnel_name"]
    for letter, (name, title, unit) in zip("ABCDEFGHIJ", SETTINGS, strict=True):
        factor = "1000 * " if unit == "dateTimeFromNow" else ""
        exprs.append(f"max by ({TUNNEL_LABELS}) ({factor}{tunnel(name)})")
        look = {"unit": unit} if unit else {"unit": "none", "mappings": YES_NO}
        fields.append(field(f"Value #{letter}", title, **look))
        columns.append(f"Value #{letter}")
    columns += ["tunnel_type", "-account", "-instance", "-job", "-tunnel_id"]
    about = "Settings from the API; those of the other tunnel type are empty."
    return rows("Settings", about, exprs, columns, fields=fields, sort="Tunnel")
