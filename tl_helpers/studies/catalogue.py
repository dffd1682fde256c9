"""Which runs stand behind the stored figures? The list of all studies."""

from __future__ import annotations

from tl_helpers.studies import (
    adaptation,
    animal_scenes,
    backbone,
    class_and_mask,
    emoji,
    features,
    freezing,
    line_art,
    luggage,
    mammal_scenes,
    merging,
    multitask,
    parallel,
    posed_emoji,
    street,
    text,
    weight_sharing,
)

STUDIES = {
    study.name: study
    for family in (
        *(emoji, street, freezing, backbone, features),
        *(posed_emoji, line_art, animal_scenes, luggage),
        *(merging, weight_sharing, mammal_scenes, parallel),
        *(adaptation, text, multitask, class_and_mask),
    )
    for study in family.STUDIES
}
