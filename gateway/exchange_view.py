"""The exchange log as an operator reads it: one block of text for each message, private fields masked."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from gateway.app import Parts
from gateway.exchange_log import Recorded, read
from gateway.mask import mask

# A message may have megabytes; who needs more of it than this replays it.
MAX_SHOWN = 16_000
INDENT = "    "


def show(parts: Parts, link: str, since: datetime, limit: int, outcome: str | None) -> Iterator[str]:
    """The newest ``limit`` messages of a link, oldest first; times are those of the link's store."""
    settings = parts.settings.links[link]
    private = parts.settings.adapter_of(settings).private
    zone = ZoneInfo(next(store.zone for store in parts.settings.chain.stores if store.code == settings.store))
    with parts.database.reading() as connection:
        found = read(connection, parts.vault, link, since, limit, outcome)
    if not found:
        yield "no messages"
    for recorded in found:
        yield "\n".join(block(recorded, private, zone)) + "\n"


def block(recorded: Recorded, private: frozenset[str], zone: ZoneInfo) -> Iterator[str]:
    """The lines of one exchange: its head, what came in, what went out."""
    at = recorded.at.astimezone(zone)
    # Lines of files are not answered over HTTP.
    status = f"HTTP {recorded.status}  " if recorded.status else ""
    yield (
        f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d} {zone.key}  {recorded.route}: {recorded.outcome}"
        f"  {recorded.took_us / 1000:.1f} ms  {status}{recorded.request_id}"
    )
    if recorded.problem:
        yield f"{INDENT}cannot be opened: {recorded.problem}"
        return
    request = recorded.request
    # The head as well: what a stranger tried there may be anything.
    yield f"  in   {mask(request.head.encode('utf-8', 'replace'), private)}"
    if request.reason:
        yield f"  why  {mask(request.reason.encode(), private)}"
    yield _shown(request.body, private)
    yield "  out"
    yield _shown(recorded.answer, private)


def _shown(body: bytes, private: frozenset[str]) -> str:
    """The body masked as a whole and cut afterwards: half a number would no longer look like one."""
    masked = mask(body, private).strip()
    rest = len(masked) - MAX_SHOWN
    shown = masked[:MAX_SHOWN] + (f"\n... and {rest} more characters" if rest > 0 else "")
    return textwrap.indent(shown or "(empty)", INDENT)
