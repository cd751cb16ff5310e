"""A page about an adapter in YAML, in Markdown: for whoever connects such a till."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from adapters.declarative import Declared

NOTHING = "nothing is said"


def page(declared: Declared) -> Iterator[str]:
    """The lines of the page; a section for whatever the document has."""
    told, name = declared.document, declared.adapter.name
    yield f"# {told['title']}"
    yield ""
    yield f"Adapter `{name}`, grade {told['grade']}{': ' + told['why'] if told['why'] else ''}."
    yield ""
    if told["rules"]:
        yield from _messages(told)
    if "files" in told:
        yield from _files(told["files"])
    if told["push"]:
        yield from _push(told["push"])
    if "pull" in told:
        yield from _pull(told["pull"])
    if "login" in told:
        yield from _login(told["login"], declared.secrets)
    if told["options"]:
        rows = [[f"`{option}`", each["default"] or "empty", each["doc"]] for option, each in told["options"].items()]
        yield from _section("Options", ("option", "default", "meaning"), rows)
    if told["missing"]:
        yield "## What it does not do"
        yield ""
        yield from (f"- {each}" for each in told["missing"])


def _messages(told: Mapping[str, Any]) -> Iterator[str]:
    auth = told["auth"]
    secret = "<secret>/" if auth["scheme"] == "secret_path" else ""
    yield f"The till's address: `https://HOST/pos/<link>/{secret}...`; credentials: {auth['scheme']} {auth['name']}"
    yield ""
    rows = [
        [rule["name"], f"{rule['method']} `{rule['path']}`", _when(rule["when"]), rule.get("ask", "answered at once")]
        for rule in told["rules"]
    ]
    yield from _section("Messages", ("message", "address", "when", "what happens"), rows)


def _files(told: Mapping[str, Any]) -> Iterator[str]:
    yield from _section("Files", ("line", "when", "what happens"), _facts(told["rules"]))
    yield f"Names: {', '.join(f'`{name}`' for name in told['names'])}. Lines: {told['lines']}, {told['encoding']}."
    group = told.get("group")
    if group is not None:
        by = "those alike in " + ", ".join(f"`{name}`" for name in group.get("by", ()))
        begins = f"they begin where {_when(group['begins'])}" if "begins" in group else by
        ends = f", and end where {_when(group['ends'])}" if "ends" in group else ""
        yield f"Several lines are one document: {begins}{ends}."
    yield ""


def _push(told: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    rows = [
        [rule["name"], ", ".join(f"`{kind}`" for kind in rule["messages"]), _when(rule["when"]), _said(rule)]
        for rule in told
    ]
    yield from _section("What it tells the far side", ("rule", "messages", "when", "what is said"), rows)


def _said(rule: Mapping[str, Any]) -> str:
    if "call" not in rule:
        return NOTHING
    looks = f"unless {_call(rule['look'])} finds it: " if "look" in rule else ""
    return looks + _call(rule["call"]) + "".join(f"; {_meaning(each)}" for each in rule["call"]["replies"])


def _pull(told: Mapping[str, Any]) -> Iterator[str]:
    yield from _section("What it asks the far side for", ("item", "when", "what happens"), _facts(told["rules"]))
    yield f"Asked again and again: {_call(told['call'])}, from where the last page has ended."
    yield ""


def _login(told: Mapping[str, Any], secrets: frozenset[str]) -> Iterator[str]:
    yield "## Signing in"
    yield ""
    yield f"Secrets of the link (`far_side.secrets`): {', '.join(f'`{name}`' for name in sorted(secrets)) or 'none'}."
    headers = ", ".join(f"`{name}`" for name in told["headers"])
    call = f"{_call(told['call'])} brings" if "call" in told else "they make"
    yield f"Calls carry {headers}; {call} what stands there."
    yield ""


def _facts(rules: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    return [[rule["name"], _when(rule["when"]), rule.get("ask", "passed over")] for rule in rules]


def _section(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    for row in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(row)} |"
    yield ""


def _call(told: Mapping[str, Any]) -> str:
    parts = told["path"] if isinstance(told["path"], list) else [told["path"]]
    path = "/".join(part.strip("/") if isinstance(part, str) else _place(part) for part in parts)
    return f"{told['method']} `{path}`"


def _place(told: Mapping[str, Any]) -> str:
    """A value in the place of a step of a path."""
    return "{" + str(next(iter(told.values()), "")) + "}"


def _meaning(told: Mapping[str, Any]) -> str:
    status = " or ".join(map(str, told.get("status", ["2xx"])))
    when = f" with {_when(told['when'])}" if told["when"] else ""
    seconds = f", again in {told['seconds']} s" if "seconds" in told else ""
    return f"{status}{when} is {told['means']}{seconds}"


def _when(told: Any) -> str:
    return told if isinstance(told, str) else ", ".join(f"`{at}` = {_words(value)}" for at, value in told.items())


def _words(value: Any) -> str:
    if isinstance(value, list):
        return " or ".join(map(_words, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
