#!/usr/bin/env bash
# Feeds the parsers of foreign bytes what they do not expect, each for some seconds, from the inputs in fuzz/corpus on.
#   scripts/fuzz.sh [--seconds N] [target...]   (default: 10 seconds each, all of fuzz/fuzz_targets)
# Ends with the first finding: its input is kept in fuzz/artifacts, and `scripts/fuzz.sh TARGET FILE` runs it alone. What
# was found worth keeping on the way stays in the cache, for the next time. The stable compiler will do.
source "$(dirname "$0")/env.sh"
seconds=10
targets=()
inputs=()
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=${2:?--seconds needs a number}; shift ;;
    -*) die "unknown option $1" ;;
    *) if [ -f "$1" ]; then inputs+=("$1"); else targets+=("$1"); fi ;;
  esac
  shift
done
known=()
for file in fuzz/fuzz_targets/*.rs; do known+=("$(basename "$file" .rs)"); done
[ ${#targets[@]} -gt 0 ] || targets=("${known[@]}")
for target in "${targets[@]}"; do
  [[ " ${known[*]} " == *" $target "* ]] || die "no target $target; there are: ${known[*]}"
done

# The longest input: what a parser takes, not what it is worth.
longest() {
  case $1 in
    json | otlp) echo 4096 ;;
    graphql | packing) echo 2048 ;;
    *) echo 512 ;;
  esac
}

need_build_packages
# libFuzzer is C++.
need_packages g++
say "building the targets (the first time some 300 crates)"
export CARGO_TARGET_DIR=$CACHE/fuzz/target
binaries=()
for target in "${targets[@]}"; do binaries+=(--bin "$target"); done
# Not --locked: fuzz/Cargo.lock follows what the crate depends on.
RUSTC_WRAPPER=$PWD/fuzz/rustc.sh cargo build --manifest-path fuzz/Cargo.toml --profile fuzz "${binaries[@]}"

mkdir -p fuzz/artifacts
for target in "${targets[@]}"; do
  options=("-max_len=$(longest "$target")" -rss_limit_mb=2048 -timeout=10 "-artifact_prefix=fuzz/artifacts/$target-"
    -print_final_stats=1 "-max_total_time=$seconds")
  if [ ${#inputs[@]} -gt 0 ]; then
    say "$target: ${inputs[*]}"
    "$CARGO_TARGET_DIR/fuzz/$target" "${options[@]}" "${inputs[@]}" || die "$target: ${inputs[*]}"
    continue
  fi
  say "$target, $seconds seconds"
  found=$CACHE/fuzz/corpus/$target log=$CACHE/fuzz/$target.log
  mkdir -p "$found"
  # The first folder is the one that is written to.
  if ! "$CARGO_TARGET_DIR/fuzz/$target" "${options[@]}" "$found" "fuzz/corpus/$target" >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    die "$target: see ${input:-$log}"
  fi
  grep -E '^(#[0-9]+\s+DONE|stat::peak_rss_mb)' "$log"
done
