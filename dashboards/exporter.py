"""The dashboard for the exporter itself: polls, the API, the prober, the process."""

from panels import Annotation, Board, buckets, graph, instant, mapping, number, query, timeline
from queries import (
    NEUTRAL, NONE_IS_GOOD, SCRAPE, UP, account, alerts, latency, own, poll_age, rate, scraped, thresholds, variables,
)  # fmt: skip

INSTANCE = "{{instance}}"
COLLECTION = "{{account}} {{collection}} {{instance}}"


def board():
    started = f"1000 * {scraped('process_start_time_seconds')}"
    built = Board(
        "exporter",
        "Health of the exporter itself: polls, the API, the prober, the process.",
        variables("job", "instance", "account", "limit"),
        [
            alerts("Alerts", ["alertname", "instance"], SCRAPE, 'account=~"$account|"', 'tunnel_id=""'),
            Annotation("Exporter started", "blue", started, INSTANCE, value_is_time=True),
        ],
    )
    built.row("Now")
    built.line(4, *now())
    built.row("Polls")
    built.line(8, *polls())
    built.row("Cloudflare's API")
    built.line(8, *api())
    built.line(8, *api_details())
    built.row("Cloudflare's edge")
    built.line(8, *edge())
    built.row("Prober")
    built.line(8, *prober())
    built.line(8, *prober_details())
    built.row("Process")
    built.line(8, *process())
    return built


def now():
    return (
        number(
            "Exporters not scraped",
            "Exporters that Prometheus could not scrape. Exporters without a successful scrape in the range are "
            "unknown.",
            instant(f"sum({scraped('up')} == bool 0)"),
            colors=NONE_IS_GOOD,
        ),
        number(
            "Version",
            "Running versions.",
            instant(f"max by (version) ({own('exporter_build_info')})", "{{version}}"),
            colors=NEUTRAL,
            text="name",
        ),
        number(
            "Collections failing",
            "Lists and datasets of the API for which the last poll failed.",
            instant(f"sum({account('collection_up')} == bool 0)"),
            colors=NONE_IS_GOOD,
        ),
        number(
            "Probed addresses",
            "Probed addresses. A shared address counts once per exporter.",
            instant(f"sum({own('probe_targets')})"),
            colors=NEUTRAL,
        ),
        number(
            "Closed ICMP sockets",
            "IP versions for which no socket could be opened, because the exporter lacks the permission to ping; see "
            "its log.",
            instant(f"sum({own('probe_socket_up')} == bool 0)"),
            colors=NONE_IS_GOOD,
        ),
        number(
            "Configuration",
            "Whether the last reload of the configuration succeeded.",
            instant(f"min({own('config_last_reload_successful')})"),
            mappings=mapping((0, "rejected", "red"), (1, "active", "green")),
        ),
    )


def polls():
    return (
        graph(
            "Age of the data",
            "Time since the last successful poll of each list of tunnels, in polling intervals. After "
            "--poll.stale-after its series are omitted.",
            query(f"topk($limit, {poll_age()})", COLLECTION),
            limits=thresholds("green", (3, "orange"), (5, "red")),
        ),
        timeline(
            "Collections",
            "Whether the last poll of each collection succeeded.",
            query(f"bottomk($limit, {account('collection_up')})", COLLECTION),
            mappings=mapping((0, "failed", "red"), (1, "succeeded", "green")),
        ),
        graph(
            "Duration of polls",
            "Duration of the last poll of each collection, including retries.",
            query(f"topk($limit, {account('poll_duration_seconds')})", COLLECTION),
            unit="s",
        ),
        graph(
            "Tunnels listed",
            "Tunnels that the API lists, by type.",
            query(f"sum by (tunnel_type) (max by (account, tunnel_type) ({account('tunnels')}))", "{{tunnel_type}}"),
            stack=True,
        ),
    )


def api():
    return (
        graph(
            "Requests",
            "Requests by HTTP status; none: no response. Cloudflare allows 1200 requests in five minutes for all "
            "users of an account together.",
            query(f"sum by (collection, code) ({rate(own('api_requests_total'))}) > 0", "{{collection}} {{code}}"),
            unit="reqps",
        ),
        graph(
            "Failures",
            "Requests without a usable response, by reason.",
            query(
                f"sum by (collection, reason) ({rate(own('api_request_failures_total'))}) > 0",
                "{{collection}} {{reason}}",
            ),
            unit="reqps",
        ),
        graph(
            "Latency",
            "Time from sending a request to the end of its response: median and 99th percentile.",
            *(
                query(expr, legend)
                for expr, legend in latency(own("api_request_duration_seconds_bucket"), "collection")
            ),
            unit="s",
        ),
    )


def api_details():
    return (
        buckets(
            "Latency, all requests",
            "Distribution of the request durations, in requests per second.",
            f"sum by (le) ({rate(own('api_request_duration_seconds_bucket'))})",
            unit="s",
        ),
        graph(
            "Unknown values",
            "Values that this version does not know or cannot read, by field. If there are any, Cloudflare has "
            "changed its API: look for a newer version.",
            query(f"sum by (field) (increase({own('unknown_values_total')}[$__rate_interval])) > 0", "{{field}}"),
        ),
        graph(
            "Rejected tunnels",
            "Entries of the API's lists that were omitted because they cannot be read or have no unique id.",
            query(f"sum by (reason) ({account('tunnels_rejected')}) > 0", "{{reason}}"),
        ),
    )


def edge():
    dataset = "{{account}} {{dataset}} {{instance}}"
    return (
        graph(
            "Age of the edge's data",
            "Time since the end of the time span that the data is about. After --edge.stale-after its series are "
            "omitted.",
            query(f"topk($limit, time() - {account('edge_window_end_timestamp_seconds')})", dataset),
            unit="s",
        ),
        graph(
            "Age of the newest data",
            "Age of the newest minute with complete data. If it exceeds --edge.delay, the newest minutes are "
            "incomplete.",
            query(
                f"topk($limit, time() - {account('edge_newest_data_timestamp_seconds')})", "{{account}} {{instance}}"
            ),
            unit="s",
        ),
        graph(
            "Gaps of the edge's data",
            "Tunnels with enabled health checks and without data, and names in the data that belong to no tunnel or to "
            "several, such as interconnects.",
            query(f"topk($limit, {account('edge_tunnels_without_data')})", "{{account}} {{instance}} without data"),
            query(f"topk($limit, {account('edge_unmatched')})", "{{account}} {{instance}} unmatched"),
        ),
        timeline(
            "Completeness",
            "Whether all rows of each dataset were read.",
            query(f"topk($limit, {account('edge_truncated')})", dataset),
            mappings=mapping((0, "complete", "green"), (1, "truncated", "orange")),
        ),
    )


def prober():
    lag = own("probe_schedule_lag_seconds_bucket")
    return (
        buckets(
            "Send delay",
            "How late pings were sent. A high delay means that the machine is overloaded, so loss and round-trip "
            "times are unreliable.",
            f"sum by (le) ({rate(lag)})",
            unit="s",
        ),
        graph(
            "Send delay, quantiles",
            "Median and 99th percentile of the send delay.",
            *(query(expr, legend) for expr, legend in latency(lag, "instance")),
            unit="s",
        ),
        # The delay is observed once for each ping. The counters of all tunnels would be tens of thousands of series.
        graph("Pings", "Pings sent.", query(rate(own("probe_schedule_lag_seconds_count")), INSTANCE), unit="ops"),
        graph("In flight", "Pings that were sent and are not yet completed.", query(own("probe_in_flight"), INSTANCE)),
    )


def prober_details():
    return (
        timeline(
            "ICMP sockets",
            "Whether the sockets of each IP version are open, and their mode.",
            query(own("probe_socket_up"), "IPv{{ip_version}} {{mode}} {{instance}}"),
            mappings=mapping((0, "closed", "red"), (1, "open", "green")),
        ),
        graph(
            "Dropped packets",
            "Received packets that the kernel dropped because the receive buffer of an ICMP socket was full. The affected "
            "pings do not count as lost.",
            query(rate(own("probe_socket_drops_total")), "IPv{{ip_version}} {{instance}}"),
            unit="pps",
        ),
        timeline(
            "Uplinks",
            "Whether each uplink address (--probe.uplink) answers. No data without uplinks.",
            query(own("probe_uplink_up"), "{{address}} {{instance}}"),
            mappings=UP,
        ),
        graph(
            "Refused addresses",
            "Addresses of tunnels and uplinks that are configured but cannot be probed, by reason.",
            query(f"sum by (reason) ({own('probe_targets_refused')}) > 0", "{{reason}}"),
        ),
    )


def process():
    files = query(scraped("process_open_fds"), f"descriptors {INSTANCE}")
    threads = query(scraped("process_threads"), f"threads {INSTANCE}")
    return (
        graph("Memory", "Resident memory.", query(scraped("process_resident_memory_bytes"), INSTANCE), unit="bytes"),
        graph(
            "CPU", "CPU time per second: 1 is one core.", query(rate(scraped("process_cpu_seconds_total")), INSTANCE)
        ),
        graph(
            "File descriptors and threads",
            "Open file descriptors (including connections and sockets) and operating system threads.",
            files,
            threads,
        ),
        graph(
            "Scrapes",
            "Duration of the scrapes by Prometheus.",
            query(scraped("scrape_duration_seconds"), INSTANCE),
            unit="s",
        ),
    )
