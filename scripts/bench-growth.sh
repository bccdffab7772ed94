#!/usr/bin/env bash
# Measures what requests cost on databases of different sizes. Arguments go to benches/growth.py.
source "$(dirname "$0")/env.sh"
prepare_to_measure postgresql wrk
exec "$venv/bin/python" benches/growth.py "$@"
