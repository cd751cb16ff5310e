"""What a chain is made of, as checked at start-up; plain data without behaviour."""

from __future__ import annotations

from typing import Literal

import msgspec

from processing.units import MAX_AMOUNT, Unit


class Partner(msgspec.Struct, frozen=True):
    """A legal entity: it issues points, owns stores and settles with the others."""

    code: str
    name: str


class Store(msgspec.Struct, frozen=True):
    """A shop or restaurant. ``zone`` is an IANA time zone; the store's day begins and ends in it."""

    code: str
    name: str
    partner: str
    zone: str


class Product(msgspec.Struct, frozen=True):
    """A kind of card. Its numbers have ``length`` digits in all: prefix, random digits, Luhn's check digit.

    ``value`` tells cards that carry money, such as gift cards, in the unit ``value_unit``; ``amounts`` are what they
    are sold for, in its minor units (empty: anything from ``least_amount`` to ``most_amount``); with ``pin`` they pay
    only with their PIN. ``valid_days`` counts from activation.
    """

    code: str
    name: str
    kind: Literal["personal", "bearer"]
    prefix: str
    length: int
    luhn: bool
    valid_days: int | None
    value: bool
    programme: str
    value_unit: str = ""
    amounts: tuple[int, ...] = ()
    least_amount: int = 1
    most_amount: int = MAX_AMOUNT
    pin: bool = False


class Chain(msgspec.Struct, frozen=True):
    """One chain, one set of books."""

    code: str
    name: str
    units: tuple[Unit, ...]
    partners: tuple[Partner, ...]
    stores: tuple[Store, ...]
    products: tuple[Product, ...]
