"""Values and addresses as OData 3 of 1C writes them: typed literals, names in Cyrillic, one percent-encoding.

docs/adapters/onec_server.md, "OData". A wrong literal gives an empty list instead of an error there, so nothing is
put into a filter but through these.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from urllib.parse import quote
from uuid import UUID

from adapters.parsing import bad

# What may stand in an address as it is; a space is %20, never a plus, and Cyrillic is encoded once.
SAFE = "'(),=:/$"
# XML 1.0 cannot carry these, and 1C then fails its whole answer; nothing that we say brings them in.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NAME = re.compile(r"[^\W\d]\w{0,127}")


def guid(value: str) -> str:
    """``guid'...'`` in lower case. Errors: BadMessage."""
    try:
        return f"guid'{UUID(value)}'"
    except ValueError:
        raise bad("guid", value, "a GUID") from None


def text(value: str) -> str:
    """Quotes around it, those inside doubled, without what 1C cannot carry."""
    return "'" + plain(value).replace("'", "''") + "'"


def moment(local: datetime) -> str:
    """A wall-clock time of the infobase: no zone, no fractions."""
    return f"datetime'{wall(local)}'"


def wall(local: datetime) -> str:
    """The same as values have it."""
    return local.replace(tzinfo=None, microsecond=0).isoformat()


def plain(value: str) -> str:
    """The text without characters that XML cannot carry."""
    return _CONTROL.sub("", value)


def is_name(value: str) -> bool:
    """Whether it may stand in an address or a filter as the name of a set or property."""
    return _NAME.fullmatch(value) is not None


def entity(set_name: str, ref: str) -> str:
    """One object of a set."""
    return f"{set_name}({guid(ref)})"


def any_of(name: str, literals: Iterable[str]) -> str:
    """A filter: the property is one of these."""
    return " or ".join(f"{name} eq {literal}" for literal in literals)


def target(path: str, options: Iterable[tuple[str, str]] = ()) -> str:
    """The path with its options, encoded. An option is a name such as ``$filter`` and its plain value."""
    told = "&".join(f"{name}={quote(value, safe=SAFE)}" for name, value in options)
    return quote(path, safe=SAFE) + (f"?{told}" if told else "")
