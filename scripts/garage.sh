#!/usr/bin/env bash
# Builds Garage, the second S3 server of the tests, into $FERROFLOW_CACHE. Takes some 16 minutes of one processor, once.
source "$(dirname "$0")/env.sh"
version=2.5.0
place=$CACHE/garage-$version
[ ! -x "$place/bin/garage" ] || exit 0
need_build_packages
say "building Garage $version"
CARGO_TARGET_DIR=$place/target cargo install garage --version $version --locked --no-default-features \
  --features bundled-libs,sqlite --root "$place"
rm -rf "$place/target"
