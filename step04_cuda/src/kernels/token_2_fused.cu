// token_2_fused.cu - chapter 4: one token in five launches a layer.
//
// was           a launch for each operator: 13 a layer, each of which reads its rows from
//               global memory and writes them back, with a gap before the next one
// change        a launch for each phase of token_phases.cuh: what can follow without waiting
// for
//               other blocks is in one kernel. The copies of the weights begin before the norm
// why faster    fewer gaps; and while the norm is summed, weights are already on their way
// still bad     the host hands over every launch anew, and a small kernel may be done before
//               the next one has come
#include "token_phases.cuh"

namespace kvlab::KVLAB_KERNELS {

// Grid of any size, block kTokenThreads, args.shared_bytes of dynamic shared memory; so for all
// kernels below.
// ANCHOR: attention_in
__global__ void token_attention_in(TokenArgs args, TokenLayer layer, int first_layer) {
    KVLAB_DYNAMIC_SHARED(float, shared);
    const TokenShared mine = token_shared(shared, args.slots);
    Walk walk(layer.qkv, args.slots, mine.rings);
    walk.prefetch();
    attention_in(args, layer, first_layer != 0, mine, walk);
}

// ANCHOR_END: attention_in

__global__ void token_attend(TokenArgs args, TokenLayer layer) {
    KVLAB_DYNAMIC_SHARED(float, shared);
    attend(args, layer, shared);
}

__global__ void token_attention_out(TokenArgs args, TokenLayer layer) {
    KVLAB_DYNAMIC_SHARED(float, shared);
    const TokenShared mine = token_shared(shared, args.slots);
    Walk walk(layer.out, args.slots, mine.rings);
    walk.prefetch();
    attention_out(args, mine, walk);
}

__global__ void token_feed_forward_in(TokenArgs args, TokenLayer layer) {
    KVLAB_DYNAMIC_SHARED(float, shared);
    const TokenShared mine = token_shared(shared, args.slots);
    Walk walk(layer.gate_up, args.slots, mine.rings);
    walk.prefetch();
    feed_forward_in(args, layer, mine, walk);
}

__global__ void token_feed_forward_out(TokenArgs args, TokenLayer layer) {
    KVLAB_DYNAMIC_SHARED(float, shared);
    const TokenShared mine = token_shared(shared, args.slots);
    Walk walk(layer.down, args.slots, mine.rings);
    walk.prefetch();
    feed_forward_out(args, mine, walk);
}

__global__ void token_output(TokenArgs args) {
    KVLAB_DYNAMIC_SHARED(float, shared);
    const TokenShared mine = token_shared(shared, args.slots);
    Walk walk(args.output, args.slots, mine.rings);
    walk.prefetch();
    output(args, mine, walk);
}

__global__ void token_choose(TokenArgs args) {
    choose(args);
}

// One block of one warp.
__global__ void token_next(TokenArgs args, int blocks) {
    next(args, blocks);
}

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(token_attention_in)
KVLAB_LAUNCHABLE(token_attend)
KVLAB_LAUNCHABLE(token_attention_out)
KVLAB_LAUNCHABLE(token_feed_forward_in)
KVLAB_LAUNCHABLE(token_feed_forward_out)
KVLAB_LAUNCHABLE(token_output)
KVLAB_LAUNCHABLE(token_choose)
KVLAB_LAUNCHABLE(token_next)

namespace kvlab::kernels {

namespace {

// ANCHOR: launches
void launch_one_token(const TokenLaunch& token) {
    const TokenArgs& args = token.args;
    const auto phase = [&](const auto& kernel, Index items, const auto&... arguments) {
        const auto blocks = static_cast<unsigned>(std::min<Index>(items, token.blocks));
        launch(kernel, blocks, kTokenThreads, static_cast<std::size_t>(args.shared_bytes), args,
               arguments...);
        return blocks;
    };
    for (int l = 0; l < token.n_layers; ++l) {
        const TokenLayer& layer = token.layers[l];
        phase(token_attention_in, chain_items(layer.qkv), layer, l == 0 ? 1 : 0);
        phase(token_attend, Index{args.kv_heads} * tiles_of(args.capacity), layer);
        phase(token_attention_out, chain_items(layer.out), layer);
        phase(token_feed_forward_in, chain_items(layer.gate_up), layer);
        phase(token_feed_forward_out, chain_items(layer.down), layer);
    }
    phase(token_output, chain_items(args.output));
    const unsigned chose = phase(token_choose, groups(args.vocab, kTokenThreads));
    if (token.choose) launch(token_next, 1, kWarp, 0, args, static_cast<int>(chose));
}

// ANCHOR_END: launches

}  // namespace

void launch_token_fused(const TokenLaunch& tokens) {
    for (int token = 0; token < tokens.tokens; ++token) launch_one_token(tokens);
}

}  // namespace kvlab::kernels
#endif
