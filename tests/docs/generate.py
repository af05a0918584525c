"""Pages of documentation that are derived: commands, settings, reasons and tables; `python -m tests.docs.generate` writes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


def commands() -> str:
    """Every command with its arguments and options."""
    import typer.main

    from kundig.cli.app import app

    group = typer.main.get_command(app)
    parts = ["# Commands", "", "Made from the commands themselves. `kundig COMMAND --help` says the same. Exit codes: 0 done, 1 failed, 2 wrong use; `--json` is for machines.", ""]
    for name, command in _walk(group, "kundig"):
        parts += [f"## {name}", "", (command.help or "").strip(), ""]
        rows = [_parameter(parameter) for parameter in command.params if parameter.name != "help"]
        if rows:
            parts += ["| | meaning | default |", "|---|---|---|", *rows, ""]
    return "\n".join(parts)


def _walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    if hasattr(command, "commands"):
        for child in sorted(command.commands):
            yield from _walk(command.commands[child], f"{name} {child}")
    else:
        yield name, command


def _parameter(parameter: Any) -> str:
    option = parameter.param_type_name == "option"
    shown = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts)) if option else f"`{parameter.name.upper()}`"
    default = parameter.default() if callable(parameter.default) else parameter.default
    told = "" if default in (None, False, ()) or "UNSET" in repr(default).upper() or "Sentinel" in repr(default) else f"`{default}`"
    return f"| {shown} | {(getattr(parameter, 'help', '') or '').replace('|', '/')} | {told} |"


def settings() -> str:
    """Every kind of workspace file and every setting in it."""
    from kundig.config.load import kinds

    parts = ["# Files and settings of a workspace", "", "Made from the models that validate them. `kundig schema FOLDER` writes JSON Schema of each for editors.", ""]
    for kind in kinds():
        many = "one record a file" if kind.many else "one file"
        parts += [f"## {kind.pattern}", "", f"{kind.meaning} Known to steps as `{kind.name}`; {many}.", ""]
        rows = list(_fields(kind.model, ""))
        if rows:
            parts += ["| setting | meaning | default |", "|---|---|---|", *rows, ""]
    return "\n".join(parts)


def _fields(model: Any, prefix: str) -> Iterator[str]:
    from pydantic import BaseModel
    from pydantic_core import PydanticUndefined

    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _fields(annotation, f"{prefix}{name}.")
            continue
        default = "" if field.default in (PydanticUndefined, None, "") or field.default_factory is not None else f"`{field.default!r}`"
        nested = _models(annotation)
        meaning = (field.description or "").replace("|", "/")
        yield f"| `{prefix}{name}` | {meaning} | {default.replace('|', '/') if not nested else ''} |"
        for inner in nested:
            yield from _fields(inner, f"{prefix}{name}[].")


def _models(annotation: Any) -> list[Any]:
    from pydantic import BaseModel

    found: list[Any] = []
    for argument in getattr(annotation, "__args__", ()):
        if isinstance(argument, type) and issubclass(argument, BaseModel):
            found.append(argument)
        else:
            found += _models(argument)
    return found


def reasons() -> str:
    """Every reason code with its two sentences."""
    from kundig import reasons as listed

    parts = ["# Reasons", "", "The closed list of reason codes: why the gate, an audience, a KPI, an urgency, a next purchase or the quarantine said what it said.", ""]
    group = ""
    for reason in listed.ALL.values():
        if reason.group != group:
            group = reason.group
            parts += ["", f"## {group}", "", "| code | Deutsch | English |", "|---|---|---|"]
        parts.append(f"| `{reason.code}` | {reason.de} | {reason.en} |")
    return "\n".join([*parts, ""])


def tables() -> str:
    """The catalogue of tables."""
    from kundig.govern.catalog import as_markdown

    return as_markdown()


def ready_mappings() -> str:
    """Every ready mapping with the columns it reads and what they become."""
    from kundig.collect.ready import listed

    found = listed()
    parts = [
        "# Ready mappings", "",
        "Made from the mappings themselves; how to use them says [ready-sources.md](ready-sources.md). Known from: *documentation* has yet to meet a real export, and a column that yours lacks is told at the import.", "",
        "| mapping | party | tables | known from |", "|---|---|---|---|",
        *(f"| [{one.name}](#{one.name}) | {one.source.party} | {', '.join(one.tables)} | {one.source.known_from} |" for one in found), "",
    ]  # fmt: skip
    for one in found:
        source = one.source
        parts += [f"## {one.name}", "", f"{source.meaning}. {source.party.capitalize()} party; known from {source.known_from}: <{source.documentation}>." if "://" in source.documentation else f"{source.meaning}. {source.party.capitalize()} party; the columns are the mapping's own.", ""]
        parts += [text for text in (source.transformations, source.authentication and f"Authentication: {source.authentication}.", source.rate_limit and f"Rate limit: {source.rate_limit}.") if text]
        parts += ["", "| from | table | column | made of |", "|---|---|---|---|"]
        for given in source.inputs:
            for landing in given.lands:
                place = given.place if not given.each else f"{given.place}, each of {given.each}"
                parts += [f"| `{place}` | {landing.table} | {column} | {_made(spec)} |" for column, spec in landing.columns.items()]
                parts += [f"| `{place}` | {landing.table} | *{identifier.namespace}* | `{identifier.column}` |" for identifier in landing.identifiers]
        parts.append("")
    return "\n".join(parts)


def _made(given: Any) -> str:
    """What a column is made of, in a few words."""
    from kundig.collect.mapping import spec

    column = spec(given)
    origin = f"always {column.value}" if column.value is not None else " or ".join(f"`{name}`" for name in column.picks)
    origin = f"{origin}, numbered" if column.number_within else origin
    mapped = "; ".join(f"{old} → {new}" for old, new in column.map.items())
    return f"{origin}{f': {mapped}' if mapped else ''}{f'; else {column.default}' if column.default is not None else ''}"


PAGES = {"ready-mappings.md": ready_mappings, "commands.md": commands, "settings.md": settings, "reasons.md": reasons, "tables.md": tables}


def main() -> None:
    """Write the derived pages."""
    for name, make in PAGES.items():
        (DOCS / name).write_text(make().rstrip("\n") + "\n", encoding="utf-8")
        print(DOCS / name)


if __name__ == "__main__":
    main()
