#!/usr/bin/env bash
# Brings what building and testing need and this machine lacks; prints one line for each thing it does.
#
# It looks at what is really there instead of remembering what it did, so it can run before every build.
# System packages come through apt (as root or with sudo), the contracts' tools through npm. Models are
# not its business: `headwater models pull` fetches and verifies those.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly CONTRACTS=schemas/contracts
readonly RUST=1.95 NODE=20 PYTHON=3.11

say() { printf 'setup: %s\n' "$*"; }
fail() {
  printf 'setup: error: %s\n' "$1" >&2
  shift
  for line in "$@"; do printf 'setup:        %s\n' "$line" >&2; done
  exit 1
}

# at_least FOUND WANTED: compares dotted numbers.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# need NAME WANTED HINT COMMAND...: COMMAND prints a version of at least WANTED.
need() {
  local name=$1 wanted=$2 hint=$3 output found
  shift 3
  command -v "$1" >/dev/null || fail "$name is missing" "$name $wanted or newer is needed. $hint"
  output=$("$@" 2>&1) || fail "$name does not run: $output" "$hint"
  found=$(grep -oE '[0-9]+(\.[0-9]+)+' <<<"$output" | head -n 1 || true)
  at_least "${found:-0}" "$wanted" || fail "$name ${found:-of an unknown version} is too old" "$name $wanted or newer is needed. $hint"
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# A compiler that links, not only one that is called so.
has_compiler() {
  echo 'int main(void) { return 0; }' >"$scratch/main.c"
  "${CC:-cc}" "$scratch/main.c" -o "$scratch/main" 2>/dev/null
}

# Lance's build compiles its formats, which import protobuf's own.
has_protoc() {
  printf 'syntax = "proto3";\nimport "google/protobuf/any.proto";\nmessage A { google.protobuf.Any any = 1; }\n' >"$scratch/a.proto"
  "${PROTOC:-protoc}" --proto_path="$scratch" --descriptor_set_out="$scratch/a.bin" "$scratch/a.proto" 2>/dev/null
}

has_pkg_config() { command -v pkg-config >/dev/null; }
has_pip() { python3 -c 'import pip' 2>/dev/null; }
# Other systems keep them elsewhere, and have them.
has_certificates() {
  [ -n "${SSL_CERT_FILE:-}${SSL_CERT_DIR:-}" ] || [ -s /etc/ssl/certs/ca-certificates.crt ] || ! command -v apt-get >/dev/null
}

# Each: what to check, what it is for, the Debian packages that bring it.
readonly SYSTEM=(
  "has_compiler|a C compiler and linker|gcc libc6-dev"
  "has_pkg_config|pkg-config|pkg-config"
  "has_protoc|the protobuf compiler with its standard imports|protobuf-compiler libprotobuf-dev"
  "has_pip|pip for python3 (where the model hub cannot be reached)|python3-pip"
  "has_certificates|certificates of web servers|ca-certificates"
)

missing_system() {
  local entry check
  for entry in "${SYSTEM[@]}"; do
    check=${entry%%|*}
    "$check" || printf '%s\n' "${entry#*|}"
  done
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    env DEBIAN_FRONTEND=noninteractive "$@"
  else
    sudo env DEBIAN_FRONTEND=noninteractive "$@"
  fi
}

install_system() {
  local missing=$1 packages left
  packages=$(cut -d '|' -f 2 <<<"$missing" | paste -sd ' ')
  command -v apt-get >/dev/null || fail "missing: $(cut -d '|' -f 1 <<<"$missing" | paste -sd ';')" \
    "There is no apt-get here to install it with. On Debian the packages are: $packages"
  [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null || fail "missing: $packages" \
    "Neither root nor sudo: run as root  apt-get install $packages"
  say "installing with apt: $packages"
  as_root apt-get update -qq >"$scratch/apt.log" 2>&1 || fail "apt-get update failed" "$(tail -n 5 "$scratch/apt.log")"
  # shellcheck disable=SC2086 # a list of words
  as_root apt-get install -y -qq --no-install-recommends $packages >"$scratch/apt.log" 2>&1 ||
    fail "apt-get could not install: $packages" "$(tail -n 5 "$scratch/apt.log")"
  left=$(missing_system | cut -d '|' -f 1 | paste -sd ';')
  [ -z "$left" ] || fail "still missing after installing $packages: $left"
}

# As `npm ci` leaves it: newer than the lock, with the native chain and Solidity tools of this platform.
has_contract_tools() {
  [ -e "$CONTRACTS/node_modules/.package-lock.json" ] &&
    [ ! "$CONTRACTS/package-lock.json" -nt "$CONTRACTS/node_modules/.package-lock.json" ] &&
    [ -e "$CONTRACTS/node_modules/solc/package.json" ] && has_native anvil && has_native forge
}

has_native() { compgen -G "$CONTRACTS/node_modules/@foundry-rs/$1-*/bin/$1*" >/dev/null; }

install_contract_tools() {
  say "installing the contracts' tools with npm: anvil, forge, solc"
  (cd "$CONTRACTS" && npm ci --ignore-scripts --no-progress --loglevel=error >/dev/null) ||
    fail "npm ci failed in $CONTRACTS" "What npm said stands above; \`npm config get registry\` shows where it looks."
  has_native anvil && has_native forge || fail "npm has brought no anvil or forge for $(uname -sm)" \
    "Put an anvil of your own on the PATH to run the demo; the contracts' tests need forge."
}

need Rust "$RUST" "rust-toolchain.toml names the toolchain; rustup installs it." cargo --version
need Node "$NODE" "The contracts' tools (anvil, forge, solc) run with it." node --version
need Python "$PYTHON" "Where the model hub cannot be reached, pip brings the model." python3 --version
command -v npm >/dev/null || fail "npm is missing" "It comes with Node $NODE and brings the contracts' tools."

missing=$(missing_system)
[ -z "$missing" ] || install_system "$missing"
has_contract_tools || install_contract_tools
