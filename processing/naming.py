"""NameWallet: how outside systems know a wallet and its cards."""

from __future__ import annotations

from itertools import groupby

from processing import tables
from processing.cards import why_unusable
from processing.commands import NameWallet
from processing.database import Row, Statement
from processing.names import wallet_uuid
from processing.persons import MAX_CARDS_SHOWN
from processing.reading import Reading
from processing.results import CardName, CardNamed, WalletNamed

_card, _identifier = tables.card.c, tables.identifier.c

OPENED = Statement("SELECT w.created_at FROM wallet w WHERE w.id = :wallet", tables.wallet.c.created_at)
CARDS = Statement(
    """
    SELECT c.id, c.number, c.status, c.product, c.expires_at, i.scheme, i.value
    FROM (SELECT id, number, status, product, expires_at FROM card WHERE wallet_id = :wallet
          ORDER BY id DESC LIMIT :most) c
    JOIN identifier i ON i.card_id = c.id ORDER BY c.id DESC, i.scheme, i.value
    """,
    *(_card[name] for name in ("id", "number", "status", "product", "expires_at")),
    _identifier.scheme,
    _identifier.value,
)


def name_wallet(reading: Reading, query: NameWallet) -> WalletNamed:
    """The wallet's UUID, cards, newest first, and tiers. Errors: ForeignStore, CardNotFound."""
    today = reading.today(query.store)
    wallet_id = reading.card(query.refs).wallet_id
    reading.look_back([wallet_id])
    opened, rows = reading.each(
        (OPENED, {"wallet": wallet_id}), (CARDS, {"wallet": wallet_id, "most": MAX_CARDS_SHOWN})
    )
    cards = tuple(_card_told(reading, list(names)) for _, names in groupby(rows, key=lambda row: row[0]))
    programmes = {
        active.programme.code: active.programme
        for active in (reading.work.directory.programme_of(card.product) for card in cards)
    }
    members = {code: reading.pasts.membership(wallet_id, each, today) for code, each in sorted(programmes.items())}
    return WalletNamed(
        account=wallet_id,
        uuid=wallet_uuid(reading.work.vault, wallet_id),
        opened_at=opened[0][0],
        cards=cards,
        tiers=tuple((code, member.tier) for code, member in members.items() if member is not None),
    )


def _card_told(reading: Reading, rows: list[Row]) -> CardNamed:
    """From a card's rows, one a name."""
    _, number, status, product, expires_at, *_ = rows[0]
    refusal = why_unusable(status, expires_at, reading.now)
    return CardNamed(
        number=number,
        status=status,
        usable=refusal.code if refusal else "",
        product=product,
        names=tuple(CardName(row[5], row[6]) for row in rows),
        expires_at=expires_at,
    )
