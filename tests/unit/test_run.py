"""Does run.py find a Python, refuse with a cure, make the environment once, and survive being interrupted?

Nothing is installed here: the steps are written down instead of run.
"""

import ast
import glob
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import namedtuple
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GOOD = {
    "executable": "/usr/bin/python3.12",
    "version": (3, 12, 1),
    "implementation": "CPython",
    "free_threaded": False,
    "system": "Linux",
    "machine": "x86_64",
    "bits": 64,
    "musl": False,
    "venv": True,
}
OLD = GOOD | {"executable": "/usr/bin/python3", "version": (3, 9, 2)}
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return run.py as a module that lives in a project folder of its own."""
    for name in ("run.py", "requirements.lock.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    specification = importlib.util.spec_from_file_location("run_under_test", tmp_path / "run.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    module.interruptible = False  # pytest's own signal handlers stay
    for name in module.NOT_PASSED_ON:
        monkeypatch.delenv(name, raising=False)
    return module


def pretend_to(run, command):
    """Leave behind what a step of the set-up would."""
    if "venv" in command:
        scripts = Path(command[-1], run.SCRIPTS)
        scripts.mkdir(parents=True)
        os.symlink(sys.executable, scripts / Path(run.PYTHON).name)
        Path(command[-1], "pyvenv.cfg").write_text("version = {}.{}.{}\n".format(*sys.version_info))
    elif "--require-hashes" in command and "uv.txt" in command[-1]:
        Path(command[0]).with_name(Path(run.UV).name).touch()


@pytest.fixture
def steps(run, monkeypatch):
    """Write down the set-up's steps instead of running them, and what is started in the end."""
    taken = []

    def call(command):
        pretend_to(run, command)
        taken.append(command)
        return 0

    monkeypatch.setattr(run, "call", call)
    monkeypatch.setattr(run, "become", lambda command: taken.append(command) or 0)
    return taken


def pythons(run, monkeypatch, **found):
    """Let the search for interpreters find these and no others; `own` is the one that runs run.py."""
    table = {name.replace("_", "."): description for name, description in found.items()}
    if "own" in table:
        table[sys.executable] = table.pop("own")
    monkeypatch.setattr(run, "probe", lambda command: table.get(" ".join(command)))


def kinds(steps):
    """Name each step by what it does."""
    names = {"-m venv": "venv", "pip sync": "sync", "--editable": "kit", "font_manager": "fonts"}
    words = [" ".join(command) for command in steps]
    return [next((kind for word, kind in names.items() if word in text), "uv") for text in words]


# --- Any Python can read it


def test_it_uses_no_syntax_newer_than_3_4():
    tree = ast.parse((ROOT / "run.py").read_text(encoding="utf-8"))
    newer = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.AsyncFunctionDef, ast.Await, ast.Match)
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, newer)] == []
    displays = [node for node in ast.walk(tree) if isinstance(node, ast.List | ast.Tuple | ast.Set)]
    assert [node.lineno for node in displays if any(isinstance(item, ast.Starred) for item in node.elts)] == []


OTHERS = [path for path in sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python"))) if "3.1" not in path]


@pytest.mark.parametrize("python", OTHERS or [None])
def test_old_pythons_get_a_sentence(python):
    if python is None:
        pytest.skip("no older Python in ~/.pyenv/versions")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([python, str(ROOT / "run.py"), "help"], env=clean, capture_output=True, text=True)
    assert done.stderr == ""
    assert "3.11, 3.12 or 3.13" in done.stdout
    assert done.returncode == (1 if "/2." in python else 0)


# --- Which Python


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"bits": 32}, "platform", "32-bit"),
        ({"musl": True}, "platform", "musl"),
        ({"system": "Darwin"}, "platform", "Darwin on x86_64"),
        ({"system": "Windows", "machine": "ARM64"}, "platform", "Windows on ARM64"),
        ({"machine": "riscv64"}, "platform", "riscv64"),
        ({"implementation": "PyPy"}, "version", "CPython"),
        ({"version": (3, 13, 0), "free_threaded": True}, "version", "CPython"),
        ({"version": (3, 10, 13)}, "version", "3.10.13"),
        ({"version": (3, 14, 0)}, "version", "3.14.0"),
        ({"venv": False}, "venv", "ensurepip"),
    ],
)
def test_what_stands_in_the_way(run, change, kind, words):
    found_kind, sentence = run.obstacle(GOOD | change)
    assert found_kind == kind
    assert words in sentence


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"version": (3, 11, 0)},
        {"version": (3, 13, 9)},
        {"machine": "aarch64"},
        {"system": "Darwin", "machine": "arm64"},
        {"system": "Windows", "machine": "AMD64"},
    ],
)
def test_what_fits(run, change):
    assert run.obstacle(GOOD | change) is None


def test_its_versions_are_those_of_the_package(run):
    import tomllib

    from packaging.specifiers import SpecifierSet

    fits = SpecifierSet(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["requires-python"])
    assert {(3, minor) for minor in range(6, 20) if f"3.{minor}" in fits} == set(run.VERSIONS)


def test_the_real_probe_describes_this_python(run):
    found = run.probe([sys.executable])
    assert set(found) == set(GOOD)
    assert found["version"] == sys.version_info[:3]
    assert found["executable"] == sys._base_executable


def test_a_shim_that_does_not_run_is_passed_over(run, tmp_path, monkeypatch):
    shim = tmp_path / "python3.13"
    shim.write_text("#!/bin/sh\necho 'pyenv: python3.13: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    assert run.probe([str(shim)]) is None
    assert run.probe([str(tmp_path / "nowhere")]) is None


def test_its_own_python_comes_first_then_the_newest(run, monkeypatch):
    newest = GOOD | {"executable": "/opt/python3.13", "version": (3, 13, 0)}
    pythons(run, monkeypatch, own=GOOD, python3_13=newest)
    assert run.find_python() == GOOD["executable"]
    pythons(run, monkeypatch, own=OLD, python3_13=newest, python3_12=GOOD)
    assert run.find_python() == "/opt/python3.13"
    pythons(run, monkeypatch, own=OLD | {"bits": 32}, python3_12=GOOD)
    assert run.find_python() == GOOD["executable"]


def test_windows_asks_its_launcher(run, monkeypatch):
    monkeypatch.setattr(run.os, "name", "nt")
    assert [command for command in run.candidates() if command[0] == "py"] == [
        ["py", "-3.13"],
        ["py", "-3.12"],
        ["py", "-3.11"],
    ]


def test_versions_that_pyenv_keeps_hidden_are_found(run, tmp_path, monkeypatch):
    python = tmp_path / "versions" / "3.12.7" / "bin" / "python3.12"
    python.parent.mkdir(parents=True)
    python.touch()
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert [str(python)] in list(run.candidates())


def refusal(run, function, *arguments):
    with pytest.raises(run.Refusal) as caught:
        function(*arguments)
    return str(caught.value)


def test_platforms_without_tensorflow_are_sent_to_the_browser(run, monkeypatch):
    pythons(run, monkeypatch, own=GOOD | {"system": "Darwin"}, python3_13=OLD)
    message = refusal(run, run.find_python)
    assert "Darwin on x86_64" in message
    assert "https://colab.research.google.com/github/transfer-learning-kit/transfer-learning-kit/blob/main" in message
    assert "https://mybinder.org/v2/gh/transfer-learning-kit/transfer-learning-kit/main" in message


def test_a_missing_venv_names_the_package(run, monkeypatch):
    pythons(run, monkeypatch, own=OLD, python3_12=GOOD | {"venv": False})
    assert "sudo apt install python3.12-venv" in refusal(run, run.find_python)


def test_without_a_terminal_nothing_is_offered(run, monkeypatch):
    pythons(run, monkeypatch, own=OLD)
    monkeypatch.setattr("builtins.input", lambda prompt: pytest.fail("asked without a terminal"))
    message = refusal(run, run.find_python)
    assert "this is Python 3.9.2" in message
    assert "https://www.python.org/downloads/" in message


Terminal = namedtuple("Terminal", ["isatty"], defaults=[lambda: True])


@pytest.mark.parametrize("answer", ["", "n", "what?"])
def test_a_no_is_a_no(run, monkeypatch, steps, answer):
    pythons(run, monkeypatch, own=OLD)
    monkeypatch.setattr(run.sys, "stdin", Terminal())
    monkeypatch.setattr("builtins.input", lambda prompt: answer)
    assert "https://www.python.org/downloads/" in refusal(run, run.find_python)
    assert steps == []


def test_a_yes_fetches_a_python_into_the_project(run, monkeypatch, steps, tmp_path):
    pythons(run, monkeypatch, own=OLD)
    monkeypatch.setattr(run.sys, "stdin", Terminal())
    monkeypatch.setattr("builtins.input", lambda prompt: " Yes ")
    fetched = Path(run.UV_PYTHONS, "cpython-3.12.12", "bin", "python3.12")
    fetched.parent.mkdir(parents=True)
    fetched.touch()
    assert run.find_python() == str(fetched)
    venv, pip, uv = steps
    assert venv[0] == OLD["executable"]
    assert "--require-hashes" in pip
    assert uv[1:] == ["python", "install", "--install-dir", run.UV_PYTHONS, "--no-bin", "--no-registry", "3.12"]


def test_uv_that_cannot_fetch_leaves_the_cure(run, monkeypatch, steps):
    message = refusal(run, run.fetch_python, "/usr/bin/python3", "Install 3.12.")
    assert message == "uv could not fetch a Python.\nInstall 3.12."


# --- Before anything is made


def test_too_little_disk_is_said_before_anything_is_made(run, monkeypatch, steps):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(run.shutil, "disk_usage", lambda path: usage(free=1.2e9))
    message = refusal(run, run.ready)
    assert "needs 3.0 GB and 1.2 GB are free" in message
    assert "Colab" in message
    assert steps == []


def test_somebody_elses_environment_is_left_alone(run, steps, tmp_path):
    theirs = tmp_path / ".venv" / "pyvenv.cfg"
    theirs.parent.mkdir()
    theirs.write_text("theirs")
    assert "did not make" in refusal(run, run.ready)
    run.clean([])
    assert theirs.read_text() == "theirs"
    assert steps == []


def test_a_lock_without_uv_is_said_to_be_damaged(run, tmp_path, steps):
    (tmp_path / "requirements.lock.txt").write_text("numpy==2.4.6\n")
    assert "git checkout requirements.lock.txt" in refusal(run, run.ready)


# --- Made once, brought up to date, made anew


def test_the_environment_is_made_in_order_and_only_once(run, steps, tmp_path):
    assert run.main(["test", "tests/unit", "-k", "street"]) == 0
    *made, started = steps
    assert kinds(made) == ["venv", "uv", "sync", "kit", "fonts"]
    assert "--require-hashes" in made[1] and "--require-hashes" in made[2]
    assert "--no-deps" in made[3] and "--no-build-isolation" in made[3]
    assert started == [run.PYTHON, "-m", "pytest", "tests/unit", "-k", "street"]
    steps.clear()
    assert run.main(["lab", "--no-browser"]) == 0
    assert len(steps) == 1
    assert steps[0][:3] == [run.PYTHON, "-m", "jupyterlab"]
    assert steps[0][-1] == "--no-browser"


def test_uv_is_pinned_by_the_lock_with_hashes(run, steps):
    run.ready()
    lines = Path(run.VENV, "uv.txt").read_text().splitlines()
    assert lines[0].startswith("uv==")
    assert all(line.strip().startswith("--hash=sha256:") for line in lines[1:]) and len(lines) > 5


@pytest.mark.parametrize("name", ["requirements.lock.txt", "pyproject.toml"])
def test_a_changed_lock_is_synced_in_place(run, steps, tmp_path, name):
    run.ready()
    kept = Path(run.VENV, "kept")
    kept.touch()
    with open(tmp_path / name, "a") as text:
        text.write("\n# changed\n")
    steps.clear()
    assert not run.in_step()
    run.ready()
    assert kinds(steps) == ["uv", "sync", "kit", "fonts"]
    assert kept.exists()
    assert run.in_step()


def rename_the_folder(run, tmp_path):
    Path(run.MARKER).write_text("/somewhere/else")
    Path(run.STAMP).write_text("of the other folder")


def lose_the_base_python(run, tmp_path):
    os.remove(run.PYTHON)
    os.symlink(tmp_path / "uninstalled", run.PYTHON)


def interrupt_the_install(run, tmp_path):
    os.remove(run.STAMP)


@POSIX
@pytest.mark.parametrize("damage", [rename_the_folder, lose_the_base_python, interrupt_the_install])
def test_what_cannot_be_trusted_is_made_anew(run, steps, tmp_path, damage):
    run.ready()
    left = Path(run.VENV, "left")
    left.touch()
    damage(run, tmp_path)
    steps.clear()
    run.ready()
    assert kinds(steps)[0] == "venv"
    assert not left.exists()
    assert run.in_step()


@pytest.mark.parametrize("at", range(5))
def test_wherever_it_stops_the_next_run_completes_it(run, monkeypatch, steps, at):
    untroubled = run.call
    monkeypatch.setattr(run, "call", lambda command: 1 if len(steps) == at else untroubled(command))
    if at == 2:  # uv fails, pip takes over: fail that, too
        monkeypatch.setattr(run, "call", lambda command: 1 if len(steps) >= at else untroubled(command))
    message = refusal(run, run.ready)
    assert "run the same command again" in message
    assert not run.in_step()
    monkeypatch.setattr(run, "call", untroubled)
    steps.clear()
    run.ready()
    assert kinds(steps)[0] == "venv"
    assert run.in_step()


def test_pip_takes_over_where_uv_does_not_get_through(run, monkeypatch, steps):
    untroubled = run.call
    monkeypatch.setattr(run, "call", lambda command: 1 if "sync" in command else untroubled(command))
    run.ready()
    assert steps[2][1:4] == ["-m", "pip", "install"]
    assert steps[2][-3:] == ["--require-hashes", "-r", run.LOCK]
    assert run.in_step()


def test_an_interrupted_removal_is_finished(run, steps):
    Path(run.DISCARDED, "lib").mkdir(parents=True)
    run.ready()
    assert not os.path.exists(run.DISCARDED)


# --- Ctrl-C, and two at once

# Whoever runs the tests in the background has SIGINT ignored, and children inherit that: the launcher's user has not.
INTERRUPTED = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, {root!r})
import run
def call(command):
    print("step", flush=True)
    return real([sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"])
real, run.call = run.call, call
sys.exit(run.main(["test"]))
"""


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@POSIX
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_the_step_and_leaves_no_traceback(run, tmp_path, steps, how):
    program = INTERRUPTED.format(root=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", program], stdout=-1, stderr=-1, text=True, cwd=tmp_path)
    assert "Making .venv" in process.stdout.readline()
    assert process.stdout.readline() == "step\n"
    step = int(process.stdout.readline())
    process.send_signal(how)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command goes on from here" in output
    assert errors == ""
    assert not is_alive(step)
    run.ready()
    assert run.in_step()


@POSIX
def test_a_second_launcher_waits_for_the_first_and_then_has_nothing_to_do(run, tmp_path, steps, capsys):
    with open(tmp_path / "run.py", "a") as first:
        assert run.try_to_lock(first)
        second = threading.Thread(target=run.ready)
        second.start()
        second.join(timeout=1)
        assert second.is_alive()
        run.make_environment()
        taken = len(steps)
    second.join(timeout=30)
    assert not second.is_alive()
    assert len(steps) == taken
    assert "Another run.py is setting up" in capsys.readouterr().out


@POSIX
def test_the_program_takes_over_with_its_exit_code(run, tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import run; run.become([sys.executable, '-c', 'exit(7)'])"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 7


# --- Proxies and certificates


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_one_certificate_file_serves_pip_and_uv(run, monkeypatch, tmp_path, name):
    for other in ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(other, raising=False)
    bundle = tmp_path / "campus.pem"
    bundle.touch()
    monkeypatch.setenv(name, str(bundle))
    environment = run.network_environment()
    assert environment["SSL_CERT_FILE"] == environment["PIP_CERT"] == str(bundle)


def test_proxies_and_the_users_own_choices_are_passed_on(run, monkeypatch):
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("UV_CACHE_DIR", "/scratch/uv")
    monkeypatch.setenv("UV_NATIVE_TLS", "0")
    environment = run.network_environment()
    assert environment["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert environment["UV_CACHE_DIR"] == "/scratch/uv"
    assert environment["UV_NATIVE_TLS"] == "0" and "UV_SYSTEM_CERTS" not in environment
    monkeypatch.delenv("UV_CACHE_DIR")
    monkeypatch.delenv("UV_NATIVE_TLS")
    environment = run.network_environment()
    assert environment["UV_CACHE_DIR"] == os.path.join(run.UV_HOME, "cache")
    assert environment["UV_SYSTEM_CERTS"] == "1"


# --- The other verbs


@pytest.mark.parametrize(("arguments", "code"), [([], 0), (["help"], 0), (["--help"], 0), (["lba"], 2)])
def test_help_names_every_verb(run, capsys, arguments, code):
    assert run.main(arguments) == code
    text = capsys.readouterr().out
    for verb in [*run.PROGRAMS, "doctor", "lock", "clean"]:
        assert f"python run.py {verb} " in text


def test_a_refusal_is_a_message_and_an_exit_code(run, monkeypatch, capsys):
    pythons(run, monkeypatch, own=OLD)
    assert run.main(["lab"]) == 1
    assert "The kit needs Python 3.11, 3.12 or 3.13" in capsys.readouterr().out


def test_clean_removes_what_was_made_and_nothing_else(run, steps, tmp_path, capsys):
    run.ready()
    made = [".uv/cache", ".pytest_cache", "tl_helpers/__pycache__", "transfer_learning_kit.egg-info"]
    kept = ["notebooks", "tl_helpers/mine", ".git"]
    for name in made + kept:
        (tmp_path / name).mkdir(parents=True)
    assert run.clean([]) == 0
    assert [name for name in [".venv", *made] if (tmp_path / name).exists()] == []
    assert [name for name in kept if not (tmp_path / name).exists()] == []
    said = capsys.readouterr().out
    assert all(f"removing {os.path.normpath(name)}" in said for name in [".venv", ".uv", *made[1:]])
    assert (tmp_path / "run.py").read_bytes() == (ROOT / "run.py").read_bytes()


def test_lock_compiles_everything_for_every_platform_without_addresses(run, steps):
    assert run.main(["lock", "--upgrade"]) == 0
    command = steps[-1]
    assert command[1:4] == ["pip", "compile", "pyproject.toml"]
    assert {"--universal", "--generate-hashes", "--no-header", "--no-annotate", "--all-extras"} < set(command)
    assert not any("index" in word for word in command)
    assert command[-1] == "--upgrade"


def test_doctor_says_what_is_missing_and_where_it_stands(run, steps, capsys):
    assert run.main(["doctor"]) == 1
    assert "FAIL  environment in step" in capsys.readouterr().out
    assert steps == []
    run.ready()
    steps.clear()
    assert run.main(["doctor"]) == 0
    assert "OK    environment in step" in capsys.readouterr().out
    assert "check_machine" in steps[0][-1]


def test_doctor_fails_with_the_data(run, steps, monkeypatch):
    run.ready()
    monkeypatch.setattr(run, "call", lambda command: 1)
    assert run.main(["doctor"]) == 1
