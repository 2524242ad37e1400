// Step 4: device memory and the device's cache in wrong hands, and two threads with
// an engine each.
#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <thread>

#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/cuda/cuda_cache.hpp>
#include <kvlab/cuda/cuda_engine.hpp>

#include "device_support.hpp"
#include "models.hpp"
#include "store_misuse.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step04");

TEST_CASE("4.1 misuse: device memory of sizes that cannot be is refused") {
    for (int e = 46; e <= 62; ++e)
        for (const Index near : {-1, 0, 1}) {
            CAPTURE(e);
            CHECK_THROWS_AS(DeviceArray<float>((Index{1} << e) + near), Error);
        }
    for (const Index bad : {Index{0}, Index{-1}, std::numeric_limits<Index>::min()})
        CHECK_THROWS_AS(DeviceArray<float>(bad, "few"), Error);
    CHECK_THROWS_WITH_AS(DeviceArray<float>(Index{1} << 62, "keys"),
                         "keys: 4611686018427387904 x 4 does not fit in 64 bits", Error);
}

TEST_CASE("4.5 misuse: shapes and capacities that cannot be are refused") {
    const StoreOfShape make = [](const KvShape& shape, Index capacity) {
        return std::make_unique<CudaCache>(shape, capacity);
    };
    check_bad_shapes(make);
    check_huge_capacities(make);
}

TEST_CASE("4.5 misuse: attend outside of a step or with other shapes is refused") {
    CudaCache cache({2, 4, 2, 32}, 20);
    const std::vector<float> numbers(3 * 4 * 32, 0.5f);
    const DeviceRows rows(3, 2 * 32, std::span(numbers).first(3 * 2 * 32), 0),
        q(3, 4 * 32, numbers, 0), out(3, 4 * 32, 0), more(4, 4 * 32, 0);
    ThreadPool pool(1);
    const auto attend = [&](Index layer) {
        cache.attend(layer, q.heads(4), out.heads(4), pool);
    };
    CHECK_THROWS_AS(attend(0), Error);
    cache.begin(3);
    CHECK_THROWS_AS(attend(0), Error);
    cache.append(0, rows.heads(2), rows.heads(2));
    CHECK_NOTHROW(attend(0));
    CHECK_THROWS_AS(attend(1), Error);
    CHECK_THROWS_AS(attend(-1), Error);
    CHECK_THROWS_AS(cache.attend(0, more.heads(4), out.heads(4), pool), Error);
    CHECK_THROWS_AS(cache.attend(0, q.heads(4), more.heads(4), pool), Error);
    cache.append(1, rows.heads(2), rows.heads(2));
    cache.commit();
    CHECK_THROWS_AS(attend(0), Error);
}

TEST_CASE("4.5 misuse: threads with an engine each give the bits of one thread") {
    const auto weights = make_synthetic(small_config(), 12);
    const auto checksum = [&] {
        const auto engine = make_cuda_engine();
        Decoder decoder(load_model(*weights, *engine), *engine);
        CudaCache cache(decoder.kv_shape(), 40);
        Generator generator(decoder);
        generator.add(cache, random_tokens(9, decoder.config().vocab, 4), 3);
        generator.run();
        return generator.checksum().hex();
    };
    const std::string expected = checksum();
    std::string found[2];
    {
        std::thread other([&] { found[0] = checksum(); });
        found[1] = checksum();
        other.join();
    }
    CHECK(found[0] == expected);
    CHECK(found[1] == expected);
}

TEST_SUITE_END();
