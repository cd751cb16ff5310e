"""The integrator's workshop: from a recorded message to an adapter that a link of the configuration speaks through."""

from __future__ import annotations

import json
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import requests
from click.testing import CliRunner, Result

from adapters.testing.samples import read_samples
from adapters.testing.suite import ContractSuite
from gateway import adapter_files, recorder
from gateway.cli import main
from gateway.settings import load
from gateway.yaml_files import read_yaml
from processing.errors import ConfigError

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
ENVIRON = {"TILLGATE_LINK_BISTRO": "0123456789abcdef0123", "TILLGATE_LINK_KIOSK": "fedcba9876543210fedc"}


def run(*words: str) -> Result:
    result = CliRunner().invoke(main, ["adapter", *words])
    assert result.exception is None or isinstance(result.exception, SystemExit | ConfigError), result.exception
    return result


# The walk-through -----------------------------------------------------------------------------------------------

BLOCK = re.compile(r"^```(?P<kind>\w+)(?: (?P<file>\S+))?\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["new-till.md", "new-till.ru.md"])
def test_the_walk_through_works_as_it_is_told(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks named after a file are written, those of the shell are run; what they print is told by the page."""
    monkeypatch.chdir(tmp_path)
    told = list(BLOCK.finditer((ROOT / "docs" / page).read_text("utf-8")))
    ran = 0
    for block in told:
        if block["file"]:
            Path(block["file"]).parent.mkdir(parents=True, exist_ok=True)
            Path(block["file"]).write_text(block["text"], "utf-8")
        elif block["kind"] == "sh":
            for line in block["text"].splitlines():
                if line.startswith("tillgate adapter "):
                    result = run(*line.split()[2:])
                    assert result.exit_code == 0, result.output
                    ran += 1
                    printed = result.output
        elif block["kind"] == "text":
            for line in block["text"].splitlines():
                assert line in printed, f"{line!r} is not in\n{printed}"
    assert ran >= 4


# Skeletons ------------------------------------------------------------------------------------------------------


def test_a_new_document_keeps_the_contract_from_the_first_minute(tmp_path: Path) -> None:
    assert run("new", "kiosk", "--into", str(tmp_path)).exit_code == 0
    file = tmp_path / "kiosk.yaml"
    assert run("check", str(file)).output == "kiosk.yaml: good: kiosk, 3 rules\n"
    assert run("test", str(file)).exit_code == 0
    keep_the_contract(adapter_files.declared(file).adapter, tmp_path / "kiosk")
    assert run("new", "kiosk", "--into", str(tmp_path)).exit_code == 1
    assert run("new", "Kiosk", "--into", str(tmp_path)).exit_code == 1


def keep_the_contract(adapter: Any, folder: Path) -> None:
    """The laws that need no pytest of their own."""
    suite = type("Suite", (ContractSuite,), {"adapter": adapter, "folder": folder, "examples": 5})()
    for sample in suite.samples():
        suite.test_a_sample_asks_what_was_recorded_and_the_same_every_time(sample)
        suite.test_a_sample_is_answered_as_recorded_and_a_replay_byte_for_byte_alike(sample)
        suite.test_mutated_bytes_raise_nothing_but_loyalty_errors(sample)
        suite.test_every_error_at_the_door_is_told_whatever_the_bytes_and_path(sample)
        suite.test_no_secret_is_left_when_private_fields_are_masked(sample)
    for sample in suite.commanding():
        suite.test_other_time_of_arrival_and_request_id_change_no_key_and_no_content(sample)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package made by ``adapter new --python``, as pip would leave it."""
    assert run("new", "kiosk_py", "--python", "--into", str(tmp_path)).exit_code == 0
    own = tmp_path / "tillgate-kiosk_py"
    meta = own / "tillgate_kiosk_py-0.1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: tillgate-kiosk_py\nVersion: 0.1.0\n")
    (meta / "entry_points.txt").write_text("[tillgate.adapters]\nkiosk_py = tillgate_kiosk_py:ADAPTER\n")
    monkeypatch.syspath_prepend(str(own))
    yield own
    sys.modules.pop("tillgate_kiosk_py", None)


def test_a_plug_in_is_found_by_its_entry_point_and_keeps_the_contract(installed: Path, tmp_path: Path) -> None:
    adapter = adapter_files.plugged_in()["kiosk_py"]
    samples = installed / "samples"
    from adapters.testing.samples import record

    assert list(record(samples, adapter))
    keep_the_contract(adapter, samples)
    assert "kiosk_py: kiosk_py\n" in run("list", "--config", str(CONFIGS)).output


def test_a_plug_in_that_fails_stops_the_start_with_its_name(installed: Path) -> None:
    (installed / "tillgate_kiosk_py.py").write_text("raise ZeroDivisionError('of mine')\n")
    with pytest.raises(ConfigError, match=r"entry point 'kiosk_py' of tillgate\.adapters: ZeroDivisionError: of mine"):
        adapter_files.plugged_in()
    (installed / "tillgate_kiosk_py.py").write_text("ADAPTER = 7\n")
    with pytest.raises(ConfigError, match="found 7, expected an Adapter"):
        adapter_files.plugged_in()
    (installed / "tillgate_kiosk_py.py").write_text("from adapters.rkeeper import ADAPTER\n")
    sys.modules.pop("tillgate_kiosk_py", None)
    with pytest.raises(ConfigError, match="named 'rkeeper' already"):
        adapter_files.plugged_in()


# Configuration --------------------------------------------------------------------------------------------------

LINK = """\
link: kiosk
adapter: kiosk
store: bistro
credentials: {secret: {env: TILLGATE_LINK_KIOSK}}
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The sample configuration with a document of its own and a link that speaks through it."""
    shutil.copytree(CONFIGS, tmp_path / "c", ignore=shutil.ignore_patterns("deploy", "adapters"))
    run("new", "kiosk", "--into", str(tmp_path / "c" / "adapters"))
    (tmp_path / "c" / "links" / "kiosk.yaml").write_text(LINK)
    return tmp_path / "c"


def test_a_link_speaks_through_a_document_of_its_configuration(directory: Path) -> None:
    settings = load(directory, ENVIRON)
    link = settings.links["kiosk"]
    assert settings.adapter_of(link).title == "kiosk"
    assert link.options == {"language": "ru"}
    assert settings.adapter_of(settings.links["bistro"]).name == "rkeeper"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "total_minor:",
            "totl_minor:",
            r"adapters/kiosk.yaml:\d+: rules.2.fields.receipt.totl_minor: .*'total_minor'\?",
        ),
        ("adapter: kiosk", "adapter: kisok", r"adapters/kiosk.yaml:2: adapter: found 'kisok', expected 'kiosk'"),
        ("ask: Identify", "ask: Identfy", r"adapters/kiosk.yaml:\d+: rules.1.ask"),
        ("rules:", "rules: [", r"adapters/kiosk.yaml: line"),
    ],
)
def test_a_document_that_cannot_work_stops_the_start_with_file_and_line(
    directory: Path, old: str, new: str, told: str
) -> None:
    file = directory / "adapters" / "kiosk.yaml"
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load(directory, ENVIRON)
    assert re.search(told, str(caught.value)), caught.value


def test_a_document_may_not_take_the_name_of_an_adapter_that_is_there(directory: Path) -> None:
    file = directory / "adapters" / "kiosk.yaml"
    (directory / "adapters" / "rkeeper.yaml").write_text(file.read_text().replace("adapter: kiosk", "adapter: rkeeper"))
    with pytest.raises(ConfigError, match="an adapter is named 'rkeeper' already"):
        load(directory, ENVIRON)


def test_a_link_has_the_secrets_that_its_document_says(directory: Path) -> None:
    shutil.copy(CONFIGS / "adapters" / "order_events.yaml", directory / "adapters")
    file = directory / "links" / "shop.yaml"
    link = LINK.replace("link: kiosk", "link: shop").replace("adapter: kiosk", "adapter: order_events")
    link += "messages: {kinds: [balance_changed]}\nfar_side: {address: https://shop.example, secrets: {SECRETS}}\n"
    secrets = {name: f"{name}: {{env: {name.upper()}}}" for name in ("client", "client_secret")}
    environ = {**ENVIRON, **{name.upper(): name * 4 for name in secrets}}
    file.write_text(link.replace("SECRETS", secrets["client"]))
    with pytest.raises(ConfigError, match=r"shop.yaml:\d+: far_side.secrets: expected client_secret"):
        load(directory, environ)
    file.write_text(link.replace("SECRETS", ", ".join(secrets.values())))
    assert load(directory, environ).links["shop"].messages


def test_a_page_tells_what_comes_in_what_goes_out_and_which_secrets_that_takes() -> None:
    told = run("docs", str(CONFIGS / "adapters" / "order_events.yaml")).output
    assert "| closed | POST `events` | `event` = order.closed | PostReceipt |" in told
    assert "PUT `cards/{wallets.0.cards.0.number}`; 404 is done |" in told
    assert "Asked again and again: GET `events`" in told
    assert "Secrets of the link (`far_side.secrets`): `client`, `client_secret`." in told
    told = run("docs", str(CONFIGS / "adapters" / "csv_receipts.yaml")).output
    assert "Several lines are one document: they begin where `record` = H, and end where `record` = E." in told


# Trying and testing ---------------------------------------------------------------------------------------------


def test_a_message_that_no_rule_takes_is_told_why(tmp_path: Path) -> None:
    message = tmp_path / "m.json"
    message.write_text('{"do": "dance", "receipt": {}}')
    acme = str(CONFIGS / "adapters" / "acme.yaml")
    told = run("try", acme, str(message), "--path", "receipt").output
    assert "rule quote: no: do is 'dance', expected quote" in told
    assert "rule refund: no: do is 'dance', expected refund" in told
    assert "the message makes no sense" in told
    assert "no rule has this address and method" in run("try", acme, str(message), "--path", "nowhere").output
    message.write_text('{"do":')
    told = run("try", acme, str(message), "--path", "receipt").output
    assert "the message makes no sense: json" in told and "no rule has" not in told


def test_a_sample_without_results_is_told_which_file_to_write(tmp_path: Path) -> None:
    run("new", "kiosk", "--into", str(tmp_path))
    (tmp_path / "kiosk" / "card.results.json").unlink()
    told = run("test", str(tmp_path / "kiosk.yaml"))
    assert (
        told.exit_code == 1 and "card.results.json: found 0, expected what the core answers, 1 results" in told.output
    )


def test_samples_that_differ_are_shown_and_can_be_updated(tmp_path: Path) -> None:
    run("new", "kiosk", "--into", str(tmp_path))
    file = tmp_path / "kiosk.yaml"
    file.write_text(file.read_text().replace("holder: {of: holder_name}", "owner: {of: holder_name}"))
    told = run("test", str(file))
    assert told.exit_code == 1
    assert "card: differs" in told.output and '+{"card":"5550001234","owner":' in told.output
    assert run("test", str(file), "--update").exit_code == 0
    assert run("test", str(file)).exit_code == 0


def test_the_schema_for_editors_takes_the_shipped_documents_and_no_others() -> None:
    validator = jsonschema_rs.Draft202012Validator(json.loads(run("schema").output))
    for file in (CONFIGS / "adapters").glob("*.yaml"):
        document = read_yaml(file)
        assert list(validator.iter_errors(document)) == [], file
        assert not validator.is_valid(document | {"rulez": []})
        assert not validator.is_valid(document | {"grade": "platinum"})


# Recording ------------------------------------------------------------------------------------------------------


def test_whatever_a_till_sends_becomes_a_sample(tmp_path: Path) -> None:
    said: list[str] = []
    recording = recorder.Recording(tmp_path, said.append, b"<ok/>", "text/xml", 202)
    with recorder.serve(recording, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        base = f"http://127.0.0.1:{server.server_port}"
        answer = requests.post(f"{base}/api/Receipt/Post?shop=1", data=b'{"a": 1}', headers={"X-Key": "k"}, timeout=10)
        requests.get(f"{base}/ping", timeout=10)
        requests.post(f"{base}/x", data="<a/>".encode("cp1251"), timeout=10)
        server.shutdown()
        thread.join()
    assert (answer.status_code, answer.content) == (202, b"<ok/>")
    assert said == [
        "post_001: POST /api/Receipt/Post, 8 bytes",
        "ping_002: GET /ping, 0 bytes",
        "x_003: POST /x, 4 bytes",
    ]
    run("new", "kiosk", "--into", str(tmp_path / "k"))
    adapter = adapter_files.declared(tmp_path / "k" / "kiosk.yaml").adapter
    first = min(read_samples(tmp_path, adapter), key=lambda sample: sample.request.path)
    assert (first.request.path, first.request.query, first.request.body) == ("api/Receipt/Post", "shop=1", b'{"a": 1}')
    assert first.request.headers["x-key"] == "k"
    assert sorted(path.suffix for path in tmp_path.glob("*.request.*")) == [".json", ".txt", ".xml"]
    assert json.loads((tmp_path / "cases.json").read_text())["cases"]["ping_002"]["method"] == "GET"


def test_a_recording_has_an_end_and_no_giants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "MAX_MESSAGES", 1)
    monkeypatch.setattr(recorder, "MAX_BODY", 10)
    recording = recorder.Recording(tmp_path, lambda _: None)
    with recorder.serve(recording, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        base = f"http://127.0.0.1:{server.server_port}/a"
        statuses = [requests.post(base, data=data, timeout=10).status_code for data in (b"x" * 11, b"x", b"x")]
        server.shutdown()
        thread.join()
    assert statuses == [413, 200, 503]
