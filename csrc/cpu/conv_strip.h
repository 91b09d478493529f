// SPDX-License-Identifier: BSD-3-Clause
// Packing: the source region of a block, in compute type, channels innermost, padding written in.
// Layout, strides, borders and data type of the source end here; tiles never see them.

// Transposes a square of vectors: v[i][j] becomes v[j][i]. Quarters of 16 bytes first, by the
// unpack instructions that stay within them, then whole quarters among vectors.
template <class A, int kBlock, std::size_t... I>
CNNKERN_INLINE void swap_blocks(Vec<A>& a, Vec<A>& b, std::index_sequence<I...>) {
  constexpr int n = lanes<A>;
  const Vec<A> lower =
      __builtin_shufflevector(a, b, (int(I) & kBlock ? n + int(I) - kBlock : int(I))...);
  const Vec<A> upper =
      __builtin_shufflevector(a, b, (int(I) & kBlock ? n + int(I) : int(I) + kBlock)...);
  a = lower;
  b = upper;
}
template <class A, int kBlock>
CNNKERN_INLINE void transpose_blocks(Vec<A>* v) {
  if constexpr (kBlock < lanes<A>) {
#pragma GCC unroll 16
    for (int i = 0; i < lanes<A>; ++i)
      if (!(i & kBlock))
        swap_blocks<A, kBlock>(v[i], v[i + kBlock], std::make_index_sequence<lanes<A>>());
    transpose_blocks<A, kBlock * 2>(v);
  }
}
template <std::size_t... I>
CNNKERN_INLINE void transpose_quads(f32* v, std::index_sequence<I...>) {
  constexpr int n = lanes<float>;
  const auto low = [](f32 a, f32 b) {
    return __builtin_shufflevector(a, b, (int(I) / 4 * 4 + int(I) % 4 / 2 + int(I) % 2 * n)...);
  };
  const auto high = [](f32 a, f32 b) {
    return __builtin_shufflevector(a, b, (int(I) / 4 * 4 + 2 + int(I) % 4 / 2 + int(I) % 2 * n)...);
  };
  const auto left = [](f32 a, f32 b) {
    return __builtin_shufflevector(a, b, (int(I) / 4 * 4 + int(I) % 2 + int(I) % 4 / 2 * n)...);
  };
  const auto right = [](f32 a, f32 b) {
    return __builtin_shufflevector(a, b, (int(I) / 4 * 4 + 2 + int(I) % 2 + int(I) % 4 / 2 * n)...);
  };
#pragma GCC unroll 4
  for (int i = 0; i < n; i += 4) {
    const f32 a = low(v[i], v[i + 1]), b = high(v[i], v[i + 1]);
    const f32 c = low(v[i + 2], v[i + 3]), d = high(v[i + 2], v[i + 3]);
    v[i] = left(a, c);
    v[i + 1] = right(a, c);
    v[i + 2] = left(b, d);
    v[i + 3] = right(b, d);
  }
}
CNNKERN_INLINE void transpose(f32* v) {
  transpose_quads(v, std::make_index_sequence<lanes<float>>());
  transpose_blocks<float, 4>(v);
}
CNNKERN_INLINE void transpose(f64* v) { transpose_blocks<double, 1>(v); }

// Elements 0, stride, 2 * stride, ... of count that exist; stride is 1 or 2.
template <class T>
CNNKERN_INLINE Vec<Compute<T>> load_every(const T* p, int64_t stride, int64_t count) {
  using A = Compute<T>;
  constexpr int n = lanes<A>;
  if (stride == 1) return load_first(p, count);
  Vec<A> even, odd;
  split_pairs<A>(load_first(p, 2 * count - 1), load_first(p + n, 2 * count - 1 - n), even, odd);
  return even;
}

// count pixels of some channels, channels innermost, a pixel every out_pitch elements.
template <class T, class A = Compute<T>>
inline void copy_pixels(const T* x, int64_t pixel_stride, int64_t channel_stride, int64_t count,
                        int64_t channels, int64_t out_pitch, A* out) {
  constexpr int n = lanes<A>;
  if (channel_stride == 1 || channels == 1) {
    if (pixel_stride == channels && out_pitch == channels) {
      channels *= count;
      count = 1;
    }
    for (int64_t i = 0; i < count; ++i, x += pixel_stride, out += out_pitch) {
      int64_t c = 0;
      for (; c + n <= channels; c += n) store(out + c, load(x + c));
      if (c < channels) store_first(out + c, load_first(x + c, channels - c), channels - c);
    }
    return;
  }
  if ((pixel_stride == 1 || pixel_stride == 2) && channels >= n / 2) {
    for (int64_t i = 0; i < count; i += n) {
      const int64_t width = smaller(n, count - i);
      for (int64_t c = 0; c < channels; c += n) {
        const int64_t depth = smaller(n, channels - c);
        const T* const from = x + i * pixel_stride + c * channel_stride;
        A* const to = out + i * out_pitch + c;
        Vec<A> v[n];
        if (width == n && depth == n) {
          if (pixel_stride == 1) {
#pragma GCC unroll 16
            for (int j = 0; j < n; ++j) v[j] = load(from + j * channel_stride);
          } else {
            for (int j = 0; j < n; ++j) v[j] = load_every(from + j * channel_stride, 2, n);
          }
          transpose(v);
#pragma GCC unroll 16
          for (int j = 0; j < n; ++j) store(to + j * out_pitch, v[j]);
        } else {
          for (int j = 0; j < n; ++j)
            v[j] =
                j < depth ? load_every(from + j * channel_stride, pixel_stride, width) : Vec<A>{};
          transpose(v);
          for (int j = 0; j < width; ++j) store_first(to + j * out_pitch, v[j], depth);
        }
      }
    }
    return;
  }
  for (int64_t c = 0; c < channels; ++c) {
    const T* const from = x + c * channel_stride;
    for (int64_t i = 0; i < count; ++i) out[i * out_pitch + c] = load_one(from + i * pixel_stride);
  }
}

template <class A>
CNNKERN_INLINE void clear(A* out, int64_t count) {
  std::memset(out, 0, size_t(count) * sizeof(A));
}

// A block of outputs: `at` is the first along n, depth, height, width; `size` how many.
struct Block {
  std::array<int64_t, 4> at, size;
  int64_t pixels() const { return size[0] * size[1] * size[2] * size[3]; }
};
CNNKERN_INLINE Block block_at(const Blocks& b, int64_t index) {
  Block block;
  for (int i = 2; i >= 0; --i) {
    const BlockAxis& axis = b.axis[i];
    block.at[i + 1] = index % axis.blocks * axis.block;
    block.size[i + 1] = smaller(axis.block, axis.out - block.at[i + 1]);
    index /= axis.blocks;
  }
  block.at[0] = index * b.image_block;
  block.size[0] = smaller(b.image_block, b.images - block.at[0]);
  return block;
}
// No tap of the block reads outside the source.
CNNKERN_INLINE bool inside(const Blocks& b, const Block& block) {
  for (int i = 0; i < 3; ++i) {
    const BlockAxis& axis = b.axis[i];
    const int64_t first = block.at[i + 1] * axis.stride + axis.base;
    const int64_t last =
        first + (block.size[i + 1] - 1) * axis.stride + (axis.taps - 1) * axis.step;
    if (first < 0 || last >= axis.in) return false;
  }
  return true;
}
// Where output `at` of the block reads its first tap, relative to the image.
CNNKERN_INLINE int64_t source_origin(const Blocks& b, const Block& block, const Strides& xs) {
  int64_t offset = block.at[0] * xs[0];
  for (int i = 0; i < 3; ++i)
    offset += (block.at[i + 1] * b.axis[i].stride + b.axis[i].base) * xs[i + 2];
  return offset;
}

// How packing walks an axis: positions start + u * outer + v * inner at u * outer_pitch + v *
// pitch.
struct Walk {
  int64_t start, outer_count, outer, outer_pitch, count, inner, pitch;
};
CNNKERN_INLINE Walk walk_of(const BlockAxis& axis, int64_t at, int64_t size) {
  const int64_t start = at * axis.stride + axis.base;
  if (axis.dense)
    return {start, 1,         0, 0, (size - 1) * axis.stride + (axis.taps - 1) * axis.step + 1,
            1,     axis.pitch};
  return {start, axis.taps, axis.step, axis.tap_pitch, size, axis.stride, axis.out_pitch};
}

// Where a position that may lie outside is read; below 0: nowhere, it is zero.
CNNKERN_INLINE int64_t source_position(Border border, int64_t at, int64_t size) {
  if (at >= 0 && at < size) return at;
  switch (border) {
    case Border::reflect:
      return at < 0 ? -at : 2 * (size - 1) - at;
    case Border::replicate:
      return at < 0 ? 0 : size - 1;
    case Border::circular:
      return at < 0 ? at + size : at - size;
    default:
      return -1;
  }
}

template <class T, class A = Compute<T>>
inline void pack_row(const T* x, Border border, int64_t in, int64_t w_stride,
                     int64_t channel_stride, int64_t channels, const Walk& w, A* out) {
  const auto outside = [&](int64_t at, A* to) {
    const int64_t from = source_position(border, at, in);
    if (from < 0)
      clear(to, channels);
    else
      copy_pixels<T>(x + from * w_stride, w_stride, channel_stride, 1, channels, channels, to);
  };
  for (int64_t u = 0; u < w.outer_count; ++u, out += w.outer_pitch) {
    const int64_t start = w.start + u * w.outer;
    const int64_t before = start < 0 ? (-start + w.inner - 1) / w.inner : 0;
    const int64_t begin = smaller(before, w.count);
    const int64_t reach = in > start ? (in - start + w.inner - 1) / w.inner : 0;
    const int64_t end = larger(begin, smaller(reach, w.count));
    for (int64_t v = 0; v < begin; ++v) outside(start + v * w.inner, out + v * w.pitch);
    if (begin < end)
      copy_pixels<T>(x + (start + begin * w.inner) * w_stride, w.inner * w_stride, channel_stride,
                     end - begin, channels, w.pitch, out + begin * w.pitch);
    for (int64_t v = end; v < w.count; ++v) outside(start + v * w.inner, out + v * w.pitch);
  }
}
template <class A>
inline void clear_row(const Walk& w, int64_t channels, A* out) {
  for (int64_t u = 0; u < w.outer_count; ++u, out += w.outer_pitch)
    for (int64_t v = 0; v < w.count; ++v) clear(out + v * w.pitch, channels);
}

// x points to the first channel that is wanted.
template <class T, class A = Compute<T>>
inline void pack_strip(const Blocks& b, const Block& block, const T* x, const Strides& xs,
                       int64_t channels, A* out) {
  if (!taps_of({b.axis[0], b.axis[1], b.axis[2]})) return;
  Walk walk[3];
  for (int i = 0; i < 3; ++i) walk[i] = walk_of(b.axis[i], block.at[i + 1], block.size[i + 1]);
  const auto& [depth, height, width] = walk;
  for (int64_t n = 0; n < block.size[0]; ++n) {
    const T* const image = x + (block.at[0] + n) * xs[0];
    A* const out_image = out + n * b.image_pitch;
    for (int64_t i = 0; i < depth.outer_count * depth.count; ++i) {
      const int64_t du = i / depth.count, dv = i % depth.count;
      const int64_t d = source_position(b.border, depth.start + du * depth.outer + dv * depth.inner,
                                        b.axis[0].in);
      A* const plane = out_image + du * depth.outer_pitch + dv * depth.pitch;
      for (int64_t hu = 0; hu < height.outer_count; ++hu)
        for (int64_t hv = 0; hv < height.count; ++hv) {
          const int64_t h = source_position(
              b.border, height.start + hu * height.outer + hv * height.inner, b.axis[1].in);
          A* const row = plane + hu * height.outer_pitch + hv * height.pitch;
          if (d < 0 || h < 0)
            clear_row(width, channels, row);
          else
            pack_row<T>(image + d * xs[2] + h * xs[3], b.border, b.axis[2].in, xs[4], xs[1],
                        channels, width, row);
        }
    }
  }
}

// Offsets of a block's pixels, in a packed strip (from its start), or in x (from source_origin).
CNNKERN_INLINE void source_offsets(const Blocks& b, const Block& block, const Strides* xs,
                                   int64_t* out) {
  int64_t pitch[4] = {xs ? (*xs)[0] : b.image_pitch};
  for (int i = 0; i < 3; ++i)
    pitch[i + 1] = xs ? b.axis[i].stride * (*xs)[i + 2] : b.axis[i].out_pitch;
  for (int64_t n = 0; n < block.size[0]; ++n)
    for (int64_t d = 0; d < block.size[1]; ++d)
      for (int64_t h = 0; h < block.size[2]; ++h) {
        const int64_t row = n * pitch[0] + d * pitch[1] + h * pitch[2];
        for (int64_t w = 0; w < block.size[3]; ++w) *out++ = row + w * pitch[3];
      }
}
