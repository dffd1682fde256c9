"""What stays out of a notebook when JupyterLab saves it? What is this machine's, not the notebook's."""

from __future__ import annotations


def leave_out_the_machine(model, **_):
    """Undo what JupyterLab writes into the metadata of every notebook that it opens: a hook of its server.

    Without it a notebook that somebody only looked at would count as changed in git two minutes later.

    Parameters
    ----------
    model : dict
        What is about to be saved, as Jupyter's contents manager describes it; changed in place.
    """
    if model["type"] != "notebook":
        return
    metadata = model["content"]["metadata"]
    if metadata.get("kernelspec", {}).get("name") == "python3":
        metadata["kernelspec"]["display_name"] = "Python 3"
    metadata.get("language_info", {}).pop("version", None)
