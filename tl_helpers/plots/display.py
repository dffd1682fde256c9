"""What is a figure that describes itself? The figure, its text twin, and a sentence on what it means."""

from __future__ import annotations

from dataclasses import dataclass, replace

import matplotlib.figure
import pandas

from tl_helpers.experiments.design import Arm, Axis
from tl_helpers.experiments.stored import StoredStudy
from tl_helpers.experiments.table import are_fractions, finite_scores
from tl_helpers.grid.keys import key_values
from tl_helpers.plots.charts import say, show


@dataclass(frozen=True, eq=False)
class Display:
    """A figure with its text twin and what can be read from it. As the last line of a cell it shows all three.

    Parameters
    ----------
    figure : matplotlib.figure.Figure or None
        None where it is held back until a prediction is made; the table is there all the same, not shown.
    words : str
        What is drawn, numbers included, for whoever does not see it; or why nothing is.
    reading : str, optional
        A sentence: what it means, as far as the runs allow.
    table : pandas.DataFrame, optional
        The numbers that are drawn.
    """

    figure: matplotlib.figure.Figure | None
    words: str
    reading: str | None = None
    table: pandas.DataFrame | None = None

    def show(self):
        """Show the figure, its text twin and the reading, and close the figure."""
        if self.figure is None:
            say(self.words)
            return
        show(self.figure, self.words)
        if self.reading:
            say(f"**Reading.** {self.reading}")

    _ipython_display_ = show


def as_study(runs, score="score", unit=None):
    """Return runs as a stored study: plain frames of one's own can be drawn, too.

    Parameters
    ----------
    runs : tl_helpers.experiments.stored.StoredStudy or pandas.DataFrame
        A frame has the columns ``arm``, ``budget``, ``seed`` and `score`; its arms are called by their keys.
    score : str
        Column to draw instead of ``score``.
    unit : str, optional
        What the column ``budget`` of a frame counts or names.

    Returns
    -------
    StoredStudy
        Its column ``score`` in hundredths: where all lie in 0…1, a hundred times as large, as a verdict's. Other
        columns stay as they are.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If there is no such column, or a stored study is told a unit, which it has.
    """
    study = runs
    if unit is not None and isinstance(runs, StoredStudy):
        raise ValueError(f"The study {runs.name!r} knows what its axis counts: leave out `unit`.")
    if isinstance(runs, pandas.DataFrame):
        arms = {arm: Arm(str(arm)) for arm in dict.fromkeys(key_values(runs, "arm"))} if "arm" in runs else {}
        nothing = dict.fromkeys(("axis", "chance", "compared", "rates_offered"))
        study = StoredStudy("runs", runs, arms, metric="score", rates={}, tuning_seeds=(), provenance={}, **nothing)
        if unit is not None and "budget" in runs:
            study = replace(study, axis=Axis("budget", unit, tuple(dict.fromkeys(key_values(runs, "budget")))))
    elif not isinstance(runs, StoredStudy):
        raise TypeError(f"A study is what load_study returns, or a table of runs, not {type(runs).__name__}.")
    if missing := [name for name in ("arm", "budget", "seed", score) if name not in study.runs]:
        raise ValueError(f"The runs have no column {missing[0]!r}; they have {', '.join(map(str, study.runs))}.")
    if score != "score":  # whose chance and unit are its own
        study = replace(study, runs=study.runs.assign(score=study.runs[score]), chance=None, metric=score)
        measured = study.runs.groupby("arm")["score"].transform("count") > 0  # of arms that have this measure at all
        return replace(study, runs=study.runs[measured].drop(columns="chance", errors="ignore"))
    if "chance" in study.runs and not pandas.api.types.is_numeric_dtype(study.runs["chance"]):
        study = replace(study, runs=study.runs.drop(columns="chance"))  # a column of the user's, of another meaning
    if not are_fractions(finite_scores(study.runs, "score")):
        return study
    chance = None if study.chance is None else 100 * study.chance
    columns = [name for name in ("score", "chance") if name in study.runs]
    runs = study.runs.assign(**{name: 100 * study.runs[name] for name in columns})
    return replace(study, runs=runs, chance=chance, metric=f"{study.metric}, in %")
