// Step 5: every policy's store in wrong hands: refused, and as good as before.
#include <doctest/doctest.h>

#include <string>

#include <kvlab/policies/policy_bytes.hpp>
#include <kvlab/policies/registry.hpp>

#include "policy_support.hpp"
#include "store_misuse.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// A store that needs a text that was run before, the oracle's, is the others' store.
template <class Work>
void for_policies(Work&& work) {
    const RopeTable rope(400, 32, 10000.0);
    for (const PolicyEntry& entry : all_policies()) {
        if (entry.looks_ahead()) continue;
        CAPTURE(std::string(entry.name));
        work(entry, [&](const KvShape& shape, Index capacity) -> std::unique_ptr<KvStore> {
            PolicyContext context;
            context.shape = shape;
            context.capacity = capacity;
            context.rope = &rope;
            return entry.make(context, small_budget());
        });
    }
}

}  // namespace

TEST_SUITE_BEGIN("step05");

TEST_CASE("misuse: calls in another order than a step's are refused by every store") {
    for_policies([](const PolicyEntry&, const StoreOfShape& make) {
        for (const KvShape& shape : {KvShape{2, 4, 2, 32}, KvShape{4, 4, 4, 32}})
            check_step_protocol([&] { return make(shape, 40); }, HostRows(shape));
    });
}

TEST_CASE("misuse: shapes and capacities that cannot be are refused by every store") {
    for_policies([](const PolicyEntry&, const StoreOfShape& make) {
        check_bad_shapes(make);
        check_huge_capacities(make);
    });
}

TEST_CASE("misuse: closed forms of bytes refuse shapes and lengths that cannot be") {
    const KvShape shape{2, 4, 2, 32};
    CHECK(full_bytes(shape, 10) == 2 * 2 * 2 * 32 * 10 * 4);
    CHECK_THROWS_AS(full_bytes(shape, Index{1} << 55), Error);
    CHECK_THROWS_AS(full_bytes(shape, -1), Error);
    CHECK_THROWS_AS(full_bytes({-2, 4, 2, 32}, 10), Error);
    for (const PolicyEntry& entry : all_policies()) {
        CAPTURE(std::string(entry.name));
        for (const KvShape& bad : {KvShape{0, 4, 2, 32}, KvShape{-1, 4, 2, 32},
                                   KvShape{2, 4, 0, 32}, KvShape{2, 4, 2, Index{1} << 60}})
            CHECK_THROWS_AS(policy_bytes(entry.name, small_budget(), bad, 10, 20), Error);
        CHECK_THROWS_AS(policy_bytes(entry.name, small_budget(), shape, 10, Index{1} << 58),
                        Error);
    }
}

TEST_SUITE_END();
