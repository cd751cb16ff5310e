"""Servers as child processes, and what they cost: memory and CPU read from /proc."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import load

TICK = os.sysconf("SC_CLK_TCK")
READY_SECONDS = 60.0
STOP_SECONDS = 20.0

# Fields of /proc/<pid>/stat, counted from the state that follows the command's closing bracket.
PARENT, GROUP, USER, SYSTEM, CHILDREN_USER, CHILDREN_SYSTEM = 1, 2, 11, 12, 13, 14


class ServerFailed(RuntimeError):
    """The server did not come up, or went down; the message ends with its last output."""


@contextmanager
def serving(
    command: Sequence[str | Path],
    address: tuple[str, int],
    ready: str,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[int]:
    """Run a server in a process group of its own until GET ``ready`` answers 200; the group's id.

    Its output goes to ``log``. At the end the group is asked to stop, then killed.
    """
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
            env={**os.environ, **(environment or {})},
        )
    try:
        if not _came_up(child, address, ready):
            raise ServerFailed(f"{command[0]} is not ready on {address}\n{_tail(log)}")
        try:
            yield child.pid
        except Exception as error:
            error.add_note(f"{command[0]} said:\n{_tail(log)}")
            raise
        if child.poll() is not None:
            raise ServerFailed(f"{command[0]} ended with {child.returncode}\n{_tail(log)}")
    finally:
        _stop(child)


def _came_up(child: subprocess.Popen[bytes], address: tuple[str, int], ready: str) -> bool:
    limit = time.monotonic() + READY_SECONDS
    while child.poll() is None and time.monotonic() < limit:
        if load.wait_for(address, ready, 0.5):
            return True
    return False


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Ask the main process, which asks its workers; whoever of the group is left afterwards is killed."""
    child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-4000:]


def group(leader: int) -> list[int]:
    """The processes of a group, zombies left out."""
    return [pid for pid, stat in _all() if int(stat[GROUP]) == leader and stat[0] != "Z"]


def family(root: int) -> list[int]:
    """A process and its direct children: the postmaster and its backends, which leave its group."""
    return [pid for pid, stat in _all() if root in (pid, int(stat[PARENT])) and stat[0] != "Z"]


def cpu_seconds(pids: Iterable[int], leader: int) -> float:
    """CPU time of these processes so far, and of children that the leader has already buried."""
    ticks = 0
    for pid in pids:
        stat = _stat(pid)
        if stat:
            ticks += int(stat[USER]) + int(stat[SYSTEM])
            if pid == leader:
                ticks += int(stat[CHILDREN_USER]) + int(stat[CHILDREN_SYSTEM])
    return ticks / TICK


def rss_mb(pids: Iterable[int]) -> dict[str, float]:
    """Resident megabytes per process (``"<pid> <command>"``), with their ``max`` and ``sum``.

    Shared pages count in every process, so that the sum says more than the machine loses.
    """
    found = {f"{pid} {_command(pid)}": _rss(pid) for pid in pids}
    found = {name: size for name, size in found.items() if size}
    return {**found, "max": max(found.values(), default=0.0), "sum": round(sum(found.values()), 1)}


def _rss(pid: int) -> float:
    for line in _read(pid, "status").splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


def _command(pid: int) -> str:
    words = _read(pid, "cmdline").split("\0")
    return " ".join(Path(word).name if "/" in word else word for word in words[:3]).strip()[:60]


def _all() -> Iterator[tuple[int, list[str]]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            stat = _stat(int(entry.name))
            if stat:
                yield int(entry.name), stat


def _stat(pid: int) -> list[str]:
    """The fields after the command; empty when the process is gone."""
    return _read(pid, "stat").rpartition(")")[2].split()


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
