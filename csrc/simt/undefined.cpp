// SPDX-License-Identifier: BSD-3-Clause
// What -fsanitize=alignment,bounds,signed-integer-overflow,shift,integer-divide-by-zero calls, in
// place of libubsan: the mistakes that no access to memory shows. A vector access at an address
// that is no multiple of its size stops a GPU; an index past a local array hits a register or
// another local; an int offset that overflows points anywhere.
#include <cstdint>
#include <string>

#include "report.h"

namespace simt {

std::string host_mistake;

namespace {

// As the compiler lays them out.
struct Location {
  const char* file;
  uint32_t line, column;
};
struct Type {
  uint16_t kind, info;  // kind 0: an integer, signed where info is odd
  char name[1];
};
struct Mismatch {
  Location location;
  const Type* type;
  uint8_t log_alignment, access;
};
struct OneType {
  Location location;
  const Type* type;
};

// Values of up to 64 bits come as themselves.
std::string number(const Type* type, uintptr_t value) {
  const unsigned bits = 1u << (type->info >> 1);
  if (type->kind != 0 || bits > 64) return "?";
  if (!(type->info & 1)) return std::to_string(value);
  return std::to_string(int64_t(uint64_t{value} << (64 - bits)) >> (64 - bits));
}

// Host code may not be left by an exception here: it is told at its next launch.
void mistake(const Location& where, const std::string& what, void* pc) {
  if (current && current->self) fail(what, at(pc));
  const std::string file = where.file;
  if (host_mistake.empty())
    host_mistake = file.substr(file.rfind('/') + 1) + ":" + std::to_string(where.line) + ": " +
                   what + " in host code";
}

void overflow(const void* data, const char* sign, uintptr_t a, uintptr_t b, void* pc) {
  const auto* d = static_cast<const OneType*>(data);
  mistake(d->location,
          "overflow of " + std::string(d->type->name) + ": " + number(d->type, a) + sign +
              number(d->type, b),
          pc);
}

}  // namespace
}  // namespace simt

extern "C" void __ubsan_handle_type_mismatch_v1(void* data, uintptr_t address) {
  using namespace simt;
  const auto* d = static_cast<const Mismatch*>(data);
  const uintptr_t alignment = uintptr_t{1} << d->log_alignment;
  mistake(d->location,
          "misaligned access as " + std::string(d->type->name) + ": an address of " +
              std::to_string(address % alignment) + " modulo " + std::to_string(alignment),
          __builtin_return_address(0));
}
extern "C" void __ubsan_handle_out_of_bounds(void* data, uintptr_t index) {
  using namespace simt;
  struct Bounds {
    Location location;
    const Type *array, *index;
  };
  const auto* d = static_cast<const Bounds*>(data);
  mistake(d->location,
          "index " + number(d->index, index) + " of an array of type " + d->array->name,
          __builtin_return_address(0));
}
extern "C" void __ubsan_handle_add_overflow(void* data, uintptr_t a, uintptr_t b) {
  simt::overflow(data, " + ", a, b, __builtin_return_address(0));
}
extern "C" void __ubsan_handle_sub_overflow(void* data, uintptr_t a, uintptr_t b) {
  simt::overflow(data, " - ", a, b, __builtin_return_address(0));
}
extern "C" void __ubsan_handle_mul_overflow(void* data, uintptr_t a, uintptr_t b) {
  simt::overflow(data, " * ", a, b, __builtin_return_address(0));
}
extern "C" void __ubsan_handle_divrem_overflow(void* data, uintptr_t a, uintptr_t b) {
  simt::overflow(data, " / ", a, b, __builtin_return_address(0));
}
extern "C" void __ubsan_handle_negate_overflow(void* data, uintptr_t a) {
  simt::overflow(data, " - ", 0, a, __builtin_return_address(0));
}
extern "C" void __ubsan_handle_shift_out_of_bounds(void* data, uintptr_t a, uintptr_t by) {
  using namespace simt;
  struct Shift {
    Location location;
    const Type *left, *right;
  };
  const auto* d = static_cast<const Shift*>(data);
  mistake(d->location, "shift of " + number(d->left, a) + " by " + number(d->right, by),
          __builtin_return_address(0));
}
