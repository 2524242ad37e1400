// block_kernels.simd.cpp - chapter 1: one block of a matrix product, for a few rows and all
// columns of a panel. Compiled once per SIMD level.
#include <kvlab/tensor/simd.hpp>
#include <kvlab/tensor/tensor_kernels.hpp>

namespace kvlab::KVLAB_SIMD {

// rows x columns accumulators stay in registers while k runs: each load of b serves all rows,
// each broadcast of x all columns. 6 x 4 of AVX-512's 32 registers, 6 x 2 of the 16
// that AVX2 has.
template <int Rows, int Columns, bool Asks>
KVLAB_INLINE void block_tile(Index depth,
                             const float* x,
                             Index x_stride,
                             const float* b,
                             Index b_stride,
                             float* y,
                             Index y_stride,
                             BlockMode mode,
                             Ahead ahead) {
    Vec acc[Rows][Columns];
    for (int r = 0; r < Rows; ++r)
        for (int c = 0; c < Columns; ++c)
            acc[r][c] =
                mode == BlockMode::resume ? load(y + r * y_stride + c * kLanes) : fill(0.0f);
    // ANCHOR: block_tile
    for (Index k = 0; k < depth; ++k) {
        if (Asks)
            for (Index line = 0; line < ahead.lines; ++line, ahead.next += 64)
                __builtin_prefetch(ahead.next, 0, 2);
        Vec column[Columns];
        for (int c = 0; c < Columns; ++c) column[c] = load(b + k * b_stride + c * kLanes);
        for (int r = 0; r < Rows; ++r) {
            const Vec xk = fill(x[r * x_stride + k]);
            for (int c = 0; c < Columns; ++c) acc[r][c] = fma(xk, column[c], acc[r][c]);
        }
    }
    // ANCHOR_END: block_tile
    for (int r = 0; r < Rows; ++r)
        for (int c = 0; c < Columns; ++c) {
            float* out = y + r * y_stride + c * kLanes;
            store(out, mode == BlockMode::add ? add(load(out), acc[r][c]) : acc[r][c]);
        }
}

// Columns per tile: as many as the registers hold beside the rows.
template <int Rows>
inline constexpr int kTileColumns = kLanes == 16  ? 4
                                    : kLanes == 8 ? (Rows <= 2 ? 4 : 2)
                                                  : 2;

template <int Rows>
static void block_rows(Index depth,
                       const float* x,
                       Index x_stride,
                       const float* b,
                       Index b_stride,
                       Index width,
                       float* y,
                       Index y_stride,
                       BlockMode mode) {
    constexpr int columns = kTileColumns<Rows>;
    Index c = 0;
    for (; c + columns * kLanes <= width; c += columns * kLanes)
        block_tile<Rows, columns, false>(depth, x, x_stride, b + c, b_stride, y + c, y_stride,
                                         mode, {});
    for (; c < width; c += kLanes)
        block_tile<Rows, 1, false>(depth, x, x_stride, b + c, b_stride, y + c, y_stride, mode,
                                   {});
}

// The first columns ask, the others are as above.
template <int Rows>
static void block_rows_ahead(Index depth,
                             const float* x,
                             Index x_stride,
                             const float* b,
                             Index b_stride,
                             Index width,
                             float* y,
                             Index y_stride,
                             BlockMode mode,
                             Ahead ahead) {
    constexpr int columns = kTileColumns<Rows>, first = columns * kLanes;
    if (width < first)
        return block_rows<Rows>(depth, x, x_stride, b, b_stride, width, y, y_stride, mode);
    block_tile<Rows, columns, true>(depth, x, x_stride, b, b_stride, y, y_stride, mode, ahead);
    if (width > first)
        block_rows<Rows>(depth, x, x_stride, b + first, b_stride, width - first, y + first,
                         y_stride, mode);
}

static constexpr decltype(&block_rows<1>) kBlockRows[] = {
    nullptr,       block_rows<1>, block_rows<2>, block_rows<3>,
    block_rows<4>, block_rows<5>, block_rows<6>};

static constexpr decltype(&block_rows_ahead<1>) kBlockRowsAhead[] = {nullptr,
                                                                     block_rows_ahead<1>,
                                                                     block_rows_ahead<2>,
                                                                     block_rows_ahead<3>,
                                                                     block_rows_ahead<4>,
                                                                     block_rows_ahead<5>,
                                                                     block_rows_ahead<6>};

// A row more needs a kernel of its own in both tables.
static_assert(sizeof kBlockRows / sizeof *kBlockRows > kMaxKernelRows);
static_assert(sizeof kBlockRowsAhead / sizeof *kBlockRowsAhead > kMaxKernelRows);

void block(Index rows,
           Index depth,
           const float* x,
           Index x_stride,
           const float* b,
           Index b_stride,
           Index width,
           float* y,
           Index y_stride,
           BlockMode mode) {
    kBlockRows[rows](depth, x, x_stride, b, b_stride, width, y, y_stride, mode);
}

void block_ahead(Index rows,
                 Index depth,
                 const float* x,
                 Index x_stride,
                 const float* b,
                 Index b_stride,
                 Index width,
                 float* y,
                 Index y_stride,
                 BlockMode mode,
                 Ahead ahead) {
    kBlockRowsAhead[rows](depth, x, x_stride, b, b_stride, width, y, y_stride, mode, ahead);
}

}  // namespace kvlab::KVLAB_SIMD
