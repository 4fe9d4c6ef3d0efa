from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.fake_lab import Ledger, Opener


@pytest.fixture(scope="session")
def plain_shell(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An IPython shell of this process, without the extension, that writes no history."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    InteractiveShell.clear_instance()
    return InteractiveShell.instance(config=config)


class Notebook:
    """Cells run one after the other in a shell with the extension loaded over a fake lab."""

    def __init__(self, shell: Any, session: Any) -> None:
        self.shell, self.session = shell, session

    @property
    def lab(self) -> Any:
        return self.session.lab

    @property
    def ns(self) -> dict[str, Any]:
        return self.shell.user_ns  # type: ignore[no-any-return]

    def run(self, cell: str) -> Any:
        """The value of a cell; its error is raised."""
        done = self.shell.run_cell(cell, store_history=True)
        done.raise_error()
        return done.result

    def error(self, cell: str) -> tuple[BaseException, str]:
        """The error of a cell and what the notebook shows of it."""
        shown: list[str] = []
        before = self.shell._showtraceback
        self.shell._showtraceback = lambda etype, evalue, stb: shown.extend(stb)
        try:
            done = self.shell.run_cell(cell, store_history=True)
        finally:
            self.shell._showtraceback = before
        self.number = done.execution_count
        error = done.error_in_exec or done.error_before_exec
        assert error is not None, f"no error in {cell!r}"
        return error, "\n".join(shown)


@pytest.fixture
def notebook(plain_shell: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    from aionlab.lab import session

    monkeypatch.delenv("AIONLAB_DB", raising=False)
    monkeypatch.delenv("AIONLAB_DETERMINISTIC", raising=False)
    plain_shell.reset(new_session=False)
    loaded = session.load(plain_shell, Opener(), Ledger())
    yield Notebook(plain_shell, loaded)
    session.unload_ipython_extension(plain_shell)
