"""What lists and figures say is what log and outbox hold: nothing twice, nothing lost, nothing newer touched."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, update

from adapters.contract import Link
from adapters.registry import ADAPTERS
from gateway.console import figures, messages, search
from gateway.console.lanes import state_of
from gateway.console.understanding import understand
from gateway.console.words import ANSWERED, STATES
from gateway.exchange_log import Recorded, Request
from processing import tables
from processing.steering import Queue
from tests.pages import world as worlds
from tests.pages.world import GONE, LINKS, SENDS, World
from tests.processing.books import NOON, Books, StillClock


def log_rows(world: World) -> list[Any]:
    table = tables.exchange_log.c
    with world.database.reading() as connection:
        asked = select(table.id, table.link, table.at, table.outcome, table.took_us, table.request_id)
        return list(connection.execute(asked.order_by(table.id)))


def test_figures_are_those_of_the_log(busy: World, clock: StillClock) -> None:
    rows, now = log_rows(busy), clock.at
    with busy.database.reading() as connection:
        counted = figures.recent(connection, LINKS, now)
        bars = counted.bars["ural"]
        outcomes = figures.outcomes(connection, "ural", now)
    for code in LINKS:
        own = [row for row in rows if row.link == code]
        hour = [row for row in own if row.at >= now - timedelta(hours=1)]
        told = counted.of(code)
        assert told.exchanges == len(hour)
        assert told.errors == sum(row.outcome not in ANSWERED for row in hour)
        assert told.refused == sum(row.outcome in ANSWERED and row.outcome != "ok" for row in hour)
        assert (told.last.id if told.last else None) == (max(own, key=lambda row: row.at).id if own else None)
        took = sorted(row.took_us for row in hour)
        assert told.p95_us == (took[-(-len(took) * 95 // 100) - 1] if took else None)
    day = [row for row in rows if row.link == "ural" and row.at > now - timedelta(days=1)]
    assert sum(bar.exchanges for bar in bars) == len(day) == sum(count for _, _, count, _ in outcomes)
    assert [bar.begins for bar in bars] == [now - timedelta(hours=n) for n in range(24, 0, -1)]


@pytest.mark.parametrize(("page_rows", "looked_at"), [(7, 100_000), (50, 10), (3, 4)])
def test_going_through_the_log_tells_every_message_once(
    busy: World, monkeypatch: pytest.MonkeyPatch, page_rows: int, looked_at: int
) -> None:
    """Whatever is looked for, however little is looked at for one page, and while new messages come in."""
    monkeypatch.setattr(search, "PAGE_ROWS", page_rows)
    monkeypatch.setattr(search, "LOOKED_AT", looked_at)
    monkeypatch.setattr(search, "OUT_OF_STEP", 5)
    rows, middle = log_rows(busy), busy.database.clock(NOON) - timedelta(hours=3)
    for wanted, fits in (
        (search.Wanted(frozenset(LINKS)), lambda row: True),
        (search.Wanted(frozenset({"ural"})), lambda row: row.link == "ural"),
        (search.Wanted(frozenset(LINKS), kind="errors"), lambda row: row.outcome not in ANSWERED),
        (search.Wanted(frozenset(LINKS), outcome="failed"), lambda row: row.outcome == "failed"),
        (search.Wanted(frozenset(LINKS), since=middle), lambda row: row.at >= middle),
        (search.Wanted(frozenset(LINKS), until=middle), lambda row: row.at < middle),
        (search.Wanted(frozenset(LINKS), request_id=rows[5].request_id[:12]), lambda row: row.id == rows[5].id),
        (search.Wanted(frozenset()), lambda row: False),
    ):
        found, before = [], None
        for _ in range(len(rows) + 1):
            with busy.database.reading() as connection:
                page = search.search(connection, search.Wanted(**{**_fields(wanted), "before": before}))
            found += [row.id for row in page.rows]
            before = page.before
            if before is None:
                break
        assert found == [row.id for row in reversed(rows) if fits(row)]


def _fields(wanted: search.Wanted) -> dict[str, Any]:
    return {name: getattr(wanted, name) for name in search.Wanted.__dataclass_fields__}


@given(
    body=st.binary(max_size=300), path=st.sampled_from(["getcardinfoex.php", "transactionsex", "", "x/y", "findemail"])
)
def test_no_message_is_too_strange_to_be_looked_at(body: bytes, path: str) -> None:
    link = Link("moscow", "alpha-1", ZoneInfo("Europe/Moscow"), worlds.link("moscow", "alpha-1").options)
    recorded = Recorded(1, "moscow", NOON, "1" * 32, "-", "ok", 200, 1, Request("POST", path, "text/xml", body), b"")
    assert understand(ADAPTERS["rkeeper"], link, recorded).kind in {
        "asks",
        "answers",
        "refused",
        "unreadable",
        "no_route",
    }


def lane(**changes: Any) -> Queue:
    fields: dict[str, Any] = dict.fromkeys(Queue.__dataclass_fields__)
    told = {"link": "crm", "way": "push", "pending": 0, "dead": 0, "failures": 0, "breaker": "closed"}
    return Queue(**{**fields, **told, **changes})


EARLIER, LATER = NOON, NOON + timedelta(minutes=1)
instants = st.sampled_from([None, EARLIER, LATER])


@given(
    st.builds(
        lane,
        pending=st.integers(0, 2),
        breaker=st.sampled_from(["closed", "open", "half_open"]),
        paused_until=instants,
        blocked_by=st.sampled_from([None, 1]),
        last_failure_at=instants,
        last_success_at=instants,
    )
)
def test_green_only_after_a_success_that_nothing_has_followed(told: Queue) -> None:
    state = state_of(told)
    assert state in STATES
    is_last = told.last_success_at is not None and (
        told.last_failure_at is None or told.last_success_at >= told.last_failure_at
    )
    held = told.paused_until or told.blocked_by or told.breaker != "closed"
    assert (state == "works") == bool(is_last and not held)
    if told.paused_until:
        assert state == "paused"


def test_every_page_of_an_empty_server_says_what_to_do_next(world: World) -> None:
    visitor = world.signed_in("olga")
    for address, said in (
        ("/console/", "Ни одна касса ещё не обращалась"),
        ("/console/exchanges", "Ни одна касса ещё не обращалась"),
        ("/console/links/moscow", "Укажите кассе этот адрес"),
        ("/console/queues", "ничего не отправляет"),
        ("/console/dead", "Недоставленных нет"),
        ("/console/links?q=nothing", "Сбросить фильтр"),
    ):
        text = visitor.get(address).get_data(as_text=True)
        assert said in text, address


def test_figures_of_links_that_only_send_are_those_of_their_attempts(busy: World, clock: StillClock) -> None:
    with busy.database.reading() as connection:
        counted = figures.sent(connection, SENDS, clock.at)
        outcomes = figures.outcomes(connection, SENDS[0], clock.at, sends=True)
        asked = select(func.count()).where(tables.outbox_attempt.c.link == SENDS[0])
        attempts = connection.execute(asked).scalar()
    told = counted.of(SENDS[0])
    assert (told.exchanges, told.errors, told.last) == (attempts, attempts, None) and attempts == 3
    assert [(code, count) for code, _, count, _ in outcomes] == [("link_refused", attempts)]
    assert sum(bar.errors for bar in counted.bars[SENDS[0]]) == attempts
    whole = figures.together(counted.bars.values())
    assert sum(bar.exchanges for bar in whole) == sum(counted.of(code).exchanges for code in SENDS)
    assert figures.together([]) == []


def test_messages_of_links_that_no_file_names_are_seen_by_who_sees_the_whole_chain(busy: World) -> None:
    for path in ("/console/", "/console/queues"):
        told = {name: busy.signed_in(name).get(path).get_data(as_text=True) for name in ("olga", "pavel", "stella")}
        assert [name for name, text in told.items() if "больше не настроен" in text.lower()] == ["olga"]
        assert all(GONE not in told[name] for name in ("pavel", "stella"))
    assert GONE in told["olga"]
    visitor = busy.signed_in("olga")
    assert visitor.get(f"/console/links/{GONE}").status_code == 404


def test_the_first_sentence_names_what_is_worst(busy: World) -> None:
    text = busy.signed_in("oscar").get("/console/").get_data(as_text=True)
    sentence = re.sub(r"<[^>]*>|\s+", " ", text.partition('<p class="sentence"')[2].partition("</p>")[0])
    told = re.sub(r"\s+([.,:])", r"\1", re.sub(r"\s+", " ", sentence))
    assert "2 links of 8 are not responding: crm-moscow, almaty." in told
    assert "1 link is blocked by a dead message: crm-almaty." in told
    assert "The oldest message has been waiting for 40 min: crm-moscow." in told
    assert "6 dead letters wait for somebody." in told


def dead_of(world: World, link: str) -> list[int]:
    message = tables.outbox_message.c
    with world.database.reading() as connection:
        asked = select(message.id).where(message.link == link, message.state == "dead").order_by(message.id)
        return list(connection.execute(asked).scalars())


def test_what_is_done_to_many_leaves_newer_ones_and_asks_for_the_number(
    busy: World, clock: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "TYPED_ABOVE", 2)
    monkeypatch.setattr(messages, "MAX_BULK", 2)
    monkeypatch.setattr("processing.steering.MAX_BULK", 2)
    visitor, before = busy.signed_in("oscar"), dead_of(busy, "crm-moscow")
    asked = {"action": "requeue", "link": "crm-moscow", "error": "link_refused", "upto": str(before[-1])}
    with busy.database.transaction() as connection:
        newer = worlds.put(connection, "crm-moscow", clock.at, "dead", "link_refused: HTTP 422")
    assert visitor.post("/console/dead/act", **asked).status_code == 422
    assert visitor.post("/console/dead/act", **asked, typed="4").status_code == 422
    assert dead_of(busy, "crm-moscow") == [*before, newer]
    done = visitor.post("/console/dead/act", **asked, typed="3")
    assert (done.status_code, "count=3" in done.location) == (303, True)
    assert dead_of(busy, "crm-moscow") == [newer]
    assert visitor.post("/console/dead/act", **{**asked, "action": "skip"}).status_code == 422  # no reason
    assert dead_of(busy, "crm-almaty") != []


def test_one_message_is_requeued_or_skipped_once(busy: World) -> None:
    visitor, (first, second, third) = busy.signed_in("oscar"), dead_of(busy, "crm-almaty")
    assert visitor.post(f"/console/messages/{second}/requeue").status_code == 303
    assert dead_of(busy, "crm-almaty") == [first, third]
    assert visitor.post(f"/console/messages/{second}/requeue").status_code == 409
    assert visitor.post(f"/console/messages/{third}/skip", reason="x").status_code == 422
    assert visitor.post(f"/console/messages/{third}/skip", reason="sent by hand").status_code == 303
    with busy.database.reading() as connection:
        lanes, rows = tables.outbox_lane.c, tables.outbox_message.c
        blocked = connection.execute(select(lanes.blocked_by).where(lanes.link == "crm-almaty")).scalar()
        reason = connection.execute(select(rows.reason).where(rows.id == third)).scalar()
    assert blocked is None
    assert reason == "console/oscar: sent by hand"


def test_a_pause_has_a_reason_and_ends(busy: World, clock: StillClock) -> None:
    visitor, lanes = busy.signed_in("oscar"), tables.outbox_lane.c
    for fields in ({"minutes": "60"}, {"minutes": "61", "reason": "works"}, {"minutes": "x", "reason": "works"}):
        assert visitor.post("/console/links/crm-moscow/pause", **fields).status_code == 422

    def until() -> datetime | None:
        with busy.database.reading() as connection:
            found: datetime | None = connection.execute(
                select(lanes.paused_until).where(lanes.link == "crm-moscow")
            ).scalar()
            return found

    assert until() is None
    assert visitor.post("/console/links/crm-moscow/pause", minutes="60", reason="works").status_code == 303
    assert until() == clock.at + timedelta(hours=1)
    assert visitor.post("/console/links/crm-moscow/resume").status_code == 303
    assert until() is None


def test_the_same_address_tells_the_same_after_a_restart(busy: World, books: Books) -> None:
    """Nothing of what a page tells is in the memory of a process."""
    address = "/console/exchanges?link=moscow&kind=ok"
    first = busy.signed_in("oscar").get(address).get_data(as_text=True)
    again = worlds.opened(books)
    second = again.signed_in("oscar").get(address).get_data(as_text=True)
    assert _rows(first) == _rows(second) != []


def _rows(text: str) -> list[str]:
    return re.findall(r"/console/exchanges/(\d+)", text)


def test_an_attempt_of_a_key_that_is_gone_hides_nothing_else(busy: World) -> None:
    attempts = tables.outbox_attempt
    with busy.database.transaction() as connection:
        connection.execute(update(attempts).values(request=b"\x00\x00\x00\x63" + b"x" * 40))
        assert connection.execute(select(func.count()).select_from(attempts)).scalar_one() > 0
    message = busy.messages["crm-moscow"][1]
    answer = busy.signed_in("oscar").get(f"/console/messages/{message}")
    assert answer.status_code == 200
    assert "unknown card" in answer.get_data(as_text=True)
