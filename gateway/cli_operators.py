"""The command line's people: ``tillgate operator add``, ``list``, ``suspend`` and ``password``."""

from __future__ import annotations

import click

from gateway.cli_options import database_option, existing
from gateway.console.rights import LANGUAGES, ROLES

ACTOR = "cli"


@click.group("operator")
def operator() -> None:
    """People who sign in to the pages at /console/."""


def _password(prompt: bool) -> str | None:
    if not prompt:
        return None
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))


def _tell(name: str, password: str, prompt: bool) -> None:
    """A password of our making is shown once: on stdout alone, so that it can be piped on."""
    if prompt:
        click.echo(f"{name}: may sign in")
        return
    click.echo(password)
    click.echo(f"good for the first sign-in of {name}, who then chooses another one", err=True)


@operator.command("add")
@click.argument("name")
@click.option("--role", required=True, type=click.Choice(list(ROLES)), help="What they may do.")
@click.option("--store", "stores", multiple=True, help="Only the links of this store; more than one may be given.")
@click.option("--partner", "partners", multiple=True, help="Only the links of this partner's stores.")
@click.option("--language", type=click.Choice(LANGUAGES), default=LANGUAGES[0], show_default=True)
@click.option("--prompt", is_flag=True, help="Ask for a password; default: print one for the first sign-in.")
@database_option
def operator_add(
    name: str,
    role: str,
    stores: tuple[str, ...],
    partners: tuple[str, ...],
    language: str,
    prompt: bool,
    database_url: str,
) -> None:
    """Let somebody in, and print a password for the first sign-in."""
    from gateway.console import operators

    given = operators.add(
        existing(database_url), ACTOR, name, role, stores, partners, language, password=_password(prompt)
    )
    _tell(name, given, prompt)


@operator.command("list")
@database_option
def operator_list(database_url: str) -> None:
    """Who may sign in, as what, and when they were seen last."""
    from gateway.console import operators

    for row in operators.everybody(existing(database_url)):
        scope = [*(row.stores or ()), *(f"partner {code}" for code in row.partners or ())]
        seen = f"seen {row.last_seen_at:%Y-%m-%d %H:%M}" if row.last_seen_at else "not seen lately"
        state = f"suspended {row.suspended_at:%Y-%m-%d}" if row.suspended_at else seen
        click.echo(f"{row.name:<20} {row.role:<9} {state:<21} {', '.join(scope) or 'the whole chain'}")


@operator.command("suspend")
@click.argument("name")
@database_option
def operator_suspend(name: str, database_url: str) -> None:
    """Shut somebody out at once; a new password lets them in again."""
    from gateway.console import operators

    operators.suspend(existing(database_url), ACTOR, name)
    click.echo(f"{name}: suspended")


@operator.command("password")
@click.argument("name")
@click.option("--prompt", is_flag=True, help="Ask for a password; default: print one for the next sign-in.")
@database_option
def operator_password(name: str, prompt: bool, database_url: str) -> None:
    """Give somebody a new password; where they are signed in, they are out."""
    from gateway.console import operators

    _tell(name, operators.set_password(existing(database_url), ACTOR, name, _password(prompt)), prompt)
