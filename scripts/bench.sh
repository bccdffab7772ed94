#!/usr/bin/env bash
# Measures a release build beside the stock server and two peers. Arguments go to benches/compare.py; where a peer cannot
# be installed, `--servers ferroflow,stock` does without.
source "$(dirname "$0")/env.sh"
need_build_packages
need_packages postgresql python3-venv wrk
venv=$(venv_for compat-tests/requirements.txt)
make_venv "$venv" -r compat-tests/requirements.txt
FASTTRACKML_VENV=$(venv_for benches/requirements-fasttrackml.txt)
MLFLOW_GO_VENV=$(venv_for benches/requirements-mlflow-go.txt)
export FASTTRACKML_VENV MLFLOW_GO_VENV
make_venv "$FASTTRACKML_VENV" --no-deps -r benches/requirements-fasttrackml.txt
make_venv "$MLFLOW_GO_VENV" -r benches/requirements-mlflow-go.txt
cargo build --locked --release
export FERROFLOW_BIN=$CARGO_TARGET_DIR/release/ferroflow
exec "$venv/bin/python" benches/compare.py "$@"
