"""Drafts the next migration of the state from the difference between migrations and declarations: `python -m tests.store.draft_migration "why"`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext

from kundig.schema import snake
from kundig.store.state import MIGRATIONS, State, metadata
from kundig.tables import STATE


def difference(state: State) -> str:
    """Python code of the operations that lead from the migrated database to the declarations; '' where there are none."""
    with state.engine.connect() as connection:
        options = {"compare_type": False, "include_object": lambda thing, name, kind, reflected, compared: kind != "index" and name != "alembic_version"}
        script = produce_migrations(MigrationContext.configure(connection, opts=options), metadata(STATE.values()))
    if script.upgrade_ops is None or script.upgrade_ops.is_empty():
        return ""
    return render_python_code(script.upgrade_ops)


def main(why: str) -> None:
    """Write the next migration file, to be read and edited before it is committed."""
    with tempfile.TemporaryDirectory() as folder:
        operations = difference(State.open(f"sqlite:///{folder}/state.sqlite"))
    if not operations:
        print("the migrations lead to the declarations; there is nothing to draft")
        return
    last = max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))
    number = f"{int(last) + 1:04d}"
    lines = [
        f'"""{why}."""', "", "from __future__ import annotations", "", "import sqlalchemy as sa", "from alembic import op", "", f'revision = "{number}"',
        f'down_revision = "{last}"', "branch_labels = None", "depends_on = None", "", "", "def upgrade() -> None:", f'    """{why}."""',
    ]  # fmt: skip
    body = [line for line in operations.splitlines() if not line.strip().startswith("#")]
    path = Path(MIGRATIONS / "versions" / f"{number}_{snake(why)[:40]}.py")
    path.write_text("\n".join([*lines, *(f"    {line.strip() if not line.startswith('    ') else line}" for line in body)]) + "\n")
    print(f"wrote {path}: read it, replace kundig's own types by plain ones (moments and money are BigInteger, JSON and lists Text)")


if __name__ == "__main__":
    main(sys.argv[1])
