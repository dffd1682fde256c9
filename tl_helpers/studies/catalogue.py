"""Which runs stand behind the stored figures? The list of all studies."""

from __future__ import annotations

from tl_helpers.studies import adaptation, backbone, emoji, features, freezing, multitask, routes, street, text

STUDIES = {
    study.name: study
    for family in (emoji, street, freezing, backbone, features, routes, adaptation, text, multitask)
    for study in family.STUDIES
}
