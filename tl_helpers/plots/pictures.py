"""What do the pictures look like? Grids and rows of them, with captions, boxes and a text twin."""

from __future__ import annotations

import collections
from collections.abc import Mapping

from tl_helpers.datasets.dataset import Dataset
from tl_helpers.plots.charts import PALETTE, draw_boxes, frame_pictures, images, picture_rows
from tl_helpers.plots.display import Display
from tl_helpers.plots.places import capital


def pictures(shown, captions=None, *, title, columns=8, headings=None, boxes=None, right=None, side=None, words=None):
    """Show pictures in a grid, or in rows with a name each.

    Parameters
    ----------
    shown : Dataset, array-like or dict of str to array-like
        A dataset, captioned by its labels; pictures ``(n, h, w, 1 or 3)``, ``uint8``, or a list of such ``(h, w, c)``;
        or the name of a row → its pictures, whose sizes may differ from row to row.
    captions : sequence of str, optional
        One per picture of a grid.
    title : str
    columns : int
        Of a grid.
    headings : sequence of str, optional
        One per column of rows.
    boxes : numpy.ndarray or dict of str to numpy.ndarray, optional
        ``(n, 4)``: left, top, right, bottom in pixels, one on each of the first n pictures of a grid; several by name,
        each in a colour of its own.
    right : dict of str to sequence of bool or None, optional
        Of rows: the name of a row → whether each of its pictures is a right answer; None where it is no answer, such as
        a query. Right ones get a solid frame, wrong ones a dashed one.
    side : float, optional
        Side of one picture in inches.
    words : str, optional
        What the pictures show, where captions and names do not say it.

    Returns
    -------
    Display

    Raises
    ------
    ValueError
        If there are no pictures, fewer captions than pictures, boxes without a grid, more than four kinds of them, or
        answers that do not fit the rows.
    """
    if isinstance(shown, Dataset):
        captions = [shown.label_names[label] for label in shown.y] if captions is None else captions
        shown = shown.x
    captions = None if captions is None else [str(c) if not isinstance(c, int) else c for c in captions]
    if len(shown) == 0:
        raise ValueError("There are no pictures to show.")
    size = {} if side is None else {"side": side}
    if isinstance(shown, Mapping):
        if boxes is not None or captions is not None:
            raise ValueError("Rows of pictures have names and headings; captions and boxes belong to a grid.")
        figure = picture_rows(list(shown.values()), list(shown), title=title, headings=headings, **size)
        counts = _framed(figure, shown, right or {})
        told = "; ".join(f"{name} ({len(row)}{counts.get(name, '')})" for name, row in shown.items())
        return Display(figure, f"{title}. Rows of pictures, from the top: {told}.{_more(words)}")
    if right is not None:
        raise ValueError("Answers that are right or wrong belong to rows of pictures.")
    if captions is not None and len(captions) < len(shown):
        raise ValueError(f"There are {len(shown)} pictures and only {len(captions)} captions.")
    figure = images(
        shown,
        None if captions is None else [str(caption).replace("$", r"\$") for caption in captions],
        columns=columns,
        title=title,
        **size,
    )
    count = "1 picture" if len(shown) == 1 else f"{len(shown)} pictures"
    told = f"{title}. {capital(count)}" + ("" if captions is None else f", {_counted(captions, len(shown))}")
    return Display(figure, f"{told}.{_draw(figure, boxes, len(shown))}{_more(words)}")


def _counted(captions, count):
    """List captions, each once, with how often it stands there."""
    captions = list(captions)[:count]
    if count > 2 and isinstance(captions[0], int) and captions == list(range(captions[0], captions[0] + count)):
        return f"numbered {captions[0]} to {captions[-1]}"
    counts = collections.Counter(" ".join(str(caption).split()) for caption in captions)
    numbers = set(counts.values())
    if numbers == {1}:
        return ", ".join(counts)
    if len(numbers) == 1:
        return f"{numbers.pop()} each of {', '.join(counts)}"
    return ", ".join(f"{number} of {caption}" for caption, number in counts.items())


def _framed(figure, rows, right):
    """Frame right and wrong answers, and say how many of a row are right and which."""
    columns, told = max(map(len, rows.values())), {}
    if unknown := right.keys() - rows.keys():
        raise ValueError(f"There is no row {', '.join(map(repr, unknown))}; there are {', '.join(map(repr, rows))}.")
    for number, (name, row) in enumerate(rows.items()):
        if name not in right:
            continue
        answers = [None if answer is None else bool(answer) for answer in right[name]]
        if len(answers) != len(row):
            raise ValueError(f"The row {name!r} has {len(row)} pictures, and `right` speaks of {len(answers)}.")
        frame_pictures(figure.axes[number * columns :][: len(row)], answers)
        judged = [answer for answer in answers if answer is not None]
        places = [f"no. {place}" for place, answer in enumerate(judged, start=1) if answer]
        told[name] = f"; of {len(judged)} answers right: {', '.join(places) or 'none'}"
    if right:
        figure.suptitle(f"{figure.get_suptitle()}\nFrames: solid blue is right, dashed orange is wrong", fontsize=11)
    return told


def _draw(figure, boxes, count):
    """Draw boxes on the first pictures, and say in which colours."""
    if boxes is None or len(boxes) == 0:
        return ""
    if not isinstance(boxes, Mapping):
        draw_boxes(figure.axes[:count], boxes)
        return " A box is drawn in each." if len(boxes) >= count else f" A box is drawn in the first {len(boxes)}."
    colours = {"white": "white", "orange": PALETTE[1], "blue": PALETTE[0], "green": PALETTE[2]}
    if len(boxes) > len(colours):
        raise ValueError(f"At most {len(colours)} kinds of boxes can be told apart, not {len(boxes)}.")
    told = []
    for (name, of_all), (word, colour) in zip(boxes.items(), colours.items(), strict=False):
        draw_boxes(figure.axes[:count], of_all, colour=colour)
        told.append(f"{name} {word}")
    figure.suptitle(f"{figure.get_suptitle()}\nBoxes: {', '.join(told)}", fontsize=11)
    return f" Boxes: {', '.join(told)}."


def _more(words):
    return "" if words is None else f" {words[:1].upper()}{words[1:].rstrip('.')}."
