"""Infobases of a shop by configuration: what the mappings that are shipped name, with some cards, people and goods."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from gateway.yaml_files import read_yaml
from tests.adapters.onec_server.one_c import ZEROS, OneC, Row, folder, ref

MAPPINGS = Path(__file__).parents[3] / "configs" / "mappings"
KIND, PROGRAMME = ref(500), ref(600)
DOCUMENT = "Document_НачислениеИСписаниеБонусныхБаллов"
RECEIPT, RETURN = "Document_ЧекККМ", "Document_ЧекККМВозврат"


def mapping(name: str) -> dict[str, Any]:
    """A mapping that is shipped, as its file says it."""
    found: dict[str, Any] = read_yaml(MAPPINGS / f"{name}.yaml")
    return found


def number(n: int) -> str:
    return f"77000000{n:08d}"


def contacts(n: int) -> list[Row]:
    """As the standard library keeps them: phones and e-mails in rows of one table."""
    return [
        {"LineNumber": "1", "Тип": "Адрес", "НомерТелефона": "", "АдресЭП": ""},
        {"LineNumber": "2", "Тип": "Телефон", "НомерТелефона": f"7912{n:07d}", "АдресЭП": ""},
        {"LineNumber": "3", "Тип": "АдресЭлектроннойПочты", "НомерТелефона": "", "АдресЭП": f"guest{n}@example.org"},
    ]


def person(n: int, **more: Any) -> Row:
    born = "1990-05-04T00:00:00" if n % 2 else "0001-01-01T00:00:00"
    told = {"Ref_Key": ref(1_000 + n), "Description": f"Гость {n}", "ДатаРождения": born}
    return folder({**told, "КонтактнаяИнформация": contacts(n), **more})


def ut11(count: int = 3) -> OneC:
    """УТ 11: points are the partner's. The last card is cancelled, the one before has no owner."""
    return OneC(ut11_rows(count), {DOCUMENT: DOCUMENT_FIELDS | {"ВидПравила"}})


@cache
def ut11_rows(count: int) -> dict[str, list[Row]]:
    cards = [
        folder(
            {
                "Ref_Key": ref(n),
                "Description": number(n),
                "Штрихкод": number(n),
                "МагнитныйКод": f";{number(n)}?",
                "Статус": "Аннулирована" if n == count else "Действует",
                "Партнер_Key": ref(1_000 + n) if n != count - 1 else ZEROS,
                "Owner_Key": KIND,
            }
        )
        for n in range(1, count + 1)
    ]
    return {
        "Catalog_КартыЛояльности": cards,
        "Catalog_Партнеры": [person(n, БаллыЛояльности=0) for n in range(1, count + 1)],
        "Catalog_Номенклатура": goods(),
        "Catalog_Склады": [folder({"Ref_Key": ref(900), "Description": "Магазин на Невском"})],
        DOCUMENT: [],
    }


def retail2(count: int = 3) -> OneC:
    """Розница 2: points are the card's; an owner may be a person or a firm."""
    return OneC(retail2_rows(count), {DOCUMENT: DOCUMENT_FIELDS})


def retail2_receipt(n: int, card: int, **changes: Any) -> Row:
    """A receipt of 300.00 as Розница 2 keeps it: 81 points paid, 10.95 earned; a return is the same document."""
    return {
        "Ref_Key": ref(2_000 + n),
        "Date": f"2026-05-04T12:{n:02}:00",
        "Posted": True,
        "DeletionMark": False,
        "ВидОперации": "Продажа",
        "ЧекККМПродажа_Key": ZEROS,
        "ДисконтнаяКарта_Key": ref(card),
        "Магазин_Key": ref(900),
        "КассаККМ_Key": ref(950),
        "СуммаДокумента": Decimal("300.00"),
        "Оплата": [
            {"LineNumber": "1", "Сумма": Decimal("219.00"), "КоличествоБонусов": 0},
            {"LineNumber": "2", "Сумма": Decimal("81.00"), "КоличествоБонусов": 81},
        ],
        "БонусныеБаллыКНачислению": [{"LineNumber": "1", "КоличествоБонусныхБаллов": Decimal("10.95")}],
        **changes,
    }


@cache
def retail2_rows(count: int) -> dict[str, list[Row]]:
    cards = [
        folder(
            {
                "Ref_Key": ref(n),
                "Description": f"Карта {n}",
                "КодКарты": number(n),
                "ВидДисконтнойКарты_Key": KIND if n < count else ZEROS,
                "ВладелецКарты": ref(1_000 + n),
                "ВладелецКарты_Type": "StandardODATA.Catalog_ФизическиеЛица" if n > 1 else "StandardODATA.Undefined",
                "БаллыTillgate": 0,
            }
        )
        for n in range(1, count + 1)
    ]
    return {
        "Catalog_ИнформационныеКарты": cards,
        "Catalog_ФизическиеЛица": [person(n) for n in range(1, count + 1)],
        "Catalog_Контрагенты": [],
        "Catalog_Номенклатура": goods(),
        "Catalog_Магазины": [folder({"Ref_Key": ref(900), "Description": "Магазин на Невском"})],
        RECEIPT: [
            retail2_receipt(1, 1),
            retail2_receipt(2, 2, Магазин_Key=ref(901)),
            retail2_receipt(3, 1, ВидОперации="Возврат", ЧекККМПродажа_Key=ref(2_001)),
            retail2_receipt(4, 1, Posted=False),
        ],
        DOCUMENT: [],
    }


# What a receipt of Розница 3 is made of; where it keeps points the page does not say, and somebody has looked it up.
RETAIL3_FIELDS = {
    "Date",
    "Posted",
    "DeletionMark",
    "ДисконтнаяКарта_Key",
    "ЧекККМ_Key",
    "СуммаДокумента",
    "БаллыСписано",
    "БаллыНачислено",
    "Запасы",
}


def retail3_mapping() -> dict[str, Any]:
    """The mapping that is shipped, completed."""
    told = mapping("retail3")
    for document in told["receipts"]:
        document |= {
            "total": "СуммаДокумента",
            "redeemed": {"points": ["БаллыСписано"]},
            "earned": {"points": ["БаллыНачислено"]},
            "lines": {"table": "Запасы", "goods": "Номенклатура_Key", "quantity": "Количество", "sum": "Сумма"},
        }
    return told


def retail3(*numbers: str) -> OneC:
    """Розница 3 with cards of these numbers, and no receipt yet."""
    cards = [
        folder(
            {
                "Ref_Key": ref(n),
                "Description": number,
                "КодКартыШтрихкод": number,
                "КодКартыМагнитный": "",
                "КартаНедействительна": False,
                "ВладелецКарты_Key": ZEROS,
                "Owner_Key": KIND,
            }
        )
        for n, number in enumerate(numbers, 1)
    ]
    sets = {"Catalog_ДисконтныеКарты": cards, "Catalog_Контрагенты": [], RECEIPT: [], RETURN: []}
    return OneC(sets, {RECEIPT: RETAIL3_FIELDS, RETURN: RETAIL3_FIELDS})


def retail3_receipt(n: int, card: int, at: str, redeemed: str, earned: str, sale: int = 0) -> Row:
    """A receipt, or with ``sale`` a return of that one."""
    return {
        "Ref_Key": ref(2_000 + n),
        "Date": at,
        "Posted": True,
        "DeletionMark": False,
        "ДисконтнаяКарта_Key": ref(card) if card else ZEROS,
        "ЧекККМ_Key": ref(2_000 + sale) if sale else ZEROS,
        "СуммаДокумента": Decimal("300.00"),
        "БаллыСписано": Decimal(redeemed),
        "БаллыНачислено": Decimal(earned),
        "Запасы": [
            {"LineNumber": "1", "Номенклатура_Key": ref(701), "Количество": Decimal("2"), "Сумма": Decimal("300.00")}
        ],
    }


DOCUMENT_FIELDS = {
    "Date",
    "Комментарий",
    "БонуснаяПрограммаЛояльности_Key",
    "Начисление",
    "Списание",
    "Организация_Key",
    "Posted",
    "DeletionMark",
}


def goods() -> list[Row]:
    return [
        folder(
            {
                "Ref_Key": ref(700),
                "Description": "Табак",
                "Code": "00-1",
                "IsFolder": True,
                "Parent_Key": ZEROS,
            }
        ),
        *(
            folder(
                {
                    "Ref_Key": ref(700 + n),
                    "Description": f"Сигареты {n}",
                    "Code": f"00-00{n}",
                    "Parent_Key": ref(700),
                    "DeletionMark": n == 3,
                }
            )
            for n in (1, 2, 3)
        ),
    ]
