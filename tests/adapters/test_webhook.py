"""Webhooks: what is sent is what the specification's own library accepts, and nothing else is."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from adapters import webhook
from adapters.contract import HttpCall, HttpReply, Job, Link, Message, Session
from processing.errors import LinkDown, LinkRefused, Undelivered

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OTHER = "another secret, of plain text"


def link(batch: int = 1) -> Link:
    return Link("crm", "bistro", ZoneInfo("Europe/Moscow"), {"path": "/in", "batch": batch})


def sent(job: Job, to: Link, status: int = 200, **headers: str) -> HttpCall:
    """The one call of a push, answered with this."""
    talk = webhook.send(job, to)
    call = next(talk)
    assert isinstance(call, HttpCall)
    with pytest.raises(StopIteration):
        talk.send(HttpReply(status, headers, b""))
    return call


def job(*bodies: dict[str, Any]) -> Job:
    messages = tuple(Message(1 << 58 | n, "operation_posted", body) for n, body in enumerate(bodies))
    return Job(datetime.now(UTC), 1, messages)


def signed(call: HttpCall, now: datetime, **secrets: str) -> dict[str, str]:
    session = webhook.login(secrets or {"a": SECRET}, link())
    assert isinstance(session, Session) and session.sign is not None
    return {**call.headers, **session.sign(call, now)}


TEXTS = st.dictionaries(st.text(max_size=8), st.text(max_size=20) | st.integers(), max_size=4)


@given(bodies=st.lists(TEXTS, min_size=1, max_size=5), batch=st.sampled_from([1, 5]))
def test_the_specifications_library_accepts_what_is_sent(bodies: list[dict[str, Any]], batch: int) -> None:
    call = sent(job(*bodies[: 1 if batch == 1 else 5]), link(batch))
    told = Webhook(SECRET).verify(call.body, signed(call, datetime.now(UTC)))
    events = told if batch > 1 else [told]
    assert [event["data"] for event in events] == bodies[: len(events)]
    assert isinstance(told, list) is (batch > 1)


@pytest.mark.parametrize("fault", ["body", "id", "time", "secret"])
def test_it_refuses_what_was_changed(fault: str) -> None:
    call = sent(job({"a": 1}), link())
    headers, body = signed(call, datetime.now(UTC)), call.body
    if fault == "body":
        body += b" "
    elif fault == "id":
        headers[webhook.ID] = "evt_1"
    elif fault == "time":
        headers = signed(call, datetime.now(UTC) - timedelta(hours=1))
    else:
        headers = signed(call, datetime.now(UTC), a=OTHER)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body, headers)


def test_while_a_secret_is_changed_both_fit() -> None:
    call = sent(job({"a": 1}), link())
    headers = signed(call, datetime.now(UTC), new=OTHER, old=SECRET)
    for secret in (SECRET, "whsec_" + base64.b64encode(OTHER.encode()).decode()):
        Webhook(secret).verify(call.body, headers)


def test_the_snippet_of_the_docs_checks_signatures() -> None:
    from tests.docs.test_docs import code_blocks

    space: dict[str, Any] = {}
    exec("\n".join(block for block in code_blocks("adapters/webhook.md") if "def is_ours" in block), space)
    call = sent(job({"a": 1}), link())
    headers = signed(call, datetime.now(UTC))
    assert space["is_ours"](b"k" * 32, headers, call.body)
    assert not space["is_ours"](b"j" * 32, headers, call.body)
    assert not space["is_ours"](b"k" * 32, headers, call.body + b" ")


def test_the_same_message_has_the_same_id_whenever_it_is_sent() -> None:
    first, second = (sent(job({"a": 1}), link()) for _ in range(2))
    assert first.headers == second.headers and first.body == second.body
    assert msgspec.json.decode(first.body)["id"] == first.headers[webhook.ID]


@pytest.mark.parametrize(
    ("status", "error", "seconds"),
    [
        (429, LinkDown, 7.0),
        (503, LinkDown, 7.0),
        (408, LinkDown, 7.0),
        (400, LinkRefused, None),
        (302, LinkRefused, None),
    ],
)
def test_answers_that_are_no_yes(status: int, error: type[Undelivered], seconds: float | None) -> None:
    talk = webhook.send(job({"a": 1}), link())
    next(talk)
    with pytest.raises(error) as told:
        talk.send(HttpReply(status, {"retry-after": "7"}, b""))
    assert told.value.retry_seconds == seconds
