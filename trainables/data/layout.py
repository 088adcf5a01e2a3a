"""dataset.yaml, of the files: `images` and `masks` as templates, and the splits by folders, by lists or by shares."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from pydantic import BaseModel, field_validator, model_validator

from trainables.data.division import Split
from trainables.data.templates import Template, checked, placeholders
from trainables.errors import unknown

REQUIRED, OPTIONAL = ("train", "val"), ("test",)
UNLABELLED = "unlabelled"
"""A folder beside the splits' images, of images without a mask."""

LISTS = frozenset({".txt", ".lst", ".list", ".csv", ".tsv"})


class Layout(BaseModel):
    """The fields of dataset.yaml that say where files lie; others are left alone.

    Attributes:
        images, masks: templates; none: `images/{split}/{stem}` and `labels/{split}/{stem}`, without `{split}` where the
            splits are lists or shares.
        unlabelled: a template of images without a mask; none: `images/unlabelled/{stem}`, or `images` with that folder
            in the place of `{split}`.
        splits: a split -> folders that stand for `{split}`, or files that list images; numbers are notes.
        split: shares.
        leave: patterns of files that no template takes and that are left alone.
    """

    images: str | None = None
    masks: str | None = None
    unlabelled: str | None = None
    splits: dict[str, tuple[str, ...]] | None = None
    split: Split | None = None
    leave: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Nothing is said: images/SPLIT/NAME.* and labels/SPLIT/NAME.*."""
        return not any((self.images, self.masks, self.unlabelled, self.splits, self.split, self.leave))

    @property
    def by_lists(self) -> bool:
        return any(_is_list(text) for several in (self.splits or {}).values() for text in several)

    def templates(self, *, images: frozenset[str], masks: frozenset[str]) -> tuple[Template, Template]:
        """
        Args:
            images, masks: endings, lower case, that are taken where a template gives none.
        """
        folder = "" if self.split or self.by_lists else "{split}/"
        return (
            Template(self.images or f"images/{folder}{{stem}}", images),
            Template(self.masks or f"labels/{folder}{{stem}}", masks),
        )

    def unlabelled_template(self, suffixes: frozenset[str]) -> Template | None:
        """None: there is no place for them."""
        images, _ = self.templates(images=suffixes, masks=suffixes)
        if self.unlabelled is None and images.has_split:
            return images.filled(UNLABELLED)
        text = self.unlabelled or (f"images/{UNLABELLED}/{{stem}}" if self.images is None else None)
        return None if text is None else Template(text, suffixes)

    @field_validator("images")
    @classmethod
    def _images(cls, text: str | None) -> str | None:
        return text if text is None else checked("images", text)

    @field_validator("masks")
    @classmethod
    def _masks(cls, text: str | None) -> str | None:
        return text if text is None else checked("masks", text)

    @field_validator("unlabelled")
    @classmethod
    def _unlabelled(cls, text: str | None) -> str | None:
        return text if text is None else checked("unlabelled", text)

    @field_validator("splits", mode="before")
    @classmethod
    def _without_notes(cls, splits: Any) -> Any:
        """`{train: 173}` says how many there are."""
        if not isinstance(splits, Mapping):
            return None
        places = {name: [value] if isinstance(value, str) else value for name, value in splits.items()}
        return {name: value for name, value in places.items() if _are_texts(value)}

    @field_validator("leave", mode="before")
    @classmethod
    def _some(cls, leave: Any) -> Any:
        return [leave] if isinstance(leave, str) else leave

    @model_validator(mode="after")
    def _splits_fit(self) -> Layout:
        for name in self.splits or {}:
            if name not in (*REQUIRED, *OPTIONAL):
                raise ValueError(unknown("split", name, (*REQUIRED, *OPTIONAL), "A set has train, val and maybe test."))
        if self.splits and (missing := [name for name in REQUIRED if name not in self.splits]):
            example = f"such as a folder or lists/{missing[0]}.txt"
            raise ValueError(f"splits must say where {' and '.join(missing)} is, {example}.")
        kinds = {_is_list(text) for several in (self.splits or {}).values() for text in several}
        if len(kinds) > 1:
            raise ValueError("splits must be folders or files that list images, got both.")
        if self.splits and self.split:
            raise ValueError("dataset.yaml has both split and splits. Keep one: shares, or folders and lists.")
        return self

    @model_validator(mode="after")
    def _templates_fit(self) -> Layout:
        images, masks = self.templates(images=frozenset(), masks=frozenset())
        if self.masks is not None:
            checked("masks", masks.text, known=placeholders(images.text))
        if images.text == masks.text:
            raise ValueError(f"images and masks must differ, both are {images.text!r}.")
        if self.unlabelled in (images.text, masks.text):
            raise ValueError(f"unlabelled must differ from images and masks, got {self.unlabelled!r}.")
        if self.split and images.has_split:
            raise ValueError(f"images is split by the folders of {images.text!r}. Remove split, or {{split}}.")
        if self.images is not None and not (self.split or self.by_lists or images.has_split):
            raise ValueError(
                f"images {self.images!r} has no {{split}}: say how the images are split, such as "
                "`split: {val: 0.2, test: 0.1}`; `heteroakd data split` writes it."
            )
        return self


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)


def _is_list(text: str) -> bool:
    return PurePosixPath(text).suffix.lower() in LISTS
