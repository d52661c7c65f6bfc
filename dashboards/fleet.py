"""The dashboard for a hub and its agents: votes, disagreements, tunnels without an agent, inventories."""

from panels import Board, field, graph, instant, mapping, number, query, rows, timeline
from queries import (
    ACCOUNT_COLUMN, FEW_ARE_GOOD, NAME_COLUMN, NONE_IS_GOOD, SCRAPE, TUNNEL, TYPE_COLUMN, VERDICT_COLUMN,
    alerts, own, rate, select, thresholds, tunnel, variables,
)  # fmt: skip

AGENT, HUB = 'role="agent"', 'role="hub"'
EACH = "account, tunnel_id"
INSTANCE = "{{instance}}"


def voted(*matchers):
    """Selects the verdicts of agents. Only the hub knows the sites."""
    return select("tunnel:cloudflare_magic_tunnel_verdict:held5m", TUNNEL, AGENT, *matchers)


ALL = tunnel("info", HUB)


def board():
    built = Board(
        "fleet",
        "A hub and its agents: how the agents vote on each tunnel, and whether they have the current inventory.",
        variables("job", "instance", "account", "tunnel", "limit", by_site=False),
        [alerts("Alerts", ["alertname", "instance"], SCRAPE, 'account=~"$account|"', 'tunnel_id=""')],
    )
    built.row("Now")
    built.line(4, *now())
    built.row("Votes")
    built.line(10, faults(), votes(), widths=[15, 9])
    built.row("Agents")
    built.line(9, *agents())
    built.row("Inventories")
    built.line(8, *inventories())
    return built


def now():
    watched = f"count by ({EACH}) ({voted()})"
    answers = tunnel("reachable", AGENT)
    split = f"max by ({EACH}) ({answers}) > min by ({EACH}) ({answers})"
    unwatched = f"count by ({EACH}) ({ALL}) unless {watched}"
    return (
        number(
            "Hubs",
            "Hubs that Prometheus can scrape.",
            instant(f"sum({select('up', SCRAPE, HUB)})"),
            colors=thresholds("red", (1, "green")),
        ),
        number("Agents", "Agents that Prometheus scrapes.", instant(f"count({select('up', SCRAPE, AGENT)})")),
        number(
            "Agents not scraped",
            "Agents that Prometheus could not scrape. They have no vote.",
            instant(f"sum({select('up', SCRAPE, AGENT)} == bool 0)"),
            colors=FEW_ARE_GOOD,
        ),
        number(
            "Disagreements",
            "Tunnels through which one agent gets answers and another one gets none.",
            instant(f"count({split}) or 0 * count({ALL})"),
            colors=NONE_IS_GOOD,
        ),
        number(
            "Tunnels without an agent",
            "Tunnels that a hub lists and no agent watches.",
            instant(f"count({unwatched}) or 0 * count({ALL})"),
            colors=FEW_ARE_GOOD,
        ),
        number(
            "Oldest inventory",
            "Time since Cloudflare confirmed the inventory of an agent, for the agent with the oldest one.",
            instant(f"max(time() - {own('inventory_confirmed_timestamp_seconds', AGENT)})"),
            colors=thresholds("green", (300, "orange"), (3600, "red")),
            unit="s",
        ),
    )


def faults():
    faulty = voted('verdict!~"healthy|unknown|prober_isolated"')
    by = "account, tunnel_id, tunnel_name, tunnel_type, verdict"
    return rows(
        "Votes for a fault",
        "Tunnels that an agent calls broken, and the number of agents with this verdict. MagicTunnelFaultQuorum fires "
        "for those that more than half of the agents call broken.",
        [f"topk($limit, count by ({by}) ({faulty}))"],
        ["tunnel_name", "verdict", "Value", "tunnel_type", "account", "-tunnel_id"],
        fields=[NAME_COLUMN, TYPE_COLUMN, ACCOUNT_COLUMN, VERDICT_COLUMN, field("Value", "Agents")],
        sort="Agents",
        descending=True,
        empty="No faults",
    )


def votes():
    return graph(
        "Votes",
        "Verdicts of all agents on all tunnels, by verdict.",
        query(f"count by (verdict) ({voted()})", "{{verdict}}"),
        stack=True,
    )


def agents():
    return (
        timeline(
            "Agents over time",
            "Whether Prometheus can scrape each agent.",
            query(f"bottomk($limit, {select('up', SCRAPE, AGENT)})", INSTANCE),
            mappings=mapping((0, "not scraped", "red"), (1, "scraped", "green")),
        ),
        graph(
            "Agents by state",
            "Agents that ask a hub. Behind: asks with an old list. Missing: has not asked for three of its intervals.",
            query(f"sum by (state, instance) ({own('agents')})", "{{state}} {{instance}}"),
        ),
        graph(
            "Tunnels of each agent",
            "Tunnels in the inventory of each agent.",
            query(f"topk($limit, {own('inventory_tunnels')})", INSTANCE),
        ),
    )


def inventories():
    age = f"time() - {own('inventory_confirmed_timestamp_seconds', AGENT)}"
    return (
        graph(
            "Age of the inventories",
            "Time since Cloudflare confirmed the inventory of each agent. MagicAgentBlind fires after an hour.",
            query(f"topk($limit, {age})", INSTANCE),
            unit="s",
            limits=thresholds("green", (3600, "red")),
        ),
        graph(
            "Failed requests",
            "Requests of agents to hubs without a usable response, by reason.",
            query(f"sum by (reason) ({rate(own('inventory_failures_total'))}) > 0", "{{reason}}"),
            unit="reqps",
        ),
        graph(
            "Inventories served",
            "Responses of hubs by HTTP status; 304: unchanged.",
            query(f"sum by (code) ({rate(own('inventory_served_total'))}) > 0", "{{code}}"),
            unit="reqps",
        ),
    )
