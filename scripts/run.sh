#!/usr/bin/env bash
# Fetches the UI, builds in release and serves on SQLite and a local folder. Arguments go to `ferroflow server`.
source "$(dirname "$0")/env.sh"
need_build_packages
scripts/ui.sh
cargo build --locked --release
say "data, unless flags say otherwise: sqlite:///mlflow.db and ./mlartifacts in $PWD"
exec "$CARGO_TARGET_DIR/release/ferroflow" server --host 127.0.0.1 --port 5000 \
  --backend-store-uri sqlite:///mlflow.db --artifacts-destination ./mlartifacts "$@"
