"""The pages in a real browser: each of them in both languages and both colours, by keyboard, without a script."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from gateway.console import exchanges, trials
from gateway.console import pages as declared
from gateway.console.door import NEEDED, WRITES
from gateway.workshop import Core, scratch_books
from processing import audit, tables
from processing.database import Database
from tests.pages import world as worlds
from tests.pages.world import CARD, PASSWORD, PHONE, Visitor, World

# Whoever reads what pages there are has to have declared them.
assert declared.PAGES
AXE = (Path(__file__).parent / "axe-4.14.1.min.js").read_text("utf-8")
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
WIDE, NARROW, HEIGHT = 1280, 320, 900
# Of text of twice the size tables may be wider than the page; and A4 across, without its margins.
LARGER, PAPER = 1100, 1032
# Not the store's zone: what is told in the browser's would show.
ZONE = "Asia/Tokyo"
READERS = {"ru": "olga", "en": "oscar"}

Served = tuple[World, str]


def pages(world: World) -> dict[str, list[str]]:
    """Addresses of every page, by its endpoint: such as have much to show, and such as have nothing."""
    exchange, bad = world.exchanges["moscow"][-1], world.exchanges["moscow-bar"][0]
    moscow, almaty = world.messages["crm-moscow"], world.messages["crm-almaty"]
    dead, blocking, waiting = moscow[1], almaty[3], moscow[5]
    upto = f"upto={waiting}"
    return {
        "overview": ["/console/"],
        "all_links": ["/console/links", "/console/links?q=nothing"],
        "one_link": ["/console/links/moscow", "/console/links/almaty-new", "/console/links/crm-almaty"],
        "queues": ["/console/queues"],
        "queue": ["/console/links/crm-moscow/queue", "/console/links/moscow/queue?state=dead"],
        "dead": ["/console/dead", "/console/dead?link=crm-moscow&error=link_refused"],
        "confirm": [f"/console/dead/confirm?action=skip&link=crm-moscow&{upto}"],
        "message": [f"/console/messages/{dead}", f"/console/messages/{blocking}", f"/console/messages/{waiting}"],
        "exchanges": ["/console/exchanges", "/console/exchanges?kind=ours&link=moscow&from=2026-01-01"],
        "exchange": [f"/console/exchanges/{exchange}", f"/console/exchanges/{bad}"],
        "trial": ["/console/try", f"/console/try?exchange={exchange}"],
        "password": ["/console/password"],
        "nowhere": ["/console/nothing"],
    }


@contextmanager
def page_of(browser: Any, served: Served, name: str, **options: Any) -> Iterator[Any]:
    """A page of somebody's browser, signed in; it must not say anything on its console."""
    world, base = served
    context = browser.new_context(base_url=base, locale="ru-RU", timezone_id=ZONE, reduced_motion="reduce", **options)
    if name:
        cookie = world.signed_in(name).client.get_cookie("tillgate-session")
        assert cookie is not None
        context.add_cookies([{"name": "tillgate-session", "value": cookie.value, "url": base}])
    page = context.new_page()
    noise: list[str] = []
    page.on("console", lambda message: noise.append(message.text))
    page.on("pageerror", lambda error: noise.append(str(error)))
    yield page
    context.close()
    # Of refusals a browser tells by itself.
    assert [text for text in noise if "the server responded with a status of 40" not in text] == []


@pytest.fixture(scope="module")
def readers(browser: Any, served: Served) -> Iterator[dict[str, Any]]:
    """A page of each language, open for all tests of the module."""
    with ExitStack() as stack:
        yield {language: stack.enter_context(page_of(browser, served, name)) for language, name in READERS.items()}


def violations(page: Any, rules: list[str]) -> list[tuple[str, str]]:
    """What axe finds; ``rules`` are tags or names of rules. It is loaded once for a page."""
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(AXE)
    found = page.evaluate("rules => axe.run(document, {runOnly: rules, resultTypes: ['violations']})", rules)
    return [(each["id"], each["nodes"][0]["html"][:200]) for each in found["violations"]]


# Elements that stick out of the page, and texts that are cut by their own box.
TOO_WIDE = """() => {
  const wide = [...document.body.querySelectorAll("*")].filter(e =>
    !e.closest(".scroll, pre, .hidden, .skip, thead") && e.checkVisibility()
    && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1);
  const cut = [...document.querySelectorAll("button, .button, .state, .chip, h1, h2, dd, dt, label")].filter(e =>
    e.checkVisibility() && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline");
  const tables = document.documentElement.clientWidth < 1200 ? [] :
    [...document.querySelectorAll(".scroll")].filter(e => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1);
  const page = document.documentElement.scrollWidth > document.documentElement.clientWidth ? ["the page"] : [];
  return [...page, ...[...wide, ...cut, ...tables].map(e => e.outerHTML.slice(0, 120))];
}"""
OVERLAPS = """() => {
  const boxes = [...document.querySelectorAll("h1, h2, p, dt, dd, th, td, label, button, .button, .chip, .state, pre")]
    .filter(e => !e.closest(".hidden, .skip") && e.checkVisibility()).map(e => [e, e.getBoundingClientRect()]);
  const found = [];
  for (const [a, r] of boxes) for (const [b, s] of boxes) {
    if (a === b || a.contains(b) || b.contains(a)) continue;
    const w = Math.min(r.right, s.right) - Math.max(r.left, s.left);
    const h = Math.min(r.bottom, s.bottom) - Math.max(r.top, s.top);
    if (w > 2 && h > 2) found.push(a.outerHTML.slice(0, 80) + " over " + b.outerHTML.slice(0, 80));
  }
  return found.slice(0, 3);
}"""
SAYS = "document.body.innerText"
MESSAGE = """{"do": "sale", "card": "5550001234", "points": 100, "receipt": {"number": "17", "till": "3", "shift": "1",
 "closed": "2026-05-04T19:52:31", "total": "522.50", "lines": []}}"""


# Colours of text on paper: black, and what stands behind it in grey.
NOT_BLACK = """() => [...document.querySelectorAll("main *")].filter(e => e.checkVisibility() && e.innerText
  && !["rgb(0, 0, 0)", "rgb(51, 51, 51)"].includes(getComputedStyle(e).color)).map(e => e.outerHTML.slice(0, 99))"""
CUT = """() => [...document.querySelectorAll("td, th, dd, p, pre")].filter(e => e.checkVisibility()
  && e.getBoundingClientRect().right > innerWidth).map(e => e.outerHTML.slice(0, 99))"""
PRESSED = """() => [...document.querySelectorAll("nav, button, .button, .filters")]
  .filter(e => e.checkVisibility()).map(e => e.outerHTML.slice(0, 99))"""
ENDPOINTS = sorted(NEEDED.keys() - WRITES - {"static", "sign_in"})


def check_layout(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": HEIGHT})
    assert page.evaluate(TOO_WIDE) == [], (page.url, width)
    assert page.evaluate(OVERLAPS) == [], (page.url, width)


def check_looks(page: Any, language: str) -> None:
    """Nothing wider than a phone, no texts over each other, also where text has twice the size; nothing of our own."""
    assert page.locator("html").get_attribute("lang") == language
    assert re.findall(r"\bNone\b(?! of)|\{\{|%\(|\bUTC\b|\bnan\b|&lt;", page.evaluate(SAYS)) == [], page.url
    for width in (WIDE, NARROW):
        check_layout(page, width)
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    for width in (LARGER, NARROW):
        check_layout(page, width)
    page.evaluate("document.documentElement.style.fontSize = ''")


def check_paper(page: Any, name: str) -> None:
    """Nothing is cut at its edge, nothing is white on white, and what can only be pressed is not there."""
    page.emulate_media(media="print")
    page.set_viewport_size({"width": PAPER, "height": HEIGHT})
    assert [page.evaluate(each) for each in (CUT, NOT_BLACK, PRESSED)] == [[], [], []], page.url
    assert name in page.locator("main > .on-paper").last.inner_text()
    page.emulate_media(media="screen")


def check_rules(page: Any, first: str, second: str) -> None:
    """No fault that axe knows; of the other colours only colours can be wrong."""
    page.set_viewport_size({"width": WIDE, "height": HEIGHT})
    page.emulate_media(color_scheme=first)
    assert violations(page, TAGS) == [], (page.url, first)
    page.emulate_media(color_scheme=second)
    assert violations(page, ["color-contrast"]) == [], (page.url, second)


def test_every_page_is_looked_at(served: Served) -> None:
    assert pages(served[0]).keys() == set(ENDPOINTS)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_page_is_good_in_both_languages_and_colours(readers: dict[str, Any], served: Served, endpoint: str) -> None:
    address = pages(served[0])[endpoint][0]
    readers["ru"].goto(address)
    check_rules(readers["ru"], "light", "dark")
    check_paper(readers["ru"], READERS["ru"])
    for language, page in readers.items():
        page.goto(address)
        check_looks(page, language)


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_page_is_good_whatever_it_has_to_show(readers: dict[str, Any], served: Served, endpoint: str) -> None:
    for address in pages(served[0])[endpoint]:
        for language, page in readers.items():
            page.goto(address)
            check_rules(page, "dark", "light")
            check_paper(page, READERS[language])
            check_looks(page, language)


def test_a_filter_stands_on_paper_in_words(readers: dict[str, Any]) -> None:
    readers["ru"].goto("/console/exchanges?link=moscow&from=2026-01-01")
    readers["ru"].emulate_media(media="print")
    assert "moscow · 2026-01-01" in readers["ru"].locator("main").inner_text()
    readers["ru"].emulate_media(media="screen")


def test_on_a_phone_the_bar_leads_to_every_page(browser: Any, served: Served) -> None:
    with page_of(browser, served, "oscar", viewport={"width": 390, "height": 844}) as page:
        page.goto("/console/")
        sentence, bar = page.locator(".sentence"), page.get_by_role("navigation", name="Short menu")
        assert sentence.bounding_box()["y"] + sentence.bounding_box()["height"] < bar.bounding_box()["y"] < 844
        bar.get_by_role("link", name="More").click()
        menu = page.get_by_role("navigation", name="Menu", exact=True)
        menu.get_by_role("link", name="Exchange log").click()
        page.wait_for_url("**/console/exchanges")
        page.get_by_role("navigation", name="Short menu").get_by_role("link", name="Dead letters").click()
        page.wait_for_url("**/console/dead")


def test_somebody_signs_in_and_out(browser: Any, served: Served) -> None:
    with page_of(browser, served, "") as page:
        page.goto("/console/exchanges?link=moscow")
        assert violations(page, TAGS) == []
        page.emulate_media(color_scheme="dark")
        assert violations(page, TAGS) == []
        page.set_viewport_size({"width": NARROW, "height": HEIGHT})
        assert page.evaluate(TOO_WIDE) == []
        page.get_by_label("Имя").fill("vera")
        page.get_by_label("Пароль").fill("wrong password")
        page.keyboard.press("Enter")
        page.get_by_role("alert").wait_for()
        assert "неверны" in page.get_by_role("alert").inner_text()
    with page_of(browser, served, "") as page:
        page.goto("/console/exchanges?link=moscow")
        page.get_by_label("Имя").fill("vera")
        page.get_by_label("Пароль").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url("**/console/exchanges?link=moscow")
        page.get_by_role("button", name="Выйти").click()
        page.wait_for_url("**/console/sign-in")
        page.goto("/console/links")
        assert "/sign-in" in page.url


def test_lists_and_filters_work_without_a_script(browser: Any, served: Served) -> None:
    with page_of(browser, served, "oscar", java_script_enabled=False) as page:
        page.goto("/console/exchanges")
        page.locator("select[name=link]").select_option("ural")
        page.get_by_role("button", name="Find").click()
        assert "link=ural" in page.url
        assert {cell.inner_text() for cell in page.locator("tbody td:nth-child(3)").all()} == {"ural"}
        page.goto("/console/exchanges")
        first = page.locator("tbody th a").first.get_attribute("href")
        page.get_by_role("link", name="Older ones").click()
        assert page.locator("tbody th a").first.get_attribute("href") != first
        page.goto("/console/links")
        page.locator("select[name=state]").select_option("bad")
        page.get_by_role("button", name="Show").click()
        assert "2 links of 8" in page.locator("main").inner_text()
        page.get_by_text("Settings").click()
        assert page.locator("select[name=language]").is_visible()


def by_keyboard(page: Any, name: str, most: int = 80) -> None:
    """Tab to what has this name, and press Enter."""
    for _ in range(most):
        page.keyboard.press("Tab")
        focused = page.evaluate("document.activeElement.innerText || ''").strip()
        if focused == name:
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"the focus on {name} is not seen"
            with page.expect_navigation():
                page.keyboard.press("Enter")
            return
    raise AssertionError(f"no way to {name!r} by keyboard")


def test_a_group_is_found_and_requeued_by_keyboard_and_nothing_newer_is_touched(browser: Any, served: Served) -> None:
    world, _base = served
    with page_of(browser, served, "oscar") as page:
        page.goto("/console/")
        by_keyboard(page, "Dead letters")
        page.locator("tbody tr").filter(has_text="crm-moscow").locator("th a").focus()
        with page.expect_navigation():
            page.keyboard.press("Enter")
        by_keyboard(page, "Put 3 messages back into the queue")
        with world.database.transaction() as connection:
            now = world.database.now(connection)
            newer = worlds.put(connection, "crm-moscow", now, "dead", "link_refused: HTTP 422")
        by_keyboard(page, "Put 3 messages back into the queue")
        assert "3 messages were put back into the queue" in page.get_by_role("status").first.inner_text()
        page.goto(f"/console/messages/{newer}")
        assert page.locator("h1 + .state").inner_text() == "dead"
        page.goto(f"/console/messages/{world.messages['crm-moscow'][1]}")
        assert page.locator("h1 + .state").inner_text() == "waiting"


def test_a_link_is_paused_and_resumed(browser: Any, served: Served) -> None:
    with page_of(browser, served, "olga") as page:
        page.goto("/console/links/crm-almaty/queue")
        page.get_by_text("Поставить crm-almaty на паузу").first.click()
        page.get_by_label("Причина").fill("у них ремонт")
        page.locator("select[name=minutes]").select_option("60")
        page.get_by_role("button", name="Поставить crm-almaty на паузу").click()
        page.wait_for_url("**done=paused")
        assert "у них ремонт" in page.locator("#lane-push").inner_text()
        assert "пауза" in page.locator("#lane-push .state").inner_text()
        page.get_by_role("button", name="Возобновить crm-almaty").click()
        page.wait_for_url("**done=resumed")
        assert "пауза" not in page.locator("#lane-push .state").inner_text()


def test_times_are_the_stores_and_not_the_browsers(browser: Any, served: Served) -> None:
    with page_of(browser, served, "olga") as page:
        page.goto("/console/exchanges?link=almaty")
        shown = page.locator("tbody th time").first
        instant = shown.get_attribute("datetime")
        told = "t => new Intl.DateTimeFormat('ru', {timeZone: 'Asia/Almaty', timeStyle: 'medium'}).format(new Date(t))"
        local = page.evaluate(told, instant)
        assert shown.inner_text().endswith(local)
        assert "Алматы" in page.locator("tbody th").first.inner_text()


def test_a_page_refreshes_itself_unless_it_is_in_use_and_says_when_it_cannot(browser: Any, served: Served) -> None:
    with page_of(browser, served, "oscar") as page:
        page.clock.install()
        page.goto("/console/")
        before = page.locator("#live .mute time").last.inner_text()
        page.clock.run_for(11_000)
        changed = "before => document.querySelector('#live > p.mute time').innerText !== before"
        page.wait_for_function(changed, arg=before)
        page.get_by_role("button", name="Pause the refresh").click()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.clock.run_for(30_000)
        assert asked == []
        page.get_by_role("button", name="Pause the refresh").click()
        page.evaluate("document.activeElement.blur(); window.fetch = () => Promise.reject(new Error('gone')); 0")
        stale = page.get_by_text("No connection to the server, the data are old")
        assert not stale.is_visible()
        page.clock.run_for(11_000)
        stale.wait_for(state="visible")


def test_a_pasted_message_is_told_step_by_step(browser: Any, served: Served) -> None:
    """Which rule takes it and why no other does, what was read, asked, booked and answered; a phone shows all of it."""
    with page_of(browser, served, "olga") as page:
        page.goto("/console/")
        page.get_by_role("link", name="Разбор сообщения").click()
        page.get_by_label("Подключение или описание").select_option("adapter:acme")
        page.get_by_label("Адрес после подключения").fill("receipt")
        page.get_by_label("Сообщение", exact=True).fill(MESSAGE)
        page.get_by_role("button", name="Разобрать").click()
        page.get_by_role("heading", name="Что отвечено").wait_for()
        said = page.locator("main").inner_text()
        for told in ("нет: do is 'sale', expected quote", "'522.50'", "52250", "PostReceipt", "ReceiptPosted"):
            assert told in said, told
        assert '"points":371.62' in page.get_by_label("Что отвечено").last.inner_text()
        check_layout(page, NARROW)


# Trying messages, beyond what a browser shows: here, where the pages are served already ---------------------------

TRY = "/console/try"
CARD_ASKED = '{"card": "5550001234", "phone": "<b>"}'


@pytest.fixture(scope="module")
def core() -> Iterator[Core]:
    with scratch_books() as made:
        yield made


@pytest.fixture
def trying(served: Served, core: Core, monkeypatch: pytest.MonkeyPatch) -> World:
    """The pages, which try everything before the same scratch books: to make them takes half a second."""
    monkeypatch.setattr(trials, "scratch_books", lambda: nullcontext(core))
    return served[0]


def trial(visitor: Visitor, **fields: str) -> TestResponse:
    return visitor.client.post(TRY, data={"csrf": visitor.token(TRY), **fields})


def operations(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(tables.operation)).scalar_one())


def test_a_message_is_tried_with_its_query_headers_and_encoding_and_books_nothing(trying: World) -> None:
    visitor, before = trying.signed_in("oscar"), operations(trying.database)
    told = trial(visitor, subject="adapter:acme", path="/card/", body=CARD_ASKED).get_data(as_text=True)
    assert "takes it" in told and "Identified" in told and "Анна Смирнова" in told
    assert "<b>" not in told and "&lt;b&gt;" in told
    told = trial(visitor, subject="adapter:acme", path="nowhere").get_data(as_text=True)
    assert "No rule has this address and method." in told and "no_such_route" in told
    told = trial(visitor, subject="adapter:acme", path="card", body='{"card":').get_data(as_text=True)
    assert "It could not be understood." in told and "No rule has this address" not in told
    told = trial(visitor, subject="link:moscow", path="getcardinfoex.php", body="<ROOT/>").get_data(as_text=True)
    assert "This protocol is written in Python" in told and "The books were not asked." in told
    assert operations(trying.database) == before
    request = trials._pasted({**trials.BLANK, "encoding": "cp1251", "body": "Ё", "headers": "X-A: b:c\r\n"}, None)
    assert (request.body, request.headers) == (b"\xa8", {"x-a": "b:c"})


def test_one_of_the_log_is_tried_by_whom_it_is_shown_to_and_who_says_why(trying: World) -> None:
    visitor, exchange = trying.signed_in("oscar"), trying.exchanges["moscow"][-1]
    assert PHONE not in visitor.get(f"{TRY}?exchange={exchange}").get_data(as_text=True)
    assert trial(visitor, exchange=str(exchange), reason=" ").status_code == 422
    with trying.database.reading() as connection:
        assert audit.changes(connection, "personal_shown", f"exchange {exchange}") == []
    told = trial(visitor, exchange=str(exchange), reason="a guest complains").get_data(as_text=True)
    assert CARD in told and "What is answered" in told
    with trying.database.reading() as connection:
        (kept,) = audit.changes(connection, "personal_shown", f"exchange {exchange}")
    assert (kept.actor, kept.details["reason"]) == ("console/oscar", "a guest complains")
    stranger = trying.signed_in("pavel")
    for fields in (
        {"exchange": str(exchange)},
        {"subject": "link:moscow"},
        {"subject": "adapter:none"},
        {"subject": "x"},
    ):
        assert trial(stranger, reason="because of this", **fields).status_code == 404, fields
    assert stranger.get(f"{TRY}?exchange={exchange}").status_code == 404
    assert trying.signed_in("vera").get(TRY).status_code == 403


def test_whatever_an_adapter_raises_is_told_and_what_is_long_is_cut(
    trying: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    visitor = trying.signed_in("oscar")
    monkeypatch.setattr(exchanges, "MAX_SHOWN", 10)
    told = trial(visitor, subject="adapter:acme", path="card", body=CARD_ASKED).get_data(as_text=True)
    assert "more characters" in told and "Анна Смирнова" not in told

    def fails(*_: Any) -> Any:
        raise KeyError("card")

    monkeypatch.setattr(trials, "try_message", fails)
    told = trial(visitor, subject="adapter:acme", path="card", body=CARD_ASKED).get_data(as_text=True)
    assert "<code>KeyError</code>" in told
    assert "trial_failed" in "".join(capsys.readouterr())


def test_one_message_is_tried_at_a_time(trying: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "WAIT_SECONDS", 0)
    with trials._one_at_a_time:
        assert trial(trying.signed_in("oscar"), subject="adapter:acme", path="ping").status_code == 503
