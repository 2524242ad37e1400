// Golden checksums: the same bits from every compiler, optimisation level, SIMD level, thread
// count and processor. tests/data/golden.txt holds them; this program built any other
// way must agree.
#include <doctest/doctest.h>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/rope.hpp>
#include <kvlab/weights/gguf_file.hpp>

#include "golden.hpp"
#include "models.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// 24 tokens after a prompt of 70, greedy, with the cache: every row of logits.
std::string run_checksum(const WeightSource& source,
                         CpuOptions options,
                         SamplingOptions sampling = {}) {
    auto engine = make_cpu_engine(options);
    Decoder decoder(load_model(source, *engine), *engine);
    KvCache cache(decoder.kv_shape(), 128, options.level);
    Generator generator(decoder);
    generator.add(cache, random_tokens(70, decoder.config().vocab, 11), 24, sampling);
    generator.run();
    return generator.checksum().hex();
}

}  // namespace

TEST_SUITE_BEGIN("golden");

TEST_CASE("golden: synthetic weights") {
    const std::pair<const char*, Config> cases[] = {{"tiny-shape", tiny_config()},
                                                    {"small-mha", small_config(4, 4)},
                                                    {"small-mqa", small_config(4, 1)},
                                                    {"small-gpt2", small_gpt2()}};
    for (const auto& [name, config] : cases) {
        Checksum weights;
        const auto source = make_synthetic(config, 42);
        for (const TensorInfo& info : source->tensors()) weights.add(to_f32(info).flat());
        check_golden(std::string(name) + "-weights", weights.hex());
        for (const SimdLevel level : supported_simd_levels())
            for (const Index threads : {1, 2}) {
                CAPTURE(simd_level_name(level));
                check_golden(name, run_checksum(*source, {threads, level}));
            }
    }
}

TEST_CASE("golden: a sampled text") {
    const auto source = make_synthetic(tiny_config(), 42);
    check_golden("tiny-shape-sampled", run_checksum(*source, {}, {0.8f, 50, 0.9f, 7}));
}

TEST_CASE("golden: the trained models") {
    for (const char* name : {"tiny", "deep"}) {
        const auto file = GgufFile::open(weights_file(std::string(name) + ".gguf"));
        for (const SimdLevel level : supported_simd_levels())
            check_golden(name, run_checksum(file, {2, level}));
    }
}

TEST_CASE("golden: RoPE tables of tiny and SmolLM2") {
    const auto table_checksum = [](Index positions, Index dim, double base) {
        const RopeTable table(positions, dim, base);
        Checksum sum;
        for (Index p = 0; p < positions; ++p) {
            sum.add({table.cos(p), usize(dim / 2)});
            sum.add({table.sin(p), usize(dim / 2)});
        }
        return sum.hex();
    };
    check_golden("rope-tiny", table_checksum(512, 16, 10000.0));
    check_golden("rope-smollm2", table_checksum(8192, 64, 100000.0));
}

TEST_SUITE_END();
