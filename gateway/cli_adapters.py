"""``tillgate adapter``: a new till from recorded messages, by configuration (docs/new-till.md)."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from gateway.cli_options import config_option
from processing.errors import ConfigError

NAME = r"[a-z][a-z0-9_]{0,31}"
_file = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))


@click.group("adapter")
def adapter_group() -> None:
    """Adapters described by YAML documents."""


@adapter_group.command("check")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def check_command(files: tuple[Path, ...]) -> None:
    """Whether documents can be adapters; every mistake with its line. Exit status 1 if there are any."""
    from gateway.adapter_files import declared, number_of_rules

    bad = 0
    for file in files:
        try:
            found = declared(file)
            click.echo(f"{file.name}: good: {found.adapter.title}, {number_of_rules(found)} rules")
        except ConfigError as error:
            bad += 1
            click.echo(str(error))
    sys.exit(1 if bad else 0)


@adapter_group.command("new")
@click.argument("name")
@click.option("--python", "is_python", is_flag=True, help="A package with an entry point instead of a document.")
@click.option("--into", default=".", type=click.Path(file_okay=False, path_type=Path), help="The folder to write into.")
def new_command(name: str, is_python: bool, into: Path) -> None:
    """A skeleton with samples that keeps the adapter contract from the beginning."""
    import re

    from gateway.skeletons import write_python, write_yaml

    if not re.fullmatch(NAME, name):
        raise click.ClickException(f"{name!r}: a name has small letters, digits and _, and begins with a letter")
    into.mkdir(parents=True, exist_ok=True)
    try:
        files = write_python(into, name) if is_python else write_yaml(into, name)
    except FileExistsError as error:
        raise click.ClickException(f"{error.filename} is there already") from None
    if not is_python:
        files += [into / name / each for each in _record(into / f"{name}.yaml")]
    for file in files:
        click.echo(str(file))


@adapter_group.command("try")
@_file
@click.argument("message", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--path", required=True, help="The address behind /pos/<link>/.")
@click.option("--method", default="POST", show_default=True)
@click.option("--query", default="", help="What stands behind the question mark.")
@click.option("--header", "headers", multiple=True, help="NAME=VALUE; more than one may be given.")
@click.option("--option", "options", multiple=True, help="NAME=VALUE of the link; more than one may be given.")
def try_command(
    file: Path, message: Path, path: str, method: str, query: str, headers: tuple[str, ...], options: tuple[str, ...]
) -> None:
    """One message, step by step, before scratch books: card 5550001234 of +79210000001 has 450.50 points."""
    from adapters.contract import WireRequest
    from gateway import workshop
    from gateway.adapter_files import declared

    found = declared(file)
    told = {name.lower(): value for name, value in _pairs(headers).items()}
    request = WireRequest(method.upper(), path, query, told, message.read_bytes(), "trial", datetime.now(UTC))
    with workshop.scratch_books() as core:
        link = workshop.trial_link(found.adapter, _pairs(options))
        for line in workshop.story(workshop.try_message(found.adapter, found, request, link, core)):
            click.echo(line)


@adapter_group.command("test")
@_file
@click.option("--update", is_flag=True, help="Write what comes of them now; read the difference first.")
def test_command(file: Path, update: bool) -> None:
    """The samples in the folder beside the document: messages, files, talks. Exit status 1 if any differs."""
    from gateway.adapter_files import declared
    from gateway.adapter_samples import differences

    if update:
        for name in _record(file):
            click.echo(f"written: {name}")
    wrong = 0
    for case, lines in differences(declared(file).adapter, _samples(file)):
        click.echo(f"{case}: {'differs' if lines else 'as recorded'}")
        for line in lines:
            click.echo(f"    {line}")
        wrong += bool(lines)
    sys.exit(1 if wrong else 0)


@adapter_group.command("docs")
@_file
def docs_command(file: Path) -> None:
    """A page about the adapter in Markdown."""
    from gateway.adapter_files import declared
    from gateway.adapter_page import page

    for line in page(declared(file)):
        click.echo(line)


@adapter_group.command("schema")
def schema_command() -> None:
    """The JSON Schema of documents, for editors; values inside rules are told by check."""
    import json

    from adapters.declarative.outline import DocumentSchema
    from gateway.json_schema import json_schema

    told = json_schema(DocumentSchema, "An adapter of tillgate in YAML")
    click.echo(json.dumps(told, ensure_ascii=False, indent=2))


@adapter_group.command("list")
@config_option
def list_command(config: str) -> None:
    """Every adapter that a link may name: built in, of installed packages, and documents of the configuration."""
    from gateway.adapter_files import of_folder, plugged_in
    from gateway.problems import Problems

    problems = Problems(Path(config))
    known = plugged_in()
    own = [each.adapter for each in of_folder(Path(config), known, problems)]
    for adapter in sorted([*known.values(), *own], key=lambda adapter: adapter.name):
        click.echo(f"{adapter.name}: {adapter.title}")
    if problems.lines:
        raise ConfigError("\n".join(problems.lines))


@adapter_group.command("record")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8099, show_default=True, type=click.IntRange(0, 65535))
@click.option("--answer", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file to answer with.")
@click.option("--content-type", default="application/json; charset=utf-8", show_default=True)
@click.option("--status", default=200, show_default=True, type=click.IntRange(200, 599))
def record_command(folder: Path, host: str, port: int, answer: Path | None, content_type: str, status: int) -> None:
    """Keep whatever a till sends as samples in FOLDER, and answer all of it alike, until interrupted."""
    from gateway.recorder import Recording, serve

    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "cases.json").exists():
        raise click.ClickException(f"{folder} has a recording already")
    recording = Recording(folder, click.echo, answer.read_bytes() if answer else b"{}", content_type, status)
    with serve(recording, host, port) as server:
        click.echo(f"recording at http://{host}:{server.server_port}/ into {folder}; end with Ctrl-C", err=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo("ended", err=True)


def _samples(file: Path) -> Path:
    """Where a document's samples are. Errors: ClickException."""
    from adapters.testing.recording import KINDS

    folder = file.with_suffix("")
    if not any((folder / index).exists() for index in KINDS):
        raise click.ClickException(f"no samples: expected {folder}/ with {' or '.join(KINDS)}")
    return folder


def _record(file: Path) -> list[str]:
    from adapters.testing.recording import record_all
    from gateway.adapter_files import declared

    return list(record_all(_samples(file), declared(file).adapter))


def _pairs(told: tuple[str, ...]) -> dict[str, str]:
    """Errors: ClickException."""
    for each in told:
        if "=" not in each:
            raise click.ClickException(f"{each!r}: expected NAME=VALUE")
    return {name: value for name, _, value in (each.partition("=") for each in told)}
