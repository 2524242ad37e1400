// Who may share a pool: two callers at once, or a task that calls its own pool, get an Error
// instead of lost tasks. And threads that the system does not give.
#include <doctest/doctest.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include <kvlab/tensor/memory.hpp>
#include <kvlab/tensor/sole_use.hpp>
#include <kvlab/tensor/thread_pool.hpp>

#include "sanitizers.hpp"
#include "skip.hpp"

using namespace kvlab;

namespace {

const char* const kEntered =
    "thread pool: entered while another call is inside; each thread needs one of its own, and "
    "a "
    "task must not use its caller's";

void check_works(ThreadPool& pool) {
    std::vector<int> seen(100);
    pool.run(100, [&](Index i) { ++at(seen, i); });
    CHECK(seen == std::vector<int>(100, 1));
}

// What the Error says that a pool of `threads` ends with; "" if there was none.
std::string refusal(Index threads) {
    try {
        ThreadPool pool(threads);
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

}  // namespace

TEST_SUITE_BEGIN("step01");

TEST_CASE("sole use: one user at a time and free again after an error") {
    SoleUse use;
    for (int round = 0; round < 2; ++round) {
        const SoleUse::Guard first(use, "a thing");
        CHECK_THROWS_AS(SoleUse::Guard(use, "a thing"), Error);
        SoleUse copy = use;  // another thing
        CHECK_NOTHROW(SoleUse::Guard(copy, "a thing"));
    }
}

TEST_CASE("sole use: a task that calls its own pool gets an Error") {
    for (const Index threads : {2, 3, 7}) {
        ThreadPool pool(threads);
        for (int round = 0; round < 20; ++round) {
            CHECK_THROWS_WITH_AS(pool.run(8, [&](Index) { pool.run(4, [](Index) {}); }),
                                 kEntered, Error);
            check_works(pool);
        }
    }
}

TEST_CASE("sole use: what one thread does alone is allowed from within a task") {
    ThreadPool pool(3), alone(1);
    std::atomic<int> ran{0};
    pool.run(8, [&](Index) {
        pool.run(1, [&](Index) { ++ran; });   // one task: the caller runs it
        alone.run(5, [&](Index) { ++ran; });  // a pool of one thread
        pool.run(0, [&](Index) { ++ran; });
    });
    CHECK(ran == 8 * 6);
}

TEST_CASE("sole use: a second thread gets an Error while the first works on") {
    ThreadPool pool(2);
    std::atomic<bool> inside{false}, leave{false};
    std::thread first([&] {
        pool.run(2, [&](Index) {
            inside = true;
            while (!leave) std::this_thread::yield();
        });
    });
    while (!inside) std::this_thread::yield();
    bool refused = false;
    try {
        pool.run(2, [](Index) {});
    } catch (const Error& error) {
        refused = std::string(error.what()) == kEntered;
    }
    leave = true;
    first.join();
    CHECK(refused);
    check_works(pool);
}

// Many short jobs of two threads on one pool: each is refused, or runs all of its tasks.
TEST_CASE("sole use: jobs of two threads on one pool are whole or refused") {
    ThreadPool pool(2);
    std::atomic<int> wrong{0};
    const auto work = [&] {
        std::vector<int> seen(16);
        for (int job = 0; job < 2000; ++job) {
            seen.assign(16, 0);
            try {
                pool.run(16, [&](Index i) { ++at(seen, i); });
            } catch (const Error&) {
                if (seen != std::vector<int>(16, 0)) ++wrong;
                continue;
            }
            if (seen != std::vector<int>(16, 1)) ++wrong;
        }
    };
    std::thread other(work);
    work();
    other.join();
    CHECK(wrong == 0);
    check_works(pool);
}

TEST_CASE("sole use: threads may share a pool of one thread") {
    ThreadPool pool(1);
    std::atomic<int> total{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t)
        threads.emplace_back([&] {
            for (int job = 0; job < 500; ++job) pool.run(4, [&](Index) { ++total; });
        });
    for (std::thread& thread : threads) thread.join();
    CHECK(total == 3 * 500 * 4);
}

#ifdef __GLIBC__
TEST_CASE("threads that cannot be started: an Error with the reason and no thread left") {
    pthread_attr_t before, huge;
    REQUIRE(pthread_getattr_default_np(&before) == 0);
    REQUIRE(pthread_attr_init(&huge) == 0);
    REQUIRE(pthread_attr_setstacksize(&huge, std::size_t{1} << 46) == 0);  // of 2^47 in all
    REQUIRE(pthread_setattr_default_np(&huge) == 0);
    const std::string said = refusal(4);
    REQUIRE(pthread_setattr_default_np(&before) == 0);
    pthread_attr_destroy(&before);
    pthread_attr_destroy(&huge);
    CHECK(said.starts_with("thread pool: expected 4 threads, the system gave "));
    CHECK(refusal(4).empty());
}
#endif

// In a child whose address space ends after a few more stacks: some threads start, then one
// does not.
TEST_CASE("threads that cannot be started: those that run are ended first") {
#if KVLAB_SANITIZED
    test::skip("a sanitizer needs the address space for itself");
#else
    const pid_t child = fork();
    if (child == 0) {
        long pages = 0;
        if (std::FILE* file = std::fopen("/proc/self/statm", "r")) {
            if (std::fscanf(file, "%ld", &pages) != 1) pages = 0;
            std::fclose(file);
        }
        if (pages == 0) _exit(77);
        const auto used = static_cast<rlim_t>(pages) * static_cast<rlim_t>(getpagesize());
        const rlimit limit{used + (rlim_t{160} << 20), used + (rlim_t{160} << 20)};
        if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(77);
        const std::string said = refusal(256);
        const bool some =
            said.starts_with("thread pool: expected 256 threads, the system gave ") &&
            said.find("gave 1:") == std::string::npos;
        _exit(some && refusal(2).empty() ? 0 : 1);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        test::skip("this system does not limit a program's address space");
    else
        CHECK(WEXITSTATUS(status) == 0);
#endif
}

TEST_SUITE_END();
