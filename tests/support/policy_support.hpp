// policy_support.hpp - what the tests of step 5 share: a model that is ready to run, and rows
// of keys, values and queries without one.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/policies/registry.hpp>

#include "models.hpp"
#include "random_data.hpp"

namespace kvlab::test {

// A model on an engine, and every policy for it.
struct PolicyRig {
    explicit PolicyRig(const Config& config, CpuOptions options = {})
        : engine(make_cpu_engine(options)),
          decoder(load_model(*make_synthetic(config, 42), *engine), *engine),
          level(options.level) {}

    std::vector<float> logits(KvStore& store, std::span<const Token> tokens) {
        const auto flat = decoder.forward(store, tokens, LogitsOf::all).flat();
        return {flat.begin(), flat.end()};
    }

    // The rows of tokens fed one step for each of `pieces`, whose sum is the text.
    std::vector<float> logits(KvStore& store,
                              std::span<const Token> tokens,
                              const std::vector<Index>& pieces) {
        std::vector<float> all;
        for (const Index piece : pieces) {
            const auto rows = logits(store, tokens.first(usize(piece)));
            all.insert(all.end(), rows.begin(), rows.end());
            tokens = tokens.subspan(usize(piece));
        }
        return all;
    }

    PolicyContext context(Index capacity) {
        PolicyContext context = policy_context(decoder, capacity);
        context.level = level;
        context.future = future;
        context.reconstruction = reconstructed();
        return context;
    }

    std::unique_ptr<PolicyStore> store(const std::string& name,
                                       const PolicyOptions& options,
                                       Index capacity = 256,
                                       Index prompt = 0) {
        PolicyContext c = context(capacity);
        c.prompt = prompt;
        return find_policy(name).make(c, options);
    }

    // Of the whole text that the future is of.
    std::shared_ptr<const Reconstruction> reconstructed() {
        if (future != repeated_of) {
            repeated_of = future;
            repeated = std::make_shared<Reconstruction>(decoder, future->text());
        }
        return repeated;
    }

    std::unique_ptr<Engine> engine;
    Decoder decoder;
    SimdLevel level;
    std::shared_ptr<const FutureShares> future, repeated_of;
    std::shared_ptr<const Reconstruction> repeated;
};

// A budget that a window of 16 tokens leaves room in.
inline PolicyOptions small_budget(Index budget = 24) {
    PolicyOptions options;
    options.budget = budget;
    options.window = 8;
    options.beta = 4;
    return options;
}

// Whether the policy of a SlotCache sees queries as well as shares.
inline bool asks_queries(const PolicyEntry& entry, const PolicyContext& context) {
    return entry.policy(small_budget(), context)->asks_queries();
}

inline std::vector<Index> one_by_one(Index first, Index rest) {
    std::vector<Index> pieces = {first};
    pieces.resize(usize(1 + rest), 1);
    return pieces;
}

}  // namespace kvlab::test
