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

namespace {

class RowsOnDevice final : public ProtocolRows {
public:
    explicit RowsOnDevice(const KvShape& s)
        : shape_(s),
          k_(kMost, s.kv_heads * s.head_dim, normals(kMost * s.kv_heads * s.head_dim, 1), 0),
          q_(kMost, s.heads * s.head_dim, normals(kMost * s.heads * s.head_dim, 2), 0),
          out_(kMost, s.heads * s.head_dim, 0) {}

    View<const float> k(Index T) const override {
        return k_.heads(shape_.kv_heads).slice(0, 0, T);
    }

    View<const float> q(Index T) const override {
        return q_.heads(shape_.heads).slice(0, 0, T);
    }

    View<float> out(Index T) const override { return out_.heads(shape_.heads).slice(0, 0, T); }

    std::vector<float> numbers(const View<float>& out) const override {
        std::vector<float> all(usize(out.shape().size()));
        copy_bytes_to_host(all.data(), out.data(), out.shape().size() * Index{sizeof(float)});
        return all;
    }

private:
    static constexpr Index kMost = 8;  // tokens

    KvShape shape_;
    DeviceRows k_, q_, out_;
};

}  // namespace

TEST_SUITE_BEGIN("step04");

TEST_CASE("misuse: device memory of sizes that cannot be is refused") {
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

TEST_CASE("misuse: shapes and capacities that cannot be are refused") {
    const StoreOfShape make = [](const KvShape& shape, Index capacity) {
        return std::make_unique<CudaCache>(shape, capacity);
    };
    check_bad_shapes(make);
    check_huge_capacities(make);
}

TEST_CASE("misuse: calls in another order than a step's are refused and change nothing") {
    const KvShape shape{2, 4, 2, 32};
    const auto make = [&] { return std::make_unique<CudaCache>(shape, 20); };
    check_step_protocol(make, RowsOnDevice(shape));
    // Rows whose heads do not lie side by side are refused by the cache itself: a step that
    // fails, after which nothing but abandon() goes on.
    const auto store = make();
    const DeviceRows wide(2, 4 * 32, 0);
    const View<const float> not_side_by_side(wide.view().data(), {2, 2, 32},
                                             {4 * 32, 2 * 32, 1, 0});
    store->begin(2);
    CHECK_THROWS_AS(store->append(0, not_side_by_side, not_side_by_side), Error);
    CHECK_THROWS_WITH_AS(store->commit(), "cuda cache: a step ends with 0 of 2 layers", Error);
    store->abandon();
    const RowsOnDevice rows(shape);
    CHECK(run_step(*store, rows, 2) == run_step(*make(), rows, 2));
}

TEST_CASE("misuse: threads with an engine each give the bits of one thread") {
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
