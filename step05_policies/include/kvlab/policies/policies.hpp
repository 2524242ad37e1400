// policies.hpp - chapter 5: the policies of a SlotCache, and the options that they understand.
//
// Each is a file in src/policies/: what it rates, why, and the paper.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <kvlab/policies/future_shares.hpp>
#include <kvlab/policies/policy.hpp>
#include <kvlab/policies/reconstruction.hpp>
#include <kvlab/tensor/rope.hpp>

namespace kvlab {

struct PolicyOptions {
    // How much stays: tokens of each layer and KV head, or, if not 0, a share of those seen.
    Index budget = 128;
    double ratio = 0;
    Index sinks = 4;          // first tokens that always stay, where the method has such
    Index recent = -1;        // last tokens that always stay; -1: the method's own default
    std::uint64_t seed = 42;  // where anything is random

    // H2O: divide by the queries that could see the token; multiply the past by this, if given.
    bool normalise = false;
    std::optional<float> forget;

    // SnapKV, PyramidKV.
    Index window = 16;  // last tokens of the prompt, which decide and stay
    Index kernel = 5;   // neighbours that a score is pooled over; 1: none
    bool max_pool = false;
    Index beta = 20;  // PyramidKV: the top layer has 1 / beta of the mean
    std::vector<double>
        ratios;  // PyramidKV, instead: shares of the prompt, lowest layers first

    Index votes = 400;  // Scissorhands: queries that are remembered; 0: all, counted

    // AdaKV's floor: the share of its mean budget that a head keeps in any case.
    double floor = 0.2;

    bool noise = true;  // Keyformer

    // key-norm, Quest: so many lowest layers are kept or read whole; -1: the method's own
    // default, kWholeLayers.
    Index whole_layers = -1;

    Index page = 16;          // Quest: tokens of a page
    bool newest_page = true;  // Quest: it is read whatever its bound; false: if it wins
    // MiniCache: from the lower layer's direction (0) to the upper's (1); the share of tokens
    // that are not merged; the first layer of the first pair, -1: the middle.
    double direction = 0.6, retained = 0.05;
    Index merge_from = -1;

    // Of a policy that has options of its own (registry.hpp), by their names.
    std::map<std::string, double> own = {};

    double own_or(const std::string& name, double otherwise) const {
        const auto found = own.find(name);
        return found == own.end() ? otherwise : found->second;
    }
};

// As Quest's authors and those of key-norm do.
inline constexpr Index kWholeLayers = 2;

// How many lowest layers are kept or read whole, where a method has such.
inline Index whole_layers(const PolicyOptions& options) {
    return options.whole_layers < 0 ? kWholeLayers : options.whole_layers;
}

// How many of `seen` tokens stay: options.budget, or the ratio, rounded up.
Index tokens_to_keep(const PolicyOptions& options, Index seen);

// Above which budget there are the last tokens that are to stay: what check_recent() allows.
Index budget_above_recent(const PolicyOptions& options);

// Above which budget there are the first tokens that are to stay.
Index budget_above_sinks(const PolicyOptions& options);

// Above which budget there is more than the window that decides.
Index budget_above_window(const PolicyOptions& options);

// Throws Error, in the policy's name, if more last tokens are to stay than stay at all.
void check_recent(const PolicyOptions& options, const char* policy);

// The same of first tokens.
void check_sinks(const PolicyOptions& options, const char* policy);

using PolicyPointer = std::shared_ptr<const Policy>;

// Each throws Error for options that contradict each other.
PolicyPointer full_policy();
PolicyPointer window_policy(const PolicyOptions& options);
PolicyPointer sinks_policy(const PolicyOptions& options);
PolicyPointer h2o_policy(const PolicyOptions& options);
PolicyPointer tova_policy(const PolicyOptions& options);
PolicyPointer snapkv_policy(const PolicyOptions& options);
PolicyPointer adakv_policy(const PolicyOptions& options, Index kv_heads);
PolicyPointer expected_attention_policy(const PolicyOptions& options,
                                        const KvShape& shape,
                                        const RopeTable* rope,
                                        bool uniform);
PolicyPointer kvzip_policy(const PolicyOptions& options,
                           std::shared_ptr<const Reconstruction> reconstruction);
PolicyPointer duo_policy(const PolicyOptions& options);
PolicyPointer pyramidkv_policy(const PolicyOptions& options, Index layers);
PolicyPointer key_norm_policy(const PolicyOptions& options);
PolicyPointer scissorhands_policy(const PolicyOptions& options);
// For a text of so many tokens, its prompt included; 0: not known.
PolicyPointer keyformer_policy(const PolicyOptions& options, Index tokens = 0);
PolicyPointer random_policy(const PolicyOptions& options);
PolicyPointer random_fixed_policy(const PolicyOptions& options);
PolicyPointer oracle_policy(const PolicyOptions& options,
                            std::shared_ptr<const FutureShares> future);

}  // namespace kvlab
