"""Which emoji belong together? Every label that is ours, sorted by eye over the contact sheets of all five styles.

Concepts are named by their CLDR short names, subgroups by Unicode's emoji subgroups.
"""

# Unicode's groups mix pictures that look nothing alike (a ghost and a heart are "smileys", a face and a hand "people",
# a cloud and a tram "travel"). clean8 keeps what the eye would sort into one heap and leaves the rest without a label.
# Each class: whole subgroups, then concepts added to them, then concepts taken out.
CLEAN8 = {
    "animal": (
        {"animal-mammal", "animal-bird", "animal-amphibian", "animal-reptile", "animal-marine", "animal-bug"},
        set(),
        {"paw prints", "pig nose", "feather", "wing", "coral", "spiral shell", "spider web", "microbe"},
    ),
    "body": (
        {
            "hand-fingers-open",
            "hand-fingers-partial",
            "hand-single-finger",
            "hand-fingers-closed",
            "hands",
            "hand-prop",
            "body-parts",
        },
        {"footprints", "kiss mark"},
        set(),
    ),
    "face": (
        {
            "face-smiling",
            "face-affection",
            "face-tongue",
            "face-hand",
            "face-neutral-skeptical",
            "face-sleepy",
            "face-unwell",
            "face-hat",
            "face-glasses",
            "face-concerned",
            "face-negative",
        },
        set(),
        {"skull", "skull and crossbones", "face in clouds"},
    ),
    "food": (
        {"food-fruit", "food-vegetable", "food-prepared", "food-asian", "food-sweet", "drink"},
        {"mushroom"},
        {"ice", "baby bottle"},
    ),
    "object": (
        {
            "tool",
            "household",
            "dishware",
            "musical-instrument",
            "phone",
            "computer",
            "light-video",
            "science",
            "medical",
            "writing",
            "lock",
        },
        {
            "hourglass done",
            "hourglass not done",
            "watch",
            "alarm clock",
            "stopwatch",
            "timer clock",
            "mantelpiece clock",
            "bellhop bell",
            "luggage",
            "briefcase",
            "scissors",
            "straight ruler",
            "triangular ruler",
            "pushpin",
            "round pushpin",
            "linked paperclips",
            "wastebasket",
            "studio microphone",
            "microphone",
            "headphone",
            "radio",
            "thread",
            "sewing needle",
            "yarn",
            "baby bottle",
            "umbrella",
            "closed umbrella",
        },
        {"elevator", "bubbles", "dna", "drop of blood", "x-ray", "memo", "film frames"},
    ),
    "person": (
        {
            "person",
            "person-gesture",
            "person-role",
            "person-fantasy",
            "person-activity",
            "person-sport",
            "person-resting",
        },
        set(),
        set(),
    ),
    "symbol": (
        {
            "transport-sign",
            "warning",
            "arrow",
            "religion",
            "zodiac",
            "av-symbol",
            "gender",
            "math",
            "punctuation",
            "currency",
            "other-symbol",
        },
        set(),
        {"passport control", "customs"},
    ),
    "vehicle": (
        {"transport-ground", "transport-water", "transport-air"},
        set(),
        {
            "bus stop",
            "motorway",
            "railway track",
            "oil drum",
            "fuel pump",
            "wheel",
            "police car light",
            "horizontal traffic light",
            "vertical traffic light",
            "stop sign",
            "construction",
            "roller skate",
            "anchor",
            "ring buoy",
            "seat",
        },
    ),
}

# Fine labels inside one class of clean8. Same form.
ANIMAL = {
    "bird": ({"animal-bird"}, set(), {"feather", "wing"}),
    "bug": ({"animal-bug"}, set(), {"spider web", "microbe"}),
    "mammal": ({"animal-mammal"}, set(), {"paw prints", "pig nose"}),
    "marine": ({"animal-marine"}, set(), {"coral", "spiral shell"}),
    "reptile": ({"animal-reptile"}, set(), set()),
}
FOOD = {
    "asian dish": ({"food-asian"}, set(), set()),
    "drink": ({"drink"}, set(), {"ice", "baby bottle"}),
    "fruit": ({"food-fruit"}, set(), set()),
    "prepared dish": ({"food-prepared"}, set(), set()),
    "sweet": ({"food-sweet"}, set(), set()),
    "vegetable": ({"food-vegetable"}, {"mushroom"}, set()),
}
FACE = {
    "negative": (
        {"face-concerned", "face-negative", "face-unwell"},
        {"unamused face", "grimacing face", "lying face"},
        {"smiling face with horns", "face holding back tears", "skull", "skull and crossbones", "exploding head"},
    ),
    "neutral": (
        {"face-neutral-skeptical", "face-sleepy"},
        {"thinking face", "saluting face", "shushing face", "zipper-mouth face", "face with monocle"},
        {
            "unamused face",
            "grimacing face",
            "lying face",
            "face in clouds",
            "smirking face",
            "relieved face",
        },
    ),
    "positive": (
        {"face-smiling", "face-affection", "face-tongue", "face-hat", "face-glasses"},
        {"smiling face with open hands", "face with hand over mouth", "relieved face"},
        {"melting face", "upside-down face", "smiling face with tear", "face with monocle", "disguised face"},
    ),
}

# The families of the photographs (data/photos), for tasks that go from drawings to photographs.
FAMILY = {
    "mammal": ({"animal-mammal"}, set(), {"paw prints", "pig nose", "unicorn"}),
    "bird": ({"animal-bird"}, set(), {"feather", "wing"}),
    "sea animal": ({"animal-marine"}, set(), {"coral", "spiral shell"}),
    "bug": ({"animal-bug"}, set(), {"spider web", "microbe"}),
    "fruit": ({"food-fruit"}, set(), {"olive", "coconut"}),
    "vegetable": ({"food-vegetable"}, {"mushroom"}, {"peanuts", "chestnut"}),
    "plant": (
        {"plant-flower", "plant-other"},
        set(),
        {"white flower", "rosette", "empty nest", "nest with eggs", "mushroom"},
    ),
    "building": (
        {"place-building", "place-religious"},
        set(),
        {"building construction", "brick", "rock", "wood"},
    ),
    "vehicle": CLEAN8["vehicle"],
    "tool": (
        {"tool"},
        {"scissors", "straight ruler", "triangular ruler", "paintbrush"},
        {
            "dagger",
            "crossed swords",
            "bomb",
            "boomerang",
            "bow and arrow",
            "shield",
            "gear",
            "balance scale",
            "white cane",
            "link",
            "chains",
            "hook",
            "magnet",
        },
    ),
    "household": (
        {"household", "dishware"},
        {"teapot", "light bulb", "candle", "key", "old key", "wastebasket"},
        {
            "elevator",
            "bubbles",
            "mouse trap",
            "safety pin",
            "razor",
            "shopping cart",
            "fire extinguisher",
            "amphora",
            "window",
        },
    ),
    "music": ({"musical-instrument"}, set(), set()),
    "sport": (
        {"sport"},
        set(),
        {
            "martial arts uniform",
            "running shirt",
            "diving mask",
            "fishing pole",
            "flag in hole",
            "sled",
        },
    ),
}

# One concept drawn more than once: gender, side, direction, state. Such a set is never divided between two splits.
VARIANTS = (
    ("child", "boy", "girl"),
    ("person", "man", "woman"),
    ("older person", "old man", "old woman"),
    ("person with crown", "prince", "princess"),
    ("pregnant person", "pregnant woman", "pregnant man"),
    ("Mx Claus", "Santa Claus", "Mrs. Claus"),
    ("woman dancing", "man dancing"),
    ("person feeding baby", "breast-feeding"),
    ("guide dog", "service dog"),
    ("cat", "black cat"),
    ("bear", "polar bear"),
    ("baby chick", "front-facing baby chick"),
    ("raised hand", "raised back of hand"),
    ("rightwards hand", "leftwards hand"),
    ("rightwards pushing hand", "leftwards pushing hand"),
    ("right-facing fist", "left-facing fist"),
    ("thumbs up", "thumbs down"),
    (
        "backhand index pointing up",
        "backhand index pointing down",
        "backhand index pointing left",
        "backhand index pointing right",
    ),
    ("ear", "ear with hearing aid"),
    ("eye", "eyes"),
    ("mouth", "biting lip"),
    ("smiling face with horns", "angry face with horns"),
    ("grinning face", "grinning face with big eyes"),
    ("enraged face", "angry face"),
    ("red apple", "green apple"),
    ("beer mug", "clinking beer mugs"),
    ("glass of milk", "pouring liquid"),
    ("shamrock", "four leaf clover"),
    ("house", "house with garden"),
    ("bus", "oncoming bus"),
    ("police car", "oncoming police car"),
    ("taxi", "oncoming taxi"),
    ("automobile", "oncoming automobile"),
    ("airplane departure", "airplane arrival"),
    ("hourglass done", "hourglass not done"),
    ("horizontal traffic light", "vertical traffic light"),
    ("globe showing Europe-Africa", "globe showing Americas", "globe showing Asia-Australia"),
    ("snowman", "snowman without snow"),
    ("sparkler", "fireworks"),
    ("magnifying glass tilted left", "magnifying glass tilted right"),
    ("battery", "low battery"),
    ("optical disk", "dvd"),
    ("camera", "camera with flash"),
    ("mobile phone", "mobile phone with arrow"),
    ("locked", "unlocked"),
    ("closed book", "green book", "blue book", "orange book"),
    ("dollar banknote", "yen banknote", "euro banknote", "pound banknote"),
    (
        "closed mailbox with raised flag",
        "closed mailbox with lowered flag",
        "open mailbox with raised flag",
        "open mailbox with lowered flag",
    ),
    ("file folder", "open file folder"),
    ("calendar", "tear-off calendar"),
    ("inbox tray", "outbox tray"),
    ("bell", "bell with slash"),
    ("speaker low volume", "speaker medium volume", "speaker high volume", "muted speaker"),
    ("musical note", "musical notes"),
    ("men’s room", "women’s room"),
    ("up arrow", "down arrow", "left arrow", "right arrow"),
    ("up-right arrow", "down-right arrow", "down-left arrow", "up-left arrow"),
    ("up-down arrow", "left-right arrow"),
    ("right arrow curving left", "left arrow curving right"),
    ("right arrow curving up", "right arrow curving down"),
    ("star of David", "dotted six-pointed star"),
    ("repeat button", "repeat single button"),
    ("play button", "reverse button"),
    ("fast-forward button", "fast reverse button"),
    ("next track button", "last track button"),
    ("upwards button", "downwards button"),
    ("fast up button", "fast down button"),
    ("dim button", "bright button"),
    ("red question mark", "white question mark"),
    ("red exclamation mark", "white exclamation mark"),
    ("check mark button", "check box with check"),
    ("cross mark", "cross mark button"),
    ("curly loop", "double curly loop"),
)


def sort_into(classes, names, subgroups):
    """Return each concept's class under one of the tables above, or an empty string.

    Raises
    ------
    ValueError
        If a table names a concept or a subgroup that is not there, or puts a concept into two classes.
    """
    labels = dict.fromkeys(names, "")
    for label, (whole, added, removed) in classes.items():
        unknown = (whole - set(subgroups)) | ((added | removed) - set(names))
        members = {name for name, subgroup in zip(names, subgroups, strict=True) if subgroup in whole}
        members = (members - removed) | added
        doubled = {name for name in members if labels[name]}
        if unknown or doubled:
            raise ValueError(f"{label}: unknown {sorted(unknown)}, in another class as well {sorted(doubled)}")
        labels |= dict.fromkeys(members, label)
    return [labels[name] for name in names]


def concept_of(names):
    """Return for each name the first name of its set of variants, or itself."""
    first = {name: variants[0] for variants in VARIANTS for name in variants}
    unknown = first.keys() - set(names)
    if unknown or len(first) != sum(map(len, VARIANTS)):
        raise ValueError(f"variants: unknown {sorted(unknown)}, or a name in two sets")
    return [first.get(name, name) for name in names]
