"""What a link's callers prove themselves by, read from its file and the environment."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

from adapters.contract import Adapter
from gateway.problems import Problems

MIN_SECRET_CHARACTERS = 16
# A digest is made with the secret itself; for the others it is enough to recognise it.
DIGESTS = frozenset({"body_digest"})
# Addresses alone never do: an empty key would make the digest or the token that anybody can make.
NEED_A_SECRET = frozenset({"body_digest", "issued_token"})


def needs_secret(adapter: Adapter) -> bool:
    """Whether callers of the adapter's HTTP face are never believed by their address alone."""
    return adapter.site_exchange or any(route.auth.scheme in NEED_A_SECRET for route in adapter.routes)


@dataclass(frozen=True, slots=True)
class LinkSecret:
    """By what a caller's secret is recognised. ``text`` only where a digest is made with the secret itself."""

    sha256: bytes
    text: bytes = b""


@dataclass(frozen=True, slots=True)
class Reading:
    """The section ``credentials`` of the link's file ``name``, for callers who speak the adapter's protocol.

    ``has_callers``: somebody calls for sure; a link that we speak to does without, and then nobody is believed.
    """

    name: str
    value: Mapping[str, Any]
    adapter: Adapter | None
    problems: Problems
    has_callers: bool = True

    def secrets(self, environ: Mapping[str, str], needed: bool) -> tuple[LinkSecret, ...]:
        """Any of them will do; a link that is switched off (not ``needed``) may do without."""
        schemes = {route.auth.scheme for route in self.adapter.routes} if self.adapter else set()
        if self.adapter is not None and self.adapter.site_exchange and self.has_callers:
            schemes |= {"basic", "issued_token"}
        variables = {name: self.value[name] for name in ("secret", "next_secret") if name in self.value}
        if not variables:
            self._check_without(schemes)
        texts = [self._text(name, environ.get(each, "").strip(), schemes, needed) for name, each in variables.items()]
        keep = bool(schemes & DIGESTS)
        return tuple(
            LinkSecret(hashlib.sha256(text.encode()).digest(), text.encode() if keep else b"") for text in texts if text
        )

    def _text(self, name: str, secret: str, schemes: Set[str], needed: bool) -> str:
        variable, path = self.value[name], ("credentials", name)
        if not secret and needed:
            self.problems.say(self.name, path, f"environment variable {variable} is not set")
        elif secret and (expected := _unfit(secret, schemes)):
            self.problems.say(self.name, path, f"environment variable {variable}: expected {expected}")
        return secret

    def _check_without(self, schemes: Set[str]) -> None:
        """Without a secret the addresses are all that keeps strangers out, where the protocol can do with them."""
        networks = self.value["addresses"]
        if schemes & NEED_A_SECRET and self.has_callers:
            self.problems.say(self.name, ("credentials", "secret"), "missing, and the protocol does not do without one")
        elif not networks and (schemes or self.adapter is None) and self.has_callers:
            self.problems.say(self.name, ("credentials",), "expected a secret, addresses, or both")
        for n, network in enumerate(networks):
            if network.prefixlen == 0:
                text = f"found '{network}', which lets everybody in: expected a secret as well"
                self.problems.say(self.name, ("credentials", "addresses", n), text)


def _unfit(secret: str, schemes: Set[str]) -> str:
    """What was expected of the secret; empty when it will do. Never tells the secret."""
    if len(secret) < MIN_SECRET_CHARACTERS:
        return f"at least {MIN_SECRET_CHARACTERS} characters (openssl rand -hex 16), found {len(secret)}"
    if "secret_path" in schemes and not re.fullmatch(r"[A-Za-z0-9._~-]+", secret):
        return "letters, digits and . _ ~ - only, because it stands in the address (openssl rand -hex 16)"
    return ""
