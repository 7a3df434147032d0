#!/usr/bin/env bash
# Type-checks inuse-bind for macOS on a Debian machine, where rustup has no standard library for it.
#
#   scripts/check-macos.sh [TARGET [ARGUMENT...]]   aarch64-apple-darwin when no TARGET is given; cargo gets the rest
#
# Debian's rustc-web comes with the source of its own standard library. Cargo builds that source for the target
# and then checks the crate against it; nothing is linked, so no tool of Apple's is needed. The packages are
# unpacked into a folder of the build directory: nothing is installed, root is not needed.
#
# RUSTC_BOOTSTRAP=1 is there for -Zbuild-std. It would also let unstable features of Rust pass, and this compiler
# is newer than the crate's minimum: the ordinary build beside it is what holds the crate to stable Rust.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${1:-aarch64-apple-darwin}
build=$(realpath -m "${CARGO_TARGET_DIR:-target}")/check-macos
tools=$build/tools

# The names of the compiler's own libraries and of LLVM have versions in them: they are asked for, not written here.
fetch() {
  local libraries llvm package
  libraries=$(depends libstd-rust-web-dev 'libstd-rust-web-[0-9.]+')
  llvm=$(depends "$libraries" 'libllvm[0-9]+')
  rm -rf "$build/packages" "$tools"
  mkdir -p "$build/packages" "$tools"
  (cd "$build/packages" && apt-get download -qq rustc-web rust-web-src libstd-rust-web-dev "$libraries" "$llvm")
  for package in "$build"/packages/*.deb; do
    dpkg -x "$package" "$tools"
  done
  touch "$build/ready"
}

# The first dependency of a package whose name looks so.
depends() {
  apt-cache depends "$1" | sed -nE "s/^ *Depends: *($2)\$/\1/p" | head -n 1
}

[ -e "$build/ready" ] || fetch
LD_LIBRARY_PATH=$(dirname "$(find "$tools/usr/lib" -name 'librustc_driver*' -print -quit)"):$(dirname "$(find "$tools/usr/lib" -name 'libLLVM*' -print -quit)")
export LD_LIBRARY_PATH RUSTC=$tools/usr/bin/rustc RUSTC_BOOTSTRAP=1
"$RUSTC" --version
CARGO_TARGET_DIR=$build/target cargo check -Zbuild-std=std,panic_abort --target "$target" -p inuse-bind "${@:2}"
echo "inuse-bind type-checks for $target"
