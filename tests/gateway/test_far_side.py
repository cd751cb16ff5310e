"""The section far_side is exact or refused, like everything in the configuration."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.far_side import FarSide
from gateway.settings import Settings, load
from processing.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"
ENVIRON = {
    "TILLGATE_LINK_BISTRO": "0123456789abcdef0123456789abcdef",
    "FAR_PASSWORD": "far secret",
    "FAR_KEY": "0123456789abcdef",
}
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDSk0MlBGoHl7yKLwvtMkA8nb1ZvJVJ9Dk4GrQ8HkU5F"

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A copy of the sample configuration whose link has this section."""

    def written(section: str) -> Path:
        copy = tmp_path / "configs"
        shutil.copytree(CONFIGS, copy, dirs_exist_ok=True)
        link = copy / "links" / "bistro.yaml"
        lines = "".join(f"  {line}\n" for line in section.splitlines())
        link.write_text(link.read_text() + f"\nfar_side:\n{lines}")
        return copy

    return written


def far_side(directory: Path, environ: dict[str, str] = ENVIRON) -> FarSide:
    settings: Settings = load(directory, environ)
    found = settings.links["bistro"].far_side
    assert found is not None
    return found


def problem(directory: Path, environ: dict[str, str] = ENVIRON) -> str:
    with pytest.raises(ConfigError) as caught:
        load(directory, environ)
    return str(caught.value)


def test_a_link_has_no_far_side_unless_it_says_so() -> None:
    assert load(CONFIGS, ENVIRON).links["bistro"].far_side is None


def test_an_address_is_enough_and_the_rest_has_defaults(write: Write) -> None:
    assert far_side(write("address: https://far.example/base/")) == FarSide("https://far.example/base")


def test_everything_that_is_said_is_there(write: Write) -> None:
    directory = write(
        "address: https://far.example:8443/base\n"
        "connect_seconds: 2\nread_seconds: 7\ntotal_seconds: 20\nmax_answer_bytes: 65536\ntries: 3\n"
        "ca_file: tls/ca.pem\nclient_cert: tls/me.pem\nclient_key: tls/me.key\nverify: true\n"
        "wsdl: wsdl/far.wsdl\n"
        "inner_addresses: [10.20.0.0/24, 'fd00::/8']\n"
        "secrets: {password: {env: FAR_PASSWORD}, other: '${FAR_KEY}'}\n"
    )
    for name in ("tls/ca.pem", "tls/me.pem", "tls/me.key", "wsdl/far.wsdl"):
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).touch()
    found = far_side(directory)
    assert found == FarSide(
        address="https://far.example:8443/base",
        connect_seconds=2,
        read_seconds=7,
        total_seconds=20,
        max_answer_bytes=65536,
        tries=3,
        ca_file=str(directory / "tls/ca.pem"),
        client_cert=str(directory / "tls/me.pem"),
        client_key=str(directory / "tls/me.key"),
        wsdl=str(directory / "wsdl/far.wsdl"),
        inner_addresses=(ip_network("10.20.0.0/24"), ip_network("fd00::/8")),
        secrets={"password": "far secret", "other": "0123456789abcdef"},
    )
    assert (found.scheme, found.host, found.port) == ("https", "far.example", 8443)
    assert "far secret" not in repr(found)


def test_an_sftp_folder_has_its_parts(write: Write) -> None:
    section = f"address: sftp://till%40shop@far.example/out/new\nhost_key: {HOST_KEY} somebody@somewhere\n"
    found = far_side(write(section + "secrets: {password: {env: FAR_PASSWORD}}"))
    assert (found.user, found.host, found.port, found.folder) == ("till@shop", "far.example", 22, "/out/new")
    assert found.host_key == HOST_KEY


@pytest.mark.parametrize(
    "address",
    [
        "far.example",
        "ftp://far.example/",
        "https://",
        "https://user:secret@far.example/",
        "https://user@far.example/",
        "https://far.example/?a=b",
        "https://far.example/#a",
        "https://far.example/a/../b",
        "https://far.example/a/%2e%2e/b",
        "https://far.example:99999/",
        "https://far .example/",
        "sftp://far.example/folder",
        "sftp://user:secret@far.example/folder",
        "file://far.example/folder",
        "file:folder",
        "5",
        "[]",
    ],
)
def test_an_address_that_is_none_is_refused(write: Write, address: str) -> None:
    told = problem(write(f"address: '{address}'"))
    assert "links/bistro.yaml" in told
    assert "far_side.address: " in told
    assert "expected https://host/base" in told


MISTAKES = {
    "plain HTTP to the outside": ("address: http://far.example/", "far_side.address"),
    "unknown key": ("address: https://far.example\nadress: x", "did you mean 'address'"),
    "no address": ("tries: 3", "far_side.address: missing"),
    "no verification": ("address: https://far.example\nverify: false", "far_side.verify: found False"),
    "no such file": ("address: https://far.example\nca_file: none.pem", "far_side.ca_file"),
    "no such WSDL": ("address: https://far.example\nwsdl: none.wsdl", "far_side.wsdl"),
    "key, no certificate": ("address: https://far.example\nclient_key: chain.yaml", "client_cert: missing"),
    "every address": ("address: https://far.example\ninner_addresses: [0.0.0.0/0]", "inner_addresses.0"),
    "host bits": ("address: https://far.example\ninner_addresses: [10.0.0.1/8]", "inner_addresses.0"),
    "no variable": ("address: https://far.example\nsecrets: {a: {env: NOT_SET}}", "variable NOT_SET is not set"),
    "short secret": ("address: https://far.example\nsecrets: {a: {env: FAR_PASSWORD}}", "at least 16 characters"),
    "literal secret": ("address: https://far.example\nsecrets: {a: hunter2}", "secrets.a: found a literal"),
    "endless": ("address: https://far.example\ntotal_seconds: 100000", "total_seconds"),
    "short": ("address: https://far.example\ntotal_seconds: 2", "far_side.total_seconds"),
    "key of nothing": (f"address: https://far.example\nhost_key: {HOST_KEY}", "only sftp://"),
    "no host key": ("address: sftp://u@far.example/f\nsecrets: {password: {env: FAR_PASSWORD}}", "host_key: missing"),
    "bad host key": ("address: sftp://u@far.example/f\nhost_key: AAAA", "far_side.host_key"),
    "no credentials": (f"address: sftp://u@far.example/f\nhost_key: {HOST_KEY}", "far_side.secrets"),
    "TLS of a folder": ("address: file:///f\nca_file: chain.yaml", "far_side.ca_file"),
    "WSDL of a folder": ("address: file:///f\nwsdl: chain.yaml", "far_side.wsdl"),
    "networks of a folder": ("address: file:///f\ninner_addresses: [10.0.0.0/8]", "far_side.inner_addresses"),
}  # fmt: skip


@pytest.mark.parametrize(("section", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_file_and_path(write: Write, section: str, expected: str) -> None:
    told = problem(write(section))
    assert "links/bistro.yaml" in told
    assert expected in told
    assert "hunter2" not in told


def test_a_link_that_is_switched_off_does_without_secrets(write: Write) -> None:
    directory = write("address: https://far.example\nsecrets: {a: {env: NOT_SET}}")
    link = directory / "links" / "bistro.yaml"
    link.write_text(link.read_text().replace("enabled: true", "enabled: false"))
    assert far_side(directory).secrets == {}
