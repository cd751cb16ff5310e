"""1C's exchange with a site: from bytes to the goods of the books, as the stock client goes about it.

``Client`` is that client: it checks what it checks (docs/adapters/commerceml.md, "The exchange"), cuts files into
pieces of the told size, and asks for an import until it is over.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import random
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from lxml import etree

from adapters import commerceml
from adapters.contract import SignIn
from gateway import site_exchange, site_imports, uploads
from gateway.auth import open_session, sign_in
from gateway.books import Books as Asking
from gateway.credentials import LinkSecret
from gateway.pos import doors
from gateway.settings import GatewaySettings, LinkSettings
from gateway.site_exchange import COOKIE, SESSION_SECONDS, SiteExchange
from gateway.site_imports import SiteImports
from gateway.uploads import Uploads
from processing.errors import Busy
from tests.processing.books import MOSCOW, Books

LINK, SECRET = "site", "пароль обмена с сайтом"
FILES = Path(__file__).parents[1] / "adapters" / "commerceml" / "files"
GOODS, OFFERS = ((FILES / f"{name}.file.xml").read_bytes() for name in ("goods", "offers"))
ROOM = 1 << 20
# What differs between the databases is looked at once.
SQLITE = pytest.mark.parametrize("books", ["sqlite"], indirect=True)


@dataclass
class Log:
    """An exchange log that is looked at."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def record(self, **told: Any) -> None:
        self.rows.append(told)


@dataclass
class Site:
    """The door, and what it was built of."""

    door: SiteExchange
    settings: LinkSettings
    imports: SiteImports
    folder: Path
    log: Log

    def call(self, query: str, method: str = "GET", body: bytes = b"", **headers: str) -> tuple[int, str]:
        said: list[Any] = []
        environ = {
            "PATH_INFO": f"/pos/{LINK}/bitrix/admin/1c_exchange.php",
            "REQUEST_METHOD": method,
            "QUERY_STRING": query,
            "REMOTE_ADDR": "192.0.2.7",
            "wsgi.input": io.BytesIO(body),
            **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
        }
        answer = b"".join(self.door(environ, lambda status, told: said.extend((status, dict(told)))))
        assert said[1]["Content-Length"] == str(len(answer))
        return int(said[0].split()[0]), answer.decode()


def site_of(books: Books, folder: Path, **changes: Any) -> Site:
    settings = LinkSettings(
        code=LINK,
        adapter="commerceml",
        store=MOSCOW,
        enabled=True,
        secrets=(LinkSecret(hashlib.sha256(SECRET.encode()).digest()),),
        addresses=(),
        options=commerceml.Options().load({}),
        user="1c",
    )
    settings = replace(settings, **changes)
    ask = Asking(books.core, GatewaySettings(), None).ask
    imports = SiteImports(books.core, books.core.work.vault, ask, wait_seconds=30)
    log = Log()
    all_doors = doors({LINK: settings}, {"commerceml": commerceml.ADAPTER}, {MOSCOW: "Europe/Moscow"})
    door = SiteExchange(_nowhere, all_doors, Uploads(folder, ROOM, SESSION_SECONDS), imports, log)  # type: ignore[arg-type]
    return Site(door, settings, imports, folder, log)


def _nowhere(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("404 Not Found", [("Content-Length", "0")])
    return []


@pytest.fixture
def site(books: Books, tmp_path: Path) -> Iterator[Site]:
    found = site_of(books, tmp_path / "uploads")
    yield found
    found.imports.close()


def basic(user: str = "1c", password: str = SECRET) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@dataclass
class Client:
    site: Site
    kind: str = "catalog"
    cookie: str = ""
    is_zip: bool = False
    piece: int = 0

    def sign_in(self) -> None:
        status, answer = self.site.call(f"type={self.kind}&mode=checkauth", authorization=basic())
        first, name, value = answer.split("\n")
        assert (status, first.strip().lower()) == (200, "success")
        self.cookie = f"{name}={value}"

    def init(self) -> None:
        lines = self.ask("init").split("\n")
        assert len(lines) == 2, "parameters not received"
        self.is_zip, self.piece = lines[0] == "zip=yes", int(lines[1].removeprefix("file_limit="))

    def ask(self, mode: str, body: bytes | None = None, **more: str) -> str:
        query = f"type={self.kind}&mode={mode}" + "".join(f"&{name}={quote(value)}" for name, value in more.items())
        method = "GET" if body is None else "POST"
        status, answer = self.site.call(query, method, body or b"", cookie=self.cookie)
        assert status == 200
        return answer

    def send(self, name: str, content: bytes, piece: int = 0) -> None:
        for start in range(0, len(content), piece or self.piece):
            part = content[start : start + (piece or self.piece)]
            assert self.ask("file", part, filename=name).split("\n")[0] == "success"

    def read(self, name: str) -> str:
        while (answer := self.ask("import", filename=name)).startswith("progress"):
            pass
        return answer

    def exchange(self, files: dict[str, bytes], is_zip: bool = False, piece: int = 0) -> list[str]:
        self.sign_in()
        self.init()
        sent = {"v8_1A2B_3c.zip": packed(files)} if is_zip else files
        for name, content in sent.items():
            self.send(name, content, piece)
        return [self.read(name) for name in files]


def packed(files: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return held.getvalue()


def kept(books: Books) -> tuple[int, int]:
    return books.count("goods"), books.count("goods_name")


@pytest.mark.parametrize("is_zip", [False, True], ids=["plain", "zip"])
def test_a_catalogue_becomes_goods_that_lines_are_known_by(books: Books, site: Site, is_zip: bool) -> None:
    client = Client(site)
    files = {"import0_1.xml": GOODS, "offers0_1.xml": OFFERS}
    assert client.exchange(files, is_zip, piece=1_000) == ["success", "success"]
    assert kept(books) == (3, 6)
    found = books.rows(
        "SELECT n.value, g.name, g.category FROM goods_name n JOIN goods g ON g.code = n.code"
        " WHERE n.value = '4600000000077'"
    )
    assert found == [("4600000000077", "Сигареты в пачке", "0c0a0000-0000-4000-8000-000000000002")]
    # The whole exchange once more changes nothing.
    before = books.rows("SELECT * FROM request_key ORDER BY key")
    assert client.exchange(files, is_zip) == ["success", "success"]
    assert (kept(books), books.rows("SELECT * FROM request_key ORDER BY key")) == ((3, 6), before)
    assert {row["outcome"] for row in site.log.rows} == {"ok"}


@SQLITE
def test_what_nobody_reads_is_heard_and_not_kept(site: Site) -> None:
    client = Client(site)
    pictures = {f"import_files/{n:02x}/picture.jpg": os.urandom(5_000) for n in range(3)}
    assert client.exchange(pictures) == ["success"] * 3
    assert sum(each.stat().st_size for each in site.folder.rglob("*") if each.is_file()) == 0


@SQLITE
def test_orders_are_asked_for_and_there_are_none(site: Site) -> None:
    client = Client(site, "sale")
    client.sign_in()
    client.init()
    answer = client.ask("query")
    assert answer.startswith("<?xml")
    assert etree.fromstring(answer.encode()).tag == "{urn:1C.ru:commerceml_2}КоммерческаяИнформация"
    assert client.ask("success") == "success"
    # Changes of orders are taken, and are nobody's here.
    client.send("orders-1_1.xml", GOODS)
    assert client.ask("import", filename="orders-1_1.xml") == "success"


# What goes wrong ---------------------------------------------------------------------------------------------------


@SQLITE
def test_a_stranger_is_asked_for_a_password_and_nothing_secret_is_logged(site: Site) -> None:
    for headers in ({}, {"authorization": basic(password="nearly right, but no")}, {"authorization": "Basic ?"}):
        status, answer = site.call("type=catalog&mode=checkauth", **headers)
        assert (status, answer.split("\n")[0]) == (401, "failure")
    client = Client(site)
    client.exchange({"import0_1.xml": GOODS})
    token = client.cookie.partition("=")[2]
    told = repr(site.log.rows)
    assert [secret for secret in (SECRET, token, token.split(".")[2]) if secret in told] == []
    assert [row["outcome"] for row in site.log.rows[:3]] == ["bad_credentials"] * 3


@SQLITE
def test_a_cookie_opens_its_own_link_until_its_time_is_over(site: Site) -> None:
    now = datetime.now(UTC)
    other = replace(site.settings, code="other")
    for cookie in (
        "",
        f"{COOKIE}=",
        f"{COOKIE}=a.b.c",
        f"{COOKIE}={open_session(other, now, SESSION_SECONDS)}",
        # A token of tills has no session: the folder of all of them would be its own.
        f"{COOKIE}={sign_in(site.settings, SignIn(secret=SECRET, seconds=600), now).token}",
        f"{COOKIE}={open_session(site.settings, now - timedelta(seconds=SESSION_SECONDS + 5), SESSION_SECONDS)}",
    ):
        assert Client(site, cookie=cookie).ask("init").split("\n")[0] == "failure"
    assert Client(site, cookie=f"a=b; {COOKIE}={open_session(site.settings, now, 60)}").ask("init").startswith("zip")


@SQLITE
def test_steps_in_the_wrong_order_are_refused_with_words(site: Site) -> None:
    client = Client(site)
    client.sign_in()
    assert client.ask("file", GOODS, filename="import0_1.xml") == (
        "failure\nОбмен не начат или файлы уже удалены. Начните обмен сначала"
    )
    client.init()
    for mode, more in (
        ("import", {"filename": "import0_1.xml"}),
        ("file", {"filename": "import0_1.xml"}),
        ("file", {"filename": "import" + "x" * 300 + ".xml"}),
        ("steal", {}),
    ):
        assert client.ask(mode, b"" if mode == "file" else None, **more).startswith("failure\n"), mode
    assert Client(site, "else", client.cookie).ask("init").startswith("failure\n")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (GOODS[:-200], "Файл повреждён или пришёл не весь"),
        (GOODS.replace("</Товары>".encode(), b"</a>"), "Файл повреждён или пришёл не весь"),
        (b"<html/>", "Это не файл CommerceML"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + GOODS, "Это не файл CommerceML"),
        (os.urandom(2_000), "Это не файл CommerceML"),
    ],
    ids=["cut", "malformed", "foreign", "entities", "noise"],
)
@SQLITE
def test_a_broken_file_is_told_and_what_could_be_read_is_kept(
    books: Books, site: Site, content: bytes, words: str
) -> None:
    client = Client(site)
    assert client.exchange({"import0_1.xml": content}) == [f"failure\n{words}"]
    # The same name, sent anew, begins anew.
    client.send("import0_1.xml", GOODS)
    assert client.read("import0_1.xml") == "success"
    assert books.count("goods") == 3


def zips() -> dict[str, bytes]:
    whole = packed({"import0_1.xml": GOODS})
    wrong = bytearray(whole)
    wrong[60] ^= 0xFF
    large = bytearray(whole)
    at = large.rfind(b"PK\x05\x06")
    large[at + 12 : at + 16] = (1 << 30).to_bytes(4, "little")
    return {
        "cut": whole[:-30],
        "half": whole[: len(whole) // 2],
        "changed": bytes(wrong),
        "no zip": b"PK and nothing else",
        "a list that fills the memory": bytes(large),
        "without the file": packed({"offers0_1.xml": OFFERS}),
        "a path out of it": packed({"../import0_1.xml": GOODS}),
    }


@pytest.mark.parametrize("archive", zips().values(), ids=zips())
@SQLITE
def test_a_broken_archive_is_told(books: Books, site: Site, archive: bytes) -> None:
    client = Client(site)
    client.sign_in()
    client.init()
    client.send("v8.zip", archive)
    assert client.read("import0_1.xml").startswith("failure\n")
    assert books.count("goods") == 0


@SQLITE
def test_a_bomb_is_not_unpacked_beyond_its_bound(books: Books, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_UNPACKED", 3 << 20)
    bomb = GOODS.replace("</Товары>".encode(), b" " * (16 << 20) + "</Товары>".encode())
    client = Client(site)
    assert client.exchange({"import0_1.xml": bomb}, is_zip=True)[0].startswith("failure\n")
    assert max(each.stat().st_size for each in site.folder.rglob("*")) < 1 << 20


@SQLITE
def test_no_name_leads_out_of_the_folder(site: Site, tmp_path: Path) -> None:
    client = Client(site)
    client.sign_in()
    client.init()
    before = set(tmp_path.rglob("*"))
    for name in ("../../import.xml", "/etc/import.xml", "..\\..\\import0.xml", "import\0.xml", "import/../../x.zip"):
        client.ask("file", b"x", filename=name)
    made = set(tmp_path.rglob("*")) - before
    assert all(each.parent.parent == site.folder for each in made)
    assert all(len(each.name.removesuffix(".zip")) == 64 for each in made)


@SQLITE
def test_pieces_and_all_that_is_uploaded_have_bounds(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_exchange, "PIECE_BYTES", 300_000)
    client = Client(site)
    client.sign_in()
    client.init()
    assert client.piece == 300_000
    assert client.ask("file", b"x" * 300_001, filename="import0_1.xml").startswith("failure\n")
    assert client.ask("file", b"x" * 300_001, filename="picture.jpg").startswith("failure\n")
    told = [client.ask("file", b"x" * 300_000, filename=f"import{n}.xml").split("\n")[0] for n in range(5)]
    assert told == ["success"] * 3 + ["failure"] * 2
    # A refused piece leaves nothing behind, and a new session of the same client has its room again.
    assert sum(each.stat().st_size for each in site.folder.rglob("*.xml")) == 0
    client.init()
    assert client.ask("file", b"x" * 300_000, filename="import0_1.xml") == "success"


def test_a_piece_whose_line_breaks_leaves_nothing(tmp_path: Path) -> None:
    held = Uploads(tmp_path / "held", ROOM, SESSION_SECONDS)
    held.begin("s")
    held.append("s", "import0_1.xml", io.BytesIO(GOODS[:1_000]).read, ROOM)
    pieces = [b"half of a piece"]

    def breaking(most: int) -> bytes:
        if not pieces:
            raise ConnectionError("the line is down")
        return pieces.pop()

    with pytest.raises(ConnectionError):
        held.append("s", "import0_1.xml", breaking, ROOM)
    with held.find("s", "import0_1.xml").opened() as chunks:
        assert b"".join(chunks) == GOODS[:1_000]


@SQLITE
def test_sessions_that_are_over_make_room(site: Site) -> None:
    old = site.folder / ("0" * 32)
    old.mkdir(parents=True)
    os.utime(old, (0, 0))
    Client(site).exchange({"import0_1.xml": GOODS})
    assert not old.exists()


# While it is read --------------------------------------------------------------------------------------------------


@SQLITE
def test_progress_is_told_while_a_file_is_read_and_the_books_may_be_busy(
    books: Books, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_imports, "BUSY_SECONDS", 0.0)
    gate, calls = threading.Event(), []
    ask = site.imports.ask

    def slow(asks: Any) -> Any:
        calls.append(len(asks))
        assert gate.wait(10)
        return [Busy("later") for _ in asks] if len(calls) == 1 else ask(asks)

    site.imports.ask, site.imports.wait_seconds = slow, 0.01
    client = Client(site)
    client.sign_in()
    client.init()
    client.send("import0_1.xml", GOODS)
    assert client.ask("import", filename="import0_1.xml") == "progress\n0"
    gate.set()
    site.imports.wait_seconds = 10
    assert client.read("import0_1.xml") == "success"
    assert (calls, books.count("goods")) == ([3, 3], 3)


@SQLITE
@pytest.mark.parametrize("begins_anew", [True, False])
def test_what_comes_while_a_file_is_read_is_read_as_well(books: Books, site: Site, begins_anew: bool) -> None:
    gate, ask = threading.Event(), site.imports.ask

    def slow(asks: Any) -> Any:
        assert gate.wait(10)
        return ask(asks)

    site.imports.ask, site.imports.wait_seconds = slow, 0.01
    client = Client(site)
    client.sign_in()
    client.init()
    half = len(GOODS) if begins_anew else GOODS.rindex("<Товар>".encode())
    client.send("import0_1.xml", GOODS[:half])
    assert client.ask("import", filename="import0_1.xml").startswith("progress")
    if begins_anew:
        client.init()
    client.send("import0_1.xml", OFFERS if begins_anew else GOODS[half:])
    gate.set()
    site.imports.wait_seconds = 10
    assert client.read("import0_1.xml") == "success"
    rows = books.rows("SELECT count(*) FROM request_key WHERE key LIKE 'commerceml:offer:%'")
    assert (rows[0][0] > 0) == begins_anew
    assert books.count("goods") == 3


@SQLITE
def test_an_archive_that_comes_again_is_read_again(books: Books, site: Site) -> None:
    client = Client(site)
    assert client.exchange({"import.xml": GOODS}, is_zip=True) == ["success"]
    client.send("v8_1A2B_3c.zip", packed({"import.xml": OFFERS}))
    assert client.read("import.xml") == "success"
    assert books.rows("SELECT count(*) FROM request_key WHERE key LIKE 'commerceml:offer:%'")[0][0]


@SQLITE
def test_a_file_is_read_by_one_of_many_that_ask(books: Books, site: Site) -> None:
    client = Client(site)
    client.sign_in()
    client.init()
    client.send("import0_1.xml", GOODS)
    told: list[str] = []
    threads = [threading.Thread(target=lambda: told.append(client.read("import0_1.xml"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == ["success"] * 4
    assert len({row[0] for row in books.rows("SELECT answer FROM request_key WHERE key LIKE 'commerceml:%'")}) == 3


@SQLITE
def test_another_process_that_has_ended_leaves_the_file_to_whoever_asks_next(
    books: Books, site: Site, tmp_path: Path
) -> None:
    client = Client(site)
    client.sign_in()
    client.init()
    client.send("import0_1.xml", GOODS)
    session = next(site.folder.iterdir()).name
    lock = Uploads(site.folder, ROOM, SESSION_SECONDS).find(session, "import0_1.xml").lock()
    assert lock is not None
    site.imports.wait_seconds = 0.01
    assert client.ask("import", filename="import0_1.xml") == "progress\n0"
    os.close(lock)
    site.imports.wait_seconds = 10
    assert client.read("import0_1.xml") == "success"


@SQLITE
def test_a_link_that_is_paused_says_so(books: Books, tmp_path: Path) -> None:
    paused = site_of(books, tmp_path / "uploads", enabled=False)
    status, answer = paused.call("type=catalog&mode=checkauth", authorization=basic())
    assert (status, answer.split("\n")[0]) == (200, "failure")
    paused.imports.close()


@SQLITE
def test_random_requests_are_answered(site: Site) -> None:
    chance = random.Random(7)
    client = Client(site)
    client.sign_in()
    client.init()
    for _ in range(200):
        query = "&".join(
            f"{chance.choice(('type', 'mode', 'filename', 'sessid', ''))}={chance.choice(WORDS)}" for _ in range(4)
        )
        method = chance.choice(("GET", "POST", "PUT"))
        status, answer = site.call(query, method, chance.choice((b"", b"x", GOODS[:700])), cookie=client.cookie)
        assert status in (200, 401, 404)
        assert answer.split("\n")[0] in ("success", "failure", "zip=yes") or answer.startswith(("<?xml", "progress"))


WORDS = ("catalog", "sale", "init", "file", "import", "query", "import0_1.xml", "v8.zip", "%00", "%ff", "a" * 300, "")


MEGABYTES, MOST_MIB = 300, 150


@pytest.mark.slow
def test_a_catalogue_of_300_megabytes_is_read_and_learned_in_little_memory() -> None:
    """As a process of its own, so that its peak is its own."""
    program = Path(__file__).parents[1] / "benchmarks" / "commerceml.py"
    done = subprocess.run(
        [sys.executable, program, "--megabytes", str(MEGABYTES), "--book"], check=True, capture_output=True, text=True
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["posted"] > 200_000
    assert told["peak_rss_mib"] < MOST_MIB
