// The pool: every task once, whatever the threads do. What breaks it: a worker that is still in
// the last job when the next one starts, a lost wake-up, an exception that ends the program.
#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <vector>

#include <kvlab/tensor/thread_pool.hpp>

using namespace kvlab;

TEST_SUITE_BEGIN("step01");

TEST_CASE("thread pool: each task runs once for any number of threads and tasks") {
    for (Index threads : {1, 2, 3, 7}) {
        ThreadPool pool(threads);
        CHECK(pool.threads() == threads);
        for (Index n : {0, 1, 2, 3, 10, 100, 1000}) {
            std::vector<std::atomic<int>> count(usize(n));
            pool.run(n, [&](Index i) { ++at(count, i); });
            for (auto& c : count) REQUIRE(c.load() == 1);
        }
        pool.run(-3, [](Index) { FAIL("a negative number of tasks runs none"); });
    }
}

TEST_CASE("thread pool: many small jobs one after the other") {
    for (Index threads : {2, 3}) {
        ThreadPool pool(threads);
        std::atomic<Index> total{0};
        Index expected = 0;
        for (Index job = 0; job < 3000; ++job) {
            const Index n = job % 7;
            pool.run(n, [&](Index i) { total += i + job; });
            expected += n * (n - 1) / 2 + n * job;
            REQUIRE(total.load() == expected);  // run() returns after the last task, not before
        }
    }
}

TEST_CASE("thread pool: what a task wrote is seen after run") {
    ThreadPool pool(3);
    std::vector<int> plain(64);  // not atomic: the thread sanitizer watches
    for (int round = 1; round <= 200; ++round) {
        pool.run(64, [&](Index i) { at(plain, i) += round; });
        for (int& v : plain) {
            REQUIRE(v == round);
            v = 0;
        }
    }
}

TEST_CASE("thread pool: an exception comes out of run and the pool works on") {
    for (Index threads : {1, 2, 3}) {
        ThreadPool pool(threads);
        for (int round = 0; round < 50; ++round) {
            CHECK_THROWS_WITH_AS(pool.run(20,
                                          [](Index i) {
                                              if (i == 7) throw std::runtime_error("task 7");
                                          }),
                                 "task 7", std::runtime_error);
            std::atomic<int> count{0};
            pool.run(10, [&](Index) { ++count; });
            REQUIRE(count == 10);
        }
        CHECK_THROWS_AS(pool.run(50, [](Index) { throw std::runtime_error("all"); }),
                        std::runtime_error);
    }
}

TEST_CASE("thread pool: starts and stops without work and in quick succession") {
    for (int i = 0; i < 50; ++i) ThreadPool pool(3);
    for (int i = 0; i < 50; ++i) {
        ThreadPool pool(2);
        std::atomic<int> count{0};
        pool.run(4, [&](Index) { ++count; });
        REQUIRE(count == 4);
    }
    CHECK_THROWS_AS(ThreadPool(0), Error);
    CHECK_THROWS_AS(ThreadPool(257), Error);
}

TEST_SUITE_END();
