"""What is compared along what? The arms of a study and its axis, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ROLES = ("transfer", "baseline", "control", "fails")


@dataclass(frozen=True)
class Arm:
    """One of the ways that a study compares.

    Parameters
    ----------
    label : str
        What it is called in sentences and legends.
    role : {"transfer", "baseline", "control", "fails"}, optional
        Whether it uses knowledge from elsewhere, does without, asks whether a gain has another cause, or is there to
        show where transfer fails. None where nobody has said.
    settings : dict
        What the study's function receives.
    tuned : bool
        Whether its learning rate is tuned; otherwise it has none.
    check_of : str, optional
        The arm of which it is a variant with an advantage (more updates, another head): what holds against that arm
        must hold against this one too.
    sparse : bool
        Whether it runs at every second value only, the first among them.
    values : tuple, optional
        The values of the axis at which it runs, where these are others.

    Raises
    ------
    ValueError
        If `role` is none of those above.
    """

    label: str
    role: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    tuned: bool = False
    check_of: str | None = None
    sparse: bool = False
    values: tuple | None = None

    def __post_init__(self):
        if self.role not in (*ROLES, None):
            raise ValueError(f"role must be one of {', '.join(ROLES)}, not {self.role!r}.")


@dataclass(frozen=True)
class Axis:
    """What varies along a study.

    Parameters
    ----------
    name : str
        What it asks about, such as ``"labels"``.
    unit : str
        What its values count or name, such as ``"labels per class"``.
    values : tuple
        Numbers or names, in the order in which they are drawn.
    """

    name: str
    unit: str
    values: tuple

    @property
    def is_ordered(self):
        """Return whether its values are numbers, which have neighbours, rather than names."""
        return all(isinstance(value, (int, float)) for value in self.values)
