"""What moto does slowly and need not: its answers here stay the same."""

import functools
from typing import Any

import moto.cloudformation.models
import moto.kms.models
from moto.ec2.models.amis import AmiBackend

_templates: Any = moto.cloudformation.models
_keys: Any = moto.kms.models
_images: Any = AmiBackend


def templates_are_read_by_libyaml() -> None:
    """Moto reads templates by PyYAML in Python, ten times slower than by libyaml."""
    yaml = _templates.yaml
    yaml.loader.Loader = yaml.Loader = yaml.CLoader


def keys_share_a_number() -> None:
    """Moto searches primes for each key of KMS, with which nobody here signs."""
    _keys.generate_private_key = functools.cache(_keys.generate_private_key)


def no_images_are_listed() -> None:
    """Moto makes hundreds of images and snapshots, which nobody here asks for."""
    _images._load_amis = lambda _: None
