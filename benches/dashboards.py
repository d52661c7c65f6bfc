#!/usr/bin/env python3
"""Measures every query of the dashboards on a real Prometheus with hours of data of thousands of tunnels.

    nice benches/dashboards.py [--tunnels 5000] [--hours 6] [--folder target/dashboards-bench] [--write] [BOARD...]

`promtool tsdb create-blocks-from openmetrics` makes blocks from generated text: the series of all tunnels that the
dashboards read, and all series of the chosen tunnels. The dashboard of a fleet has blocks of its own, with the series of
a hub and of two agents for every ten tunnels: 1,000 agents with 5,000 tunnels. With 5,000 tunnels this takes about 10 minutes, 5 GB of disk and
2 GB of memory; the blocks are kept and used again. Each query is sent as Grafana sends it on opening a dashboard, five
times; the fastest counts. "cpu" is the processor time of Prometheus, which other load of the machine changes little.
The exit status is 1 if a query takes more than a second. `--write` updates docs/BENCHMARKS.md.
"""

import argparse
import hashlib
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCRAPE = 15  # seconds between samples of the exporter and of the states that rules record
EVALUATION = 60  # seconds between samples of the rules for rates: the default of Prometheus
BLOCK = 2 * 3600  # Prometheus' own block size: promtool makes one block for each
LIMIT = 1.0
REPEAT = 5
ACCOUNTS, PER_SITE = 5, 4
JOB, INSTANCE = "magic-tunnels", "exporter.example.net:9847"
HUB = f'job="{JOB}",instance="{INSTANCE}",role="hub"'
PER_AGENT, VOTES = 10, 2
VERDICTS = "healthy bgp_fault tunnel_fault unreachable path_mismatch reported_down prober_isolated".split()
VERDICTS += ["check_fault", "unknown"]
BUCKETS = "0.0005 0.001 0.002 0.005 0.01 0.02 0.05 0.1 0.2 0.5 1 2 +Inf".split()
TARGETS = ("interface_address", "customer_endpoint")


# --- Generated series -------------------------------------------------------------------------------------------------


class Tunnel:
    """A tunnel with outages: 1 in 50 tunnels is broken at any time, 1 in 200 is down for good."""

    def __init__(self, number):
        self.number = number
        digest = hashlib.md5(str(number).encode()).hexdigest()
        account = f"account-{number % ACCOUNTS}"
        kind = "gre" if number % 3 == 0 else "ipsec"
        self.site = f"site-{number // PER_SITE:04}" if number % 10 else ""
        self.key = (
            f'account="{account}",tunnel_id="{digest}",'
            f'tunnel_name="site-{number // PER_SITE:04}-{kind}-{number % PER_SITE}",tunnel_type="{kind}"'
        )
        self.labels = f'job="{JOB}",instance="{INSTANCE}",{self.key}'
        self.sited = self.labels + (f',site="{self.site}"' if self.site else "")

    def verdict(self, minute):
        if self.number % 200 == 7:
            return VERDICTS[1 + self.number // 200 % 3]
        period = (minute + 37 * self.number) % 1000
        return VERDICTS[1 + self.number % 4] if period < 15 else "healthy"


def often(tunnel, minute):
    """The series of each tunnel that have a sample at each scrape: pairs of series and value."""
    verdict, labels, sited = tunnel.verdict(minute), tunnel.labels, tunnel.sited
    state = "up" if verdict == "healthy" else "down"
    changes = minute // 50 * (tunnel.number % 40 == 0)
    yield f'tunnel:cloudflare_magic_tunnel_verdict:held5m{{{sited},verdict="{verdict}"}}', 1
    yield f'tunnel:cloudflare_magic_tunnel_bgp_state:held5m{{{sited},state="{state}"}}', 1
    yield f"cloudflare_magic_tunnel_verdict_changes_total{{{labels}}}", changes
    yield f"cloudflare_magic_tunnel_bgp_state_changes_total{{{labels}}}", changes
    if state == "down":
        alert = 'alertname="MagicTunnelDown",alertstate="firing",severity="critical"'
        yield f"ALERTS{{{alert},{labels}}}", 1


def seldom(tunnel, minute):
    """The series of each tunnel that have a sample each minute, or of which the dashboards read the last value only."""
    number, labels, works = tunnel.number, tunnel.labels, tunnel.verdict(minute) == "healthy"
    noise = (number * 2654435761 + minute * 40503) % 1000 / 1000
    loss = round(noise / 100, 4) if number % 20 == 0 else 0
    yield f"tunnel:cloudflare_magic_tunnel_available:ratio5m{{{tunnel.sited}}}", int(works)
    for target in TARGETS:
        place = f'{{{labels},probe_target="{target}"}}'
        rtt = round(0.01 + number % 97 / 1000 + noise / 1000, 6)
        yield f"target:cloudflare_magic_tunnel_probe_loss:ratio_rate5m{place}", loss if works else 1
        yield f"target:cloudflare_magic_tunnel_probe_rtt_seconds:mean10m{place}", rtt
    yield f"cloudflare_magic_tunnel_verdict_changed_timestamp_seconds{{{labels}}}", 60 * (minute - number % 1000)
    yield f"cloudflare_magic_tunnel_reachable{{{labels}}}", int(works)
    yield f"cloudflare_magic_tunnel_health_check_enabled{{{labels}}}", int(number % 100 != 1)
    yield f"cloudflare_magic_tunnel_null_cipher_allowed{{{labels}}}", int(number % 100 == 2)


def of_sites(tunnels):
    """The availability of sites that rules record for fixed times."""
    sites = {(f"account-{tunnel.number % ACCOUNTS}", tunnel.site) for tunnel in tunnels if tunnel.site}
    for account, site in sorted(sites):
        for window in ("6h", "3d"):
            labels = f'job="{JOB}",instance="{INSTANCE}",account="{account}",site="{site}"'
            yield f"site:cloudflare_magic_tunnel_available:ratio{window}{{{labels}}}", 0.999


def detailed(tunnel, minute):
    """The other series of a tunnel that the dashboard of one tunnel reads."""
    seconds, labels = 60 * minute, tunnel.labels
    for target in TARGETS:
        for place, le in enumerate(BUCKETS):
            count = seconds * min(1, place / 6)
            yield (
                f'cloudflare_magic_tunnel_probe_rtt_seconds_bucket{{{labels},probe_target="{target}",le="{le}"}}',
                count,
            )
        for reason in ("timeout", "unreachable", "prohibited", "ttl_exceeded", "too_big", "not_sent"):
            failures = (
                f'cloudflare_magic_tunnel_probe_failures_total{{{labels},probe_target="{target}",reason="{reason}"}}'
            )
            yield failures, seconds // 100 if reason == "timeout" else 0
        yield f'cloudflare_magic_tunnel_probe_up{{{labels},probe_target="{target}"}}', 1
        yield (
            f'cloudflare_magic_tunnel_probe_last_reply_timestamp_seconds{{{labels},probe_target="{target}"}}',
            seconds,
        )
    for name in ("path_mtu", "expected_mtu"):
        yield f'cloudflare_magic_tunnel_probe_{name}_bytes{{{labels},probe_target="{TARGETS[0]}"}}', 1400
    info = (
        'description="",customer_endpoint="192.0.2.1",cloudflare_endpoint="192.0.2.2",interface_address="10.0.0.0/31"'
    )
    yield f"cloudflare_magic_tunnel_info{{{labels},{info}}}", 1
    times = [f"{name}_timestamp_seconds" for name in ("created", "modified", "bgp_status", "psk_generated")]
    for name in (*times, "bgp_tcp_established", "bgp_extra_prefixes", "mtu_bytes", "ttl_hops"):
        yield f"cloudflare_magic_tunnel_{name}{{{labels}}}", 1


def of_exporter(minute):
    """The series of the exporter itself."""
    seconds, own = 60 * minute, f'job="{JOB}",instance="{INSTANCE}"'
    yield f'cloudflare_magic_exporter_build_info{{{own},version="1.0.0",revision="0"}}', 1
    names = "poll_interval_seconds probe_targets probe_in_flight config_last_reload_successful"
    for name in names.split():
        yield f"cloudflare_magic_{name}{{{own}}}", 60
    process = [f"process_{name}" for name in ("open_fds", "threads", "resident_memory_bytes", "start_time_seconds")]
    for name in (*process, "up", "scrape_duration_seconds"):
        yield f"{name}{{{own}}}", 1
    yield f"process_cpu_seconds_total{{{own}}}", seconds / 100
    for place, le in enumerate(BUCKETS):
        yield f'cloudflare_magic_probe_schedule_lag_seconds_bucket{{{own},le="{le}"}}', seconds * place
    yield f"cloudflare_magic_probe_schedule_lag_seconds_count{{{own}}}", seconds * len(BUCKETS)
    for number in range(ACCOUNTS):
        for name in ("prefixes_lost", "prefixes_at_risk", "routes_unmatched"):
            yield f'cloudflare_magic_{name}{{{own},account="account-{number}"}}', number % 2
        for collection in ("gre_tunnels", "ipsec_tunnels"):
            labels = f'{own},account="account-{number}",collection="{collection}"'
            yield f"cloudflare_magic_collection_up{{{labels}}}", 1
            yield f"cloudflare_magic_poll_last_success_timestamp_seconds{{{labels}}}", seconds
            yield f"cloudflare_magic_poll_duration_seconds{{{labels}}}", 0.5
            yield f'cloudflare_magic_api_requests_total{{{labels},code="200"}}', minute


def agent(number):
    return f'job="magic-tunnel-agents",instance="agent-{number:04}.example.net:9847",role="agent"'


def agents_of(tunnel):
    return [tunnel.number // PER_AGENT * VOTES + place for place in range(VOTES)]


def votes(tunnel, minute):
    """The verdicts of the agents of a tunnel. One of them has a broken path to 1 in 100 tunnels."""
    for place, number in enumerate(agents_of(tunnel)):
        verdict = "tunnel_fault" if place and tunnel.number % 100 == 3 else tunnel.verdict(minute)
        yield f'tunnel:cloudflare_magic_tunnel_verdict:held5m{{{agent(number)},{tunnel.key},verdict="{verdict}"}}', 1


def of_fleet(tunnel, minute):
    """The other series of a tunnel in a fleet."""
    info = 'description="",customer_endpoint="192.0.2.1",cloudflare_endpoint="192.0.2.2"'
    yield f"cloudflare_magic_tunnel_info{{{HUB},{tunnel.key},{info}}}", 1
    for place, number in enumerate(agents_of(tunnel)):
        answers = tunnel.verdict(minute) == "healthy" and not (place and tunnel.number % 100 == 3)
        yield f"cloudflare_magic_tunnel_reachable{{{agent(number)},{tunnel.key}}}", int(answers)


def of_agents(tunnels, minute):
    """The series of a hub and its agents themselves. 1 in 100 agents has an old inventory."""
    seconds, agents = 60 * minute, sorted({number for tunnel in tunnels for number in agents_of(tunnel)})
    for own in (HUB, *map(agent, agents)):
        yield f'cloudflare_magic_exporter_build_info{{{own},version="1.0.0",revision="0"}}', 1
        yield f"up{{{own}}}", 1
    for number in agents:
        own, is_blind = agent(number), number % 100 == 9
        yield f"cloudflare_magic_inventory_tunnels{{{own}}}", PER_AGENT
        yield f"cloudflare_magic_inventory_confirmed_timestamp_seconds{{{own}}}", seconds - 7200 * is_blind
        for reason in ("connect", "timeout", "auth", "server", "decode"):
            failures = seconds // 30 if is_blind and reason == "connect" else 0
            yield f'cloudflare_magic_inventory_failures_total{{{own},reason="{reason}"}}', failures
    for place, state in enumerate(("current", "behind", "missing")):
        yield f'cloudflare_magic_agents{{{HUB},state="{state}"}}', 0 if place else len(agents)
    for code in (200, 304, 401, 403, 503):
        served = seconds // 30 * len(agents) if code == 304 else minute
        yield f'cloudflare_magic_inventory_served_total{{{HUB},code="{code}"}}', served
    for number in range(ACCOUNTS):
        for collection in ("gre_tunnels", "ipsec_tunnels"):
            labels = f'{HUB},account="account-{number}",collection="{collection}"'
            yield f"cloudflare_magic_collection_up{{{labels}}}", 1


def of_one_exporter(tunnels, minute):
    """The series of an exporter at each scrape, and at each evaluation of the rules for rates."""
    scraped = [one for tunnel in tunnels for one in often(tunnel, minute)]
    scraped += [one for tunnel in tunnels[:3] for one in detailed(tunnel, minute)]
    evaluated = [one for tunnel in tunnels for one in seldom(tunnel, minute)]
    return [*scraped, *of_exporter(minute)], [*evaluated, *of_sites(tunnels)]


def of_one_fleet(tunnels, minute):
    """The same of a hub and its agents."""
    scraped = [one for tunnel in tunnels for one in votes(tunnel, minute)]
    evaluated = [one for tunnel in tunnels for one in of_fleet(tunnel, minute)]
    return [*scraped, *of_agents(tunnels, minute)], evaluated


# The boards that read generated series of their own.
WORLDS = {"fleet": of_one_fleet}


def write_block(file, begin, end, tunnels, world):
    """Writes OpenMetrics text. Values change once a minute at most, so that the lines of a minute share their texts."""
    with file.open("w", encoding="utf-8") as out:
        for start in range(begin, end, 60):
            scraped, evaluated = world(tunnels, start // 60)
            write_samples(out, scraped, range(start, start + 60, SCRAPE))
            write_samples(out, evaluated, range(start, start + 60, EVALUATION))
        out.write("# EOF\n")


def write_samples(out, series, times):
    texts = [f"{name} {value}" for name, value in series]
    for at in times:
        out.write(f" {at}\n".join(texts) + f" {at}\n")


def make_blocks(folder, tunnels, hours, world):
    end = int(time.time()) // BLOCK * BLOCK
    (folder / "data").mkdir(parents=True)
    text = folder / "block.txt"
    for begin in range(end - hours * 3600, end, BLOCK):
        print(f"block {(begin - end) // 3600} h", file=sys.stderr)
        write_block(text, begin, begin + BLOCK, tunnels, world)
        create = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet", text, folder / "data"]
        subprocess.run(create, check=True, stdout=subprocess.DEVNULL)
    text.unlink()
    (folder / "end.txt").write_text(str(end - SCRAPE))


# --- Prometheus and queries -------------------------------------------------------------------------------------------


class Prometheus:
    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        config = folder / "prometheus.yml"
        config.write_text("global: {}\n")
        self.process = subprocess.Popen([
            "prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
            "--storage.tsdb.retention.time=10y", f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=error",
        ])  # fmt: skip
        deadline = time.monotonic() + 60
        while not self.ready():
            if time.monotonic() > deadline:
                sys.exit("Prometheus is not ready")
            time.sleep(0.2)

    def ready(self):
        try:
            return self.get("/-/ready")[0] == 200
        except OSError:
            return False

    def get(self, path, form=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        body = urllib.parse.urlencode(form) if form else None
        connection.request("POST" if form else "GET", path, body, headers if form else {})
        response = connection.getresponse()
        return response.status, response.read()

    def ask(self, path, **form):
        status, body = self.get(path, form)
        if status != 200:
            sys.exit(f"{form}: {body.decode()}")
        return json.loads(body)["data"]

    def cpu(self):
        """Processor time so far, in seconds."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        self.process.wait()


def duration(seconds):
    return f"{seconds}s"


class Board:
    """The queries of a dashboard, with the values that Grafana fills in."""

    def __init__(self, prometheus, board, end, hours):
        self.prometheus, self.board, self.end, self.range = prometheus, board, end, hours * 3600
        self.values = {"limit": "25", "__range": duration(self.range)}
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                self.values[variable["name"]] = self.choose(variable)

    def choose(self, variable):
        """The initial selection: "All", or the first value."""
        if "allValue" in variable:
            return variable["allValue"]
        selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]).groups()
        match = {"match[]": self.fill(selector, SCRAPE), "start": self.end - self.range, "end": self.end}
        found = self.prometheus.ask("/api/v1/series", **match)
        values = sorted({one.get(label, "") for one in found})
        return "|".join(values) if variable.get("includeAll") else values[0]

    def fill(self, expr, step):
        values = self.values | {"__rate_interval": duration(max(4 * SCRAPE, step + SCRAPE))}
        for name in sorted(values, key=len, reverse=True):
            expr = expr.replace(f"${name}", values[name])
        return expr

    def queries(self):
        """The place, the expression, and the step (0: the current value) of each query."""
        for panel in self.board["panels"]:
            for target in panel.get("targets", []):
                step = 0 if target.get("instant") else self.step(panel.get("maxDataPoints", 1000))
                yield f"{panel['title']} {target['refId']}", target["expr"], step
        for one in self.board["annotations"]["list"]:
            if "expr" in one:
                yield f"annotation {one['name']}", one["expr"], self.step(300)

    def step(self, points):
        return max(SCRAPE, self.range // points)

    def measure(self, expr, step):
        """The shortest times of a query, and the number of its series."""
        form = {"query": self.fill(expr, step or 60)}
        if step:
            path = "/api/v1/query_range"
            form |= {"start": self.end - self.range, "end": self.end, "step": step}
        else:
            path = "/api/v1/query"
            form |= {"time": self.end}
        walls, cpus = [], []
        for _ in range(REPEAT):
            begin, spent = time.perf_counter(), self.prometheus.cpu()
            result = self.prometheus.ask(path, **form)["result"]
            walls.append(time.perf_counter() - begin)
            cpus.append(self.prometheus.cpu() - spent)
        return min(walls), min(cpus), len(result)


def measure(folder, boards, tunnels, hours, world):
    """The costs of the queries of some dashboards. Makes the blocks unless they exist."""
    if not (folder / "end.txt").exists():
        shutil.rmtree(folder, ignore_errors=True)
        make_blocks(folder, [Tunnel(number) for number in range(tunnels)], hours, world)
    prometheus, rows = Prometheus(folder), []
    try:
        for name in boards:
            text = (ROOT / "dashboards" / f"{name}.json").read_text(encoding="utf-8")
            board = Board(prometheus, json.loads(text), int((folder / "end.txt").read_text()), hours)
            for place, expr, step in board.queries():
                rows.append((*board.measure(expr, step), name, place))
    finally:
        prometheus.stop()
    return rows


# --- Report -----------------------------------------------------------------------------------------------------------


def report(rows, tunnels, hours, shown=12):
    version = subprocess.run(["prometheus", "--version"], capture_output=True, text=True, check=True)
    name = (version.stdout or version.stderr).split(" (")[0]
    lines = [f"{tunnels} tunnels, {hours} hours, {name}; {len(rows)} queries, of which the slowest are:", ""]
    lines += ["| dashboard | query | series | seconds | cpu |", "|---|---|---:|---:|---:|"]
    for took, cpu, series, board, place in rows[:shown]:
        lines.append(f"| {board} | {place} | {series} | {took:.2f} | {cpu:.2f} |")
    return "\n".join(lines)


def write(text):
    file = ROOT / "docs/BENCHMARKS.md"
    begin, end = "<!-- dashboards: begin -->", "<!-- dashboards: end -->"
    head, rest = file.read_text(encoding="utf-8").split(begin)
    _, tail = rest.split(end)
    file.write_text(f"{head}{begin}\n{text}\n{end}{tail}", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tunnels", type=int, default=5000)
    parser.add_argument("--hours", type=int, default=6)
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "target/dashboards-bench")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("boards", nargs="*", metavar="BOARD")
    options = parser.parse_args()
    boards = options.boards or sorted(file.stem for file in (ROOT / "dashboards").glob("*.json"))
    size = f"{options.tunnels}-{options.hours}"
    usual = [board for board in boards if board not in WORLDS]
    rows = []
    if usual:
        rows += measure(options.folder / size, usual, options.tunnels, options.hours, of_one_exporter)
    for board in [board for board in boards if board in WORLDS]:
        folder = options.folder / f"{board}-{size}"
        rows += measure(folder, [board], options.tunnels, options.hours, WORLDS[board])
    rows.sort(reverse=True)
    text = report(rows, options.tunnels, options.hours)
    print(text)
    if options.write:
        write(text)
    sys.exit(rows[0][0] > LIMIT)


if __name__ == "__main__":
    main()
