"""Forms that were filled in, into the lake: the calls they mean, and the lists uploaded with them, each file once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import msgspec

from kundig.collect.form_calls import files_of, form_calls
from kundig.collect.inbox_landing import Portion, land_lines, read_calls, receiving
from kundig.collect.land import Landed, import_source
from kundig.collect.sources.raw import Broken
from kundig.errors import ConfigError, SourceError
from kundig.store.inbox import Entry


def read_forms(portion: Portion) -> Landed:
    """Land forms; a list that cannot be taken is held with its reason."""
    landed = read_calls(replace(portion, entries=tuple(form_calls(entry) for entry in portion.entries)))
    broken: list[Broken] = []
    for place, entry in enumerate(portion.entries):
        for file, error in _taken(portion, entry):
            if isinstance(error, Landed):
                landed = landed.with_(error)
            else:
                broken.append(Broken(file=place, row=1, what=error.what, mend=error.mend, body=msgspec.json.encode({"file": file}).decode()))
    if broken:
        config, number = receiving(portion.config, portion.source)
        landed = landed.with_(land_lines(replace(portion, batch_id=f"{portion.batch_id}:files"), config, number, (), broken))
    return landed


def _taken(portion: Portion, entry: Entry) -> Iterator[tuple[str, Landed | SourceError | ConfigError]]:
    """Each file of a form with what landed of it, or why it did not."""
    for file in files_of(entry):
        try:
            yield file, import_source(portion.lake, portion.config, portion.source, [file], now=portion.now, state=portion.state)
        except (SourceError, ConfigError) as error:
            yield file, error
