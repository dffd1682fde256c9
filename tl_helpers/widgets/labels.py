"""How many of the scraped labels may be wrong? Thumbnails with what they are said to be, and the stored gain."""

from __future__ import annotations

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np

from tl_helpers.datasets.scraped_photos import load_scraped_photos
from tl_helpers.experiments.intervals import paired_difference
from tl_helpers.experiments.stored import load_study
from tl_helpers.plots import charts
from tl_helpers.studies.merging import wrong_labels
from tl_helpers.widgets.explorer import Explorer, escaped, paragraph, picture_of, slider, words_below

STUDY = "route_dataset_merging"
# Share of wrong labels in % → the arm of the stored study that has it.
SHARES = {0: "merged_0", 30: "merged_30", 50: "merged_50", 70: "merged_70"}
SHOWN = 12
# Twelve in which as large a share is wrong as among all.
_DRAWN_BY = 60


def wrong_labels_figure(share):
    """Draw twelve scraped thumbnails with the labels they carry, and what such thumbnails gain, from stored runs.

    Parameters
    ----------
    share : int
        Of wrong labels in %: one of :data:`SHARES`.

    Returns
    -------
    figure : matplotlib.figure.Figure
    words : str
        The gains, by the number of own labels.

    Raises
    ------
    ValueError
        If `share` is none of those.
    """
    if share not in SHARES:
        raise ValueError(f"share must be one of {', '.join(map(str, SHARES))}, not {share!r}.")
    study = load_study(STUDY)
    gains = paired_difference(study.runs, SHARES[share], "own")
    figure = plt.figure(figsize=(10, 3.4), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(3, 2))
    wrong = _draw_thumbnails(left, share)
    axis = right.subplots()
    positions = np.arange(len(gains))
    spread = np.abs(gains[["low", "high"]].to_numpy().T - gains["difference"].to_numpy())
    axis.errorbar(positions, gains["difference"], yerr=spread, fmt="o", color=charts.PALETTE[0], capsize=4)
    axis.axhline(0, color="black", linewidth=1)
    axis.set(xlabel=study.axis.unit, ylabel="gain over own photographs (points)", ylim=(-30, 30))
    axis.set_xticks(positions, [str(budget) for budget in gains["budget"]])
    axis.set_title(f"{share} % of the scraped labels wrong", fontsize=11, loc="left")
    axis.grid(alpha=0.25, axis="y")
    told = ", ".join(f"{row.difference:+.1f} ({row.low:+.1f} to {row.high:+.1f})" for row in gains.itertuples())
    budgets = ", ".join(str(budget) for budget in gains["budget"])
    return figure, (
        f"{share} % of the scraped labels wrong: of the {SHOWN} thumbnails {wrong} carry a wrong label (dashed). "
        f"With {budgets} {study.axis.unit} they bring {told} points "
        f"(95 % intervals, n = {gains['n'].min()} pairs)."
    )


def _draw_thumbnails(place, share):
    """Draw some thumbnails with what they are said to show, wrong ones in a dashed frame; count these."""
    scraped = load_scraped_photos("scraped", seed=0)
    rows = np.random.default_rng(_DRAWN_BY).permutation(len(scraped))[:SHOWN]
    said = wrong_labels(scraped.y, share / 100, seed=0)
    for axis, row in zip(place.subplots(2, SHOWN // 2).flat, rows, strict=True):
        axis.imshow(scraped.x[row])
        is_wrong = said[row] != scraped.y[row]
        axis.set_title(f"“{scraped.label_names[said[row]]}”", fontsize=8)
        axis.set(xticks=[], yticks=[])
        for spine in axis.spines.values():
            spine.set(color=charts.PALETTE[1 if is_wrong else 0], linewidth=2.5, linestyle="--" if is_wrong else "-")
    return int((said[rows] != scraped.y[rows]).sum())


def wrong_labels_explorer():
    """Explore how many scraped labels may be wrong: a slider over stored runs of Dataset Merging.

    Returns
    -------
    Explorer
        Its parts are also attributes: ``share``, ``picture``, ``message``.
    """
    share = slider("wrong labels", [(f"{each} %", each) for each in SHARES])
    picture, message = ipywidgets.HTML(), words_below()

    def draw(_=None):
        figure, words = wrong_labels_figure(share.value)
        told = f"Twelve thumbnails with their labels, and gains with {share.value} % of them wrong; in words below."
        picture.value = picture_of(figure, told)
        message.value = paragraph(escaped(words))

    share.observe(draw, names="value")
    draw()
    return Explorer([share, picture, message], share=share, picture=picture, message=message)
