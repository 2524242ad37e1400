// Attention to tokens that their contents choose: by an indexer, by a hash.
#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "edited_source.hpp"
#include "mixer_rig.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

constexpr Index kChosenText = 200;

// The tokens of the largest I(t, s), written down once more: rows are q, k, v of 4, 2 and 2
// heads of 8 numbers, then the indexer's q [2, 8], k [8] and w [2].
std::vector<Index> chosen_plain(const Tensor& rows, Index t, Index top_k) {
    const Index q = 8 * 8, k = q + 16, w = k + 8;
    std::vector<float> scores;
    for (Index s = 0; s <= t; ++s) {
        float sum = 0.0f;
        for (Index j = 0; j < 2; ++j) {
            const float fit = dot(&rows(t, q + 8 * j), &rows(s, k), 8);
            sum = std::fma(rows(t, w + j), fit > 0.0f ? fit : 0.0f, sum);
        }
        scores.push_back(sum);
    }
    std::vector<Index> order(scores.size());
    std::iota(order.begin(), order.end(), Index{0});
    std::ranges::stable_sort(order,
                             [&](Index a, Index b) { return at(scores, a) > at(scores, b); });
    order.resize(std::min(order.size(), usize(top_k)));
    std::ranges::sort(order);
    return order;
}

// What the layer gives, and what its definition gives over these tokens.
std::pair<Tensor, Tensor> indexed_both(const Tensor& rows,
                                       const std::function<std::vector<Index>(Index t)>& list) {
    MixerRig rig(drawn_model({"indexed", "indexed"}));
    const RopeTable& rope = rig.model->frame->rope;
    Tensor expected = attend_all_plain(
        rig.heads(rows, 0, 4, 8, &rope, rig.scale()), rig.heads(rows, 32, 2, 8, &rope),
        rig.heads(rows, 48, 2, 8, nullptr), [&](Index, Index t) { return list(t); });
    return {rig.step(rows), std::move(expected)};
}

}  // namespace

TEST_CASE("indexed: attention is that of the definition over the chosen tokens") {
    const Tensor rows = random_tensor({kChosenText, 64 + 26}, 31);
    const auto [found, expected] =
        indexed_both(rows, [&](Index t) { return chosen_plain(rows, t, 20); });
    CHECK(same_bits(found, expected));
    const auto newest = chosen_plain(rows, kChosenText - 1, 20);
    CHECK(newest.size() == 20);
    CHECK(newest.front() < 100);  // not a window
}

TEST_CASE("indexed: of equal scores the earlier token is seen") {
    Tensor rows = random_tensor({kChosenText, 64 + 26}, 32);
    for (Index t = 0; t < kChosenText; ++t)
        for (Index i = 88; i < 90; ++i) rows(t, i) = 0.0f;  // w: all scores are 0
    const auto [found, expected] = indexed_both(rows, [](Index t) {
        std::vector<Index> first(usize(std::min<Index>(t + 1, 20)));
        std::iota(first.begin(), first.end(), Index{0});
        return first;
    });
    CHECK(same_bits(found, expected));
}

TEST_CASE("indexed: with a k as large as the text it is grouped attention in every bit") {
    const std::vector<Token> text = drawn_text(kChosenText, 33);
    const auto engine = make_cpu_engine({.threads = 1});
    const auto run = [&](const WeightSource& source) {
        MixedDecoder decoder(load_mixed_model(source, *engine), *engine);
        const auto store = decoder.make_store();
        const auto logits = decoder.forward(*store, text, LogitsOf::all).flat();
        return std::vector<float>(logits.begin(), logits.end());
    };
    DrawnModel model = drawn_model({"indexed", "indexed"});
    const auto small = model.draw();
    model.keys = {{"top_k", kChosenText}};
    const auto indexed = model.draw();
    Metadata metadata = indexed->metadata();
    metadata.set("kvlab.mixers", MetaArray(std::vector<std::string>{"gqa", "gqa"}));
    metadata.erase("kvlab.top_k");
    const EditedSource grouped(*indexed, metadata, [](const std::string& tensor) {
        return tensor.find("index_") == std::string::npos;
    });
    CHECK(run(*indexed) == run(grouped));
    CHECK(run(*small) != run(grouped));
}

TEST_CASE("lsh: attention is that of the definition over the tokens that share a bucket") {
    MixerRig rig(drawn_model({"lsh", "lsh"}));
    const Tensor rows = rig.rows(kChosenText, 34);
    const Tensor hash = to_f32(rig.source->tensor("blk.0.hash.weight"));
    const Index rounds = hash.dim(0);
    const auto bucket = [&](Index t, Index head, Index round) {
        float both[16];
        for (Index e = 0; e < 8; ++e) {
            both[e] = dot(&rows(t, head * 8), 1, &hash(round, 0, e), 8, 8);
            both[8 + e] = -both[e];
        }
        return argmax(both);
    };
    Index seen = 0, alone = 0;
    const auto list = [&](Index head, Index t) {
        std::vector<Index> same;
        for (Index s = 0; s < t; ++s)
            for (Index round = 0; round < rounds; ++round)
                if (bucket(t, head, round) == bucket(s, head, round)) {
                    same.push_back(s);
                    break;
                }
        seen += std::ssize(same);
        alone += same.empty() ? 1 : 0;
        if (same.empty()) same.push_back(t);
        return same;
    };
    const RopeTable& rope = rig.model->frame->rope;
    Tensor keys = rows.clone();
    for (Index t = 0; t < kChosenText; ++t)
        for (Index h = 0; h < 4; ++h) {
            const float norm = std::sqrt(dot(&rows(t, h * 8), &rows(t, h * 8), 8));
            for (Index i = 0; i < 8; ++i) keys(t, h * 8 + i) /= norm > 1e-6f ? norm : 1e-6f;
        }
    const Tensor expected = attend_all_plain(rig.heads(rows, 0, 4, 8, &rope, rig.scale()),
                                             rig.heads(keys, 0, 4, 8, &rope),
                                             rig.heads(rows, 32, 4, 8, nullptr), list);
    CHECK(same_bits(rig.step(rows), expected));
    const Index pairs = 4 * kChosenText * (kChosenText - 1) / 2;
    CHECK(seen > pairs / 50);
    CHECK(seen < pairs / 2);
    CHECK(alone >= 4);  // the first token of each head at least
}
