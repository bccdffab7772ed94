#!/usr/bin/env bash
# Watches two replicas under mixed work on one Postgres and one bucket. Arguments go to benches/mixed.py.
source "$(dirname "$0")/env.sh"
prepare_to_measure postgresql
exec "$venv/bin/python" benches/mixed.py "$@"
