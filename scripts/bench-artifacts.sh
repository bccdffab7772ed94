#!/usr/bin/env bash
# Measures large artifacts beside the stock server and boto3. Arguments go to benches/artifacts.py.
source "$(dirname "$0")/env.sh"
prepare_to_measure
exec "$venv/bin/python" benches/artifacts.py "$@"
