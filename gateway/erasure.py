"""Forgetting people in the exchange log: messages that tell who an erased holder was are taken out, bite by bite. Then
in receipts of other systems, which keep the wallet alone.

What is looked for is kept encrypted until the log has been read up to some time after the erasure, and then thrown
away. Messages are compared as people would: names and e-mails in any case, phones by their digits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import msgspec
from sqlalchemy import Connection, Row, delete, select, update

from gateway.app import Parts
from gateway.exchange_log import Recorded, opened
from gateway.inbox import told_by
from gateway.mask import readable
from processing import learned_receipts, outbox
from processing.events import RECEIVED
from processing.holders import open_sought
from processing.tables import erasure, exchange_log, outbox_message

BITE_ROWS = 200
BITE_RECEIPTS = 1_000
# What was on its way into the log when the holder was erased has long been written by then.
SETTLED = timedelta(minutes=10)
# Tills cut names; what is left of a long one is known by its beginning.
NAME_CHARACTERS = 30
# A phone without its country's code, which tills leave out or write as 8.
PHONE_DIGITS = 10

_NOT_DIGITS = re.compile(r"[^0-9]+")


def forget_people(own: Parts) -> int:
    """Do one bite for one erased holder; how many messages were read or settled, or receipts changed."""
    with own.database.transaction() as connection:
        columns = erasure.c
        pending = select(erasure).where(columns.done_at.is_(None)).order_by(columns.holder_id).limit(1)
        row = connection.execute(pending.with_for_update(skip_locked=True)).first()
        if row is None:
            return 0
        return _bite(own, connection, row)


def _bite(own: Parts, connection: Connection, row: Row[Any]) -> int:
    log = exchange_log.c
    settled = row.asked_at + SETTLED
    newer = select(exchange_log).where(log.id > row.log_id, log.at <= settled).order_by(log.id).limit(BITE_ROWS)
    found = connection.execute(newer).all()
    mine = erasure.c.holder_id == row.holder_id
    if not found:
        now = own.database.now(connection)
        if now < settled:
            return 0
        receipts = learned_receipts.forget_holder(connection, row.holder_id, BITE_RECEIPTS)
        if receipts:
            return receipts
        _forget_received(own, connection, open_sought(own.vault, row.holder_id, row.sought))
        connection.execute(update(erasure).where(mine).values(sought=None, done_at=now))
        return 1
    sought = open_sought(own.vault, row.holder_id, row.sought)
    tell = [each.id for each in found if tells(opened(own.vault, each), sought)]
    if tell:
        connection.execute(delete(exchange_log).where(log.id.in_(tell)))
    connection.execute(update(erasure).where(mine).values(log_id=found[-1].id))
    return len(found)


def _forget_received(own: Parts, connection: Connection, sought: Sequence[str]) -> None:
    """Empty what has come in and was never booked where it tells of the person; what was booked is empty already."""
    c = outbox_message.c
    waiting = select(c.id, c.body).where(c.kind == RECEIVED, c.state != outbox.DELIVERED).order_by(c.id)
    found = connection.execute(waiting.limit(BITE_ROWS)).all()
    while found:
        told = {each.id: told_by(own.vault, msgspec.json.decode(each.body)) for each in found}
        outbox.empty(connection, [each for each, text in told.items() if _is_told(text, sought)])
        found = connection.execute(waiting.where(c.id > found[-1].id).limit(BITE_ROWS)).all()


def tells(recorded: Recorded, sought: Sequence[str]) -> bool:
    """Whether a message or its answer holds one of these names, phones or e-mails."""
    request = recorded.request
    return _is_told("\n".join((request.head, readable(request.body), readable(recorded.answer))), sought)


def _is_told(plain: str, sought: Sequence[str]) -> bool:
    text = "\n".join((plain, unquote(plain), unquote(plain, "cp1251"))).casefold()
    digits = _NOT_DIGITS.sub("", text)
    return any(_is_in(each, text, digits) for each in sought)


def _is_in(sought: str, text: str, digits: str) -> bool:
    if sought.startswith("+"):
        return _NOT_DIGITS.sub("", sought)[-PHONE_DIGITS:] in digits
    return bool(sought.strip()) and sought.strip().casefold()[:NAME_CHARACTERS] in text
