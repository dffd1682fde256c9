"""Every test, notebooks and browser included, runs under the conditions of `tests/conditions.py`."""

import tempfile
from pathlib import Path

import hypothesis
import pytest

from tests import conditions

pytest_plugins = ("tests.memory", "tests.speed")

FOLDER = pytest.StashKey[tempfile.TemporaryDirectory]()


# How many examples a property is tried on that does not say so itself.
EXAMPLES = {"usual": 100, "deep": 500}


def pytest_addoption(parser):
    """Offer `--suite`: `deep` takes many more examples of each property, `colab` runs notebooks on Colab's packages."""
    parser.addoption("--suite", choices=[*EXAMPLES, "colab"], default="usual", help="which tests, and how thoroughly")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Let another environment run the notebooks where that is asked for, instead of anything here."""
    if config.getoption("--suite") == "colab":
        from tests.notebooks import colab  # for this suite alone

        return colab.main(config.option.file_or_dir)


def pytest_configure(config):
    """Set the conditions, once: workers of pytest-xdist inherit them."""
    if not conditions.are_set():
        config.stash[FOLDER] = tempfile.TemporaryDirectory(prefix="tl-helpers-tests-", ignore_cleanup_errors=True)
        conditions.impose(Path(config.stash[FOLDER].name))
    suite = config.getoption("--suite")
    hypothesis.settings.register_profile(suite, max_examples=EXAMPLES[suite], deadline=None, print_blob=True)
    hypothesis.settings.load_profile(suite)


def network_attempts(config):
    """Return the lines about attempts to reach the network; none in a worker, whose parent reports them."""
    return conditions.network_attempts(Path(config.stash[FOLDER].name)) if FOLDER in config.stash else []


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    """Fail the run if anything tried the network, even where the error was swallowed."""
    if network_attempts(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    """Say who tried the network."""
    attempts = network_attempts(config)
    if attempts:
        terminalreporter.section("FAILED: something tried to reach the network", red=True)
        for line in attempts:
            terminalreporter.line(line)


def pytest_unconfigure(config):
    """Remove the temporary folder."""
    if FOLDER in config.stash:
        config.stash[FOLDER].cleanup()
