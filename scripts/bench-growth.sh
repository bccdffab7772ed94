#!/usr/bin/env bash
# Measures what requests cost on databases of different sizes. Arguments go to benches/growth.py.
source "$(dirname "$0")/env.sh"
need_build_packages
need_packages postgresql python3-venv wrk
venv=$(venv_for compat-tests/requirements.txt)
make_venv "$venv" -r compat-tests/requirements.txt
cargo build --locked --release
export FERROFLOW_BIN=$CARGO_TARGET_DIR/release/ferroflow
exec "$venv/bin/python" benches/growth.py "$@"
