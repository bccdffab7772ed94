# Sourced by the scripts beside it: where things are kept, and the small tools they share.
# Everything big lies outside the clone, so that the next clone finds it again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

MLFLOW_VERSION=3.17.2
CACHE=${FERROFLOW_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ferroflow}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}
mkdir -p "$CACHE" "$CARGO_TARGET_DIR"

say() { printf '\n== %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else
    die "need root (or sudo) for: $*"
  fi
}

# need_packages NAME... installs the Debian packages that are missing; elsewhere it says which ones to get.
need_packages() {
  local missing=() name
  if ! command -v dpkg-query >/dev/null; then
    say "not a Debian system: these packages, or their like, are expected to be there: $*"
    return
  fi
  for name in "$@"; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${missing[*]}"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq \
    --no-install-recommends "${missing[@]}" >/dev/null
}

# What the bundled libpq, SQLite and the OpenSSL bindings are built with.
need_build_packages() { need_packages gcc libc6-dev make perl pkg-config libssl-dev; }

# What the tests of the UI run in. A node of the machine's own will do.
need_browser() {
  need_packages chromium
  command -v npm >/dev/null || need_packages nodejs npm
}

# venv_for FILE prints the folder of the virtual environment that FILE (a requirements file) stands for.
venv_for() {
  local key
  key=$( { python3 --version; cat "$1"; } | sha256sum | cut -c1-12)
  printf '%s/venv-%s-%s\n' "$CACHE" "$(basename "$1" .txt)" "$key"
}

# make_venv FOLDER PIP-ARGUMENT... builds it once; side by side runs wait for each other.
make_venv() {
  local folder=$1
  shift
  (
    flock 9
    [ ! -e "$folder/.ready" ] || exit 0
    say "building $folder"
    rm -rf "$folder"
    python3 -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
    touch "$folder/.ready"
  ) 9>"$folder.lock"
}

# prepare_to_measure PACKAGE... installs what the measurements need and builds the release that they measure, named in
# $FERROFLOW_BIN; the real client and the stock server are in $venv. With the UI come the prices of models: without them no
# span has a cost.
prepare_to_measure() {
  need_build_packages
  need_packages python3-venv "$@"
  venv=$(venv_for compat-tests/requirements.txt)
  make_venv "$venv" -r compat-tests/requirements.txt
  scripts/ui.sh
  cargo build --locked --release
  export FERROFLOW_BIN=$CARGO_TARGET_DIR/release/ferroflow
}
