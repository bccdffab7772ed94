#!/usr/bin/env bash
# Measures how much of a training script's time is the server's. Arguments go to benches/client.py.
source "$(dirname "$0")/env.sh"
prepare_to_measure postgresql
exec "$venv/bin/python" benches/client.py "$@"
