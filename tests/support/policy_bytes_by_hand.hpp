// policy_bytes_by_hand.hpp - the bytes that each of the book's policies holds, written down
// once more: by name, without asking the policy.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include <kvlab/policies/policy_bytes.hpp>
#include <kvlab/policies/registry.hpp>

namespace kvlab::test {

inline constexpr Index kNumber = 4;  // bytes of a float, a position or a rank

// Beside the key and the value of a slot: its position, its rank where positions are counted in
// the cache, and what the policy remembers of it. Of a store of its own: not by slots.
inline const std::map<std::string, Index>& numbers_beside() {
    static const std::map<std::string, Index> kNumbers = {{"full", 1},
                                                          {"window", 1},
                                                          {"sinks", 1},
                                                          {"sinks-relative", 2},
                                                          {"h2o", 2},
                                                          {"h2o-mean", 2},
                                                          {"h2o-forgetting", 2},
                                                          {"tova", 2},
                                                          {"snapkv", 2},
                                                          {"pyramidkv", 2},
                                                          {"pyramidkv-ratios", 2},
                                                          {"key-norm", 2},
                                                          {"key-norm-every-layer", 2},
                                                          {"scissorhands", 2},
                                                          {"keyformer", 3},
                                                          {"random", 1},
                                                          {"random-fixed", 2},
                                                          {"oracle", 1},
                                                          {"quest", 0},
                                                          {"quest-every-layer", 0},
                                                          {"quest-by-bound", 0},
                                                          {"minicache", 0}};
    return kNumbers;
}

// Whether the policy is written down here. Another one's closed form is compared with
// its store alone.
inline bool is_written_by_hand(const std::string& name) {
    return numbers_beside().contains(name);
}

// Layers that are kept or read whole: two, if nothing else is asked for.
inline Index whole_by_hand(const PolicyOptions& options) {
    return options.whole_layers == -1 ? 2 : options.whole_layers;
}

inline Index tokens_held(const std::string& name,
                         const PolicyOptions& options,
                         const KvShape& shape,
                         Index layer,
                         Index prompt,
                         Index length) {
    if (name == "full") return length;
    if (find_policy(name).streams) {
        Index keep = tokens_to_keep(options, length);
        if (name == "sinks" || name == "sinks-relative") keep = std::max(keep, options.sinks);
        // Whole layers keep everything.
        if (name == "key-norm" && layer < whole_by_hand(options)) keep = length;
        return std::min(length, keep);
    }
    if (length < prompt) return length;
    PolicyOptions own = options;
    if (name == "pyramidkv-ratios" && own.ratios.empty()) own.ratios = {1, 1, 0.5, 0.25};
    const Index keep = name == "snapkv"
                           ? std::max(options.window, tokens_to_keep(options, prompt))
                           : pyramidkv_policy(own, shape.layers)->keep(layer, prompt);
    return std::min(prompt, keep) + length - prompt;
}

inline Index quest_bytes(const PolicyOptions& options,
                         const KvShape& shape,
                         Index whole,
                         Index length) {
    const Index pages = (length + options.page - 1) / options.page;
    // A page: the smallest and the largest number of each component.
    const Index page = 2 * shape.kv_heads * shape.head_dim * kNumber;
    return full_bytes(shape, length) + std::max<Index>(0, shape.layers - whole) * pages * page;
}

// A pair of layers has one vector and one factor for keys and for values and, of retained
// tokens, all and a position.
inline Index minicache_bytes(const PolicyOptions& options, const KvShape& shape, Index length) {
    // The deeper half, and of few layers at least a pair.
    const Index middle = std::max<Index>(0, std::min(shape.layers / 2, shape.layers - 2));
    const Index first = options.merge_from < 0 ? middle : options.merge_from;
    const Index pairs = std::max<Index>(0, shape.layers - first) / 2;
    const Index slot = 2 * shape.head_dim * kNumber;
    const auto retained =
        static_cast<Index>(std::ceil(options.retained * static_cast<double>(length)));
    return shape.kv_heads *
           ((shape.layers - 2 * pairs) * length * slot +
            pairs * (length * (slot + 2 * kNumber) + retained * (slot + kNumber)));
}

inline Index bytes_by_hand(const std::string& name,
                           const PolicyOptions& options,
                           const KvShape& shape,
                           Index prompt,
                           Index length) {
    if (name == "quest" || name == "quest-by-bound")
        return quest_bytes(options, shape, whole_by_hand(options), length);
    if (name == "quest-every-layer") return quest_bytes(options, shape, 0, length);
    if (name == "minicache") return minicache_bytes(options, shape, length);
    const Index bits = name == "scissorhands" ? options.votes : 0;
    const Index beside = numbers_beside().at(name) + (bits + 31) / 32;
    const Index slot = kNumber * (2 * shape.head_dim + beside);
    Index bytes = 0;
    for (Index layer = 0; layer < shape.layers; ++layer)
        bytes +=
            shape.kv_heads * slot * tokens_held(name, options, shape, layer, prompt, length);
    return bytes;
}

}  // namespace kvlab::test
