"""Are stored numbers real? A slice of a stored study, run now at the rates that were tuned for it."""

from __future__ import annotations

import pandas

from tl_helpers.studies.catalogue import STUDIES


def run_now(study, value, arms=None, *, seed=0, tell=None):
    """Run arms of a stored study once, in this process, beside what is stored of that seed.

    Parameters
    ----------
    study : StoredStudy
        A shipped one (:func:`tl_helpers.experiments.stored.load_study`).
    value
        Of the study's axis, such as a number of labels per class.
    arms : sequence of str, optional
        Keys of its arms; those of its main comparison if it is left out.
    seed : int
    tell : callable, optional
        Called before each run with a line that says which it is.

    Returns
    -------
    pandas.DataFrame
        Arm → ``label``, ``now`` and ``stored``: scores in the study's unit. On another processor the two differ a
        little.

    Raises
    ------
    ValueError
        If there is no such study or arm, or no such run is stored.
    """
    if study.name not in STUDIES:
        raise ValueError(f"{study.name!r} is no study of the kit: what makes its runs is not known here.")
    arms = list(study.compared or study.arms if arms is None else arms)
    labels, own = [study.label(arm) for arm in arms], study.runs
    stored = own[(own["budget"] == value) & (own["seed"] == seed)].set_index("arm")["score"]
    if missing := [arm for arm in arms if arm not in stored.index]:
        raise ValueError(f"Of {missing[0]!r} at {value!r} with seed {seed!r} no run of {study.name!r} is stored.")
    now = []
    for number, arm in enumerate(arms):
        if tell is not None:
            tell(f"{labels[number]} (arm {number + 1} of {len(arms)})")
        rate = study.rate(arm, value) if STUDIES[study.name].arms[arm].tuned else None
        now.append(STUDIES[study.name].run(arm, value, seed, rate=rate)["score"])
    return pandas.DataFrame({"label": labels, "now": now, "stored": stored.loc[arms].to_numpy()}, index=arms)
