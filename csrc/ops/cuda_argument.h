// SPDX-License-Identifier: BSD-3-Clause
// How a launcher is given a tensor: by its pointer. Under the emulator (CNNKERN_EMULATED) tensors
// lie on the CPU, and a launcher sees a copy of each: alone in its own part of the address space,
// known by its name and its exact size.
#pragma once
#include <ATen/core/Tensor.h>

#include "../cuda/tensors.h"

#if CNNKERN_EMULATED
#include <cstring>
#include <exception>

#include "../simt/simt.h"
#endif

namespace cnnkern::ops {

// out: every element is written. inout: some may be.
enum class Use : uint8_t { in, out, inout };

#if CNNKERN_EMULATED

class Argument {
 public:
  Argument(const char* name, const at::Tensor& t, Use use) : use_(use) {
    if (!t.defined() || t.numel() == 0) return;
    int64_t last = 0;
    for (int64_t axis = 0; axis < t.dim(); ++axis) last += (t.size(axis) - 1) * t.stride(axis);
    bytes_ = static_cast<size_t>((last + 1) * t.itemsize());
    original_ = const_cast<void*>(t.const_data_ptr());
    // As far from a multiple of 16 as the tensor itself.
    shift_ = reinterpret_cast<uintptr_t>(original_) % 16;
    slot_ = static_cast<char*>(simt::slot_alloc(bytes_ + shift_));
    if (use == Use::out)
      std::memset(data(), 0xff, bytes_);  // NaN
    else
      std::memcpy(data(), original_, bytes_);
    known_ = new simt::Global(data(), bytes_, name, use != Use::in);
  }
  ~Argument() {
    if (!slot_) return;
    delete known_;
    if (use_ != Use::in && std::uncaught_exceptions() == 0) std::memcpy(original_, data(), bytes_);
    simt::slot_free(slot_, bytes_ + shift_);
  }
  Argument(const Argument&) = delete;
  Argument& operator=(const Argument&) = delete;

  void* data() const { return slot_ ? slot_ + shift_ : nullptr; }

 private:
  Use use_;
  size_t bytes_ = 0, shift_ = 0;
  void* original_ = nullptr;
  char* slot_ = nullptr;
  simt::Global* known_ = nullptr;
};

#else

class Argument {
 public:
  Argument(const char*, const at::Tensor& t, Use)
      : data_(t.defined() ? const_cast<void*>(t.const_data_ptr()) : nullptr) {}
  void* data() const { return data_; }

 private:
  void* data_;
};

#endif

// A weight or its gradient; leading spatial axes that it lacks have size 1, so no stride.
inline cuda::WeightView weight_view(const Argument& argument, const at::Tensor& t) {
  cuda::WeightView view{argument.data(), {t.stride(0), t.stride(1), 0, 0, 0}};
  for (int64_t axis = 2; axis < t.dim(); ++axis) view.stride[5 - t.dim() + axis] = t.stride(axis);
  return view;
}

}  // namespace cnnkern::ops
