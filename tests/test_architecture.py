"""Imports point one way, files are named after what they hold, and nothing else stands at the top.

Read from the syntax trees: what is imported inside a function counts too. docs/architecture.md has the picture.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("processing", "adapters", "gateway")

# What each package may import beside itself and the standard library.
ALLOWED = {
    "processing": {
        "alembic",
        "cryptography",
        "msgspec",
        "phonenumbers",
        "psycopg",
        "sqlalchemy",
        "stdnum",
        "structlog",
    },
    "adapters": {"lxml", "marshmallow", "msgspec", "processing", "segno"},
}
VOCABULARY = {"processing.commands", "processing.results", "processing.errors", "processing.events", "processing.units"}
# Same bytes, same asks: no clock, no chance, no network, no files.
OUTSIDE_WORLD = {
    "asyncio",
    "http",
    "io",
    "os",
    "pathlib",
    "random",
    "secrets",
    "shutil",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "tempfile",
    "time",
    "urllib.error",
    "urllib.request",
    "urllib.robotparser",
}
# What tests an adapter reads samples and knows the libraries of tests; production never loads it.
KIT, KIT_MAY = "adapters.testing", {"hypothesis", "pytest"}
# Where the gateway meets the database: the composition root, and what keeps, shows or names it.
MEETS_THE_DATABASE = {
    "gateway.alerts",
    "gateway.api.clients",
    "gateway.api.pages",
    "gateway.api.queues",
    "gateway.app",
    "gateway.backup",
    "gateway.cli",
    "gateway.cli_frontol",
    "gateway.cli_queue",
    "gateway.delivery",
    "gateway.console.figures",
    "gateway.console.operators",
    "gateway.console.search",
    "gateway.console.sessions",
    "gateway.console.throttle",
    "gateway.erasure",
    "gateway.exchange_log",
    "gateway.file_import",
    "gateway.exchange_view",
    "gateway.master_keys",
    "gateway.server",
}
DATABASE_LIBRARIES = {"sqlalchemy", "psycopg", "alembic"}

VAGUE = {"base", "common", "helper", "helpers", "manager", "managers", "misc", "service", "services", "util", "utils"}
TOP_LEVEL = {"README.md", "adapters", "configs", "docs", "gateway", "processing", "pyproject.toml", "tests"}


@dataclass(frozen=True)
class Module:
    """A module of ours and the names of the modules that it imports."""

    name: str
    path: Path
    imports: frozenset[str]

    @property
    def package(self) -> str:
        return self.name.partition(".")[0]

    def imports_of(self, names: set[str]) -> set[str]:
        """Which of these modules it imports, they or something below them."""
        return {i for i in self.imports for name in names if i == name or i.startswith(name + ".")}


def imports_in(source: str) -> frozenset[str]:
    """Every module that the source imports; for ``from a.b import c`` both ``a.b`` and ``a.b.c``, c may be either."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports name the whole path, so that they can be judged"
            module = node.module or ""
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def modules(package: str) -> Iterator[Module]:
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield Module(name, path, imports_in(path.read_text("utf-8")))


MODULES = [module for package in PACKAGES for module in modules(package)]
every_module = pytest.mark.parametrize("module", MODULES, ids=lambda m: m.name)


def roots(module: Module) -> set[str]:
    """The top-level names that the module imports, without itself and the standard library."""
    tops = {name.partition(".")[0] for name in module.imports}
    return tops - sys.stdlib_module_names - {module.package}


def test_the_tree_was_found() -> None:
    names = {module.name for module in MODULES}
    assert {"processing.execute", "adapters.rkeeper.talks", "gateway.pos"} <= names


def test_imports_inside_functions_are_seen() -> None:
    source = "import a.b\nfrom c import d\ndef f():\n    from e.f import g\n    import h\n"
    assert imports_in(source) == {"a.b", "c", "c.d", "e.f", "e.f.g", "h"}


def test_a_relative_import_is_refused() -> None:
    with pytest.raises(AssertionError):
        imports_in("from . import x")


@pytest.mark.parametrize("module", [m for m in MODULES if m.package in ALLOWED], ids=lambda m: m.name)
def test_core_and_adapters_import_only_what_they_may(module: Module) -> None:
    assert roots(module) - ALLOWED[module.package] - (KIT_MAY if is_kit(module) else set()) == set()


@pytest.mark.parametrize("module", [m for m in MODULES if m.package == "adapters"], ids=lambda m: m.name)
def test_adapters_know_only_the_vocabulary_of_the_core(module: Module) -> None:
    ours = {name for name in module.imports_of({"processing"}) if name != "processing"}
    assert ours <= {name for known in VOCABULARY for name in ours if name == known or name.startswith(known + ".")}


@pytest.mark.parametrize("module", [m for m in MODULES if m.package == "adapters"], ids=lambda m: m.name)
def test_adapters_reach_nothing_outside(module: Module) -> None:
    allowed = {"pathlib", "pathlib.Path"} if is_kit(module) else set()
    assert module.imports_of(OUTSIDE_WORLD) - allowed == set()


def is_kit(module: Module) -> bool:
    return module.name == KIT or module.name.startswith(KIT + ".")


def test_only_tests_load_what_tests_an_adapter() -> None:
    assert any(is_kit(module) for module in MODULES)
    # Whoever writes an adapter compares samples, as tests do; nothing that serves tills loads it.
    loads = {module.name for module in MODULES if module.imports_of({KIT}) and not is_kit(module)}
    assert loads == {"gateway.adapter_samples", "gateway.cli_adapters"}


@pytest.mark.parametrize("module", [m for m in MODULES if m.package == "gateway"], ids=lambda m: m.name)
def test_the_gateway_meets_the_database_in_few_places(module: Module) -> None:
    if module.name in MEETS_THE_DATABASE or module.name.startswith("gateway.demo"):
        return
    assert module.imports_of(DATABASE_LIBRARIES) == set()


def test_the_places_that_meet_the_database_are_no_wider_than_needed() -> None:
    """A module that needs the database no more leaves the list; one that is not written yet may stand on it."""
    known = {module.name: module for module in MODULES}
    idle = {name for name in MEETS_THE_DATABASE & known.keys() if not known[name].imports_of(DATABASE_LIBRARIES)}
    assert idle - {"gateway.exchange_view"} == set()


@every_module
def test_files_are_named_after_what_they_hold(module: Module) -> None:
    assert module.path.stem not in VAGUE
    assert not set(module.path.relative_to(ROOT).parts) & VAGUE


def test_nothing_else_stands_at_the_top() -> None:
    found = {name for name in top_level() if not name.startswith(".") and not name.endswith(".egg-info")}
    assert {"gateway", "pyproject.toml"} <= found
    assert found <= TOP_LEVEL


def top_level() -> set[str]:
    """What git would keep; without git, what is there, less what a run or a build leaves behind."""
    git = shutil.which("git")
    if git is not None:
        command = [git, "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout:
            return {name.partition("/")[0] for name in done.stdout.split("\0") if name}
    left_behind = {"build", "dist", "__pycache__"}
    names = {path.name for path in ROOT.iterdir()} - left_behind
    return {name for name in names if not name.endswith((".db", ".db-wal", ".db-shm", ".keys"))}


def test_committer_and_worker_start_without_flask() -> None:
    """A fifth of their start, and memory that they would keep for nothing."""
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, gateway.committer_main, gateway.worker_main; print('flask' in sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert found.stdout.strip() == "False"


def test_the_command_line_starts_without_the_metrics() -> None:
    """They look for the folder that processes share when they are imported, and ``serve`` makes it first."""
    found = subprocess.run(
        [sys.executable, "-c", "import sys, gateway.cli; print('prometheus_client' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert found.stdout.strip() == "False"
