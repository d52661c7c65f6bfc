#!/usr/bin/env python3
"""Writes prometheusrule.yml from the rule files in alerts/. With --check it only says whether that would change it."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
ALERTS = HERE.parent.parent / "alerts"
SOURCES = ["magic-tunnel-exporter.rules.yml", "magic-tunnel-exporter.alerts.yml"]
HEAD = """\
# Written by generate.py from the rule files in alerts/: change those, then run it.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: magic-tunnel-exporter
  labels:
    app.kubernetes.io/name: magic-tunnel-exporter
spec:
  groups:
"""


def groups(text: str) -> str:
    """What stands below `groups:`, indented to stand below `spec:` as well."""
    _, _, below = text.partition("\ngroups:\n")
    return "".join(f"  {line}" if line.strip() else line for line in below.splitlines(keepends=True))


def main() -> None:
    wanted = HEAD + "\n".join(groups((ALERTS / name).read_text()) for name in SOURCES)
    file = HERE / "prometheusrule.yml"
    if sys.argv[1:] != ["--check"]:
        file.write_text(wanted)
    elif not file.exists() or file.read_text() != wanted:
        sys.exit("deploy/kubernetes/prometheusrule.yml is not what the rule files in alerts/ make of it: run generate.py")


if __name__ == "__main__":
    main()
