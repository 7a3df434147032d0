# What the scripts that boot one of Debian's kernels in qemu, without hardware help, have in common. To be sourced.
#
#   guest_needs SCRIPT PROGRAM...   ends with 3 where something is missing
#   guest_kernel SERIES             the newest package of a series that this machine's archives offer
#   guest_new DIR PACKAGE           fetches the kernel; makes DIR/root, whose shell is busybox
#   guest_module DIR NAME...        adds modules that are modules there
#   guest_program DIR FILE          adds /bin/FILE with the libraries that it names
#   guest_boot DIR                  boots it with DIR/root/init, shows what it says, and keeps that in DIR/log

guest_needs() {
    guest_script=$1
    shift
    for program in qemu-system-x86_64 busybox cpio gzip strip xz apt-get apt-cache dpkg "$@"; do
        command -v "$program" >/dev/null || { echo "$guest_script: needs $program" >&2; exit 3; }
    done
}

guest_kernel() {
    apt-cache search "^linux-image-$1[0-9.+a-z-]*-cloud-amd64\$" | cut -d' ' -f1 | sort -V | tail -n 1
}

guest_new() {
    mkdir -p "$1/root/bin" "$1/root/proc" "$1/root/sys" "$1/root/dev" "$1/root/tmp"
    (cd "$1" && apt-get download -q -o APT::Sandbox::User=root "$2" >/dev/null && dpkg -x ./*.deb image)
    cp "$(command -v busybox)" "$1/root/bin/busybox"
    ln -sf /bin/busybox "$1/root/bin/sh"
}

guest_module() {
    guest_dir=$1
    shift
    for module; do
        find "$guest_dir/image" -name "$module.ko*" | while read -r file; do
            case $file in
                *.xz) xz -dc "$file" >"$guest_dir/root/$module.ko" ;;
                *) cp "$file" "$guest_dir/root/$module.ko" ;;
            esac
        done
    done
}

guest_program() {
    cp "$2" "$1/root/bin/"
    # Its symbols would be most of what the guest unpacks.
    strip "$1/root/bin/$(basename "$2")"
    # Nothing is named by a program that is linked statically.
    { ldd "$2" 2>/dev/null || true; } | grep -o '/[^ ]*' | while read -r library; do
        mkdir -p "$1/root$(dirname "$library")"
        cp -L "$library" "$1/root$library"
    done
}

guest_boot() {
    chmod +x "$1/root/init"
    (cd "$1/root" && find . | cpio -o -H newc --quiet | gzip -1) >"$1/initramfs"
    timeout "${TIMEOUT:-900}" qemu-system-x86_64 -accel tcg -cpu max -m 768 -nographic -no-reboot \
        -kernel "$1"/image/boot/vmlinuz-* -initrd "$1/initramfs" \
        -append "console=ttyS0 quiet panic=-1" </dev/null | sed -u 's|\r||g' | tee "$1/log" |
        grep -a --line-buffered -v '^\[\|^SeaBIOS\|^iPXE\|^Booting\|^$' || true
}
