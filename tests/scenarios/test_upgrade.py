"""Two versions of the program on one database: the way from one to the next while tills go on.

The old one is taken from git as it was released; it keeps serving while the database is migrated, and then beside
the new one. Each must hear of the other's work exactly what the other would have said.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from processing import migrate
from processing.database import Database
from tests.postgres import Server
from tests.processing.books import check_laws, rows
from tests.served import (
    GOOD,
    HOST,
    TRANSACTIONS,
    Served,
    Tills,
    body_of,
    program,
    receipts,
    serving,
    surroundings,
    tillgate,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import load
import messages
import seed

ROOT = Path(__file__).parents[2]
OLD = "0e5e28e"
OLD_REVISION = "0001"
CARDS, RECEIPTS, CLIENTS, ALIKE = 300, 6_000, 4, 40
PAUSE_SECONDS = 0.02
# Receipts of their own for what is tried with both versions, behind those of the load.
APART = 5_000

SEED = """
import sys
sys.path.insert(0, sys.argv[1])
import seed
print(seed.seed(sys.argv[2], int(sys.argv[3])).first_account)
"""


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source tree of the version before."""
    if shutil.which("git") is None:
        pytest.skip("no git: the version before cannot be taken from its history")
    archive = subprocess.run(["git", "archive", OLD], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"commit {OLD} is not in the history here: {archive.stderr.decode().strip()[:200]}")
    tree = tmp_path_factory.mktemp("old")
    subprocess.run(["tar", "-x", "-C", str(tree)], input=archive.stdout, check=True)
    assert "backup" not in tillgate("--help", tree=tree).stdout, "that is not the old program"
    return tree


@dataclass(frozen=True)
class Chain:
    """A configuration that both versions read, and where the books are."""

    config: Path
    environ: dict[str, str]
    url: str

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        database = Database(self.url, must_exist=True)
        found = rows(database, sql)
        database.dispose()
        return found

    def booked(self) -> list[int]:
        """Places of the receipts that the books hold, each as often as they hold it."""
        return sorted(int(str(number)) - 100_000 for (number,) in self.rows("SELECT number FROM receipt"))

    def operations(self) -> int:
        return int(str(self.rows("SELECT count(*) FROM operation")[0][0]))


@pytest.fixture
def chain(tmp_path: Path, url: str) -> Chain:
    return Chain(tmp_path / "configs", seed.write_config(tmp_path / "configs"), url)


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    postgres.drop_database("upgraded")
    yield postgres.create_database("upgraded")
    postgres.drop_database("upgraded")


def seeded(chain: Chain, old: Path) -> messages.Cards:
    """Cards, put into the old schema by the old program."""
    told = subprocess.run(
        [sys.executable, "-P", "-c", SEED, str(old / "tests" / "benchmarks"), chain.url, str(CARDS)],
        env=surroundings({}, old),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return messages.Cards(CARDS, seed.FIRST_NUMBER, int(told.stdout))


def void_of(receipt: bytes) -> bytes:
    """The rollback of a receipt: the same package with signs turned round."""
    body = re.sub(rb'Summa="(-?)(\d+)"', lambda m: b'Summa="%s%s"' % (b"" if m[1] else b"-", m[2]), body_of(receipt))
    body = body.replace(b'chmode="1"', b'chmode="2"')
    return b"%s%d\r\n\r\n%s" % (load.head(TRANSACTIONS, HOST), len(body), body)


def look_up(cards: messages.Cards) -> bytes:
    return next(messages.lookups(TRANSACTIONS.replace("transactionsex", "getcardinfoex"), HOST, cards))


def told(served: Served, request: bytes) -> bytes:
    """What a message is answered that must be carried out."""
    answer = served.ask(request)
    assert answer.startswith(b"HTTP/1.1 200") and GOOD in answer, answer.decode()
    return facts(body_of(answer))


def facts(body: bytes) -> bytes:
    """The answer without what the new version says in addition: line of the check and purse of a movement."""
    return re.sub(rb' (?:uni|linetag|subaccount)="[^"]*"', b"", body)


def test_old_and_new_version_serve_one_database_together(chain: Chain, old: Path) -> None:
    with serving(chain.config, chain.url, chain.environ, tree=old) as before:
        assert chain.rows("SELECT version_num FROM alembic_version") == [(OLD_REVISION,)]
        cards = seeded(chain, old)
        requests = receipts(cards, RECEIPTS, "0DDBA115")

        # The database is migrated while tills go on.
        tills = Tills(before.port, requests[:APART], CLIENTS, pause_seconds=PAUSE_SECONDS)
        tills.start()
        tills.wait_for(100)
        migrated = tillgate("migrate", "--database-url", chain.url)
        assert (migrated.returncode, migrated.stdout) == (0, f"{OLD_REVISION} -> {migrate.head()}\n"), migrated.stderr
        tills.wait_for(len(tills.answers) + 50)
        assert tills.problems == []

        with serving(chain.config, chain.url, chain.environ) as after:
            check_that_both_hear_the_same(chain, before, after, requests)
            check_voids(before, after, requests)
            check_look_ups(cards, before, after)
            tills.stop()
            assert (tills.problems, tills.unanswered) == ([], set())
            for place in range(ALIKE):
                assert told(after, requests[place]) == facts(tills.answers[place]), "told otherwise by the new version"
            assert before.stop() == 0
            assert GOOD in after.ask(requests[-1])
            assert after.stop() == 0
        assert "Traceback" not in before.log.read_text() + after.log.read_text()
    booked = chain.booked()
    assert booked == sorted(set(booked)), "a receipt was booked twice"
    check_clean(chain)


def check_that_both_hear_the_same(chain: Chain, before: Served, after: Served, requests: list[bytes]) -> None:
    """Receipts that reach one first, and receipts that reach both at once: one effect, one answer."""
    for first, second, request in ((before, after, requests[APART]), (after, before, requests[APART + 1])):
        answer = told(first, request)
        assert told(second, request) == answer
    twins = requests[APART + 100 : APART + 100 + ALIKE]
    heard: dict[int, list[bytes]] = {}
    threads = [
        threading.Thread(target=lambda to=to: heard.__setitem__(to.port, [told(to, twin) for twin in twins]))
        for to in (before, after)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(heard) == 2
    one, other = heard.values()
    assert one == other
    booked = chain.booked()
    places = (APART, APART + 1, *range(APART + 100, APART + 100 + ALIKE))
    assert {booked.count(place) for place in places} == {1}


def check_voids(before: Served, after: Served, requests: list[bytes]) -> None:
    """What one version has sold, the other takes back, once; a resent sale stays void at both."""
    for seller, other, request in ((before, after, requests[APART + 200]), (after, before, requests[APART + 201])):
        told(seller, request)
        answer = told(other, void_of(request))
        assert told(seller, void_of(request)) == answer
        refusals = {facts(body_of(to.ask(request))) for to in (seller, other)}
        assert len(refusals) == 1
        assert GOOD not in refusals.pop()


def check_look_ups(cards: messages.Cards, before: Served, after: Served) -> None:
    assert all(b'Deleted="0"' in body_of(to.ask(look_up(cards))) for to in (before, after))


def check_clean(chain: Chain) -> None:
    """Whatever the old version has voided the new one's sums still hold, until they are worked out anew."""
    assert "days of wallets were off" in tillgate("recount", "--database-url", chain.url).stdout
    said = tillgate("verify", "--database-url", chain.url)
    assert said.returncode == 0, said.stdout
    database = Database(chain.url, must_exist=True)
    check_laws(database)
    database.dispose()


def test_sqlite_file_of_the_old_version_is_migrated_and_answers_as_before(old: Path, tmp_path: Path) -> None:
    config = tmp_path / "configs"
    chain = Chain(config, seed.write_config(config), f"sqlite:///{tmp_path / 'books.db'}")
    with serving(chain.config, chain.url, chain.environ, tree=old) as before:
        requests = receipts(seeded(chain, old), ALIKE, "0DDBA115")
        answers = [told(before, request) for request in requests]
        void = told(before, void_of(requests[0]))
        assert before.stop() == 0
    assert tillgate("migrate", "--database-url", chain.url).stdout == f"{OLD_REVISION} -> {migrate.head()}\n"
    with serving(chain.config, chain.url, chain.environ) as after:
        count = chain.operations()
        assert [told(after, request) for request in requests[1:]] == answers[1:]
        assert told(after, void_of(requests[0])) == void
        assert chain.operations() == count
        told(after, void_of(requests[1]))
        assert after.stop() == 0
    check_clean(chain)


def test_old_version_does_not_start_on_a_newer_schema(chain: Chain, old: Path) -> None:
    assert tillgate("migrate", "--database-url", chain.url).returncode == 0
    command = ["serve", "--config", str(chain.config), "--database-url", chain.url, "--port", str(load.free_port())]
    done = subprocess.run(
        [*program(old), *command], env=surroundings(chain.environ, old), capture_output=True, timeout=60, check=False
    )
    assert done.returncode != 0
