"""An adapter from a YAML document: the same dataclass that Python ones are. docs/yaml-adapters.md.

``outline`` says which keys there are, ``document`` builds the adapter: ``rules`` which message is which, ``files``,
``lines`` and ``groups`` what files tell, ``outbound`` and ``calls`` what goes out. ``clauses`` is what rules have in
common, ``values`` and ``answers`` trees of values compiled, ``paths`` where they stand, ``scope`` what they look at,
``writing`` their bytes, ``mistakes`` what is wrong. A closed language: no code, no templates, no class names; the day a
document wants an ``if``, thirty lines of Python serve better.
"""

from adapters.declarative.document import Declared, build
from adapters.declarative.mistakes import BadDocument

__all__ = ["BadDocument", "Declared", "build"]
