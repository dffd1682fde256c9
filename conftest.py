"""Under which conditions does every test run, notebooks and browser included?

Without a network (`tests/guard/sitecustomize.py`), without the user's own settings, and without progress bars.
"""

import importlib.util
import os
import tempfile
from pathlib import Path

import pytest

GUARD = Path(__file__).resolve().parent / "tests" / "guard"
LOG_VARIABLE = "TL_HELPERS_NETWORK_LOG"
FOLDER = pytest.StashKey[tempfile.TemporaryDirectory]()
# Nobody answers there, so programs that are not Python and would use a proxy get nowhere either.
DEAD_END = "http://127.0.0.1:9"


def pytest_configure(config):
    """Set the conditions, once: workers of pytest-xdist and every child process inherit them."""
    if str(GUARD) in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        return
    config.stash[FOLDER] = tempfile.TemporaryDirectory(prefix="tl-helpers-tests-", ignore_cleanup_errors=True)
    folder = Path(config.stash[FOLDER].name)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(GUARD), os.environ.get("PYTHONPATH")]))
    os.environ[LOG_VARIABLE] = str(folder / "network.log")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        os.environ[name] = os.environ[name.lower()] = DEAD_END
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "localhost,127.0.0.1,::1"
    os.environ["IPYTHONDIR"] = str(folder / "ipython")
    os.environ["JUPYTER_CONFIG_DIR"] = str(folder / "jupyter")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["TQDM_DISABLE"] = "1"
    for name in ("MPLBACKEND", "TL_HELPERS_DATA"):
        os.environ.pop(name, None)
    specification = importlib.util.spec_from_file_location("network_guard", GUARD / "sitecustomize.py")
    specification.loader.exec_module(importlib.util.module_from_spec(specification))


def network_attempts(config):
    """Return what was written down about attempts to reach the network, one line each."""
    log = Path(config.stash[FOLDER].name) / "network.log" if FOLDER in config.stash else None
    return log.read_text(encoding="utf-8").splitlines() if log and log.exists() else []


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
