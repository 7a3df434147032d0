#!/usr/bin/env bash
# Type-checks inuse-bind, which other people's programs link, with the oldest Rust that it promises (rust-version in
# Cargo.toml). rustup fetches that toolchain, if it is not there; the rest of the workspace is held to it too with
# arguments for cargo: scripts/check-msrv.sh --workspace
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
rustup toolchain install --profile minimal --no-self-update "$version" >/dev/null
[ $# -gt 0 ] || set -- --package inuse-bind --all-features
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/msrv cargo "+$version" check --quiet "$@"
echo "checked with Rust $version"
