#!/usr/bin/env bash
# Watches two replicas under mixed work on one Postgres and one bucket. Arguments go to benches/mixed.py.
source "$(dirname "$0")/env.sh"
need_build_packages
need_packages postgresql python3-venv
venv=$(venv_for compat-tests/requirements.txt)
make_venv "$venv" -r compat-tests/requirements.txt
cargo build --locked --release
export FERROFLOW_BIN=$CARGO_TARGET_DIR/release/ferroflow
exec "$venv/bin/python" benches/mixed.py "$@"
