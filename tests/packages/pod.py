"""Reads manifests from standard input, and prints what `podman play kube` runs: the Deployment with a simulated API
beside the program, and its configuration and secrets.

    pod.py IMAGE
"""

import base64
import json
import sys

import yaml

KINDS = {"ConfigMap", "Deployment", "PersistentVolumeClaim"}
PORT = 9848
# The account is the one of the examples. Every address of 127.0.0.0/8 answers pings.
STORY = """\
accounts:
  - name: lab
    id: 0123456789abcdef0123456789abcdef
    tunnels:
      - type: gre
        name: fra-gre-1
        cloudflare_gre_endpoint: 198.51.100.1
        customer_gre_endpoint: 127.0.1.1
        interface_address: 127.0.10.0/31
"""


def main() -> None:
    image = sys.argv[1]
    manifests = [manifest for manifest in yaml.safe_load_all(sys.stdin) if manifest and manifest["kind"] in KINDS]
    [deployment] = [manifest for manifest in manifests if manifest["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    container |= {"image": image, "imagePullPolicy": "Never"}
    container["ports"][0]["hostPort"] = 9847
    container["env"].append({"name": "CLOUDFLARE_API_URL", "value": f"http://127.0.0.1:{PORT}/client/v4"})
    pod["containers"].append(
        {
            "name": "sandbox",
            "image": image,
            "imagePullPolicy": "Never",
            "args": ["sandbox", f"--sandbox.listen-address=127.0.0.1:{PORT}", "--sandbox.story=/story/story.yml"],
            "securityContext": container["securityContext"],
            "volumeMounts": [{"name": "story", "mountPath": "/story"}],
        }
    )
    for volume in pod["volumes"]:
        if secret := volume.get("secret"):
            # Podman 4.3 needs this field, which Kubernetes sets by itself.
            secret["optional"] = False
            token = base64.b64encode(b"any").decode()
            manifests.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret["secretName"]}, "data": {"api-token": token}})
    pod["volumes"].append({"name": "story", "configMap": {"name": "story"}})
    manifests.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "story"}, "data": {"story.yml": STORY}})
    # Configuration first.
    for manifest in sorted(manifests, key=lambda manifest: manifest["kind"] == "Deployment"):
        print("---\n" + json.dumps(manifest))


if __name__ == "__main__":
    main()
