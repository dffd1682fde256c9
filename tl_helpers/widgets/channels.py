"""What does a channel look for? Its answers to one picture, and the patches that excite it most among many."""

from __future__ import annotations

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np

from tl_helpers.models.feature_maps import strongest_patches
from tl_helpers.widgets.explorer import Explorer, beside, escaped, paragraph, picture_of, slider, words_below


def feature_figure(peaks, maps, pictures, *, stage, channel, picture):
    """Draw what one channel of one stage answers to, in one picture and among many.

    Parameters
    ----------
    peaks : tl_helpers.models.feature_maps.Peaks
        From :func:`tl_helpers.models.feature_maps.find_peaks`, of many pictures.
    maps : dict of str to numpy.ndarray
        From :func:`tl_helpers.models.feature_maps.activation_maps`, of `pictures`.
    pictures : Dataset
        A few pictures to look into.
    stage : str
    channel : int
    picture : int
        Which of `pictures`.

    Returns
    -------
    figure : matplotlib.figure.Figure
    words : str
        What it shows.

    Raises
    ------
    ValueError
        If there is no such stage, channel or picture.
    """
    if not 0 <= picture < len(pictures):
        raise ValueError(f"There are pictures 0…{len(pictures) - 1}, not {picture}.")
    patches, _ = strongest_patches(peaks, stage, channel, count=8)
    answers = maps[stage][picture, :, :, channel]
    field, channels = peaks.fields[stage], maps[stage].shape[-1]
    name = pictures.texts[picture]
    words = (
        f"{stage}, channel {channel} of 0…{channels - 1}, on “{name}”: {answers.shape[0]} × {answers.shape[1]} "
        f"answers, each of which sees at most {field.size} × {field.size} pixels; left the picture, then the answers "
        "(bright is strong), right the eight patches that excite the channel most among all photographs."
    )

    figure = plt.figure(figsize=(10, 2.9), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.15, 1))
    shown, answered = left.subplots(1, 2)
    shown.imshow(np.squeeze(pictures.x[picture]), cmap="gray", vmin=0, vmax=255)
    shown.set_title(name, fontsize=9)
    answered.imshow(answers, cmap="magma")
    answered.set_title(f"{stage}, channel {channel}", fontsize=9)
    right.suptitle("what excites it most", fontsize=9)
    for axis, patch in zip(right.subplots(2, 4).flat, patches, strict=True):
        axis.imshow(np.squeeze(patch), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.set_axis_off()
    for axis in (shown, answered):
        axis.set_axis_off()
    return figure, words


def feature_explorer(peaks, maps, pictures, *, stage="stem", channel=0, picture=0):
    """Explore what each channel of a network looks for: choose stage, channel and picture.

    Parameters
    ----------
    peaks, maps, pictures, stage, channel, picture
        As in :func:`feature_figure`, which draws the same; the last three are where to begin.

    Returns
    -------
    Explorer
        Its parts are also attributes: ``stage``, ``channel`` (another slider for each stage), ``subject``, ``message``,
        ``picture``.
    """
    stages = slider("stage", list(maps), stage, width="22em")
    subject = slider("picture", [(name, number) for number, name in enumerate(pictures.texts)], picture, width="32em")
    shown, message, place = ipywidgets.HTML(), words_below(), beside()

    def draw(*said):
        figure, words = feature_figure(
            peaks, maps, pictures, stage=stages.value, channel=explorer.channel.value, picture=subject.value
        )
        told = f"{stages.value}, channel {explorer.channel.value}: picture, answers, patches; in words below."
        shown.value, message.value = picture_of(figure, told), paragraph(*said, escaped(words))

    def follow(_):
        draw()

    def offer_channels(number):
        last = maps[stages.value].shape[-1] - 1
        explorer.channel = _channels(last, min(number, last))
        explorer.channel.observe(follow, names="value")
        place.children = (explorer.channel,)

    def change_stage(_):
        before = explorer.channel
        offer_channels(before.value)
        before.close()
        now = explorer.channel.value
        kept = now == before.value
        draw("" if kept else f"<b>There is no channel {before.value} here: channel {now} instead, the last.</b>")

    explorer = Explorer([beside(stages, place), beside(subject), shown, message])
    explorer.stage, explorer.subject, explorer.picture, explorer.message = stages, subject, shown, message
    offer_channels(channel)
    stages.observe(change_stage, names="value")
    subject.observe(follow, names="value")
    draw()
    return explorer


def _channels(last, value):
    """Make a slider for 0…last. A slider that was given another range would go to the old end with the key End."""
    style, layout = {"description_width": "initial"}, {"width": "26em"}
    settings = {"description": "channel", "continuous_update": False, "style": style, "layout": layout}
    return ipywidgets.IntSlider(value, 0, last, **settings)
