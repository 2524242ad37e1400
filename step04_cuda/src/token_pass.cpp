#include <kvlab/cuda/token_pass.hpp>

#include <algorithm>
#include <cmath>

#include <kvlab/cuda/device.hpp>
#include <kvlab/cuda/device_graph.hpp>
#include <kvlab/cuda/launch_shape.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "kernels/token_arguments.hpp"
#include "launch_sizes.hpp"

namespace kvlab {

namespace kernels {

void launch_token_fused(const TokenLaunch& tokens);
void launch_token_persistent(const TokenLaunch& tokens);

namespace {

// ANCHOR: table
constexpr TokenRung kTokenRungs[] = {
    {"separate", "a launch for each operator of the decoder", nullptr, false},
    {"fused", "a launch for each phase: five a layer", launch_token_fused, false},
    {"graph", "the same launches, recorded once", launch_token_fused, true},
    {"persistent", "one launch, barriers of the grid", launch_token_persistent, false},
};

// ANCHOR_END: table

constexpr int kFewestSlots = 2 * kTokenWarps, kMostSlots = 3 * kTokenWarps;
constexpr int kStaticShared = 1024;  // bytes, at least what the kernels have

// As many slots as fit, or 0.
int slots_for(Index dim) {
    for (int slots = kMostSlots; slots >= kFewestSlots; --slots)
        if (token_shared_bytes(slots, to_int(dim)) + kStaticShared <=
            static_cast<int>(kSharedLimit))
            return slots;
    return 0;
}

}  // namespace

}  // namespace kernels

std::span<const TokenRung> token_rungs() {
    return kernels::kTokenRungs;
}

// Device memory of a pass, and what its kernels are called with.
struct TokenPass::State {
    explicit State(const Model& model, CudaCache& cache);

    float* floats(const char* name, Index count) {
        arrays.push_back(std::make_unique<DeviceArray<float>>(count, name));
        return arrays.back()->get();
    }

    kernels::ChainSums sums(const char* name, const kernels::Weights& w) {
        const int chains = kernels::chains_of(w.depth);
        return {floats(name, Index{chains} * w.outputs), chains, 1, w.outputs};
    }

    void add_layers(const Model& model, CudaCache& cache);
    void add_rope(const RopeTable& rope, Index positions);

    std::vector<std::unique_ptr<DeviceArray<float>>> arrays;
    DeviceArray<kernels::TokenState> state{1, "token state"};
    DeviceArray<int> tokens;  // as many as the cache has room for
    DeviceArray<int> best_tokens;
    std::vector<kernels::TokenLayer> layers;
    std::unique_ptr<DeviceArray<kernels::TokenLayer>> device_layers;
    DeviceGraph token, chosen_token;  // one token, without and with the choice of the next
    unsigned blocks;
    Index context;  // positions that there are angles for
    kernels::TokenArgs args{};
};

TokenPass::State::State(const Model& model, CudaCache& cache)
    : tokens(cache.capacity(), "tokens"),
      best_tokens(device_multiprocessors(), "best tokens"),
      blocks(static_cast<unsigned>(device_multiprocessors())),
      context(model.rope.positions()) {
    const Config& c = model.config;
    add_layers(model, cache);
    add_rope(model.rope, cache.capacity());
    const kernels::TokenLayer& layer = layers.front();
    const int tiles = kernels::tiles_of(to_int(cache.capacity()));
    args.embedding = device_matrix(*model.embedding).weights();
    args.output = device_matrix(model.output_matrix()).weights();
    args.final_norm = model.final_norm.weight->data();
    args.state = state.get();
    args.tokens = tokens.get();
    args.x = floats("x", c.dim);
    args.x_after = floats("x after attention", c.dim);
    args.qkv_sums = sums("sums of q, k, v", layer.qkv);
    args.parts = kernels::tile_parts(
        floats("parts of tiles", kernels::parts_floats(c.heads, tiles, c.head_dim)), c.heads,
        tiles);
    args.out_sums = sums("sums of the output projection", layer.out);
    args.gate_up_sums = sums("sums of gate and up", layer.gate_up);
    args.down_sums = sums("sums of the down projection", layer.down);
    args.output_sums = sums("sums of the logits", args.output);
    args.logits = floats("logits", c.vocab);
    args.best_values = floats("best logits", Index{blocks});
    args.best_tokens = best_tokens.get();
    args.dim = to_int(c.dim);
    args.ffn = to_int(c.ffn);
    args.heads = to_int(c.heads);
    args.kv_heads = to_int(c.kv_heads);
    args.head_dim = to_int(c.head_dim);
    args.rope_dim = to_int(model.rope.rope_dim());
    args.vocab = to_int(c.vocab);
    args.capacity = to_int(cache.capacity());
    args.group = to_int(c.group());
    args.slots = kernels::slots_for(c.dim);
    args.shared_bytes = std::max(kernels::token_shared_bytes(args.slots, args.dim),
                                 kernels::piece_bytes(args.group, args.head_dim));
    args.eps = c.norm_eps;
    args.scale = log2e_over(std::sqrt(static_cast<double>(c.head_dim)));
}

void TokenPass::State::add_layers(const Model& model, CudaCache& cache) {
    for (Index l = 0; l < model.config.layers; ++l) {
        const LayerWeights& w = at(model.layers, l);
        const CudaCache::Memory memory = cache.memory(l);
        layers.push_back({.qkv = device_matrix(*w.qkv.weight).weights(),
                          .out = device_matrix(*w.out.weight).weights(),
                          .gate_up = device_matrix(*w.gate_up.weight).weights(),
                          .down = device_matrix(*w.down.weight).weights(),
                          .attention_norm = w.attention_norm.weight->data(),
                          .ffn_norm = w.ffn_norm.weight->data(),
                          .keys = memory.keys,
                          .values = memory.values});
    }
    device_layers = std::make_unique<DeviceArray<kernels::TokenLayer>>(
        std::span<const kernels::TokenLayer>(layers), "layers");
}

// Rows of the host's table for every position that the cache has room for.
void TokenPass::State::add_rope(const RopeTable& rope, Index positions) {
    const Index pairs = rope.rope_dim() / 2, rows = std::min(positions, rope.positions());
    std::vector<float> cosines, sines;
    for (Index position = 0; position < rows; ++position) {
        cosines.insert(cosines.end(), rope.cos(position), rope.cos(position) + pairs);
        sines.insert(sines.end(), rope.sin(position), rope.sin(position) + pairs);
    }
    const auto upload = [&](const char* name, const std::vector<float>& values) {
        float* const to = floats(name, std::ssize(values));
        copy_bytes_to_device(to, values.data(), std::ssize(values) * Index{sizeof(float)});
        return to;
    };
    args.cosines = upload("cosines", cosines);
    args.sines = upload("sines", sines);
}

std::string TokenPass::why_not(const Model& model) {
    const Config& c = model.config;
    if (c.architecture != Architecture::llama) return "only models of the llama family";
    if (c.group() > kernels::kMostTileRows)
        return concat("at most ", kernels::kMostTileRows, " query heads to a KV head, found ",
                      c.group());
    if (c.head_dim % kernels::kWide != 0)
        return concat("only heads of a multiple of ", kernels::kWide, " numbers, found ",
                      c.head_dim);
    if (device_matrix(*model.embedding).layout() != MatrixLayout::panels)
        return "only weights in panels";
    if (kernels::slots_for(c.dim) == 0 ||
        kernels::piece_bytes(to_int(c.group()), to_int(c.head_dim)) + kernels::kStaticShared >
            static_cast<int>(kSharedLimit))
        return concat("rows of ", c.dim, " and heads of ", c.head_dim,
                      " numbers do not fit in shared memory");
    return {};
}

TokenPass::TokenPass(const Model& model, CudaCache& cache, const TokenRung& rung)
    : cache_(cache), rung_(rung) {
    const std::string why = why_not(model);
    check(why.empty(), "token pass: ", why);
    check(rung.launch != nullptr, "token pass: '", rung.name, "' is the decoder's own way");
    const Config& c = model.config;
    check(cache.shape() == KvShape{c.layers, c.heads, c.kv_heads, c.head_dim},
          "token pass: this cache was made for another model");
    state_ = std::make_unique<State>(model, cache);
}

TokenPass::~TokenPass() = default;

// Device memory that is freed may be given out again, but not while it is used: whoever has the
// same weights in the same places is the same model.
bool TokenPass::serves(const Model& model, const TokenRung& rung) const {
    const kernels::TokenArgs& args = state_->args;
    const auto same = [](const kernels::Weights& known, const Matrix& matrix) {
        return known.panels == device_matrix(matrix).weights().panels;
    };
    if (&rung != &rung_ || !same(args.embedding, *model.embedding) ||
        !same(args.output, model.output_matrix()) ||
        model.layers.size() != state_->layers.size())
        return false;
    for (std::size_t l = 0; l < model.layers.size(); ++l) {
        const LayerWeights& w = model.layers[l];
        const kernels::TokenLayer& known = state_->layers[l];
        if (!same(known.qkv, *w.qkv.weight) || !same(known.out, *w.out.weight) ||
            !same(known.gate_up, *w.gate_up.weight) || !same(known.down, *w.down.weight))
            return false;
    }
    return true;
}

// The next `count` tokens of an open step, the first of them `token`.
void TokenPass::launch(Token token, Index count, bool choose) {
    State& s = *state_;
    check(token >= 0 && token < s.args.vocab, "token ", token,
          " is outside of the vocabulary of ", s.args.vocab);
    const Index end = cache_.next_position() + count;
    check(end <= s.context, "token pass: positions up to ", end - 1,
          " are outside of the model's context of ", s.context);
    const kernels::TokenState start = {token, to_int(cache_.next_position()), 0};
    s.state.copy_from({&start, 1});
    const kernels::TokenLaunch tokens = {s.args,
                                         s.layers.data(),
                                         s.device_layers->get(),
                                         static_cast<int>(s.layers.size()),
                                         s.blocks,
                                         rung_.recorded ? 1 : to_int(count),
                                         choose};
    if (rung_.recorded) {
        DeviceGraph& graph = choose ? s.chosen_token : s.token;
        if (graph.size() == 0) graph.record([&] { rung_.launch(tokens); });
        for (Index i = 0; i < count; ++i) graph.launch();
    } else {
        rung_.launch(tokens);
    }
    cache_.wrote_step();
}

const float* TokenPass::forward(Token token) {
    launch(token, 1, false);
    return logits();
}

std::vector<Token> TokenPass::greedy(Token token, Index count) {
    check(count >= 1 && count <= cache_.room(), "token pass: ", count,
          " tokens; the cache has room for ", cache_.room());
    cache_.begin(count);
    try {
        launch(token, count, true);
        std::vector<int> all(usize(count));
        copy_bytes_to_host(all.data(), state_->args.tokens, count * Index{sizeof(int)});
        cache_.commit();
        return {all.begin(), all.end()};
    } catch (...) {
        cache_.abandon();
        throw;
    }
}

const float* TokenPass::logits() const {
    return state_->args.logits;
}

}  // namespace kvlab
