#!/bin/bash
# lab.sh - a throw-away systemd as PID 1 of private namespaces.
#
#   lab.sh               boot, run one smoke test, tear down; exit 0 = pass
#   lab.sh serve [CMD..] boot, then with CMD: run CMD with LAB_PID set, tear down,
#                                exit with CMD's status; without CMD: print
#                                "READY <pid>" and stay up until stdin ends or TERM/INT
#   lab.sh enter PID CMD.. run CMD inside the lab whose PID 1 is PID
#
# exit 77 = this machine cannot run it (not root, no cgroup2, no overlayfs, no systemd).
# The lab sees the host's root file system (that one only, not what is mounted on it)
# through an overlay whose upper layer is a tmpfs: nothing written inside survives.
# /tmp, /run, /dev and /etc/systemd/system are its own; the network namespace is the
# host's (LAB_PRIVATE_NET=1: its own, with lo up).
# LAB_ROOT=DIR: boot this root file system (say, a debootstrap of a newer release) instead
# of the host's /; it too is only read.
# LAB_BIND="dir1 dir2": host directories to be visible and writable inside at the
# same path (for what lies under /tmp or /run, on another mount, or must be written back).
set -u
umask 022
SYSTEMD=/lib/systemd/systemd
skip() { echo "SKIP: $*" >&2; exit 77; }

lab_enter() {            # lab_enter PID CMD...
    local pid=$1 net=; shift
    [ -n "${LAB_PRIVATE_NET:-}" ] && net=-n
    nsenter -t "$pid" -m -p -u -i -C $net -r -w \
        env -u LISTEN_FDS -u LISTEN_PID -u NOTIFY_SOCKET \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        SYSTEMD_PAGER= SYSTEMD_COLORS=0 "$@"
}

# ---- stage 2: first process of the new namespaces; becomes systemd -----------------
if [ "${1:-}" = __inner ]; then
    set -e
    W=$2
    R=$W/root
    read -r hostpid _ </proc/self/stat           # still the host's /proc: host pid
    mount --make-rprivate /
    mount -t tmpfs -o mode=755 lab "$W"
    mkdir "$W/up" "$W/work" "$R"
    # host directories asked for are pinned before / is covered
    n=0; for d in ${LAB_BIND:-}; do mkdir "$W/b$n"; mount --rbind "$d" "$W/b$n"; n=$((n+1)); done
    mount -t overlay -o "lowerdir=${LAB_ROOT:-/},upperdir=$W/up,workdir=$W/work" overlay "$R"
    mount -t proc -o nosuid,nodev,noexec proc "$R/proc"
    mount --bind "$R/proc/sys" "$R/proc/sys"     # PID 1 must not tune the shared kernel
    mount -o remount,bind,ro "$R/proc/sys"
    mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$R/sys"
    mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$R/sys/fs/cgroup"
    mount -t tmpfs -o mode=755,nosuid lab "$R/dev"
    for f in null zero full random urandom tty; do
        : >"$R/dev/$f"; mount --bind "/dev/$f" "$R/dev/$f"
    done
    mkdir "$R/dev/pts" "$R/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$R/dev/pts"
    ln -s pts/ptmx "$R/dev/ptmx";  ln -s /proc/self/fd "$R/dev/fd"
    ln -s fd/0 "$R/dev/stdin"; ln -s fd/1 "$R/dev/stdout"; ln -s fd/2 "$R/dev/stderr"
    mount -t tmpfs -o mode=1777,nosuid,nodev lab "$R/dev/shm"
    mount -t tmpfs -o mode=755,nosuid,nodev lab "$R/run"
    mount -t tmpfs -o mode=1777,nosuid,nodev lab "$R/tmp"
    mount -t tmpfs -o mode=755 lab "$R/etc/systemd/system"   # no host unit is enabled
    for u in systemd-sysctl.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount \
             systemd-modules-load.service systemd-random-seed.service systemd-remount-fs.service \
             systemd-update-utmp.service systemd-journal-flush.service systemd-journald-audit.socket \
             sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount \
             sys-fs-fuse-connections.mount dev-hugepages.mount; do
        ln -s /dev/null "$R/etc/systemd/system/$u"
    done
    : >"$R/etc/fstab"; rm -f "$R/etc/crypttab"   # no host disk or swap gets a unit
    n=0; for d in ${LAB_BIND:-}; do mkdir -p "$R$d"; mount --rbind "$W/b$n" "$R$d"; n=$((n+1)); done
    hostname lab
    cd "$R"
    pivot_root . .
    umount -l .
    cd /
    mount --make-rshared /                       # as on a booted host; credentials need it
    echo "$hostpid" >&3
    exec 3>&-
    drop=-sys_time,-sys_module,-sys_rawio,-sys_boot,-syslog,-wake_alarm,-audit_control,-audit_read
    exec setpriv --bounding-set="$drop" \
        env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin container=lab \
        "$SYSTEMD" --system --unit=basic.target --log-target="${LAB_LOG_TARGET:-journal-or-kmsg}" \
        --log-level="${LAB_LOG_LEVEL:-info}" --show-status=no
fi

if [ "${1:-}" = enter ]; then shift; lab_enter "$@"; exit; fi

# ---- stage 1: cgroup, namespaces, boot ---------------------------------------------
[ "$(id -u)" = 0 ] || skip "needs root"
[ -x "${LAB_ROOT:-}$SYSTEMD" ] || skip "no systemd binary"
for t in unshare nsenter pivot_root setpriv mount; do command -v $t >/dev/null || skip "no $t"; done
grep -qw overlay /proc/filesystems || skip "no overlayfs"
CGMNT=$(awk '$3=="cgroup2"{print $2; exit}' /proc/mounts)
[ -n "$CGMNT" ] || skip "no cgroup2 mount"
OWN=$(sed -n 's/^0:://p' /proc/self/cgroup)
CG=${CGMNT}${OWN%/}/systemd-lab.$$
for d in "${CG%.*}".*; do                           # what a killed earlier run left behind
    [ -d "$d" ] && ! kill -0 "${d##*.}" 2>/dev/null && find "$d" -depth -type d -exec rmdir {} + 2>/dev/null
done
W=${TMPDIR:-/tmp}/systemd-lab.$$
for d in "${W%.*}".*; do
    [ -d "$d" ] && [ ! -L "$d" ] && [ -O "$d" ] && ! kill -0 "${d##*.}" 2>/dev/null &&
        rm -f "$d/pid" "$d/console" && rmdir "$d"
done
mkdir -m 700 "$W" || exit 1
mkdir "$CG" 2>/dev/null || { rmdir "$W"; skip "cannot create a cgroup"; }
UNSHARE= P1= CMD=

teardown() {
    trap '' TERM INT HUP
    [ -n "$CMD" ] && kill "$CMD" 2>/dev/null && wait "$CMD" 2>/dev/null
    if [ -n "$P1" ] && kill -0 "$P1" 2>/dev/null; then
        kill -s RTMIN+3 "$P1"                       # halt: stop all units, then exit
        for _ in $(seq 1000); do kill -0 "$P1" 2>/dev/null || break; sleep 0.02; done
        kill -KILL "$P1" 2>/dev/null
    fi
    [ -n "$UNSHARE" ] && { kill "$UNSHARE" 2>/dev/null; wait "$UNSHARE" 2>/dev/null; }
    for _ in $(seq 100); do                         # the kernel empties them a moment later
        find "$CG" -depth -type d -exec rmdir {} + 2>/dev/null
        [ -d "$CG" ] || break
        sleep 0.02
    done
    rm -f "$W/pid" "$W/console"
    rmdir "$W"
    [ ! -d "$CG" ] && [ ! -d "$W" ]
}
trap 'teardown; exit 143' TERM INT HUP

net=; [ -n "${LAB_PRIVATE_NET:-}" ] && net=--net
mkfifo "$W/pid"
bash -c 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"' _ "$CG" \
    setpriv --pdeathsig KILL \
    unshare --mount --pid --fork --kill-child=KILL --uts --ipc --cgroup $net \
    bash "$0" __inner "$W" </dev/null >"$W/console" 2>&1 3>"$W/pid" &
UNSHARE=$!
read -r -t 20 P1 <"$W/pid"
[ -n "$P1" ] || { cat "$W/console" >&2; teardown; skip "namespaces or mounts refused"; }
state=
for _ in $(seq 1000); do
    state=$(lab_enter "$P1" systemctl is-system-running 2>/dev/null)
    case $state in running|degraded) break;; esac
    kill -0 "$P1" 2>/dev/null || break
    sleep 0.02
done
case $state in
    running|degraded) ;;
    *) cat "$W/console" >&2; teardown; echo "FAIL: did not boot ($state)" >&2; exit 1;;
esac

# ---- serve ------------------------------------------------------------------------
if [ "${1:-}" = serve ]; then
    shift
    if [ $# -gt 0 ]; then
        LAB_PID=$P1 "$@" <&0 & CMD=$!
        wait "$CMD"; rc=$?; CMD=
    else
        echo "READY $P1"; rc=0
        while read -r _; do :; done
    fi
    teardown || rc=1
    exit $rc
fi

# ---- smoke test ---------------------------------------------------------------------
fail() { echo "FAIL: $*" >&2; lab_enter "$P1" journalctl -b --no-pager 2>/dev/null | tail -30 >&2
         teardown; exit 1; }
lab() { lab_enter "$P1" "$@"; }
lab sh -c 'cat >/run/systemd/system/smoke.socket' <<'U'
[Socket]
ListenStream=/run/smoke.sock
U
lab sh -c 'cat >/run/systemd/system/smoke.service' <<'U'
[Service]
Type=notify
NotifyAccess=main
ExecStart=/usr/bin/python3 /run/smoke.py
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=0
WatchdogSec=5
DynamicUser=yes
ProtectSystem=strict
PrivateTmp=yes
U
lab sh -c 'cat >/run/smoke.py' <<'U'
import os, socket, signal
from wsgiref.simple_server import WSGIServer, WSGIRequestHandler
def notify(m):
    a = os.environ["NOTIFY_SOCKET"]
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.sendto(m.encode(), "\0" + a[1:] if a[0] == "@" else a)
n = {"hup": 0}
def hup(*a): n["hup"] += 1
signal.signal(signal.SIGHUP, hup)
assert os.environ["LISTEN_PID"] == str(os.getpid()) and os.environ["LISTEN_FDS"] == "1"
class S(WSGIServer):
    address_family = socket.AF_UNIX
class H(WSGIRequestHandler):
    def setup(self):
        self.client_address = ("-", 0)            # a unix socket gives ""
        super().setup()
s = S(("", 0), H, bind_and_activate=False)
s.socket.close(); s.socket = socket.socket(fileno=3)
s.server_name, s.server_port = "lab", 80; s.setup_environ()
s.set_app(lambda e, r: (r("200 OK", [("Content-Type", "text/plain")]),
          [b"pid=%d hup=%d uid=%d\n" % (os.getpid(), n["hup"], os.getuid())])[1])
s.timeout = 1
notify("READY=1\nSTATUS=serving")
while True:
    s.handle_request()
    notify("WATCHDOG=1")
U
get() { lab /usr/bin/python3 -c '
import socket
s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect("/run/smoke.sock")
s.sendall(b"GET / HTTP/1.0\r\n\r\n"); b = b""
while (d := s.recv(4096)): b += d
print(b.decode().split("\r\n\r\n")[1].strip())'; }
lab systemctl daemon-reload && lab systemctl start smoke.socket || fail "socket unit"
[ "$(lab systemctl is-active smoke.service)" = inactive ] || fail "service started too early"
a=$(get) || fail "first request"
[ "$(lab systemctl is-active smoke.service)" = active ] || fail "not active after READY=1"
case $a in *uid=0) fail "DynamicUser ignored";; esac
lab systemctl reload smoke.service || fail "reload"
sleep 0.2
case $(get) in *hup=1*) ;; *) fail "reload did not reach the process";; esac
lab systemctl kill -s KILL --kill-who=main smoke.service
b=$(get) || fail "request after kill -9"
[ "${a%% *}" != "${b%% *}" ] || fail "same process after kill -9"
lab systemctl restart smoke.service || fail "restart"
get >/dev/null || fail "request after restart"
lab systemctl stop smoke.socket smoke.service || fail "stop"
[ "$(lab systemctl show -P Result smoke.service)" = success ] || fail "stop result"
v=$(lab systemctl --version | head -1)
teardown || { echo "FAIL: something was left behind" >&2; exit 1; }
echo "PASS: $v"
