"""The recorded evening: what the till sends, scene by scene, in the shape that r_keeper 7 gives it.

Names, numbers and GUIDs are invented. The messages carry holes for what another evening changes: the day, the
till's time of each attempt, this run's part of the GUIDs, and the card's account and person as card info told.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MESSAGES = Path(__file__).parent / "evening"
LINK = "rkeeper"
LOOK_UP, TRANSACTIONS = "getcardinfoex", "transactionsex"


@dataclass(frozen=True, slots=True)
class Step:
    """One message and the till's times at which it was sent; ``card`` is whose account it names."""

    file: str
    times: tuple[str, ...]
    card: str = ""

    @property
    def path(self) -> str:
        is_look_up = self.file in ("01-look-up.xml", "12-not-active.xml", "13-unknown.xml")
        return LOOK_UP if is_look_up else TRANSACTIONS

    def body(self, time: str, day: str, run: str, account: int, person: int) -> bytes:
        """The message of one attempt."""
        text = (MESSAGES / self.file).read_text("utf-8")
        holes = {"time": time, "day": day, "run": run, "account": account, "person": person}
        for name, value in holes.items():
            text = text.replace(f"@{name}@", str(value))
        return text.encode()


@dataclass(frozen=True, slots=True)
class Scene:
    caption: str
    steps: tuple[Step, ...]


ANNA, BORIS, GLEB, DARYA, EGOR, ZHANNA, GIFT = (
    "5550001234",
    "5550001242",
    "5550001267",
    "5550001275",
    "5550001283",
    "5550001309",
    "2901481537269043",
)
RESENT_AT = ("20:11:40", "20:11:52", "20:12:31", "20:14:05", "20:19:44", "20:47:10")

EVENING = (
    Scene("A guest shows her card; the order is still open", (Step("01-look-up.xml", ("19:40:11",), ANNA),)),
    Scene("She pays cash and gets change: 5 % comes back in points", (Step("02-sale.xml", ("19:52:30",), ANNA),)),
    Scene("Points pay 100.00 of a bill, a bank card the rest", (Step("03-redemption.xml", ("20:03:12",), BORIS),)),
    Scene(
        "The line is bad: one receipt is sent six times, posted once (the cigar earns nothing)",
        (Step("04-resent.xml", RESENT_AT, GLEB),),
    ),
    Scene(
        "The answer got lost and the guest changes his mind: the newer version takes the place of the older",
        (Step("05-before.xml", ("20:21:03",), EGOR), Step("05-after.xml", ("20:23:37",), EGOR)),
    ),
    Scene(
        "The manager voids the receipt of 20:03: everything is as it was before",
        (Step("06-void.xml", ("20:31:18",), BORIS),),
    ),
    Scene(
        "Paid, rolled back by the station, and paid again: one receipt all the time",
        (
            Step("07-pay.xml", ("20:36:02",), DARYA),
            Step("07-rollback.xml", ("20:36:09",), DARYA),
            Step("07-pay.xml", ("20:38:40",), DARYA),
        ),
    ),
    Scene("Points, deposit and cash share one bill", (Step("08-two-purses.xml", ("20:52:27",), BORIS),)),
    Scene("A pre-bill is no sale: nothing is posted", (Step("09-pre-bill.xml", ("20:58:33",), ANNA),)),
    Scene("A guest without a card: the restaurant sends all of its receipts", (Step("10-no-card.xml", ("21:04:51",)),)),
    Scene(
        "100.00 from a card that holds 30.00: refused, nothing moves",
        (Step("11-overdraft.xml", ("21:10:16",), ZHANNA),),
    ),
    Scene("A card that was never activated", (Step("12-not-active.xml", ("21:15:42",)),)),
    Scene("A card that nobody has issued", (Step("13-unknown.xml", ("21:17:05",)),)),
    Scene("A gift card pays a whole bill", (Step("14-gift.xml", ("21:24:40",), GIFT),)),
)
