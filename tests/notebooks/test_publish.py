"""Is the course's address the recorded one in every place, and does the first cell fail with a sentence?"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.conditions import ROOT
from tests.notebooks import publish, rules
from tl_helpers.files import checksum_list

SOMEWHERE = publish.Publication("https://github.com/some-one/the.kit", "v0.1.0", 40 * "a")
PLACES = ["README.md", "CITATION.cff", "pyproject.toml"]
KIT = """
def start():
    from tl_helpers.files import read_verified
    print("Ready:", read_verified("a.txt").decode(), end="")
"""
POSIX = pytest.mark.skipif(os.name != "posix", reason="Colab's shell is one of POSIX")


def git(folder, *words):
    who = ["-c", "user.name=A", "-c", "user.email=a@b.invalid", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True).stdout


def notebook(path, words):
    """Write a notebook whose second cell is some earlier set-up."""
    first = {"cell_type": "markdown", "id": "0", "metadata": {}, "source": words.splitlines(keepends=True)}
    second = {"cell_type": "code", "execution_count": 1, "id": "1", "metadata": {}, "outputs": []}
    cells = [first, second | {"source": ["import tl_helpers\n", "\n", "tl_helpers.start()"]}]
    path.write_text(json.dumps({"cells": cells, "metadata": {}}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """Return a small clone: the real places, two notebooks, and something for Colab to fetch. All is committed."""
    root = tmp_path / "clone"
    for folder in ("notebooks", "data", "tl_helpers"):
        (root / folder).mkdir(parents=True)
    for name in PLACES:
        shutil.copy(ROOT / name, root)
    shutil.copy(ROOT / "notebooks" / "colab.py", root / "notebooks")
    shutil.copy(ROOT / "tl_helpers" / "files.py", root / "tl_helpers")
    (root / "tl_helpers" / "__init__.py").write_text(KIT, encoding="utf-8")
    (root / "data" / "a.txt").write_bytes(b"data\n")
    sums = checksum_list({"a.txt": hashlib.sha256(b"data\n").hexdigest()})
    (root / "data" / "SHA256SUMS").write_text(sums, encoding="utf-8")
    notebook(
        root / "notebooks" / "00_first.ipynb", "# First\n\n*About 1 minute.* [Open in Colab](https://some.invalid)"
    )
    notebook(root / "notebooks" / "01_second.ipynb", "# Zwölf → 12\n\n*About 2 minutes.*")
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=All")
    monkeypatch.setattr(publish, "ROOT", root)
    monkeypatch.setattr(publish.read_publication, "__defaults__", (root,))
    monkeypatch.setattr(publish.outdated, "__defaults__", (root,))
    monkeypatch.setattr(publish.publication_of_head, "__defaults__", (root,))
    return root


def contents(root):
    """Return what the files of a clone hold, git's own apart."""
    paths = (path for path in root.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def test_every_place_says_what_is_recorded():
    wrong = [path.name for path in publish.outdated(publish.read_publication())]
    assert wrong == [], "`python run.py publish` writes what pyproject.toml records into every place"


def test_no_other_file_names_an_address_of_the_kit():
    files = [path for name in ("*.*", "postBuild", "data/*/*.md", "notebooks/*.*") for path in ROOT.glob(name)]
    named = re.compile(r"(?:github\.com|/github|/gh)/[\w.-]+/transfer-learning-kit\b")
    texts = {path: path.read_bytes().decode("utf-8", "replace") for path in files if path.is_file()}
    found = {path for path, text in texts.items() if named.search(text)}
    places = {ROOT / name for name in PLACES} | set((ROOT / "notebooks").glob("*.ipynb"))
    assert found <= (places if publish.read_publication() else set())


@pytest.mark.parametrize("publication", [None, SOMEWHERE])
def test_the_first_cell_keeps_the_rules_for_cells(publication):
    cell = publish.setup_cell(publication)
    assert len(cell.splitlines()) <= rules.LONGEST
    ruff = [sys.executable, "-m", "ruff", "format", "--no-cache", "--config", str(ROOT / "notebooks" / "ruff.toml")]
    assert subprocess.run([*ruff, "-"], input=cell, capture_output=True, text=True).stdout == cell + "\n"
    assert (SOMEWHERE.commit in cell) is (publication is not None)
    assert not re.search("REPOSITORY|TAG|COMMIT", cell)


def test_publishing_writes_address_tag_and_commit_everywhere(clone, capsys):
    head = git(clone, "rev-parse", "HEAD").strip()
    publish.main(["--repository", SOMEWHERE.repository + ".git/", "--tag", "v0.1.0"])
    assert publish.read_publication() == publish.Publication(SOMEWHERE.repository, "v0.1.0", head)
    said = capsys.readouterr().out
    assert said.count("written:") == 5 and f"Colab will fetch commit {head}" in said
    after = {name: content.decode("utf-8") for name, content in contents(clone).items()}
    assert f"git clone --branch v0.1.0 {SOMEWHERE.repository}\ncd the.kit\npython run.py lab " in after["README.md"]
    assert f"`pip install git+{SOMEWHERE.repository}@v0.1.0` brings" in after["README.md"]
    assert f"repository-code: {SOMEWHERE.repository}\n" in after["CITATION.cff"]
    for name in ("00_first", "01_second"):
        cells = json.loads(after[f"notebooks/{name}.ipynb"])["cells"]
        assert "".join(cells[1]["source"]) == publish.setup_cell(publish.read_publication())
        link = f"https://colab.research.google.com/github/some-one/the.kit/blob/v0.1.0/notebooks/{name}.ipynb"
        assert "".join(cells[0]["source"]).endswith(f".* [Open in Colab]({link})")
    assert "# Zwölf → 12" in after["notebooks/01_second.ipynb"]


def test_publishing_again_changes_nothing_until_something_else_is_asked(clone):
    first = ["--repository", SOMEWHERE.repository, "--tag", "v0.1.0"]
    publish.main(first)
    published = contents(clone)
    publish.main(first)
    publish.main([])
    git(clone, "commit", "--quiet", "--all", "--message=Publish")
    git(clone, "tag", "v0.1.0")
    publish.main(first)
    assert contents(clone) == published
    head = git(clone, "rev-parse", "HEAD").strip()
    publish.main(["--repository", "https://github.com/others/kit", "--tag", "v0.2.0"])
    assert publish.read_publication() == publish.Publication("https://github.com/others/kit", "v0.2.0", head)
    assert not [name for name, content in contents(clone).items() if b"some-one" in content or b"v0.1.0" in content]


def test_changed_content_is_published_anew(clone):
    words = ["--repository", SOMEWHERE.repository, "--tag", "v0.1.0"]
    publish.main(words)
    (clone / "data" / "b.txt").write_text("new")
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message=More")
    publish.main(words)
    assert publish.read_publication().commit == git(clone, "rev-parse", "HEAD").strip()


NO_ADDRESSES = """
kit http://github.com/a/b https://github.com/a git@github.com:a/b.git https://github.com/a/b/c https://github.com/a/b;rm
https://gitlab.com/a/b https://github.com/-a/b https://github.com/a/.git
""".split()


@pytest.mark.parametrize("address", ["", *NO_ADDRESSES])
def test_no_address_of_a_repository(clone, address):
    refused(clone, ["--repository", address, "--tag", "v1"], "give it as https://github.com/OWNER/NAME")


@pytest.mark.parametrize("tag", ["", "-v1", "v 1", "v1..2", "v1.", "v1.lock", "v1/2", "v'1", "v1\n"])
def test_no_tag(clone, tag):
    refused(clone, ["--repository", SOMEWHERE.repository, f"--tag={tag}"], "as v0.1.0")


def refused(clone, arguments, words):
    """Assert that publishing ends with these words and that no file has changed."""
    before = contents(clone)
    with pytest.raises(SystemExit) as caught:
        publish.main(arguments)
    assert str(caught.value).startswith("Nothing is written. ") and words in str(caught.value)
    assert contents(clone) == before


def test_what_cannot_be_published_says_why_and_writes_nothing(clone, tmp_path, monkeypatch):
    words = ["--repository", SOMEWHERE.repository, "--tag", "v0.1.0"]
    git(clone, "tag", "v0.1.0")
    refused(clone, words, "git tag --delete v0.1.0")
    git(clone, "tag", "--delete", "v0.1.0")
    (clone / "data" / "a.txt").write_text("other")
    refused(clone, words, "data/a.txt")
    git(clone, "checkout", "--", "data")
    notebook(clone / "notebooks" / "02_bare.ipynb", "# Bare")
    text = (clone / "notebooks" / "02_bare.ipynb").read_text().replace("tl_helpers.start()", "")
    (clone / "notebooks" / "02_bare.ipynb").write_text(text)
    refused(clone, words, "02_bare.ipynb should begin with a text and the cell that sets up")
    (clone / "notebooks" / "02_bare.ipynb").unlink()
    readme = (clone / "README.md").read_text(encoding="utf-8")
    (clone / "README.md").write_text(readme.replace("python run.py lab ", "python run.py start "), encoding="utf-8")
    refused(clone, words, "README.md has 0 places")
    (clone / "README.md").write_text(readme, encoding="utf-8")
    (clone / "pyproject.toml").write_text('[project.urls]\nRepository = "https://github.com/a/b"\n[tool.x]\n')
    refused(clone, [], "should name Repository, tag and commit")
    shutil.rmtree(clone / ".git")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    refused(clone, words, "is no clone with a commit")
    monkeypatch.setenv("PATH", "")
    refused(clone, words, "git cannot be started")


def test_half_an_order_is_none(clone, capsys):
    with pytest.raises(SystemExit):
        publish.main(["--tag", "v0.1.0"])
    assert "go together" in capsys.readouterr().err


def test_a_failure_while_writing_leaves_every_file_as_it_was(clone, monkeypatch):
    texts = publish.outdated(SOMEWHERE)
    before = contents(clone)
    with pytest.raises(OSError):
        publish.write_all(texts | {clone / "README.md" / "in a file": "no place"})
    assert contents(clone) == before


# --- The first cell, as on Colab: the kit is not there, and the folder is another than /content

BARE = """
import os, sys
sys.path[:] = [""] + [path for path in sys.path if path and not os.path.isdir(os.path.join(path, "tl_helpers"))]
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in str(finder)]
from IPython.core.interactiveshell import InteractiveShell
InteractiveShell.instance(colors="NoColor", history_length=0).run_cell(sys.argv[1])
"""


class Colab:
    """A machine with git, pip and Python, in `folder`, and what is published, in `bare`."""

    def __init__(self, clone, base):
        self.folder, self.bare, self.programs = base / "content", base / "published.git", base / "bin"
        self.base, self.commit = base, git(clone, "rev-parse", "HEAD").strip()
        self.folder.mkdir()
        self.programs.mkdir()
        git(base, "clone", "--quiet", "--bare", str(clone), str(self.bare))
        self.program("python", f'exec "{sys.executable}" "$@"')
        self.pip("print('installing', sys.argv[-1])")

    def program(self, name, script):
        """Put a program before all others of its name."""
        (self.programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.programs / name).chmod(0o755)

    def fetching_fails(self, words):
        """Let `git fetch` fail with these words."""
        git = shutil.which("git")
        self.program("git", f'if [ "$1" = fetch ]; then echo "{words}" >&2; exit 128; fi\nexec "{git}" "$@"')

    def pip(self, source):
        """Let `python -m pip` do this."""
        (self.base / "pip").mkdir(exist_ok=True)
        (self.base / "pip" / "__init__.py").touch()  # without it, the real one would come first
        (self.base / "pip" / "__main__.py").write_text(f"import sys\n{source}\n")

    def run(self, commit=None, repository=None, published=True):
        """Run the first cell and return all that is shown."""
        publication = publish.Publication(repository or f"file://{self.bare}", "v0.1.0", commit or self.commit)
        cell = publish.setup_cell(publication if published else None).replace("/content", str(self.folder))
        environment = {
            "PATH": os.pathsep.join([str(self.programs), os.environ["PATH"]]),
            "PYTHONPATH": str(self.base),
            "HOME": str(self.base),
            "PIP_DRY_RUN": "1",  # whatever happens, these tests install nothing
            "IPYTHONDIR": str(self.base / "ipython"),
        }
        where = self.folder if self.folder.is_dir() else self.base
        done = subprocess.run(
            [sys.executable, "-c", BARE, cell], cwd=where, env=environment, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        return done.stdout.replace(str(self.folder), "/content").replace(str(self.base), "")


@pytest.fixture
def colab(clone, tmp_path):
    return Colab(clone, tmp_path)


@POSIX
def test_what_was_published_is_fetched_verified_installed_and_there_after_a_restart(colab):
    assert colab.run() == "Ready: data\n"
    assert (colab.folder / "kit.log").read_text().strip() == f"installing {colab.folder}/kit"
    colab.program("git", "exit 1")
    assert colab.run() == "Ready: data\n"


@POSIX
def test_the_cell_of_an_unpublished_course_says_so(colab):
    said = colab.run(published=False)
    assert re.fullmatch(r"This course is not published yet: .*\.\n+", said)
    assert not (colab.folder / "kit").exists()


@POSIX
def test_without_a_network_the_cell_says_so(colab):
    assert colab.run(repository="https://127.0.0.1:9/some/kit").strip() == (
        "Nothing could be fetched from https://127.0.0.1:9/some/kit: check the network, then run this cell again."
    )
    assert colab.run() == "Ready: data\n"


@POSIX
def test_a_connection_that_breaks_off_is_no_missing_course(colab):
    colab.fetching_fails("fatal: early EOF")
    assert "check the network" in colab.run()


@POSIX
@pytest.mark.parametrize(
    "wrong", [{"repository": "file:///no/such/kit"}, {"commit": 40 * "b"}], ids=["no repository", "no such commit"]
)
def test_what_is_not_there_is_one_sentence(colab, wrong):
    said = colab.run(**wrong)
    repository = wrong.get("repository", "file:///published.git")
    assert said.startswith(f"v0.1.0 of this course is not (or no longer) at {repository}: ask whoever gave you this")
    assert len(said.strip().splitlines()) == 1
    assert colab.run() == "Ready: data\n"


@POSIX
def test_a_private_or_renamed_repository_of_github_is_one_sentence(colab):
    colab.fetching_fails("fatal: could not read Username for 'https://github.com': No such device or address")
    assert "is not (or no longer) at" in colab.run()


@POSIX
@pytest.mark.parametrize("name", ["a.txt", "SHA256SUMS"])
def test_what_was_damaged_on_its_way_is_not_installed(colab, name):
    colab.program(
        "git", f'"{shutil.which("git")}" "$@" && if [ "$1" = checkout ]; then echo damaged >> data/{name}; fi'
    )
    said = colab.run()
    assert re.fullmatch(
        rf"What was fetched is damaged \(/content/kit/data/{name}.* is damaged.*\): run this cell again\.\n+", said
    )
    assert "installing" not in (colab.folder / "kit.log").read_text()
    (colab.programs / "git").unlink()
    assert colab.run() == "Ready: data\n"


@POSIX
def test_a_pip_that_fails_is_one_sentence(colab):
    colab.pip("raise SystemExit('no setuptools here')")
    said = colab.run()
    assert re.fullmatch(
        r"pip could not install the kit \(/content/kit.log says why\): .* run this cell again\.\n+", said
    )
    assert "no setuptools here" in (colab.folder / "kit.log").read_text()
    colab.pip("")
    assert colab.run() == "Ready: data\n"


@POSIX
def test_elsewhere_than_on_colab_nothing_is_touched(colab):
    colab.folder.rmdir()
    (colab.base / "kit").mkdir()
    assert "elsewhere than on Colab, start it with `python run.py lab` in a clone." in colab.run()
    assert (colab.base / "kit").is_dir() and not (colab.base / "kit.log").exists()
