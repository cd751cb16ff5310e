"""Who may do what: verbs, roles as named bundles of them, and the one place that says whose links somebody sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.settings import LinkSettings, Settings
from processing.chain import Chain

# Verbs.
SEE_LINKS = "links:see"
ACT_ON_QUEUE = "queue:act"
SEE_PERSONAL = "personal:see"

VERBS = {
    SEE_LINKS: "see links, their queues and the exchange log, masked",
    ACT_ON_QUEUE: "pause and resume links, send again, skip",
    SEE_PERSONAL: "see a message in the clear, with a reason, which is audited",
}

OWNER, OPERATOR, PARTNER, OBSERVER = "owner", "operator", "partner", "observer"
ROLES: dict[str, frozenset[str]] = {
    OWNER: frozenset(VERBS),
    OPERATOR: frozenset(VERBS),
    PARTNER: frozenset(VERBS),
    OBSERVER: frozenset({SEE_LINKS}),
}
# Whoever has one of these sees a part of the chain, never all of it.
NEEDS_SCOPE = frozenset({PARTNER})

LANGUAGES = ("ru", "en")
THEMES = ("auto", "light", "dark")


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody who has signed in. ``stores`` and ``partners`` both None: the whole chain."""

    id: int
    name: str
    role: str
    stores: frozenset[str] | None
    partners: frozenset[str] | None
    language: str
    theme: str
    must_change: bool

    @property
    def actor(self) -> str:
        """Who this is in the audit log, as clients name their operators; no client is named ``console``."""
        return f"console/{self.name}"

    def may(self, verb: str) -> bool:
        return verb in ROLES.get(self.role, frozenset())


def sees_all(operator: Operator) -> bool:
    """Whether it is the whole chain that this person sees."""
    return operator.stores is None and operator.partners is None


def stores_of(operator: Operator, chain: Chain) -> frozenset[str]:
    """Codes of the stores that this person sees."""
    if sees_all(operator):
        return frozenset(store.code for store in chain.stores)
    own, partners = operator.stores or frozenset(), operator.partners or frozenset()
    return frozenset(store.code for store in chain.stores if store.code in own or store.partner in partners)


def links_of(operator: Operator, settings: Settings) -> Mapping[str, LinkSettings]:
    """The links that this person sees. Whatever a page reads, it reads of these."""
    stores = stores_of(operator, settings.chain)
    return {code: link for code, link in sorted(settings.links.items()) if link.store in stores}
