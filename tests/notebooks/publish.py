"""Where is this course published? `pyproject.toml` records it, and every place that names it is written from there.

    python run.py publish --repository URL --tag TAG    record these and the commit that HEAD is, and write all places
    python run.py publish                               write all places from what is recorded

The places are README.md, CITATION.cff, and in each notebook the link to Colab and the cell that sets up. Commit what
was written, tag that commit with TAG, push both: on Colab, the cell fetches the recorded commit and nothing else.
"""

import argparse
import contextlib
import dataclasses
import json
import re
import subprocess
import tomllib
from pathlib import Path

from tl_helpers.files import atomic_path

ROOT = Path(__file__).resolve().parents[2]
DISTRIBUTION = "transfer-learning-kit"
# What a notebook on Colab takes from the recorded commit.
FETCHED = ("tl_helpers", "data", "notebooks/colab.py", "notebooks/exercises", "notebooks/exercises.toml")
COLAB = re.compile(r" ?\[Open in Colab\]\([^)]*\)")
ADDRESS = re.compile(r"https://github\.com/[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?/[A-Za-z0-9._-]*[A-Za-z0-9_-]")
TAG = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.|$|lock$))*")

# Both cells stop with a sentence alone: IPython shows what `_render_traceback_` returns in place of a traceback.
UNPUBLISHED_CELL = """\
import importlib.util

if importlib.util.find_spec("tl_helpers") is None:  # on Colab, which opens this file alone
    failure = "This course is not published yet: start it with `python run.py lab` in a clone."
    raise type("Stop", (Exception,), {"_render_traceback_": lambda stop: [failure]})(failure)
import tl_helpers

tl_helpers.start()"""
# A commit's name is the hash of all that it holds: what git checks out under it is what was published, `colab.py`
# included, which looks at the data and installs the kit. Whatever the shell prints is what went wrong.
PUBLISHED_CELL = """\
import importlib.util
import os

if importlib.util.find_spec("tl_helpers") is None:  # on Colab, which opens this file alone
    offline = "Nothing could be fetched from REPOSITORY: check the network, then run this cell again."
    missing = "TAG of this course is not (or no longer) at REPOSITORY: ask whoever gave you this notebook for a newer \
one; elsewhere than on Colab, start it with `python run.py lab` in a clone."
    fetch = f"if cd /content && rm -rf kit && (git init -q kit && cd kit && git fetch -q --depth 1 REPOSITORY COMMIT \
&& git checkout -q COMMIT) 2>kit.log; then python kit/notebooks/colab.py; elif grep -qsE 'to access|RPC|EOF' kit.log; \
then echo '{offline}'; else echo '{missing}'; fi"
    for failure in os.popen(fetch):
        raise type("Stop", (Exception,), {"_render_traceback_": lambda stop: [failure]})(failure)
import tl_helpers

tl_helpers.start()"""


class PublishError(ValueError):
    """The course cannot be published so. The message says what is wrong and what to do; nothing was written."""


@dataclasses.dataclass(frozen=True)
class Publication:
    """An address, and what is published there.

    Parameters
    ----------
    repository : str
        Such as ``"https://github.com/OWNER/NAME"``.
    tag : str
        The release that links and commands name.
    commit : str
        40 hexadecimal digits: what the notebooks fetch on Colab.
    """

    repository: str
    tag: str
    commit: str


def read_publication(root=ROOT):
    """Return what `pyproject.toml` records.

    Parameters
    ----------
    root : pathlib.Path
        The clone.

    Returns
    -------
    Publication or None
        None as long as the course is not published.

    Raises
    ------
    PublishError
        If the record is incomplete or cannot be.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    urls, record = project["project"].get("urls", {}), project["tool"].get(DISTRIBUTION, {})
    found = [urls.get("Repository"), record.get("tag"), record.get("commit")]
    if found == [None] * 3:
        return None
    if None in found or not re.fullmatch("[0-9a-f]{40}", found[2]):
        raise PublishError(
            "pyproject.toml should name Repository, tag and commit (40 digits), or none of them: "
            "run `python run.py publish --repository URL --tag TAG`."
        )
    return Publication(checked_address(found[0]), checked_tag(found[1]), found[2])


def checked_address(address):
    """Return the repository's address without a slash or ``.git`` at its end.

    Parameters
    ----------
    address : str

    Returns
    -------
    str

    Raises
    ------
    PublishError
        If it is no repository on GitHub.
    """
    address = address.strip().removesuffix("/").removesuffix(".git")
    if not ADDRESS.fullmatch(address):
        raise PublishError(
            f"{address!r} is not the address of a repository on GitHub, from where Colab opens notebooks: "
            f"give it as https://github.com/OWNER/NAME."
        )
    return address


def checked_tag(tag):
    """Return the tag, if git takes it and a link can hold it.

    Parameters
    ----------
    tag : str

    Returns
    -------
    str

    Raises
    ------
    PublishError
        If it has other characters than letters, digits, dots, hyphens and underscores, or ends in a dot or ``.lock``.
    """
    if not TAG.fullmatch(tag):
        raise PublishError(
            f"{tag!r} is no tag for a release: give one of letters, digits, dots, hyphens and underscores, as v0.1.0."
        )
    return tag


def setup_cell(publication):
    """Write the cell that sets up a notebook.

    Parameters
    ----------
    publication : Publication or None

    Returns
    -------
    str
        Python's source, the same for every notebook.
    """
    if publication is None:
        return UNPUBLISHED_CELL
    values = {name.upper(): value for name, value in dataclasses.asdict(publication).items()}
    return re.sub("|".join(values), lambda found: values[found.group()], PUBLISHED_CELL)


def _notebook(text, publication, path):
    """Return a notebook's text with the link to Colab and the cell that sets up."""
    notebook = json.loads(text)
    first, second = notebook["cells"][:2]
    if first["cell_type"] != "markdown" or "tl_helpers.start()" not in "".join(second["source"]):
        raise PublishError(f"{path.name} should begin with a text and the cell that sets up: copy another's first two.")
    link = ""
    if publication is not None:
        where = publication.repository.replace("https://github.com", "https://colab.research.google.com/github")
        link = f" [Open in Colab]({where}/blob/{publication.tag}/notebooks/{path.name})"
    words = COLAB.sub("", "".join(first["source"])).rstrip() + link
    first["source"] = words.splitlines(keepends=True)
    second["source"] = setup_cell(publication).splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _replace(pattern, new, text, path):
    """Return the text with the one match of the pattern replaced."""
    text, count = re.subn(pattern, lambda found: new, text, flags=re.MULTILINE)
    if count != 1:
        raise PublishError(f"{path.name} has {count} places for {new!r}, and should have one: look for {pattern!r}.")
    return text


def _project(text, publication, path):
    """Return pyproject.toml's text with the record."""
    address = f'Repository = "{publication.repository}"\n' if publication else ""
    record = f'tag = "{publication.tag}"\ncommit = "{publication.commit}"\n' if publication else ""
    heading = re.escape(f"[tool.{DISTRIBUTION}]\n")
    text = _replace(r"(?<=^\[project\.urls\]\n)(?:Repository = .*\n)?", address, text, path)
    return _replace(rf"(?<=^{heading})(?:tag = .*\n)?(?:commit = .*\n)?", record, text, path)


def _readme(text, publication, path):
    """Return README's text with the commands that fetch the kit."""
    clone, kit = "", "."
    if publication is not None:
        name, kit = publication.repository.rpartition("/")[2], f"git+{publication.repository}@{publication.tag}"
        clone = f"git clone --branch {publication.tag} {publication.repository}\ncd {name}\n"
    text = _replace(r"(?<=^```\n)(?:git clone .*\ncd .*\n)?(?=python run\.py lab )", clone, text, path)
    return _replace(r"(?<=^`pip install ).*?(?=` brings )", kit, text, path)


def _citation(text, publication, path):
    """Return CITATION.cff's text with the address."""
    address = f"repository-code: {publication.repository}\n" if publication else ""
    return _replace(r"(?<=^license: Apache-2\.0\n)(?:repository-code: .*\n)?", address, text, path)


def outdated(publication, root=ROOT):
    """Return the files in which something else stands than this publication asks for.

    Parameters
    ----------
    publication : Publication or None
    root : pathlib.Path
        The clone.

    Returns
    -------
    dict of pathlib.Path to str
        What each of them should hold.

    Raises
    ------
    PublishError
        If a file has no place for it.
    """
    writers = {root / "pyproject.toml": _project, root / "README.md": _readme, root / "CITATION.cff": _citation}
    writers |= dict.fromkeys(sorted((root / "notebooks").glob("*.ipynb")), _notebook)
    found = {}
    for path, writer in writers.items():
        text = path.read_bytes().decode("utf-8")
        new = writer(text, publication, path)
        if new != text:
            found[path] = new
    return found


def write_all(texts):
    """Write these files, all of them or none as far as the disk lets us know beforehand.

    Parameters
    ----------
    texts : dict of pathlib.Path to str
    """
    with contextlib.ExitStack() as all_written:  # at whose end they get their names
        for path, text in texts.items():
            all_written.enter_context(atomic_path(path)).write_bytes(text.encode("utf-8"))


def _git(root, *words):
    """Return what a command of git says, None where it fails. Raises PublishError where there is no git."""
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True)
    except OSError as error:
        raise PublishError(f"git cannot be started ({error}): install it, and publish from a clone.") from None
    return done.stdout.strip() if done.returncode == 0 else None


def publication_of_head(repository, tag, root=ROOT):
    """Describe the publication of what is committed.

    Parameters
    ----------
    repository, tag : str
        Where, and under which name, the next commit will be found.
    root : pathlib.Path
        The clone.

    Returns
    -------
    Publication
        With the commit that HEAD is; with the recorded one, if this publication is recorded and what Colab fetches is
        the same in both.

    Raises
    ------
    PublishError
        If address or tag are not fit, this is no clone, what Colab fetches is not committed, or the tag is taken.
    """
    repository, tag = checked_address(repository), checked_tag(tag)
    head = _git(root, "rev-parse", "--verify", "HEAD^{commit}")
    if head is None:
        raise PublishError(f"{root} is no clone with a commit: publish from one, so that there is a commit to name.")
    changed = _git(root, "status", "--porcelain", "--", *FETCHED)
    if changed:
        raise PublishError(f"Not committed, so Colab could not fetch it; commit it and publish again:\n{changed}")
    try:
        before = read_publication(root)
    except PublishError:
        before = None  # it is about to be replaced
    if before == Publication(repository, tag, getattr(before, "commit", "")):
        if _git(root, "diff", "--quiet", before.commit, head, "--", *FETCHED) is not None:
            return before
    if _git(root, "rev-parse", "--verify", f"refs/tags/{tag}") is not None:
        raise PublishError(f"The tag {tag} is taken: give the next one, or remove it with `git tag --delete {tag}`.")
    return Publication(repository, tag, head)


def main(words=None):
    parser = argparse.ArgumentParser(prog="run.py publish", description=__doc__.partition("\n")[0])
    parser.add_argument("--repository", metavar="URL", help="https://github.com/OWNER/NAME")
    parser.add_argument("--tag", help="the release, such as v0.1.0")
    chosen = parser.parse_args(words)
    if (chosen.repository is None) != (chosen.tag is None):
        parser.error("--repository and --tag go together; without both, what is recorded is written everywhere")
    try:
        new = chosen.tag is not None
        publication = publication_of_head(chosen.repository, chosen.tag) if new else read_publication()
        texts = outdated(publication)
        write_all(texts)
    except (PublishError, OSError) as error:
        raise SystemExit(f"Nothing is written. {error}") from None
    for path in texts:
        print(f"written: {path.relative_to(ROOT)}")
    if not texts:
        print("Every place is in step.")
    if new:
        tag = publication.tag
        print(f"Colab will fetch commit {publication.commit}: do not rewrite it from here on. What is left to do:")
        print(f"  git commit --all --message 'Publish {tag}' && git tag {tag} && git push --tags origin HEAD")


if __name__ == "__main__":
    main()
