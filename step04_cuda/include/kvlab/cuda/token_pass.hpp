// token_pass.hpp - chapter 4: one token after another, each from its number to the next one's,
// without an operator that is launched by itself.
//
// A decoder that calls an Engine launches a kernel per operator. A TokenPass knows the whole
// model, so it can do several operators in one kernel, record a token's launches and repeat
// them, or stay in one kernel for all of them. The bits are the decoder's.
//
// It serves what most of generation is: one sequence, one token at a time, a model of the llama
// family whose weights lie in panels, at most 16 query heads to a KV head.
#pragma once

#include <memory>
#include <vector>

#include <kvlab/attention/model.hpp>
#include <kvlab/cuda/cuda_cache.hpp>

namespace kvlab {

namespace kernels {
struct TokenLaunch;
}  // namespace kernels

// A way to launch a token; the ladder's names are for the command line.
struct TokenRung {
    const char* name;
    const char* idea;
    // Launches tokens. Null: the decoder does, operator by operator.
    void (*launch)(const kernels::TokenLaunch& tokens);
    bool recorded;  // one token as a graph, which is then repeated
};

std::span<const TokenRung> token_rungs();

class TokenPass {
public:
    // The model's weights and the cache must be on the selected device, and outlive the pass.
    // Throws Error if this pass cannot serve them (why_not).
    TokenPass(const Model& model, CudaCache& cache, const TokenRung& rung);
    ~TokenPass();
    TokenPass(const TokenPass&) = delete;
    TokenPass& operator=(const TokenPass&) = delete;

    // Why there can be no pass for this model; empty if there can be one.
    static std::string why_not(const Model& model);

    // Whether this is the pass for that model, with the weights that it has now.
    bool serves(const Model& model, const TokenRung& rung) const;

    // Feeds one token. Its keys and values are in the cache, in a step that the caller has
    // opened and ends. Returns the logits [V] in device memory.
    const float* forward(Token token);

    // Feeds `token`, then each time the token with the largest logit, `count` tokens in all,
    // and returns the `count` that were chosen. None of them comes to the host before the last
    // one is there. Throws Error, with the cache as it was, unless 1 <= count <= its room, and
    // for positions outside of the model's context.
    std::vector<Token> greedy(Token token, Index count);

    // The logits of the last token that was fed, [V], in device memory.
    const float* logits() const;

private:
    struct State;

    void launch(Token token, Index count, bool choose);

    CudaCache& cache_;
    const TokenRung& rung_;
    std::unique_ptr<State> state_;
};

}  // namespace kvlab
