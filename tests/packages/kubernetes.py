"""Reads manifests from standard input and holds them against the schemas of Kubernetes and of the Prometheus Operator.

The Deployment also has to be allowed where Pod Security is "restricted". No schema has these rules: they are written out here, from
https://kubernetes.io/docs/concepts/security/pod-security-standards/.
"""

import re
import sys

import cloudcoil.models.prometheus_operator.v1 as operator
import kubernetes_validate
import yaml

# The oldest release that is still maintained and the newest: fields come and go.
VERSIONS = ["1.34", "1.37"]
SAFE_SYSCTLS = {"net.ipv4.ping_group_range"}


def all_understood(given: object, understood: object, where: str) -> None:
    """The models drop what the definitions do not know, and fill in defaults."""
    if isinstance(given, dict):
        unknown = given.keys() - understood.keys()
        assert not unknown, f"{where}: the definition does not know {unknown}"
        for key, value in given.items():
            all_understood(value, understood[key], f"{where}.{key}")
    elif isinstance(given, list):
        for index, (value, other) in enumerate(zip(given, understood, strict=True)):
            all_understood(value, other, f"{where}[{index}]")
    else:
        assert given == understood, f"{where}: {given} is understood as {understood}"


def against_schema(manifest: dict) -> None:
    if manifest["apiVersion"].startswith("monitoring.coreos.com/"):
        model = getattr(operator, manifest["kind"]).model_validate(manifest)
        understood = model.model_dump(by_alias=True, exclude_none=True, mode="json")
        all_understood(manifest, understood, manifest["kind"])
    else:
        for version in VERSIONS:
            kubernetes_validate.validate(manifest, version, strict=True)


def restricted(pod: dict) -> None:
    """What Pod Security "restricted" demands, as far as this pod could break it."""
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        assert not pod.get(key), key
    volumes = {kind for volume in pod.get("volumes", []) for kind in volume if kind != "name"}
    assert volumes <= {"configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected", "downwardAPI"}, volumes
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True and context.get("runAsUser") != 0
    assert context["seccompProfile"]["type"] == "RuntimeDefault"
    assert {sysctl["name"] for sysctl in context.get("sysctls", [])} <= SAFE_SYSCTLS
    for container in pod["containers"] + pod.get("initContainers", []):
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False and not own.get("privileged")
        assert own["capabilities"]["drop"] == ["ALL"]
        assert set(own["capabilities"].get("add", [])) <= {"NET_BIND_SERVICE"}
        assert not any("hostPort" in port for port in container.get("ports", []))


def relabelled(labels: dict[str, str], rules: list[dict]) -> dict[str, str]:
    """The labels of a target after these rules, as Prometheus applies them."""
    for rule in rules:
        pattern = re.compile(rule.get("regex", "(.*)"))
        if rule.get("action", "replace") == "labeldrop":
            labels = {name: value for name, value in labels.items() if not pattern.fullmatch(name)}
            continue
        source = rule.get("separator", ";").join(labels.get(name, "") for name in rule.get("sourceLabels", []))
        if match := pattern.fullmatch(source):
            labels = labels | {rule["targetLabel"]: match.expand(rule.get("replacement", "$1").replace("$1", r"\g<1>"))}
    return labels


def stable_labels(manifests: dict[str, dict], job: str = "magic-tunnels", instance: str = "") -> None:
    """A new pod has the labels of the one before, so that its series continue."""
    service = manifests["Service"]
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    [port] = service["spec"]["ports"]
    [endpoint] = manifests["ServiceMonitor"]["spec"]["endpoints"]
    # What the Prometheus Operator sets, by its documentation of ServiceMonitor.
    common = {"__meta_kubernetes_service_name": name, "__meta_kubernetes_namespace": namespace, "service": name, "namespace": namespace}
    pods = [common | {"pod": f"{name}-{pod}", "instance": f"10.0.0.{pod}:9847"} for pod in (1, 2)]
    first, second = (relabelled(pod, endpoint["relabelings"]) for pod in pods)
    assert first == second, (first, second)
    assert first["instance"] == (instance or f"{name}.{namespace}.svc:{port['port']}"), first
    assert first["job"] == job, first


def connected(manifests: dict[str, dict]) -> dict:
    """What one manifest says of another, in every way to install the program. Returns the container."""
    deployment, service = manifests["Deployment"], manifests["Service"]
    pod = deployment["spec"]["template"]
    [container] = pod["spec"]["containers"]
    labels = pod["metadata"]["labels"]
    ports = {port["name"] for port in container["ports"]}
    for selector in (service["spec"]["selector"], deployment["spec"]["selector"]["matchLabels"]):
        assert selector.items() <= labels.items(), selector
    assert service["spec"]["ports"][0]["targetPort"] in ports
    if "NetworkPolicy" in manifests:
        policy = manifests["NetworkPolicy"]["spec"]
        assert policy["podSelector"]["matchLabels"].items() <= labels.items(), policy
        assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} <= ports
    if "ServiceMonitor" in manifests:
        monitor = manifests["ServiceMonitor"]["spec"]
        assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert {endpoint["port"] for endpoint in monitor["endpoints"]} == {service["spec"]["ports"][0]["name"]}
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["spec"]["volumes"]}, mounts
    return container


def hang_together(manifests: dict[str, dict], version: str) -> None:
    """What the manifests of deploy/kubernetes say of each other."""
    container = connected(manifests)
    assert container["envFrom"][0]["configMapRef"]["name"] == manifests["ConfigMap"]["metadata"]["name"]
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    assert variables["CLOUDFLARE_API_TOKEN_FILE"].startswith(mounts["token"]["mountPath"] + "/")
    assert variables["MTE_STATE_DIRECTORY"] == mounts["state"]["mountPath"] and not mounts["state"].get("readOnly")
    assert container["image"] == f"magic-tunnel-exporter:{version}", "newTag in kustomization.yml is the version in Cargo.toml"
    restricted(manifests["Deployment"]["spec"]["template"]["spec"])


def check(text: str, version: str) -> None:
    manifests = {manifest["kind"]: manifest for manifest in yaml.safe_load_all(text)}
    assert set(manifests) == {"ConfigMap", "Deployment", "NetworkPolicy", "PrometheusRule", "Service", "ServiceMonitor"}, set(manifests)
    for manifest in manifests.values():
        against_schema(manifest)
    hang_together(manifests, version)
    stable_labels(manifests)


def check_overlay(text: str, role: str) -> None:
    """What a hub or an agent of a fleet changes."""
    manifests = list(yaml.safe_load_all(text))
    for manifest in manifests:
        against_schema(manifest)
    kinds = {manifest["kind"]: manifest for manifest in manifests}
    restricted(kinds["Deployment"]["spec"]["template"]["spec"])
    [endpoint] = kinds["ServiceMonitor"]["spec"]["endpoints"]
    labels = relabelled({}, endpoint["relabelings"])
    job = {"hub": "magic-tunnels", "agent": "magic-tunnel-agents"}[role]
    assert (labels["role"], labels["job"]) == (role, job), labels
    [container] = kinds["Deployment"]["spec"]["template"]["spec"]["containers"]
    mounts = [mount["mountPath"] + "/" for mount in container["volumeMounts"]]
    variables = {variable["name"]: variable["value"] for variable in container["env"]} | kinds["ConfigMap"]["data"]
    assert ("CLOUDFLARE_API_TOKEN_FILE" in variables) == (role == "hub"), "an agent has no token"
    for path in (value for name, value in variables.items() if name.endswith("_FILE")):
        assert any(path.startswith(mount) for mount in mounts), path


def check_accounts(text: str) -> None:
    """The configuration file with several accounts, and the secrets that it names, are mounted."""
    manifests = list(yaml.safe_load_all(text))
    for manifest in manifests:
        against_schema(manifest)
    container = connected({manifest["kind"]: manifest for manifest in manifests})
    [deployment] = [manifest for manifest in manifests if manifest["kind"] == "Deployment"]
    restricted(deployment["spec"]["template"]["spec"])
    maps = {manifest["metadata"]["name"]: manifest["data"] for manifest in manifests if manifest["kind"] == "ConfigMap"}
    variables = {variable["name"]: variable["value"] for variable in container["env"]} | maps[container["envFrom"][0]["configMapRef"]["name"]]
    assert "CLOUDFLARE_API_TOKEN_FILE" not in variables, variables
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    folder, _, file = variables["MTE_CONFIG_FILE"].rpartition("/")
    [volume] = [volume for volume in deployment["spec"]["template"]["spec"]["volumes"] if volume["name"] == mounts[folder]]
    accounts = yaml.safe_load(maps[volume["configMap"]["name"]][file])["accounts"]
    assert len(accounts) > 1 and all(account["api_token_file"].rpartition("/")[0] in mounts for account in accounts), accounts


def is_refused(text: str, version: str) -> bool:
    try:
        check(text, version)
    except Exception:  # noqa: BLE001  # whatever a validator throws
        return True
    return False


def main() -> None:
    """Checks the manifests, or those of a fleet or of several accounts if the first argument says so; then, where pairs of texts are given, that they are refused with the first replaced by the second."""
    version, *texts = sys.argv[1:]
    manifests = sys.stdin.read()
    if version in ("hub", "agent"):
        check_overlay(manifests, version)
        return
    if version == "accounts":
        check_accounts(manifests)
        return
    check(manifests, version)
    for right, wrong in zip(texts[::2], texts[1::2], strict=True):
        assert right in manifests, f"{right!r} is not there"
        assert is_refused(manifests.replace(right, wrong), version), f"accepted: {wrong!r}"


if __name__ == "__main__":
    main()
