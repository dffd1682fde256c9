"""How far along is it, and how much time is left? One progress bar for all that takes long."""

from __future__ import annotations

import io
import os
from contextlib import contextmanager

from tqdm import std
from tqdm.auto import tqdm


def progress_bar(total, name, unit, **settings):
    """Open a progress bar that goes away when it is full.

    Parameters
    ----------
    total : int
    name : str
        What is being done.
    unit : str
        What is counted, in the singular.
    **settings
        Of ``tqdm``.

    Returns
    -------
    tqdm.auto.tqdm
        To be used in a ``with`` statement. With ``TQDM_DISABLE`` set in the environment it shows nothing, in notebooks
        too, where tqdm by itself does not look at that variable.
    """
    switched_off = os.environ.get("TQDM_DISABLE", "0") not in ("", "0")
    return tqdm(total=total, desc=name, unit=unit, leave=False, disable=switched_off, **settings)


@contextmanager
def told_to(listener):
    """Tell a function how far the progress bars are that are opened in here, instead of showing them.

    Parameters
    ----------
    listener : callable
        ``listener(done, total, seconds)``: steps done, all steps, and seconds left. They are None until a twentieth is
        done: the first step often takes as long as a hundred later ones.
    """

    class Told(std.tqdm):
        monitor_interval = 0  # no thread beside the one that trains

        def __init__(self, **settings):
            settings |= {"disable": False, "file": io.StringIO(), "delay": 0, "mininterval": 0.2}
            super().__init__(**settings)

        def display(self, *_, **__):
            told = self.format_dict
            done, total = told["n"], told["total"]
            rate = told["rate"] or (done / told["elapsed"] if told["elapsed"] else 0)
            known = rate and done >= total / 20
            listener(done, total, (total - done) / rate if known else None)

    global tqdm
    shown, tqdm = tqdm, Told
    try:
        yield
    finally:
        tqdm = shown
