"""What a file of records says, and a full load, as bodies of messages for a link with load files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from adapters.contract import Link
from adapters.frontol.loads.layouts import ADDITIVE
from adapters.frontol.loads.lines import line
from adapters.frontol.loads.options import writing
from adapters.frontol.loads.wallets import card_kind
from gateway.yaml_files import read_yaml
from processing.chain import Chain
from processing.errors import ConfigError, LinkRefused

JSON_LINES = ".jsonl"
COMMAND = "command"
MAX_RECORDS = 100_000
# Of a message, so that a person can look at it, and a file of the till is filled without much too much.
RECORDS_IN_MESSAGE, BYTES_IN_MESSAGE = 200, 48 << 10
WALLETS_IN_MESSAGE = 100
MAX_TOLD = 20

Body = dict[str, Any]


def read_records(path: Path, link: Link) -> list[tuple[str, Body]]:
    """(command, record) of each, in order, all of them such that they can be written. Errors: ConfigError, which names
    the first ones that cannot."""
    how, found, wrong = writing(link.options["loads"]), [], []
    for n, told in enumerate(_documents(path), 1):
        if n > MAX_RECORDS:
            raise ConfigError(f"{path}: more than {MAX_RECORDS} records: split it")
        try:
            command, record = _parts(told)
            line(command, record, how)
            found.append((command, record))
        except LinkRefused as error:
            wrong.append(f"{path}: record {n}: {error.message}")
    if wrong:
        rest = f"\n{len(wrong) - MAX_TOLD} more" if len(wrong) > MAX_TOLD else ""
        raise ConfigError("\n".join(wrong[:MAX_TOLD]) + rest)
    return found


def _parts(told: Any) -> tuple[str, Body]:
    if not isinstance(told, dict) or not isinstance(told.get(COMMAND), str):
        raise LinkRefused(f"expected a mapping with {COMMAND}: and the fields of one record")
    return told[COMMAND], {name: value for name, value in told.items() if name != COMMAND}


def _documents(path: Path) -> Iterable[Any]:
    """A YAML list, or of a file that ends in .jsonl the lines; numbers with a point stay texts. Errors: ConfigError."""
    try:
        if path.suffix == JSON_LINES:
            return [_json(row, n) for n, row in enumerate(path.read_bytes().splitlines(), 1) if row.strip()]
        told = read_yaml(path)
    except (ValueError, OSError) as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(told, list):
        raise ConfigError(f"{path}: expected a list of records")
    return told


def _json(row: bytes, n: int) -> Any:
    try:
        return msgspec.json.decode(row)
    except msgspec.DecodeError as error:
        raise ValueError(f"line {n}: {error}") from None


def counts_twice(records: Sequence[tuple[str, Body]]) -> int:
    """How many records would count once more if they were loaded again."""
    return sum(command in ADDITIVE for command, _ in records)


def digest(path: Path) -> str:
    """What names a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def bodies(records: Sequence[tuple[str, Body]], name: str) -> Iterator[Body]:
    """Messages of records of one command each; ``name`` is the digest of the file that they come from."""
    some: list[Body] = []
    under, size = "", 0
    for command, record in records:
        length = len(msgspec.json.encode(record))
        is_full = len(some) == RECORDS_IN_MESSAGE or size + length > BYTES_IN_MESSAGE
        if some and (command != under or is_full):
            yield {"file": name, "command": under, "records": some}
            some, size = [], 0
        under, size = command, size + length
        some.append(record)
    if some:
        yield {"file": name, "command": under, "records": some}


def kinds_body(link: Link, chain: Chain) -> Body:
    """The kinds of card, of the chain's products. Errors: ConfigError for one that the chain does not have."""
    names = {product.code: product.name for product in chain.products}
    options = link.options["loads"]
    wanted = [*options["card_kinds"], *(gift["product"] for gift in options["gift_cards"])]
    if strange := [product for product in wanted if product not in names]:
        raise ConfigError(f"links/{link.code}.yaml: options.loads: no product {strange[0]!r} in chain.yaml")
    told = [card_kind(product, names[product], options) for product in options["card_kinds"]]
    return {"command": "ADDCCARDTYPES", "records": [record for _, record in told]}


def wallet_bodies(accounts: Sequence[int]) -> list[Body]:
    """Messages about these wallets; what is said of them is read when it is said."""
    return [
        {"accounts": list(accounts[n : n + WALLETS_IN_MESSAGE])} for n in range(0, len(accounts), WALLETS_IN_MESSAGE)
    ]
