// A model file that llama.cpp quantised: its numbers are those that llama.cpp reads, and its
// bytes are those that kvlab writes.
#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/weights/gguf_file.hpp>
#include <kvlab/weights/quantize.hpp>
#include "weights_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("weights");

TEST_CASE("peer: every tensor of a file by llama.cpp has llama.cpp's numbers") {
    const GgufFile file = GgufFile::open(KVLAB_TEST_DATA "/tiny_q4_1_by_llama_cpp.gguf");
    std::ifstream in(KVLAB_TEST_DATA "/tiny_q4_1_by_llama_cpp.txt");
    std::string line;
    int tensors = 0, quantized = 0;
    while (std::getline(in, line)) {
        if (line[0] == '#') continue;
        std::istringstream words(line);
        std::string name, type, expected;
        words >> name >> type >> expected;
        CAPTURE(name);
        const TensorInfo& info = file.tensor(name);
        CHECK(type_name(info.type) == type);
        Checksum sum;
        const Tensor numbers = to_f32(info);
        sum.add(numbers.flat());
        CHECK(sum.hex() == expected);
        ++tensors;
        quantized += is_quantized(info.type) ? 1 : 0;
    }
    CHECK(tensors == 21);
    CHECK(quantized == 14);
}

TEST_CASE("peer: the same model quantised here has the same bytes") {
    const GgufFile theirs = GgufFile::open(KVLAB_TEST_DATA "/tiny_q4_1_by_llama_cpp.gguf");
    const GgufFile plain = GgufFile::open(KVLAB_SOURCE_DIR "/weights/tiny.gguf");
    for (const TensorInfo& info : theirs.tensors()) {
        CAPTURE(info.name);
        const Tensor numbers = to_f32(plain.tensor(info.name));
        REQUIRE(numbers.shape() == info.shape);
        std::vector<std::byte> ours(info.bytes.size());
        quantize(info.type, numbers.flat(), ours);
        CHECK(std::equal(ours.begin(), ours.end(), info.bytes.begin()));
    }
}

TEST_SUITE_END();
