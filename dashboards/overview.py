"""The dashboard for all tunnels: what is broken now, and what was."""

from panels import Board, bars, field, graph, instant, model, number, query, rows, timeline
from queries import (
    ACCOUNT_COLUMN, BGP_COLUMN, BGP_NOT_UP, BGP_STATES, BROKEN, CHECK_FAULT, COLORED, EDGE_DOWN, EDGE_STATES,
    EXPORTER_COLUMN, FEW_ARE_GOOD, FROM_LEGEND, GOOD, HEALTHY, INSIDE, LEAST_HEALTHY, LONGEST_DOWN, NAME, NEUTRAL,
    NONE_IS_GOOD, OBJECT_COLUMNS, SCRAPE, SINCE, SITE_LABELS, SUSPECT, TUNNEL_LABELS,
    VERDICTS, VERDICT_COLORS, VERDICT_COLUMN, account, alerts, availability, bgp_code, bgp_state, by_code, edge_code,
    increase, loss, most, only, or_zero, over_range, poll_age, round_trip, site_availability, thresholds, tunnel, variables,
    verdict, verdict_code,
)  # fmt: skip

EACH = "account, tunnel_id"  # a tunnel of several exporters counts once


def board():
    built = Board(
        "overview",
        "Current and past faults of Cloudflare Magic WAN and Magic Transit tunnels, for any number of tunnels.",
        variables("job", "instance", "account", "site", "tunnel", "limit"),
        [alerts("Alerts", ["alertname"], SCRAPE, 'account=~"$account|"', 'severity="critical"')],
    )
    built.row("Now")
    built.line(4, *counts())
    built.line(9, broken_now(), tunnels_by_verdict(), widths=[15, 9])
    built.row("Sites")
    built.line(9, sites())
    built.row("Prefixes")
    built.line(6, *prefixes(), widths=[5, 4, 15])
    built.row("Over time")
    built.line(11, verdicts())
    built.line(11, bgp_sessions())
    built.row("Tunnels")
    built.line(12, tunnels())
    built.line(9, highest_loss(), highest_rtt(), most_changes())
    return built


def count(selector):
    """Counts tunnels; 0 if there are tunnels, but not in this state."""
    return f"count(count by ({EACH}) ({selector})) or 0 * count({verdict()})"


def where(name, *matchers, value):
    """Counts the tunnels with this value of a metric."""
    return f"sum(max by ({EACH}) ({only(f'{tunnel(name, *matchers)} == bool {value}', verdict())}))"


def counts():
    dark = f"count by ({SITE_LABELS}) ({BROKEN}) unless count by ({SITE_LABELS}) ({HEALTHY})"
    return (
        number(
            "All tunnels",
            "Tunnels that Cloudflare lists. A tunnel of several exporters counts once.",
            instant(f"count(count by ({EACH}) ({verdict()}))"),
            colors=NEUTRAL,
        ),
        number(
            "Broken",
            "Tunnels with a verdict other than healthy, check fault or unknown.",
            instant(count(BROKEN)),
            colors=NONE_IS_GOOD,
        ),
        number(
            "Dark sites",
            "Sites with broken tunnels and without a healthy one. Tunnels without a site count as one site of their "
            "account.",
            instant(f"count(count by (account, site) ({dark})) or 0 * count({verdict()})"),
            colors=NONE_IS_GOOD,
        ),
        number(
            "Reported down",
            "Tunnels with a BGP session that Cloudflare reports as down or establishing, and tunnels that Cloudflare's "
            "edge reports as down.",
            instant(count(BGP_NOT_UP), "BGP not up"),
            instant(count(EDGE_DOWN), "edge down"),
            colors=NONE_IS_GOOD,
        ),
        number(
            "No traffic",
            "Tunnels in which no inside address answers. No data without probing.",
            instant(where("reachable", value=0)),
            colors=NONE_IS_GOOD,
        ),
        number(
            "Availability",
            "Fraction of the range in which tunnels worked; mean of all tunnels.",
            instant(availability()),
            colors=GOOD,
            unit="percentunit",
        ),
        number(
            "Configuration",
            "Tunnels with Cloudflare's own health checks disabled: Cloudflare shows them as down and cannot steer "
            "traffic around them. Check faults: the tunnel carries traffic, but the health checks fail, so Cloudflare "
            "prefers other routes. IPsec tunnels that allow the null cipher: they may run without encryption.",
            instant(count(CHECK_FAULT), "check faults"),
            instant(where("health_check_enabled", value=0), "without health checks"),
            instant(where("null_cipher_allowed", value=1), "null cipher allowed"),
            colors=FEW_ARE_GOOD,
        ),
        number(
            "Age of the API data",
            "Time since the last successful poll, for the oldest list of tunnels, in polling intervals.",
            instant(f"max({poll_age()})"),
            colors=thresholds("green", (3, "orange"), (5, "red")),
        ),
    )


def broken_now():
    since = f"({SINCE}) * on (job, instance, account, tunnel_id) group_left (site, verdict) ({SUSPECT})"
    return rows(
        "Tunnels that need attention",
        "Tunnels with a verdict other than healthy or unknown, the latest change first. BGP fault: the tunnel "
        "carries traffic, but the session does not come up (ASN, MD5 key, TCP 179, policy). Tunnel fault: the "
        "underlay works, but the tunnel carries no traffic (IKE, PSK, GRE, MTU). Unreachable: no address answers "
        "(circuit, router, power). Path mismatch: Cloudflare reports up, but no traffic from the prober passes; when "
        "new, an early warning. Check fault: the tunnel carries traffic, but Cloudflare's health checks fail. Reported "
        "down: reported by Cloudflare, without probe results. Prober isolated: the fault is at the exporter's machine.",
        [f"topk($limit, {since})"],
        ["tunnel_name", "site", "verdict", "Value", "tunnel_type", "account", "instance", "-job", "-tunnel_id"],
        fields=[*OBJECT_COLUMNS, VERDICT_COLUMN, field("Value", "Since")],
        sort="Since",
        descending=True,
        empty="No tunnels need attention",
        unit="dateTimeFromNow",
    )


def tunnels_by_verdict():
    # If several exporters monitor an account, the highest count of them: cheaper than matching each tunnel.
    seen = f"count by (job, instance, account, verdict) ({verdict()})"
    return graph(
        "Tunnels by verdict",
        "Number of tunnels with each verdict. If several exporters monitor an account, the highest count of them.",
        query(f"sum by (verdict) (max by (account, verdict) ({seen}))", "{{verdict}}"),
        stack=True,
        fields=VERDICT_COLORS,
        points=100,
    )


def sites():
    every = f"count by ({SITE_LABELS}) ({verdict()})"
    broken = f"topk($limit, {or_zero(f'count by ({SITE_LABELS}) ({BROKEN})', every)})"
    working = or_zero(f"count by ({SITE_LABELS}) ({HEALTHY})", every)
    recorded = [site_availability(window) for window in ("6h", "3d")]
    others = [working, every, availability(SITE_LABELS), *recorded]
    counts = [
        field(f"Value #{ref}", title) for ref, title in zip("ABC", ("Broken", "Working", "Tunnels"), strict=True)
    ]
    share = {"unit": "percentunit", "decimals": 2, "custom__cellOptions": COLORED, **coloring(GOOD)}
    shares = [
        field(f"Value #{ref}", title, **share) for ref, title in zip("DEF", ("Available", "6 h", "3 d"), strict=True)
    ]
    no_site = model.ValueMappingResult("(no site)")
    empty = [model.SpecialValueMap(model.DashboardSpecialValueMapOptions(model.SpecialValueMatch.EMPTY, no_site))]
    return rows(
        "Sites by broken tunnels",
        "Tunnels of each site, the sites with the most broken tunnels first, with their availability in the range, "
        "the last 6 hours and the last 3 days. Select a site at the top to see its tunnels only.",
        [broken, *(only(expr, broken, SITE_LABELS) for expr in others)],
        ["site", *(f"Value #{ref}" for ref in "ABCDEF"), "account", "instance", "-job"],
        fields=[field("site", "Site", mappings=empty), ACCOUNT_COLUMN, EXPORTER_COLUMN, *counts, *shares],
        sort="Broken",
        descending=True,
        empty="No tunnels",
    )


def prefixes():
    """The prefixes of the static routes. An account of several exporters counts once."""

    def each(name):
        return f"max by (account) ({account(name)})"

    return (
        number(
            "Prefixes",
            "Prefixes of static routes. Lost: all tunnels of the prefix are broken. At risk: all of several tunnels but "
            "one are broken. Routes that are learned over BGP are not known. The page /prefixes of the exporter lists "
            "the prefixes with their tunnels.",
            instant(f"sum({each('prefixes_lost')})", "lost"),
            instant(f"sum({each('prefixes_at_risk')})", "at risk"),
            colors=NONE_IS_GOOD,
        ),
        number(
            "Routes without a tunnel",
            "Static routes with a next hop that is not the customer's side of a known tunnel.",
            instant(f"sum({each('routes_unmatched')})"),
            colors=FEW_ARE_GOOD,
        ),
        graph(
            "Prefixes at risk and lost",
            "Prefixes of each account, for the accounts with the most of them.",
            query(f"topk($limit, {each('prefixes_lost')})", "{{account}} lost"),
            query(f"topk($limit, {each('prefixes_at_risk')})", "{{account}} at risk"),
            points=150,
        ),
    )


def coloring(steps):
    """The properties of a field that is colored by thresholds."""
    return {"color": {"mode": "thresholds"}, "thresholds": steps.build()}


def verdicts():
    return timeline(
        "Verdicts",
        "The verdict of each tunnel. If there are more tunnels than rows, those that were broken for most of the "
        "range are shown.",
        query(verdict_code(LEAST_HEALTHY), NAME),
        mappings=by_code(VERDICTS),
        links=[FROM_LEGEND],
        points=120,
    )


def bgp_sessions():
    return timeline(
        "BGP sessions",
        "The state of each session as reported by Cloudflare; tunnels without a status are not shown. If there are "
        "more tunnels than rows, those with a session that was not up for most of the range are shown.",
        query(bgp_code(LONGEST_DOWN), NAME),
        mappings=by_code(BGP_STATES),
        links=[FROM_LEGEND],
        points=120,
    )


def tunnels():
    changes = f"sum by ({TUNNEL_LABELS}) ({increase(tunnel('verdict_changes_total'))})"
    inside = {
        "loss": f"max by ({TUNNEL_LABELS}) ({over_range('avg_over_time', loss(INSIDE))})",
        "rtt": f"max by ({TUNNEL_LABELS}) ({round_trip(INSIDE)})",
    }
    exprs = [
        availability(TUNNEL_LABELS),
        f"max by ({TUNNEL_LABELS}, site, verdict) ({verdict()})",
        f"max by ({TUNNEL_LABELS}, state) ({bgp_state()})",
        f"max by ({TUNNEL_LABELS}) ({SINCE})",
        changes,
        inside["loss"],
        inside["rtt"],
        # A number, because the label `state` is that of the BGP session.
        f"max by ({TUNNEL_LABELS}) ({edge_code()})",
    ]
    columns = ["tunnel_name", "site", "verdict", "Value #D", "state", "Value #H", "Value #A", "Value #E"]
    columns += ["Value #F", "Value #G", "tunnel_type", "account", "instance"]
    columns += ["-job", "-tunnel_id", "-Value #B", "-Value #C"]
    return rows(
        "Tunnels",
        "All tunnels up to the limit, those that were broken for most of the range first. Loss and round-trip time "
        "refer to the addresses inside the tunnel. Click a name to open the tunnel.",
        [only(expr, LEAST_HEALTHY) for expr in exprs],
        columns,
        fields=[
            *OBJECT_COLUMNS,
            VERDICT_COLUMN,
            BGP_COLUMN,
            field("Value #H", "Edge", mappings=by_code(EDGE_STATES), custom__cellOptions=COLORED),
            field(
                "Value #A",
                "Available",
                unit="percentunit",
                decimals=2,
                custom__cellOptions={"type": "color-text"},
                **coloring(GOOD),
            ),
            field("Value #D", "Since", unit="dateTimeFromNow"),
            field("Value #E", "Changes", decimals=0),
            field("Value #F", "Loss", unit="percentunit", decimals=2),
            field("Value #G", "RTT", unit="s"),
        ],
        sort="Available",
        empty="No tunnels",
    )


def highest_loss():
    return graph(
        "Highest loss",
        "Packet loss of the addresses inside the tunnel, for the tunnels with the highest loss in the range.",
        query(most(loss(INSIDE)), f"{NAME} {{{{probe_target}}}}"),
        high=1,
        links=[FROM_LEGEND],
        points=150,
        unit="percentunit",
    )


def highest_rtt():
    return graph(
        "Highest round-trip times",
        "Mean round-trip time of the addresses inside the tunnel, for the slowest tunnels in the range.",
        query(most(round_trip(INSIDE)), f"{NAME} {{{{probe_target}}}}"),
        links=[FROM_LEGEND],
        points=150,
        unit="s",
    )


def most_changes():
    changes = f"{increase(tunnel('bgp_state_changes_total'))} > 0"
    return bars(
        "Most BGP state changes",
        "Changes of the BGP state in the range, as seen from poll to poll. Changes between two polls are not counted.",
        instant(f"topk($limit, {only(changes, verdict())})", NAME),
        links=[FROM_LEGEND],
    )
