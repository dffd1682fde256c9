"""What do explorers need from the page, to be used by keyboard alone and to be heard?

JupyterLab takes single keys for orders wherever nothing is typed: with a button or a slider in focus, the keys d d
delete the cell and the arrow down leaves it. ipywidgets gives its sliders no names and does not say which button is
chosen. Both can be mended in the page only, and a widget that shows HTML is the one way from here to there.
"""

from __future__ import annotations

import html

import ipywidgets

# A picture of one pixel: what it is to do when it is loaded is done wherever an explorer is shown.
_PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
# What ipywidgets cuts short stands in full, names stand beside their buttons, and what is chosen or in focus is marked.
_STYLE = """
.tl-explorer .widget-slider .widget-readout { max-width: none; flex-shrink: 0; }
.tl-explorer .widget-toggle-buttons { display: flex; align-items: center; height: auto; column-gap: 6px; }
.tl-explorer .widget-toggle-button.mod-active { box-shadow: inset 0 -3px 0 currentColor; }
.tl-explorer :focus-visible { outline: 2px solid #1976d2 !important; outline-offset: 1px; }
"""
_SCRIPT = """
const set = (node, name, value) => {
  if (node && node.getAttribute(name) !== value) node.setAttribute(name, value);
};
const words = (node, selector) => (node.querySelector(selector) || {textContent: ''}).textContent.trim();
const name = root => {
  root.querySelectorAll('.widget-toggle-buttons').forEach(group => {
    set(group, 'role', 'group');
    set(group, 'aria-label', words(group, '.widget-label'));
    group.querySelectorAll('button').forEach(
      button => set(button, 'aria-pressed', String(button.classList.contains('mod-active'))));
  });
  root.querySelectorAll('.widget-slider').forEach(slider => {
    const handle = slider.querySelector('.noUi-handle, .ui-slider-handle');
    const label = words(slider, '.widget-label');
    set(handle, 'role', 'slider');
    set(handle, 'aria-label', label);
    set(handle, 'aria-valuetext', words(slider, '.widget-readout'));
    const readout = slider.querySelector('.widget-readout');
    set(readout, 'role', 'textbox');
    set(readout, 'aria-label', label + ', to be typed');
  });
  root.querySelectorAll('.tl-said').forEach(said => set(said, 'aria-live', 'polite'));
};
const keep = event => {
  const node = event.target;
  if (!node.closest || !node.closest('.tl-explorer')) return;
  const order = event.ctrlKey || event.metaKey || event.altKey || event.key === 'Escape';
  const runs = event.shiftKey && event.key === 'Enter';
  node.toggleAttribute('data-lm-suppress-shortcuts', !order && !runs);
};
const begin = tries => {
  const root = this.closest('.tl-explorer');
  if (!root) {
    if (tries) setTimeout(begin, 100, tries - 1);
    return;
  }
  name(root);
  new MutationObserver(() => name(root)).observe(root, {
    subtree: true, childList: true, characterData: true, attributes: true,
    attributeFilter: ['class', 'aria-valuetext'],
  });
  if (!window.tlExplorerKeys) {
    window.tlExplorerKeys = true;
    window.addEventListener('keydown', keep, true);
  }
};
begin(100);
"""


def keyboard_script():
    """Make a part of an explorer that shows nothing, keeps its keys to it and names its controls.

    Ctrl, Alt and Command with a key, Shift with Enter, and Escape stay JupyterLab's. It looks for the class
    ``tl-explorer`` around itself and for ``tl-said`` in there, whose words are read when they change.

    Returns
    -------
    ipywidgets.HTML
    """
    image = f'<img alt="" src="{_PIXEL}" onload="{html.escape(_SCRIPT)}">'
    return ipywidgets.HTML(f"<style>{_STYLE}</style>{image}", layout={"display": "none"})
