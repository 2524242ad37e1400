// A random walk over everything that can be done to a text: whatever came before, its next
// tokens have the bits of a run from the beginning.
#include <doctest/doctest.h>

#include <algorithm>

#include "drawn_mixers.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

constexpr Index kWalkRewind = 70;

struct WalkedText {
    std::vector<Token> tokens;
    std::unique_ptr<KvStore> store;
    Index kept = 0;  // the shortest text that is promised to go back to
};

// Appends so many tokens to each text, as one batch. False if a row has other bits than alone.
bool walk_on(DrawnMixers& subject,
             std::span<WalkedText> texts,
             std::span<const Index> counts,
             std::uint64_t seed) {
    std::vector<SequenceStep> batch;
    for (std::size_t i = 0; i < texts.size(); ++i) {
        const std::vector<Token> more = drawn_text(counts[i], seed + i);
        texts[i].tokens.insert(texts[i].tokens.end(), more.begin(), more.end());
        batch.push_back({texts[i].store.get(), std::span(texts[i].tokens).last(more.size()),
                         LogitsOf::all});
    }
    const auto rows = subject.decoder.forward(batch).flat();
    const std::vector<float> together(rows.begin(), rows.end());
    auto from = together.begin();
    for (std::size_t i = 0; i < texts.size(); ++i) {
        const auto whole = subject.run(*subject.make_store(), texts[i].tokens);
        const Index floats = counts[i] * kMixerVocab;
        if (!std::equal(whole.end() - floats, whole.end(), from)) return false;
        from += floats;
        texts[i].kept = std::max(texts[i].kept, std::ssize(texts[i].tokens) - kWalkRewind);
    }
    return true;
}

}  // namespace

TEST_CASE("mixers: a random walk of steps, forks and ways back gives the bits of one run") {
    std::uint64_t seed = 90;
    Index forks = 0, backs = 0;
    for (const auto& mixers : drawn_layers()) {
        CAPTURE(layer_names(mixers));
        DrawnMixers subject(mixers);
        Rng rng(++seed);
        WalkedText texts[2];
        for (WalkedText& text : texts) text.store = subject.make_store(kWalkRewind);
        for (Index move = 0; move < 8; ++move) {
            CAPTURE(move);
            for (WalkedText& text : texts) {
                const Index back =
                    rng.below(2) * rng.below(std::ssize(text.tokens) - text.kept + 1);
                if (back == 0) continue;
                text.tokens.resize(text.tokens.size() - usize(back));
                text.store->truncate(std::ssize(text.tokens));
                ++backs;
            }
            if (rng.below(3) == 0) {
                texts[0] = {texts[1].tokens, texts[1].store->fork(), texts[1].kept};
                ++forks;
            }
            const Index counts[] = {1 + rng.below(30), 1 + rng.below(2) * rng.below(40)};
            CHECK(walk_on(subject, texts, counts,
                          seed * 1000 + static_cast<std::uint64_t>(move)));
        }
    }
    CHECK(forks > 20);
    CHECK(backs > 100);
}
