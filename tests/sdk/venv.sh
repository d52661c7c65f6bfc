#!/bin/sh
# Makes the virtual environment that tests/sdk.rs looks for.
set -eu
cd "$(dirname "$0")/../.."
venv=target/sdk-venv
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv" || { echo "python3 with venv is needed: apt-get install python3-venv" >&2; exit 1; }
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r tests/sdk/requirements.txt
