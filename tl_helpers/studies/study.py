"""What is a study? A function that trains, tests and returns one row, and the arms, budgets and seeds to call it with.

Its learning rates are tuned per arm and budget on the validation split, with seeds of their own; only then is the test
split used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

LADDER = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
RATES = LADDER[2:7]
FEWER_RATES = LADDER[3:6]


@dataclass(frozen=True)
class Study:
    """What :func:`tune` and :func:`measure` need to know.

    Parameters
    ----------
    function : callable
        ``function(arm, budget, seed, *, rate, split)`` → dict with at least ``score``.
    arms : tuple of str
    budgets : tuple
    seeds : tuple of int
    tuned : tuple of str
        Arms whose learning rate is tuned; the others have none.
    rates : tuple of float
        The rates to begin with; :func:`tune` offers an arm more where its best lies at an end.
    tuning_seeds : tuple of int
        Seeds of the runs that choose: none of `seeds`.
    checks : tuple of str
        Arms that only check a finding; they run at every second budget, the first among them.
    budget_unit, metric : str
        What the columns ``budget`` and ``score`` mean.
    """

    function: Callable
    arms: tuple[str, ...]
    budgets: tuple
    seeds: tuple[int, ...]
    tuned: tuple[str, ...] = ()
    rates: tuple[float, ...] = RATES
    tuning_seeds: tuple[int, ...] = (100, 101, 102)
    checks: tuple[str, ...] = ()
    budget_unit: str = "labels per class"
    metric: str = "accuracy in %"

    def budgets_of(self, arm):
        """Return the budgets at which an arm runs."""
        return self.budgets[::2] if arm in self.checks else self.budgets
