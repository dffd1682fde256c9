"""What is a study? A function that trains, tests and returns one row, and the arms, values and seeds to call it with.

Its learning rates are tuned per arm and value on the validation split, with seeds of their own; only then is the test
split used. What an arm is stands in an :class:`tl_helpers.experiments.design.Arm`, once: the function receives its
settings and never its name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from tl_helpers.experiments.design import Arm, Axis

LADDER = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
RATES = LADDER[3:8]
FEWER_RATES = LADDER[4:7]


@dataclass(frozen=True)
class Study:
    """What :func:`tl_helpers.studies.tuning.tune` and :func:`tl_helpers.studies.tuning.measure` need to know.

    Parameters
    ----------
    name : str
        Of the stored table.
    function : callable
        ``function(value, seed, *, rate, split, **settings)`` → dict with at least ``score``; `value` is one of the
        axis, the settings are an arm's.
    arms : dict of str to Arm
        By the key that stands in the column ``arm``.
    axis : Axis
    seeds : tuple of int
    rates : tuple of float
        To begin with; :func:`tl_helpers.studies.tuning.tune` offers an arm more where its best lies at an end.
    tuning_seeds : tuple of int
        Seeds of the runs that choose: none of `seeds`.
    metric : str
        What the column ``score`` means.
    chance : float, optional
        The score of the best answer that is always the same, in the unit of the score.
    compared : tuple of str, optional
        Treatment and baseline of the main comparison.
    margin : float, optional
        Differences of the main comparison that do not matter, in the unit of the score, chosen before the first run:
        with it the arms can be found equivalent.
    smooth : bool
        Whether the best rate changes little from one number of the axis to the next, as with the size of the data. Not
        where the axis says what is trained at all, such as how deep.

    Raises
    ------
    ValueError
        If an arm is a check of one that there is not, if an arm that is compared is missing, or if seeds that choose
        rates are also seeds that measure.
    """

    name: str
    function: Callable
    arms: dict[str, Arm]
    axis: Axis
    seeds: tuple[int, ...]
    rates: tuple[float, ...] = RATES
    tuning_seeds: tuple[int, ...] = (100, 101, 102)
    metric: str = "accuracy in %"
    chance: float | None = None
    compared: tuple[str, str] | None = None
    smooth: bool = True
    margin: float | None = None

    def __post_init__(self):
        named = {arm.check_of for arm in self.arms.values() if arm.check_of} | set(self.compared or ())
        if missing := sorted(named - set(self.arms)):
            raise ValueError(f"The study {self.name!r} has no arm {', '.join(missing)}; it has {', '.join(self.arms)}.")
        if shared := sorted(set(self.seeds) & set(self.tuning_seeds)):
            raise ValueError(f"Seeds of {self.name!r} both choose rates and measure: {', '.join(map(str, shared))}.")

    @property
    def tuned(self):
        """Return the keys of the arms whose learning rate is tuned."""
        return tuple(key for key, arm in self.arms.items() if arm.tuned)

    @property
    def is_smooth(self):
        """Return whether rates at neighbouring values of the axis belong together."""
        return self.smooth and self.axis.is_ordered

    def values_of(self, key):
        """Return the values of the axis at which an arm runs."""
        arm = self.arms[key]
        return arm.values or (self.axis.values[::2] if arm.sparse else self.axis.values)

    def tuning_values(self, key):
        """Return the values of the axis at which runs choose an arm's rate.

        Parameters
        ----------
        key : str

        Returns
        -------
        tuple
            Of an axis of three numbers or more every second and the last, where rates are smooth along it; otherwise
            all at which the arm runs.
        """
        values = self.values_of(key)
        sparse = self.is_smooth and len(values) > 2
        return tuple(dict.fromkeys((*values[::2], values[-1]))) if sparse else values

    def controls_of(self, key):
        """Return the keys of the arms that are an arm with an advantage."""
        return tuple(name for name, arm in self.arms.items() if arm.check_of == key)

    def run(self, key, value, seed, *, rate=None, split="test"):
        """Run one arm once, now.

        Parameters
        ----------
        key : str
            One of `arms`.
        value
            Of the axis.
        seed : int
        rate : float, optional
            Learning rate of an arm that is tuned.
        split : {"validation", "test"}

        Returns
        -------
        dict
            The row that the study's function returns.
        """
        return self.function(value, seed, rate=rate, split=split, **self.arms[key].settings)

    def design(self):
        """Return what a stored table needs to be read: arms, axis, metric, chance, as plain values.

        Returns
        -------
        dict
            See :class:`tl_helpers.experiments.stored.StoredStudy`.
        """
        told = ("label", "role", "check_of")
        announced = {} if self.margin is None else {"margin": self.margin}
        return {
            "arms": {key: {name: getattr(arm, name) for name in told} for key, arm in self.arms.items()},
            "axis": {"name": self.axis.name, "unit": self.axis.unit, "values": list(self.axis.values)},
            "metric": self.metric,
            "chance": self.chance,
            "compared": list(self.compared) if self.compared else None,
            "tuning_seeds": list(self.tuning_seeds),
            **announced,
        }

    def settings(self):
        """Return what the function receives for each arm, as plain values.

        Returns
        -------
        dict of str to dict
        """
        return {key: json.loads(json.dumps(arm.settings)) for key, arm in self.arms.items()}
