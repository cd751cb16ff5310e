"""Infobases of a shop by configuration: what the mappings that are shipped name, with some cards, people and goods."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from gateway.yaml_files import read_yaml
from tests.adapters.onec_server.one_c import ZEROS, OneC, Row, folder, ref

MAPPINGS = Path(__file__).parents[3] / "configs" / "mappings"
KIND, PROGRAMME = ref(500), ref(600)
DOCUMENT = "Document_НачислениеИСписаниеБонусныхБаллов"


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
        DOCUMENT: [],
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
