"""Checks the output of `docker-compose config`: each service finds the files it reads and the services it connects to.

The mounts of each service are copied to a folder of their own, where the tools of Prometheus and Alertmanager read the
configuration.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import yaml


class Service:
    """One service, with its mounts copied below `root`."""

    def __init__(self, name: str, settings: dict, root: pathlib.Path) -> None:
        self.settings = settings
        self.root = root / name
        for volume in settings.get("volumes", []):
            source, target, *mode = volume.split(":")
            if not source.startswith("/"):
                continue  # a named volume
            assert pathlib.Path(source).is_file(), f"{name} mounts {source}, which is not a file"
            assert mode == ["ro"], f"{name} could write to {source}"
            self.at(target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, self.at(target))

    def at(self, path: str) -> pathlib.Path:
        return self.root / path.lstrip("/")

    def yaml(self, path: str) -> dict:
        return yaml.safe_load(self.at(path).read_text())

    def ports(self) -> set[str]:
        """The ports inside the container. Outside they listen on this machine only."""
        assert all(port.startswith("127.0.0.1:") for port in self.settings["ports"]), self.settings["ports"]
        return {port.removesuffix("/tcp").split(":")[-1] for port in self.settings["ports"]}


def run(*command: str | pathlib.Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def prometheus(services: dict[str, Service], rule_files: int) -> None:
    file = "/etc/prometheus/prometheus.yml"
    said = run("promtool", "check", "config", services["prometheus"].at(file))
    assert f"{rule_files} rule files found" in said, said
    settings = services["prometheus"].yaml(file)
    job, *others = settings["scrape_configs"]
    assert job["job_name"] == "magic-tunnels", "the alerts name the job"
    for group in job["static_configs"] + settings["alerting"]["alertmanagers"][0]["static_configs"]:
        for target in group["targets"]:
            serves(services, target)
    for discovered in [config for other in others for config in other["http_sd_configs"]]:
        serves(services, discovered["url"].removeprefix("http://").partition("/")[0])


def serves(services: dict[str, Service], target: str) -> None:
    host, port = target.split(":")
    assert port in services[host].ports(), f"{host} does not serve on {port}"


def grafana(services: dict[str, Service], names: list[str]) -> None:
    service = services["grafana"]
    [source] = service.yaml("/etc/grafana/provisioning/datasources/prometheus.yml")["datasources"]
    serves(services, source["url"].removeprefix("http://"))
    [provider] = service.yaml("/etc/grafana/provisioning/dashboards/magic-tunnels.yml")["providers"]
    boards = sorted(service.at(provider["options"]["path"]).glob("*.json"))
    assert [board.stem for board in boards] == names, boards
    for board in boards:
        assert json.loads(board.read_text())["panels"]


def contained(service: Service) -> None:
    assert service.settings["cap_drop"] == ["ALL"] and service.settings["read_only"]


def exporter(service: Service) -> None:
    contained(service)
    assert service.settings["sysctls"]["net.ipv4.ping_group_range"] == "0 2147483647"
    context = service.settings["build"]["context"]
    assert (pathlib.Path(context) / "Dockerfile").is_file(), context


def agents(services: dict[str, Service]) -> None:
    """Each agent shares the network of the hub, and the port that it advertises is one of the hub's."""
    for service in [service for name, service in services.items() if name.startswith("agent-")]:
        contained(service)
        assert service.settings["network_mode"] == "service:hub"
        flags = dict(flag.removeprefix("--").split("=") for flag in service.settings["command"] if "=" in flag)
        serves(services, flags["inventory.advertise"].removeprefix("http://"))
        assert flags["inventory.advertise"].endswith(flags["web.listen-address"]), flags


def main() -> None:
    stack = yaml.safe_load(sys.stdin)["services"]
    with tempfile.TemporaryDirectory() as folder:
        services = {name: Service(name, settings, pathlib.Path(folder)) for name, settings in stack.items()}
        run("amtool", "check-config", services["alertmanager"].at("/etc/alertmanager/alertmanager.yml"))
        if "hub" in services:
            assert set(services) == {"agent-1", "agent-2", "alertmanager", "grafana", "hub", "prometheus"}, set(services)
            prometheus(services, rule_files=3)
            grafana(services, ["exporter", "fleet", "overview", "tunnel"])
            exporter(services["hub"])
            agents(services)
        else:
            assert set(services) == {"alertmanager", "exporter", "grafana", "prometheus"}, set(services)
            prometheus(services, rule_files=2)
            grafana(services, ["exporter", "overview", "tunnel"])
            exporter(services["exporter"])


if __name__ == "__main__":
    main()
