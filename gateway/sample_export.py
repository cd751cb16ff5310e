"""Played messages as samples of their adapter, in the files that ``tests/adapters/<adapter>/samples`` takes.

Requests are those of the till, results those of the scratch books, both with stand-ins; asks and answers are what the
adapter makes of them now, so that a sample holds in itself. A message that stand-ins change more than that is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from adapters.contract import Link, SignedIn, WireRequest, WireResponse
from gateway.mask import decoded, mask
from gateway.pos import Door, answered, find, misdirected
from gateway.replay import Played, asks_of
from gateway.stand_ins import StandIns
from processing.errors import ConfigError, LoyaltyError, rebuild
from processing.execute import Outcome
from processing.results import AnyRead, AnyStoredResult
from processing.secrets import new_key

CASES = "cases.json"
# The name of the link may not be part of a key (adapters/testing/suite.py).
LINK = "link-under-test"
EXTENSIONS = {"xml": "xml", "json": "json", "bmp": "bmp", "png": "png", "plain": "txt"}
# Fields of results that tell who somebody is, by their names.
TEXTS = frozenset({"holder_name", "phone", "email", "token"})
NUMBERS = frozenset({"account", "holder_id"})
LEAST_SECRET = 6


@dataclass(frozen=True)
class Chosen:
    """Which messages become samples: this one, those about a card, or all."""

    request_id: str | None = None
    card: str | None = None

    def takes(self, played: Played) -> bool:
        """A void is about the cards whose receipt it undoes."""
        if self.request_id is not None and played.recorded.request_id != self.request_id:
            return False
        if self.card is None:
            return True
        told = [msgspec.to_builtins(ask) for ask in played.asks] + [_written(each) for each in played.outcomes]
        return any(number.endswith(self.card) for number in _cards(told))


@dataclass
class SampleFolder:
    """A folder with the samples of one adapter; what is in it stays."""

    folder: Path
    door: Door
    index: dict[str, Any]
    options: dict[str, Any]
    stand_ins: StandIns = field(default_factory=lambda: StandIns(new_key()))
    names: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path, door: Door, raw_options: Mapping[str, Any]) -> SampleFolder:
        """The folder, made if it is not there. Errors: ConfigError for a ``cases.json`` that cannot be read."""
        raw = json.loads(json.dumps(raw_options))
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / CASES
        index = _index(file) if file.exists() else _new_index(door, raw)
        return cls(folder, door, index, {} if index["link"].get("options", {}) == raw else raw)

    def add(self, played: Played) -> Iterator[str]:
        """Write a message's files; what a person should look at, in sentences."""
        name = played.recorded.request_id
        if played.request is None or played.response is None:
            yield f"{name}: left out: {played.skipped}"
            return
        text = decoded(played.request.body)
        if text is None:
            yield f"{name}: left out: its bytes are no text, so that nobody knows what they tell"
            return
        # Results first: a name that they tell may stand anywhere in the message.
        results = [self._replaced(_written(outcome), "") for outcome in played.outcomes]
        body = self.stand_ins.rewrite(text[0], self.door.adapter.private).encode(text[1], "replace")
        query = self.stand_ins.rewrite(played.request.query, self.door.adapter.private)
        yield from self._write(played, replace(played.request, body=body, query=query, caller=""), results)

    def finish(self) -> list[str]:
        """Write ``cases.json``; the cases that were added."""
        if self.names:
            _write_json(self.folder / CASES, self.index)
        return self.names

    def _write(self, played: Played, request: WireRequest, results: list[Any]) -> Iterator[str]:
        case = self._free_name(played.recorded.route)
        request = replace(request, id=f"request-{case}")
        door = replace(self.door, link=self._link())
        route = find(door.adapter, request.path, request.method)
        asks = asks_of(request, route, door.link)
        if _shape(asks) != _shape(played.asks):
            yield f"{played.recorded.request_id}: left out: with stand-ins it asks for something else"
            return
        outcomes = [_read(result) for result in results]
        response, _ = answered(door, request, route, misdirected(route, request.method), lambda _: outcomes)
        _write_json(self.folder / f"{case}.asks.json", msgspec.to_builtins(asks))
        _write_json(self.folder / f"{case}.results.json", results)
        (self.folder / f"{case}.request.{_extension(request.body)}").write_bytes(request.body)
        (self.folder / f"{case}.answer.{_answers_extension(response)}").write_bytes(response.body)
        self.index["cases"][case] = self._entry(played, request)
        self.names.append(case)
        yield from self._note_secrets(request.body, response)

    def _entry(self, played: Played, request: WireRequest) -> dict[str, Any]:
        was, now = played.recorded.outcome, played.outcome
        outcome = was if was == now else f"{was}, now {now}"
        told: dict[str, Any] = {
            "path": request.path,
            "origin": f"exchange log of {request.at.date()}, with stand-ins: {outcome}",
            "at": request.at.isoformat(),
        }
        if request.query:
            told["query"] = request.query
        if request.method != "POST":
            told["method"] = request.method
        if content_type := request.headers.get("content-type", ""):
            told["headers"] = {"content-type": content_type}
        return told | ({"options": self.options} if self.options else {})

    def _link(self) -> Link:
        told = self.index["link"]
        options = self.door.adapter.options().load({**told.get("options", {}), **self.options})
        return Link(code=told["code"], store=told["store"], zone=ZoneInfo(told["zone"]), options=options)

    def _free_name(self, route: str) -> str:
        route = route.strip("-") or "message"
        taken, number = self.index["cases"], 1
        while f"{route}_{number:02}" in taken:
            number += 1
        return f"{route}_{number:02}"

    def _replaced(self, value: Any, name: str) -> Any:
        """A result as JSON with stand-ins in the places that tell who it is about."""
        if isinstance(value, dict):
            has_card = "account" in value or "card" in value
            return {
                key: self._card(item) if key == "card" or (key == "number" and has_card) else self._replaced(item, key)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._replaced(item, name) for item in value]
        if isinstance(value, str) and name in TEXTS:
            return self.stand_ins.of(value)
        if isinstance(value, int) and not isinstance(value, bool) and name in NUMBERS:
            return int(self.stand_ins.of(str(value)))
        return value

    def _card(self, value: Any) -> Any:
        return self.stand_ins.of(value) if isinstance(value, str) else self._replaced(value, "card")

    def _note_secrets(self, body: bytes, response: WireResponse) -> Iterator[str]:
        """Stand-ins are the sample's secrets; one that is shown is told, because then the value was shown as well."""
        documents = (body, response.body)
        texts = [found[0] for document in documents if (found := decoded(document)) is not None]
        shown = [mask(document, self.door.adapter.private) for document in documents]
        secrets = self.index.setdefault("secrets", [])
        for value, stand_in in self.stand_ins.made.items():
            if value == stand_in or len(stand_in) < LEAST_SECRET or not any(stand_in in text for text in texts):
                continue
            if any(stand_in in text for text in shown):
                if stand_in in secrets:
                    secrets.remove(stand_in)
                yield f"{self.names[-1]}: {stand_in} shows where private fields are masked: Adapter.private misses one"
            elif stand_in not in secrets:
                secrets.append(stand_in)


def _index(file: Path) -> dict[str, Any]:
    try:
        index: dict[str, Any] = json.loads(file.read_text("utf-8"))
        _ = index["link"]["code"], index["link"]["store"], index["link"]["zone"], index["cases"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file}: expected an index of samples: {error}") from None
    return index


def _new_index(door: Door, options: Mapping[str, Any]) -> dict[str, Any]:
    link = {"code": LINK, "store": door.link.store, "zone": door.link.zone.key, "options": options}
    return {"link": link, "at": "2026-01-01T12:00:00+00:00", "noise": [], "signal": [], "secrets": [], "cases": {}}


# Results and asks as files hold them ------------------------------------------------------------------------


def _written(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, LoyaltyError):
        return {"refused": outcome.code, "message": outcome.message, "details": dict(outcome.details)}
    told: dict[str, Any] = json.loads(msgspec.json.encode(outcome))
    return told


def _read(told: dict[str, Any]) -> Outcome:
    if "refused" in told:
        return rebuild(told["refused"], told["message"], told["details"])
    result: Outcome = msgspec.convert(told, AnyStoredResult | AnyRead | SignedIn, strict=False)
    return result


def _shape(asks: Any) -> Any:
    """What asks are without their texts: kinds, amounts, how many of what."""
    told = json.loads(msgspec.json.encode(asks))

    def bare(value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: bare(item, key) for key, item in value.items()}
        if isinstance(value, list):
            return [bare(item) for item in value]
        return "" if isinstance(value, str) and name not in ("type", "unit", "kind", "reason") else value

    return bare(told)


def _cards(told: Any, name: str = "") -> Iterator[str]:
    """Every number of a card in asks and results."""
    if isinstance(told, dict):
        for key, item in told.items():
            yield from _cards(item, key)
    elif isinstance(told, list | tuple):
        for item in told:
            yield from _cards(item, name)
    elif isinstance(told, str) and name in ("card", "number", "value"):
        yield told


def _extension(body: bytes) -> str:
    beginning = body.lstrip()[:1]
    return "xml" if beginning == b"<" else "json" if beginning in (b"{", b"[") else "txt"


def _answers_extension(response: WireResponse) -> str:
    kind = response.content_type.partition(";")[0].rpartition("/")[2].rpartition("+")[2]
    return EXTENSIONS.get(kind, "bin")


def _write_json(path: Path, told: Any) -> None:
    path.write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", "utf-8")
