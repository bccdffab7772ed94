#!/usr/bin/env bash
# Format, clippy and rustdoc, each with warnings as errors. `cargo deny` and `cargo machete` run where they are installed.
source "$(dirname "$0")/env.sh"
need_build_packages
say "cargo fmt"
cargo fmt --all -- --check
say "cargo clippy"
cargo clippy --locked --workspace --all-targets -- -D warnings
say "cargo doc"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items
for tool in deny machete; do
  if ! command -v "cargo-$tool" >/dev/null; then
    say "cargo $tool is skipped: cargo-$tool is not installed, and building it takes longer than all other checks"
  elif [ "$tool" = deny ]; then
    # Advisories need a database from the network; licences, bans and sources do not.
    say "cargo deny"
    cargo deny --all-features check bans licenses sources
  else
    say "cargo machete"
    cargo machete
  fi
done
