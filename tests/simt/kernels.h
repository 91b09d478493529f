// SPDX-License-Identifier: BSD-3-Clause
// Kernels of which each has one mistake planted in it, named by the template argument; none of them
// for kNone. The line that a report has to name ends with a comment of the mistake's name.
#pragma once
#include <cstdint>

// clang-format off
#define SIMT_BUGS(X) \
  X(None) \
  /* stencil.cu */ \
  X(MissingBarrier) X(SharedOutOfBounds) X(SharedUnderflow) X(GlobalOutOfBounds) \
  X(GlobalUnderflow) X(Uninitialised) X(EarlyReturn) X(TwoBarriers) X(WritesInput) \
  /* warps.cu */ \
  X(ShuffleInBranch) X(WritesTwice) X(MaskWithoutSelf) X(ShuffleOfAbsentLane) \
  X(ShuffleWidth) X(ShuffleInPartOfWarp) X(VoteAgainstShuffle) X(VoteInBranch) \
  X(MissingSyncwarp) X(BarrierNumber) X(BarrierCount) X(BarrierTooFew) X(BarrierOfOthers) \
  X(ManySyncwarps) \
  /* memory.cu */ \
  X(NoTensor) X(NullPointer) X(LostIncrement) X(AtomicAndStore) X(AtomicAndLoad) \
  X(AtomicOnInput) X(SharedAtomicRead) X(MisalignedAtomic) X(SameHalf) X(SameByte) \
  X(HalfOfWord) X(SameWord) X(ReadsOther) X(SharedBytes) X(MisalignedVector) X(StackFull) \
  X(LocalIndex) X(IntOverflow) X(DivisionByZero) X(Shift) \
  /* copies.cu */ \
  X(CopyNoWait) X(CopyNoCommit) X(CopyOverwritten) X(CopyMisaligned) X(CopyTooMuch) \
  X(CopyOutOfBounds) X(CopySharedOutOfBounds) X(CopyNoBarrier) X(RowMisaligned) \
  X(RowOutOfBounds) X(RowUninitialised) \
  /* gemm.cu */ \
  X(MissingWait) X(MissingSecondBarrier) X(MmaInBranch) \
  /* hopper.cu */ \
  X(WrongBytes) X(NoFullWait) X(ReleaseBeforeWait) X(NoWgmmaWait) X(NoProxyFence) \
  X(ProxyFence) X(NoInit) X(InitNoBarrier)
// clang-format on

enum class Bug {
#define SIMT_BUG(name) k##name,
  SIMT_BUGS(SIMT_BUG)
#undef SIMT_BUG
};

// Calls f with bug as a constant, if it is one of Bugs.
template <Bug B>
struct BugConstant {
  static constexpr Bug value = B;
};
template <Bug... Bugs, class F>
void with_bug(Bug bug, F f) {
  ((bug == Bugs ? f(BugConstant<Bugs>()) : void()), ...);
}

void stencil(const float* x, const float* w, float* y, int height, int width, Bug bug);
void row_sums(const float* x, float* y, int rows, int cols, Bug bug);
void warps(const float* x, float* y, int n, Bug bug);  // n a multiple of 64
void memory(const float* x, float* y, unsigned* count, int n, Bug bug);
void copies(const float* x, float* y, int n, Bug bug);  // n a multiple of 256
void gemm(const void* a, const void* b, float* c, int m, int n, int k, Bug bug);
void conv_wgmma(const void* xmap, const void* wmap, float* y, int n, int h, int w, int c, int o,
                int ksize, int pad, Bug bug);

// models.cu: one instruction each, on the operands of one warp.
void fused(const float* x, float* y);
void mma_fragments(int type, const uint32_t* a, const uint32_t* b, const float* c, float* d);
void ldmatrix_registers(int count, bool transposed, const uint16_t* rows, uint32_t* r);
void copy_bytes(int bytes, int from_bytes, const uint8_t* from, uint8_t* to);
void shuffles(int width, const int* operand, int* out);  // 4 x 32: index, up, down, xor
void votes(const int* vote, unsigned* out);              // 3 x 32: ballot, any, all
void atomics(const int* x, int n, int* out);             // add, min, max, or, xor, CAS count
void counted(const float* x, float* y, int n);
void many_barriers(float* y, int count);
