"""Renders the Helm chart with each values file of its folder ci/, and checks the manifests and the configuration files.

    chart.py CHART PROGRAM      checks; the program itself reads each rendered configuration file
    chart.py CHART NAME         prints the manifests with the values in ci/NAME.yaml

Faulty values have to be refused, with a message that names the value.
"""

import pathlib
import subprocess
import sys
import tempfile

import helm_python
import yaml
from kubernetes import against_schema, connected, restricted, stable_labels

ALERTS = pathlib.Path("alerts")
SECRETS = "/run/secrets/magic-tunnel-exporter"
STATE = "/var/lib/magic-tunnel-exporter"
# The example of docs/WEB-CONFIG.md.
PASSWORD = "$2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze"
# Values that differ from the ones in ci/one-account-values.yaml, and a part of the message.
REFUSED = [
    ({"acounts": []}, "acounts"),
    ({"role": "agents"}, "role"),
    ({"accounts": []}, "accounts"),
    ({"accounts": [{"id": "acme"}]}, "accounts"),
    ({"secret": {"existing": ""}}, "secret.existing"),
    ({"config": {"accounts": []}}, "accounts"),
    ({"config": {"web": {"listen_address": ":80"}}}, "listen_address"),
    ({"role": "agent"}, "agent.hubs"),
    ({"role": "agent", "agent": {"hubs": ["https://hub.example"], "username": "fra"}, "secret": {"existing": ""}}, "hub-password"),
    ({"role": "agent", "agent": {"hubs": ["https://hub.example"]}, "prometheusRule": {"enabled": True}}, "prometheusRule"),
    ({"service": {"port": 0}}, "port"),
    ({"prometheusRule": {"objective": 99.9}}, "objective"),
]


def rendered(chart: helm_python.Chart, values: dict) -> list[dict]:
    chart.validate_schema(values)
    texts = chart.render(values, name="demo", namespace="magic-tunnels")
    manifests = [manifest for path, text in texts.items() if not path.endswith(".txt") for manifest in yaml.safe_load_all(text)]
    return [manifest for manifest in manifests if manifest]


def rules(manifests: list[dict], values: dict) -> None:
    """The rules are those of alerts/, with the settings of the values."""
    names = {"exporter": ["rules", "alerts"], "hub": ["rules", "alerts", "fleet.rules"]}[values.get("role", "exporter")]
    wanted = [group for name in names for group in yaml.safe_load((ALERTS / f"magic-tunnel-exporter.{name}.yml").read_text())["groups"]]
    settings = values["prometheusRule"]
    [setting] = [rule for group in wanted for rule in group["rules"] if rule.get("record") == "magic_tunnel:settings"]
    setting["expr"] = f"vector({settings.get('objective', 0.999)})"
    setting["labels"] |= {name: settings.get(name, "") for name in ("runbooks", "dashboards")}
    found = [manifest for manifest in manifests if manifest["kind"] == "PrometheusRule"]
    assert [group for manifest in found for group in manifest["spec"]["groups"]] == wanted
    for manifest in found:
        assert settings.get("labels", {}).items() <= manifest["metadata"]["labels"].items()


def reads(program: str, config: str, secrets: set[str]) -> None:
    """The program reads the configuration file, with the files of the secrets in another folder."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for path in secrets | {"hub-password", "tls.crt"}:
            (root / path).write_text("secret\n")
            (root / path).chmod(0o600)
        (root / "web.yml").write_text(f"basic_auth_users: {{fra: {PASSWORD}}}\n")
        (root / "state").mkdir()
        for path, local in ((f"{SECRETS}-web", root), (SECRETS, root), (STATE, root / "state")):
            config = config.replace(path, str(local))
        # Nothing listens there.
        for host in ("hub-1.example", "hub-2.example"):
            config = config.replace(f"{host}:9847", f"127.0.0.{host[4]}:1")
        (root / "config.yml").write_text(config)
        variables = {} if "inventory:" in config else {"CLOUDFLARE_API_URL": "http://127.0.0.1:1/client/v4"}
        command = [program, "check", "--config.file", str(root / "config.yml"), "--web.listen-address", "127.0.0.1:0"]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=120)
        # 64: the configuration is invalid. Other codes: the API and the hub do not answer.
        assert done.returncode not in (0, 64) and done.returncode > 0, f"{config}\n{done.stdout}{done.stderr}"


def labels_of_targets(values: dict, kinds: dict[str, dict]) -> None:
    if "ServiceMonitor" not in kinds:
        return
    kinds["Service"]["metadata"]["namespace"] = "magic-tunnels"
    if values.get("role") == "agent":
        stable_labels(kinds, "magic-tunnel-agents", f"{values['agent']['prober']}:9847")
    else:
        stable_labels(kinds)


def check(chart: helm_python.Chart, values: dict, program: str) -> None:
    manifests = rendered(chart, values)
    for manifest in manifests:
        against_schema(manifest)
    kinds = {manifest["kind"]: manifest for manifest in manifests}
    for name in ("serviceMonitor", "prometheusRule", "networkPolicy"):
        assert (name[0].upper() + name[1:] in kinds) == values.get(name, {}).get("enabled", False), name
    assert ("Secret" in kinds) == ("values" in values["secret"])
    assert ("PersistentVolumeClaim" in kinds) == values.get("persistence", {}).get("enabled", False)
    pod = kinds["Deployment"]["spec"]["template"]["spec"]
    container = connected(kinds)
    restricted(pod)
    labels_of_targets(values, kinds)
    if "PrometheusRule" in kinds:
        rules(manifests, values)
    # Every file that the configuration names is mounted.
    config = kinds["ConfigMap"]["data"]["config.yml"]
    mounts = [mount["mountPath"] + "/" for mount in container["volumeMounts"]]
    paths = {word.strip("'\"") for word in config.split() if word.startswith("/")}
    assert all(any(f"{path}/".startswith(mount) for mount in mounts) for path in paths), (paths, mounts)
    reads(program, config, {path.removeprefix(f"{SECRETS}/") for path in paths if path.startswith(f"{SECRETS}/")})


def message(chart: helm_python.Chart, values: dict) -> str:
    try:
        rendered(chart, values)
    except helm_python.HelmError as error:
        return str(error)
    return ""


def main() -> None:
    path, program = sys.argv[1:]
    examples = {file.stem: yaml.safe_load(file.read_text()) for file in sorted(pathlib.Path("deploy/helm/ci").glob("*.yaml"))}
    assert len(examples) == 5, examples.keys()
    with helm_python.Chart.load(path) as chart:
        if program in examples:
            print(yaml.safe_dump_all(rendered(chart, examples[program])))
            return
        for name, values in examples.items():
            try:
                check(chart, values, program)
            except Exception as error:
                raise SystemExit(f"{name}: {error!r}") from error
        for values, part in REFUSED:
            said = message(chart, examples["one-account-values"] | values)
            assert part in said, f"{values}: {said!r} does not contain {part!r}"
    if pathlib.Path(path).is_dir():
        findings = [found for found in helm_python.lint(path)["messages"] if found["severity"] > 1]
        assert not findings, findings


if __name__ == "__main__":
    main()
