"""The rule about missing environments, and the account of skips."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests import environment

ROOT = Path(__file__).parents[1]
SUITE = '''
import pytest
from tests import environment
environment.NEEDS = {"moon": (lambda: False, "no moon tonight"), "sun": (lambda: True, "")}

@environment.requires("moon")
def test_tide(): raise AssertionError("ran without a moon")

@environment.requires("sun")
def test_light(): pass

def test_eclipse(): environment.missing("no moon tonight")
'''


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A suite of three tests under this suite's own conftest.py."""
    pytester.makeconftest((ROOT / "tests" / "conftest.py").read_text(encoding="utf-8"))
    pytester.makeini("[pytest]\nmarkers = environment(need): x\n")
    pytester.makepyfile(SUITE)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("CI", raising=False)
    return pytester


def test_a_missing_need_is_a_counted_skip(suite: pytest.Pytester) -> None:
    result = suite.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, skipped=2)
    result.stdout.fnmatch_lines(["*2 skipped*", "*2 × no moon tonight*"])


def test_in_ci_a_missing_need_fails(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    outcomes = suite.runpytest_subprocess("-p", "no:cacheprovider").parseoutcomes()
    assert outcomes.pop("passed") == 1
    assert sum(outcomes.values()) == 2 and set(outcomes) <= {"failed", "errors"}


def test_the_account_counts_skips_of_parallel_workers_too(suite: pytest.Pytester) -> None:
    result = suite.runpytest_subprocess("-p", "no:cacheprovider", "-p", "xdist", "-n", "2")
    result.stdout.fnmatch_lines(["*2 × no moon tonight*"])


def test_a_misspelt_need_is_an_error() -> None:
    with pytest.raises(KeyError):
        environment.requires("chromuim")


def test_workers_agree_on_ids_made_of_sets(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_ids="""
import pytest
@pytest.mark.parametrize("value", [{"a", "b", "c", "d", "e"}], ids=lambda v: repr(v))
def test_any(value): pass
"""
    )
    suite.runpytest_subprocess("-p", "no:cacheprovider", "-p", "xdist", "-n", "2", "test_ids.py").assert_outcomes(passed=1)
