#!/usr/bin/env bash
# Makes a book of docs/ in $FERROFLOW_CACHE/book. Where there is no mdBook, it is built into the cache first: some minutes
# of a processor, once. Arguments go to `mdbook build`, for instance --open.
source "$(dirname "$0")/env.sh"
version=0.5.4
place=$CACHE/mdbook-$version
if command -v mdbook >/dev/null; then
  mdbook=mdbook
else
  mdbook=$place/bin/mdbook
  if [ ! -x "$mdbook" ]; then
    need_packages gcc libc6-dev
    say "building mdBook $version"
    CARGO_TARGET_DIR=$place/target cargo install mdbook --version $version --locked --no-default-features \
      --features search --root "$place"
    rm -rf "$place/target"
  fi
fi
"$mdbook" build --dest-dir "$CACHE/book" "$@"
say "$CACHE/book/index.html"
