#!/usr/bin/env bash
# Sets up .venv with what the tests need, then checks style, types, import contracts, and runs the tests.
# Arguments go to pytest, as in: scripts/test.sh -m slow. With SET_UP=yes in the environment .venv is taken as it is.
set -euo pipefail
cd "$(dirname "$0")/.."

[[ ${SET_UP:-} == yes ]] || scripts/setup.sh test audio
bin=.venv/bin
# Tests start Python dozens of times: what one compiles, the others read. Each of them has one thread, for there are several.
unset PYTHONDONTWRITEBYTECODE
export OMP_NUM_THREADS=1
"$bin/ruff" format --check .
"$bin/ruff" check .

# Types and contracts keep one core busy, and tests wait for processes of theirs: they run side by side.
told=$(mktemp)
trap 'rm -f "$told"' EXIT
{ "$bin/lint-imports" && "$bin/mypy"; } >"$told" 2>&1 &
checks=$! failed=0
# One more than two cores, for a third of the tests' time is spent on waiting.
"$bin/python" -m pytest -n 3 --dist loadfile --no-loadscope-reorder "$@" || failed=$?
wait "$checks" || failed=1
cat "$told"
exit "$failed"
