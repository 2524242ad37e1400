// attention.hpp - chapter 2: attention itself, as the plain loop and at full speed, with the
// same bits.
#pragma once

#include <span>

#include <kvlab/attention/attention_kernels.hpp>
#include <kvlab/attention/kv_store.hpp>
#include <kvlab/attention/kv_tiles.hpp>
#include <kvlab/tensor/simd_level.hpp>
#include <kvlab/tensor/tensor_kernels.hpp>
#include <kvlab/tensor/thread_pool.hpp>

namespace kvlab {

// One query over S slots, in slot order: the definition (contract, rule 3), in two passes.
// q is scaled by log2(e) / sqrt(D). Throws Error for wrong shapes or S = 0.
void attention_plain(const View<const float>& q,  // [D]
                     const View<const float>& k,  // [S, D]
                     const View<const float>& v,  // [S, D]
                     const View<float>& out);     // [D]

// What query head `head` of token t sees of the keys or the values of its text: the columns of
// its KV head, which `group` query heads share, of the tokens 0..t. Throws Error for a head or
// a token that is not there.
View<const float> visible_rows(const View<const float>& rows,  // [T, Hkv * D]
                               Index head_dim,
                               Index group,
                               Index head,
                               Index t);  // gives [t + 1, D]

// The weights that some queries gave to the slots of one tile, relative to its own maximum; row
// 0 is the first row that sees the tile.
struct TileWeights {
    alignas(64) float weights[kMaxKernelRows * kTile];  // [rows][64]
    float maxima[kMaxKernelRows];
    Index first_row = 0;
};

// The running state of up to kMaxKernelRows queries of one KV head while tiles go by: the
// online softmax (Milakov and Gimelshein 2018; FlashAttention, Dao et al. 2022). Because the
// maximum is an integer and rescaling by a power of two is exact, the tiles may come one by one
// and the result still has the bits of the two-pass loop.
//
// Any store can drive it: a contiguous cache, pages, or tiles expanded from fewer bits.
class AttentionRows {
public:
    static constexpr Index kMaxHeadDim = 256;

    // Throws Error unless head_dim is positive and at most kMaxHeadDim.
    AttentionRows(SimdLevel level, Index head_dim, Index padded_dim);

    // Starts `rows` new queries. Fill query(r) for each, then go over the tiles.
    void start(Index rows);

    float* query(Index row) { return queries_ + row * kMaxHeadDim; }

    const float* query(Index row) const { return queries_ + row * kMaxHeadDim; }

    // The next tile in slot order, in two halves, so that keys and values need not be there at
    // the same time. First its keys [D][64]: the weights that rows [first_row, rows) give to
    // its slots, relative to its own maximum. Row r sees the first visible[r] of them, 1 to 64
    // and not falling from row to row; a row that sees none must not be among them.
    void score(const float* keys, const Index* visible, Index first_row, TileWeights& to) const;

    // Then its values [64][Dp], which are added to the rows. Returns how many (row, slot) pairs
    // it weighed.
    Index add_tile(const float* values, const Index* visible, const TileWeights& tile);

    // The two parts of add_tile(), for tiles that are computed side by side. First: results
    // from index 0, sums `stride` floats apart and padded_dim long. Returns the pairs.
    Index weigh(const float* values,
                const Index* visible,
                const TileWeights& tile,
                float* totals,
                float* sums,
                Index stride) const;
    // Second: adds a tile's result to a row, in slot order. Overwrites `sums`.
    void add(Index row, float maximum, float total, float* sums);

    // out [D] of one row: the weighted sum divided by the sum of weights.
    void finish(Index row, float* out) const;

    // After the last tile: what share of its row's attention each slot of a tile got, out [64].
    // A share is the slot's weight times 2^(M_tile - M) / total, one division for a tile. What
    // lies beyond the visible slots is left undefined; a share below 2^-126 may be off by a
    // rounding of its own.
    void share(const TileWeights& tile, Index row, float* out) const;

private:
    const TensorKernels& tensor_;
    const AttentionKernels& attention_;
    Index head_dim_, padded_dim_;
    Index rows_ = 0;
    float maximum_[kMaxKernelRows];
    float total_[kMaxKernelRows];
    bool started_[kMaxKernelRows];
    alignas(64) float queries_[kMaxKernelRows * kMaxHeadDim];
    alignas(64) float sums_[kMaxKernelRows * kMaxHeadDim];
};

// Who wants to see how attention was shared out, besides its result.
class ShareReader {
public:
    virtual ~ShareReader() = default;

    // The first token of the step whose shares are wanted; those before it cost nothing.
    virtual Index first_token() const { return 0; }

    // The share of each visible slot [past + token + 1] in one query head's attention; their
    // sum is 1 but for rounding. Of one KV head they come token by token and head by head, in
    // order; different KV heads may come from different threads. Must not throw.
    virtual void read(Index token, Index head, std::span<const float> shares) = 0;
};

// Causal attention of T new tokens over tiles whose slots are positions: token t sees the
// slots [0, past + t]. Work is shared over KV heads and tokens; of a single token, over KV
// heads and tiles. With a reader, over KV heads alone, since it reads in order; the output has
// the same bits.
AttentionWork attend_tiles(SimdLevel level,
                           ThreadPool& pool,
                           const View<const float>& q,  // [T, Hq, D], scaled
                           const TileReader& tiles,
                           Index past,              // slots before the step's first token
                           const View<float>& out,  // [T, Hq, D]
                           ShareReader* reader = nullptr);

}  // namespace kvlab
