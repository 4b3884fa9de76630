#!/usr/bin/env bash
# Measures retrieval beside peers over what the benchmark of growth exported into FOLDER; installs them once:
#   run.sh FOLDER REPORT SIZE
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${XDG_CACHE_HOME:-$HOME/.cache}/headwater/bench-scale

if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
  echo "installing the peers into $venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
  cp "$here/requirements.txt" "$venv/installed.txt"
fi
# lancedb warns at every search that its next version will name a column otherwise
export LANCEDB_LOG=error LANCE_LOG=error
exec "$venv/bin/python" "$here/peers.py" "$@"
