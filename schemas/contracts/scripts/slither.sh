#!/usr/bin/env bash
# Runs slither over src/ and fails on any finding that SLITHER.md does not answer.
# The tool lives outside the tree, in a Python environment that is made when it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.11.6
venv="${XDG_CACHE_HOME:-$HOME/.cache}/headwater/venv-slither"
if [[ "$("$venv/bin/slither" --version 2>/dev/null || true)" != "$version" ]]; then
  echo "installing slither $version into $venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet "slither-analyzer==$version"
fi

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
# --build-info keeps the syntax trees, which is all that slither reads.
export FOUNDRY_OUT="$work/out" FOUNDRY_CACHE_PATH="$work/cache"
PATH="$(node scripts/forge.mjs --where):$PATH"
forge build --build-info --skip test --quiet
# Its exit status only says that there are findings; whether they are answered is asked next.
"$venv/bin/slither" . --ignore-compile --foundry-out-directory "$work/out" --filter-paths 'node_modules|test/' --json "$work/report.json" >"$work/log" 2>&1 || true
[[ -s "$work/report.json" ]] || { cat "$work/log" >&2; exit 1; }
node scripts/slither-triage.mjs "$work/report.json"
