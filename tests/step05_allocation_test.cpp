// Decoding with a policy allocates nothing per token: a program of its own, since it replaces
// operator new.
#include <doctest/doctest.h>

#include <kvlab/attention/generate.hpp>

#include "counting_new.hpp"
#include "policy_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step05");

TEST_CASE("allocations: none per decoded token with any policy") {
    // One thread: of several, each finds room of its own when it first helps with a head, and
    // nobody knows when that is.
    PolicyRig rig(tiny_config());
    const auto prompt = random_tokens(70, 256, 2);
    rig.future = std::make_shared<FutureShares>(rig.decoder, prompt);
    for (const PolicyEntry& entry : all_policies()) {
        CAPTURE(std::string(entry.name));
        PolicyOptions options = small_budget(40);
        options.retained = 0.3;
        const auto store = rig.store(entry.name, options, 300);
        Generator generator(rig.decoder);
        generator.add(*store, prompt, 200);
        generator.step();  // the prompt sizes the buffers
        generator.step();
        const long before = taken();
        for (int i = 0; i < 190; ++i) generator.step();
        CHECK(taken() == before);
    }
}

TEST_SUITE_END();
