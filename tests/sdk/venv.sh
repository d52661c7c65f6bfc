#!/bin/sh
# Makes the virtual environment with Cloudflare's own client that tests/sdk.rs looks for; quick where it is there.
#
# scripts/test-tools runs it and judges a failure, whose reason is the last line.
set -eu
cd "$(dirname "$0")/../.."
venv=target/sdk-venv
wanted=tests/sdk/requirements.txt
# Written last: an environment that was left half made has none.
made=$venv/made-from.txt

if cmp -s "$wanted" "$made"; then exit 0; fi

give_up() {
    rm -rf "$venv"
    echo "$1" >&2
    exit 1
}

# Debian's own first: its python3-venv belongs to no other Python that comes earlier in PATH.
python=
for candidate in /usr/bin/python3 python3; do
    if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || give_up 'there is no python3 with venv; install it with: sudo apt-get install python3-venv'

rm -rf "$venv"
mkdir -p target
"$python" -m venv "$venv" >&2 || give_up "$python -m venv failed"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$wanted" >&2 || give_up 'pip cannot install the client'
cp "$wanted" "$made"
