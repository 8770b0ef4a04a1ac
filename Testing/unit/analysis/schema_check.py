"""The part of JSON Schema (draft 2020-12) that the project's schemas use, so that tests need no package."""

import re

_TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}
_KNOWN = {
    "$schema", "$defs", "$ref", "title", "description", "type", "const", "enum", "anyOf", "required",
    "properties", "additionalProperties", "items", "minItems", "maxItems", "minimum", "maximum", "pattern",
}  # fmt: skip


def problems(value, schema, root=None, place="$"):
    """What is wrong with ``value``, as a list of sentences that name the place; empty when nothing is."""
    root = root or schema
    unknown = set(schema) - _KNOWN
    assert not unknown, f"the schema uses {unknown}, which this check does not know"
    if "$ref" in schema:
        target = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return problems(value, target, root, place)
    found = []
    types = schema.get("type")
    if types is not None:
        types = [types] if isinstance(types, str) else types
        if not any(_is(value, name) for name in types):
            return [f"{place}: {value!r} is not {' or '.join(types)}"]
    if "const" in schema and value != schema["const"]:
        found.append(f"{place}: {value!r} is not {schema['const']!r}")
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{place}: {value!r} is none of {schema['enum']}")
    if "anyOf" in schema and all(problems(value, choice, root, place) for choice in schema["anyOf"]):
        found.append(f"{place}: fits none of the choices")
    if isinstance(value, dict):
        found += [f"{place}: {name} is missing" for name in schema.get("required", []) if name not in value]
        known, further = schema.get("properties", {}), schema.get("additionalProperties", True)
        for name, item in value.items():
            if name in known:
                found += problems(item, known[name], root, f"{place}.{name}")
            elif further is False:
                found.append(f"{place}: {name} is not known")
            elif isinstance(further, dict):
                found += problems(item, further, root, f"{place}.{name}")
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            found.append(f"{place}: {len(value)} items")
        for index, item in enumerate(value):
            found += problems(item, schema.get("items", {}), root, f"{place}[{index}]")
    if _is(value, "number") and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        found.append(f"{place}: {value} is out of range")
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{place}: {value!r} does not match {schema['pattern']}")
    return found


def _is(value, name):
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return isinstance(value, _TYPES[name])
