"""Documents cannot drift: what the code has, its page tells; what a page points at, exists."""

from __future__ import annotations

import ast
import functools
import importlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import click
import marshmallow
import msgspec
import pytest
from prometheus_client.metrics import MetricWrapperBase

from adapters.contract import Adapter, Link, WireRequest
from adapters.frontol.receipts import COUPONS_UNKNOWN, PAYMENTS_DIFFER
from adapters.registry import ADAPTERS
from adapters.rkeeper.cards import PURSE_SUMS_DIFFER
from adapters.testing import CannedCore, converse
from adapters.texts import REFUSALS
from gateway import cli, metrics, schemas, settings
from processing import claims, commands, directory, results, state
from processing.audit import ACTIONS
from processing.chores import CHORES
from processing.errors import CardNotFound, by_code
from processing.laws import LAWS
from processing.results import Balance, Identified

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
INDEX = DOCS / "index.md"
PACKAGES = ("gateway", "adapters", "processing")

PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#{1,6}) +(.+?) *$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")


def page(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def headings(text: str) -> list[tuple[int, str]]:
    """(level, text) of every heading outside of code."""
    return [(len(m[1]), m[2]) for m in _HEADING.finditer(_FENCE.sub("", text))]


def section(text: str, title: str) -> str:
    """What stands under the heading, up to the next one of the same level; empty when there is none."""
    found: list[str] = []
    level = 0
    in_code = False
    for line in text.splitlines():
        in_code ^= line.startswith(("```", "~~~"))
        heading = None if in_code else _HEADING.match(line)
        if heading and level and len(heading[1]) <= level:
            break
        if heading and not level and plain(heading[2]) == title:
            level = len(heading[1])
        elif level:
            found.append(line)
    return "\n".join(found)


def plain(text: str) -> str:
    return text.replace("`", "").strip()


def anchor(heading: str) -> str:
    """The heading's address as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", plain(heading).lower()).replace(" ", "-")


def ids(value: Any) -> str:
    return value.relative_to(ROOT).as_posix() if isinstance(value, Path) else str(value)


def row(text: str, first: str) -> str:
    """The table row whose first cell is this name in code; empty when there is none."""
    return next((line for line in text.splitlines() if line.startswith(f"| `{first}` |")), "")


# The reading of the pages itself ------------------------------------------------------------------------------


def test_a_section_ends_at_its_next_sibling() -> None:
    text = "# A\n## `B`\none\n### C\ntwo\n```\n## not a heading\n```\n## D\nthree\n"
    assert section(text, "B") == "one\n### C\ntwo\n```\n## not a heading\n```"
    assert section(text, "D") == "three"
    assert section(text, "E") == ""


def test_the_pages_were_found() -> None:
    assert len(PAGES) > 15
    assert len(DECISIONS) > 10


# Commands, results, errors --------------------------------------------------------------------------------------


def structs(module: Any, without: tuple[str, ...]) -> list[type[msgspec.Struct]]:
    return [
        value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, msgspec.Struct)
        and value.__module__ == module.__name__
        and name not in without
    ]


VOCABULARY = structs(commands, ("Ask", "Query", "Command")) + structs(results, ("Result",))


def test_the_vocabulary_was_found() -> None:
    asked = set(get_args(commands.AnyCommand)) | set(get_args(commands.AnyQuery))
    assert asked
    assert asked | set(get_args(results.AnyStoredResult)) < set(VOCABULARY)


@pytest.mark.parametrize("struct", VOCABULARY, ids=lambda s: s.__name__)
def test_every_command_and_result_is_told_with_its_fields(struct: type[msgspec.Struct]) -> None:
    told = section(page("commands.md"), struct.__name__)
    assert told.strip(), f"docs/commands.md has no heading {struct.__name__}"
    shared = {*commands.Command.__struct_fields__, *results.Result.__struct_fields__}
    own = [name for name in struct.__struct_fields__ if name not in shared]
    assert [name for name in own if f"`{name}`" not in told] == []


def test_the_fields_of_every_command_and_result_are_told_once() -> None:
    told = section(page("commands.md"), "Every command")
    assert [name for name in commands.Command.__struct_fields__ if f"`{name}`" not in told] == []
    text = page("commands.md")
    opening = section(text, "Results").partition("\n###")[0]
    assert [name for name in results.Result.__struct_fields__ if f"`{name}`" not in opening] == []


def code_blocks(name: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page(name), re.MULTILINE | re.DOTALL)


def test_the_examples_of_commands_fit_what_they_make() -> None:
    """Every command and part in an example has only fields that it has, and all that it needs."""
    by_name = {struct.__name__: struct for struct in VOCABULARY}
    shown = set()
    for block in code_blocks("commands.md"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in by_name:
                struct = by_name[node.func.id]
                given = {keyword.arg for keyword in node.keywords} | set(struct.__struct_fields__[: len(node.args)])
                needed = {field.name for field in msgspec.structs.fields(struct) if field.required}
                assert needed <= given <= set(struct.__struct_fields__), ast.unparse(node)
                shown.add(struct)
    assert set(get_args(commands.AnyCommand)) <= shown


def test_every_command_stands_in_the_table_of_all() -> None:
    rows = section(page("commands.md"), "All commands")
    first = " ".join(line.split("|")[1] for line in rows.splitlines() if line.startswith("| `"))
    assert [c.__name__ for c in get_args(commands.AnyCommand) if f"`{c.__name__}`" not in first] == []
    told = set(re.findall(r"`(\w+)`", first))
    assert told == {command.__name__ for command in get_args(commands.AnyCommand)}


@pytest.mark.parametrize("scheme", sorted({"card", *state.DERIVED}))
def test_every_scheme_of_names_is_told(scheme: str) -> None:
    assert f"`{scheme}`" in section(page("commands.md"), "Ref")


@pytest.mark.parametrize("code", sorted(by_code()))
def test_every_error_code_is_told_with_its_texts(code: str) -> None:
    errors = page("errors.md")
    assert row(errors, code), f"docs/errors.md has no row {code}"
    assert by_code()[code].__name__ in row(errors, code)
    texts = row(section(errors, "What the till shows"), code)
    assert REFUSALS[code]["ru"] in texts
    assert REFUSALS[code]["en"] in texts


def test_no_error_code_is_told_that_does_not_exist() -> None:
    told = set(re.findall(r"^\| `([a-z_]+)` \|", page("errors.md"), re.MULTILINE))
    assert told == set(by_code())


# Books and keys -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", directory.SYSTEM_KINDS)
def test_every_system_account_is_told(kind: str) -> None:
    assert row(page("books.md"), kind)


def sources(package: str) -> Iterator[tuple[str, ast.Module]]:
    """(dotted name, syntax tree) of every module of a package."""
    for path in sorted((ROOT / package).rglob("*.py")):
        dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield dotted, ast.parse(path.read_text("utf-8"))


def constants(module: str, node: ast.AST) -> Iterator[str]:
    """The texts that an expression may be: literals, and names in capitals as the module knows them.

    What is put into a text stands as ``<name>``.
    """
    for part in ast.walk(node):
        if isinstance(part, ast.JoinedStr):
            yield "".join(_part_of(module, each) for each in part.values)
            return
        if isinstance(part, ast.IfExp):
            yield from constants(module, part.body)
            yield from constants(module, part.orelse)
            return
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value
        elif isinstance(part, ast.Name) and part.id.isupper():
            value = getattr(importlib.import_module(module), part.id)
            if isinstance(value, str):
                yield value


def _part_of(module: str, node: ast.AST) -> str:
    if isinstance(node, ast.FormattedValue):
        return next(constants(module, node.value), f"<{ast.unparse(node.value).rpartition('.')[2]}>")
    return str(node.value) if isinstance(node, ast.Constant) else ""


@functools.cache
def all_calls(package: str) -> dict[str, list[tuple[str, ast.Call]]]:
    """(module, call) of every call of a function or method, by its name."""
    found: dict[str, list[tuple[str, ast.Call]]] = {}
    for module, tree in sources(package):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                found.setdefault(called, []).append((module, node))
    return found


def calls(name: str, package: str) -> list[tuple[str, ast.Call]]:
    """(module, call) of every call of a function or method with this name."""
    return all_calls(package).get(name, [])


def flags() -> set[str]:
    """Whatever is put into a list called flags."""
    found: set[str] = set()
    for module, tree in sources("processing"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "flags.append":
                found |= set(constants(module, node.args[0]))
            elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(isinstance(target, ast.Name) and target.id == "flags" for target in targets):
                    found |= set(constants(module, node.value))
    return found


FLAGS = sorted(flags() | {PURSE_SUMS_DIFFER, PAYMENTS_DIFFER, COUPONS_UNKNOWN})


def test_the_flags_were_found() -> None:
    wanted = {"superseded", "returns_undone", "debt", "suspense", "over_limit", "keys_conflict", "restored"}
    assert wanted | {"hold_ended", "sale_unknown", "over_returned", "deducted", "forgiven"} <= set(FLAGS)


@pytest.mark.parametrize("flag", FLAGS)
def test_every_flag_is_told(flag: str) -> None:
    assert row(section(page("commands.md"), "Flags"), flag)


def kinds() -> set[str]:
    """Every kind of operation that anything in the core books."""
    found: set[str] = set()
    for module, call in calls("post", "processing"):
        if call.args and isinstance(call.args[0], ast.Constant):
            found |= set(constants(module, call.args[0]))
    for module, call in calls("_reverse", "processing"):
        found |= set(constants(module, call.args[-1]))
    return found


# What a variable holds when it is booked: by accounts._suspended.
KINDS = sorted(kinds() | {"redemption", "accrual"})


def test_the_kinds_of_operations_were_found() -> None:
    assert {"receipt", "return", "void", "superseded", "restore", "expiry", "expiry_undone", "merge"} <= set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_operation_is_told(kind: str) -> None:
    told = section(page("books.md"), "Which entries each operation makes")
    assert re.search(rf"^\| `{kind}`[ ,]", told, re.MULTILINE)
    assert f"`{kind}`" in section(page("commands.md"), "All commands")


def test_no_kind_of_operation_is_told_that_does_not_exist() -> None:
    told = re.findall(r"^\| `(\w+)`", section(page("books.md"), "Which entries each operation makes"), re.MULTILINE)
    assert set(told) == set(KINDS)


@pytest.mark.parametrize("name", [state.OPEN, state.CAPTURED, state.RELEASED, state.HOLD_EXPIRED])
def test_every_state_of_a_hold_is_told(name: str) -> None:
    assert row(section(page("books.md"), "Holds"), name)
    assert f"`{name}`" in section(page("commands.md"), "HoldTold")


@pytest.mark.parametrize("name", [claims.NONE, claims.POSTED, claims.ROLLED_BACK, claims.RETURNED, claims.TOMBSTONE])
def test_every_state_of_a_key_is_told(name: str) -> None:
    assert row(section(page("keys.md"), "States"), name)


@pytest.mark.parametrize("name", CHORES)
def test_every_chore_is_told(name: str) -> None:
    assert row(section(page("architecture.md"), "What time brings"), name)


def test_every_module_of_the_core_has_its_place() -> None:
    rows = section(page("architecture.md"), "Packages")
    named = set(re.findall(r"`(\w+)`", " ".join(line.split("|")[1] for line in rows.splitlines() if "|" in line)))
    modules = {path.stem for path in (ROOT / "processing").glob("*.py")} - {"__init__"}
    assert sorted(modules - named) == []


def audited() -> set[str]:
    """Every action that the audit log may hold."""
    found: set[str] = set()
    for module, call in calls("audit", "processing"):
        if isinstance(call.args[1], ast.Constant):
            found |= set(constants(module, call.args[1]))
    for module, call in calls("Audited", "processing"):
        if isinstance(call.args[1], ast.Constant):
            found |= set(constants(module, call.args[1]))
    for module, call in calls("_change_status", "processing"):
        found |= set(constants(module, call.args[-1]))
    for package in PACKAGES:
        for module, call in calls("record", package):
            if "audit" in ast.unparse(call.func):
                found |= set(constants(module, call.args[3]))
    for name in ("_changing", "_in_bites"):
        for module, call in calls(name, "gateway"):
            literals = [part for part in call.args[:2] if isinstance(part, ast.Constant)]
            found |= {each for part in literals for each in constants(module, part)}
    return found


def test_every_audited_action_is_told() -> None:
    found = audited() | {"adjustment_approved", "adjustment_rejected"}
    assert {"card_blocked", "pin_set", "client_added", "holders_merged"} <= found
    rows = section(page("security.md"), "Audit log")
    told = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\|([^|]*)\|", rows, re.MULTILINE))))
    assert told == found == set(ACTIONS)


# Worked examples ------------------------------------------------------------------------------------------------


def test_every_worked_example_is_carried_out() -> None:
    """The section is looked for by the tests of the examples, which prove its figures."""
    tests = (ROOT / "tests" / "processing" / "test_examples.py").read_text("utf-8")
    titles = [title for level, title in headings(page("examples.md")) if level == 2]
    assert len(titles) > 8
    assert [title for title in titles if f'"{title}"' not in tests] == []


# Command line ---------------------------------------------------------------------------------------------------


def cli_commands(group: click.Group, path: str = "tillgate") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from cli_commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


CLI = list(cli_commands(cli.main))


def test_the_command_line_was_found() -> None:
    assert {"tillgate serve", "tillgate config check"} <= {path for path, _ in CLI}


@pytest.mark.parametrize(("path", "command"), CLI, ids=[path for path, _ in CLI])
def test_every_command_of_the_command_line_is_told_with_its_options(path: str, command: click.Command) -> None:
    told = section(page("operations.md"), path)
    assert told.strip(), f"docs/operations.md has no heading {path}"
    names = [name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)]
    shown = [name if name.startswith("-") else name.upper() for name in names]
    assert [name for name in shown if f"`{name}" not in told] == []
    assert path in (ROOT / "README.md").read_text("utf-8")


# Configuration --------------------------------------------------------------------------------------------------

FILES = {
    "gateway.yaml": schemas.GatewaySchema,
    "chain.yaml": schemas.ChainSchema,
    "links/<code>.yaml": schemas.LinkSchema,
}


# What the keys of a mapping are.
KEYED_BY = {"units": "UNIT", "fiscal": "family"}


def setting_keys(schema: marshmallow.Schema, path: str = "") -> Iterator[str]:
    """Every key that the schema takes: ``stores[].zone``, ``units.<UNIT>.scale``."""
    for name, field in schema.fields.items():
        yield from _keys_of(field, f"{path}{field.data_key or name}")


def _keys_of(field: Any, path: str) -> Iterator[str]:
    if isinstance(field, marshmallow.fields.Nested):
        yield from setting_keys(field.schema, f"{path}.")
    elif isinstance(field, marshmallow.fields.List) and isinstance(field.inner, marshmallow.fields.Nested):
        yield from _keys_of(field.inner, f"{path}[]")
    elif isinstance(field, marshmallow.fields.Dict) and isinstance(field.value_field, marshmallow.fields.Nested):
        yield from _keys_of(field.value_field, f"{path}.<{KEYED_BY[path]}>")
    else:
        yield path


SETTINGS = [(file, key) for file, schema in FILES.items() for key in setting_keys(schema())]


def test_the_settings_were_found() -> None:
    wanted = {
        ("gateway.yaml", "exchange_log.keep_days"),
        ("chain.yaml", "stores[].zone"),
        ("chain.yaml", "units.<UNIT>.scale"),
        ("links/<code>.yaml", "credentials.secret"),
    }
    assert wanted <= set(SETTINGS)


@pytest.mark.parametrize(("file", "key"), SETTINGS, ids=lambda value: value)
def test_every_setting_is_told_under_its_file(file: str, key: str) -> None:
    assert row(section(page("configuration.md"), file), key)


def test_no_setting_is_told_that_does_not_exist() -> None:
    for file in FILES:
        told = re.findall(r"^\| `([^`]+)` \|", section(page("configuration.md"), file), re.MULTILINE)
        assert set(told) == {key for of, key in SETTINGS if of == file}


def test_defaults_of_the_gateway_are_told() -> None:
    told = section(page("configuration.md"), "gateway.yaml")
    defaults: dict[str, Any] = {}

    def keep(path: str, value: Any) -> None:
        if is_dataclass(value):
            for field in dataclass_fields(value):
                keep(f"{path}.{field.name}", getattr(value, field.name))
        elif not any(key.startswith(f"{path[1:]}[]") for _, key in SETTINGS):
            defaults[path[1:]] = value

    keep("", settings.GatewaySettings())
    assert set(defaults) == {key for file, key in SETTINGS if file == "gateway.yaml" and "[]" not in key}
    for key, value in defaults.items():
        assert f"| {default(value)} |" in row(told, key), key


def default(value: Any) -> str:
    """A default as the page writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if value in ("", ()) or isinstance(value, Mapping):
        return "empty"
    return f"`{value}`" if isinstance(value, str) else str(value)


def environment() -> set[str]:
    """Every environment variable of ours that the packages read or name."""
    found: set[str] = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            found |= set(re.findall(r"\bTILLGATE_[A-Z_]+\b", path.read_text("utf-8")))
    return found


def test_every_environment_variable_is_told() -> None:
    assert {"TILLGATE_CONFIG", "TILLGATE_MASTER_KEY"} <= environment()
    links = {name for name in environment() if name.startswith("TILLGATE_LINK_")}
    told = section(page("configuration.md"), "Environment")
    assert [name for name in sorted(environment() - links) if f"`{name}`" not in told] == []
    assert "`TILLGATE_TEST_POSTGRES`" in page("contributing.md")


# Adapters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=list(ADAPTERS))
def test_every_adapter_has_a_page_with_its_options(adapter: Adapter) -> None:
    told = page(f"adapters/{adapter.name}.md")
    options = adapter.options().fields
    assert options
    assert [name for name in options if f"`{name}`" not in told] == []


@pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=list(ADAPTERS))
def test_every_adapter_states_its_grade_and_why(adapter: Adapter) -> None:
    told = re.search(
        r"^\[Grade\]\(\S+\): \*\*(bronze|silver|gold)\*\*: (.{20,})\.$", page(f"adapters/{adapter.name}.md"), re.M
    )
    assert told, f"docs/adapters/{adapter.name}.md: no grade"


def test_the_adapter_that_the_docs_teach_works() -> None:
    """The example of writing-an-adapter.md, as it stands there."""
    code = re.findall(r"^```python\n(.*?)^```", page("writing-an-adapter.md"), re.MULTILINE | re.DOTALL)
    source = next(block for block in code if "ADAPTER = Adapter(" in block)
    space: dict[str, Any] = {"__name__": "taught"}
    exec(compile(source, "writing-an-adapter.md", "exec", dont_inherit=True), space)
    adapter = space["ADAPTER"]
    link = Link("acme-1", "bistro", ZoneInfo("Europe/Moscow"), adapter.options().load({}))

    def say(path: str, body: str, *outcomes: Any) -> Any:
        at = datetime(2026, 5, 4, 16, 52, tzinfo=UTC)
        request = WireRequest("POST", path, "", {}, body.encode(), "1", at)
        return converse(adapter, request, link, CannedCore(outcomes))

    bonus = Balance(unit="BONUS", scale=2, balance=45_050, available=45_050)
    guest = Identified(
        number="2900000000000001",
        account=1,
        holder_id=0,
        holder_name="",
        status="active",
        usable="",
        product="guest",
        balances=(bonus,),
        payable=(("BONUS", 45_050),),
        discount="",
        bonus="",
    )
    found = say("card", '<Card number="2900000000000001"/>', guest)
    assert b'points="450.50"' in found.response.body
    assert isinstance(found.asks[0], commands.Identify)
    unknown = say("card", '<Card number="1"/>', CardNotFound())
    assert unknown.response.refused == "card_not_found"
    body = '<Sale id="A-17" number="17" total="100.00" card="2900000000000001" points="10.00"/>'
    moved = results.ReceiptPosted(operation_id=5, at=datetime(2026, 5, 4, 16, 52, tzinfo=UTC))
    sale = say("sale", body, moved)
    (ask,) = sale.asks
    assert isinstance(ask, commands.PostReceipt)
    assert ask.keys == ("acme:A-17",)
    assert (ask.receipt.total_minor, ask.cards[0].redeem[0].amount) == (10_000, 1_000)
    assert b'operation="5"' in sale.response.body
    assert say("sale", "<Sale").response.refused == "bad_message"


# Operations -----------------------------------------------------------------------------------------------------


def metric_names() -> list[str]:
    """As Prometheus sees them."""
    return [
        next(iter(metric.describe())).name + ("_total" if metric._type == "counter" else "")
        for metric in vars(metrics).values()
        if isinstance(metric, MetricWrapperBase)
    ]


def test_the_metrics_were_found() -> None:
    assert {"tillgate_requests_total", "tillgate_request_seconds"} <= set(metric_names())


@pytest.mark.parametrize("name", metric_names())
def test_every_metric_is_told(name: str) -> None:
    assert row(section(page("operations.md"), "Metrics"), name)


def test_every_law_is_told() -> None:
    told = section(page("operations.md"), "What verify checks")
    assert LAWS
    assert [law.name for law in LAWS if row(told, law.name) != f"| `{law.name}` | {law.title} |"] == []


# Links, decisions, README ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=ids)
def test_relative_links_lead_somewhere(path: Path) -> None:
    for target in _LINK.findall(_FENCE.sub("", path.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, fragment = target.partition("#")
        leads_to = (path.parent / file).resolve() if file else path
        assert leads_to.exists(), target
        assert leads_to.is_relative_to(ROOT), target
        if fragment:
            assert fragment in {anchor(title) for _, title in headings(leads_to.read_text("utf-8"))}, target


def test_every_page_is_reached_from_the_index() -> None:
    text = INDEX.read_text("utf-8")
    linked = {(DOCS / target.partition("#")[0]).resolve() for target in _LINK.findall(text)}
    assert [ids(path) for path in PAGES if path not in linked | {INDEX, ROOT / "README.md"}] == []


def test_pages_named_in_the_code_exist() -> None:
    named: set[str] = set()
    for folder in (*PACKAGES, "configs", "tests"):
        for path in [*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.yaml")]:
            if path != Path(__file__):
                named |= set(re.findall(r"\bdocs/(?:[\w/-]+\.md|decisions/[\w-]+)", path.read_text("utf-8")))
    assert "docs/adapters/rkeeper.md" in named
    assert [name for name in sorted(named) if not list(ROOT.glob(f"{name}*"))] == []


def test_pages_point_at_nothing_outside_the_project() -> None:
    assert [ids(path) for path in PAGES if "shared/" in path.read_text("utf-8")] == []


@pytest.mark.parametrize("path", DECISIONS, ids=ids)
def test_every_decision_is_dated_and_complete(path: Path) -> None:
    text = path.read_text("utf-8")
    dated = re.search(r"^Date: (\d{4}-\d{2}-\d{2})$", text, re.MULTILINE)
    assert dated
    date.fromisoformat(dated[1])
    number, _, _ = path.stem.partition("-")
    assert re.match(rf"# {number}\. \S", text)
    assert [name for name in ("Context", "Decision", "Consequences") if not section(text, name).strip()] == []


def test_decisions_are_numbered_without_a_gap_and_listed_in_order() -> None:
    numbers = [path.stem[:4] for path in DECISIONS]
    assert numbers == [f"{n:04}" for n in range(1, len(DECISIONS) + 1)]
    listed = re.findall(r"\(decisions/(\d{4})-[\w-]+\.md\)", INDEX.read_text("utf-8"))
    assert listed == numbers


def test_the_readme_runs_what_the_gate_runs() -> None:
    gate = (ROOT / ".ci" / "run").read_text("utf-8")
    readme = (ROOT / "README.md").read_text("utf-8")
    tests = re.search(r"^ *check \S+ (python -m pytest.*)$", gate, re.MULTILINE)
    installs = re.search(r"install .*--editable ('\S+')", gate)
    assert tests
    assert installs
    assert f".venv/bin/pip install -e {installs[1]} && .venv/bin/{tests[1]}\n" in readme
    assert "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/tillgate demo\n" in readme


def test_the_changelog_knows_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert any(title.startswith(version) for _, title in headings(page("changelog.md")))
