#!/usr/bin/env bash
# Measures a release build beside the stock server and two peers. Arguments go to benches/compare.py; where a peer cannot
# be installed, `--servers ferroflow,stock` does without.
source "$(dirname "$0")/env.sh"
prepare_to_measure postgresql wrk
FASTTRACKML_VENV=$(venv_for benches/requirements-fasttrackml.txt)
MLFLOW_GO_VENV=$(venv_for benches/requirements-mlflow-go.txt)
export FASTTRACKML_VENV MLFLOW_GO_VENV
make_venv "$FASTTRACKML_VENV" --no-deps -r benches/requirements-fasttrackml.txt
make_venv "$MLFLOW_GO_VENV" -r benches/requirements-mlflow-go.txt
exec "$venv/bin/python" benches/compare.py "$@"
