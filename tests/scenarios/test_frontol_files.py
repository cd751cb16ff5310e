"""Report files through the real driver and the real core: bytes, rows, a mark; on both databases."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from adapters.contract import Adapter, Link, Source
from adapters.declarative import build
from adapters.frontol import ADAPTER, keys
from gateway import exchange_log, file_import
from gateway.delivery import Delivery
from gateway.delivery_policy import DeliverySettings
from gateway.exchange_log import Recorded
from gateway.far_side import FarSide
from gateway.file_import import FileImport, Summary
from gateway.talks import Outgoing
from gateway.worker import transport_of
from gateway.yaml_files import read_yaml
from processing import directory, outbox
from processing.chain import Store
from processing.commands import CardUse, PostReceipt, Receipt, Ref
from processing.database import Database
from processing.verify import verify
from tests.adapters.frontol.report_till import NOON, Doc, Sold, Till
from tests.processing.books import CHAIN, MOSCOW, POINTS, Books, StillClock

(FACE,) = ADAPTER.files
ZONE = ZoneInfo("Europe/Moscow")


@dataclass
class Shop:
    """The small chain, and a link whose tills write reports."""

    books: Books
    options: dict[str, Any] = field(default_factory=dict)
    state: Any = None
    store: str = MOSCOW

    @property
    def link(self) -> Link:
        told = {"points": {"unit": POINTS}, **self.options}
        return Link("frontol-1", self.store, ZONE, ADAPTER.options().load({"reports": told}))

    def read(self, content: bytes, name: str = "report.txt", **more: Any) -> Summary:
        """One file, as the driver reads it; its state is kept for the next."""
        own = FileImport(self.books.core, self.books.core.work.vault, self.link, lambda connection: None, **more)
        at = self.books.clock(datetime.now(UTC)) if self.books.clock else datetime.now(UTC)
        pieces = [content[start : start + 1000] for start in range(0, len(content), 1000)]
        told = own.read(FACE, Source(name, pieces, self.state, at))
        self.state = own.state
        return told

    def log(self) -> list[Recorded]:
        with self.books.database.reading() as connection:
            return exchange_log.read(connection, self.books.core.work.vault, self.link.code, None, 100)

    def check(self) -> None:
        self.books.check_laws()
        assert [(each.name, each.rows) for each in verify(self.books.database) if each.rows] == []

    @property
    def receipts(self) -> int:
        return self.books.count("receipt")


@pytest.fixture
def shop(books: Books) -> Shop:
    return Shop(books)


def test_a_sale_of_a_report_is_booked_once_and_earns(shop: Shop) -> None:
    card = shop.books.card()
    doc = Doc(4120, (Sold("10021", 25_000, 2_000, off=5_000), Sold("10050", 8_000, back=1_000)), (card,), change=10_000)
    content = Till().of(doc)
    assert shop.read(content).counts == {"posted": 1}
    assert shop.books.balance(card) == 45_000 * 5 // 100
    before = shop.books.written()
    assert shop.read(content).counts == {"already_known": 1}
    assert shop.read(content, asks_again=True).counts == {"already_known": 1}
    shop.state = None
    assert shop.read(content, name="another name").counts == {"already_known": 1}
    assert shop.books.written() == before
    shop.check()


# The same receipt online -------------------------------------------------------------------------------------


def online(doc: Doc, uid: str, total: int | None = None, seconds: int = 0, epoch: int = 0) -> PostReceipt:
    """What the loyalty API asks for a confirm, some seconds after the till's own time."""
    closed_at = doc.closed_at + timedelta(seconds=seconds)
    paid = doc.total if total is None else total
    digest = keys.content("sale", paid)
    names = keys.names(doc.workplace, doc.shift, doc.number, closed_at, digest, epoch, online=True)
    return PostReceipt(
        store=MOSCOW,
        keys=(keys.by_uid(uid), *names),
        content=digest,
        receipt=Receipt(number=str(doc.number), till="3", business_date=closed_at.date(), total_minor=paid),
        cards=tuple(CardUse(refs=(Ref("card", card),), spend_minor=paid) for card in doc.cards),
        fact=True,
    )


@pytest.mark.parametrize("is_first", [True, False], ids=["online first", "file first"])
@pytest.mark.parametrize("near", [NOON, datetime(2026, 5, 4, 0, 0, 4), datetime(2026, 5, 3, 23, 59, 56)])
def test_a_receipt_of_both_faces_is_booked_once(shop: Shop, is_first: bool, near: datetime) -> None:
    doc = Doc(4120, cards=(shop.books.card(),), closed_at=near, change=100)
    confirm = online(doc, "{0A0B0C0D-0000-0000-0000-000000000001}", seconds=9 if near.second < 30 else -9)
    if is_first:
        shop.books.done(confirm)
    counts = shop.read(Till().of(doc)).counts
    if not is_first:
        assert shop.books.done(confirm).replayed
    assert counts == ({"already_known": 1} if is_first else {"posted": 1})
    assert (shop.receipts, shop.books.balance(doc.cards[0])) == (1, doc.total * 5 // 100)
    shop.check()


def test_another_sum_is_a_mismatch_and_its_lines_are_kept(shop: Shop) -> None:
    doc = Doc(4120, cards=(shop.books.card(),))
    shop.books.done(online(doc, "1", total=doc.total - 500))
    content = Till().of(doc, Doc(4121))
    told = shop.read(content)
    assert told.counts == {"mismatch": 1, "posted": 1} and told.notes["mismatch"] == ["3/118/4120"]
    assert told.has_troubles
    (kept,) = shop.log()
    assert (kept.outcome, kept.route, kept.request.path) == ("key_reused", "file", "report.txt")
    assert b";55;3;4120;" in kept.request.body
    # Told once: a file that grows is read again and again. Whoever asks hears it again.
    assert shop.read(content).counts == {"already_known": 2}
    assert shop.read(content, asks_again=True).counts == {"mismatch": 1, "already_known": 1}
    shop.check()


# Files in pieces ---------------------------------------------------------------------------------------------


def test_overlapping_reports_book_each_receipt_once(shop: Shop) -> None:
    docs = [Doc(4120 + n, (Sold("a", 1_000 * (n + 1)),)) for n in range(6)]
    till = Till()
    lines = [till.document(doc) for doc in docs]
    first, second, all_of_it = (
        till.report([line for some in lines[a:b] for line in some]) for a, b in ((0, 4), (2, 6), (0, 6))
    )
    assert shop.read(first).counts == {"posted": 4}
    assert shop.read(second).counts == {"posted": 2, "already_known": 2}
    assert shop.read(all_of_it).counts == {"already_known": 6}
    assert shop.receipts == 6


@pytest.mark.parametrize("loses_state", [False, True])
def test_a_document_over_two_files_is_booked_when_it_is_whole(shop: Shop, loses_state: bool) -> None:
    """What is under way is kept; who loses it waits for the first file again, and books no half."""
    till = Till()
    lines = till.document(Doc(4120, (Sold("a"), Sold("b", 20_000))))
    first, second = till.report(lines[:3]), till.report(lines[3:])
    assert shop.read(first).counts == {"unfinished": 1}
    if loses_state:
        shop.state = None
        assert shop.read(second).counts == {"broken": 1} and shop.receipts == 0
        assert shop.read(till.report(lines)).counts == {"posted": 1}
    else:
        assert shop.read(second).counts == {"posted": 1}
    assert shop.books.rows("SELECT total_minor FROM receipt") == [(30_000,)]


# A database that was made anew -------------------------------------------------------------------------------


def test_a_database_made_anew_is_put_aside_until_its_epoch_is_raised(shop: Shop) -> None:
    card = shop.books.card()
    old = Till().of(Doc(4120, cards=(card,)), Doc(4121))
    new = Till().of(Doc(4120, (Sold("z", 70_000),), (card,)), Doc(1, shift=1))
    assert shop.read(old).counts == {"posted": 2}
    told = shop.read(new)
    assert told.counts == {"quarantined": 2} and told.has_troubles
    assert [row.outcome for row in shop.log()] == ["quarantined"] * 2
    assert shop.receipts == 2
    shop.options = {"epochs": {"3": 1}}
    # The old report comes once more, from a backup: it is still the old one, and takes no number from the new one.
    assert shop.read(old, asks_again=True).counts == {"already_known": 2}
    assert shop.read(new).counts == {"posted": 2}
    assert shop.read(old).counts == {"already_known": 2}
    assert (shop.receipts, shop.books.balance(card)) == (4, 80_000 * 5 // 100)
    shop.check()


def test_what_came_online_before_the_epoch_was_raised_is_not_booked_again(shop: Shop) -> None:
    shop.read(Till().of(Doc(4120), Doc(4121)))
    doc = Doc(1, (Sold("z", 30_000),), (shop.books.card(),), shift=1)
    shop.books.done(online(doc, "1"))
    assert shop.read(Till().of(doc)).counts == {"quarantined": 1}
    shop.options = {"epochs": {"3": 1}}
    assert shop.read(Till().of(doc)).counts == {"already_known": 1}
    assert shop.books.balance(doc.cards[0]) == 30_000 * 5 // 100


# What the books make of it -----------------------------------------------------------------------------------


def test_points_that_paid_online_are_taken_and_a_refund_gives_them_back(shop: Shop) -> None:
    card = shop.books.card(points=50_000)
    sale = Doc(4120, (Sold("a", 10_000, 3_000), Sold("b", 20_000)), (card,), bonus=10_000)
    till = Till()
    assert shop.read(till.of(sale)).counts == {"posted": 1}
    assert shop.books.balance(card) == 50_000 - 10_000 + 40_000 * 5 // 100
    back = Doc(4130, (Sold("a", 10_000, 1_000),), (card,), operation="1", bonus=2_000, base="4120")
    told = shop.read(till.of(back))
    assert told.counts == {"posted": 1} and not told.flags
    # A fifth of the sale: of its 100.00 of points and of the 20.00 that it brought.
    assert shop.books.balance(card) == 50_000 - 10_000 + 2_000 + 2_000 - 400
    shop.check()


def test_a_refund_of_a_sale_that_nobody_knows_is_flagged_and_worked_out(shop: Shop) -> None:
    card = shop.books.card(points=1_000)
    told = shop.read(Till().of(Doc(4130, cards=(card,), operation="1", base="4000")))
    assert told.counts == {"posted": 1} and told.flags == {"base_unknown": 1}
    assert shop.books.balance(card) == 1_000 - 10_000 * 5 // 100


def test_the_tills_own_figures_are_taken_where_the_link_says_so(shop: Shop) -> None:
    card = shop.books.card(points=5_000)
    doc = Doc(4120, cards=(card,), bonus=3_000, given=700, external=False)
    shop.options = {"bonus": "till"}
    shop.read(Till().of(doc))
    assert shop.books.balance(card) == 5_000 - 3_000 + 700


def test_an_internal_bonus_of_the_till_is_not_ours(shop: Shop) -> None:
    card = shop.books.card(points=5_000)
    shop.read(Till().of(Doc(4120, cards=(card,), bonus=3_000, given=700, external=False)))
    assert shop.books.balance(card) == 5_000 + 10_000 * 5 // 100


def test_an_unknown_card_is_no_refusal(shop: Shop) -> None:
    told = shop.read(Till().of(Doc(4120, cards=("5550009999",), bonus=1_000)))
    assert told.counts == {"posted": 1} and told.flags["suspense"] == 1
    shop.check()


# A folder that is watched -------------------------------------------------------------------------------------


@dataclass
class Watched:
    """A folder of the shop, and workers that look at it."""

    shop: Shop
    far_side: FarSide
    folder: Path
    adapter: Adapter = ADAPTER

    def worker(self, is_stopped: Callable[[], bool] = lambda: False) -> Delivery:
        out = Outgoing(
            self.shop.link,
            self.adapter,
            DeliverySettings(jitter_seconds=0),
            {},
            partial(transport_of, self.far_side, "frontol-1"),
            has_folder=True,
        )
        core = self.shop.books.core
        return Delivery(core, core.work.vault, {out.link.code: out}, (), is_stopped, threads=2)

    def look(self) -> None:
        """A worker looks at the folder when it is due."""
        assert isinstance(self.shop.books.clock, StillClock)
        self.shop.books.clock.forward(minutes=20)
        self.worker().run_once()

    def write(self, content: bytes, name: str = "report.txt") -> None:
        (self.folder / name).write_bytes(content)

    def first(self, name: str = "report.txt") -> bytes:
        return (self.folder / name).read_bytes()[:1]


@pytest.fixture
def watched(shop: Shop, tmp_path: Path, request: pytest.FixtureRequest) -> Watched:
    if request.function not in ON_BOTH and not shop.books.database.is_sqlite:
        pytest.skip("the same as on SQLite")
    folder = tmp_path / "exchange"
    folder.mkdir()
    return Watched(shop, FarSide(f"file://{folder}"), folder)


def test_a_report_is_booked_and_marked_when_it_is_seen_again_unchanged(watched: Watched) -> None:
    watched.write(Till().of(Doc(4120), Doc(4121)))
    watched.look()
    assert (watched.shop.receipts, watched.first()) == (2, b"#")
    watched.look()
    assert watched.first() == b"@"
    before = watched.shop.books.written()
    watched.look()
    assert watched.shop.books.written() == before
    watched.shop.check()


def test_a_report_that_grows_is_never_marked_while_something_is_under_way(watched: Watched) -> None:
    till = Till()
    lines = [*till.document(Doc(4120)), *till.document(Doc(4121))]
    marks = []
    for end in range(1, len(lines) + 1):
        watched.write(till.report(lines[:end]))
        watched.look()
        marks.append((watched.shop.receipts, watched.first()))
        watched.look()
        marks[-1] = (*marks[-1], watched.first())
    half = len(lines) // 2
    # Marked where the first one is whole and nothing else has begun, and at the end.
    one = [(0, b"#", b"#")] * (half - 1) + [(1, b"#", b"@")]
    assert marks == [*one, *[(1, b"#", b"#")] * (half - 1), (2, b"#", b"@")]


def test_what_makes_no_sense_is_kept_once_however_often_its_file_is_read(watched: Watched) -> None:
    till = Till()
    lines = [*till.document(Doc(4120)), *till.document(Doc(4121)), *till.document(Doc(4122))]
    broken = [*lines[:2], "nonsense", *lines[2:]]
    kept = []
    for end in range(2, len(broken) + 1):
        watched.write(till.report(broken[:end]))
        watched.look()
        kept.append(len(watched.shop.log()))
    watched.write(till.report([*lines[:1], "of another day", *lines[2:]]))
    watched.look()
    # The line, and the document that it has spoiled; then the same of the new report.
    assert sorted(set(kept)) == [0, 1, 2]
    assert len(watched.shop.log()) == 4
    watched.shop.check()


def test_what_a_yaml_adapter_can_not_read_or_book_is_kept_once(watched: Watched) -> None:
    watched.adapter = build(read_yaml(Path(__file__).parents[2] / "configs" / "adapters" / "csv_shop.yaml")).adapter
    head, told = "kind;shop;till;number;closed;total;card\n", ""
    for line in (
        "dance;1;3;18;04.05.2026 19:58;1;\n",
        "sale;1;3;19;04.05.2026 20:01;99,90;\n",
        "sale;1;3;19;04.05.2026 20:01;11,00;\n",
        "sale;1;3;20;04.05.2026 20:02;9,90;\n",
    ):
        told += line
        watched.write((head + told).encode(), "receipts.csv")
        watched.look()
    assert watched.shop.receipts == 2
    assert [each.outcome for each in watched.shop.log()] == ["bad_message", "key_reused"]


def test_files_that_come_before_the_configuration_is_in_the_books_wait_for_it(
    sqlite_books: Books, tmp_path: Path
) -> None:
    """``tillgate work`` beside a new database, or with a new store, that nobody has served yet."""
    shutil.copy(str(sqlite_books.database.url.database), tmp_path / "own.db")
    books = Books.of(Database(f"sqlite:///{tmp_path / 'own.db'}"), StillClock())
    shop, folder = Shop(books, store="new"), tmp_path / "exchange"
    folder.mkdir()
    watched = Watched(shop, FarSide(f"file://{folder}"), folder)
    watched.write(Till().of(Doc(4120), Doc(4121)))
    watched.look()
    assert shop.receipts == 0 and shop.log() == []
    (told,) = books.rows("SELECT outcome, detail FROM outbox_attempt WHERE way = 'file'")
    assert told == ("not_yet", "the books do not know the store new yet: tillgate serve brings them in step")
    new = Store("new", "New", CHAIN.partners[0].code, "Europe/Moscow")
    directory.sync(books.database, msgspec.structs.replace(CHAIN, stores=(*CHAIN.stores, new)), {})
    watched.look()
    assert shop.receipts == 2
    shop.check()


def test_a_look_that_finds_nothing_new_leaves_no_trace(watched: Watched) -> None:
    watched.write(Till().of(Doc(4120)))
    for _ in range(4):
        watched.look()
    told = watched.shop.books.rows("SELECT outcome FROM outbox_attempt WHERE way = 'file'")
    assert len(told) == 2, "it was read, and it was marked"


def test_a_foreign_file_stops_no_other(watched: Watched) -> None:
    watched.write(b"##@@&&\r\n#\r\n$$$ADDQUANTITY\r\n", "report0.txt")
    watched.write(Till().of(Doc(4120)), "report1.txt")
    watched.look()
    watched.look()
    assert (watched.shop.receipts, watched.first("report0.txt"), watched.first("report1.txt")) == (1, b"#", b"@")
    told = watched.shop.books.rows("SELECT outcome, detail FROM outbox_attempt WHERE way = 'file' ORDER BY id")
    assert [row[0] for row in told] == ["delivered"] * 2


def test_two_workers_never_read_at_the_same_time(watched: Watched) -> None:
    """While one has the lane the other finds nothing to do; a lease that was lost books nothing more."""
    watched.write(Till().of(*(Doc(4120 + n) for n in range(3))))
    database = watched.shop.books.database
    watched.worker().run_once()
    watched.write(Till(number=90_000).of(Doc(5000)))
    watched.shop.books.clock.forward(minutes=20)  # type: ignore[union-attr]
    with database.transaction() as connection:
        lane = outbox.claim_one(connection, database, "frontol-1", outbox.FILES, "another", timedelta(minutes=1))
        assert lane is not None
    watched.worker().run_once()
    assert watched.shop.receipts == 3
    with database.transaction() as connection:
        assert outbox.claim_one(connection, database, "frontol-1", outbox.FILES, "me", timedelta(minutes=1)) is None
        outbox.snooze(connection, database, lane)
    with pytest.raises(outbox.LeaseLost), database.transaction() as connection:
        outbox.keep(connection, database, replace(lane, token=lane.token - 1), timedelta(minutes=1))
    watched.look()
    assert watched.shop.receipts == 4


def test_a_worker_that_is_told_to_end_leaves_the_file_for_the_next(watched: Watched) -> None:
    watched.write(Till().of(Doc(4120)))
    with pytest.raises(file_import.Stopped):
        FileImport(
            watched.shop.books.core,
            watched.shop.books.core.work.vault,
            watched.shop.link,
            lambda connection: None,
            lambda: True,
        ).read(FACE, Source("report.txt", [(watched.folder / "report.txt").read_bytes()], None, datetime.now(UTC)))
    assert watched.shop.receipts == 0
    watched.look()
    assert watched.shop.receipts == 1


def test_the_request_flag_is_left_until_the_till_takes_it(watched: Watched) -> None:
    watched.shop.options = {"request": {"flag": "report.req", "scope": "dates", "days": 2}}
    watched.look()
    assert (watched.folder / "report.req").read_bytes().startswith(b"$$$TRANSACTIONSBYDATERANGE\r\n")
    (watched.folder / "report.req").write_bytes(b"not taken yet")
    watched.look()
    assert (watched.folder / "report.req").read_bytes() == b"not taken yet"
    (watched.folder / "report.req").unlink()
    watched.shop.options = {"request": {"flag": "report.req"}}
    watched.look()
    assert (watched.folder / "report.req").read_bytes() == b"$$$NEWTRANSACTIONS"


ON_BOTH = (
    test_a_report_is_booked_and_marked_when_it_is_seen_again_unchanged,
    test_two_workers_never_read_at_the_same_time,
)


# Crashes --------------------------------------------------------------------------------------------------------


def crash(url: str, where: str, file: Path) -> None:
    """Read the file, and die without a word: behind the books, or behind all of it and before the mark."""

    def die(*_: Any) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    signal.alarm(60)  # whatever happens, this process ends
    shop = Shop(Books.of(Database(url), None))
    core = shop.books.core
    own = FileImport(core, core.work.vault, shop.link, die if where == "behind the books" else lambda connection: None)
    own.read(FACE, Source(file.name, [file.read_bytes()], None, datetime.now(UTC)))
    die()


@pytest.mark.parametrize("where", ["behind the books", "before the mark"])
def test_a_kill_loses_and_doubles_nothing(shop: Shop, tmp_path: Path, where: str) -> None:
    card = shop.books.card()
    docs = [Doc(4120 + n, cards=(card,)) for n in range(3)]
    file = tmp_path / "report.txt"
    file.write_bytes(Till().of(*docs))
    if not (child := os.fork()):  # with connections of its own, and no other threads
        crash(shop.books.url, where, file)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert shop.receipts == 3
    assert shop.read(file.read_bytes()).counts == {"already_known": 3}
    assert (shop.receipts, shop.books.balance(card)) == (3, 3 * 10_000 * 5 // 100)
    shop.check()
