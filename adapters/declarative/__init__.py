"""An adapter from a YAML document: the same dataclass that Python ones are. docs/yaml-adapters.md.

``document`` the outline and what is built of it, ``rules`` which message is which, ``values`` and ``answers`` trees of
values compiled, ``paths`` where they stand, ``scope`` what they look at, ``mistakes`` what is wrong. A closed language:
no code, no templates, no class names; the day a document wants an ``if``, thirty lines of Python serve better.
"""

from adapters.declarative.document import Declared, build
from adapters.declarative.mistakes import BadDocument

__all__ = ["BadDocument", "Declared", "build"]
