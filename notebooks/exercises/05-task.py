"""Decide by the stricter reading whether source and target have the same task, from a map of their labels."""

why = "The target's labels are the source's, or finer ones: then what the source knows answers the target's question in part."
hints = [
    "The map has one entry for each of the target's labels: the source's label that it equals or refines, or None.",
    "Same task: no entry is None, and each is one of the source's labels.",
    "`return all(label in source_labels for label in label_map.values())`.",
]
wrong = {
    "return set(label_map) == set(source_labels)": "finer",
    "return any(label in source_labels for label in label_map.values())": "every",
    "return len(label_map) == len(source_labels)": "how many",
    "return set(label_map.values()) == set(source_labels)": "need not use",
}


def same_task(label_map, source_labels):
    """Return whether each target label (key) equals or refines one of the source's labels (value; None for none)."""
    return all(label in source_labels for label in label_map.values())


def check(answer):
    """Ask about equal labels, finer ones, others, and a mixture."""
    source = ("shoe", "bag", "shirt")
    yield (
        not answer({"left": None, "right": None, "none": None}, source),
        "None of these labels is the source's; how many there are does not matter.",
    )
    shoes = {"sandal": "shoe", "boot": "shoe", "sneaker": "shoe"}
    equal = {"shoe": "shoe", "bag": "bag", "shirt": "shirt"}
    mixed = {"shoe": "shoe", "bag": "bag", "shirt": "shirt", "owner": None}
    yield answer(equal, source) in (True, False), "It must return True or False."
    yield (
        not answer(mixed, source),
        "“owner” is no question that the source was asked: every label must have its counterpart.",
    )
    yield bool(answer(equal, source)), "The same three labels are the same task."
    fine = {"sandal": "shoe", "boot": "shoe", "tote": "bag", "blouse": "shirt"}
    yield (
        bool(answer(fine, source)),
        "Finer labels count as the same task: the source answers them in part.",
    )
    yield bool(answer(shoes, source)), "The target need not use all of the source's labels."
