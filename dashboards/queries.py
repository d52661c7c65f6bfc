"""PromQL of all dashboards: selectors with their variables, recording rules, and expressions of several panels."""

from panels import Annotation, choice_variable, field, fixed, label_variable, link, mapping, thresholds, uid

# --- Selectors --------------------------------------------------------------------------------------------------------

KEY = "job, instance, account, tunnel_id"  # one tunnel of one exporter
TUNNEL_LABELS = f"{KEY}, tunnel_name, tunnel_type"
SITE_LABELS = "job, instance, account, site"
SCRAPE = 'job=~"$job", instance=~"$instance"'
ACCOUNT = f'{SCRAPE}, account=~"$account"'
SITE = f'{ACCOUNT}, site=~"$site"'
TUNNEL = f'{ACCOUNT}, tunnel_name=~"$tunnel"'


def select(name, labels, *matchers):
    return f"{name}{{{', '.join((labels, *matchers))}}}"


def own(name, *matchers):
    """Selects a metric of the exporter itself."""
    return select(f"cloudflare_magic_{name}", SCRAPE, *matchers)


def account(name, *matchers):
    """Selects a metric of the chosen accounts."""
    return select(f"cloudflare_magic_{name}", ACCOUNT, *matchers)


def tunnel(name, *matchers):
    """Selects a metric of the chosen tunnels, of all sites: only recording rules have the label `site`."""
    return select(f"cloudflare_magic_tunnel_{name}", TUNNEL, *matchers)


def scraped(name):
    """Selects a standard process metric, or a metric that Prometheus adds for every target."""
    return select(name, SCRAPE)


def rate(selector):
    return f"rate({selector}[$__rate_interval])"


def over_range(function, selector, *, pinned=False):
    """Applies `function` to the range of the dashboard. If pinned, a graph uses one value instead of one per point."""
    return f"{function}({selector}[$__range]{' @ end()' if pinned else ''})"


def increase(selector):
    return over_range("increase", selector)


def poll_age():
    """Time since the last successful poll of each list of tunnels, in polling intervals."""
    lists = account("poll_last_success_timestamp_seconds", 'collection=~".+_tunnels"')
    return f"(time() - {lists}) / on (job, instance) group_left () {own('poll_interval_seconds')}"


def quantile(q, by, buckets):
    return f"histogram_quantile({q}, sum by (le, {by}) ({rate(buckets)}))"


def latency(buckets, *by):
    """Median and 99th percentile: pairs of expression and legend."""
    legend = " ".join(f"{{{{{label}}}}}" for label in by)
    return [(quantile(q, ", ".join(by), buckets), f"p{100 * q:.0f} {legend}") for q in (0.5, 0.99)]


# --- Recording rules --------------------------------------------------------------------------------------------------


def verdict(*matchers):
    """Selects the current verdict of the chosen tunnels, as the label `verdict` of one series for each tunnel."""
    return select("tunnel:cloudflare_magic_tunnel_verdict:held5m", f'{SITE}, tunnel_name=~"$tunnel"', *matchers)


def bgp_state(*matchers):
    """Selects the current state of the BGP sessions, as the label `state`."""
    return select("tunnel:cloudflare_magic_tunnel_bgp_state:held5m", f'{SITE}, tunnel_name=~"$tunnel"', *matchers)


def edge_state(*matchers):
    """Selects the current state of the tunnels in the health checks of Cloudflare's edge, as the label `state`."""
    return select("tunnel:cloudflare_magic_tunnel_edge_state:held5m", f'{SITE}, tunnel_name=~"$tunnel"', *matchers)


def loss(*matchers):
    return select("target:cloudflare_magic_tunnel_probe_loss:ratio_rate5m", TUNNEL, *matchers)


def round_trip(*matchers):
    return select("target:cloudflare_magic_tunnel_probe_rtt_seconds:mean10m", TUNNEL, *matchers)


def availability(by=None):
    """The share of the range in which tunnels worked, from their availability over five minutes; mean of each group."""
    ratio = select("tunnel:cloudflare_magic_tunnel_available:ratio5m", f'{SITE}, tunnel_name=~"$tunnel"')
    return f"avg{f' by ({by})' if by else ''} (avg_over_time({ratio}[$__range:5m]))"


def site_availability(window):
    """The availability of sites over a fixed time, as in the alerts: without the time of inconclusive verdicts."""
    return select(f"site:cloudflare_magic_tunnel_available:ratio{window}", SITE)


# A tunnel with a check fault carries traffic.
HEALTHY = verdict('verdict=~"healthy|check_fault"')
BROKEN = verdict('verdict!~"healthy|check_fault|unknown"')
CHECK_FAULT = verdict('verdict="check_fault"')
SUSPECT = verdict('verdict!~"healthy|unknown"')
INSIDE = 'probe_target=~"interface_.*"'
SINCE = f"1000 * {tunnel('verdict_changed_timestamp_seconds')}"


def only(expr, these, key=KEY):
    return f"({expr}) and on ({key}) {these}"


def or_zero(expr, of):
    """`expr`, or 0 for the members of `of` that it lacks."""
    return f"({expr} or 0 * {of})"


def worst(bad, every):
    """Selects the tunnels with a state that was bad for most of the range, the same ones at every point; then healthy ones.

    Reads the few series of bad states only, because those of thousands of healthy tunnels would take seconds.
    """
    long = f"sum by ({KEY}) ({over_range('count_over_time', bad, pinned=True)})"
    return f"topk($limit, {or_zero(long, f'max by ({KEY}) ({every} @ end())')})"


LEAST_HEALTHY = worst(SUSPECT, verdict())


def most(selector):
    """Limits series to the `$limit` tunnels with the highest value in the range, sampled every five minutes."""
    highest = f"max by ({KEY}) (max_over_time({selector}[$__range:5m] @ end()))"
    return only(selector, f"topk($limit, {only(highest, f'{verdict()} @ end()')})")


def code(record, label, states, these=None):
    """Encodes the state of tunnels as its index in `states`, for timelines.

    The most common state, the first, has thousands of series: they are limited to `these` before anything else.
    """
    usual, *others = (record(f'{label}="{state}"') for state, _, _ in states)
    numbered = " or ".join(f"{place} * {one}" for place, one in enumerate(others, 1))
    if these:
        usual, numbered = f"({only(usual, these)})", only(numbered, these)
    # Without the site, because a tunnel with a site that becomes known would be two series.
    return f"sum without ({label}, site) ({numbered} or 0 * {usual})"


# --- States and columns -----------------------------------------------------------------------------------------------

VERDICTS = (
    ("healthy", "healthy", "green"),
    ("bgp_fault", "BGP fault", "orange"),
    ("tunnel_fault", "tunnel fault", "red"),
    ("unreachable", "unreachable", "dark-red"),
    ("path_mismatch", "path mismatch", "purple"),
    ("check_fault", "check fault", "yellow"),
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
EDGE_STATES = (
    ("healthy", "healthy", "green"),
    ("degraded", "degraded", "orange"),
    ("down", "down", "red"),
)
BGP_NOT_UP = bgp_state('state=~"down|establishing"')
EDGE_DOWN = edge_state('state="down"')
LONGEST_DOWN = worst(BGP_NOT_UP, bgp_state())


def verdict_code(these=None):
    return code(verdict, "verdict", VERDICTS, these)


def bgp_code(these=None):
    return code(bgp_state, "state", BGP_STATES, these)


def edge_code(these=None):
    return code(edge_state, "state", EDGE_STATES, these)


def by_code(states):
    return mapping(*((place, text, shade) for place, (_, text, shade) in enumerate(states)))


UP = mapping((0, "silent", "red"), (1, "answers", "green"))
YES_NO = mapping((0, "no", "text"), (1, "yes", "text"))
GOOD = thresholds("red", (0.99, "orange"), (0.999, "green"))
NONE_IS_GOOD = thresholds("green", (1, "red"))
FEW_ARE_GOOD = thresholds("green", (1, "orange"))
NEUTRAL = thresholds("blue")

# Accounts and exporters may have tunnels of the same name.
NAME = "{{tunnel_name}} {{account}} {{instance}}"


def url(path, *names):
    """The address of the tunnel dashboard, with the values of the labels below `path`."""
    values = "".join(f"&var-{variable}=${{{path}.{label}:percentencode}}" for variable, label in names)
    return f"/d/{uid('tunnel')}?${{datasource:queryparam}}&${{job:queryparam}}{values}&${{__url_time_range}}"


LINKED = (("instance", "instance"), ("account", "account"), ("tunnel", "tunnel_name"))
FROM_ROW = link("Open this tunnel", url("__data.fields", *LINKED))
FROM_LEGEND = link("Open this tunnel", url("__field.labels", *LINKED))

COLORED = {"type": "color-background", "mode": "basic"}
NAME_COLUMN = field("tunnel_name", "Tunnel", links=[FROM_ROW.build()], custom__minWidth=140)
SITE_COLUMN = field("site", "Site")
TYPE_COLUMN = field("tunnel_type", "Type", custom__width=80)
ACCOUNT_COLUMN = field("account", "Account")
EXPORTER_COLUMN = field("instance", "Exporter")
OBJECT_COLUMNS = (NAME_COLUMN, SITE_COLUMN, TYPE_COLUMN, ACCOUNT_COLUMN, EXPORTER_COLUMN)


def state_column(name, title, states):
    return field(name, title, mappings=mapping(*states), custom__cellOptions=COLORED)


VERDICT_COLUMN = state_column("verdict", "Verdict", VERDICTS)
BGP_COLUMN = state_column("state", "BGP", BGP_STATES)
VERDICT_COLORS = tuple(field(state, text, color=fixed(shade)) for state, text, shade in VERDICTS)


# --- Annotations and variables ----------------------------------------------------------------------------------------


def alerts(name, by, *labels):
    """Marks the time in which alerts fire. The heartbeat always does."""
    firing = select(
        "ALERTS", 'alertname=~"MagicTunnel.+", alertname!="MagicTunnelHeartbeat", alertstate="firing"', *labels
    )
    text = " ".join(f"{{{{{label}}}}}" for label in by)
    return Annotation(name, "red", f"count by ({', '.join(by)}) ({firing})", text)


def variables(*names, every_tunnel=True, by_site=True):
    """The variables of a dashboard.

    "All" jobs and instances are those of exporters, not those of all of Prometheus. "All" of the others is `.*`, which
    also selects tunnels without a site, and is faster than `.+`: Prometheus does not look up each value. Without
    `every_tunnel` there is no "All" of tunnels: the queries have as many series as tunnels are chosen. Without
    `by_site` the tunnels do not depend on the chosen sites.
    """
    of_tunnels = "tunnel:cloudflare_magic_tunnel_verdict:held5m"
    chosen = {"all_value": ".*"} if every_tunnel else {"include_all": False}
    known = {
        "job": label_variable("job", "cloudflare_magic_exporter_build_info"),
        "instance": label_variable("instance", 'cloudflare_magic_exporter_build_info{job=~"$job"}'),
        "account": label_variable("account", own("collection_up"), all_value=".*"),
        "site": label_variable("site", select(of_tunnels, ACCOUNT), all_value=".*"),
        "tunnel": label_variable("tunnel", select(of_tunnels, SITE if by_site else ACCOUNT), "tunnel_name", **chosen),
        "limit": choice_variable("limit", "Rows at most", ["10", "25", "50", "100"], "25"),
    }
    return [known[name] for name in names]
