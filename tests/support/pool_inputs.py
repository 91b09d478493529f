# SPDX-License-Identifier: BSD-3-Clause
"""Inputs of max pools on which implementations differ."""

from __future__ import annotations

import math

import torch

from cnnkern.testing import random_integers, random_normal


def with_nan(call, generator):
    x = random_normal(call.input_size, call.dtype, generator)
    return x.masked_fill(torch.rand(x.shape, generator=generator) < 0.1, math.nan)


def with_infinities(call, generator):
    x = random_normal(call.input_size, call.dtype, generator)
    chance = torch.rand(x.shape, generator=generator)
    return x.masked_fill(chance < 0.5, -math.inf).masked_fill(chance > 0.95, math.inf)


def nothing_but_minus_infinity(call, generator):
    return torch.full(call.input_size, -math.inf, dtype=call.dtype)


def nothing_but_nan(call, generator):
    return torch.full(call.input_size, math.nan, dtype=call.dtype)


def with_ties(call, generator):
    return random_integers(call.input_size, call.dtype, generator, limit=1)


def with_zeros_of_both_signs(call, generator):
    return random_integers(call.input_size, call.dtype, generator, limit=1) * 0.0


INPUTS = [
    with_nan,
    with_infinities,
    nothing_but_minus_infinity,
    nothing_but_nan,
    with_ties,
    with_zeros_of_both_signs,
]
