#!/usr/bin/env bash
# Makes the virtual environment .venv in the checkout and installs QuantBench into it, with the extras given as arguments.
# PYTHON chooses the interpreter (3.11 or newer).
set -euo pipefail
from=$PWD
cd "$(dirname "$0")/.."

# A script cannot change the shell that it was started from.
tell() {
    [[ $(command -v quantbench) == "$PWD/.venv/bin/quantbench" ]] && return
    local place=$PWD/
    [[ $from == "$PWD" ]] && place=
    printf 'so that this shell finds the command quantbench: source %q\n' "${place}.venv/bin/activate"
}
if [[ ${1:-} == --how-to-activate ]]; then
    tell
    exit
fi

python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "QuantBench needs Python 3.11 or newer; $python is $("$python" --version 2>&1). Set PYTHON to another one." >&2
    exit 1
fi
echo "installing into $PWD/.venv, a minute or two${*:+, with $*}"
[ -x .venv/bin/python ] || "$python" -m venv .venv
extras=$(IFS=,; echo "$*")
# torch is named with the rest, so that its version is settled in the same step.
.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
    torch --editable ".${extras:+[$extras]}"
tell
