#!/bin/sh
# Plays the conformance cases on other kernels: Debian's, in qemu without hardware help.
#
#   scripts/conformance-qemu.sh [-n CASES] [-s SEED] [PACKAGE...]
#
# PACKAGE is a Debian kernel image, as `apt-cache search '^linux-image-6.*amd64$'` lists them; without
# one, the newest that this machine's archives offer of each series. Needs qemu-system-x86,
# busybox-static, cpio, xz-utils and apt; changes nothing outside a temporary directory.
set -eu

cases=20000
seed=1
while getopts n:s: option; do
    case $option in
        n) cases=$OPTARG ;;
        s) seed=$OPTARG ;;
        *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))

root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/guest.sh"
guest_needs conformance-qemu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

# A static program, since the initramfs has no libraries.
target=x86_64-unknown-linux-gnu
RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build -q --manifest-path "$root/Cargo.toml" --target $target -p inuse-lab --bin inuse-conformance
program=${CARGO_TARGET_DIR:-$root/target}/$target/debug/inuse-conformance

[ $# -gt 0 ] || set -- $(guest_kernel '6\.1\.0') $(guest_kernel '6\.12\.')

status=0
for package; do
    dir=$work/$package
    guest_new "$dir" "$package"
    guest_program "$dir" "$program"
    # In the order in which they need each other.
    guest_module "$dir" inet_diag tcp_diag udp_diag unix_diag veth
    cat >"$dir/root/init" <<INIT
#!/bin/sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox chmod 1777 /tmp
for module in inet_diag tcp_diag udp_diag unix_diag veth; do
    [ ! -e /\$module.ko ] || /bin/busybox insmod /\$module.ko
done
ulimit -n 4096
/bin/inuse-conformance run --cases $cases --seed $seed
echo "conformance-qemu: exit \$?"
/bin/busybox poweroff -f
INIT
    echo "== $package"
    guest_boot "$dir"
    grep -q '^conformance-qemu: exit 0' "$dir/log" || status=1
done
exit $status
