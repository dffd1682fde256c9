"""Unit tests open no sockets at all, show their figures nowhere, and leave no memory to the next file."""

import signal

import pytest
import pytest_socket

from tests import memory


@pytest.fixture(autouse=True, scope="module")
def memory_given_back():
    """Forget what a file's tests have left behind: a process that kept all of it would grow without end."""
    yield
    memory.release("tl_helpers", "tests")


@pytest.fixture(autouse=True)
def no_sockets(request, monkeypatch):
    """Block sockets, except in tests marked `loopback`, which may talk to this machine."""
    monkeypatch.setenv("MPLBACKEND", "Agg")
    if "loopback" not in request.keywords:
        pytest_socket.disable_socket(allow_unix_socket=True)
    yield
    pytest_socket.enable_socket()


@pytest.fixture(autouse=True)
def nothing_read_yet(monkeypatch):
    """Forget which data files earlier tests have read: stored runs depend on them, and some were made up."""
    monkeypatch.setattr("tl_helpers.files._files_read", {})


@pytest.fixture(autouse=True)
def no_predictions_of_the_users(tmp_path_factory, monkeypatch):
    """Keep the user's own predictions out of the tests, and theirs out of the user's."""
    monkeypatch.setenv(
        "TL_HELPERS_PREDICTIONS", str(tmp_path_factory.mktemp("predictions") / "made" / "predictions.json")
    )


@pytest.fixture
def pressed_by_a_program(monkeypatch):
    """Press buttons as a program does: what drove a browser before in this process leaves a loop running."""
    monkeypatch.setattr("tl_helpers.widgets.live._running_loop", lambda: None)


@pytest.fixture
def network_attempts(tmp_path, monkeypatch):
    """Let a test try the (blocked) network without failing the run; return the path of the list of its attempts."""
    path = tmp_path / "network.log"
    path.touch()
    monkeypatch.setenv("TL_HELPERS_NETWORK_LOG", str(path))
    return path


@pytest.fixture
def ctrl_c():
    """Press Ctrl-C where it is heard as in a notebook, whatever the tests were started with."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)
