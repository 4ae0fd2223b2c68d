#!/usr/bin/env bash
# Sets up .venv with what the tests need, then checks style, types, import contracts, and runs the tests.
# Arguments go to pytest, as in: scripts/test.sh -m slow. Files of tests run two at a time.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh test audio
bin=.venv/bin
"$bin/ruff" format --check .
"$bin/ruff" check .
"$bin/mypy"
"$bin/lint-imports"
"$bin/python" -m pytest -n 2 --dist loadfile "$@"
