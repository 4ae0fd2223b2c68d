#!/usr/bin/env bash
# Runs the tests of the kernels in Triton, in its interpreter where there is no GPU: about a minute after the set-up, which makes an
# environment of its own (.venv-triton, or what VENV names), for Triton has 200 MB and no other test needs it. Arguments go to
# pytest, as in: scripts/test_triton.sh -m 'slow or not slow'. PYTHON chooses the interpreter (3.11 or newer).
set -euo pipefail
cd "$(dirname "$0")/.."

export PIP_COMPILE=0  # most of what is installed is never imported
venv=${VENV:-.venv-triton}
[[ -x $venv/bin/python ]] || "${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch pytest --editable ".[gpu]"
export OMP_NUM_THREADS=1
"$venv/bin/python" -m pytest -q -rs tests/kernels/test_philox_triton.py tests/training/test_fused.py "$@"
