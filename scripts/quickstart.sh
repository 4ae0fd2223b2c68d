#!/usr/bin/env bash
# From a fresh checkout to the findings: sets up .venv, runs the main job, says where the results are.
# Arguments go to the run, as in: scripts/quickstart.sh 'seed=range(0,16)'
set -euo pipefail
from=$PWD
cd "$(dirname "$0")/.."

scripts/setup.sh
code=0
.venv/bin/quantbench run +experiment=ste_vs_anneal "$@" || code=$?
cd "$from"
"$OLDPWD/scripts/setup.sh" --how-to-activate
exit "$code"
