"""GUIDs for what is ours, made without being kept: 1C names everything by them.

Those of cards and clients carry their number, so that a till that tells one back is understood: version 8 of RFC 9562.
Whether a till needs GUIDs that its own base knows is open (docs/adapters/onec.md, "What needs a live 1C"); a card that
1C has taught us is found by 1C's own, ``Ref("onec", guid)``.
"""

from __future__ import annotations

from uuid import UUID, uuid5

from adapters.parsing import bad
from processing.commands import Ref

NOBODY = str(UUID(int=0))

CARD, CLIENT = 1, 2
# ``tillga``, then version, kind, variant; what is left is the number's.
_MARK = 0x74696C6C6761
_VERSION, _VARIANT = 0x8, 0b10
_LOW_BITS, _HIGH_BITS = 62, 8
_MAX_NUMBER = 1 << (_LOW_BITS + _HIGH_BITS)
_NAMES = UUID("74696c6c-6761-7465-8000-000000000000")


def card_guid(number: str) -> str:
    """The GUID of the card with this number."""
    return _numbered(CARD, int(number)) if number.isascii() and number.isdigit() else named("card", number)


def client_guid(account: int) -> str:
    """The GUID of whoever owns the wallet of this number."""
    return _numbered(CLIENT, account)


def product_guid(product: str) -> str:
    """The GUID of a card type."""
    return named("product", product)


def named(kind: str, name: str) -> str:
    """The GUID of what has only a name: a discount, a programme of points, a kind of card."""
    return str(uuid5(_NAMES, f"{kind}:{name}".encode("utf-8", "replace").decode()))


def ref_of(guid: str) -> Ref:
    """What a GUID of a card or client leads to: one of ours, or one that 1C has taught us."""
    number = UUID(guid).int
    kind = number >> (_LOW_BITS + 2 + _HIGH_BITS) & 0xF
    low, high = number & ((1 << _LOW_BITS) - 1), number >> (_LOW_BITS + 2) & ((1 << _HIGH_BITS) - 1)
    told = high << _LOW_BITS | low
    if kind in (CARD, CLIENT) and told and _numbered(kind, told) == guid:
        return Ref("card" if kind == CARD else "wallet", str(told))
    return Ref("onec", guid)


def guid(text: str, where: str) -> str:
    """The GUID as 1C writes it; empty where it is absent or all zeros. Errors: BadMessage."""
    bare = text.strip().strip("{}").lower()
    if not bare:
        return ""
    try:
        told = UUID(bare)
    except ValueError:
        raise bad(where, text, "a GUID") from None
    return str(told) if told.int else ""


def is_guid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def goods_id(text: str) -> str:
    """What 1C calls goods or a group of them: a GUID in lower case, as tills tell it; any other id as it is."""
    return text.lower() if is_guid(text) else text


def _numbered(kind: int, number: int) -> str:
    number %= _MAX_NUMBER
    high, low = number >> _LOW_BITS, number & ((1 << _LOW_BITS) - 1)
    head = (_MARK << 4 | _VERSION) << 4 | kind
    return str(UUID(int=((head << _HIGH_BITS | high) << 2 | _VARIANT) << _LOW_BITS | low))
