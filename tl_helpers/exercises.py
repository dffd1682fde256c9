"""Have I understood? Predictions to commit, answers to check, hints in three grades."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def compare_prediction(guess, measured, low, high, *, unit="points"):
    """Lay a measured result over the prediction that was made before it.

    Parameters
    ----------
    guess : float or None
        The learner's number; None where none was given.
    measured, low, high : float
        The result and its 95 % interval.
    unit : str

    Raises
    ------
    TypeError
        If `guess` is neither a number nor None.
    """
    result = f"Measured: {measured:+.1f} {unit} (95 % interval {low:+.1f} to {high:+.1f})."
    if guess is None:
        print(f"{result} You made no prediction: write a number into the cell above and run both again.")
        return
    if isinstance(guess, bool) or not isinstance(guess, (int, float, np.number)):
        raise TypeError(f"A prediction is a number such as 5 or -2.5, not {guess!r}.")
    if low <= guess <= high:
        verdict = "inside the interval: as good as one can know from these runs"
    elif guess < low:
        verdict = f"too low by {measured - guess:.1f} {unit}"
    else:
        verdict = f"too high by {guess - measured:.1f} {unit}"
    print(f"{result} Your prediction {guess:+g} is {verdict}.")


@dataclass(frozen=True)
class Exercise:
    """A question with its check.

    Parameters
    ----------
    answer : object
        What is right: a string, a number or a tuple of strings.
    feedback : dict
        Wrong answer → what it overlooks.
    why : str
        Said after the right answer.
    hints : tuple of str
        From a nudge to nearly the answer.
    """

    answer: object
    feedback: dict
    why: str
    hints: tuple[str, ...]


EXERCISES = {
    "00-patience": Exercise(
        answer="scratch_longer",
        feedback={
            "scratch": "That arm is the one in doubt: it had as many updates as it had.",
            "features": "That arm shows what transfer reaches, not what patience would have.",
        },
        why="It is the same network on the same labels, with four times the updates and a learning rate of its own.",
        hints=(
            "The arms are the lines in the figure of accuracies.",
            "Which line differs from “from scratch” in nothing but the time it had?",
            "Its name in the table `runs` starts with “scratch”.",
        ),
    ),
    "01-sketch": Exercise(
        answer="domain",
        feedback={
            "task": "The ten names are the same, and so is what each of them means.",
            "both": "Something stays: compare the label names of the two data sets.",
            "neither": "Compare the pictures: could one tell from a patch of them which set it comes from?",
        },
        why="The same ten labels, but other inputs: the feature distribution differs, so the domain does.",
        hints=(
            "Print `domain` and `task` of both data sets.",
            "A task is a label space and how labels depend on inputs; a domain is where inputs come from.",
            "The label names are equal, the pictures are not.",
        ),
    ),
    "01-shoes": Exercise(
        answer="task",
        feedback={
            "domain": "The pictures are made in the same way; only shoes are kept, and they get other labels.",
            "both": "Shoes alone are another mixture of inputs, true, but how a picture is made stays the same.",
            "neither": "How many labels has the one, how many the other?",
        },
        why="The pictures are made in the same way, the label space is another one.",
        hints=(
            "Print `domain` and `task` of both data sets.",
            "How many label names are there in each?",
            "The domain's name is the same in both.",
        ),
    ),
    "01-rare": Exercise(
        answer="no",
        feedback={
            "yes": "`estimate_prior` gets probabilities and the source's shares. Is a label of the target among them?",
        },
        why="Expectation maximisation reads the shares from the unlabelled target pictures alone.",
        hints=(
            "Look at the arguments of `estimate_prior`.",
            "The probabilities come from the source model and the target's pictures.",
            "No argument holds a label of the target.",
        ),
    ),
    "03-head-parameters": Exercise(
        answer=10250,
        feedback={
            10240: "Nearly: each of the ten outputs has a bias, too.",
            650: "That is a head on averaged features; this one is dense on the whole feature map.",
        },
        why="The feature map of 4 × 4 × 64 is laid out flat: 1,024 inputs for each of ten outputs, and ten biases.",
        hints=(
            "With all four convolutions frozen, only one layer moves.",
            "`freeze(model, upto='conv4')`, then `trainable_report(model)`: the column `trainable`.",
            "It is `model.get_layer('head').count_params()`.",
        ),
    ),
    "03-stale": Exercise(
        answer="yes",
        feedback={"no": "What moves was fixed when the model first trained, and there was no `compile` since."},
        why="The optimizer still has `conv1` on its list. Run on and see.",
        hints=(
            "When does Keras decide what moves?",
            "The sentence above the question says when.",
            "There is no `compile` between freezing and training on.",
        ),
    ),
    "03-many-labels": Exercise(
        answer="nothing",
        feedback={
            "all but the head": "Look at sketches with 200 labels per class in section 4: many labels, another domain.",
        },
        why="Many labels and another domain: both say that the body should move. Measure it, though: yours may differ.",
        hints=(
            "Which of the three targets of section 4 is most like this one?",
            "Sketches, at their largest budget.",
            "There the frozen body was far behind.",
        ),
    ),
    "02-field": Exercise(
        answer="block4",
        feedback={
            "block3": "Close: its field is large, but still smaller than a picture of 96 pixels.",
            "conv_head": "Its field is larger, true, but is it the first?",
            "block5": "Its field is larger, true, but is it the first?",
        },
        why="From there on a single position could see everything; what it mostly uses is the middle.",
        hints=(
            "Read the first row of the table from left to right.",
            "Compare each number with the side of a picture.",
            "It is a block, behind the third.",
        ),
    ),
    "02-depth": Exercise(
        answer="block3",
        feedback={
            "stem": "It sees three pixels at a time: enough for a colour, not for a line or a shade.",
            "conv_head": "It was trained to call a cat a cat in any style: it overlooks what you look for.",
        },
        why="Style is line, texture and shading: more than single pixels, less than things.",
        hints=(
            "Look at the panel about style.",
            "The best place is where textures and curves are known, and things are not yet.",
            "It is the stage that you compared with the last one.",
        ),
    ),
    "02-scenes": Exercise(
        answer="family",
        feedback={
            "chance": "A guesser who knows nothing is easily beaten, also by one who recognises things only.",
            "pixels": "Pixels know neither thing nor surroundings; beating them does not say which was seen.",
            "random weights": "They show what training was worth, not what was recognised.",
        },
        why="It is all that recognising the thing alone could give; only what lies above comes from the surroundings.",
        hints=(
            "Which rival explanation is to be ruled out?",
            "That the network sees the thing, not what surrounds it.",
            "Who is told the thing, and nothing else?",
        ),
    ),
    "02-noise": Exercise(
        answer=0.25,
        feedback={
            0.5: "That is the value for 100 pictures.",
            0.75: "Closer to n / (n + p); look again at which of the two stands above.",
            0.33: "Mind the n + p below: not p / n, but p / (n + p).",
        },
        why="sqrt(100 · 100 / (400 · 400)): more pictures make the bias smaller, and features larger.",
        hints=(
            "Put n = 300 and p = q = 100 into the formula.",
            "With p = q the root goes away: p / (n + p).",
            "100 / 400.",
        ),
    ),
    "06-test-set": Exercise(
        answer="own",
        feedback={
            "scraped": "You want to know how well your own kind of picture is named, and scraped labels may be wrong.",
            "both": "Then the score is mostly that on scraped pictures, and their wrong labels count as truth.",
        },
        why="The pictures that the model is for, with labels you trust; the scraped ones may only help in training.",
        hints=(
            "What is the model for?",
            "Which labels do you trust?",
            "In the study, training saw both kinds, testing only one.",
        ),
    ),
    "06-fusion": Exercise(
        answer="late_fusion",
        feedback={
            "image": "That one is in the report: it is what the eight points are measured against.",
            "text": "It would show what captions know alone, but not whether sharing a representation adds to it.",
            "joint": "That is the network that the report praises.",
        },
        why="It knows as much as the joint network and shares nothing: only what is gained over it is due to sharing.",
        hints=(
            "The joint network differs from the one for pictures in two ways. Which?",
            "It knows captions, and it has one representation. Which arm has only the first?",
            "Two models, one average.",
        ),
    ),
    "06-uncertainty": Exercise(
        answer=2,
        feedback={
            0.5: "That would be 1 / (2 · 1): with the best σ², the variance is not 1.",
            4: "That is 1 / σ²; mind the 2.",
            0.125: "You multiplied where the formula divides.",
        },
        why="The best σ² is the loss itself, 0.25, and 1 / (2 · 0.25) = 2: each task then counts as 2 · 0.25 = 1/2.",
        hints=(
            "What is the best σ² of a task?",
            "It equals the loss: 0.25.",
            "1 / (2 · 0.25).",
        ),
    ),
    "06-control": Exercise(
        answer="sharing alone helps",
        feedback={
            "digits teach garments": "What would an odd digit know about a coat? Look for another cause.",
        },
        why="Digits know nothing of garments, so something else is at work: more variety in the batches, or a mistake.",
        hints=(
            "What do the two problems have in common?",
            "Nothing but the trunk, and the backgrounds.",
            "A gain without common knowledge comes from training on two things as such.",
        ),
    ),
    "02-preprocessing": Exercise(
        answer="in the model",
        feedback={
            "in the notebook": "Whoever loads the model elsewhere has to know, and to remember.",
            "in the data": "Then the data fit one model only, and the next user prepares them once more.",
        },
        why="As its first layer it is saved and loaded with the weights, and pictures go in as they are stored.",
        hints=(
            "Who needs to know the right form?",
            "What travels along when a model is passed on?",
            "It is the place where the course's own models have it.",
        ),
    ),
    "05-shuffled": Exercise(
        answer="patience",
        feedback={
            "labels": "It had as many labels as the true source. They were the wrong ones, but they were many.",
            "luck": "Seeds are the same in all arms; that is what pairing is for.",
        },
        why="It was trained before, like the true source, and only what it learned is worthless.",
        hints=(
            "What do the true source and the shuffled one have in common?",
            "Both saw the same garments, many labels and many updates before the target came.",
            "If having been trained before were enough, the shuffled source would help as well.",
        ),
    ),
    "05-reversal": Exercise(
        answer=-0.5,
        feedback={
            0.5: "Nearly: what is reversed about it?",
            -2: "That is the reversal; it is also scaled.",
            -0.25: "That is -λ alone: by what does it multiply?",
        },
        why="−0.25 · 2: the body is pushed, at a quarter of the strength, to make the critic's loss larger.",
        hints=(
            "The example above: 3 arrived, λ was 0.5, −1.5 went on.",
            "The gradient is multiplied by −λ.",
            "−0.25 times 2.",
        ),
    ),
    "05-mixture": Exercise(
        answer="the mixture of garments",
        feedback={
            "the drawing style": "That is what it should remove. What else differs between the two as a whole?",
            "the labels": "It has not seen any label of a drawing.",
        },
        why="A common garment moves the drawings' mean towards itself, and aligning takes that for style.",
        hints=(
            "Think of the mean of a feature over all drawings.",
            "If most drawings show shoes, what does that mean look like?",
            "It is what the arms with `_uneven` change.",
        ),
    ),
    "05-box-head": Exercise(
        answer=245,
        feedback={
            49: "So many cells; how many numbers does each give?",
            5: "So many for each cell; how many cells are there?",
            4: "That is one box. Each cell offers one, and says how likely it is the right one.",
        },
        why="7 × 7 cells, each with one number for “here?” and four for the box.",
        hints=(
            "Look at the output's shape.",
            "The first number in it stands for the scenes, the others belong to one.",
            "7 · 7 · 5.",
        ),
    ),
    "04-case-1": Exercise(
        "task fine-tuning",
        {
            "task adaptation": "Is the question really another? Each reason for anger is a kind of anger.",
            "domain adaptation": "The e-mails come from the same inbox.",
        },
        "An e-mail from an angry customer is still an angry e-mail; the labels only become finer.",
        (
            "Compare the labels, then the inputs.",
            "Does every new label lie inside an old one?",
            "Same task, same domain, one after the other.",
        ),
    ),
    "04-case-2": Exercise(
        "domain adaptation",
        {
            "task fine-tuning": "The labels are the same, but look at the pictures: would the two sets be told apart?",
            "modality transfer": "The question has not changed: the same signs are named.",
        },
        "The signs keep their names; the light and the camera change.",
        (
            "Which of the two changes, the labels or the pictures?",
            "Night and infrared change the pictures.",
            "Same task, different domain, one after the other.",
        ),
    ),
    "04-case-3": Exercise(
        "task adaptation",
        {
            "multi-task learning": "Is it learned at the same time?",
            "modality transfer": "The tiles come from the same satellite.",
        },
        "The tiles are the same kind; an outline is another question than a name.",
        (
            "Which of the two changes?",
            "A name per tile becomes an outline per building.",
            "Different task, same domain, one after the other.",
        ),
    ),
    "04-case-4": Exercise(
        "modality transfer",
        {"domain adaptation": "Are the labels those of ImageNet?", "task adaptation": "Is a spectrogram a photograph?"},
        "Spectrograms are pictures of another kind, and birds' calls were never asked for.",
        (
            "What do the two have in common?",
            "Only that both can be shown as a picture.",
            "Different task, different domain, one after the other.",
        ),
    ),
    "04-case-5": Exercise(
        "dataset merging",
        {
            "domain adaptation": "Nothing is learned first and adapted later.",
            "weight sharing": "Do the two sets differ in kind, or only in where they were collected?",
        },
        "More of the same, thrown in: what helps is its number, what hurts its errors.",
        (
            "When is each of the two learned?",
            "Same diagnoses, same kind of camera, one training.",
            "Same task, same domain, at the same time.",
        ),
    ),
    "04-case-6": Exercise(
        "weight sharing",
        {
            "multi-task learning": "Is there a second question?",
            "dataset merging": "Are a photograph and a text the same kind of input?",
        },
        "A photograph and a description lie in different feature spaces, and lead to the same names.",
        (
            "How many questions are there, and how many kinds of input?",
            "One question, two kinds of input.",
            "Same task, different domain, at the same time.",
        ),
    ),
    "04-case-7": Exercise(
        "multi-task learning",
        {
            "task adaptation": "Is one of the two learned first?",
            "parallel training": "Do the two questions look at different frames?",
        },
        "The same frames, two questions, one trunk.",
        (
            "How many questions are there, and how many kinds of input?",
            "Two questions of the same frames.",
            "Different task, same domain, at the same time.",
        ),
    ),
    "04-case-8": Exercise(
        "parallel training",
        {
            "multi-task learning": "Are both questions asked of the same inputs?",
            "weight sharing": "Is it one question?",
        },
        "Nothing connects the two but the machine; expect nothing from it, and measure.",
        (
            "How many questions are there, and how many kinds of input?",
            "Two of each.",
            "Different task, different domain, at the same time.",
        ),
    ),
    "04-case-9": Exercise(
        "domain adaptation",
        {
            "task fine-tuning": "Would a computer tell a pressed plant from a living one?",
            "modality transfer": "Are the species the same?",
        },
        "No labels in the new domain does not change the route, only how one walks it.",
        (
            "Having no labels changes the method. Does it change the route?",
            "The species stay, the pictures change.",
            "Same task, different domain, one after the other.",
        ),
    ),
    "04-case-10": Exercise(
        "task adaptation",
        {
            "task fine-tuning": "Is every genre a kind of mood?",
            "multi-task learning": "Are the two learned at the same time?",
        },
        "The texts are the same; mood and genre are different questions, and none refines the other.",
        (
            "Does one label set refine the other?",
            "A thriller can be praised or panned.",
            "Different task, same domain, one after the other.",
        ),
    ),
}


def _find(name):
    if name not in EXERCISES:
        raise KeyError(f"There is no exercise {name!r}; there are {', '.join(sorted(EXERCISES))}.")
    return EXERCISES[name]


def check(name, answer):
    """Check an answer and say what is right or wrong about it.

    Parameters
    ----------
    name : str
        Such as ``"01-rare"``.
    answer : object
        None while the exercise is still to be done.

    Raises
    ------
    KeyError
        If there is no such exercise.
    """
    exercise = _find(name)
    if answer is None:
        print(f"Exercise {name}: put your answer in place of None and run the cell again; hint({name!r}, 1) helps.")
        return
    given = answer.strip().lower() if isinstance(answer, str) else answer
    if given == exercise.answer:
        print(f"Right. {exercise.why}")
    else:
        print("Not yet. " + exercise.feedback.get(given, f"For a nudge run hint({name!r}, 1)."))


def hint(name, grade=1):
    """Print a hint.

    Parameters
    ----------
    name : str
    grade : {1, 2, 3}
        1 nudges, 3 nearly tells.

    Raises
    ------
    KeyError
        If there is no such exercise.
    ValueError
        If there is no hint of that grade.
    """
    hints = _find(name).hints
    if not 1 <= grade <= len(hints):
        raise ValueError(f"Exercise {name} has hints 1…{len(hints)}, not {grade}.")
    print(hints[grade - 1])
