#!/usr/bin/env bash
# Runs tests and installs what they miss.   scripts/test.sh [unit] [compat] [browser] [fuzz]   (default: all four)
# A stage that fails does not stop the others; the exit code and the last lines tell.
# [differential] is of [compat] only the comparison with the stock server, answer by answer.
# PYTEST_ARGS goes to pytest, for instance PYTEST_ARGS='-k paging --databases sqlite'.
source "$(dirname "$0")/env.sh"
stages=("${@:-all}")
wants() { [[ " ${stages[*]} " == *" all "* || " ${stages[*]} " == *" $1 "* ]]; }

requirements=compat-tests/requirements.txt
venv=$(venv_for "$requirements")
python=$venv/bin/python

make_old_client_venvs() {
  local line
  while read -r line; do
    # Set before setuptools dropped pkg_resources, which the oldest client imports.
    make_venv "$CACHE/venv-old-${line##*==}" "$line" "pandas<3" "setuptools<81" &
  done < <(grep -v '^#' compat-tests/requirements-old-clients.txt)
  wait
}

need_build_packages
need_packages postgresql python3-venv nginx
if wants compat; then need_packages pgbouncer locales; fi
if wants browser; then need_browser; fi

say "building (and, beside it, the virtual environments)"
( make_venv "$venv" -r "$requirements"; if wants compat; then make_old_client_venvs; fi ) >"$CACHE/venv.log" 2>&1 &
venvs=$!
# The program's own tests bring the program along, and the dependencies need not be built for both.
if wants unit; then cargo test --locked --no-run; else cargo build --locked; fi
if ! wait "$venvs"; then cat "$CACHE/venv.log" >&2; die "the virtual environments could not be made"; fi
export FERROFLOW_BIN=$CARGO_TARGET_DIR/debug/ferroflow FERROFLOW_CACHE=$CACHE
failed=()

if wants unit; then
  test_command=(cargo test --locked)
  ! command -v cargo-nextest >/dev/null || test_command=(cargo nextest run --locked)
  for major in 15 18; do
    say "unit and API tests: SQLite and Postgres $major, folders and S3"
    "$python" compat-tests/support/postgres.py --major "$major" -- \
      "$python" compat-tests/support/s3.py -- "${test_command[@]}" || failed+=("unit-pg$major")
  done
fi
if wants browser || wants compat || wants differential; then scripts/ui.sh; fi
if wants browser; then
  # DATABASES=sqlite walks the pages on one only.
  say "the stock UI in a browser (on ${DATABASES:-SQLite and Postgres})"
  { npm ci --prefix compat-tests/browser --silent --no-audit --no-fund &&
    PYTHON=$python npm test --prefix compat-tests/browser --silent; } || failed+=(browser)
fi
if wants compat; then
  say "the real MLflow client and server"
  # shellcheck disable=SC2086
  "$python" -m pytest compat-tests -n 2 --dist loadgroup ${PYTEST_ARGS:-} || failed+=(compat)
  # All of it once more would say little else.
  if [ -z "${PYTEST_ARGS:-}" ]; then
    say "the same below a prefix, behind nginx"
    left_out="sqlite-search or sqlite-metrics or sqlite-models or sqlite-trace or sqlite-assessments or sqlite-evaluation"
    "$python" -m pytest compat-tests/test_{tracking,artifacts,models,traces,differential}.py \
      -k "not ($left_out or sqlite-webhooks or sqlite-gateway or sqlite-mcp)" \
      --behind-nginx --databases sqlite -n 2 --dist loadgroup || failed+=(behind-nginx)
  fi
elif wants differential; then
  say "every answer beside the stock server's"
  # shellcheck disable=SC2086
  "$python" -m pytest compat-tests/test_differential.py -n 2 --dist loadgroup ${PYTEST_ARGS:-} || failed+=(differential)
fi
if wants fuzz; then
  say "parsers of foreign bytes"
  scripts/fuzz.sh --seconds 5 || failed+=(fuzz)
fi
[ ${#failed[@]} -eq 0 ] || die "failed: ${failed[*]}"
