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
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

for program in qemu-system-x86_64 busybox cpio xz apt-get dpkg; do
    command -v "$program" >/dev/null || { echo "conformance-qemu: needs $program" >&2; exit 3; }
done

# A static program, since the initramfs has no libraries.
target=x86_64-unknown-linux-gnu
RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build -q --manifest-path "$root/Cargo.toml" --target $target -p inuse-lab --bin inuse-conformance
program=${CARGO_TARGET_DIR:-$root/target}/$target/debug/inuse-conformance

newest() {
    apt-cache search "^linux-image-$1[0-9.+a-z-]*-cloud-amd64\$" | cut -d' ' -f1 | sort -V | tail -n 1
}
[ $# -gt 0 ] || set -- $(newest '6\.1\.0') $(newest '6\.12\.')

status=0
for package; do
    dir=$work/$package
    mkdir -p "$dir/root/bin" "$dir/root/proc" "$dir/root/sys" "$dir/root/tmp"
    (cd "$dir" && apt-get download -q -o APT::Sandbox::User=root "$package" >/dev/null && dpkg -x ./*.deb image)
    cp "$(command -v busybox)" "$dir/root/bin/busybox"
    cp "$program" "$dir/root/bin/inuse-conformance"
    # The modules that are modules there; the order is that in which they need each other.
    for module in inet_diag tcp_diag udp_diag unix_diag veth; do
        find "$dir/image" -name "$module.ko*" | while read -r file; do
            case $file in
                *.xz) xz -dc "$file" >"$dir/root/$module.ko" ;;
                *) cp "$file" "$dir/root/$module.ko" ;;
            esac
        done
    done
    cat >"$dir/root/init" <<INIT
#!/bin/busybox sh
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
    mkdir -p "$dir/root/dev"
    ln -sf /bin/busybox "$dir/root/bin/sh"
    sed -i '1s|/bin/busybox sh|/bin/sh|' "$dir/root/init"
    chmod +x "$dir/root/init"
    (cd "$dir/root" && find . | cpio -o -H newc --quiet | gzip -1) >"$dir/initramfs"
    echo "== $package"
    timeout "${TIMEOUT:-900}" qemu-system-x86_64 -accel tcg -cpu max -m 768 -nographic -no-reboot \
        -kernel "$dir"/image/boot/vmlinuz-* -initrd "$dir/initramfs" \
        -append "console=ttyS0 quiet panic=-1" </dev/null | tr -d '\r' | tee "$dir/log" |
        grep -a -v '^\[\|^SeaBIOS\|^iPXE\|^Booting\|^$' || true
    grep -q '^conformance-qemu: exit 0' "$dir/log" || status=1
done
exit $status
