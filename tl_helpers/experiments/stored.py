"""What was asked, and what came out? A stored study: its runs, its arms, its axis, and how its rates were chosen."""

from __future__ import annotations

from dataclasses import dataclass

import pandas

from tl_helpers.experiments.design import Arm, Axis
from tl_helpers.grid.stored import load_table, study_provenance


@dataclass(frozen=True, eq=False)
class StoredStudy:
    """A study that was made before, with all that is needed to judge it.

    Parameters
    ----------
    name : str
    runs : pandas.DataFrame
        One row per run: ``arm``, ``budget`` (the value of the axis), ``seed``, ``score`` and whatever else it measured.
    arms : dict of str to Arm
        By the key that stands in the column ``arm``.
    axis : Axis or None
        None where nobody has said what the column ``budget`` holds.
    metric : str
        What the score means.
    chance : float or None
        The score of the best answer that is always the same.
    compared : tuple of str or None
        Treatment and baseline of the main comparison.
    rates : dict of str to float
        ``"arm/value"`` → the learning rate that was chosen.
    rates_offered : tuple of float or None
        All rates that were tried.
    tuning_seeds : tuple of int
        Seeds of the runs that chose.
    provenance : dict
        What made it, see :func:`tl_helpers.grid.stored.study_provenance`.
    margin : float or None
        Differences of the main comparison that do not matter, as announced before the runs were made.
    """

    name: str
    runs: pandas.DataFrame
    arms: dict[str, Arm]
    axis: Axis | None
    metric: str
    chance: float | None
    compared: tuple[str, str] | None
    rates: dict[str, float]
    rates_offered: tuple[float, ...] | None
    tuning_seeds: tuple[int, ...]
    provenance: dict
    margin: float | None = None

    def rate(self, arm, value):
        """Return the learning rate that was chosen for an arm at a value of the axis.

        Parameters
        ----------
        arm : str
        value

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If none was chosen there.
        """
        if f"{arm}/{value}" not in self.rates:
            chosen = ", ".join(self.rates) or "none at all"
            raise ValueError(f"The study {self.name!r} has no rate for {arm}/{value}; it has {chosen}.")
        return self.rates[f"{arm}/{value}"]

    def label(self, arm):
        """Return what an arm is called in sentences.

        Parameters
        ----------
        arm : str

        Returns
        -------
        str
            Its label; with its key, if another arm has the same label.

        Raises
        ------
        ValueError
            If there is no such arm.
        """
        if arm not in self.arms:
            raise ValueError(f"The study {self.name!r} has no arm {arm!r}; it has {', '.join(map(str, self.arms))}.")
        label = self.arms[arm].label
        is_shared = sum(other.label == label for other in self.arms.values()) > 1
        return f"{label} ({arm})" if is_shared else label

    def controls_of(self, arm):
        """Return the keys of the arms that are an arm with an advantage.

        Parameters
        ----------
        arm : str

        Returns
        -------
        tuple of str
        """
        return tuple(key for key, other in self.arms.items() if other.check_of == arm)


def _study(name, runs, spec, provenance):
    design = spec.get("design", {})
    arms = {key: Arm(**told) for key, told in design.get("arms", {}).items()}
    axis, compared, offered = design.get("axis"), design.get("compared"), spec.get("rates_offered")
    return StoredStudy(
        name=name,
        runs=runs,
        arms=arms or {arm: Arm(str(arm)) for arm in (runs["arm"].unique().tolist() if "arm" in runs else ())},
        axis=axis and Axis(axis["name"], axis["unit"], tuple(axis["values"])),
        metric=design.get("metric", spec.get("metric", "score")),
        chance=design.get("chance"),
        compared=compared and tuple(compared),
        rates=spec.get("rates", {}),
        rates_offered=tuple(offered) if offered else None,
        tuning_seeds=tuple(design.get("tuning_seeds", ())),
        provenance=provenance,
        margin=design.get("margin"),
    )


def load_study(name):
    """Load a stored study.

    Parameters
    ----------
    name : str or path-like
        ``"street_labels"`` for the shipped ``data/results/street_labels.csv``; a path ending in ``.csv`` for your own.

    Returns
    -------
    StoredStudy

    Raises
    ------
    tl_helpers.files.DataError
        If it is missing or damaged, or if table and provenance do not belong together.
    """
    provenance = study_provenance(name)
    return _study(provenance["name"], load_table(name), provenance["spec"], provenance)
