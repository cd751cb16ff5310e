"""What a link says about its far side: where it is, how long and how much to wait for, whom to trust.

The section ``far_side`` of links/<code>.yaml, as data; gateway/transport.py goes by it. Secrets come from the
environment and are seen by the adapter's ``login`` only, but for those that open an SFTP connection.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from marshmallow import fields, validate

from gateway.problems import Problems
from gateway.schemas import (
    Checked,
    Network,
    Section,
    a_code,
    a_secret,
    a_text,
    a_whole,
)
from gateway.yaml_files import Steps

MIN_SECRET_CHARACTERS = 16
PORTS = {"http": 80, "https": 443, "sftp": 22}
WEB = ("http", "https")
# The secrets that open an SFTP connection.
PASSWORD, KEY, PASSPHRASE = "password", "key", "passphrase"  # names, not secrets
# Whoever made these may have made them short.
OF_THE_FAR_SIDE = (PASSWORD, PASSPHRASE)
_PLAIN = ("connect_seconds", "read_seconds", "total_seconds", "max_answer_bytes", "tries", "host_key")
_FILES = ("ca_file", "client_cert", "client_key")


@dataclass(frozen=True, slots=True)
class FarSide:
    """``address`` is https://host/base, sftp://user@host/folder or file:///folder.

    ``total_seconds`` is for a call with all its ``tries``, which are made for calls that may be repeated. ``ca_file``:
    only these authorities are trusted; without it those that browsers trust (certifi). ``inner_addresses``: networks
    that are not of the public internet and may be called nevertheless. ``host_key`` is that of an SFTP server.
    """

    address: str
    connect_seconds: float = 5
    read_seconds: float = 15
    total_seconds: float = 30
    max_answer_bytes: int = 4 << 20
    tries: int = 2
    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""
    wsdl: str = ""
    inner_addresses: tuple[Network, ...] = ()
    host_key: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def parts(self) -> SplitResult:
        return urlsplit(self.address)

    @property
    def scheme(self) -> str:
        return self.parts.scheme

    @property
    def host(self) -> str:
        return self.parts.hostname or ""

    @property
    def port(self) -> int:
        return self.parts.port or PORTS.get(self.scheme, 0)

    @property
    def user(self) -> str:
        return unquote(self.parts.username or "")

    @property
    def folder(self) -> str:
        return unquote(self.parts.path) or "/"


# The section of the file ----------------------------------------------------------------------------------------

_ADDRESS = "https://host/base, http://host/base, sftp://user@host/folder or file:///folder, without a password"


def _address(value: Any) -> str:
    """The address, without a slash at its end."""
    parts = urlsplit(value if isinstance(value, str) else "")
    parts.port  # noqa: B018  # ValueError where it is no number
    fit = {
        "file": not parts.netloc and parts.path.startswith("/"),
        "sftp": bool(parts.hostname and parts.username) and parts.password is None,
        **dict.fromkeys(WEB, bool(parts.hostname) and "@" not in parts.netloc),
    }.get(parts.scheme, False)
    if not fit or parts.query or parts.fragment or re.search(r"[\s\\?#\x00-\x1f]", value):
        raise ValueError
    if {".", ".."} & set(unquote(parts.path).split("/")):
        raise ValueError
    return str(value).rstrip("/")


def _host_key(value: Any) -> str:
    """A key as known_hosts has it, without the host: its kind and base64."""
    kind, blob = (value if isinstance(value, str) else "").split()[:2]
    try:
        base64.b64decode(blob, validate=True)
    except binascii.Error:
        raise ValueError from None
    if not re.fullmatch(r"(ssh|ecdsa)-[a-z0-9-]+", kind):
        raise ValueError
    return f"{kind} {blob}"


def _only_true(value: Any) -> bool:
    if value is not True:
        raise ValueError
    return True


def _inner_network(value: Any) -> Network:
    network = ip_network(value if isinstance(value, str) else "")
    if network.prefixlen == 0:
        raise ValueError
    return network


class FarSideSchema(Section):
    """The section; its defaults are those of FarSide."""

    address = Checked(_address, _ADDRESS, required=True)
    connect_seconds = a_whole(1, 60)
    read_seconds = a_whole(1, 120)
    total_seconds = a_whole(1, 120)
    max_answer_bytes = a_whole(1024, 256 << 20)
    tries = a_whole(1, 5)
    verify = Checked(_only_true, "true: a far side that nobody has checked could be anybody; name its CA in ca_file")
    ca_file = a_text("the path of a PEM file")
    client_cert = a_text("the path of a PEM file")
    client_key = a_text("the path of a PEM file")
    wsdl = a_text("a path, or an https:// address")
    inner_addresses = fields.List(
        Checked(_inner_network, "an address or a network without host bits such as 10.1.2.0/24, not all addresses"),
        validate=validate.Length(min=1),
    )
    host_key = Checked(_host_key, "the server's key as known_hosts has it: ssh-ed25519 AAAA...")
    secrets = fields.Dict(
        keys=a_code(),
        values=a_secret(),
        load_default=dict,
    )


class Reading:
    """The section of one file, made a FarSide; what is wrong with it is told to ``problems``."""

    def __init__(self, file: str, value: Mapping[str, Any], root: Path, problems: Problems) -> None:
        self._file, self._value, self._root, self._problems = file, value, root, problems

    def far_side(self, environ: Mapping[str, str], enabled: bool) -> FarSide:
        value = self._value
        far_side = FarSide(
            address=value["address"],
            wsdl=self._wsdl(),
            inner_addresses=tuple(value.get("inner_addresses", ())),
            secrets=dict(self._secrets(environ, enabled)),
            **self._files(),
            **{name: value[name] for name in _PLAIN if name in value},
        )
        for path, text in _misfits(far_side, set(value["secrets"])):
            self._say(path, text)
        return far_side

    def _say(self, path: Steps, text: str) -> None:
        self._problems.say(self._file, ("far_side", *path), text)

    def _files(self) -> dict[str, Any]:
        return {name: self._path(name, self._value[name]) for name in _FILES if name in self._value}

    def _path(self, name: str, path: str) -> str:
        """The path of a file that is there; a relative one begins at the configuration directory."""
        found = (self._root / path).absolute()
        if not found.is_file():
            self._say((name,), f"found {path!r}, expected a file: {found} is none")
        return str(found)

    def _wsdl(self) -> str:
        wsdl = str(self._value.get("wsdl", ""))
        return wsdl if not wsdl or urlsplit(wsdl).scheme in WEB else self._path("wsdl", wsdl)

    def _secrets(self, environ: Mapping[str, str], enabled: bool) -> Iterator[tuple[str, str]]:
        """Those that are set; a link that is switched off may do without."""
        for name, variable in self._value["secrets"].items():
            secret = environ.get(variable, "").strip()
            least = 1 if name in OF_THE_FAR_SIDE else MIN_SECRET_CHARACTERS
            if secret:
                yield name, secret
            if enabled and not secret:
                self._say(("secrets", name), f"environment variable {variable} is not set")
            elif enabled and len(secret) < least:
                text = f"environment variable {variable}: expected at least {least} characters"
                self._say(("secrets", name), text)


def _misfits(far_side: FarSide, secrets: set[str]) -> Iterator[tuple[Steps, str]]:
    """What is missing for this kind of address, and what is set that it has no use for."""
    scheme = far_side.scheme
    if scheme == "http" and not far_side.inner_addresses:
        yield ("address",), "found http://, expected https://, or inner_addresses: without TLS calls stay inside"
    if scheme == "sftp":
        if not far_side.host_key:
            yield ("host_key",), "missing, expected the server's key (ssh-keyscan HOST, compared over another way)"
        if not secrets & {PASSWORD, KEY}:
            yield ("secrets",), f"expected {PASSWORD} or {KEY}, with which the connection is opened"
    elif far_side.host_key:
        yield ("host_key",), "found a key, expected none: only sftp:// has one"
    for name in _FILES if scheme != "https" else ():
        if getattr(far_side, name):
            yield (name,), f"found with {scheme}://, expected https://"
    if far_side.client_key and not far_side.client_cert:
        yield ("client_cert",), "missing, expected the certificate of client_key"
    if far_side.wsdl and scheme not in WEB:
        yield ("wsdl",), f"found with {scheme}://, expected https://"
    if far_side.inner_addresses and scheme == "file":
        yield ("inner_addresses",), "found with file://, expected an address of a host"
    if far_side.connect_seconds > far_side.total_seconds:
        yield ("total_seconds",), f"expected at least connect_seconds, {far_side.connect_seconds}"
