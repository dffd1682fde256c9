"""What does a table of runs hold? One run per row, paired by seed, checked before anything is computed from it."""

from __future__ import annotations

import numbers
import warnings

import numpy as np

from tl_helpers.grid.keys import group_rows, key_values, rows_where


def check_margin_in_points(frame, margin, score, unit):
    """Refuse a margin in percentage points for scores in 0…1: any two arms would be equivalent.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per run.
    margin : float or None
    score : str
        The column of scores.
    unit : str
        Of the score, as it is told.

    Raises
    ------
    ValueError
        If it is one.
    """
    if margin is not None and margin >= 1 and unit == "points" and are_fractions(finite_scores(frame, score)):
        raise ValueError(
            f"margin is {margin}, but all scores lie in 0…1: no difference could be outside it. It has the unit of the "
            f"score: two percentage points are margin=0.02."
        )


def check_names(by, results):
    """Refuse to group by a column that has the name of a result.

    Parameters
    ----------
    by : sequence of str
        Columns to group by.
    results : collection of str
        Columns of the result.

    Raises
    ------
    ValueError
        If one is both.
    """
    taken = next((name for name in by if name in results), None)
    if taken is not None:
        raise ValueError(f"The result has a column {taken!r} of its own: rename that column of the frame before.")


def check_frame(frame, columns, score):
    """Check that a table has the columns that are asked of it, and numbers for scores.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per run.
    columns : sequence of str
        Those that must be there besides the score.
    score : str

    Raises
    ------
    TypeError
        If it is no table.
    ValueError
        If it is empty, a column is missing, twice there or of the wrong kind, or the seeds are its index.
    """
    if not hasattr(frame, "columns"):
        raise TypeError(f"frame must be a pandas.DataFrame, not {type(frame).__name__}.")
    if "seed" in frame.index.names and "seed" not in frame.columns:
        raise ValueError("The seeds are the index of the frame: make them a column with `frame.reset_index()`.")
    if not frame.columns.is_unique:
        raise ValueError(f"The frame has column {frame.columns[frame.columns.duplicated()][0]!r} twice.")
    missing = [name for name in dict.fromkeys([*columns, score]) if name not in frame.columns]
    if missing:
        raise ValueError(f"The frame has no column {missing[0]!r}; it has {', '.join(map(repr, frame.columns))}.")
    if not len(frame):
        raise ValueError("The frame has no rows.")
    if frame[score].dtype.kind not in "fiub":
        raise ValueError(f"Column {score!r} holds {frame[score].dtype}, not numbers.")
    for name in dict.fromkeys([*columns, *({"seed"} & set(frame.columns))]):
        _check_kinds(frame, name)


def _check_kinds(frame, name):
    """Refuse a column of keys that holds a number and the text of the same number: it would count twice."""
    if name in frame.columns and frame[name].dtype.kind not in "fiub":
        values = key_values(frame, name)
        texts = {value for value in values if isinstance(value, str)}
        twice = next((value for value in values if isinstance(value, numbers.Real) and str(value) in texts), None)
        if twice is not None:
            raise ValueError(
                f"Column {name!r} holds both {twice!r} and {str(twice)!r}, which may be one and the same: give all one "
                f"kind, such as with frame.astype({{{name!r}: int}})."
            )


def numbers_of(frame, name):
    """Return a column as numbers.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per run.
    name : str

    Returns
    -------
    numpy.ndarray
        ``float64``, ``(n,)``; missing ones as NaN.
    """
    return frame[name].to_numpy(dtype=float, na_value=np.nan)


def finite_scores(frame, score):
    """Return the scores that are finite numbers.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per run.
    score : str

    Returns
    -------
    numpy.ndarray
        ``float64``, at most ``(n,)``.
    """
    scores = numbers_of(frame, score)
    return scores[np.isfinite(scores)]


def are_fractions(scores):
    """Tell whether all scores lie in 0…1.

    Parameters
    ----------
    scores : numpy.ndarray

    Returns
    -------
    bool
    """
    return bool(((scores >= 0) & (scores <= 1)).all())


def check_scores_are_finite(frame, columns, score):
    """Refuse a table with a score that is no finite number.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per run.
    columns : sequence of str
        Those that say which run it is.
    score : str

    Raises
    ------
    ValueError
        If there is one; the message says where the first stands.
    """
    found = not_finite(frame, columns, score)
    if found:
        raise ValueError(
            f"{len(found)} of {len(frame)} scores are not finite numbers; the first is {found[0]}. A run that diverged "
            f"is a result: give it the score of guessing, or say why it is left out."
        )


def not_finite(frame, columns, score):
    """Return in words every score that is not a finite number, with its place.

    Parameters
    ----------
    frame, columns, score
        See :func:`check_scores_are_finite`.

    Returns
    -------
    list of str
    """
    scores = numbers_of(frame, score)
    bad = frame[~np.isfinite(scores)]
    keys = [name for name in dict.fromkeys(columns) if name != score]
    places = zip(*(key_values(bad, name) for name in keys), strict=True) if keys else [()] * len(bad)
    values = scores[~np.isfinite(scores)]
    return [f"{score} {value} at {said(keys, place)}" for value, place in zip(values, places, strict=True)]


def one_per_seed(frame, by, score):
    """Return the scores of each group, one per seed, or per row where seeds are not known or are the groups.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per run.
    by : sequence of str
        Columns to group by.
    score : str

    Returns
    -------
    dict of tuple to numpy.ndarray
        Values of `by` → scores.

    Raises
    ------
    ValueError
        If rows of one seed differ in a text: they measure different things.
    """
    scores, groups = numbers_of(frame, score), {}
    if "seed" not in frame.columns or "seed" in by:
        return {key: scores[rows] for key, rows in group_rows(frame, by).items()}
    for (*key, seed), rows in group_rows(frame, [*by, "seed"]).items():
        if len(rows) > 1:
            _check_repetitions(frame.iloc[rows], [*by, "seed"], (*key, seed), score)
        groups.setdefault(tuple(key), []).append((len(rows), scores[rows].mean()))
    for key, found in groups.items():
        if len({count for count, _ in found}) > 1:
            warnings.warn(
                f"Some seeds have more rows than others at {said(by, key)}: where the rows of a seed are not mere "
                f"repetitions, their means are of different things.",
                stacklevel=3,
            )
    return {key: np.array([mean for _, mean in found]) for key, found in groups.items()}


def _check_repetitions(rows, keys, key, score):
    """Refuse to average rows of one seed that differ in a text: they measure different things."""
    for name in rows.columns:
        if name in keys or name == score or rows[name].dtype.kind in "fiubc":
            continue
        values = list(dict.fromkeys(key_values(rows, name)))
        if len(values) > 1:
            raise ValueError(
                f"There are {len(rows)} rows at {said(keys, key)}, which differ in {name!r} ({values[0]!r}, "
                f"{values[1]!r}): their mean would mix different things. Keep the rows of one, name {name!r} in `by`, "
                f"or average them first."
            )


def paired_runs(frame, treatment, baseline, score, by, pair):
    """Pair the runs of two arms.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per run.
    treatment, baseline : str
        The arms.
    score : str
    by : str or None
        The column whose values are compared one by one; None compares all together.
    pair : sequence of str
        Columns that are equal in both runs of a pair.

    Returns
    -------
    dict of object to numpy.ndarray
        Value of `by` (None: all) → scores of both arms, shape ``(n, 2)``, one row per seed or else per pair.

    Raises
    ------
    ValueError
        If an arm is missing, has several runs where one is needed or lacks one, or there is only one pair.
    """
    if treatment == baseline:
        raise ValueError(f"treatment and baseline are both {treatment!r}: there is nothing to compare.")
    keys = [*([] if by is None else [by]), *pair]
    treated, base = (_runs_of(frame, arm, keys, score) for arm in (treatment, baseline))
    _check_pairs(treated, base, treatment, baseline, keys)
    _check_seeds_are_named(frame, treatment, by, keys)
    # Pairs of one seed share its sample and its start: they count as one.
    place = keys.index("seed") if "seed" in keys else None
    units = {}
    for key, value in treated.items():
        unit = key[place] if place is not None and "seed" in pair else key
        units.setdefault(None if by is None else key[0], {}).setdefault(unit, []).append((value, base[key]))
    for value, found in units.items():
        if len(found) < 2:
            where = "" if by is None else f" at {said([by], value)}"
            what = "pair" if sum(map(len, found.values())) == 1 else "seed"
            raise ValueError(f"Only one {what}{where}: an interval needs at least two. Run more seeds.")
    with np.errstate(invalid="ignore"):  # of infinite scores, which the caller refuses or doubts
        return {value: np.array([np.mean(unit, axis=0) for unit in found.values()]) for value, found in units.items()}


def _check_seeds_are_named(frame, arm, by, keys):
    """Refuse to count pairs of one seed as independent because `pair` does not name the seed."""
    if "seed" in keys or "seed" not in frame.columns:
        return
    rows = frame[rows_where(frame, "arm", arm)]
    for key, found in group_rows(rows, [*([] if by is None else [by]), "seed"]).items():
        if len(found) > 1:
            where = f", {by} {key[0]!r}" if by is not None else ""
            raise ValueError(
                f"Seed {key[-1]!r} has {len(found)} runs of arm {arm!r}{where}, which are not independent: name the "
                f"seed in `pair`, such as pair={['seed', *keys[by is not None :]]}, and it counts once."
            )


def _runs_of(frame, arm, keys, score):
    """Return values of `keys` → the score of an arm's only run there."""
    rows = frame[rows_where(frame, "arm", arm)]
    if not len(rows):
        present = ", ".join(map(repr, dict.fromkeys(key_values(frame, "arm"))))
        raise ValueError(f"There is no arm {arm!r}; the frame has {present}.")
    scores, found = numbers_of(rows, score), group_rows(rows, keys)
    twice = next((key for key, positions in found.items() if len(positions) > 1), None)
    if twice is not None:
        raise ValueError(
            f"Arm {arm!r} has more than one run at {said(keys, twice)}. A pair needs exactly one: average repetitions "
            f"first, or name the columns that tell them apart in `pair`."
        )
    return {key: scores[position] for key, (position,) in found.items()}


def _check_pairs(treated, base, treatment, baseline, keys):
    for has, lacks, arm in ((treated, base, baseline), (base, treated, treatment)):
        alone = [key for key in has if key not in lacks]
        if alone:
            raise ValueError(
                f"Arm {arm!r} has no run at {said(keys, alone[0])}, where the other has one ({len(alone)} such cases). "
                f"Run what is missing, or compare only what both have."
            )


def said(keys, values):
    """Say which run is meant.

    Parameters
    ----------
    keys : sequence of str
        Names of columns.
    values : object or tuple
        A value for each.

    Returns
    -------
    str
    """
    values = values if isinstance(values, tuple) else (values,)
    return ", ".join(f"{key} {value!r}" for key, value in zip(keys, values, strict=True))


def listed(values, name):
    """List values in words.

    Parameters
    ----------
    values : sequence
    name : str
        What one of them is.

    Returns
    -------
    str
        Such as "budgets 5, 10 and 20".
    """
    values = list(map(str, values))
    return f"{name} {values[0]}" if len(values) == 1 else f"{name}s {', '.join(values[:-1])} and {values[-1]}"
