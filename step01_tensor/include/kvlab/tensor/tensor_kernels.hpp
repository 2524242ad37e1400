// tensor_kernels.hpp - chapter 1: the fast kernels' entry points, one table per SIMD level.
#pragma once

#include <cstddef>

#include <kvlab/tensor/compiler.hpp>

namespace kvlab {

using Index = std::ptrdiff_t;

inline constexpr Index kPanel = 64;         // outputs per packed panel
inline constexpr Index kMaxKernelRows = 6;  // rows of x that one call of `block` takes

// How a block of a sum joins what stands in y (contract, rule 2).
enum class BlockMode {
    first,   // y = chain from +0: the first block is the total
    add,     // y = y + chain from +0
    resume,  // y = chain that goes on from y: the later part of one block
};

// What the memory is asked for while a block is computed: so many cache lines from `next` on
// for each of its inputs. More at once than the processor keeps track of would make it wait.
struct Ahead {
    const std::byte* next = nullptr;
    Index lines = 0;
};

// Where the weights of a matrix-vector product come from. Memory has to be asked long before a
// number is needed; of the second-level cache, asking only costs the time of asking.
enum class Source { cache, memory };

// What a product needs to know of one format of packed weights (packed_matrix.hpp).
struct PanelKernels {
    // y[p * 64 + c] = x . column c of panel p, for `panels` whole panels of `depth` inputs that
    // follow one another: the matrix-vector product of decoding.
    void (*multiply)(
        Index panels, Index depth, const float* x, const std::byte* b, float* y, Source source);

    // The weights of inputs [first, first + depth) of one panel as floats [depth][64]: one
    // block of a sum, so first is a multiple of 64 and depth at most 64. Null for f32, where
    // they are that already.
    void (*expand)(Index first, Index depth, const std::byte* panel, float* out);
};

// One block of a matrix product: for r < rows (at most kMaxKernelRows) and c < width
//   chain over k < depth of fma(x[r * x_stride + k], b[k * b_stride + c], chain)
// goes to y[r * y_stride + c] as `mode` says. width is a multiple of 16, depth <= 64.
using Block = void(Index rows,
                   Index depth,
                   const float* x,
                   Index x_stride,
                   const float* b,
                   Index b_stride,
                   Index width,
                   float* y,
                   Index y_stride,
                   BlockMode mode);

// The same, asking the memory for something meanwhile.
using BlockAhead = void(Index rows,
                        Index depth,
                        const float* x,
                        Index x_stride,
                        const float* b,
                        Index b_stride,
                        Index width,
                        float* y,
                        Index y_stride,
                        BlockMode mode,
                        Ahead ahead);

struct TensorKernels {
    Block* block;
    BlockAhead* block_ahead;

    // By format of the weights.
    const PanelKernels *f32, *f16, *bf16, *q8_0, *q4_0, *q4_1, *q4_k;

    // y[r] = rms_norm(x[r]) of rows of n numbers, so many floats apart; y may be x.
    void (*rms_norm)(Index rows,
                     const float* x,
                     Index x_stride,
                     const float* weight,
                     float eps,
                     Index n,
                     float* y,
                     Index y_stride);

    // y[i] = silu(gate[i]) * up[i]; y may be either.
    void (*swiglu)(const float* gate, const float* up, Index n, float* y);

    // y[i] = gelu(x[i]); y may be x.
    void (*gelu)(const float* x, Index n, float* y);

    // y[i] = 2^x[i]
    void (*exp2)(const float* x, Index n, float* y);

    // y[i] = y[i] + x[i]
    void (*add)(const float* x, Index n, float* y);
};

enum class SimdLevel;

// The table of a level. Throws Error when the level is not built in or not supported here.
const TensorKernels& tensor_kernels(SimdLevel level);

}  // namespace kvlab
