#!/usr/bin/env bash
# Installs the peers beside the cache of models, once, and runs a part of the benchmark, writing its sections of REPORT:
#   run.sh speed BINARY MODELS REPORT [options of bench.py]      a quarter of an hour
#   run.sh accuracy BINARY MODELS REPORT [PRECISION…]            minutes; once before it, as long again for the reference
# The passages are the shared evaluation data: HEADWATER_DATA, or shared/data beside the repository.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${XDG_CACHE_HOME:-$HOME/.cache}/headwater/bench-embed
python=$venv/bin/python work=$venv/data
data=${HEADWATER_DATA:-$here/../../../../shared/data}
part=$1 binary=$2 models=$3 report=$4
shift 4

[ -d "$data" ] || { echo "no passages in $data: set HEADWATER_DATA to the folder of evaluation data" >&2; exit 1; }
if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
  echo "installing the peers into $venv (several GB)"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
  cp "$here/requirements.txt" "$venv/installed.txt"
fi
case $part in
  speed) exec "$python" "$here/bench.py" --binary "$binary" --models "$models" --work "$work" --data "$data" --report "$report" "$@" ;;
  accuracy)
    [ -f "$work/reference.f32" ] || "$python" "$here/reference.py" "$data" "$work"
    "$python" "$here/tokens.py" "$data" "$work" "$binary" "$models"
    [ $# -gt 0 ] || set -- f32 bf16 int8
    for precision; do "$python" "$here/accuracy.py" "$data" "$work" "$binary" "$models" "$precision" best "$report"; done
    ;;
  *) echo "no part named $part" >&2; exit 1 ;;
esac
