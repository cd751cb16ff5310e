"""The YAML adapters of configs/adapters: each keeps the adapter contract, and says what it is worth."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.declarative import Declared, build
from adapters.testing.file_suite import FileSuite
from adapters.testing.suite import ContractSuite
from gateway.mask import mask
from gateway.yaml_files import read_yaml

FOLDER = Path(__file__).parents[3] / "configs" / "adapters"
FILES = sorted(FOLDER.glob("*.yaml"))
MAX_LINES = 80


def declared(file: Path) -> Declared:
    return build(read_yaml(file))


def suite_of(file: Path) -> type[ContractSuite]:
    told = {"adapter": declared(file).adapter, "folder": FOLDER / file.stem, "mask": staticmethod(mask), "examples": 10}
    return type(f"Test{file.stem.title().replace('_', '')}", (ContractSuite,), told)


def file_suite_of(file: Path) -> type[FileSuite]:
    told = {"adapter": declared(file).adapter, "folder": FOLDER / file.stem}
    return type(f"Test{file.stem.title().replace('_', '')}Files", (FileSuite,), told)


READING = [file for file in FILES if declared(file).adapter.files]
SUITES = [*map(suite_of, [file for file in FILES if declared(file).adapter.routes]), *map(file_suite_of, READING)]
globals().update({suite.__name__: suite for suite in SUITES})


def test_there_are_the_adapters_that_the_docs_promise() -> None:
    promised = {"acme", "csv_receipts", "csv_shop", "maxbonus", "order_events", "set_retail", "uds"}
    assert {file.stem for file in FILES} >= promised


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_is_short_named_as_its_file_and_states_its_grade(file: Path) -> None:
    document = declared(file).document
    assert len(file.read_text("utf-8").splitlines()) <= MAX_LINES
    assert document["adapter"] == file.stem
    assert document["grade"] and document["why"]
