// attention_1_naive.cu - chapter 4: attention in three kernels: scores, softmax, weighted
// values.
//
// was           the plain loop of chapter 2, one query after another
// change        a thread for each score, for each row's softmax, for each component of the
//               output
// why faster    all scores at a time
// still bad     the scores travel to global memory and back twice; lanes are different slots,
//               whose keys lie D floats apart; a thread alone goes through a row of scores;
//               and the heads of a group each read the same keys and values again
//
// A row is one (token t, query head h), t * Hq + h; it sees the slots 0 ... past + t.
#include "contract.cuh"

namespace kvlab::KVLAB_KERNELS {

// scores[row][s] = q . k. Grid (T * Hq, slots / threads), any block size.
// q [T, Hq, D], tokens q_stride floats apart; keys [Hkv, capacity, D].
// ANCHOR: naive
__global__ void scores_naive(const float* q,
                             int q_stride,
                             const float* keys,
                             int capacity,
                             float* scores,
                             int slots,
                             int past,
                             int heads,
                             int group,
                             int head_dim) {
    const int row = blockIdx.x, t = row / heads, h = row % heads;
    const int s = blockIdx.y * blockDim.x + threadIdx.x;
    if (s > past + t) return;
    const float* query = q + static_cast<long long>(t) * q_stride + h * head_dim;
    const float* key = keys + (static_cast<long long>(h / group) * capacity + s) * head_dim;
    float total = 0.0f;
    for (int begin = 0; begin < head_dim; begin += kBlock) {
        float block = 0.0f;
        for (int i = begin; i < smaller(begin + kBlock, head_dim); ++i)
            block = fmaf(query[i], key[i], block);
        total = add_block(begin == 0, total, block);
    }
    scores[static_cast<long long>(row) * slots + s] = total;
}

// The weights in place of the scores, and their sum. Grid (T * Hq / threads), any block size.
__global__ void softmax_naive(
    float* scores, int slots, float* totals, int past, int heads, int rows) {
    const int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    float* of_row = scores + static_cast<long long>(row) * slots;
    const int sees = past + row / heads + 1;
    float maximum = exp2_parts(of_row[0]).n;
    for (int s = 1; s < sees; ++s) {
        const float n = exp2_parts(of_row[s]).n;
        maximum = n > maximum ? n : maximum;
    }
    float total = 0.0f;
    for (int begin = 0; begin < sees; begin += kBlock) {
        float block = 0.0f;
        for (int s = begin; s < smaller(begin + kBlock, sees); ++s) {
            const Exp2Parts parts = exp2_parts(of_row[s]);
            const float weight = parts.p * pow2(parts.n - maximum);
            of_row[s] = weight;
            block = block + weight;
        }
        total = add_block(begin == 0, total, block);
    }
    totals[row] = total;
}

// out = (sum of weights * values) / total. Grid (T * Hq, D / threads), any block size.
__global__ void values_naive(const float* weights,
                             int slots,
                             const float* totals,
                             const float* values,
                             int capacity,
                             float* out,
                             int out_stride,
                             int past,
                             int heads,
                             int group,
                             int head_dim) {
    const int row = blockIdx.x, t = row / heads, h = row % heads, sees = past + t + 1;
    const int i = blockIdx.y * blockDim.x + threadIdx.x;
    if (i >= head_dim) return;
    const float* of_row = weights + static_cast<long long>(row) * slots;
    const float* value = values + static_cast<long long>(h / group) * capacity * head_dim + i;
    float total = 0.0f;
    for (int begin = 0; begin < sees; begin += kBlock) {
        float block = 0.0f;
        for (int s = begin; s < smaller(begin + kBlock, sees); ++s)
            block = fmaf(of_row[s], value[static_cast<long long>(s) * head_dim], block);
        total = add_block(begin == 0, total, block);
    }
    out[static_cast<long long>(t) * out_stride + h * head_dim + i] = total / totals[row];
}

// ANCHOR_END: naive

}  // namespace kvlab::KVLAB_KERNELS
