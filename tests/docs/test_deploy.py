"""What configs/deploy says about the program is true of the program: commands, waits, bounds, files.

Whether systemd, nginx and a container engine take the files was tried by hand (docs/operations.md, "Deploy").
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from adapters.contract import DEFAULT_MAX_BODY
from gateway import server, worker
from gateway.cli import main
from gateway.master_keys import CREDENTIAL
from gateway.settings import GatewaySettings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "configs" / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
NGINX = (DEPLOY / "nginx" / "tillgate.conf").read_text("utf-8")
PROXY = (DEPLOY / "nginx" / "tillgate-proxy.conf").read_text("utf-8")
CONTAINERFILE = (DEPLOY / "Containerfile").read_text("utf-8")

# How long granian's web workers keep a connection on which nothing is said (measured).
SILENT_SECONDS = 30


def settings(text: str, name: str) -> list[str]:
    """Every value that a unit gives the setting."""
    return re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)


def commands(text: str) -> Iterator[list[str]]:
    """The arguments of every call of the program in a unit."""
    for line in re.findall(r"^Exec\w+=(.*)$", text, re.MULTILINE):
        words = shlex.split(line.replace("$(", "").replace(")", ""))
        words = shlex.split(words[2]) if words[0] == "/bin/sh" else words
        for place, word in enumerate(words):
            if word == "/opt/tillgate/venv/bin/tillgate":
                yield words[place + 1 :]


def check_command(arguments: list[str]) -> None:
    """The command exists, and takes these options."""
    command: click.Command = main
    while isinstance(command, click.Group):
        command = command.commands[arguments.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert [word for word in arguments if word.startswith("--") and word not in known] == []


def test_the_files_were_found() -> None:
    assert [unit.name for unit in UNITS] == ["tillgate-backup.service", "tillgate-work.service", "tillgate.service"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_call_the_program_as_it_is(unit: Path) -> None:
    called = list(commands(unit.read_text("utf-8")))
    assert called
    for arguments in called:
        check_command(arguments)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_let_the_program_do_nothing_else(unit: Path) -> None:
    text = unit.read_text("utf-8")
    assert settings(text, "User") == ["tillgate"]
    assert settings(text, "ProtectSystem") == ["strict"]
    assert settings(text, "NoNewPrivileges") == ["yes"]
    assert settings(text, "CapabilityBoundingSet") == [""]


def test_the_server_is_given_time_to_end_and_told_once() -> None:
    text = (DEPLOY / "systemd" / "tillgate.service").read_text("utf-8")
    assert settings(text, "KillMode") == ["mixed"]
    # Web workers, then the worker, then the committer.
    assert int(settings(text, "TimeoutStopSec")[0]) > 3 * server.STOP_SECONDS
    alone = (DEPLOY / "systemd" / "tillgate-work.service").read_text("utf-8")
    assert int(settings(alone, "TimeoutStopSec")[0]) > worker.STOP_SECONDS


def test_keys_come_as_the_credential_that_the_program_looks_for_and_never_to_the_backup() -> None:
    for unit in UNITS:
        text = unit.read_text("utf-8")
        expected = [] if "backup" in unit.name else [f"{CREDENTIAL}:/etc/tillgate/keys"]
        assert settings(text, "LoadCredential") == expected
        assert "TILLGATE_MASTER_KEY" not in text


def seconds(text: str, name: str) -> int:
    (found,) = re.findall(rf"^\s*{name}\s+(\d+)s;", text, re.MULTILINE)
    return int(found)


def test_nginx_waits_longer_than_the_program_and_keeps_connections_shorter() -> None:
    assert seconds(PROXY, "proxy_read_timeout") > GatewaySettings().answer_seconds
    upstream = NGINX.partition("upstream tillgate {")[2].partition("}")[0]
    assert seconds(upstream, "keepalive_timeout") < SILENT_SECONDS


def test_nginx_lets_through_what_a_route_takes_and_no_inner_page() -> None:
    (megabytes,) = re.findall(r"client_max_body_size\s+(\d+)m;", NGINX)
    assert int(megabytes) << 20 > DEFAULT_MAX_BODY
    assert set(re.findall(r"^\s*location (\S+)", NGINX, re.MULTILINE)) == {"/", "/pos/", "/api/", "/console/"}
    assert "return 404;" in NGINX


def test_nginx_logs_no_secret() -> None:
    (expression,) = re.findall(r'^\s*"~(\^/[^"]*)" "/pos/\$tillgate_link/\.\.\.";', NGINX, re.MULTILINE)
    match = re.match(expression.replace("(?<", "(?P<"), "/pos/bistro/5f0c2a9be17d4c38/transactionsex")
    assert match is not None and match["tillgate_link"] == "bistro"
    (form,) = re.findall(r"log_format tillgate '(.*)';", NGINX)
    assert not re.search(r"\$(request|request_uri|uri|args|query_string)\b", form)


def test_image_copies_what_there_is_and_runs_as_nobody_special() -> None:
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", CONTAINERFILE, re.MULTILINE)
    names = [name for line in copied for name in line.split()]
    assert {"gateway", "adapters", "processing", "pyproject.toml"} <= set(names)
    assert [name for name in names if not (ROOT / name).exists()] == []
    assert re.findall(r"^USER (.*)$", CONTAINERFILE, re.MULTILINE) == ["10001"]
    assert "/health/ready" in CONTAINERFILE
    (command,) = re.findall(r'^CMD \["(.*)"\]$', CONTAINERFILE, re.MULTILINE)
    check_command(command.split('", "'))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_is_told(path: Path) -> None:
    assert f"`{path.relative_to(DEPLOY).as_posix()}`" in (ROOT / "docs" / "operations.md").read_text("utf-8")
