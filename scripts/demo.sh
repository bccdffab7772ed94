#!/usr/bin/env bash
# Trains a scikit-learn sweep against a running server and looks at it in a browser.   scripts/demo.sh [URL]
source "$(dirname "$0")/env.sh"
url=${1:-http://127.0.0.1:5000}
need_packages python3-venv
need_browser
venv=$(venv_for compat-tests/requirements.txt)
make_venv "$venv" -r compat-tests/requirements.txt
say "training 20 models; they are logged to $url"
sweep=$(MLFLOW_TRACKING_URI=$url MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT=true "$venv/bin/python" -W ignore compat-tests/demo/sweep.py | tee /dev/stderr | tail -1)
say "looking at them in the UI"
npm ci --prefix compat-tests/browser --silent --no-audit --no-fund
URL=$url SWEEP=$sweep node --test --test-reporter=spec compat-tests/browser/demo.test.mjs
