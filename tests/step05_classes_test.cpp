// Step 5: why a token is still there. Mistakes in mind: a protected number of tokens that is
// not the policy's own, a state that is read in slot order with another stride, positions taken
// for slots, reasons given before anything had to go.
#include <doctest/doctest.h>

#include <algorithm>

#include <kvlab/policies/mini_cache.hpp>
#include <kvlab/policies/slot_classes.hpp>

#include "policy_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

struct ClassRig : PolicyRig {
    ClassRig() : PolicyRig(config()) {}

    static Config config() {
        Config c = small_config();
        c.layers = 4;
        return c;
    }

    // A prompt of 30 tokens, then 25 one by one.
    std::unique_ptr<PolicyStore> filled(const std::string& name, const PolicyOptions& options) {
        if (find_policy(name).looks_ahead())
            future = std::make_shared<FutureShares>(decoder, text());
        auto made = store(name, options, 64, 30);
        logits(*made, text(), one_by_one(30, 25));
        return made;
    }

    std::vector<Token> text() const {
        return random_tokens(55, decoder.model().config.vocab, 5);
    }
};

std::vector<Index> of_class(const std::vector<SlotClass>& classes, SlotClass wanted) {
    std::vector<Index> positions;
    for (std::size_t p = 0; p < classes.size(); ++p)
        if (classes[p] == wanted) positions.push_back(static_cast<Index>(p));
    return positions;
}

std::vector<Index> range(Index first, Index end) {
    std::vector<Index> positions;
    for (Index p = first; p < end; ++p) positions.push_back(p);
    return positions;
}

}  // namespace

TEST_SUITE_BEGIN("step05");

TEST_CASE("classes: what is not evicted is what the store holds") {
    ClassRig rig;
    for (const PolicyEntry& entry : all_policies()) {
        CAPTURE(std::string(entry.name));
        const auto store = rig.filled(entry.name, small_budget());
        for (Index layer = 0; layer < 4; ++layer)
            for (Index h = 0; h < store->shape().kv_heads; ++h) {
                const auto classes = slot_classes(*store, layer, h);
                REQUIRE(classes.size() == 55);
                std::vector<Index> held;
                for (Index p = 0; p < 55; ++p)
                    if (at(classes, p) != SlotClass::evicted) held.push_back(p);
                CHECK(held == store->kept(layer, h));
            }
        CHECK_THROWS_AS(slot_classes(*store, 4, 0), Error);
        CHECK_THROWS_AS(slot_classes(*store, 0, store->shape().kv_heads), Error);
    }
}

TEST_CASE("classes: sinks and last tokens are as many as each method says") {
    ClassRig rig;
    const auto recent_of = [&](const std::string& name, const PolicyOptions& options) {
        return of_class(slot_classes(*rig.filled(name, options), 1, 0), SlotClass::recent);
    };
    PolicyOptions options = small_budget();
    options.recent = 7;
    for (const char* name : {"h2o", "h2o-mean", "h2o-forgetting", "keyformer", "scissorhands",
                             "random", "random-fixed", "key-norm-every-layer"}) {
        CAPTURE(std::string(name));
        const auto store = rig.filled(name, options);
        const auto classes = slot_classes(*store, 1, 0);
        CHECK(of_class(classes, SlotClass::recent) == range(48, 55));
        CHECK(of_class(classes, SlotClass::heavy).size() == 17);
        CHECK(of_class(classes, SlotClass::sink).empty());
        CHECK(of_class(classes, SlotClass::kept).empty());
    }
    // The defaults: half, 30 %, 10; none.
    CHECK(recent_of("h2o", small_budget()) == range(43, 55));
    CHECK(recent_of("keyformer", small_budget()) == range(48, 55));
    CHECK(recent_of("scissorhands", small_budget()) == range(45, 55));
    for (const char* name :
         {"tova", "random", "random-fixed", "key-norm-every-layer", "oracle"})
        CHECK(recent_of(name, small_budget()).empty());

    CHECK(recent_of("window", small_budget()) == range(31, 55));
    for (const char* name : {"sinks", "sinks-relative"}) {
        const auto classes = slot_classes(*rig.filled(name, small_budget()), 2, 1);
        CHECK(of_class(classes, SlotClass::sink) == range(0, 4));
        CHECK(of_class(classes, SlotClass::recent) == range(35, 55));
    }
    // Once, after the prompt: its last 8 tokens, and all that came since.
    for (const char* name : {"snapkv", "pyramidkv"}) {
        const auto store = rig.filled(name, small_budget());
        const auto classes = slot_classes(*store, 3, 0);
        CHECK(of_class(classes, SlotClass::recent) == range(22, 55));
        CHECK(of_class(classes, SlotClass::heavy).size() == store->kept(3, 0).size() - 33);
    }
}

TEST_CASE("classes: no reason is given before anything has to go") {
    ClassRig rig;
    for (const char* name : {"full", "quest"})
        CHECK(of_class(slot_classes(*rig.filled(name, small_budget()), 0, 1),
                       SlotClass::kept) == range(0, 55));
    auto store = rig.store("sinks", small_budget(), 64);
    const std::vector<Token> text = rig.text();
    rig.logits(*store, std::span(text).first(24));
    CHECK(of_class(slot_classes(*store, 0, 0), SlotClass::kept) == range(0, 24));
    store->truncate(0);
    CHECK(slot_classes(*store, 0, 0).empty());
}

TEST_CASE("classes: merged is what MiniCache does not retain") {
    ClassRig rig;
    PolicyOptions options;
    options.retained = 0.2;
    const auto store = rig.filled("minicache", options);
    const auto& mini = dynamic_cast<const MiniCache&>(*store);
    for (Index layer = 0; layer < 4; ++layer) {
        const auto classes = slot_classes(*store, layer, 1);
        const auto kept = of_class(classes, SlotClass::kept);
        CHECK(kept == mini.retained(layer, 1));
        CHECK(of_class(classes, SlotClass::merged).size() == 55 - kept.size());
        CHECK(kept.size() == (layer < 2 ? 55 : 11));
    }
}

TEST_SUITE_END();
