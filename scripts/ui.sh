#!/usr/bin/env bash
# Fetches the stock MLflow UI into the ignored folder ui/: its build is part of the mlflow wheel. So is the catalogue of
# models that the pages of the AI gateway offer.
# Beside each file that shrinks lie a .br and a .gz, so that the server never compresses.
source "$(dirname "$0")/env.sh"
wheel_hash=4e44c03791beb518d8b0a40b0982d958c2634d902f46d67d7907c82107f21fac

fetched="$MLFLOW_VERSION with models"
[ "$(cat ui/.version 2>/dev/null)" != "$fetched" ] || exit 0
say "fetching the MLflow $MLFLOW_VERSION UI"
python3 -m pip --version >/dev/null 2>&1 || need_packages python3-pip
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "mlflow==$MLFLOW_VERSION --hash=sha256:$wheel_hash" >"$work/requirements.txt"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
  --dest "$work" --requirement "$work/requirements.txt"
python3 - "$work"/mlflow-*.whl "$work/ui" <<'PY'
import sys, zipfile
from pathlib import Path

folders = {"mlflow/server/js/build/": "", "mlflow/utils/model_catalog/": "model_catalog"}
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for prefix, folder in folders.items():
        for name in wheel.namelist():
            if name.startswith(prefix) and not name.endswith(("/", ".py")):
                path = Path(sys.argv[2], folder, name.removeprefix(prefix))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(wheel.read(name))
PY
if command -v node >/dev/null; then
  node scripts/precompress.mjs "$work/ui"
else
  say "no node here: the UI is served uncompressed"
fi
echo "$fetched" >"$work/ui/.version"
rm -rf ui
mv "$work/ui" ui
