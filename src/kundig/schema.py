"""Tables, columns and steps: what the house is declared in, and everything else is derived from."""

from __future__ import annotations

import hashlib
import inspect
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kundig.errors import ContractError, nearest

Personal = Literal["none", "pseudonym", "contact", "sensitive"]
Category = Literal["sociodemographic", "behavioural", "psychographic", "transactional", "technical"]
Party = Literal["first", "second", "third"]
Home = Literal["lake", "state"]
Kind = Literal["relation", "fit", "array"]

TYPES = frozenset(
    {
        "int64", "float64", "string", "bool", "date", "timestamp", "decimal(18,4)", "decimal(38,4)", "json",
        "list<string>", "list<int64>",
    }
)  # fmt: skip
"""All that a column may be. `timestamp` is UTC to the microsecond; money and rule numbers are decimals."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column: its type, what it means, and what law and marketing need to know of it."""

    name: str
    type: str
    meaning: str
    personal: Personal = "none"
    category: Category = "technical"
    party: Party = "first"
    purpose: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """One declared table.

    `key` identifies a row; `subject` is the column that names a person (or an identifier of one), by which rows are
    sorted, erased and recomputed; `retention_days` is how long a row is kept (None: as long as the person is known).
    """

    name: str
    room: str
    meaning: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    subject: str | None = None
    home: Home = "lake"
    purpose: str = "operations"
    retention_days: int | None = None
    open_columns: bool = False

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        faults = [f"column '{name}' is declared twice" for name in sorted({n for n in names if names.count(n) > 1})]
        faults += [f"column '{c.name}' has the unknown type '{c.type}'" for c in self.columns if c.type not in TYPES]
        faults += [f"key column '{name}' is not declared" for name in self.key if name not in names]
        if self.subject is not None and self.subject not in names:
            faults.append(f"subject column '{self.subject}' is not declared")
        if self.subject is None and any(c.personal != "none" for c in self.columns):
            faults.append("it has personal columns and no subject: nobody could be erased from it")
        if faults:
            raise ContractError("; ".join(faults), at=f"table '{self.name}'", mend=f"mend its declaration in tables/{self.room}.py")

    def column(self, name: str) -> Column:
        """The declared column of that name.

        Raises:
            ContractError: There is none; the mend names the nearest.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise ContractError(f"column '{name}' is not declared", at=f"table '{self.name}'", mend=nearest(name, self.names))

    @property
    def names(self) -> tuple[str, ...]:
        """The column names in their declared order."""
        return tuple(column.name for column in self.columns)

    @property
    def personal_columns(self) -> frozenset[str]:
        """Columns of which no statistic and no log line may hold a value: labelled ones, and all JSON."""
        return frozenset(c.name for c in self.columns if c.personal != "none" or c.type == "json")

    def with_columns(self, extra: Iterable[Column]) -> Table:
        """This table with more columns at its end (the tracking plan's typed properties on `events`)."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return Table(**(fields | {"columns": (*self.columns, *extra)}))


MERGES = ("sum", "min", "max")
"""How two values of a column become one; a missing one leaves the other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Folded:
    """What a fold made of added rows, as lazy tables.

    `rows`: new rows, and those that take the place of one with the same key; `gone`: keys (first column of the table's key) of rows that go;
    `declined`: subjects (the column `by`) that must be computed from all their facts after all.
    """

    rows: Any
    gone: Any = None
    declined: Any = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A pure function from declared tables to one declared table.

    `by` names the column of the output by which rows are independent: a row with that key depends on input rows of
    the same key (in the inputs that have the column) and on nothing else. Such a step is recomputed for the touched,
    due and erased keys alone; without `by` it is recomputed in full when an input changed. `due` names a timestamp
    column of the output: the next moment at which time alone may change the row. `bound` is the memory an array step
    needs in bytes per input row.

    `merge` says how a row made of some facts and the row of the same key made of others become that of all: column → sum, min or max. Such a
    step is asked about new facts alone, and its answer is added to what stands. `fold` does what a sum cannot say: given the
    table as it stands, the tables read, and by keyword the rows `added` to those that `folds` names, their `recent` rows (from the moment `since` on)
    and the `keys` concerned, it makes the rows that change (`Folded`). Without `by` it is given the added rows of
    the tables that were only added to, and the names of those to be read `anew`, and makes the whole table.

    `needs` names kinds of workspace files of many: a workspace that has none of them, and had none before, does not run the step at all.
    """

    name: str
    kind: Kind
    reads: tuple[Table, ...]
    writes: Table
    body: Callable[..., Any]
    parameters: tuple[str, ...]
    by: str | None = None
    due: str | None = None
    bound: int | None = None
    merge: Mapping[str, str] | None = None
    fold: Callable[..., Folded] | None = None
    folds: tuple[Table, ...] = ()
    needs: tuple[str, ...] = ()

    def __call__(self, *tables: Any, **parameters: Any) -> Any:
        """Run the body: one argument per table read, in order, then keyword parameters."""
        return self.body(*tables, **parameters)

    @property
    def fingerprint(self) -> str:
        """A hash of the code of the module the body stands in: changed code recomputes."""
        module = inspect.getmodule(self.body)
        source = inspect.getsource(module) if module is not None else inspect.getsource(self.body)
        return hashlib.sha256(source.encode()).hexdigest()[:16]


def step(
    *,
    reads: tuple[Table, ...],
    writes: Table,
    kind: Kind = "relation",
    by: str | None = None,
    due: str | None = None,
    bound: int | None = None,
    merge: Mapping[str, str] | None = None,
    fold: Callable[..., Folded] | None = None,
    folds: tuple[Table, ...] = (),
    needs: tuple[str, ...] = (),
) -> Callable[[Callable[..., Any]], Step]:
    """Declare a function as a step.

    The body's positional parameters are the tables read, in order (Ibis tables; for `array` and `fit` steps
    `pyarrow.Table`s, unless the step's room asks for Ibis by annotation). Its keyword-only parameters are filled by name: `as_of`
    (datetime, UTC), `zone`, `currency` and the other settings of kundig.toml, and the files of the workspace
    (`costs`, `identity`, `axes`, …). What is not a table or such a name is a setting of the step with its default.

    Raises:
        ContractError: The signature does not fit the declaration.
    """

    def declare(body: Callable[..., Any]) -> Step:
        signature = inspect.signature(body).parameters.values()
        positional = [p.name for p in signature if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        where = f"step '{body.__name__}' in {body.__module__}"
        if len(positional) != len(reads):
            raise ContractError(f"it takes {len(positional)} tables and reads {len(reads)}", at=where, mend="one positional parameter per table in `reads`")
        for label, column in (("by", by), ("due", due)):
            if column is not None and column not in writes.names:
                raise ContractError(f"`{label}` names '{column}', which '{writes.name}' lacks", at=where, mend=nearest(column, writes.names))
        if merge is not None:
            unsaid = [name for name in writes.names if name not in (*writes.key, "changed_run") and merge.get(name) not in MERGES]
            if unsaid:
                raise ContractError(f"`merge` does not say how '{unsaid[0]}' is merged", at=where, mend=f"give each column that is no key one of {', '.join(MERGES)}")
        if (merge is not None and by is None) or ((merge is not None or fold is not None) and not folds):
            raise ContractError("a step that folds says which tables, and one that merges by which key", at=where, mend="give folds=, and by= with merge=")
        if kind == "array" and bound is None:
            raise ContractError("an array step declares its memory", at=where, mend="give bound=<bytes per input row>")
        keywords = tuple(p.name for p in signature if p.kind is p.KEYWORD_ONLY)
        name = f"{body.__module__.removeprefix('kundig.')}.{body.__name__}"
        return Step(name=name, kind=kind, reads=reads, writes=writes, body=body, parameters=keywords, by=by, due=due, bound=bound, merge=merge, fold=fold, folds=folds, needs=needs)

    return declare


def snake(name: str) -> str:
    """A name as kundig spells events and properties: lower case, words joined by underscores.

    A name of which no letter would be left, in another script or of signs alone, is spelt by the numbers of its characters: the same name gives the
    same spelling always, and two names that differ by more than case and blanks give two. A source's `rename` gives it a better one.

    Examples:
        >>> snake("Order Completed"), snake("productViewed"), snake("  E-Mail öffnen ")
        ('order_completed', 'product_viewed', 'e_mail_öffnen')
        >>> snake("日本"), snake("日本 2"), snake("заказ"), snake("404"), snake("")
        ('u65e5_u672c', 'u65e5_u672c_2', 'u437_u430_u43a_u430_u437', '404', '')
    """
    spaced = re.sub(r"(?<=[a-z0-9äöüß])(?=[A-ZÄÖÜ])", "_", name.strip())
    made = re.sub(r"[^0-9a-zäöüß]+", "_", spaced.lower()).strip("_")
    lost = not made or (not re.search("[a-zäöüß]", made) and any(letter.isalpha() for letter in name))
    return _numbered(name) if lost else made


def _numbered(name: str) -> str:
    """A name by the numbers of its characters; a long one is cut, and told apart by a hash of all of it."""
    whole = unicodedata.normalize("NFC", name.strip()).casefold()
    parts = re.findall(r"[0-9]+|[^0-9\s]", whole)
    made = "_".join(part if part.isascii() and part.isdigit() else f"u{ord(part):x}" for part in parts)
    return made if len(made) <= _NUMBERED_MOST else f"{made[:_NUMBERED_MOST].rpartition('_')[0]}_{hashlib.sha256(whole.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


_NUMBERED_MOST = 80
"""Characters of a name spelt by numbers."""
