"""How is something trained in an explorer, now? One run at a press, with its progress, and a word where it fails."""

from __future__ import annotations

import asyncio

import ipywidgets

from tl_helpers.progress import told_to
from tl_helpers.widgets.explorer import escaped, paragraph

# Presses made while a run kept the kernel busy wait for its end, and are delivered one after the other.
_SECONDS_FOR_WAITING_PRESSES = 0.5


class LiveButton(ipywidgets.HBox):
    """A button that runs something, and beside it how far that is.

    The button keeps the focus: it is never switched off. Presses while it runs are ignored, those that were waiting
    meanwhile included.

    Parameters
    ----------
    name : str
        The words on the button.
    run : callable
        ``run(tell)``; ``tell(words)`` says what is being done from there on.
    complain : callable
        ``complain(words)`` is called with HTML where the run fails or is stopped.

    Attributes
    ----------
    button : ipywidgets.Button
    progress : ipywidgets.HTML
    """

    def __init__(self, name, run, complain):
        self.button = ipywidgets.Button(description=name, icon="play", layout={"width": "auto"})
        self.progress = ipywidgets.HTML()
        self._run, self._complain, self._running, self._doing = run, complain, False, ""
        self.button.on_click(self._press)
        super().__init__([self.button, self.progress], layout={"align_items": "center", "min_height": "32px"})

    def _press(self, _):
        if self._running:
            return
        self._running = True
        try:
            with told_to(self._show):
                self._run(self._tell)
        except KeyboardInterrupt:
            self._complain("Stopped before its end.")
        except Exception as error:  # a traceback in a callback would be shown nowhere
            self._complain(f"It did not work: {escaped(error)}")
        finally:
            self.progress.value = ""
            self._rest()

    def _tell(self, doing):
        self._doing = doing
        self._show(0, None, None)

    def _show(self, done, total, seconds):
        far = f'max="{total}" value="{done}"' if total else ""
        left = "getting ready" if seconds is None else f"about {max(1, round(seconds))} s left"
        bar = f'<progress aria-label="{escaped(self._doing)}" style="vertical-align: middle" {far}></progress>'
        self.progress.value = paragraph(f"{bar} {escaped(self._doing)}: {left}")

    def _rest(self):
        loop = _running_loop()
        if loop is None:  # pressed by a program, for whom nothing waits
            self._running = False
        else:
            loop.call_later(_SECONDS_FOR_WAITING_PRESSES, setattr, self, "_running", False)


def _running_loop():
    """Return the loop that delivers presses in a notebook; None where there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
