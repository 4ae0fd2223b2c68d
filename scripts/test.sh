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

# Types and contracts keep one core busy, and tests wait for processes of theirs: they run side by side. What they say is told in one
# piece, and only if it is bad: so pytest has the last line wherever all is well, however few tests it is asked for.
checks() {
    local told
    if ! told=$({ "$bin/lint-imports" && "$bin/mypy"; } 2>&1); then
        echo "$told" >&2
        return 1
    fi
}
checks &
checking=$! failed=0
# One more than two cores, for a third of the tests' time is spent on waiting.
"$bin/python" -m pytest -n 3 --dist loadfile --no-loadscope-reorder "$@" || failed=$?
if ! wait "$checking"; then
    echo "types or import contracts: see above" >&2
    failed=1
fi
exit "$failed"
