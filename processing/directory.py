"""What every command may look up without a query: stores, units, products, programmes, system accounts.

Written from the configuration at start-up (``sync``), read from the database (``load``): the database's active
version is the truth, and an operation stores the programme version that decided it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection, Table, and_, func, insert, select, update

from processing import audit, tables
from processing.audit import Audited
from processing.chain import Chain, Product
from processing.database import Database
from processing.errors import ConfigError, ForeignStore, ProductNotFound, UnitNotFound
from processing.programme.compiled import Programme
from processing.programme.document import ProgrammeDocument, stored
from processing.units import PAR_MILLIONTHS, Unit

# System accounts, one of each kind per partner and unit.
ISSUED, REDEEMED, EXPIRED, ADJUSTED, CASH, SUSPENSE = (
    "issued",
    "redeemed",
    "expired",
    "adjusted",
    "cash",
    "suspense",
)
# What belongs to no store: the work of time, such as expiry.
CENTRE_ID = 0

SYSTEM_KINDS = (ISSUED, REDEEMED, EXPIRED, ADJUSTED, CASH, SUSPENSE)

# Ids below this belong to the configuration: partners, stores and system accounts take max(id) + 1.
BLOCK_NAMES = ("operation", "lot", "wallet", "account", "card", "holder", "hold", "consent", "confirmation_code")


@dataclass(frozen=True, slots=True)
class StoreInfo:
    id: int
    code: str
    partner_id: int
    zone: ZoneInfo


CENTRE = StoreInfo(CENTRE_ID, "", 0, ZoneInfo("UTC"))


@dataclass(frozen=True, slots=True)
class ActiveProgramme:
    version_id: int
    programme: Programme


@dataclass(frozen=True, slots=True)
class Version:
    """What a programme says from an instant on, until the next version of it starts."""

    id: int
    code: str
    digest: str
    document: ProgrammeDocument
    starts_at: datetime


@dataclass(frozen=True)
class Directory:
    """The chain as the database holds it, immutable; a new configuration makes a new one."""

    stores: dict[str, StoreInfo]
    units: dict[str, Unit]
    products: dict[str, Product]
    programmes: dict[str, ActiveProgramme]
    system_accounts: dict[tuple[int, str, str], int]
    system_units: dict[int, str]
    partners: dict[int, str]
    # The code of every version of a programme that there ever was, and of each code those that started or will.
    versions: dict[int, str]
    timeline: dict[str, tuple[tuple[datetime, ActiveProgramme], ...]]
    # When the next version starts; None: none is waiting.
    changes_at: datetime | None = None

    def at(self, now: datetime) -> Directory:
        """The same with the programmes that are active then."""
        return replace(self, **_active(self.timeline, now))

    def store_of(self, store_id: int) -> StoreInfo:
        """The store with this number; the centre for 0."""
        return next((store for store in self.stores.values() if store.id == store_id), CENTRE)

    def partner_code(self, partner_id: int) -> str:
        return self.partners[partner_id]

    def store(self, code: str) -> StoreInfo:
        """Errors: ForeignStore."""
        found = self.stores.get(code)
        if found is None:
            raise ForeignStore("no such store", store=code)
        return found

    def unit(self, code: str) -> Unit:
        """Errors: UnitNotFound."""
        found = self.units.get(code)
        if found is None:
            raise UnitNotFound("no such unit", unit=code)
        return found

    def product(self, code: str) -> Product:
        """Errors: ProductNotFound."""
        found = self.products.get(code)
        if found is None:
            raise ProductNotFound("no such product", product=code)
        return found

    def programme_of(self, product: str) -> ActiveProgramme:
        return self.programmes[self.product(product).programme]

    @cached_property
    def _prices(self) -> dict[str, int]:
        told = {active.programme.unit: active.programme.point_price_millionths for active in self.programmes.values()}
        return {unit: told.get(unit, PAR_MILLIONTHS) for unit in self.units}

    def price_of(self, unit: str) -> int:
        """What a minor unit of a kind of points is worth by the programmes of today; money is worth itself."""
        return self._prices[unit]

    def version(self, version_id: int) -> ActiveProgramme | None:
        """The version with this number, active or not."""
        versions = self.timeline.get(self.versions.get(version_id, ""), ())
        return next((active for _, active in versions if active.version_id == version_id), None)

    def grace_days(self, version_id: int | None) -> int:
        """How long points live on that go back to a lot which has expired, by the programme that decided then."""
        active = self.programmes.get(self.versions.get(version_id or 0, ""))
        return active.programme.document.return_grace_days if active else 0

    @cached_property
    def asks_history(self) -> bool:
        """Whether any programme looks at what wallets have done before."""
        return any(active.programme.asks_history for active in self.programmes.values())

    @cached_property
    def asks_category(self) -> bool:
        """Whether any programme looks at categories of goods."""
        return any(active.programme.sets.by_category for active in self.programmes.values())

    @cached_property
    def limits_others(self) -> bool:
        """Whether any programme limits tills, cashiers, stores or partners."""
        return any(active.programme.shared_limits for active in self.programmes.values())

    @cached_property
    def asks_birthday(self) -> bool:
        return any(active.programme.asks_birthday for active in self.programmes.values())

    def system(self, partner_id: int, kind: str, unit: str) -> int:
        """The id of the partner's system account."""
        return self.system_accounts[partner_id, kind, self.unit(unit).code]


def load(connection: Connection, now: datetime) -> Directory:
    """The directory as the database holds it, with the programmes that are active now."""
    units = {
        row.code: Unit(row.code, row.kind, row.scale, row.adjust_limit)
        for row in connection.execute(select(tables.unit))
    }
    stores = {
        row.code: StoreInfo(row.id, row.code, row.partner_id, ZoneInfo(row.zone))
        for row in connection.execute(select(tables.store))
    }
    products = {
        row.code: msgspec.convert(row.definition, Product) for row in connection.execute(select(tables.product))
    }
    timeline: dict[str, tuple[tuple[datetime, ActiveProgramme], ...]] = {}
    versions: dict[int, str] = {}
    for version in versions_of(connection):
        versions[version.id] = version.code
        active = ActiveProgramme(version.id, Programme(version.document))
        timeline[version.code] = (*timeline.get(version.code, ()), (version.starts_at, active))
    account = tables.account
    system = connection.execute(select(account).where(account.c.partner_id.is_not(None))).all()
    return Directory(
        stores=stores,
        units=units,
        products=products,
        system_accounts={(row.partner_id, row.kind, row.unit): row.id for row in system},
        system_units={row.id: row.unit for row in system},
        partners={row.id: row.code for row in connection.execute(select(tables.partner))},
        versions=versions,
        timeline=timeline,
        **_active(timeline, now),
    )


def _active(timeline: Mapping[str, Sequence[tuple[datetime, ActiveProgramme]]], now: datetime) -> dict[str, Any]:
    """The programmes that are active now, and when that changes next.

    One whose first version has still to start is there with that one: cards of it may be issued already.
    """
    programmes = {code: versions[0][1] for code, versions in timeline.items()}
    for code, versions in timeline.items():
        for starts_at, active in versions:
            if starts_at <= now:
                programmes[code] = active
    waiting = [starts_at for versions in timeline.values() for starts_at, _ in versions if starts_at > now]
    return {"programmes": programmes, "changes_at": min(waiting, default=None)}


def versions_of(connection: Connection, code: str | None = None) -> list[Version]:
    """Every version of a programme, or of all, in the order of their starts."""
    version = tables.programme_version
    asked = select(version).order_by(version.c.activated_at, version.c.id)
    if code is not None:
        asked = asked.where(version.c.code == code)
    return [
        Version(row.id, row.code, row.digest, stored(row.document), row.activated_at)
        for row in connection.execute(asked)
    ]


def newest_version(connection: Connection) -> int:
    """The number of the version that was written last; 0 for none."""
    return connection.execute(select(func.max(tables.programme_version.c.id))).scalar() or 0


def activate(
    database: Database,
    programme: ProgrammeDocument,
    starts_at: datetime | None = None,
    actor: str = "",
    note: str = "",
) -> int | None:
    """Write a version that starts then, or now. Its id; ``None`` when it says what is active at that time.

    The audit log keeps actor and note.

    Errors: ConfigError for a start in the past, or a unit that the chain does not have.
    """
    with database.transaction() as connection:
        now = database.now(connection)
        starts_at = starts_at or now
        if starts_at < now:
            raise ConfigError(f"{programme.code}: a version cannot start in the past")
        known = connection.execute(select(tables.unit.c.code)).scalars().all()
        if programme.unit not in known:
            raise ConfigError(f"{programme.code}: unit: found {programme.unit}, expected one of {', '.join(known)}")
        version_id = _activate(connection, programme, starts_at)
        if version_id is not None:
            details = {"version": version_id} | ({"note": note} if note else {})
            told = Audited(actor, "programme_activated", CENTRE_ID, programme.code, details)
            audit.append(connection, [told], now)
        return version_id


def sync(database: Database, chain: Chain, programmes: Mapping[str, ProgrammeDocument]) -> Directory:
    """Bring the database to what the configuration says, adding and renaming but never removing.

    A programme whose text has changed becomes a new active version. Errors: ConfigError where the books
    forbid the change: another scale of a unit, another partner of a store.
    """
    with database.transaction() as connection:
        now = database.now(connection)
        for name in BLOCK_NAMES:
            _ensure(connection, tables.id_block, {"name": name}, {"next_id": 1})
        for unit in chain.units:
            stored = _ensure(connection, tables.unit, {"code": unit.code}, {"kind": unit.kind, "scale": unit.scale})
            if (stored["kind"], stored["scale"]) != (unit.kind, unit.scale):
                raise ConfigError(f"chain.yaml: units.{unit.code}: kind and scale cannot change once they are booked")
            connection.execute(
                update(tables.unit).where(tables.unit.c.code == unit.code).values(adjust_limit=unit.adjust_limit)
            )
        for partner in chain.partners:
            _ensure(connection, tables.partner, {"code": partner.code}, {"name": partner.name}, numbered=True)
        partners: dict[str, int] = {
            row.code: row.id for row in connection.execute(select(tables.partner.c.code, tables.partner.c.id))
        }
        for store in chain.stores:
            values = {"name": store.name, "zone": store.zone, "partner_id": partners[store.partner]}
            stored = _ensure(connection, tables.store, {"code": store.code}, values, numbered=True)
            if stored["partner_id"] != partners[store.partner]:
                raise ConfigError(f"chain.yaml: stores.{store.code}: the partner cannot change once it is booked")
            connection.execute(
                update(tables.store).where(tables.store.c.code == store.code).values(name=store.name, zone=store.zone)
            )
        for product in chain.products:
            definition = msgspec.to_builtins(product)
            _ensure(
                connection,
                tables.product,
                {"code": product.code},
                {"name": product.name, "definition": definition},
            )
            connection.execute(
                update(tables.product)
                .where(tables.product.c.code == product.code)
                .values(name=product.name, definition=definition)
            )
        for programme in programmes.values():
            # A text that waits for its day is not started by a restart before it.
            if all(
                each.document != programme for each in versions_of(connection, programme.code) if each.starts_at > now
            ):
                _activate(connection, programme, now)
        _open_system_accounts(connection, partners.values(), [unit.code for unit in chain.units])
        return load(connection, now)


def _ensure(
    connection: Connection, table: Table, key: dict[str, Any], values: dict[str, Any], numbered: bool = False
) -> dict[str, Any]:
    """The row with this key, made from the values where there is none."""
    where = and_(*(table.c[name] == value for name, value in key.items()))
    row = connection.execute(select(table).where(where)).mappings().first()
    if row is not None:
        return dict(row)
    made = key | values | ({"id": _next_id(connection, table)} if numbered else {})
    connection.execute(insert(table).values(made))
    return made


def _next_id(connection: Connection, table: Table) -> int:
    last = connection.execute(select(table.c.id).order_by(table.c.id.desc()).limit(1)).scalar()
    return (last or 0) + 1


def _activate(connection: Connection, programme: ProgrammeDocument, starts_at: datetime) -> int | None:
    """A version of this document from then on, unless what is active then says the same."""
    before = [each for each in versions_of(connection, programme.code) if each.starts_at <= starts_at]
    if before and before[-1].document == programme:
        return None
    row = {
        "id": _next_id(connection, tables.programme_version),
        "code": programme.code,
        "digest": digest(programme),
        "document": msgspec.to_builtins(programme),
        "activated_at": starts_at.astimezone(UTC),
    }
    connection.execute(insert(tables.programme_version).values(row))
    return int(row["id"])


def digest(programme: ProgrammeDocument) -> str:
    """What two files that say the same have in common."""
    return hashlib.sha256(msgspec.json.encode(programme, order="sorted")).hexdigest()


def _open_system_accounts(connection: Connection, partner_ids: Any, units: list[str]) -> None:
    account = tables.account
    existing = {
        (row.partner_id, row.kind, row.unit)
        for row in connection.execute(select(account).where(account.c.partner_id.is_not(None)))
    }
    wanted = [(partner, kind, unit) for partner in partner_ids for kind in SYSTEM_KINDS for unit in units]
    missing = [key for key in wanted if key not in existing]
    if not missing:
        return
    block = tables.id_block
    first = connection.execute(
        update(block)
        .where(block.c.name == "account")
        .values(next_id=block.c.next_id + len(missing))
        .returning(block.c.next_id - len(missing))
    ).scalar_one()
    rows = [
        {"id": first + n, "kind": kind, "unit": unit, "wallet_id": None, "partner_id": partner, "balance": 0}
        for n, (partner, kind, unit) in enumerate(missing)
    ]
    connection.execute(insert(account), rows)
