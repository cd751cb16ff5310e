"""What a replay has found, in words and as JSON: answers compared as documents, differences shown masked.

XML becomes a line for each tag, attribute and text, JSON a line for each value, so that a difference is one line and
neither spaces nor the order of attributes are one. Fields that the adapter names as volatile are not compared.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from lxml import etree

from adapters.contract import Adapter
from gateway.mask import mask, readable
from gateway.replay import Played

# A line that is longer is cut when it is shown, after it was masked.
MAX_LINE = 400
CONTEXT = 1
STARS = "***"

SAME, DIFFERS, NOT_REPRODUCED, AT_THE_DOOR, UNREADABLE = (
    "same",
    "differs",
    "not_reproduced",
    "at_the_door",
    "cannot_be_opened",
)


class Line(NamedTuple):
    """A line of a document, as it is compared and as people may see it."""

    told: str
    shown: str


@dataclass(frozen=True)
class Compared:
    """One message beside the log. ``difference``: the changed lines of the answer, masked."""

    played: Played
    verdict: str
    difference: tuple[str, ...] = ()


@dataclass
class Counts:
    """How many messages came to what."""

    of: Counter[str] = field(default_factory=Counter)

    @property
    def differ(self) -> int:
        """Those that were told something else, for whatever reason."""
        return self.of[DIFFERS] + self.of[NOT_REPRODUCED]


def compare(played: Played) -> Compared:
    """Outcome, HTTP status and answer beside those of the log."""
    if played.response is None:
        return Compared(played, AT_THE_DOOR if played.skipped == "at_the_door" else UNREADABLE)
    was, now = played.recorded, played.response
    adapter = played.door.adapter
    before, after = document(was.answer, adapter), document(now.body, adapter)
    is_same = (was.outcome, was.status) == (played.outcome, now.status) and _told(before) == _told(after)
    if is_same:
        return Compared(played, SAME)
    return Compared(played, NOT_REPRODUCED if played.doubts else DIFFERS, tuple(differences(before, after)))


# Documents --------------------------------------------------------------------------------------------------


def document(body: bytes, adapter: Adapter) -> list[Line]:
    """The answer's lines; what is no text is one line with its digest."""
    private, volatile = _low(adapter.private), _low(adapter.volatile)
    if body.lstrip().startswith(b"<"):
        try:
            return list(_xml(etree.fromstring(body, _PARSER), 0, private, volatile))
        except etree.XMLSyntaxError:
            pass
    if body.lstrip().startswith((b"{", b"[")):
        try:
            return list(_json(json.loads(body), 0, "", private, volatile))
        except ValueError:
            pass
    text = readable(body)
    if body and not text.isprintable() and b"\x00" in body:
        text = f"{len(body)} bytes, SHA-256 {hashlib.sha256(body).hexdigest()}"
    return [Line(line, mask(line.encode(), adapter.private)) for line in text.splitlines()]


_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)


def _low(names: frozenset[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


def _xml(
    node: etree._Element, depth: int, private: frozenset[str], volatile: frozenset[str], is_hidden: bool = False
) -> Iterator[Line]:
    tag = etree.QName(node).localname
    is_hidden = is_hidden or tag.lower() in private
    pad = "  " * depth
    yield Line(f"{pad}<{tag}>", f"{pad}<{tag}>")
    for name, value in sorted(node.attrib.items()):
        yield from _line(f"{pad}  {_text(name)}=", _text(value), _text(name).lower(), is_hidden, private, volatile)
    if node.text and node.text.strip():
        yield from _line(f"{pad}  ", node.text.strip(), tag.lower(), is_hidden, private, volatile)
    for child in node:
        yield from _xml(child, depth + 1, private, volatile, is_hidden)
        if child.tail and child.tail.strip():
            yield from _line(f"{pad}  ", child.tail.strip(), tag.lower(), is_hidden, private, volatile)


def _text(told: str | bytes) -> str:
    return told if isinstance(told, str) else told.decode()


def _json(value: Any, depth: int, key: str, private: frozenset[str], volatile: frozenset[str]) -> Iterator[Line]:
    pad = "  " * depth + (f"{key}: " if key else "")
    if isinstance(value, dict | list):
        yield Line(f"{pad}{'{' if isinstance(value, dict) else '['}", f"{pad}{'{' if isinstance(value, dict) else '['}")
        items = sorted(value.items()) if isinstance(value, dict) else [(key, item) for item in value]
        for name, item in items:
            yield from _json(item, depth + 1, str(name), private, volatile)
        return
    yield from _line(pad, json.dumps(value, ensure_ascii=False), key.lower(), False, private, volatile)


def _line(
    before: str, value: str, name: str, is_hidden: bool, private: frozenset[str], volatile: frozenset[str]
) -> Iterator[Line]:
    """``name`` is the field's, in lower case. A private value is compared and not shown."""
    if name in volatile:
        return
    shown = STARS if is_hidden or name in private else mask(value.encode("utf-8", "replace"), private)
    yield Line(before + value, (before + shown.replace("\n", "\\n"))[:MAX_LINE])


def differences(before: Sequence[Line], after: Sequence[Line]) -> Iterator[str]:
    """A unified difference of what may be shown; a private value that changed shows as a line of stars."""
    matcher = difflib.SequenceMatcher(None, _told(before), _told(after), autojunk=False)
    for group in matcher.get_grouped_opcodes(CONTEXT):
        first, last = group[0], group[-1]
        yield f"@@ -{first[1] + 1},{last[2] - first[1]} +{first[3] + 1},{last[4] - first[3]} @@"
        for kind, a, b, c, d in group:
            if kind == "equal":
                yield from (f" {line.shown}" for line in before[a:b])
                continue
            yield from (f"-{line.shown}" for line in before[a:b])
            yield from (f"+{line.shown}" for line in after[c:d])


def _told(lines: Sequence[Line]) -> list[str]:
    return [line.told for line in lines]


# Words ------------------------------------------------------------------------------------------------------


def as_text(compared: Compared, zone: ZoneInfo) -> str:
    """The message's head, why a difference may come from the begin, and the difference."""
    return "\n".join(_block(compared, zone)) + "\n"


def head(played: Played, zone: ZoneInfo) -> str:
    """When, which link, what, and both outcomes in a line."""
    was = played.recorded
    at = was.at.astimezone(zone)
    now = played.outcome or f"not played: {played.skipped}"
    outcome = was.outcome if now == was.outcome else f"{was.outcome} -> {now}"
    return f"{at:%Y-%m-%d %H:%M:%S} {zone.key}  {was.link}  {was.route}: {outcome}  {was.request_id}"


def _block(compared: Compared, zone: ZoneInfo) -> Iterator[str]:
    played = compared.played
    yield head(played, zone)
    if played.recorded.problem:
        yield f"    cannot be opened: {played.recorded.problem}"
    if compared.verdict == NOT_REPRODUCED:
        yield f"    state not reproduced: {', '.join(played.doubts)}"
    if played.response is not None and played.response.status != played.recorded.status:
        yield f"    HTTP {played.recorded.status} -> {played.response.status}"
    yield from (f"    {line}" for line in compared.difference)


def as_json(compared: Compared) -> str:
    """One object on a line, for tools."""
    played, was = compared.played, compared.played.recorded
    told: dict[str, Any] = {
        "request_id": was.request_id,
        "link": was.link,
        "at": was.at.isoformat(),
        "route": was.route,
        "verdict": compared.verdict,
        "was": {"outcome": was.outcome, "status": was.status},
    }
    if played.response is not None:
        told["now"] = {"outcome": played.outcome, "status": played.response.status}
    told |= {"not_reproduced": list(played.doubts), "difference": list(compared.difference)}
    if was.problem:
        told["problem"] = was.problem
    return json.dumps(told, ensure_ascii=False)


def summary(counts: Counts) -> str:
    """The counts in a sentence."""
    of = counts.of
    parts = [
        f"{of.total()} messages: {of[SAME]} answered alike, {of[DIFFERS]} differ",
        f"{of[NOT_REPRODUCED]} differ where the state is not reproduced" if of[NOT_REPRODUCED] else "",
        f"{of[AT_THE_DOOR]} refused at the door and not played" if of[AT_THE_DOOR] else "",
        f"{of[UNREADABLE]} cannot be opened" if of[UNREADABLE] else "",
    ]
    return ", ".join(part for part in parts if part)
