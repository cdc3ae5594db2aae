"""What moto does slowly, though nobody here asks for it."""

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


def kms_keys_share_a_private_key() -> None:
    """Moto generates an RSA key for each KMS key; nothing here signs with them."""
    _keys.generate_private_key = functools.cache(_keys.generate_private_key)


def no_images_are_listed() -> None:
    """Moto makes hundreds of images and snapshots; here DescribeImages has none."""
    _images._load_amis = lambda _: None
