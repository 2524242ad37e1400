// Ranks that are threads: what arrives, in which order, and what happens if it never does.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <numeric>
#include <string>

#include <kvlab/serving/thread_ranks.hpp>

using namespace kvlab;

TEST_SUITE_BEGIN("step07");

TEST_CASE("ranks: a gather puts all parts together in rank order on every rank") {
    for (const Index ranks : {1, 2, 3, 4}) {
        std::atomic<Index> checked{0};
        run_thread_ranks(ranks, [&](Ranks& mine) {
            const Index rank = mine.rank();
            CHECK(mine.size() == ranks);
            // Rank r has r numbers, so rank 0 has none; again and again, since a rank may be
            // a round ahead of another one.
            std::vector<Index> counts(usize(ranks));
            std::iota(counts.begin(), counts.end(), 0);
            for (int round = 0; round < 200; ++round) {
                const std::vector<float> part(usize(rank),
                                              static_cast<float>(100 * round + rank));
                std::vector<float> all(usize(ranks * (ranks - 1) / 2));
                mine.all_gather(part, counts, all);
                std::vector<float> expected;
                for (Index r = 0; r < ranks; ++r)
                    expected.insert(expected.end(), usize(r),
                                    static_cast<float>(100 * round + r));
                checked += all == expected;
            }
            CHECK(mine.bytes_sent() == 200 * rank * 4 * (ranks - 1));
            mine.barrier();
            const std::vector<Index> numbers = mine.gather_numbers(10 * rank);
            for (Index r = 0; r < ranks; ++r) checked += at(numbers, r) == 10 * r;
            CHECK(mine.bytes_sent() == 200 * rank * 4 * (ranks - 1));
        });
        CHECK(checked == 200 * ranks + ranks * ranks);
    }
}

TEST_CASE("ranks: letters arrive in the order in which they were sent") {
    run_thread_ranks(3, [](Ranks& mine) {
        if (mine.rank() == 2) {
            std::array<std::byte, 2> from_one{};
            std::array<std::byte, 1> from_zero{};
            mine.receive(1, from_one);
            mine.receive(0, from_zero);
            CHECK(from_one == std::array{std::byte{1}, std::byte{2}});
            CHECK(from_zero[0] == std::byte{7});
            mine.receive(0, from_zero);
            CHECK(from_zero[0] == std::byte{8});
            CHECK(mine.bytes_sent() == 0);
        } else if (mine.rank() == 1) {
            mine.send(2, std::array{std::byte{1}, std::byte{2}});
            CHECK(mine.bytes_sent() == 2);
        } else {
            mine.send(2, std::array{std::byte{7}});
            mine.send(2, std::array{std::byte{8}});
        }
    });
}

TEST_CASE("ranks: nobody waits for a rank that has ended") {
    // Rank 0 waits in a gather, rank 2 for a letter; rank 1 fails.
    std::array<std::string, 3> words;
    const auto work = [&](Ranks& mine) {
        try {
            float number = 0;
            std::array<float, 3> all{};
            std::array<std::byte, 1> letter{};
            const std::array<Index, 3> counts{1, 1, 1};
            if (mine.rank() == 1) throw Error("out of memory");
            if (mine.rank() == 0) mine.all_gather({&number, 1}, counts, all);
            if (mine.rank() == 2) mine.receive(1, letter);
        } catch (const Error& error) {
            at(words, mine.rank()) = error.what();
            throw;
        }
    };
    CHECK_THROWS_WITH_AS(run_thread_ranks(3, work), "out of memory", Error);
    CHECK((words[0] == "rank 0 waits in vain: rank 1 has ended" ||
           words[0] == "rank 0 waits in vain: rank 2 has ended"));
    CHECK(words[2] == "rank 2 waits in vain: rank 1 has ended");
}

TEST_CASE("ranks: a letter that was sent arrives after its sender has ended") {
    run_thread_ranks(2, [](Ranks& mine) {
        if (mine.rank() == 0) return mine.send(1, std::array{std::byte{5}});
        std::array<std::byte, 1> letter{};
        mine.receive(0, letter);
        CHECK(letter[0] == std::byte{5});
        CHECK_THROWS_WITH_AS(mine.receive(0, letter), "rank 1 waits in vain: rank 0 has ended",
                             Error);
    });
}

TEST_CASE("ranks: refusals") {
    run_thread_ranks(1, [](Ranks& mine) {
        const std::array<float, 2> part{};
        std::array<float, 2> all{};
        const std::array<Index, 2> two{1, 1};
        CHECK_THROWS_WITH_AS(mine.all_gather(part, two, all),
                             "all_gather: 2 counts for 1 ranks", Error);
        CHECK_THROWS_WITH_AS(mine.all_gather(part, std::array<Index, 1>{-1}, all),
                             "all_gather: a rank with -1 numbers", Error);
        CHECK_THROWS_WITH_AS(mine.all_gather(part, std::array<Index, 1>{1}, all),
                             "all_gather: rank 0 has 2 numbers, the counts say 1", Error);
        CHECK_THROWS_WITH_AS(
            mine.all_gather(part, std::array<Index, 1>{2}, std::span(all).first(1)),
            "all_gather: space for 1 numbers, there are 2", Error);
        CHECK_THROWS_WITH_AS(mine.send(0, {}), "send: rank 0 of 1 has no other rank 0", Error);
        CHECK_THROWS_WITH_AS(mine.receive(1, {}), "receive: rank 0 of 1 has no other rank 1",
                             Error);
    });
    CHECK_THROWS_WITH_AS(run_thread_ranks(0, [](Ranks&) {}),
                         "thread ranks: expected 1 to 64, found 0", Error);
    // Two ranks that do not mean the same gather.
    CHECK_THROWS_AS(run_thread_ranks(2,
                                     [](Ranks& mine) {
                                         const std::vector<float> part(usize(mine.rank() + 1));
                                         std::vector<float> all(usize(2 * mine.rank() + 2));
                                         const Index n = mine.rank() + 1;
                                         mine.all_gather(part, std::array{n, n}, all);
                                     }),
                    Error);
    CHECK_THROWS_WITH_AS(run_thread_ranks(2,
                                          [](Ranks& mine) {
                                              std::array<std::byte, 2> bytes{};
                                              if (mine.rank() == 0)
                                                  mine.send(1, std::span(bytes).first(1));
                                              else
                                                  mine.receive(0, bytes);
                                          }),
                         "receive: rank 0 sent 1 bytes, rank 1 waits for 2", Error);
}

TEST_SUITE_END();
