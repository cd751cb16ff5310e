"""The JSON Schema (2020-12) of a file of ours, for editors: made from the schema that checks it."""

from __future__ import annotations

import inspect
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema, fields

from gateway.schemas import Checked, Text

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# OpenAPI 3.1 has the keywords of this dialect; only the place of definitions differs.
_OPENAPI = "3.1.0"
_PLACE = "#/components/schemas/"


def json_schema(root: type[Schema], title: str) -> dict[str, Any]:
    """What the files may say, their sections under ``$defs``."""
    plugin = MarshmallowPlugin(schema_name_resolver=_name)
    spec = APISpec("tillgate", "", _OPENAPI, plugins=[plugin])
    converter = plugin.converter
    assert converter is not None
    converter.add_attribute_function(_own_shape)  # type: ignore[no-untyped-call]
    spec.components.schema(_name(root), schema=root)
    found: dict[str, Any] = _moved(spec.components.schemas)
    for key, name in converter.refs.items():
        found[name] = {**_about(key[0]), **found[name]}
    whole = found.pop(_name(root))
    return {"$schema": DIALECT, "title": title, **whole, "$defs": found}


def _name(schema: type[Schema] | Schema) -> str:
    kind = schema if isinstance(schema, type) else type(schema)
    return kind.__name__.lstrip("_").removesuffix("Section").removesuffix("Schema")


def _about(schema: type[Schema]) -> dict[str, Any]:
    """What the class says of the whole mapping; a rule gives one of several things."""
    told: dict[str, Any] = {"description": (inspect.getdoc(schema) or "").split("\n", 1)[0]}
    gives = getattr(schema, "gives", ())
    return told | ({"oneOf": [{"required": [name]} for name in gives]} if gives else {})


def _own_shape(_: Any, field: fields.Field[Any], ret: dict[str, Any]) -> dict[str, Any]:
    """What our own fields tell of their shape, in place of what apispec works out.

    It would show their defaults as they are computed with, and patterns in Python's words.
    """
    if isinstance(field, Checked | Text):
        ret.pop("pattern", None)
        default = ret.get("default")
        if not (default is None or isinstance(default, bool) or (isinstance(default, str) and default)):
            ret.pop("default")
        return _or_null(dict(field.json), field.allow_none)
    if ret.get("pattern", "").endswith(r"\Z"):
        ret["pattern"] = "^" + ret["pattern"].removesuffix(r"\Z") + "$"
    if isinstance(field, fields.Dict) and isinstance(field.key_field, Text):
        return {"propertyNames": dict(field.key_field.json)}
    return {}


def _or_null(shape: dict[str, Any], allow_none: bool) -> dict[str, Any]:
    """The shape, or null as well."""
    if allow_none and "enum" in shape:
        shape["enum"] = [*shape["enum"], None]
    if allow_none and "type" in shape:
        kinds = shape["type"]
        shape["type"] = [*([kinds] if isinstance(kinds, str) else kinds), "null"]
    return shape


def _moved(value: Any) -> Any:
    """The same with its references to definitions of JSON Schema."""
    if isinstance(value, dict):
        return {key: _moved(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_moved(each) for each in value]
    return value.replace(_PLACE, "#/$defs/") if isinstance(value, str) else value
