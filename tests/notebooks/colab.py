"""Do the notebooks run with the packages that Colab has? The tests' suite `colab`; it needs a network.

    python run.py test --suite colab                                    all notebooks
    python run.py test --suite colab notebooks/05_eight_routes.ipynb    these

The environment is made anew each time, in a folder of its own. Outputs are not compared: other versions print others.
"""

import os

import run

# What Colab's runtimes have installed: 2026.08 (Python 3.13) and 2026.07 (Python 3.12).
RUNTIMES = {
    "2026.08": {
        "ipykernel": "6.17.1",
        "ipython": "7.34.0",
        "ipywidgets": "7.7.1",
        "keras": "3.13.2",
        "matplotlib": "3.10.0",
        "numpy": "2.1.3",
        "pandas": "2.2.3",
        "pytest": "8.4.2",
        "python": "3.13.15",
        "scikit-learn": "1.6.1",
        "tensorflow": "2.20.0",
        "tqdm": "4.67.3",
    },
    "2026.07": {"numpy": "2.0.2", "pandas": "2.2.2", "python": "3.12.0"},
}
NEWEST = max(RUNTIMES)
FOLDER = os.path.join(run.UV_HOME, "colab")
PYTHON = os.path.join(FOLDER, run.SCRIPTS, os.path.basename(run.PYTHON))
# What the tests' own plugins import.
TOOLS = ["hypothesis", "nbval", "psutil", "pytest-xdist"]


def pins(runtime=NEWEST):
    """Return the requirements that a runtime's packages are, as pip reads them.

    Parameters
    ----------
    runtime : str
        A key of ``RUNTIMES``.

    Returns
    -------
    list of str
        Python apart. TensorFlow is the build for processors alone where there is one: the same code, half the size.
    """
    found = {name: version for name, version in RUNTIMES[runtime].items() if name not in ("python", "tensorflow")}
    lines = [f"{name}=={version}" for name, version in found.items()]
    if "tensorflow" in RUNTIMES[runtime]:
        version, small = RUNTIMES[runtime]["tensorflow"], "sys_platform == 'linux' and platform_machine == 'x86_64'"
        lines.append(f"tensorflow-cpu=={version}; {small}")
        lines.append(f"tensorflow=={version}; sys_platform != 'linux' or platform_machine != 'x86_64'")
    return lines


def find_python():
    """Return the path of the newest Python here that the kit runs on.

    Returns
    -------
    str

    Raises
    ------
    run.Refusal
        If there is none.
    """
    here = [found for found in map(run.probe, run.candidates()) if found and run.obstacle(found) is None]
    if not here:
        raise run.Refusal(f"No Python 3.11, 3.12 or 3.13 answers here. Install 3.13 from {run.PYTHON_ORG}")
    return max(here, key=lambda found: found["version"])["executable"]


def steps(python, notebooks=()):
    """Return the commands that make the environment and run notebooks in it.

    Parameters
    ----------
    python : str
        The interpreter to make it with.
    notebooks : sequence of str
        Paths; none stands for all.

    Returns
    -------
    dict of str to list of str
        What each command does → the command.
    """
    install = [run.UV, "pip", "install", "--python", PYTHON, *pins(), *TOOLS]
    # The settings in pyproject.toml are for the locked versions, whose outputs are compared.
    tests = [PYTHON, "-m", "pytest", "-o", "addopts=", "-ra", "--strict-markers", "-p", "no:cacheprovider"]
    nbval = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=600"]
    return {
        "making the environment": [run.UV, "venv", "--clear", "--python", python, FOLDER],
        # Together with the kit: where its own requirements do not admit Colab's versions, there is no solution.
        "installing Colab's packages and the kit": [*install, "--editable", run.ROOT],
        "running the notebooks": [*tests, *nbval, *(notebooks or ["notebooks"])],
    }


def main(notebooks=()):
    """Make the environment and run notebooks in it.

    Parameters
    ----------
    notebooks : sequence of str
        Paths; none stands for all.

    Returns
    -------
    int
        The exit code of the first step that fails, 0 if none does.
    """
    try:
        python = find_python()
    except run.Refusal as refusal:
        run.say(str(refusal))
        return 1
    for doing, command in steps(python, notebooks).items():
        run.say(f"With {python}: {doing}")
        code = run.call(command)
        if code != 0:
            run.say(f"Stopped while {doing} (exit code {code}); the lines above say why.")
            return code
    return 0
