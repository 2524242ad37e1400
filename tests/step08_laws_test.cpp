// The laws of every mixer: what a text's tokens give does not depend on how they came.
#include <doctest/doctest.h>

#include <algorithm>

#include <kvlab/attention/observer.hpp>
#include <kvlab/tensor/simd_level.hpp>

#include "drawn_mixers.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// Breaks a step off when the second layer has remembered its tokens, before it counts.
class FailsInLayer1 final : public Observer {
public:
    void on(Op op, Index layer, const View<const float>&, std::span<const Index>) override {
        if (op == Op::attention && layer == 1) throw Error("enough seen");
    }
};

}  // namespace

TEST_CASE("mixers: any cut of a text into steps gives the same bits") {
    for (const auto& mixers : drawn_layers()) {
        CAPTURE(layer_names(mixers));
        DrawnMixers subject(mixers);
        const std::vector<Token> text = drawn_text(200, 3);
        const auto whole_store = subject.make_store();
        const std::vector<float> whole = subject.run(*whole_store, text);
        for (const Index chunk : {Index{1}, Index{7}, Index{64}, Index{100}}) {
            CAPTURE(chunk);
            const auto store = subject.make_store();
            std::vector<float> parts;
            for (Index first = 0; first < 200; first += chunk) {
                const Index count = std::min(chunk, 200 - first);
                const auto part =
                    subject.run(*store, std::span(text).subspan(usize(first), usize(count)));
                parts.insert(parts.end(), part.begin(), part.end());
            }
            CHECK(parts == whole);
        }
    }
}

TEST_CASE("mixers: the bytes held are those of the closed form") {
    for (const auto& mixers : drawn_layers()) {
        CAPTURE(layer_names(mixers));
        DrawnMixers subject(mixers);
        const std::vector<Token> text = drawn_text(300, 11);
        const auto store = subject.make_store();
        Index held = 0;
        for (const Index length : {Index{10}, Index{100}, Index{300}}) {
            CAPTURE(length);
            subject.run(*store, std::span(text).subspan(usize(held), usize(length - held)));
            held = length;
            CHECK(store->bytes().logical == subject.decoder.mixed_model().state_bytes(length));
            CHECK(store->bytes().allocated >= store->bytes().logical);
        }
    }
}

TEST_CASE("mixers: after going back the same tokens give the same bits") {
    for (const auto& mixers : drawn_layers()) {
        CAPTURE(layer_names(mixers));
        DrawnMixers subject(mixers);
        const std::vector<Token> text = drawn_text(200, 4), other = drawn_text(40, 5);
        const auto store = subject.make_store(190);
        const std::vector<float> whole = subject.run(*store, text);
        for (const Index to : {Index{199}, Index{150}, Index{128}, Index{101}, Index{0}}) {
            CAPTURE(to);
            store->truncate(to);
            subject.run(*store, other);
            store->truncate(to);
            const auto again = subject.run(*store, std::span(text).subspan(usize(to)));
            CHECK(std::equal(again.begin(), again.end(), whole.begin() + to * kMixerVocab));
        }
    }
}

TEST_CASE("mixers: a step that is abandoned never was") {
    for (const auto& mixers : drawn_layers()) {
        CAPTURE(layer_names(mixers));
        DrawnMixers subject(mixers);
        const std::vector<Token> text = drawn_text(130, 12), other = drawn_text(70, 13);
        const auto store = subject.make_store();
        const auto part = [&](Index first, Index last) {
            return subject.run(*store,
                               std::span(text).subspan(usize(first), usize(last - first)));
        };
        part(0, 100);
        const KvBytes before = store->bytes();
        FailsInLayer1 fails;
        {
            const Observing watched(subject.decoder, fails);
            CHECK_THROWS_AS(subject.run(*store, other), Error);
        }
        CHECK(store->next_position() == 100);
        CHECK(store->bytes().logical == before.logical);
        const auto rest = part(100, 130);
        const auto whole = subject.run(*subject.make_store(), text);
        CHECK(std::equal(rest.begin(), rest.end(), whole.begin() + 100 * kMixerVocab));
    }
}

TEST_CASE("mixers: a fork and its original go on independently") {
    for (const auto& mixers : drawn_layers()) {
        CAPTURE(layer_names(mixers));
        DrawnMixers subject(mixers);
        const std::vector<Token> text = drawn_text(90, 6);
        std::vector<Token> ends[2] = {drawn_text(60, 7), drawn_text(60, 8)};
        const auto store = subject.make_store();
        subject.run(*store, text);
        const auto fork = store->fork();
        CHECK(fork->bytes().logical == store->bytes().logical);
        const auto of_fork = subject.run(*fork, ends[0]), own = subject.run(*store, ends[1]);
        for (int which : {0, 1}) {
            std::vector<Token> all = text;
            all.insert(all.end(), ends[which].begin(), ends[which].end());
            const auto whole = subject.run(*subject.make_store(), all);
            const auto& rest = which == 0 ? of_fork : own;
            CHECK(std::equal(rest.begin(), rest.end(), whole.begin() + 90 * kMixerVocab));
        }
    }
}

TEST_CASE("mixers: threads and SIMD levels give the same bits") {
    for (const auto& mixers : drawn_layers()) {
        CAPTURE(layer_names(mixers));
        const std::vector<Token> text = drawn_text(150, 9);
        const auto run = [&](const CpuOptions& options) {
            DrawnMixers subject(drawn_model(mixers), options);
            const auto store = subject.decoder.make_store({.level = options.level});
            auto bits = subject.run(*store, std::span(text).first(140));
            for (Index t = 140; t < 150; ++t) {
                const auto one = subject.run(*store, std::span(text).subspan(usize(t), 1));
                bits.insert(bits.end(), one.begin(), one.end());
            }
            return bits;
        };
        const auto expected = run({.threads = 1, .level = SimdLevel::portable});
        for (const SimdLevel level : supported_simd_levels())
            CHECK(run({.threads = 1, .level = level}) == expected);
        for (const Index threads : {Index{2}, Index{3}})
            CHECK(run({.threads = threads}) == expected);
    }
}

TEST_CASE("mixers: a text in a batch has the bits that it has alone") {
    for (const auto& mixers : drawn_layers()) {
        CAPTURE(layer_names(mixers));
        DrawnMixers subject(mixers);
        const Index lengths[] = {1, 40, 90};
        std::vector<std::unique_ptr<MixedStore>> stores;
        std::vector<std::vector<Token>> texts;
        for (const Index length : lengths) {
            texts.push_back(drawn_text(length + 30, static_cast<std::uint64_t>(length)));
            stores.push_back(subject.make_store());
            subject.run(*stores.back(), std::span(texts.back()).first(usize(length)));
        }
        const Index counts[] = {30, 1, 7};
        std::vector<SequenceStep> batch;
        for (std::size_t i = 0; i < 3; ++i)
            batch.push_back({stores[i].get(),
                             std::span(texts[i]).subspan(usize(lengths[i]), usize(counts[i])),
                             LogitsOf::all});
        const auto rows = subject.decoder.forward(batch).flat();
        const std::vector<float> together(rows.begin(), rows.end());
        auto from = together.begin();
        for (std::size_t i = 0; i < 3; ++i) {
            const auto alone =
                subject.run(*subject.make_store(),
                            std::span(texts[i]).first(usize(lengths[i] + counts[i])));
            CHECK(std::equal(alone.begin() + lengths[i] * kMixerVocab, alone.end(), from));
            from += counts[i] * kMixerVocab;
        }
        CHECK(from == together.end());
    }
}

TEST_CASE("mixers: a store that was made for another model is refused") {
    DrawnMixers subject({"mamba", "gqa"}), other({"gqa", "mamba"});
    const auto store = other.make_store(), own = subject.make_store();
    const std::vector<Token> text = drawn_text(20, 14);
    CHECK_THROWS_WITH_AS(subject.run(*store, text),
                         "decoder: a model with mixers needs stores that are made for it",
                         Error);
    const std::vector<float> expected = other.run(*other.make_store(), text);
    CHECK(other.run(*store, text) == expected);  // nothing of the step is left in it
    const SequenceStep batch[] = {{own.get(), text, LogitsOf::all},
                                  {store.get(), text, LogitsOf::all}};
    CHECK_THROWS_AS(subject.decoder.forward(batch), Error);
    CHECK(subject.run(*own, text) == subject.run(*subject.make_store(), text));
}
