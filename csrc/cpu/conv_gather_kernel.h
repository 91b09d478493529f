// SPDX-License-Identifier: BSD-3-Clause
// y[n, k, p] = sum over taps and channels: a task takes a block of outputs of one group, packs what
// it reads (or reads it in place), and runs tiles over panels of pixels, filters and the reduction.
// Serves forward and input gradients, direct (dense strips) and im2col (a row a pixel) alike: what
// differs is where the taps of a pixel lie.

// Where a block's pixels lie in the destination. stretch (may be null): how many from each on lie
// side by side.
inline void destination_offsets(const Blocks& b, const Block& block, const Strides& ys,
                                int64_t* destination, int64_t* stretch) {
  int64_t count = 0;
  const auto position = [&](int axis, int64_t o) {
    const BlockAxis& a = b.axis[axis];
    return (a.first + (block.at[axis + 1] + o) * a.spacing) * ys[axis + 2];
  };
  const int64_t step = b.axis[2].spacing * ys[4];
  for (int64_t n = 0; n < block.size[0]; ++n)
    for (int64_t d = 0; d < block.size[1]; ++d)
      for (int64_t h = 0; h < block.size[2]; ++h) {
        int64_t at = (block.at[0] + n) * ys[0] + position(0, d) + position(1, h) + position(2, 0);
        for (int64_t w = 0; w < block.size[3]; ++w, at += step) destination[count++] = at;
      }
  if (!stretch) return;
  int64_t run = 1;
  for (int64_t i = count - 1; i >= 0; --i) {
    run = i + 1 < count && destination[i + 1] == destination[i] + 1 ? run + 1 : 1;
    stretch[i] = run;
  }
}

template <class T>
inline void gather(const GatherCall& g, const GatherScratch& scratch, int64_t begin, int64_t end) {
  using A = Compute<T>;
  constexpr int n = lanes<A>;
  const T* const x = static_cast<const T*>(g.x);
  T* const y = static_cast<T*>(g.y);
  A* const strip = static_cast<A*>(scratch.strip);
  A* const sums = static_cast<A*>(scratch.sums);
  const int64_t all_vectors = (g.cout + n - 1) / n;
  const int64_t filter_blocks = (all_vectors + kMaxVectors - 1) / kMaxVectors;
  int64_t packed_for = -1, block_for = -1;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t part = task % g.filter_parts, group = task / g.filter_parts % g.groups;
    const int64_t index = task / g.filter_parts / g.groups;
    const Block block = block_at(g.blocks, index);
    const int64_t pixels = block.pixels();
    const T* const x_group = x + group * g.cin * g.xs[1];
    const bool in_place = std::is_same_v<T, A> && g.in_place_chunks && inside(g.blocks, block);
    if (block_for != index) {
      source_offsets(g.blocks, block, in_place ? &g.xs : nullptr, scratch.source);
      destination_offsets(g.blocks, block, g.ys, scratch.destination,
                          g.ys[1] == 1 ? nullptr : scratch.stretch);
      block_for = index;
    }
    const A* source = strip;
    if (in_place) {
      if constexpr (std::is_same_v<T, A>) source = x_group + source_origin(g.blocks, block, g.xs);
    } else if (packed_for != task / g.filter_parts) {
      pack_strip<T>(g.blocks, block, x_group, g.xs, g.cin, strip);
      packed_for = task / g.filter_parts;
    }
    const Chunk* const chunks = in_place ? g.in_place_chunks : g.packed_chunks;
    const A* const filters = static_cast<const A*>(g.filters) + group * g.filter_group;

    const int64_t panels = (pixels + kPanel - 1) / kPanel, panel = (pixels + panels - 1) / panels;
    const int64_t first_block = filter_blocks * part / g.filter_parts;
    const int64_t last_block = filter_blocks * (part + 1) / g.filter_parts;
    for (int64_t p = 0; p < pixels; p += panel) {
      const int64_t count = smaller(panel, pixels - p);
      for (int64_t kb = first_block; kb < last_block; ++kb) {
        const int vectors = int(smaller(kMaxVectors, all_vectors - kb * kMaxVectors));
        const A* filter = filters + kb * kMaxVectors * n * g.filter_terms;
        const int64_t k = kb * kMaxVectors * n, first_filter = group * g.cout + k;
        const T* const bias = g.bias ? static_cast<const T*>(g.bias) + first_filter : nullptr;
        T* const out = y + first_filter * g.ys[1];
        const Epilogue<T> end{bias, residual_at(g, out), g.relu};
        // Whole vectors of the type computed in, that lie so in memory, leave from registers.
        const bool direct =
            std::is_same_v<T, A> && g.ys[1] == 1 && g.cout - k >= vectors * n && g.chunks;
        if (!direct)
          prefetch_residual(end, count, smaller(vectors * n, g.cout - k), scratch.destination + p,
                            g.ys[1]);
        if (!g.chunks) clear(sums, count * vectors * n);
        for (int64_t c = 0; c < g.chunks; ++c) {
          for_each_tile(count, tile_height(vectors), [&](int height, int64_t at) {
            const int64_t* const pixel = scratch.source + p + at;
            A* const tile_sums = sums + at * vectors * n;
            if constexpr (std::is_same_v<T, A>) {
              if (direct && c + 1 == g.chunks)
                return Tiles<A>::gather_out(vectors, height)(
                    source, pixel, chunks[c], filter, tile_sums, c == 0,
                    {out, bias, end.residual, g.relu}, scratch.destination + p + at);
            }
            Tiles<A>::gather(vectors, height)(source, pixel, chunks[c], filter, tile_sums, c == 0);
          });
          filter += (chunks[c].terms + chunks[c].skipped) * vectors * n;
        }
        if (!direct)
          store_sums<T>(sums, vectors, count, g.cout - k, end, scratch.destination + p,
                        scratch.stretch + p, g.ys[1], out);
      }
    }
  }
}
