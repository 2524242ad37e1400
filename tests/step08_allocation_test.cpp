// A recurrence takes no memory per token: a program of its own, since it replaces operator new.
#include <doctest/doctest.h>

#include "counting_new.hpp"
#include "drawn_mixers.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step08");

TEST_CASE("allocations: none per token of a recurrence, alone or in a batch") {
    for (const char* name : {"linear", "delta", "s4d", "mamba", "rwkv"})
        for (const Index threads : {Index{1}, Index{2}}) {
            CAPTURE(name);
            CAPTURE(threads);
            DrawnMixers subject({name, name}, threads);
            const std::vector<Token> text = drawn_text(150, 61);
            const auto one = subject.make_store(), other = subject.make_store();
            std::vector<SequenceStep> batch{{one.get(), {}, LogitsOf::last},
                                            {other.get(), {}, LogitsOf::last}};
            const auto step = [&](Index first, Index count) {
                for (SequenceStep& part : batch)
                    part.tokens = std::span(text).subspan(usize(first), usize(count));
                subject.decoder.forward(batch);
            };
            step(0, 20);  // sizes the buffers
            const long before = taken();
            for (Index t = 20; t < 150; ++t) step(t, 1);
            CHECK(taken() == before);
            // A step that is no larger than an earlier one needs none either.
            one->truncate(0);
            other->truncate(0);
            step(0, 20);
            CHECK(taken() == before);
        }
}

TEST_CASE("allocations: copies for going back are taken at borders alone") {
    DrawnMixers subject({"delta", "mamba"});
    const auto store = subject.make_store(1);
    const std::vector<Token> text = drawn_text(200, 62);
    subject.run(*store, std::span(text).first(70));
    std::vector<Index> places;
    for (Index t = 70; t < 200; ++t) {
        const long before = taken();
        subject.decoder.forward(*store, std::span(text).subspan(usize(t), 1));
        if (taken() != before) places.push_back(t);
    }
    CHECK(places == std::vector<Index>{128, 192});
}

TEST_SUITE_END();
