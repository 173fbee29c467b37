"""What a machine grants a process, read from made-up and real cgroups."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.host import Host

GIB = 2**30
UNLIMITED_V1 = "9223372036854771712"


def machine(root: Path, files: dict[str, str], *, cgroup: str | None = "0::/\n", ram: int | None = 16 * GIB) -> Path:
    """Write a tree of /proc and /sys; `files` are below /sys/fs/cgroup."""
    if cgroup is not None:
        files = {"../../../proc/self/cgroup": cgroup, **files}
    if ram is not None:
        meminfo = f"MemTotal:       {ram // 1024} kB\nMemFree:          512 kB\n"
        files = {"../../../proc/meminfo": meminfo, **files}
    mount = root / "sys/fs/cgroup"
    mount.mkdir(parents=True)
    for name, text in files.items():
        file = Path(os.path.normpath(mount / name))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def v2(root: Path, files: dict[str, str], **rest: str | int | None) -> Path:
    return machine(root, {"cgroup.controllers": "cpu memory\n", **files}, **rest)  # type: ignore[arg-type] # both fit


def read(root: Path, affinity: int = 8, total: int = 8) -> Host:
    return Host.read(str(root), affinity=affinity, total=total)


def test_without_limits_the_machine_is_what_counts(tmp_path: Path) -> None:
    host = read(v2(tmp_path, {}))
    assert host[:4] == (8, "8 CPUs", 16 * GIB, "16 GiB of RAM")


def test_an_empty_tree_is_a_machine_of_unknown_memory(tmp_path: Path) -> None:
    host = read(tmp_path, 1, 1)
    assert host[:5] == (1, "1 CPU", None, "memory unknown", None)


def test_affinity_leaves_fewer_cpus(tmp_path: Path) -> None:
    host = read(v2(tmp_path, {}), affinity=2)
    assert (host.cpus, host.cpus_why) == (2, "2 of 8 CPUs by affinity")


def test_the_backlog_limit_is_read(tmp_path: Path) -> None:
    host = read(machine(tmp_path, {"../../../proc/sys/net/core/somaxconn": "4096\n"}))
    assert host.somaxconn == 4096


@pytest.mark.parametrize(
    ("written", "cpus", "why"),
    [
        ("150000 100000", 2, "1.5 CPUs by cgroup quota"),
        ("50000 100000", 1, "0.5 CPUs by cgroup quota"),
        ("1000 1000000", 1, "0.01 CPUs by cgroup quota"),
        ("200000 100000", 2, "2 CPUs by cgroup quota"),
        ("100000 100000", 1, "1 CPU by cgroup quota"),
        ("33333 100000", 1, "0.33 CPUs by cgroup quota"),
        ("max 100000", 8, "8 CPUs"),
        ("800000 100000", 8, "8 CPUs"),
        ("9900000 100000", 8, "8 CPUs"),
        ("300000", 3, "3 CPUs by cgroup quota"),
        ("", 8, "8 CPUs"),
        ("nonsense 100000", 8, "8 CPUs"),
        ("100000 0", 8, "8 CPUs"),
        ("-5 100000", 8, "8 CPUs"),
    ],
)
def test_version_2_quota_is_rounded_up_and_told(tmp_path: Path, written: str, cpus: int, why: str) -> None:
    host = read(v2(tmp_path, {"app/cpu.max": written + "\n"}, cgroup="0::/app\n"))
    assert (host.cpus, host.cpus_why) == (cpus, why)


def test_affinity_below_the_quota_is_what_is_told(tmp_path: Path) -> None:
    host = read(v2(tmp_path, {"app/cpu.max": "400000 100000"}, cgroup="0::/app\n"), affinity=2)
    assert (host.cpus, host.cpus_why) == (2, "2 of 8 CPUs by affinity")


def test_the_smallest_limit_on_the_way_to_the_root_counts(tmp_path: Path) -> None:
    files = {
        "app.slice/cpu.max": "100000 100000",
        "app.slice/memory.max": str(2 * GIB),
        "app.slice/web.service/cpu.max": "300000 100000",
        "app.slice/web.service/memory.max": str(GIB),
        "app.slice/web.service/inner/memory.max": "max",
        "other.slice/memory.max": "4096",
    }
    host = read(v2(tmp_path, files, cgroup="0::/app.slice/web.service/inner\n"))
    assert host[:4] == (1, "1 CPU by cgroup quota", GIB, "1 GiB by cgroup limit")


def test_a_limit_above_the_ram_is_none(tmp_path: Path) -> None:
    host = read(v2(tmp_path, {"app/memory.max": str(64 * GIB)}, cgroup="0::/app\n"))
    assert (host.memory, host.memory_why) == (16 * GIB, "16 GiB of RAM")


def test_a_limit_counts_where_the_ram_is_unknown(tmp_path: Path) -> None:
    host = read(v2(tmp_path, {"app/memory.max": str(3 * GIB // 2)}, cgroup="0::/app\n", ram=None))
    assert (host.memory, host.memory_why) == (3 * GIB // 2, "1.5 GiB by cgroup limit")


def test_a_cgroup_namespace_shows_the_limits_at_the_mount(tmp_path: Path) -> None:
    host = read(v2(tmp_path, {"cpu.max": "250000 100000", "memory.max": str(512 * 2**20)}, cgroup="0::/\n"))
    assert host[:4] == (3, "2.5 CPUs by cgroup quota", 512 * 2**20, "512 MiB by cgroup limit")


@pytest.mark.parametrize("path", ["/docker/1f0c", "/../../system.slice/web.service", "/gone (deleted)", ""])
def test_a_path_that_is_not_visible_falls_back_to_the_mount(tmp_path: Path, path: str) -> None:
    host = read(v2(tmp_path, {"cpu.max": "100000 100000", "memory.max": str(GIB)}, cgroup=f"0::{path}\n"))
    assert (host.cpus, host.memory) == (1, GIB)


def test_the_visible_end_of_a_hosts_path_is_used(tmp_path: Path) -> None:
    files = {"web.service/memory.max": str(GIB), "memory.max": str(2 * GIB)}
    host = read(v2(tmp_path, files, cgroup="0::/docker/1f0c/web.service\n"))
    assert host.memory == GIB


def test_a_cgroup_called_unified_is_no_hierarchy_of_version_2_alone(tmp_path: Path) -> None:
    host = read(v2(tmp_path, {"unified/memory.max": "4096"}))
    assert host.memory == 16 * GIB


V1 = "12:pids:/app\n5:memory:/app\n4:cpu,cpuacct:/app\n3:cpuset:/app\n1:name=systemd:/app\n"


def test_version_1_limits_are_read_from_each_hierarchy(tmp_path: Path) -> None:
    files = {
        "cpu,cpuacct/app/cpu.cfs_quota_us": "150000\n",
        "cpu,cpuacct/app/cpu.cfs_period_us": "100000\n",
        "cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "memory/app/memory.limit_in_bytes": f"{GIB}\n",
        "memory/memory.limit_in_bytes": f"{UNLIMITED_V1}\n",
    }
    host = read(machine(tmp_path, files, cgroup=V1))
    assert host[:4] == (2, "1.5 CPUs by cgroup quota", GIB, "1 GiB by cgroup limit")


def test_version_1_hierarchies_may_be_mounted_under_one_name(tmp_path: Path) -> None:
    files = {"cpu/app/cpu.cfs_quota_us": "100000", "cpu/app/cpu.cfs_period_us": "50000"}
    assert read(machine(tmp_path, files, cgroup=V1)).cpus == 2


@pytest.mark.parametrize("unlimited", [UNLIMITED_V1, "9223372036854775807", "18446744073709551615", "-1"])
def test_version_1_numbers_that_mean_no_limit(tmp_path: Path, unlimited: str) -> None:
    files = {
        "memory/app/memory.limit_in_bytes": unlimited,
        "cpu,cpuacct/app/cpu.cfs_quota_us": "-1",
        "cpu,cpuacct/app/cpu.cfs_period_us": "100000",
    }
    host = read(machine(tmp_path, files, cgroup=V1, ram=None))
    assert host[:4] == (8, "8 CPUs", None, "memory unknown")


def test_a_version_1_container_sees_its_own_group_at_the_mount(tmp_path: Path) -> None:
    files = {
        "cpu,cpuacct/cpu.cfs_quota_us": "200000",
        "cpu,cpuacct/cpu.cfs_period_us": "100000",
        "memory/memory.limit_in_bytes": str(256 * 2**20),
    }
    host = read(machine(tmp_path, files, cgroup="5:memory:/docker/1f0c\n4:cpu,cpuacct:/docker/1f0c\n"))
    assert host[:4] == (2, "2 CPUs by cgroup quota", 256 * 2**20, "256 MiB by cgroup limit")


def test_both_versions_at_once(tmp_path: Path) -> None:
    files = {
        "memory/app/memory.limit_in_bytes": str(GIB),
        "unified/app/cpu.max": "100000 100000",
        "unified/cgroup.controllers": "cpu",
    }
    host = read(machine(tmp_path, files, cgroup="5:memory:/app\n1:name=systemd:/app\n0::/app\n"))
    assert (host.cpus, host.memory) == (1, GIB)


def test_limits_at_the_mount_count_where_proc_is_hidden(tmp_path: Path) -> None:
    host = read(v2(tmp_path, {"memory.max": str(GIB), "cpu.max": "100000 100000"}, cgroup=None))
    assert (host.cpus, host.memory) == (1, GIB)


@pytest.mark.parametrize("text", ["", "\n", ":", "0:", "::", "0::relative", "nonsense", "5:memory", "\x00\udcff"])
def test_an_odd_proc_file_is_no_error(tmp_path: Path, text: str) -> None:
    root = v2(tmp_path, {"memory.max": "\x00", "cpu.max": "1e3 2"})
    (root / "proc/self/cgroup").write_bytes(os.fsencode(text))
    assert read(root)[:3] == (8, "8 CPUs", 16 * GIB)


def test_directories_in_the_place_of_files_are_no_error(tmp_path: Path) -> None:
    for name in ("proc/self/cgroup", "proc/meminfo", "sys/fs/cgroup/memory.max", "sys/fs/cgroup/cpu.max"):
        (tmp_path / name).mkdir(parents=True)
    assert read(tmp_path)[:4] == (8, "8 CPUs", None, "memory unknown")


def test_this_machine_is_read() -> None:
    host = Host.read()
    assert 1 <= host.cpus <= len(os.sched_getaffinity(0)) <= (os.cpu_count() or 1)
    assert host.memory is not None
    assert host.memory > 2**20
    assert host.uid == os.getuid()


def test_affinity_of_this_process_is_seen() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    code += "from launcher.host import Host; print(Host.read().cpus)"
    assert run(code) == "1"


def run(code: str, group: Path | None = None) -> str:
    """Run Python in a process of its own, in a cgroup if one is given."""
    enter = f"import os; open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n" if group else ""
    done = subprocess.run([sys.executable, "-c", enter + code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def half_a_cpu() -> Iterator[Path]:
    """A real cgroup with a quota of half a CPU, of whichever version the machine has."""
    name = f"launcher-test-{uuid.uuid4().hex[:8]}"
    one, two = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
    if (one / "cpu.cfs_quota_us").exists() or (one / "cgroup.procs").exists():
        group, quota = one / name, {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000"}
    elif (two / "cgroup.controllers").exists():
        group, quota = two / name, {"cpu.max": "50000 100000"}
    else:
        pytest.skip("no cgroup hierarchy is mounted for the CPU controller")
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"a cgroup cannot be made here: {error}")
    try:
        try:
            for file, text in quota.items():
                if not (group / file).exists():
                    pytest.skip(f"the kernel or the parent cgroup offers no {file}")
                (group / file).write_text(text)
        except OSError as error:
            pytest.skip(f"a quota cannot be set here: {error}")
        yield group
    finally:
        group.rmdir()


def test_a_real_quota_is_seen_by_the_process_under_it(half_a_cpu: Path) -> None:
    said = run("from launcher.host import Host; print(Host.read().cpus, Host.read().cpus_why)", half_a_cpu)
    assert said == "1 0.5 CPUs by cgroup quota"


def test_a_real_quota_of_the_group_around_counts(half_a_cpu: Path) -> None:
    inner = half_a_cpu / "inner"
    try:
        inner.mkdir()
    except OSError as error:
        pytest.skip(f"a cgroup cannot be made here: {error}")
    try:
        said = run("from launcher.host import Host; print(Host.read().cpus_why)", inner)
    finally:
        inner.rmdir()
    assert said == "0.5 CPUs by cgroup quota"
