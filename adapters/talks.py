"""Talks with far sides, led call by call: pushes, pulls and logins are generators, and this is who answers them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from adapters.contract import Calling, Reply
from processing.errors import BadReply
from processing.results import Result

T = TypeVar("T")

MAX_CALLS = 10_000


def listen(talk: Calling[T], answer: Callable[[Any], Reply | Result | None], most: int = MAX_CALLS) -> T:
    """Lead a talk to its end, and return what it returns. Errors: whatever calls and talk raise; BadReply after
    ``most`` calls."""
    try:
        said = next(talk)
        for _ in range(most):
            try:
                reply = answer(said)
            except Exception as error:
                # So that a talk may close what it has opened, whatever has failed.
                said = talk.throw(error)
            else:
                said = talk.send(reply)
    except StopIteration as end:
        told: T = end.value
        return told
    finally:
        talk.close()
    raise BadReply(f"more than {most} calls")
