"""Reads a page on stdin with the parsers of Python's prometheus_client and prints its series as JSON.

usage: parse.py openmetrics|classic < page

The OpenMetrics parser is strict: it refuses what the specification forbids. Each family becomes
{"name", "type", "help", "samples": [[name, {label: value}, value], ...]}, in the order of the page.
"""

import json
import sys


def families(form, page):
    if form == "openmetrics":
        from prometheus_client.openmetrics.parser import text_string_to_metric_families
    elif form == "classic":
        from prometheus_client.parser import text_string_to_metric_families
    else:
        sys.exit(__doc__)
    for family in text_string_to_metric_families(page):
        samples = [[s.name, canonical(s.labels), s.value] for s in family.samples]
        yield {"name": family.name, "type": family.type, "help": family.documentation, "samples": samples}


def canonical(labels):
    """The bound of a bucket is a number: `1` and `1.0` are the same one."""
    return {name: str(float(value)) if name == "le" else value for name, value in labels.items()}


if __name__ == "__main__":
    form = sys.argv[1] if len(sys.argv) == 2 else ""
    page = sys.stdin.buffer.read().decode("utf-8")
    json.dump(list(families(form, page)), sys.stdout)
