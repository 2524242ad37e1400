#include <kvlab/tensor/matmul.hpp>

#include <algorithm>

#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

static_assert(kPanel == kSumBlock, "kernels take one block of a sum from one panel at a time");

namespace {

// The kernels of a matrix's format.
const PanelKernels& kernels_of(const TensorKernels& kernels, TensorType type) {
    switch (type) {
        case TensorType::f16:
            return *kernels.f16;
        case TensorType::bf16:
            return *kernels.bf16;
        case TensorType::q8_0:
            return *kernels.q8_0;
        case TensorType::q4_0:
            return *kernels.q4_0;
        case TensorType::q4_1:
            return *kernels.q4_1;
        case TensorType::q4_k:
            return *kernels.q4_k;
        default:
            return *kernels.f32;
    }
}

// Asks for some cache lines, so that they are on their way from the memory while what lies
// before them is being used.
void prefetch(const std::byte* next, Index lines) {
    for (Index line = 0; line < lines; ++line) __builtin_prefetch(next + line * 64, 0, 2);
}

constexpr Index kFew = 16;  // about as many lines as can be on their way at once

// Rows [first, last) of y for panel p, `width` columns wide. The panel goes through the cache
// in pieces of one block (64 x 64 floats, 16 KB: half of L1), each used for all rows before the
// next; a format other than f32 is expanded once per piece, not once per row.
void panel_rows(const TensorKernels& kernels,
                const View<const float>& x,
                const PackedMatrix& w,
                Index p,
                Index first,
                Index last,
                Index width,
                float* y,
                Index y_stride) {
    alignas(kAlignment) float expanded[kSumBlock * kPanel];
    const PanelKernels& format = kernels_of(kernels, w.type());
    const Index K = x.dim(1), rows = last - first;
    // ANCHOR: panel_groups
    // Groups of nearly equal size: 64 rows are 9 x 6 + 2 x 5. Each asks the memory for its
    // share of the panel's next piece: a small one at once, a large one line by line.
    const Index groups = (rows + kMaxKernelRows - 1) / kMaxKernelRows;
    const Index shorter = rows / groups, longer_groups = rows % groups;
    const Index piece = (w.panel(p + 1) - w.panel(p)) * kSumBlock / K;  // bytes
    const Index share = piece / 64 / groups + 1;                        // in lines
    // ANCHOR_END: panel_groups
    // ANCHOR: panel_loop
    for (Index k = 0; k < K; k += kSumBlock) {
        const Index depth = std::min(kSumBlock, K - k);
        const BlockMode mode = k == 0 ? BlockMode::first : BlockMode::add;
        const float* b = reinterpret_cast<const float*>(w.panel(p, k));
        if (format.expand != nullptr) {
            format.expand(k, depth, w.panel(p), expanded);
            b = expanded;
        }
        const std::byte* next = w.panel(p) + (k / kSumBlock + 1) * piece;
        for (Index g = 0, row = 0; g < groups; ++g, next += share * 64) {
            const Index count = g < longer_groups ? shorter + 1 : shorter;
            const float* from = &x(first + row, k);
            float* to = y + row * y_stride;
            if (share <= kFew) {
                prefetch(next, share);
                kernels.block(count, depth, from, x.stride(0), b, kPanel, width, to, y_stride,
                              mode);
            } else {
                kernels.block_ahead(count, depth, from, x.stride(0), b, kPanel, width, to,
                                    y_stride, mode, {next, (share + depth - 1) / depth});
            }
            row += count;
        }
    }
    // ANCHOR_END: panel_loop
}

// How many nearly equal pieces the rows of x are cut into: each piece stays in the second-level
// cache while all panels pass by.
Index row_chunks(Index T, Index K) {
    const Index fit = Index{448} * 1024 / (K * static_cast<Index>(sizeof(float)));
    const Index rows = std::clamp(fit, Index{48}, Index{384});
    return (T + rows - 1) / rows;
}

// The last panel when N is not a multiple of 16: through a buffer, so that nothing is written
// beyond column N.
void padded_panel(const TensorKernels& kernels,
                  const View<const float>& x,
                  const PackedMatrix& w,
                  Index p,
                  Index first,
                  Index last,
                  Index columns,
                  float* y,
                  Index y_stride) {
    constexpr Index kRows = 48;
    alignas(kAlignment) float buffer[kRows * kPanel];
    for (Index begin = first; begin < last; begin += kRows) {
        const Index end = std::min(begin + kRows, last);
        panel_rows(kernels, x, w, p, begin, end, (columns + 15) / 16 * 16, buffer, kPanel);
        for (Index r = begin; r < end; ++r)
            std::copy_n(buffer + (r - begin) * kPanel, columns, y + (r - first) * y_stride);
    }
}

// One row of x: decoding. Every weight is read once, so this runs at the speed of the memory;
// whole panels go to the kernel in a few long runs.
void matrix_vector(const TensorKernels& kernels,
                   ThreadPool& pool,
                   const View<const float>& x,
                   const PackedMatrix& w,
                   const View<float>& y) {
    constexpr Index kSmall = Index{128} * 1024;
    const PanelKernels& format = kernels_of(kernels, w.type());
    const Index whole = w.outputs() / kPanel, rest = w.outputs() % kPanel;
    // A model of such small matrices lies in the second-level cache as a whole.
    const Source source = w.bytes() <= kSmall ? Source::cache : Source::memory;
    const auto run = [&](Index begin, Index end) {
        format.multiply(end - begin, w.depth(), x.data(), w.panel(begin),
                        y.data() + begin * kPanel, source);
    };
    const auto narrow = [&] {
        alignas(kAlignment) float last[kPanel];  // a panel is always whole, y may be narrower
        format.multiply(1, w.depth(), x.data(), w.panel(whole), last, source);
        std::copy_n(last, rest, y.data() + whole * kPanel);
    };
    if (pool.threads() == 1) {
        run(0, whole);
        if (rest > 0) narrow();
        return;
    }
    const Index runs = std::min(whole, pool.threads() * 4);
    pool.run(runs + (rest > 0 ? 1 : 0), [&](Index i) {
        if (i < runs)
            run(whole * i / runs, whole * (i + 1) / runs);
        else
            narrow();
    });
}

}  // namespace

void matmul(const TensorKernels& kernels,
            ThreadPool& pool,
            const View<const float>& x,
            const PackedMatrix& w,
            const View<float>& y) {
    const Index T = x.rank() == 2 ? x.dim(0) : 0;
    check_shape(x, {T, w.depth()}, "matmul: x");
    check_shape(y, {T, w.outputs()}, "matmul: y");
    check(x.stride(1) == 1 && y.stride(1) == 1,
          "matmul: the rows of x and y must be contiguous");
    if (T == 0) return;
    if (T == 1) return matrix_vector(kernels, pool, x, w, y);
    const Index chunks = row_chunks(T, w.depth());
    // Neighbouring tasks share their rows of x, and each reads its panel once.
    const auto task = [&](Index i) {
        const Index p = i % w.panels(), chunk = i / w.panels();
        const Index first = T * chunk / chunks, last = T * (chunk + 1) / chunks;
        const Index columns = std::min(kPanel, w.outputs() - p * kPanel);
        float* out = &y(first, p * kPanel);
        if (columns % 16 != 0)
            padded_panel(kernels, x, w, p, first, last, columns, out, y.stride(0));
        else
            panel_rows(kernels, x, w, p, first, last, columns, out, y.stride(0));
    };
    pool.run(w.panels() * chunks, task);
}

}  // namespace kvlab
