// Attention by a pattern: what a token sees, what may be forgotten, and that nobody misses it.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include <kvlab/architectures/pattern.hpp>

#include "mixer_rig.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

constexpr Index kText = 330;

std::vector<std::string> pattern_names() {
    return {"local", "strided", "dilated", "bigbird"};
}

const Pattern& pattern_of(const MixerRig& rig) {
    return dynamic_cast<const PatternAttention&>(rig.mixer()).pattern();
}

DrawnModel with_numbers(const std::string& mixer,
                        const std::vector<std::pair<std::string, Index>>& numbers) {
    DrawnModel model = drawn_model({mixer, mixer});
    for (auto& [key, value] : model.keys)
        for (const auto& [name, number] : numbers)
            if (name == key) value = number;
    return model;
}

std::vector<float> logits_of(const DrawnModel& model, Index rewind = 0) {
    DrawnMixers subject(model);
    const auto store = subject.make_store(rewind);
    const auto text = drawn_text(kText, 21);
    auto bits = subject.run(*store, std::span(text).first(170));
    for (Index t = 170; t < kText; ++t) {
        const auto one = subject.run(*store, std::span(text).subspan(usize(t), 1));
        bits.insert(bits.end(), one.begin(), one.end());
    }
    return bits;
}

}  // namespace

TEST_CASE("patterns: the list is what is seen, and the last reader is the last") {
    for (const std::string& name : pattern_names()) {
        CAPTURE(name);
        const MixerRig rig(drawn_model({name, name}));
        const Pattern& pattern = pattern_of(rig);
        for (Index head = 0; head < 2; ++head) {
            std::vector<Index> last_seen(kText, -1);
            for (Index t = 0; t < kText; ++t) {
                std::vector<Index> list, seen;
                pattern.list(head, t, list);
                for (Index s = 0; s <= t; ++s)
                    if (pattern.sees(head, t, s)) seen.push_back(s);
                CHECK(list == seen);
                CHECK(seen.back() == t);
                for (const Index s : seen) at(last_seen, s) = t;
                Index held = 0;  // what t saw, or a later token may see
                for (Index s = 0; s <= t; ++s)
                    if (const auto last = pattern.last_reader(head, s); !last || *last >= t)
                        ++held;
                CHECK(pattern.held(head, t + 1) == held);
            }
            Index before = 0;
            for (Index s = 0; s < kText; ++s) {
                const auto last = pattern.last_reader(head, s);
                if (!last) continue;
                CHECK(*last >= before);
                before = *last;
                if (*last < kText)
                    CHECK(at(last_seen, s) == *last);
                else
                    CHECK(at(last_seen, s) < *last);
            }
        }
    }
}

TEST_CASE("patterns: what a token sees, by hand") {
    const auto list = [](const std::string& name, Index head, Index t) {
        const MixerRig rig(with_numbers(name, {{"window", name == "bigbird" ? 16 : 3},
                                               {"stride", 4},
                                               {"dilation", 2},
                                               {"block", 8},
                                               {"random_blocks", 1}}));
        std::vector<Index> seen;
        pattern_of(rig).list(head, t, seen);
        return seen;
    };
    CHECK(list("local", 0, 9) == std::vector<Index>{7, 8, 9});
    CHECK(list("local", 1, 1) == std::vector<Index>{0, 1});
    CHECK(list("strided", 0, 9) == std::vector<Index>{1, 5, 6, 7, 8, 9});
    CHECK(list("dilated", 0, 9) == std::vector<Index>{7, 8, 9});
    CHECK(list("dilated", 1, 9) == std::vector<Index>{5, 7, 9});
    CHECK(list("dilated", 1, 3) == std::vector<Index>{1, 3});
    // Blocks 0, one drawn of 0 to 2 and the window, 3 and 4, of which t is the second token.
    const auto seen = list("bigbird", 0, 33);
    CHECK(std::ranges::count_if(seen, [](Index s) { return s < 8; }) == 8);
    CHECK(std::ranges::count_if(seen, [](Index s) { return s >= 24; }) == 10);
    CHECK((seen.size() == 18 || seen.size() == 26));
}

TEST_CASE(
    "patterns: the block that BigBird draws is splitmix64's, another one for each block") {
    // From splitmix64(own + 1) mod (own - 1), worked out in Python; 0 is seen anyway.
    const std::vector<std::pair<Index, Index>> drawn = {{4, 2}, {5, 0}, {6, 2},  {7, 4},
                                                        {8, 2}, {9, 2}, {10, 3}, {11, 3}};
    const MixerRig rig(
        with_numbers("bigbird", {{"window", 16}, {"block", 8}, {"random_blocks", 1}}));
    for (const auto& one : drawn) {
        CAPTURE(one.first);
        for (Index block = 1; block + 1 < one.first; ++block)
            CHECK(pattern_of(rig).sees(0, 8 * one.first, 8 * block) == (block == one.second));
    }
}

TEST_CASE("patterns: attention is that of the definition, over the tokens that are seen") {
    for (const std::string& name : pattern_names()) {
        CAPTURE(name);
        MixerRig rig(drawn_model({name, name}));
        const Pattern& pattern = pattern_of(rig);
        const Tensor rows = rig.rows(kText, 5);
        const RopeTable& rope = rig.model->frame->rope;
        const Tensor q = rig.heads(rows, 0, 4, 8, &rope, rig.scale()),
                     k = rig.heads(rows, 32, 2, 8, &rope),
                     v = rig.heads(rows, 48, 2, 8, nullptr);
        const Tensor expected = attend_all_plain(q, k, v, [&](Index head, Index t) {
            std::vector<Index> seen;
            for (Index s = 0; s <= t; ++s)
                if (pattern.sees(head, t, s)) seen.push_back(s);
            return seen;
        });
        CHECK(same_bits(rig.step(rows), expected));
    }
}

TEST_CASE("patterns: forgetting changes no bit of what a mask over all rows gives") {
    for (const std::string& name : pattern_names()) {
        CAPTURE(name);
        const DrawnModel model = drawn_model({name, name});
        CHECK(logits_of(model) == logits_of(model, model.config.context));
        // It was forgotten, and it was not.
        DrawnMixers subject(model);
        const auto forgets = subject.make_store(), keeps = subject.make_store(400);
        const auto text = drawn_text(kText, 22);
        subject.run(*forgets, text);
        subject.run(*keeps, text);
        const Index all = 2 * kText * 2 * 2 * 8 * Index{sizeof(float)};
        CHECK(keeps->bytes().logical == all);
        const bool bounded = name == "local" || name == "dilated";
        CHECK((forgets->bytes().logical < all) == bounded);
        CHECK((forgets->bytes().allocated < keeps->bytes().allocated) == bounded);
    }
}

TEST_CASE("patterns: one as wide as the text is full attention") {
    const std::vector<float> full = logits_of(drawn_model({"gqa", "gqa"}));
    CHECK(logits_of(with_numbers("local", {{"window", kText}})) == full);
    CHECK(logits_of(with_numbers("local", {{"window", kText - 1}})) != full);
    CHECK(logits_of(with_numbers("strided", {{"stride", 1}})) == full);
    CHECK(logits_of(with_numbers("strided", {{"stride", kText}})) == full);
    CHECK(logits_of(with_numbers("dilated", {{"window", kText}, {"dilation", 1}})) == full);
    CHECK(logits_of(with_numbers("bigbird", {{"window", 336}})) == full);
    CHECK(logits_of(with_numbers("bigbird", {{"window", 8}, {"random_blocks", 0}})) != full);
}

TEST_CASE("patterns: what is forgotten cannot be gone back to, and the error says so") {
    DrawnMixers subject(drawn_model({"local", "local"}));
    const auto text = drawn_text(100, 23);
    const auto store = subject.make_store(10);
    subject.run(*store, text);
    store->truncate(89);  // 100 - 1 - 10: what the token at 89 saw is kept
    subject.run(*store, std::span(text).subspan(89));
    CHECK_THROWS_WITH_AS(store->truncate(88),
                         "rows of a pattern: cannot go back from 100 tokens to 88: the rows "
                         "that its next token sees are forgotten. StateOptions::rewind, here "
                         "10, keeps more",
                         Error);
    CHECK(store->next_position() == 100);
    store->reset();
    CHECK(store->bytes().allocated == 0);
    CHECK(subject.run(*store, text) == subject.run(*subject.make_store(), text));
}

TEST_CASE("patterns: numbers that cannot be are refused") {
    const auto load = [](const std::string& name, const std::string& key, Index number) {
        const MixerRig rig(with_numbers(name, {{key, number}}));
    };
    CHECK_THROWS_WITH_AS(load("local", "window", 0),
                         "drawn model: kvlab.window: expected 1 to 16777216, found 0", Error);
    CHECK_THROWS_WITH_AS(load("strided", "stride", 0),
                         "drawn model: kvlab.stride: expected 1 to 16777216, found 0", Error);
    CHECK_THROWS_WITH_AS(load("dilated", "dilation", 0),
                         "drawn model: kvlab.dilation: expected 1 to 65536, found 0", Error);
    CHECK_THROWS_WITH_AS(
        load("bigbird", "window", 20),
        "drawn model: kvlab.window: expected a multiple of kvlab.block, 8, found 20", Error);
}
