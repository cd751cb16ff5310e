"""r_keeper's messages in short lines, for people: what a FarCards call brings and what it is answered."""

from __future__ import annotations

from collections.abc import Iterator

from adapters.parsing import attributes, local_name, minor, parse_xml
from adapters.rkeeper.messages import Fields, Message, read
from processing.units import major

# CHECK@chmode
MODES = {"1": "pay", "2": "rollback of a payment", "3": "void of a receipt", "4": "rollback of a void", "6": "pre-bill"}
# PAYMENT@code: 10 and 11 are purses of cards, as the link's configuration says.
TENDERS = {"1": "cash", "2": "bank card", "10": "points", "11": "deposit"}
RECORDS = {0: "purse", 1: "discount", 2: "bonus", 3: "own money"}
PURSES = (("points", "summa"), ("deposit", "sum2"))
SCALE = 2


def came_in(body: bytes) -> Iterator[tuple[str, str]]:
    """Pairs of what and how much; the second is empty in a line of text."""
    message = read(body)
    if message.query:
        yield "card look-up", ""
        yield f"card {masked(message.query['card'])}", ""
        if message.lines:
            yield "open order", _major(_total(message))
        return
    yield MODES[message.check["chmode"]], ""
    number = message.data.get("checknum", "")
    yield f"receipt {number}" if number.strip("0") else "open order", _major(_total(message))
    cards = dict.fromkeys(record.card for record in message.records)
    held = [item.cardcode for item in message.items if item.container == "HOLDERS" and item.cardcode]
    for card in [str(card) for card in cards] or list(dict.fromkeys(held)) or [""]:
        yield (f"card {masked(card)}" if card else "no card"), ""
    for payment in message.payments:
        yield f"  {TENDERS[payment['code']]}", _major(minor(payment["sum"], "sum"))
    for record in message.records:
        yield f"  Kind {record.kind} {RECORDS[record.kind]}", _major(record.summa)


def went_out(answer: bytes) -> Iterator[tuple[str, str]]:
    """The same for the answer: the result, then what cashier and guest read."""
    texts: list[str] = []
    for element in parse_xml(answer).iter("*"):
        name, fields = local_name(element.tag).upper(), attributes(element)
        if name in ("GETCARDINFOEX", "TRANSACTIONSEX"):
            yield f"Result {fields['result']}", ""
            yield from _card(fields)
        elif name == "TRRESPONSE":
            texts.append(fields.get("err_text", ""))
        elif name == "TRANSACTION" and "slip" in fields:
            yield "slip:", ""
            texts += fields["slip"].split("\n")
    for text in filter(None, texts):
        yield text, ""


def operation_of(answer: bytes) -> int:
    """The operation that the answer tells of; 0 for none."""
    for element in parse_xml(answer).iter("*"):
        number, _, _ = attributes(element).get("ext_id", "").partition("-")
        if number.isdigit():
            return int(number)
    return 0


def masked(card: str) -> str:
    return f"***{card[-4:]}"


def _card(fields: Fields) -> Iterator[tuple[str, str]]:
    """What the station shows of a card."""
    if "locked" not in fields:
        return
    if fields["locked"] == "1":
        yield "locked:", ""
        yield fields["whylock"], ""
        return
    yield fields["holder"], ""
    for name, purse in PURSES:
        yield name, _major(int(fields[purse]))
    yield "discount", f"code {fields['discount']}"


def _total(message: Message) -> int:
    return sum(minor(line["sum"], "sum") for line in message.lines)


def _major(kopecks: int) -> str:
    return major(kopecks, SCALE)
