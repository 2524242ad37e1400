// attention_1_naive.cu - chapter 4: attention in three kernels: scores,
// softmax, weighted values.
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
// ANCHOR: scores
__global__ void scores_naive(AttentionArgs args, float* scores) {
    const int r = blockIdx.x, t = r / args.heads, h = r % args.heads, D = args.head_dim;
    const int s = blockIdx.y * blockDim.x + threadIdx.x;
    if (s > args.past + t) return;
    const float* query = row(args.q, t) + h * D;
    const float* key =
        args.keys + (static_cast<long long>(h / args.group) * args.capacity + s) * D;
    float total = 0.0f;
    for (int begin = 0; begin < D; begin += kSumBlock) {
        float block = 0.0f;
        for (int i = begin; i < smaller(begin + kSumBlock, D); ++i)
            block = fmaf(query[i], key[i], block);
        total = add_block(begin == 0, total, block);
    }
    row(Rows{scores, args.slots}, r)[s] = total;
}

// ANCHOR_END: scores

// ANCHOR: softmax
// The weights in place of the scores, and their sum. Grid (T * Hq / threads), any block size.
__global__ void softmax_naive(AttentionArgs args, float* scores, float* totals) {
    const int r = blockIdx.x * blockDim.x + threadIdx.x;
    if (r >= args.tokens * args.heads) return;
    float* of_row = row(Rows{scores, args.slots}, r);
    const int sees = args.past + r / args.heads + 1;
    float maximum = exp2_parts(of_row[0]).n;
    for (int s = 1; s < sees; ++s) {
        const float n = exp2_parts(of_row[s]).n;
        maximum = n > maximum ? n : maximum;
    }
    float total = 0.0f;
    for (int begin = 0; begin < sees; begin += kSumBlock) {
        float block = 0.0f;
        for (int s = begin; s < smaller(begin + kSumBlock, sees); ++s) {
            const Exp2Parts parts = exp2_parts(of_row[s]);
            const float weight = parts.p * pow2(parts.n - maximum);
            of_row[s] = weight;
            block = block + weight;
        }
        total = add_block(begin == 0, total, block);
    }
    totals[r] = total;
}

// ANCHOR_END: softmax

// ANCHOR: values
// out = (sum of weights * values) / total. Grid (T * Hq, D / threads), any block size.
__global__ void values_naive(AttentionArgs args, const float* weights, const float* totals) {
    const int r = blockIdx.x, t = r / args.heads, h = r % args.heads, D = args.head_dim;
    const int i = blockIdx.y * blockDim.x + threadIdx.x, sees = args.past + t + 1;
    if (i >= D) return;
    const float* of_row = row(ConstRows{weights, args.slots}, r);
    const float* value =
        args.values + static_cast<long long>(h / args.group) * args.capacity * D + i;
    float total = 0.0f;
    for (int begin = 0; begin < sees; begin += kSumBlock) {
        float block = 0.0f;
        for (int s = begin; s < smaller(begin + kSumBlock, sees); ++s)
            block = fmaf(of_row[s], value[static_cast<long long>(s) * D], block);
        total = add_block(begin == 0, total, block);
    }
    row(args.out, t)[h * D + i] = total / totals[r];
}

// ANCHOR_END: values

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(scores_naive)
KVLAB_LAUNCHABLE(softmax_naive)
KVLAB_LAUNCHABLE(values_naive)

namespace kvlab::kernels {

void launch_values(const AttentionArgs& args, const float* weights, const float* totals) {
    const unsigned threads = component_threads(args);
    launch(values_naive,
           {groups(Index{args.tokens} * args.heads, 1), groups(args.head_dim, threads)},
           threads, 0, args, weights, totals);
}

void launch_attention_naive(const AttentionArgs& args, unsigned threads, Scratch& scratch) {
    const Index rows = Index{args.tokens} * args.heads;
    float* const scores = scratch.floats(rows * (args.slots + 1));
    float* const totals = scores + rows * args.slots;
    launch(scores_naive, {groups(rows, 1), groups(args.slots, threads)}, threads, 0, args,
           scores);
    launch(softmax_naive, groups(rows, threads), threads, 0, args, scores, totals);
    launch_values(args, scores, totals);
}

}  // namespace kvlab::kernels
#endif
