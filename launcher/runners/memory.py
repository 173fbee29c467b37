"""How much memory a worker has, for one that is to be replaced when it has too much."""

import os


class Memory:
    """This process's. The file stays open: when it is read, the process may have no descriptor left."""

    def __init__(self) -> None:
        """Raises OSError where there is no /proc."""
        self._descriptor = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def resident(self) -> int:
        """Return how many bytes are resident. Source: proc_pid_statm(5)."""
        return int(os.pread(self._descriptor, 128, 0).split()[1]) * os.sysconf("SC_PAGE_SIZE")
