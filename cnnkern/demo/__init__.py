# SPDX-License-Identifier: BSD-3-Clause
"""LeNet-5 on real digits, trained by cnnkern's layers beside torch's own."""
