"""May a row that was made elsewhere stand beside those made here? The worker answers, before and after the run.

A worker that somebody else started may hold other code, other packages or another TensorFlow than this machine. It
compares itself with the order that comes with every run, and refuses what could give another row.
"""

import functools
import hashlib
import os
import platform
import sys
import threading
from pathlib import Path

import threadpoolctl

from tl_helpers.grid.environment import environment
from tl_helpers.grid.identity import LENGTH
from tl_helpers.grid.one_run import execute, identities, portable, unpack, unpack_once
from tl_helpers.grid.workers import WORKER_ENVIRONMENT, tidy

# What TensorFlow and Keras read from the environment that changes a result, and what stands for "not set".
_DECIDING = {
    "TF_NUM_INTRAOP_THREADS": "",
    "TF_NUM_INTEROP_THREADS": "",
    "TF_ENABLE_ONEDNN_OPTS": "",
    "TF_DETERMINISTIC_OPS": "",
    "KERAS_BACKEND": "tensorflow",
}
# Runs of one process share seeds and TensorFlow's state, so they happen one after the other.
_one_at_a_time = threading.RLock()
_payloads_seen = {}


class Refusal(RuntimeError):
    """A worker could not promise the row that this machine would have made."""


def make_order(payload):
    """Say what a worker needs for a run, and what it must agree with.

    Parameters
    ----------
    payload : bytes
        The function and its fixed arguments, from :func:`tl_helpers.grid.one_run.pack`.

    Returns
    -------
    dict
        Of Python's own types alone, so that it can be read where the kit is missing.
    """
    settings = {name: os.environ.get(name, unset) for name, unset in _DECIDING.items()} | WORKER_ENVIRONMENT
    return {
        "payload": payload,
        # Of what arrives rather than of what was sent: the way through pickle is then the same on both sides.
        "identities": identities(*unpack(payload)),
        "kit": _kit_digest(),
        "versions": _versions(),
        "settings": settings,
        "sender": _this_process(),
    }


def fill_order(order, arm, budget, seed):
    """Run once, on a worker that somebody else started, unless the row could differ from one made where it was ordered.

    Parameters
    ----------
    order : dict
        From :func:`make_order`.
    arm, budget, seed
        Which run.

    Returns
    -------
    outcome : {"finished", "failed", "refused"}
    content : dict or tuple
        As :func:`tl_helpers.grid.one_run.execute` returns it; for "refused", why, from
        :func:`tl_helpers.grid.one_run.portable`.
    """
    with _one_at_a_time:
        visiting = order["sender"] != _this_process()
        try:
            settled = _settle(order["settings"], visiting)
            _agree(order)
            before = _take_number()
            outcome, content = execute(order["payload"], arm, budget, seed)
            if outcome == "finished":
                _agree_on_versions(order["versions"])  # once more: it may be the run that imported TensorFlow
                if not settled and _has_computed(before):
                    raise Refusal(_other_settings(order["settings"], visiting))
        except Exception as error:
            return "refused", portable(error)
        if visiting:
            tidy()  # as after a run in a worker of our own; in the user's own process, the state is the user's
        return outcome, content


def _this_process():
    return [platform.node(), os.getpid()]


def _settle(settings, visiting):
    """Prepare the process for TensorFlow and return whether it has, or will have, the settings asked for."""
    if all(os.environ.get(name, unset) == settings[name] for name, unset in _DECIDING.items()):
        settled = True
    else:
        settled = visiting and not {"tensorflow", "keras"} & set(sys.modules)
    if visiting and settled:
        _one_thread()
        for name, value in settings.items():
            if value:
                os.environ[name] = value
            else:
                os.environ.pop(name, None)
    return settled


@functools.cache  # once
def _one_thread():
    """Give the libraries under NumPy one thread, for which the environment comes too late where NumPy is imported."""
    threadpoolctl.threadpool_limits(1)


def _other_settings(settings, visiting):
    wrong = [
        f"{name} is {os.environ.get(name, unset) or 'not set'} instead of {settings[name] or 'not set'}"
        for name, unset in _DECIDING.items()
        if os.environ.get(name, unset) != settings[name]
    ]
    cure = (
        "start the workers with tl_helpers.grid.WORKER_ENVIRONMENT in their environment"
        if visiting
        else "leave out client=, so that the runs get processes of their own, or pass a client with other processes"
    )
    return (
        f"the run used TensorFlow in a process where that had been imported with other settings ({', '.join(wrong)}), "
        f"which changes results: {cure}."
    )


def _take_number():
    """Take a number as every new tensor of TensorFlow does; return it, or None where there is no TensorFlow."""
    if "tensorflow" not in sys.modules:
        return None
    from tensorflow.python.framework import ops

    return ops.uid()


def _has_computed(before):
    """Tell whether TensorFlow has made tensors in this process since a number was taken."""
    now = _take_number()
    return now is not None and (before is None or now != before + 1)


def _agree(order):
    """Raise Refusal where this process would not run what was ordered."""
    _agree_on_versions(order["versions"])  # before unpacking: another Python may not survive a function by value
    folder = Path(__file__).resolve().parent
    if _kit_digest() != order["kit"]:
        raise Refusal(
            f"{_place()} has another version of the kit in {folder}. Bring the same code to both sides and restart the "
            f"workers."
        )
    if _kit_digest_at_first() != order["kit"]:
        raise Refusal(f"the kit in {folder} has changed since {_place()} imported it. Restart the workers.")
    (code, whole), (their_code, their_whole) = _identities_of(order["payload"]), order["identities"]
    has_worked = _has_worked_before(order["payload"])
    if whole != their_whole and (code != their_code or not has_worked):
        raise Refusal(
            f"{_place()} has another version of the function or of a module that it uses, or what the module holds was "
            f"changed after the import where the runs were ordered. Bring the same files to both sides and restart the "
            f"workers; remember results with functools.lru_cache rather than in a module's variables."
        )


def _place():
    return f"the worker on {platform.node()} (process {os.getpid()})"


def _has_worked_before(payload):
    """Tell whether runs of another payload came before, which may have filled variables of modules."""
    digest = hashlib.sha256(payload).digest()
    _payloads_seen.setdefault("first", digest)
    return _payloads_seen["first"] != digest


@functools.lru_cache(maxsize=1)  # for all runs of a payload
def _identities_of(payload):
    """Return the identities of what a payload holds here."""
    try:
        function, fixed = unpack_once(payload)
    except Exception as error:
        raise Refusal(
            f"{_place()} cannot unpack the function ({type(error).__name__}: {error}). If a module of yours is missing "
            f"there, bring it there."
        ) from error
    return identities(function, fixed)


def _kit_digest():
    """Return a hash of the texts of all the kit's modules."""
    folder, digest = Path(__file__).resolve().parents[__name__.count(".") - 1], hashlib.sha256()
    for path in sorted(folder.rglob("*.py*")):
        if path.suffix in (".py", ".pyi"):
            text = path.read_bytes().replace(b"\r\n", b"\n")
            digest.update(f"{path.relative_to(folder).as_posix()}:{len(text)}:".encode() + text)
    return digest.hexdigest()[:LENGTH]


_kit_digest_at_first = functools.lru_cache(maxsize=1)(_kit_digest)


def _agree_on_versions(asked):
    """Raise Refusal where a package is here in another version, or TensorFlow in use that the sender does not have."""
    other = [
        f"{name} {version} instead of {asked.get(name, 'none')}"
        for name, version in _versions().items()
        if version != asked.get(name) and (name in asked or name in sys.modules)
    ]
    if other:
        raise Refusal(f"{_place()} has {', '.join(other)}. Install the same versions on both sides.")


@functools.cache  # asks for every package
def _versions():
    """Return package → version, TensorFlow under one name, Python without its last number."""
    versions = environment()["versions"]
    versions["python"] = versions["python"].rpartition(".")[0]
    if "tensorflow-cpu" in versions:
        versions["tensorflow"] = versions.pop("tensorflow-cpu")
    return versions
