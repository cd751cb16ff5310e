"""The demo's server: ``tillgate serve``'s machinery in a child process, gone when the demo is gone."""

from __future__ import annotations

import http
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click

START_SECONDS = 30.0
STOP_SECONDS = 20.0
LOOK_SECONDS = 0.05
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # where a client of this machine finds them
LOG_TAIL = 4_000
STDERR = 2


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, as seen by a client on this machine."""

    process: subprocess.Popen[bytes]
    host: str
    port: int

    @property
    def base_url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=START_SECONDS)


@contextmanager
def serving(
    host: str, port: int | None, threads: int, environ: Mapping[str, str], home: Path, log: Path | None
) -> Iterator[Server]:
    """Serve what the environment names until the end of the block; ready at its beginning.

    ``log`` takes the server's output, stderr without it. ``home`` is removed by the server if this process
    ends without doing so. Errors: ClickException when it does not come up.
    """
    port = _free_port(host, port)
    command = [sys.executable, "-P", "-m", "gateway.demo.serve"]
    arguments = [host, str(port), str(threads), str(os.getpid()), str(home)]
    output: int = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if log else STDERR
    try:
        process = subprocess.Popen(  # noqa: S603  # our own module
            [*command, *arguments],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,  # Ctrl-C is for the demo, which then ends its server in order
        )
    finally:
        if log:
            os.close(output)
    server = Server(process, ANYWHERE.get(host, host), port)
    try:
        _wait_until_ready(server, log)
        yield server
    finally:
        _stop(process)


def _free_port(host: str, port: int | None) -> int:
    """The port, or any free one. Errors: ClickException: another server there would answer in our place."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port or 0))
            return int(probe.getsockname()[1])
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}, port {port or 'any'}: {error.strerror}") from None


def _wait_until_ready(server: Server, log: Path | None) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        if _is_ready(server):
            return
        time.sleep(LOOK_SECONDS)
    said = f":\n{log.read_text(errors='replace')[-LOG_TAIL:]}" if log else "; its log says why"
    raise click.ClickException(f"the server does not come up{said}")


def _is_ready(server: Server) -> bool:
    connection = server.connection()
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the server, which asks its workers; whoever of its group is left afterwards is killed."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
