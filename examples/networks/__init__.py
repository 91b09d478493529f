# SPDX-License-Identifier: BSD-3-Clause
"""Known networks in plain torch.nn, for ``cnnkern.convert`` to take over.

One file a family; ``catalogue`` lists them all, with those that packages ship. ``thin`` divides the
filters of a network by a number, ``side`` and ``dense`` are those of its last maps and of its dense
layers: the same architecture at a cost that a test can bear.
"""
