#!/usr/bin/env bash
# Measures large artifacts beside the stock server and boto3. Arguments go to benches/artifacts.py.
source "$(dirname "$0")/env.sh"
need_build_packages
need_packages python3-venv
venv=$(venv_for compat-tests/requirements.txt)
make_venv "$venv" -r compat-tests/requirements.txt
cargo build --locked --release
export FERROFLOW_BIN=$CARGO_TARGET_DIR/release/ferroflow
exec "$venv/bin/python" benches/artifacts.py "$@"
