"""The command line's reports: ``tillgate report settlement`` and ``liability``, ``tillgate reconcile``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import click
import msgspec

from gateway import environment, reports, settings
from gateway import reconciliation as reconciling
from gateway.cli_options import config_option, database_option, end_instant, existing, since_instant
from processing.database import Database
from processing.directory import Directory
from processing.errors import ConfigError, LoyaltyError
from processing.liability import LIABILITY_COLUMNS, liability
from processing.periods import Period, period_of
from processing.reconciliation import (
    MAX_WAIT_HOURS,
    MAX_WINDOW_MINUTES,
    WAIT_HOURS,
    WINDOW_MINUTES,
    reconciliation,
)
from processing.settlement import settlement

DAY = click.DateTime(formats=["%Y-%m-%d"])


def _asked(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a report."""
    for option in reversed(
        (
            click.option("--from", "first", type=DAY, required=True, help="First day, such as 2026-05-01."),
            click.option("--to", "until", type=DAY, required=True, help="The day after the last one."),
            click.option("--unit", default="", help="Only this unit; default: all."),
            click.option("--zone", default="", help="Whose days, such as Europe/Moscow; default: the first store's."),
            click.option("--json", "form", flag_value="json", help="As REST tells it."),
            click.option("--csv", "form", flag_value="csv", help="A row for each line of the report."),
            click.option("--config", envvar=environment.CONFIG, default="configs", show_default=True),
            click.option(
                "--database-url", envvar=environment.DATABASE_URL, default="sqlite:///tillgate.db", show_default=True
            ),
        )
    ):
        command = option(command)
    return command


@click.group("report")
def report_group() -> None:
    """Reports of account: what partners owe each other, and what they owe to holders."""


@report_group.command("settlement")
@_asked
def settlement_command(form: str | None, **asked: Any) -> None:
    """What partners owe each other: who issued what was spent where."""

    def told(database: Database, directory: Directory, period: Period, unit: str) -> reports.Told:
        return reports.settlement_told(directory, settlement(database, directory, period, unit), _scale(directory))

    _show(form, reports.SETTLEMENT_COLUMNS, told, **asked)


@report_group.command("liability")
@_asked
def liability_command(form: str | None, **asked: Any) -> None:
    """What partners owe to holders: opening, what came and went, closing."""

    def told(database: Database, directory: Directory, period: Period, unit: str) -> reports.Told:
        return reports.liability_told(directory, liability(database, directory, period, unit), _scale(directory))

    _show(form, LIABILITY_COLUMNS, told, **asked)


def _show(
    form: str | None,
    columns: tuple[str, ...],
    told: Callable[[Database, Directory, Period, str], reports.Told],
    first: datetime,
    until: datetime,
    unit: str,
    zone: str,
    config: str,
    database_url: str,
) -> None:
    from gateway import app

    own = app.parts(settings.load(config, os.environ, needs_secrets=False), existing(database_url), os.environ)
    directory = own.core.work.directory
    try:
        period = period_of(directory, _day(first), _day(until), zone)
        report = told(own.database, directory, period, unit)
    except LoyaltyError as error:
        raise click.UsageError(": ".join((*map(str, error.details.values()), error.message))) from None
    if form == "json":
        click.echo(msgspec.json.encode(report).decode())
    elif form == "csv":
        click.echo(reports.as_csv(report, columns), nl=False)
    else:
        for line in reports.as_text(report, columns):
            click.echo(line)


def _scale(directory: Directory) -> int:
    from gateway.api.amounts import money_scale

    return money_scale(directory)


def _day(at: datetime) -> date:
    return at.date()


@click.command("reconcile")
@click.argument("link")
@config_option
@database_option
@click.option("--since", default="48h", show_default=True, help="30m, 24h, 7d, or an instant in ISO 8601.")
@click.option("--until", default="0m", help="Likewise; default: now.")
@click.option(
    "--window-minutes",
    default=WINDOW_MINUTES,
    show_default=True,
    type=click.IntRange(1, MAX_WINDOW_MINUTES),
    help="So far apart a receipt and what was booked for it may lie.",
)
@click.option(
    "--wait-hours",
    default=WAIT_HOURS,
    show_default=True,
    type=click.IntRange(1, MAX_WAIT_HOURS),
    help="So long a receipt may be on its way.",
)
@click.option("--all", "with_matched", is_flag=True, help="Also what agrees.")
@click.option("--language", type=click.Choice(reconciling.LANGUAGES), default="en", show_default=True)
@click.option("--json", "form", flag_value="json", help="As REST tells it.")
@click.option("--csv", "form", flag_value="csv", help="A row for each line of the report.")
def reconcile_command(
    link: str,
    config: str,
    database_url: str,
    since: str,
    until: str,
    window_minutes: int,
    wait_hours: int,
    with_matched: bool,
    language: str,
    form: str | None,
) -> None:
    """Compare the receipts that a link has pulled from 1C with what the tills have booked; exit 1 where they differ."""
    from gateway import app

    loaded = settings.load(config, os.environ, needs_secrets=False)
    if link not in loaded.links:
        raise ConfigError(f"no link {link!r}; there are: {', '.join(sorted(loaded.links)) or 'none'}")
    own = app.parts(loaded, existing(database_url), os.environ)
    directory = own.core.work.directory
    begin, end = since_instant(since), end_instant(until)
    try:
        asked = reconciling.asked_of(loaded.links, link, begin, end, window_minutes, wait_hours)
        found = reconciliation(own.database, directory, asked)
    except LoyaltyError as error:
        raise click.UsageError(": ".join((*map(str, error.details.values()), error.message))) from None
    report = reconciling.told(directory, link, found, with_matched, _scale(directory))
    if form == "json":
        click.echo(reconciling.as_json(report))
    elif form == "csv":
        click.echo(reconciling.as_csv(report), nl=False)
    else:
        for line in reconciling.as_text(directory, report, language):
            click.echo(line)
    sys.exit(0 if found.agrees else 1)
