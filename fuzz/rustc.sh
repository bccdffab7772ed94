#!/usr/bin/env bash
# What cargo calls in the place of rustc (RUSTC_WRAPPER): has our own crates report to libFuzzer which edges they take and
# what they compare. The crates that they use are left alone; what they have of generic code becomes part of ours.
rustc=$1
shift
flags=()
if [[ ${CARGO_PKG_NAME:-} == ferroflow* && ${CARGO_CRATE_NAME:-} != build_script_* ]]; then
  # Nothing is gained from optimising across the parts of a crate here, and it takes minutes.
  flags=(-Clto=off -Cpasses=sancov-module)
  for what in level=4 inline-8bit-counters pc-table trace-compares; do
    flags+=("-Cllvm-args=-sanitizer-coverage-$what")
  done
fi
exec "$rustc" "$@" "${flags[@]}"
