"""``tillgate queue`` and REST's queues: what operators see and do, on the same rows."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from gateway import metrics
from gateway.cli import main
from processing import steering
from processing.errors import LinkDown
from tests.gateway.test_delivery import Desk, cards, desk, pulled, puller
from tests.processing.books import Books

__all__ = ["desk"]


@pytest.fixture
def run(desk: Desk, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Run a command on the desk's database; its output. The keys are those of the books."""
    import gateway.cli_queue
    from tests.processing.books import KEYS

    monkeypatch.setattr(gateway.cli_queue, "load_keys", lambda environ, url: KEYS)
    monkeypatch.setattr(gateway.cli_queue, "existing", lambda url: desk.books.database)

    def call(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, ["queue", *arguments])
        assert result.exit_code == code, result.output
        return result.output

    return call


def audited(books: Books) -> list[str]:
    return [
        row[0]
        for row in books.rows("SELECT action FROM audit WHERE action LIKE '%queue%' OR action LIKE 'mess%' ORDER BY id")
    ]


def test_what_a_queue_does_is_told_in_words(desk: Desk, run) -> None:  # type: ignore[no-untyped-def]
    assert "no queues yet" in run("list")
    cards(desk.books, 2)
    desk.far.script = [LinkDown("away")]
    desk.delivery.run_once()
    assert "failing 1 times (link_down: away)" in run("list") and "2 pending" in run("list")
    desk.later(hours=1)
    desk.far.script = [422]
    desk.delivery.run_once()
    assert "blocked by the dead message" in run("list") and "1 dead" in run("list")
    assert "link_refused: HTTP 422" in run("show", "crm", "--state", "dead")
    desk.later(hours=1)
    assert "blocked" in run("list")


def test_a_message_is_shown_with_its_story(desk: Desk, run) -> None:  # type: ignore[no-untyped-def]
    cards(desk.books, 1)
    desk.far.script = [503]
    desk.delivery.run_once()
    told = run("show", "crm", "--message", str(desk.rows()[0].id))
    assert "link_down  HTTP 503" in told and "out: POST /events" in told and "in: HTTP 503" in told
    assert "no message 5" in run("show", "crm", "--message", "5", code=1)


def test_what_came_of_asking_for_news_is_shown(desk: Desk, run) -> None:  # type: ignore[no-untyped-def]
    assert "crm was not asked yet" in run("looks", "crm")
    pulled(desk, puller([1, LinkDown("away")], [])).run_once()
    assert "link_down  away" in run("looks", "crm")
    assert "asks for news" in run("list")


def test_pause_resume_requeue_skip_edit_and_replay(desk: Desk, run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    cards(desk.books, 3)
    desk.far.script = [422]
    desk.delivery.run_once()
    dead = str(desk.rows()[0].id)
    assert "no queue of a link" in run("pause", "other", "--reason", "x", code=1)
    run("pause", "crm", "--reason", "works")
    assert "paused until resumed by cli" in run("list")
    run("resume", "crm")
    body = tmp_path / "body.json"
    body.write_text("[1]")
    assert "expected a JSON object" in run("edit", dead, str(body), code=1)
    body.write_text('{"a": 1}')
    run("edit", dead, str(body))
    assert run("requeue", "--link", "crm") == "1 requeued\n"
    last = str(desk.rows()[2].id)
    assert run("skip", "--message", last, "--reason", "old", "--yes") == "1 skipped\n"
    desk.delivery.run_once()
    assert desk.states() == ["delivered", "delivered", "cancelled"]
    assert desk.far.got[0][0]["data"] == {"a": 1}
    assert "is delivered" in run("edit", dead, str(body), code=1)
    assert run("replay", "crm", "--since", "2020-01-01") == "2 sent again\n"
    desk.delivery.run_once()
    assert desk.far.ids == desk.far.ids[:2] * 2
    assert "name a link" in run("requeue", code=2)
    assert audited(desk.books) == [
        "queue_paused",
        "queue_resumed",
        "message_edited",
        "messages_requeued",
        "messages_skipped",
        "messages_replayed",
    ]


def test_queues_and_deliveries_are_measured(desk: Desk) -> None:
    cards(desk.books, 3)
    desk.far.script = [200, 422]
    desk.delivery.run_once()
    desk.later(minutes=3)
    with desk.books.database.reading() as connection:
        now = desk.books.database.now(connection)
        told = metrics.exposition(steering.queues(connection, desk.books.database), now).decode()
    found = {
        (sample.name, sample.labels.get("state") or sample.labels.get("outcome")): sample.value
        for family in text_string_to_metric_families(told)
        for sample in family.samples
        if sample.labels.get("link") == "crm"
    }
    assert found["tillgate_queue_messages", "pending"] == 1 and found["tillgate_queue_messages", "dead"] == 1
    assert found["tillgate_queue_oldest_seconds", None] == 180 and found["tillgate_queue_blocked", None] == 1
    assert found["tillgate_deliveries_total", "delivered"] >= 1
    assert found["tillgate_deliveries_total", "link_refused"] >= 1
    assert found["tillgate_delivered_messages_total", None] >= 1


def test_bodies_are_json_objects_of_texts(desk: Desk) -> None:
    cards(desk.books, 1)
    for row in desk.rows():
        told = msgspec.json.decode(row.body)
        assert all(isinstance(each["amount"], str) for each in told["movements"])
