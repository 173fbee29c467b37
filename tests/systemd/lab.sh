#!/bin/bash
# A throw-away systemd as PID 1 of namespaces of its own.
#
#   lab.sh serve             boot, print "READY <pid>", stay up until standard input ends or TERM comes
#   lab.sh enter PID CMD..   run CMD inside the lab whose PID 1 is PID
#
# Exit status 77: this machine cannot run it (not root, no cgroup2, no overlayfs, no systemd).
# The lab sees the host's root file system, and not what is mounted on it, through an overlay whose upper layer is a
# tmpfs: nothing written inside survives. /tmp, /run, /dev and /etc/systemd/system are its own; the network is the
# host's. LAB_ROOT=DIR boots another root file system, such as a debootstrap of a newer release, instead of the host's.
set -u
umask 022
SYSTEMD=/lib/systemd/systemd
skip() { echo "SKIP: $*" >&2; exit 77; }

lab_enter() {            # lab_enter PID CMD...
    local pid=$1; shift
    nsenter -t "$pid" -m -p -u -i -C -r -w \
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
UNSHARE= P1=

teardown() {
    trap '' TERM INT HUP
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

mkfifo "$W/pid"
bash -c 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"' _ "$CG" \
    setpriv --pdeathsig KILL \
    unshare --mount --pid --fork --kill-child=KILL --uts --ipc --cgroup \
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

echo "READY $P1"
while read -r _; do :; done
teardown
