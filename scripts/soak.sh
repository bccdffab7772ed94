#!/usr/bin/env bash
# Writes, kills, and checks every acknowledged write. Arguments go to compat-tests/soak.py.
source "$(dirname "$0")/env.sh"
prepare_to_measure postgresql pgbouncer
exec "$venv/bin/python" compat-tests/soak.py "$@"
