#!/usr/bin/env bash
# Installs the peers beside the cache of models, once, writes models with random weights, and runs the benchmark:
# run.sh BINARIES REPORT [options of bench.py], where BINARIES is the folder of bench_generate and bench_score. llama.cpp is
# compiled for this processor. SIZES and ROUNDS choose less, or more, than usual.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${XDG_CACHE_HOME:-$HOME/.cache}/headwater/bench-generate
sizes=${SIZES:-135M,0.5B,1.7B}
binaries=$1 report=$2
shift 2

if ! cmp -s "$here/requirements.txt" "$root/installed.txt"; then
  echo "installing the peers into $root (several GB; llama.cpp takes minutes to compile)"
  python3 -m venv --clear "$root/venv"
  CMAKE_ARGS="-DGGML_NATIVE=ON" "$root/venv/bin/pip" install --quiet --no-binary llama-cpp-python --requirement "$here/requirements.txt"
  cp "$here/requirements.txt" "$root/installed.txt"
fi
mkdir -p "$root/models"
"$root/venv/bin/python" "$here/models.py" "$root/models" ${sizes//,/ } 2> "$root/models.log"
exec "$root/venv/bin/python" "$here/bench.py" --binaries "$binaries" --models "$root/models" --report "$report" \
  --sizes "$sizes" --rounds "${ROUNDS:-3}" "$@"
