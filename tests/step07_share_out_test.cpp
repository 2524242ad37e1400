// How the budget of a step is divided: by hand, and by what must hold for any numbers.
#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include <kvlab/serving/share_out.hpp>
#include <kvlab/tensor/random.hpp>

using namespace kvlab;

namespace {

using Numbers = std::vector<Index>;

Numbers shared(const Numbers& unseen, Index budget, bool chunked = true) {
    Numbers shares{99, 99};  // whatever stood there before
    share_out(unseen, budget, chunked, shares);
    return shares;
}

}  // namespace

TEST_SUITE("step07") {
    TEST_CASE("share out: who is being written goes first, wherever it stands") {
        CHECK(shared({1, 1, 1}, 8) == Numbers{1, 1, 1});
        CHECK(shared({50, 1, 1}, 8) == Numbers{6, 1, 1});
        CHECK(shared({1, 50, 1}, 2) == Numbers{1, 0, 1});
        CHECK(shared({}, 8) == Numbers{});
    }

    TEST_CASE("share out: prompts take what is left, in order") {
        CHECK(shared({5, 5, 5}, 12) == Numbers{5, 5, 2});
        CHECK(shared({5, 1, 5}, 7) == Numbers{5, 1, 1});
        CHECK(shared({100, 3}, 64) == Numbers{64, 0});
        CHECK(shared({2, 2}, 4) == Numbers{2, 2});
    }

    TEST_CASE("share out: whole prompts only, and the first one even if it is too long") {
        CHECK(shared({5, 5, 5}, 12, false) == Numbers{5, 5, 0});
        CHECK(shared({5, 9, 4}, 10, false) == Numbers{5, 0, 4});
        CHECK(shared({100, 3}, 64, false) == Numbers{100, 0});
        CHECK(shared({1, 100, 1}, 8, false) == Numbers{1, 100, 1});
        // Too long for what those who write have left of it.
        CHECK(shared({1, 1, 20}, 20, false) == Numbers{1, 1, 20});
        CHECK(shared({20, 1, 4}, 20, false) == Numbers{20, 1, 0});
    }

    TEST_CASE("share out: nothing is lost, for any numbers") {
        Rng random(7);
        Index chunks = 0, waits = 0;
        for (int round = 0; round < 2000; ++round) {
            Numbers unseen;
            for (Index i = random.below(9); i > 0; --i)
                unseen.push_back(random.below(2) == 0 ? 1 : 1 + random.below(100));
            const Index wish = std::accumulate(unseen.begin(), unseen.end(), Index{0});
            const Index budget = std::ssize(unseen) + random.below(120);
            const Numbers shares = shared(unseen, budget);
            REQUIRE(shares.size() == unseen.size());
            CHECK(std::accumulate(shares.begin(), shares.end(), Index{0}) ==
                  std::min(wish, budget));
            bool all_before = true;  // prompts got all that they wished
            for (std::size_t i = 0; i < unseen.size(); ++i) {
                CHECK(shares[i] <= unseen[i]);
                if (unseen[i] == 1) CHECK(shares[i] == 1);
                if (unseen[i] == 1) continue;
                CHECK((all_before || shares[i] == 0));
                all_before = all_before && shares[i] == unseen[i];
                chunks += shares[i] > 0 && shares[i] < unseen[i] ? 1 : 0;
                waits += shares[i] == 0 ? 1 : 0;
            }
            if (!unseen.empty()) CHECK(shares[0] > 0);  // so the first one always goes on
            if (unseen.empty()) continue;
            CHECK(shared(unseen, budget, false)[0] == unseen[0]);
        }
        CHECK(chunks > 0);
        CHECK(waits > 0);
    }
}
