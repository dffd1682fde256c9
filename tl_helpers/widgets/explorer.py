"""What do all explorers share? A box that can be used by keyboard, pictures and words in it, and runs made in it."""

from __future__ import annotations

import base64
import html
import io

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from tl_helpers.plots.charts import picture
from tl_helpers.widgets.keyboard import keyboard_script

INSTEAD = "An explorer with sliders and buttons: open this notebook in JupyterLab and run it."
# Words fit their buttons and labels, whatever the font.
FITTING = {"description_width": "initial", "button_width": "auto"}
_ROW = {"flex_flow": "row wrap", "align_items": "center", "grid_gap": "0 24px", "overflow": "visible"}


class Explorer(ipywidgets.VBox):
    """Controls above what they show. Where widgets cannot be shown, it says what to do instead of its type.

    Parameters
    ----------
    rows : sequence of ipywidgets.Widget
        From top to bottom.
    **parts : ipywidgets.Widget
        They become attributes.
    """

    def __init__(self, rows, **parts):
        super().__init__([*rows, keyboard_script()])
        self.add_class("tl-explorer")
        for name, part in parts.items():
            setattr(self, name, part)

    def __repr__(self):
        # The text beside the widget, in ipywidgets 7 (Colab) as in 8.
        return INSTEAD


def beside(*controls):
    """Put controls beside each other, on a further line where the window is narrow.

    Parameters
    ----------
    *controls : ipywidgets.Widget

    Returns
    -------
    ipywidgets.HBox
    """
    return ipywidgets.HBox(controls, layout=_ROW)


def choice(name, options, value=None):
    """Make buttons of which one is chosen: reached with Tab, chosen with Space or Enter.

    Parameters
    ----------
    name : str
    options : sequence
        Values, or pairs of words and value.
    value : optional
        The first by default.

    Returns
    -------
    ipywidgets.ToggleButtons
    """
    given = {} if value is None else {"value": value}
    return ipywidgets.ToggleButtons(options=options, description=name, style=FITTING, **given)


def slider(name, options, value=None, *, width="26em"):
    """Make a slider along words, which it shows and speaks. Its range stays: for another one make another slider.

    Parameters
    ----------
    name : str
    options : sequence
        Values, or pairs of words and value.
    value : optional
        The first by default.
    width : str

    Returns
    -------
    ipywidgets.SelectionSlider
    """
    given = {} if value is None else {"value": value}
    style = {"description_width": "initial"}
    layout = {"width": width}
    return ipywidgets.SelectionSlider(
        options=options, description=name, continuous_update=False, style=style, layout=layout, **given
    )


def words_below():
    """Make a place for words, which a screen reader reads when they change.

    Returns
    -------
    ipywidgets.HTML
    """
    place = ipywidgets.HTML()
    place.add_class("tl-said")
    return place


def paragraph(*sentences):
    """Set words in a paragraph whose lines end between words.

    Parameters
    ----------
    *sentences : str
        Of HTML: escape what may hold ``<`` or ``&``. Empty ones are left out.

    Returns
    -------
    str
    """
    style = "line-height: 1.4; white-space: normal; word-break: normal; overflow-wrap: normal; margin: 0"
    return f'<p style="{style}">{" ".join(filter(None, sentences))}</p>'


def escaped(text):
    """Make text fit for HTML.

    Parameters
    ----------
    text : object

    Returns
    -------
    str
    """
    return html.escape(str(text), quote=False)


def picture_of(figure, told):
    """Turn a figure into an HTML picture and close it.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    told : str
        What it shows, for those who do not see it.

    Returns
    -------
    str
    """
    figure.set_dpi(90)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # once; `savefig` would draw it twice
    content = io.BytesIO()
    Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").save(content, "png")
    plt.close(figure)
    data = base64.b64encode(content.getvalue()).decode()
    return picture(data, told)
