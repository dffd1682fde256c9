"""How far along is it, and how much time is left? One progress bar for all that takes long."""

from __future__ import annotations

import os

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
