"""The service «ДисконтныйСервер» as Розница 2.x knows it: names and types, exactly.

1C reads the WSDL before each call and asks its XDTO factory for types by name, so that every name here is the
protocol's (docs/adapters/onec_discount.md, "The service"). Two of its results were declared as other types than
those that came; ``results`` of the link says which of both the WSDL declares.
"""

from __future__ import annotations

from functools import lru_cache

from adapters import wsdl
from adapters.wsdl import Element

NAMESPACE = "http://localhost/rt2discountservice"
NAME = "ДисконтныйСервер"

TURNOVER, LAST_PURCHASE = "ПолучитьСуммуНакопления", "ПолучитьДанныеПоследнейПокупки"
BALANCE, BALANCES = "ПолучитьОстатокБонусов", "ПолучитьОстатокБонусовРасширенный"
SALES, BONUSES, COUPONS = "ОбновитьДанныеОПродажах", "ОбновитьДанныеОБонусах", "ОбновитьДанныеОКупонах"
COUPON = "ПолучитьСкидкиПоКупону"

SUMS, PURCHASES = "РезультатЗапросаОНакоплениях", "РезультатЗапросаОПоследнейПокупке"
POINTS, PERIODS = "РезультатЗапросаОБонусах", "РезультатЗапросаОБонусахРасширенный"
SALES_TABLE, BONUSES_TABLE, COUPONS_TABLE = "ТаблицаПродаж", "ТаблицаБонусов", "ТаблицаКупонов"
RESULT, ROWS = "РезультатЗапроса", "СтрокиТаблицы"

# What the WSDL may declare of results: the types that come, or those that the original declared.
HONEST, DECLARED = "honest", "declared"

_TEXT, _NUMBER, _TIME, _BOOL = "xs:string", "xs:decimal", "xs:dateTime", "xs:boolean"


def _row(**fields: str) -> tuple[Element, ...]:
    """A question mark: it may be undefined."""
    return tuple(Element(name, kind.rstrip("?"), nillable=kind.endswith("?")) for name, kind in fields.items())


def _list(item: str, row: str) -> tuple[Element, ...]:
    return (Element(item, row, optional=True, many=True, nillable=True),)


TYPES: dict[str, tuple[Element, ...]] = {
    "СтрокаРезультатаЗапросаОНакоплениях": _row(СуммаНакопления=_NUMBER, КоличествоНакопления=_NUMBER),
    SUMS: _list(RESULT, "СтрокаРезультатаЗапросаОНакоплениях"),
    "СтрокаРезультатаЗапросаОПоследнейПокупке": _row(
        ДатаПокупки=_TIME, СуммаНакопления=_NUMBER, КоличествоНакопления=_NUMBER
    ),
    PURCHASES: _list(RESULT, "СтрокаРезультатаЗапросаОПоследнейПокупке"),
    "СтрокаРезультатаЗапросаОБонусах": _row(ДатаОперации=_TIME, КоличествоБаллов=_NUMBER),
    POINTS: _list(RESULT, "СтрокаРезультатаЗапросаОБонусах"),
    "СтрокаРезультатаЗапросаОБонусахРасширенного": _row(
        ПредставлениеПериода=_TEXT, КоличествоБаллов=_NUMBER, Изменение=_NUMBER, ТекущийОстаток=_BOOL
    ),
    PERIODS: _list(RESULT, "СтрокаРезультатаЗапросаОБонусахРасширенного"),
    "СтрокаТаблицыПродаж": _row(
        Период=_TIME,
        ИдентификаторКарты=f"{_TEXT}?",
        ИдентификаторНоменклатуры=f"{_TEXT}?",
        ИдентификаторХарактеристики=f"{_TEXT}?",
        Сумма=f"{_NUMBER}?",
        Количество=f"{_NUMBER}?",
    ),
    SALES_TABLE: _list(ROWS, "СтрокаТаблицыПродаж"),
    "СтрокаТаблицыБонусов": _row(
        Период=_TIME,
        ВидДвижения=_NUMBER,
        ИдентификаторБонуснойПрограммы=f"{_TEXT}?",
        ИдентификаторКарты=f"{_TEXT}?",
        Начислено=f"{_NUMBER}?",
        КСписанию=f"{_NUMBER}?",
    ),
    BONUSES_TABLE: _list(ROWS, "СтрокаТаблицыБонусов"),
    "СтрокаТаблицыКупонов": _row(
        Период=_TIME,
        ИдентификаторСкидки=f"{_TEXT}?",
        КодКупона=f"{_TEXT}?",
        Состояние=f"{_TEXT}?",
        ИдентификаторМагазина=f"{_TEXT}?",
        ПериодДействия=_TIME,
    ),
    COUPONS_TABLE: _list(ROWS, "СтрокаТаблицыКупонов"),
}

_CARD, _SEGMENT = Element("ИдентификаторКарты", _TEXT), Element("ИдентификаторСегмента", _TEXT)
# So it is spelled.
_WITHOUT = Element("ИдентификаторИсключаемогоДокументта", _TEXT)
_DOCUMENT = (Element("ТипДокумента", _TEXT), Element("ИдентификаторДокумента", _TEXT))
_AT = Element("ДатаЗапроса", _TIME)
PARAMETERS: dict[str, tuple[Element, ...]] = {
    TURNOVER: (_CARD, Element("ДатаНачала", _TIME), Element("ДатаОкончания", _TIME), _SEGMENT, _WITHOUT),
    LAST_PURCHASE: (_CARD, Element("ДатаРасчета", _TIME), _SEGMENT, _WITHOUT),
    BALANCE: (_CARD, _AT),
    BALANCES: (_CARD, _AT),
    SALES: (*_DOCUMENT, Element("ТаблицаТоваров", SALES_TABLE)),
    BONUSES: (*_DOCUMENT, Element("ТаблицаБонусов", BONUSES_TABLE)),
    COUPONS: (*_DOCUMENT, Element("ТаблицаКупонов", COUPONS_TABLE, nillable=True)),
    COUPON: (Element("КодКупона", _TEXT), _AT),
}
# What comes as the result of each operation, and what the original declared where that was something else.
RESULTS = {
    TURNOVER: SUMS,
    LAST_PURCHASE: PURCHASES,
    BALANCE: POINTS,
    BALANCES: PERIODS,
    SALES: _BOOL,
    BONUSES: _BOOL,
    COUPONS: _BOOL,
    COUPON: COUPONS_TABLE,
}
ORIGINALLY = {LAST_PURCHASE: _TEXT, BALANCE: SUMS, BALANCES: SUMS}


@lru_cache(maxsize=2)
def service(results: str) -> wsdl.Service:
    """The service with honest or original results."""
    declared = RESULTS | (ORIGINALLY if results == DECLARED else {})
    asked = {f"{name}Request": parameters for name, parameters in PARAMETERS.items()}
    operations = {
        name: (f"{name}Request", Element("return", result, nillable=name != COUPON))
        for name, result in declared.items()
    }
    return wsdl.Service(NAME, NAMESPACE, TYPES | asked, operations)


@lru_cache(maxsize=256)
def document(results: str, address: str) -> bytes:
    """The WSDL."""
    return wsdl.document(service(results), address)
