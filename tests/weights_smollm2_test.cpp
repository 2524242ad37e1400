// The real file. Without it (weights/get_smollm2.py fetches it) these cases are skipped, aloud.
#include <doctest/doctest.h>

#include <map>

#include <kvlab/weights/gguf_file.hpp>
#include "skip.hpp"
#include "smollm2.hpp"
#include "weights_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("smollm2");

TEST_CASE("smollm2: tensors and shapes") {
    const std::string path = smollm2_path();
    if (path.empty()) return skip(kNoSmollm2);
    const GgufFile file = GgufFile::open(path);
    CHECK(file.file_bytes() == 98362432);
    CHECK(file.metadata().get_string("general.architecture") == "llama");
    CHECK(file.metadata().get_strings("tokenizer.ggml.tokens").size() == 49152);
    CHECK(file.metadata().get_strings("tokenizer.ggml.merges").size() == 48900);
    std::map<TensorType, int> count;
    for (const TensorInfo& info : file.tensors()) ++count[info.type];
    CHECK(file.tensors().size() == 272);
    CHECK(count[TensorType::q4_1] == 210);
    CHECK(count[TensorType::q8_0] == 1);
    CHECK(count[TensorType::f32] == 61);
    CHECK(file.tensor("token_embd.weight", {49152, 576}).type == TensorType::q8_0);
    file.tensor("output_norm.weight", {576});
    for (int layer = 0; layer < 30; ++layer) {
        const std::string prefix = concat("blk.", layer, '.');
        file.tensor(prefix + "attn_norm.weight", {576});
        file.tensor(prefix + "attn_q.weight", {576, 576});
        file.tensor(prefix + "attn_k.weight", {192, 576});
        file.tensor(prefix + "attn_v.weight", {192, 576});
        file.tensor(prefix + "attn_output.weight", {576, 576});
        file.tensor(prefix + "ffn_norm.weight", {576});
        file.tensor(prefix + "ffn_gate.weight", {1536, 576});
        file.tensor(prefix + "ffn_up.weight", {1536, 576});
        file.tensor(prefix + "ffn_down.weight", {576, 1536});
    }
}

TEST_SUITE_END();
