#!/usr/bin/env bash
# Installs the Chromium that the tests of reports use, on Debian or Ubuntu. Without it these tests are skipped.
set -euo pipefail
if command -v chromium >/dev/null; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "install_chromium.sh: there is no apt-get here; install Chromium in this system's way, as 'chromium' on the PATH." >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "install_chromium.sh: needs root; run: sudo scripts/install_chromium.sh" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium >/dev/null
