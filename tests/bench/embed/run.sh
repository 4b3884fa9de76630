#!/usr/bin/env bash
# Installs the peers beside the cache of models, once, and runs the benchmark: run.sh BINARY MODELS REPORT [options of bench.py]
# The passages are the shared evaluation data: HEADWATER_DATA, or shared/data beside the repository.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${XDG_CACHE_HOME:-$HOME/.cache}/headwater/bench-embed
data=${HEADWATER_DATA:-$here/../../../../shared/data}
binary=$1 models=$2 report=$3
shift 3

[ -d "$data" ] || { echo "no passages in $data: set HEADWATER_DATA to the folder of evaluation data" >&2; exit 1; }
if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
  echo "installing the peers into $venv (several GB)"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
  cp "$here/requirements.txt" "$venv/installed.txt"
fi
exec "$venv/bin/python" "$here/bench.py" --binary "$binary" --models "$models" --work "$venv/data" --data "$data" --report "$report" "$@"
