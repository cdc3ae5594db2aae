"""The recipe of an image."""

from dataclasses import replace

import pytest

from lab.errors import LabError
from lab.machines import image


@pytest.mark.parametrize(
    "changed",
    [
        {"suite": "bookworm"},
        {"installed": ("systemd",)},
        {"installable": ("haproxy",)},
        {"customize": "#!/bin/sh\n"},
    ],
)
def test_recipe_hash_changes_with_all_that_goes_into_an_image(
    changed: dict[str, str],
) -> None:
    recipe = image.recipe("trixie")
    assert replace(recipe, **changed).digest() != recipe.digest()  # type: ignore[arg-type]
    assert image.recipe("trixie").digest() == recipe.digest()


def test_unknown_suite_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LabError, match="trixie or bookworm"):
        image.recipe("sid")
