"""Code exercises: solutions pass, blanks ask, typical mistakes get words of their own, and nothing raises an error."""

import ast

import numpy as np
import pandas as pd
import pytest

from tl_helpers import check, hint, solution
from tl_helpers.exercises import code
from tl_helpers.exercises.code import examine, read_code_exercises, with_body

EXERCISES = read_code_exercises()


def written(exercise, source):
    """Return the function that a learner gets who runs a cell with this source."""
    space = {"np": np}
    exec(compile("from __future__ import annotations\n" + source, "<cell>", "exec"), space)
    return space[exercise.function]


@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_is_right_and_the_blank_asks(name):
    exercise = EXERCISES[name]
    assert examine(exercise, getattr(exercise.module, exercise.function)) == f"Right. {exercise.why}"
    blank = written(exercise, exercise.blank)
    for still_blank in (blank, None, written(exercise, with_body(exercise, "return ..."))):
        assert examine(exercise, still_blank).startswith(f"Exercise {name}: write the body of {exercise.function}")


@pytest.mark.parametrize("name", EXERCISES)
def test_typical_mistakes_get_words_of_their_own(name):
    exercise = EXERCISES[name]
    assert len(exercise.hints) == 3 and len(exercise.wrong) >= 3
    said = {}
    for body, words in exercise.wrong.items():
        said[body] = examine(exercise, _with_the_modules_names(exercise, body))
        assert said[body].startswith("Not yet. ") and words.lower() in said[body].lower(), (body, said[body])
    assert len(set(said.values())) == len(said), "two mistakes get the same answer"


def _with_the_modules_names(exercise, body):
    space = dict(vars(exercise.module))
    exec(compile(with_body(exercise, body), "<cell>", "exec"), space)
    return space[exercise.function]


# What other people write, right or wrong, whose judgement was once mistaken.
RIGHT = [
    ("01-rate", "return float(np.interp(update, [0, updates], [first, 0]))"),
    (
        "01-rate",
        "import keras\nfalls = keras.optimizers.schedules.PolynomialDecay(first, updates, end_learning_rate=0.0)\n"
        "return falls(update)",
    ),
    (
        "01-copy",
        "for name in [layer.name for layer in source_model.layers if layer.name.startswith('conv')]:\n"
        "    new_model.get_layer(name).set_weights(source_model.get_layer(name).get_weights())\nreturn new_model",
    ),
    (
        "01-tune",  # learns from the validation pictures, too, once these have chosen
        "best = max(choices, key=lambda k: KNeighborsClassifier(k).fit(*train).score(*validation))\n"
        "x, y = (np.concatenate(parts) for parts in zip(train, validation))\n"
        "return 100 * KNeighborsClassifier(best).fit(x, y).score(*test)",
    ),
    (
        "02-relabel",
        "names = list(range(10))\nfor old in set(answers.tolist()):\n"
        "    names[old] = int(np.bincount(labels[answers == old]).argmax())\nreturn names",
    ),
    (
        "00-leak",
        "model = LogisticRegression(max_iter=1000).fit(x_train, y_train)\nreturn 100 * model.score(x_test, y_test)",
    ),
    (
        "03-probe",
        "probe = LogisticRegression(C=1000, max_iter=9000).fit(maps.mean((1, 2)), y)\n"
        "return 100 * probe.score(test_maps.mean((1, 2)), test_y)",
    ),
    (
        "03-nearest",
        "size = np.linalg.norm(gallery, axis=1)\nreturn [int(np.argmax(gallery @ q / size)) for q in queries]",
    ),
    ("07-standardise", "return [(x - x.mean(0)) / (x.std(0, ddof=1) + 1e-9) for x in (source, target)]"),
    (
        "08-late-fusion",
        "import keras\nboth = [keras.ops.softmax(keras.ops.cast(z, 'float32')) for z in (image, text)]\n"
        "return keras.ops.convert_to_numpy((both[0] + both[1]) / 2)",
    ),
    (
        "04-freeze",
        "import keras\ncopy = keras.models.clone_model(model)\ncopy.set_weights(model.get_weights())\n"
        "for layer in copy.layers[:2]:\n    layer.trainable = False\n"
        "copy.compile(keras.optimizers.Adam(1e-2), loss)\nreturn copy",
    ),
]
WRONG = [
    (
        "02-relabel",
        "names = np.arange(10)\nfor a, b in zip(answers, labels):\n    if a != b:\n        names[a] = b\nreturn names",
    ),
    (
        "00-leak",
        "model = LogisticRegression(max_iter=1000).fit(StandardScaler().fit_transform(x_train), y_train)\n"
        "return 100 * model.score(StandardScaler().fit_transform(x_test), y_test)",
    ),
    ("03-nearest", "return (queries @ gallery.T / (gallery**2).sum(axis=1)).argmax(axis=1)"),
    (
        "06-overlap",
        "w = max(0, min(a[2], b[2]) - max(a[0], b[0]))\nh = min(a[3], b[3]) - max(a[1], b[1])\n"
        "return w * h / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - w * h)",
    ),
    (
        "06-overlap",
        "w = max(0, min(a[2], b[2]) - max(a[0], b[0]))\nh = max(0, min(a[3], b[3]) - max(a[1], b[1]))\n"
        "return w * h / max(np.prod(a[2:] - a[:2]), np.prod(b[2:] - b[:2]))",
    ),
    (
        "04-freeze",
        "import keras\nmodel.compile(keras.optimizers.Adam(1e-2), loss)\n"
        "model.fit(np.zeros((2, 3)), np.zeros((2, 4)), verbose=0)\n"
        "for layer in model.layers[:2]:\n    layer.trainable = False\nreturn model",
    ),
    (
        "04-freeze",
        "for layer in model.layers[:2]:\n    layer.trainable = False\nmodel.compile('sgd', 'mae')\nreturn model",
    ),
    ("08-weights", "weights = np.ones(own + scraped)\nweights[:own] = scraped\nreturn weights"),
    ("08-nothing", "return stats.ttest_1samp(gains, margin).pvalue < 0.05"),
    ("08-look", "return (features * scores[..., None]).sum(axis=1) / scores.sum(axis=1)[:, None]"),
    ("07-standardise", "s = target.std(0) + 1e-6\nreturn (source - source.mean(0)) / s, (target - target.mean(0)) / s"),
    ("04-still", "return all(abs(a - b).max() < 1e-12 for a, b in zip(before, after))"),
    ("05-task", "return sum(v in source_labels for v in label_map.values()) > len(label_map) / 2"),
]


@pytest.mark.parametrize(("name", "body"), RIGHT)
def test_another_way_to_be_right_is_right(name, body):
    assert examine(EXERCISES[name], _with_the_modules_names(EXERCISES[name], body)).startswith("Right. ")


@pytest.mark.parametrize(("name", "body"), WRONG)
def test_a_hidden_mistake_is_found(name, body):
    assert examine(EXERCISES[name], _with_the_modules_names(EXERCISES[name], body)).startswith("Not yet. ")


@pytest.mark.parametrize("name", EXERCISES)
def test_what_is_no_answer_at_all_raises_nothing(name):
    exercise = EXERCISES[name]
    assert "give it" in examine(exercise, 7)
    assert "returns nothing" in examine(exercise, lambda *inputs, **named: [].append(inputs))
    assert "no message" in examine(exercise, _raising(ValueError()))
    assert "ZeroDivisionError: on purpose" in examine(exercise, _raising(ZeroDivisionError("on purpose")))
    assert examine(exercise, lambda: 5).startswith(
        "Not yet. On an input of the check your function stops with TypeError"
    )


class _Silent(RuntimeError):
    """An error that cannot be told."""

    def __str__(self):
        raise ValueError


def _raising(error):
    def answer(*inputs, **named):
        raise error

    return answer


def test_the_blank_is_the_solution_without_its_body():
    exercise = EXERCISES["02-kernel"]
    assert exercise.blank.splitlines() == [*exercise.solution.splitlines()[:2], "    ..."]
    assert ast.get_docstring(ast.parse(exercise.blank).body[0]) and "keepdims" not in exercise.blank


def test_check_hint_and_solution_speak_of_code_too(capsys):
    check("02-kernel", lambda kernel: kernel.sum(axis=2, keepdims=True))
    hint("02-kernel", 3)
    solution("02-kernel")
    said = capsys.readouterr().out
    assert (
        said.startswith("Right. Convolution is linear")
        and "keepdims=True`." in said
        and "def grey_kernel(kernel):" in said
    )
    check("02-kernel", pd.DataFrame({"a": [1]}))
    check("03-noise", pd.Series([0.5, 0.5]))
    assert capsys.readouterr().out.count("Not yet. ") == 2
    solution("02-rare")
    assert capsys.readouterr().out.startswith("answer = 'no'\n")
    with pytest.raises(ValueError, match="hints 1…3, not 4"):
        hint("02-kernel", 4)
    with pytest.raises(KeyError, match="02-kernel"):
        check("../01-kernel", 3)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("x = 1", "must hold a docstring"),
        ('"""T."""\ndef f(x):\n    """F."""\n    return x\n', "must hold a docstring"),
        ('"""T."""\ndef f(x):\n    return x\ndef check(answer):\n    yield True, ""\n', "must hold a docstring"),
        (
            '"""T."""\ndef f(x):\n    """F."""\n    return x\ndef check(answer):\n    yield True, ""\nwhy = ""',
            "why must be a str",
        ),
        ("def f(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_file_that_is_no_exercise_is_refused_with_its_path(source, problem, tmp_path):
    path = tmp_path / "01-x.py"
    path.write_text(source)
    with pytest.raises(ValueError, match=problem) as caught:
        code._read(path)
    assert str(path) in str(caught.value)
