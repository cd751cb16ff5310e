"""How fast a CommerceML catalogue is read and learned, and in how much memory.

.venv/bin/python tests/benchmarks/commerceml.py                      # 300 MB, read only
.venv/bin/python tests/benchmarks/commerceml.py --megabytes 20 --book   # and learned, into an SQLite file
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

sys.path.insert(0, str(Path(__file__).parents[2]))

from adapters.commerceml import ADAPTER
from adapters.contract import Link, Source
from gateway.file_import import FileImport
from processing.database import Database
from processing.migrate import upgrade
from tests.processing.books import MOSCOW, Books

PIECE = 256 << 10
HEAD = (
    "\ufeff<?xml version='1.0' encoding='UTF-8'?>"
    "<КоммерческаяИнформация xmlns='urn:1C.ru:commerceml_2' ВерсияСхемы='2.07'>"
    "<Каталог СодержитТолькоИзменения='false'><Ид>1</Ид><Товары>"
)
TAIL = "</Товары></Каталог></КоммерческаяИнформация>"
DESCRIPTION = "Описание товара, каким его показывают на сайте. " * 6


def catalogue(megabytes: int) -> Iterator[bytes]:
    """A catalogue of about this size, in pieces."""
    piece, total, number = HEAD.encode(), 0, 0
    while total < megabytes * 1_000_000:
        while len(piece) < PIECE:
            piece += goods(number).encode()
            number += 1
        yield piece
        total, piece = total + len(piece), b""
    yield TAIL.encode()


def goods(number: int) -> str:
    return (
        f"<Товар><Ид>6f0c2a4e-0000-4000-8000-{number:012d}</Ид><Штрихкод>{4_600_000_000_000 + number}</Штрихкод>"
        f"<Артикул>A-{number}</Артикул><Наименование>Товар номер {number}</Наименование>"
        "<БазоваяЕдиница Код='796' НаименованиеПолное='Штука'>шт</БазоваяЕдиница>"
        f"<Группы><Ид>0c0a0000-0000-4000-8000-{number % 40:012d}</Ид></Группы><Описание>{DESCRIPTION}</Описание>"
        "<ЗначенияРеквизитов><ЗначениеРеквизита><Наименование>ВидНоменклатуры</Наименование><Значение>Товар</Значение>"
        "</ЗначениеРеквизита></ЗначенияРеквизитов></Товар>\n"
    )


def read_only(source: Source, link: Link) -> dict[str, int]:
    return {"goods": sum(1 for found in ADAPTER.files[0].read(source, link) if found.asks)}


def learn(source: Source, link: Link) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/books.db")
        upgrade(database)
        books = Books.of(database, None)
        importing = FileImport(books.core, books.core.work.vault, link, hold=lambda connection: None)
        importing.read(ADAPTER.files[0], source)
        assert books.count("goods") == importing.summary.counts["posted"]
        database.dispose()
        return dict(importing.summary.counts)


def peak_mib() -> int:
    """The process's own peak: what getrusage tells begins with that of the process which started it."""
    told = Path("/proc/self/status").read_text()
    (line,) = (line for line in told.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=300)
    parser.add_argument("--book", action="store_true", help="learn it, into an SQLite file")
    told = parser.parse_args()
    link = Link("site", MOSCOW, ZoneInfo("Europe/Moscow"), ADAPTER.options().load({}))
    source = Source("import0_1.xml", catalogue(told.megabytes), None, datetime.now(UTC))
    began = time.perf_counter()
    came_to = (learn if told.book else read_only)(source, link)
    seconds = time.perf_counter() - began
    rate = round(told.megabytes / seconds, 1)
    measured = {"seconds": round(seconds, 1), "megabytes_per_second": rate, "peak_rss_mib": peak_mib()}
    print(json.dumps(came_to | measured))


if __name__ == "__main__":
    main()
