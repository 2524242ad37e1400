// What going back costs a recurrent mixer, and what it refuses.
#include <doctest/doctest.h>

#include <algorithm>

#include <kvlab/architectures/recurrent.hpp>
#include <kvlab/attention/observer.hpp>

#include "drawn_mixers.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

const std::vector<std::string> kRecurrentMixers = {"linear", "delta", "s4d", "mamba", "rwkv"};

// Breaks a step off when the first layer has taken its tokens in and the second has not.
class FailsInLayer0 final : public Observer {
public:
    void on(Op op, Index layer, const View<const float>&, std::span<const Index>) override {
        if (op == Op::attention && layer == 0) throw Error("enough seen");
    }
};

// The bytes of a layer's copies after `length` tokens: one where a multiple of 64 begins, from
// the last one that is needed for going back by `rewind` on, with room for the 64 rows behind.
Index copies_bytes(const RecurrentMixer& mixer, Index length, Index rewind) {
    const Index first = std::max<Index>(0, length - rewind) / 64 * 64;
    const Index copies = (length - first + 63) / 64;
    return copies * (mixer.state_floats() + 64 * mixer.projected_width()) * 4;
}

const RecurrentMixer& recurrent_layer(const DrawnMixers& subject, Index layer) {
    return dynamic_cast<const RecurrentMixer&>(
        *at(subject.decoder.mixed_model().mixers, layer));
}

}  // namespace

TEST_CASE("recurrent: the floats of a state are those of the table") {
    // The small model: 32 wide, 4 heads of 8, states of 6, 40 inner channels.
    const std::pair<const char*, Index> sizes[] = {{"linear", 4 * (8 * 8 + 8)},
                                                   {"delta", 4 * 8 * 8 + 3 * 3 * 32},
                                                   {"s4d", 32 * 2 * 6},
                                                   {"mamba", 40 * 6 + 3 * 40},
                                                   {"rwkv", 4 * 32}};
    for (const auto& one : sizes) {
        const std::string name = one.first;
        const Index floats = one.second;
        CAPTURE(name);
        const DrawnMixers subject({name, name});
        CHECK(recurrent_layer(subject, 0).state_floats() == floats);
        CHECK(recurrent_layer(subject, 1).state_bytes(12345) == 4 * floats);
    }
}

TEST_CASE("recurrent: copies let a text go back, at borders too, and cost what is said") {
    for (const std::string& name : kRecurrentMixers) {
        CAPTURE(name);
        DrawnMixers subject({name, name});
        const std::vector<Token> text = drawn_text(200, 14), other = drawn_text(140, 15);
        const std::vector<float> whole = subject.run(*subject.make_store(), text);
        const RecurrentMixer& mixer = recurrent_layer(subject, 0);
        const auto plain = subject.make_store();
        subject.run(*plain, text);
        for (const Index rewind :
             {Index{1}, Index{8}, Index{64}, Index{71}, Index{72}, Index{73}, Index{136}}) {
            CAPTURE(rewind);  // 200 - 8, - 72 and - 136 are borders
            const auto store = subject.make_store(rewind);
            for (Index first = 0; first < 200; first += 50) {
                const auto part = std::span(text).subspan(usize(first), 50);
                subject.run(*store, part);
                const Index cost = store->bytes().allocated - plain->bytes().allocated;
                CHECK(cost == 2 * copies_bytes(mixer, first + 50, rewind));
                CHECK(cost <= 2 * mixer.rewind_bytes(rewind));
            }
            // As far back as is promised, other tokens, back again, and the text's own.
            const Index to = 200 - rewind;
            store->truncate(to);
            const auto fork = store->fork();
            subject.run(*store, std::span(other).first(usize(rewind)));
            store->truncate(to);
            for (MixedStore* one : {store.get(), dynamic_cast<MixedStore*>(fork.get())}) {
                const auto again = subject.run(*one, std::span(text).subspan(usize(to)));
                CHECK(std::equal(again.begin(), again.end(), whole.begin() + to * kMixerVocab));
            }
        }
    }
}

TEST_CASE("recurrent: a state without copies says why it cannot go back") {
    for (const std::string& name : kRecurrentMixers) {
        CAPTURE(name);
        DrawnMixers subject({name, name});
        const std::vector<Token> text = drawn_text(150, 16);
        const auto store = subject.make_store();
        const std::vector<float> whole = subject.run(*store, text);
        CHECK_THROWS_WITH_AS(store->truncate(149),
                             doctest::Contains("cannot go back from 150 tokens to 149"), Error);
        store->truncate(150);
        store->truncate(0);  // the beginning needs no copy
        CHECK(subject.run(*store, text) == whole);
        const auto short_one = subject.make_store(10);
        subject.run(*short_one, text);
        CHECK_THROWS_WITH_AS(short_one->truncate(100),
                             doctest::Contains("copies are kept from token 128 on"), Error);
    }
    DrawnMixers subject({"mamba", "mamba"});
    CHECK_THROWS_WITH_AS(subject.decoder.make_store({.rewind = 3}),
                         doctest::Contains("needs an engine"), Error);
}

TEST_CASE("recurrent: a step that ends between two layers leaves nothing in either") {
    for (const std::string& name : kRecurrentMixers)
        for (const Index rewind : {Index{0}, Index{90}}) {
            CAPTURE(name);
            CAPTURE(rewind);
            DrawnMixers subject({name, name});
            const std::vector<Token> text = drawn_text(192, 17), other = drawn_text(70, 18);
            const std::vector<float> whole = subject.run(*subject.make_store(), text);
            const auto store = subject.make_store(rewind);
            subject.run(*store, std::span(text).first(128));
            FailsInLayer0 fails;
            {
                const Observing watched(subject.decoder, fails);
                CHECK_THROWS_AS(subject.run(*store, other), Error);
            }
            CHECK(store->next_position() == 128);
            if (rewind > 0) store->truncate(100);
            const Index from = rewind > 0 ? 100 : 128;
            const auto rest = subject.run(*store, std::span(text).subspan(usize(from)));
            CHECK(std::equal(rest.begin(), rest.end(), whole.begin() + from * kMixerVocab));
        }
}
