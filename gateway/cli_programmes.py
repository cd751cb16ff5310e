"""``tillgate programme``: check files, show and compare versions, activate one, and a schema for editors."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from gateway.cli_options import config_option, database_option, existing
from gateway.cli_simulate import simulate_command
from gateway.problems import Problems, did_you_mean
from gateway.programme_difference import differences
from gateway.programme_text import Form, Scales, form, text
from gateway.programme_warnings import Translated, translated, warnings
from gateway.programme_words import LANGUAGES, summary
from gateway.settings import load_chain, read_programme
from processing import audit, directory
from processing.chain import Chain
from processing.database import Database
from processing.directory import Version
from processing.errors import ConfigError
from processing.programme.document import ProgrammeDocument
from processing.units import Unit

ACTOR = "cli"
MAX_NOTE = 200
# A version as people name it: its programme, and its number in the database.
_VERSION = re.compile(r"([a-z0-9][a-z0-9_-]{0,63})(?:@([0-9]{1,18}))?")

_zone = click.option(
    "--zone", default="", help="Whose days and hours, such as Europe/Moscow; default: the first store's."
)


@click.group()
def programme() -> None:
    """Programmes: their files, and their versions in the database."""


# Files --------------------------------------------------------------------------------------------------------


@programme.command("check")
@click.argument("file", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]...")
@config_option
def check_command(file: tuple[Path, ...], config: str) -> None:
    """Check files of programmes, or all of the directory; exit 2 with what is wrong. Needs no secrets."""
    chain, names = load_chain(config), translated(Path(config))
    files = file or tuple(sorted((Path(config) / "programmes").glob("*.yaml")))
    if not files:
        raise ConfigError(f"{config}: there is no file in programmes/")
    failed = False
    for path in files:
        try:
            said = _read(path, Path(config), chain)
        except ConfigError as error:
            failed = True
            click.echo(str(error), err=True)
        else:
            _warn(path, said, chain, names)
            click.echo(f"{path}: {_counted(said)}: in order")
    sys.exit(2 if failed else 0)


def _read(path: Path, config: Path, chain: Chain) -> ProgrammeDocument:
    """The programme of a file; one of the directory is named after its code. Errors: ConfigError."""
    own = path.resolve().parent == (config / "programmes").resolve()
    return read_programme(path, chain, path.stem if own else None)


def _warn(path: Path, said: ProgrammeDocument, chain: Chain, names: Translated) -> None:
    """What is allowed, and yet hardly meant."""
    told = Problems(Path())
    for steps, words in warnings(said, chain, names, datetime.now(UTC).date()):
        told.say(str(path), steps, f"warning: {words}")
    for line in told.lines:
        click.echo(line)


def _counted(said: ProgrammeDocument) -> str:
    discounts, points = len(said.discounts.rules), len(said.points.rules)
    return f"programme {said.code}, {discounts} discount rules, {points} points rules"


@programme.command("schema")
def schema_command() -> None:
    """The JSON Schema of programme files, for editors."""
    from gateway.json_schema import json_schema
    from gateway.programme_schemas import ProgrammeSchema

    click.echo(json.dumps(json_schema(ProgrammeSchema, "A programme of tillgate"), ensure_ascii=False, indent=2))


# Versions -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Books:
    """What the database says of programmes, and when it was asked."""

    now: datetime
    units: Sequence[Unit]
    zone: ZoneInfo
    versions: Sequence[Version]

    def of(self, code: str) -> list[Version]:
        """The versions of a programme, in the order of their starts. Errors: ConfigError."""
        found = [version for version in self.versions if version.code == code]
        if not found:
            known = sorted({version.code for version in self.versions})
            listed = ", ".join(known) or "none"
            raise ConfigError(f"no programme {code!r} in the database{did_you_mean(code, known)}; there are: {listed}")
        return found

    def active(self, code: str, at: datetime) -> Version:
        """The version that is active then. Errors: ConfigError."""
        versions = self.of(code)
        started = [version for version in versions if version.starts_at <= at]
        if not started:
            raise ConfigError(f"{code} is not active then; {self.told(versions[0])}")
        return started[-1]

    def is_active(self, version: Version) -> bool:
        started = [each for each in self.of(version.code) if each.starts_at <= self.now]
        return bool(started) and started[-1].id == version.id

    def numbered(self, code: str, number: int) -> Version:
        """Errors: ConfigError."""
        versions = self.of(code)
        for version in versions:
            if version.id == number:
                return version
        raise ConfigError(f"no version {number} of {code}; there are: {', '.join(str(each.id) for each in versions)}")

    def scales(self, said: ProgrammeDocument) -> Scales:
        return Scales.among(self.units, said.unit)

    def form(self, said: ProgrammeDocument) -> Form:
        return form(said, self.scales(said))

    def at(self, instant: datetime) -> str:
        return instant.astimezone(self.zone).isoformat(" ", "seconds")

    def told(self, version: Version) -> str:
        """A version in a line: since when, or from when."""
        verb = "starts" if version.starts_at > self.now else "started"
        return f"{version.code}@{version.id} {verb} {self.at(version.starts_at)}"


def _books(database: Database, zone: str) -> _Books:
    with database.reading() as connection:
        now = database.now(connection)
        known = directory.load(connection, now)
        zones = [store.zone for store in known.stores.values()]
        versions = directory.versions_of(connection)
    return _Books(now, list(known.units.values()), _zone_of(zone, zones), versions)


def _zone_of(name: str, zones: Sequence[ZoneInfo]) -> ZoneInfo:
    if not name:
        return next(iter(zones), ZoneInfo("UTC"))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise click.BadParameter("an IANA time zone such as Europe/Moscow", param_hint="--zone") from None


def _instant(text: str, zone: ZoneInfo, hint: str) -> datetime:
    """The instant that is told; a day is its beginning, and what names no offset is in the zone."""
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter("a day or an instant such as 2026-12-01T00:00+03:00", param_hint=hint) from None


@programme.command("show")
@click.argument("code")
@click.option("--version", type=click.IntRange(1), help="This version; default: the active one.")
@click.option("--at", help="What is, was or will be active then: a day or an instant.")
@click.option("--lang", type=click.Choice(LANGUAGES), help="Also a sentence for each rule, in this language.")
@_zone
@database_option
def show_command(
    code: str, version: int | None, at: str | None, lang: str | None, zone: str, database_url: str
) -> None:
    """A version as a file: its number, start and author as comments, then what it says."""
    database = existing(database_url)
    books = _books(database, zone)
    if version is not None and at is not None:
        raise click.UsageError("either --version or --at")
    when = _instant(at, books.zone, "--at") if at else books.now
    found = books.active(code, when) if version is None else books.numbered(code, version)
    for line in _header(database, books, found):
        click.echo(f"# {line}")
    for line in summary(found.document, books.scales(found.document), lang) if lang else ():
        click.echo(f"# - {line}")
    click.echo(f"\n{text(found.document, books.scales(found.document))}", nl=False)


def _header(database: Database, books: _Books, version: Version) -> Iterator[str]:
    versions = books.of(version.code)
    later = versions[versions.index(version) + 1 :]
    end = f"until {books.at(later[0].starts_at)}" if later else "no later version"
    yield f"{books.told(version)}, {'active' if books.is_active(version) else 'not active'}, {end}"
    yield f"digest {version.digest}"
    yield f"by {_author(database, version)}"
    yield f"versions: {', '.join(str(each.id) for each in versions)}"


def _author(database: Database, version: Version) -> str:
    """Who wrote the version, and the note; what no person activated came from the files at a start."""
    with database.reading() as connection:
        for change in audit.changes(connection, "programme_activated", version.code):
            if change.details.get("version") == version.id:
                note = " ".join(str(change.details.get("note", "")).split())
                return f"{change.actor}: {note}" if note else change.actor
    return "the configuration, at a start"


# Comparison ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Side:
    """One side of a comparison."""

    name: str
    document: ProgrammeDocument


@programme.command("diff")
@click.argument("old", metavar="CODE[@VERSION]|FILE")
@click.argument("new", required=False, metavar="[CODE[@VERSION]|FILE]")
@_zone
@config_option
@database_option
def diff_command(old: str, new: str | None, zone: str, config: str, database_url: str) -> None:
    """What differs, a line each; exit 1 if anything does.

    With one argument: between the active version and the file, which for a code is the directory's own.
    """
    books = _books(existing(database_url), zone)
    if new is None:
        old, new = _completed(old, Path(config))
    before, after = _side(old, books, Path(config)), _side(new, books, Path(config))
    told = list(differences(books.form(before.document), books.form(after.document)))
    if told:
        click.echo(f"--- {before.name}\n+++ {after.name}")
    for each in told:
        click.echo(str(each))
    if not told:
        click.echo(f"{before.name} and {after.name} say the same")
    sys.exit(1 if told else 0)


def _completed(told: str, config: Path) -> tuple[str, str]:
    """Both sides where one is told: what is active, and the file."""
    if _is_file(told):
        return read_programme(Path(told), load_chain(config)).code, told
    code = told.partition("@")[0]
    return told, str(config / "programmes" / f"{code}.yaml")


def _is_file(told: str) -> bool:
    return told.endswith(".yaml") or "/" in told


def _side(told: str, books: _Books, config: Path) -> _Side:
    """Errors: ConfigError."""
    if _is_file(told):
        return _Side(told, read_programme(Path(told), load_chain(config)))
    found = _VERSION.fullmatch(told)
    if found is None:
        raise ConfigError(f"{told}: expected a code, code@version or a file whose name ends in .yaml")
    code, number = found.groups()
    version = books.numbered(code, int(number)) if number else books.active(code, books.now)
    return _Side(books.told(version), version.document)


# Activation ---------------------------------------------------------------------------------------------------


@programme.command("activate")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--from", "start", help="The day or instant of its start; default: now.")
@click.option("--note", default="", help=f"Why, for the audit log; up to {MAX_NOTE} characters.")
@_zone
@config_option
@database_option
def activate_command(file: Path, start: str | None, note: str, zone: str, config: str, database_url: str) -> None:
    """Write a version of what the file says, and print its number. Running servers take it up by themselves."""
    if len(note) > MAX_NOTE:
        raise click.BadParameter(f"up to {MAX_NOTE} characters", param_hint="--note")
    chain = load_chain(config)
    said = _read(file, Path(config), chain)
    _warn(file, said, chain, translated(Path(config)))
    database = existing(database_url)
    books = _books(database, zone)
    starts_at = _instant(start, books.zone, "--from") if start else None
    number = directory.activate(database, said, starts_at, ACTOR, note)
    books = _books(database, zone)
    if number is None:
        same = books.active(said.code, starts_at or books.now)
        click.echo(f"{said.code}@{same.id} says the same already: nothing was written")
    else:
        click.echo(books.told(books.numbered(said.code, number)))
    for line in _notes(said, file, Path(config), chain, books, starts_at or books.now):
        click.echo(f"note: {line}", err=True)


def _notes(
    said: ProgrammeDocument, file: Path, config: Path, chain: Chain, books: _Books, starts_at: datetime
) -> Iterator[str]:
    """What will end this version, although nobody may have meant it."""
    for version in books.of(said.code):
        if version.starts_at > starts_at and version.document != said:
            yield f"{books.told(version)}, and replaces it then"
    own = config / "programmes" / f"{said.code}.yaml"
    if file.resolve() == own.resolve():
        return
    if not own.exists():
        yield f"{own} does not exist; keep the file there"
        return
    try:
        same = read_programme(own, chain, said.code) == said
    except ConfigError:
        yield f"{own} is not in order, and no server starts with it"
        return
    if not same:
        yield f"{own} says something else: the next start of a server activates that again. Put the file there"


programme.add_command(simulate_command)
