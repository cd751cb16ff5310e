"""ReadChain: what a store is, and what its chain has, for systems that ask before they speak."""

from __future__ import annotations

from processing import tables
from processing.commands import ReadChain
from processing.database import Statement
from processing.directory import ActiveProgramme, Directory
from processing.reading import Reading
from processing.results import ChainTold, ProgrammeTold, TierTold, UnitTold

NAME = Statement("SELECT s.name FROM store s WHERE s.id = :store", tables.store.c.name)


def read_chain(reading: Reading, query: ReadChain) -> ChainTold:
    """The store with the chain's units and programmes. Errors: ForeignStore."""
    directory = reading.work.directory
    store = directory.store(query.store)
    ((name,),) = reading.rows(NAME, store=store.id)
    return ChainTold(
        store=store.code,
        name=name,
        partner=directory.partner_code(store.partner_id),
        zone=store.zone.key,
        units=tuple(
            UnitTold(unit=unit.code, kind=unit.kind, scale=unit.scale)
            for unit in sorted(directory.units.values(), key=lambda unit: unit.code)
        ),
        programmes=tuple(_programme(directory, active) for _, active in sorted(directory.programmes.items())),
    )


def _programme(directory: Directory, active: ActiveProgramme) -> ProgrammeTold:
    said = active.programme.document
    started = {version.version_id: at for at, version in directory.timeline[said.code]}
    return ProgrammeTold(
        programme=said.code,
        unit=said.unit,
        since=started[active.version_id],
        tiers=tuple(
            TierTold(tier=level.tier, ru=level.ru, en=level.en) for level in (said.tiers.levels if said.tiers else ())
        ),
    )
