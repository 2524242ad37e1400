#include <kvlab/tensor/matmul.hpp>

#include <algorithm>

#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

static_assert(kPanel == kSumBlock, "kernels take one block of a sum from one panel at a time");

PackedMatrix::PackedMatrix(Index outputs, Index depth) : outputs_(outputs), depth_(depth) {
    check(outputs > 0 && depth > 0,
          "packed matrix: outputs and depth must be positive, found [", outputs, ", ", depth,
          "]");
    data_ = Tensor({panels(), depth, kPanel});
}

PackedMatrix PackedMatrix::pack(View<const float> w) {
    check(w.rank() == 2, "packed matrix: expected a matrix [N, K], found ", w.shape());
    PackedMatrix packed(w.dim(0), w.dim(1));
    packed.set_outputs(0, w);
    return packed;
}

void PackedMatrix::set_outputs(Index first, View<const float> w) {
    check(w.rank() == 2 && w.dim(1) == depth_ && first >= 0 && first + w.dim(0) <= outputs_,
          "packed matrix [", outputs_, ", ", depth_, "]: cannot take ", w.shape(),
          " at output ", first);
    for (Index n = 0; n < w.dim(0); ++n) {
        float* column =
            data_.data() + (first + n) / kPanel * depth_ * kPanel + (first + n) % kPanel;
        for (Index k = 0; k < depth_; ++k) column[k * kPanel] = w(n, k);
    }
}

float PackedMatrix::at(Index output, Index k) const {
    check(output >= 0 && output < outputs_ && k >= 0 && k < depth_, "packed matrix: [", output,
          ", ", k, "] is outside of [", outputs_, ", ", depth_, "]");
    return panel(output / kPanel)[k * kPanel + output % kPanel];
}

namespace {

// The group g of `rows` rows cut into `groups` nearly equal ones: 64 rows are 9 x 6 + 2 x 5.
Index group_begin(Index rows, Index groups, Index g) {
    return rows * g / groups;
}

// Asks for part g of `groups` of the next 16 KB of a panel, so that they are on their way from
// the memory while this block is being used.
void prefetch_part(const float* next, Index g, Index groups) {
    constexpr Index kLine = 16, lines = kSumBlock * kPanel / kLine;
    for (Index line = lines * g / groups; line < lines * (g + 1) / groups; ++line)
        __builtin_prefetch(next + line * kLine, 0, 2);
}

// ANCHOR: panel_rows
// Rows [first, last) of y for one panel, `width` columns wide. The panel goes through the cache
// in pieces of one block (64 x 64 floats, 16 KB: half of L1), each used for all rows before the
// next.
void panel_rows(const TensorKernels& kernels,
                View<const float> x,
                const float* panel,
                Index first,
                Index last,
                Index width,
                float* y,
                Index y_stride) {
    const Index K = x.dim(1), rows = last - first;
    const Index groups = (rows + kMaxKernelRows - 1) / kMaxKernelRows;
    for (Index k = 0; k < K; k += kSumBlock) {
        const Index depth = std::min(kSumBlock, K - k);
        const BlockMode mode = k == 0 ? BlockMode::first : BlockMode::add;
        for (Index g = 0; g < groups; ++g) {
            const Index begin = group_begin(rows, groups, g),
                        end = group_begin(rows, groups, g + 1);
            if (k + depth < K) prefetch_part(panel + (k + depth) * kPanel, g, groups);
            kernels.block(end - begin, depth, &x(first + begin, k), x.stride(0),
                          panel + k * kPanel, kPanel, width, y + begin * y_stride, y_stride,
                          mode);
        }
    }
}

// ANCHOR_END: panel_rows

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
                  View<const float> x,
                  const float* panel,
                  Index first,
                  Index last,
                  Index columns,
                  float* y,
                  Index y_stride) {
    constexpr Index kRows = 48;
    alignas(kAlignment) float buffer[kRows * kPanel];
    for (Index begin = first; begin < last; begin += kRows) {
        const Index end = std::min(begin + kRows, last);
        panel_rows(kernels, x, panel, begin, end, (columns + 15) / 16 * 16, buffer, kPanel);
        for (Index r = begin; r < end; ++r)
            std::copy_n(buffer + (r - begin) * kPanel, columns, y + (r - first) * y_stride);
    }
}

// One row of x: decoding. Every weight is read once, so this runs at the speed of the memory;
// whole panels go to the kernel in a few long runs.
void matrix_vector(const TensorKernels& kernels,
                   ThreadPool& pool,
                   View<const float> x,
                   const PackedMatrix& w,
                   View<float> y) {
    const Index whole = w.outputs() / kPanel, rest = w.outputs() % kPanel;
    const Index runs = std::min(whole, pool.threads() == 1 ? Index{1} : pool.threads() * 4);
    const auto task = [&](Index i) {
        const Index begin = whole * i / std::max(runs, Index{1}),
                    end = whole * (i + 1) / std::max(runs, Index{1});
        if (i < runs)
            kernels.panels(end - begin, w.depth(), x.data(), w.panel(begin),
                           y.data() + begin * kPanel);
        else
            padded_panel(kernels, x, w.panel(whole), 0, 1, rest, y.data() + whole * kPanel,
                         kPanel);
    };
    pool.run(runs + (rest > 0 ? 1 : 0), task);
}

}  // namespace

void matmul(const TensorKernels& kernels,
            ThreadPool& pool,
            View<const float> x,
            const PackedMatrix& w,
            View<float> y) {
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
            padded_panel(kernels, x, w.panel(p), first, last, columns, out, y.stride(0));
        else
            panel_rows(kernels, x, w.panel(p), first, last, columns, out, y.stride(0));
    };
    pool.run(w.panels() * chunks, task);
}

}  // namespace kvlab
