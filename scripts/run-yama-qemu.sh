#!/bin/sh
# Holds `inuse run` to its word where Yama restricts ptrace(2), as several distributions have it for every ordinary
# user: on Debian's kernel, in qemu without hardware help, as a user without capabilities.
#
#   scripts/run-yama-qemu.sh [PACKAGE]
#
# PACKAGE is a Debian kernel image; without one, the newest of the 6.12 series. With kernel.yama.ptrace_scope at 1
# listeners must be kept over restarts and kills; at 2 one line must say why they are not.
# Needs qemu-system-x86, busybox-static, cpio, xz-utils, gcc and apt; changes nothing outside a temporary directory.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/guest.sh"
guest_needs run-yama-qemu gcc ldd
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

cargo build -q --manifest-path "$root/Cargo.toml" -p inuse --bin inuse
guest_new "$work" "${1:-$(guest_kernel '6\.12\.')}"
guest_program "$work" "${CARGO_TARGET_DIR:-$root/target}/debug/inuse"
gcc -O1 -pthread -static -w -o "$work/root/bin/server" "$root/crates/lab/tests/keep/server.c"

cat >"$work/root/init" <<'INIT'
#!/bin/sh
for applet in $(/bin/busybox --list); do [ -e /bin/$applet ] || /bin/busybox ln -s busybox /bin/$applet; done
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
chmod 1777 /tmp
ip link set lo up
mkdir -p /etc /tmp/run
echo 'user:x:1000:1000::/tmp:/bin/sh' >/etc/passwd
echo 'user:x:1000:' >/etc/group
chown user:user /tmp/run
chmod 700 /tmp/run
result=0
for scope in 1 2; do
    echo "== kernel.yama.ptrace_scope is $scope, $(uname -r)"
    echo $scope >/proc/sys/kernel/yama/ptrace_scope
    [ "$(cat /proc/sys/kernel/yama/ptrace_scope)" = $scope ] || result=1
    su user -c "/bin/sh /scope$scope" || { result=1; break; }
done
echo "run-yama-qemu: exit $result"
poweroff -f
INIT

# What both parts begin with.
cat >"$work/root/common" <<'COMMON'
export XDG_RUNTIME_DIR=/tmp/run
fail() {
    echo "failed: $*"
    cat /tmp/run/log
    exit 1
}
[ "$(id -u)" = 1000 ] || fail "not an ordinary user"
grep -q '^CapEff:.0*$' /proc/self/status || fail "with capabilities"
# A minute for something to hold.
wait_for() {
    what=$1
    shift
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || fail "in vain: $what"
        usleep 100000
    done
}
said() {
    grep -q "$1" /tmp/run/log
}
until_said() {
    wait_for "$1" said "$1"
}
start() {
    : >/tmp/run/log
    inuse run --log json --rollback-window 200ms "$@" 2>/tmp/run/log &
    supervisor=$!
}
program() {
    echo "exec /bin/server $1 127.0.0.1 $port \${INUSE_GENERATION##*:}"
}
ask() {
    echo x | timeout 60 nc 127.0.0.1 $port
}
# The first process of the generation that started last.
served() {
    grep '"started"' /tmp/run/log | tail -n 1 | grep -o 'pid [0-9]*' | grep -o '[0-9]*'
}
COMMON

cat >"$work/root/scope1" <<'SCOPE1'
. /common
port=8080
for mode in serve fork thread; do
    start --ready listen -- sh -c "$(program $mode)"
    until_said 'generation 1 is ready'
    # Clients, one after the other, through everything that follows.
    rm -f /tmp/run/done /tmp/run/refused /tmp/run/answers
    (while [ ! -e /tmp/run/done ]; do
        ask >>/tmp/run/answers 2>>/tmp/run/refused
        echo >>/tmp/run/answers
    done) &
    clients=$!
    for restart in 1 2 3; do
        inuse ctl restart >/dev/null || fail "restart $restart of $mode"
    done
    touch /tmp/run/done
    wait $clients
    grep -q refused /tmp/run/refused && fail "$(grep -c refused /tmp/run/refused) clients of $mode were refused"
    answers=$(grep -c '[0-9]' /tmp/run/answers)
    [ "$answers" -gt 0 ] || fail "no answers of $mode"
    if [ $mode = serve ]; then
        # What waits in the queue of a stopped process that is killed is answered by the next one.
        pid=$(served)
        kill -STOP "$pid"
        for number in $(seq 20); do ask >/tmp/run/queued.$number & done
        # Connected, or half closed by its client.
        queue_is_full() { [ "$(grep -c ':1F90 .* 0[18] ' /proc/net/tcp)" -ge 20 ]; }
        wait_for "a full queue" queue_is_full
        kill -KILL "$pid"
        until_said 'generation 5 is ready'
        all_answered() { [ "$(cat /tmp/run/queued.* | grep -o 5 | wc -l)" = 20 ]; }
        wait_for "answers of generation 5 to all that had waited" all_answered
    fi
    inuse ctl stop >/dev/null
    wait $supervisor
    grep -q 'as it was kept' /tmp/run/log || fail "the listener of $mode was not kept"
    grep -q '"warning"' /tmp/run/log && fail "a warning about $mode"
    echo "$mode: $answers answers over 3 restarts, none refused; the listener was kept"
done
SCOPE1

cat >"$work/root/scope2" <<'SCOPE2'
. /common
# Another port, and no client before the restart: what is not kept meets TIME_WAIT.
port=8081
start -- sh -c "$(program serve)"
until_said '"warning"'
until_said 'generation 1 is ready'
[ "$(grep -c '"warning"' /tmp/run/log)" = 1 ] || fail "more than one line"
grep -q 'kernel.yama.ptrace_scope forbids it' /tmp/run/log || fail "another line"
inuse ctl restart >/dev/null || fail "a restart"
[ "$(ask)" = 2 ] || fail "no answer"
inuse ctl stop >/dev/null
wait $supervisor
grep -o 'listeners cannot be kept[^"]*' /tmp/run/log
SCOPE2

guest_boot "$work"
grep -q '^run-yama-qemu: exit 0' "$work/log"
