#!/usr/bin/env bash
# Installs ContextCite's own package beside the cache of models, once, and measures it on answers that bench_attribution wrote:
# run.sh CASES READER REPORT, where READER is the folder of the small reader.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${XDG_CACHE_HOME:-$HOME/.cache}/headwater/bench-attribution

if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
  echo "installing the package into $venv (several GB)"
  python3 -m venv --clear "$venv"
  "$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
  cp "$here/requirements.txt" "$venv/installed.txt"
fi
exec "$venv/bin/python" "$here/package.py" "$@"
