// The C interface: what it refuses, word for word, and that a refused call has changed nothing.
#include "c_api.hpp"

#include <cmath>

#include <kvlab/tensor/error.hpp>

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("api");

TEST_CASE("api messages: no pointer where one is asked for") {
    const ModelHandle model;
    CacheHandle cache(model);
    const RecordingHandle recording;
    const int32_t token = 1;
    const int64_t position = 0;
    float row[256];
    int64_t count = 0;
    kvlab_model opened{0};
    kvlab_difference difference;
    const kvlab_attention_shape shape{1, 1, 1, 1, 1};
    const auto refused = [](int found, const char* call, const char* name) {
        check_refused(found, KVLAB_BAD_ARGUMENT,
                      concat("kvlab_", call, ": ", name, ": expected a pointer, found null"));
    };
    refused(kvlab_attention(nullptr, row, row, row, row), "attention", "shape");
    refused(kvlab_attention(&shape, nullptr, row, row, row), "attention", "q");
    refused(kvlab_attention(&shape, row, nullptr, row, row), "attention", "k");
    refused(kvlab_attention(&shape, row, row, nullptr, row), "attention", "v");
    refused(kvlab_attention(&shape, row, row, row, nullptr), "attention", "out");
    refused(kvlab_checksum(row, 1, nullptr), "checksum", "sum");
    uint64_t sum = 0;
    refused(kvlab_checksum(nullptr, 1, &sum), "checksum", "values");
    refused(kvlab_model_open(nullptr, &opened), "model_open", "path");
    refused(kvlab_model_open(kTiny.c_str(), nullptr), "model_open", "model");
    refused(kvlab_model_config(model, nullptr), "model_config", "config");
    refused(kvlab_model_encode(model, nullptr, nullptr, 0, &count), "model_encode", "text");
    refused(kvlab_model_encode(model, "a", nullptr, 1, &count), "model_encode", "tokens");
    refused(kvlab_model_encode(model, "a", nullptr, 0, nullptr), "model_encode", "count");
    refused(kvlab_model_tensor_count(model, nullptr), "model_tensor_count", "count");
    refused(kvlab_model_tensor_info(model, 0, nullptr), "model_tensor_info", "info");
    refused(kvlab_model_tensor(model, nullptr, row, 1), "model_tensor", "name");
    refused(kvlab_model_tensor(model, "output_norm.weight", nullptr, 64), "model_tensor",
            "values");
    refused(kvlab_model_logits(model, nullptr, 1, {0}, row, 256), "model_logits", "tokens");
    refused(kvlab_model_logits(model, &token, 1, {0}, nullptr, 256), "model_logits", "logits");
    refused(kvlab_cache_new(model, 1, nullptr), "cache_new", "cache");
    refused(kvlab_cache_info_of(cache, nullptr), "cache_info_of", "info");
    refused(kvlab_cache_decode(cache, nullptr, 1, 0, {0}, row, 256), "cache_decode", "tokens");
    refused(kvlab_cache_decode(cache, &token, 1, 0, {0}, nullptr, 256), "cache_decode",
            "logits");
    refused(kvlab_cache_fork(cache, nullptr), "cache_fork", "copy");
    refused(kvlab_recording_new(0, nullptr), "recording_new", "recording");
    refused(kvlab_recording_read(nullptr, nullptr), "recording_read", "file_and_run");
    refused(kvlab_recording_read("x", nullptr), "recording_read", "recording");
    refused(kvlab_recording_add(recording, nullptr, -1, &position, 1, row, 1), "recording_add",
            "op");
    refused(kvlab_recording_add(recording, "logits", -1, nullptr, 1, row, 1), "recording_add",
            "positions");
    refused(kvlab_recording_add(recording, "logits", -1, &position, 1, nullptr, 1),
            "recording_add", "values");
    refused(kvlab_recording_steps(recording, nullptr), "recording_steps", "steps");
    refused(kvlab_compare(recording, recording, 0, nullptr), "compare", "difference");
    refused(kvlab_compare_arrays(nullptr, row, 1, 1, 0, &difference), "compare_arrays", "a");
    refused(kvlab_compare_arrays(row, nullptr, 1, 1, 0, &difference), "compare_arrays", "b");
    refused(kvlab_compare_arrays(row, row, 1, 1, 0, nullptr), "compare_arrays", "difference");
    CHECK(cache.info().length == 0);
}

TEST_CASE("api messages: handles that are none, closed, or of no call") {
    kvlab_cache cache{0};
    {
        const ModelHandle model;
        must(kvlab_cache_new(model, 8, &cache));
    }
    must(kvlab_cache_free(cache));
    kvlab_cache_info info;
    const auto text = [](const char* found) {
        return concat("kvlab_cache_info_of: cache: expected an open handle, found ", found);
    };
    check_refused(kvlab_cache_info_of(cache, &info), KVLAB_BAD_ARGUMENT,
                  text("one that is closed"));
    check_refused(kvlab_cache_info_of({0}, &info), KVLAB_BAD_ARGUMENT, text("none"));
    check_refused(kvlab_cache_info_of({1000000}, &info), KVLAB_BAD_ARGUMENT,
                  text("one that was never made"));
    check_refused(kvlab_cache_free(cache), KVLAB_BAD_ARGUMENT,
                  "kvlab_cache_free: cache: expected an open handle, found one that is closed");
    check_refused(kvlab_model_close({0}), KVLAB_BAD_ARGUMENT,
                  "kvlab_model_close: model: expected an open handle, found none");
    check_refused(kvlab_recording_end_step({0}, 0), KVLAB_BAD_ARGUMENT,
                  "kvlab_recording_end_step: recording: expected an open handle, found none");
    kvlab_cache next{0};
    const ModelHandle model;
    must(kvlab_cache_new(model, 8, &next));
    CHECK(next.id != cache.id);  // a number is given once
    must(kvlab_cache_free(next));
}

TEST_CASE("api messages: shapes of attention") {
    const float x[64] = {};
    float out[64];
    const auto refused = [&](const kvlab_attention_shape& shape, const char* what) {
        check_refused(kvlab_attention(&shape, x, x, x, out), KVLAB_BAD_ARGUMENT,
                      concat("kvlab_attention: ", what));
    };
    refused({0, 1, 1, 1, 1}, "T: expected at least 1, found 0");
    refused({2, 1, 1, 1, 1}, "S: expected at least T = 2, found 1");
    refused({1, 1, 3, 2, 1}, "heads: expected a multiple of kv_heads = 2, found 3");
    refused({1, 1, 0, 2, 1}, "heads: expected a multiple of kv_heads = 2, found 0");
    refused({1, 1, 1, 0, 1}, "kv_heads: expected at least 1, found 0");
    refused({1, 1, 1, 1, 0}, "head_dim: expected at least 1, found 0");
    const kvlab_attention_shape huge{INT64_C(1) << 32, INT64_C(1) << 32, 1, 1,
                                     INT64_C(1) << 31};
    CHECK(kvlab_attention(&huge, x, x, x, out) != KVLAB_OK);
}

TEST_CASE("api messages: tokens, sizes and room") {
    const ModelHandle model;
    CacheHandle cache(model, 4);
    const std::vector<int32_t> good = some_tokens(3);
    const auto before = cache.decode(good);
    std::vector<float> row(1024, 7.0f);
    const auto decode = [&](std::vector<int32_t> tokens, int rows, int64_t floats) {
        return kvlab_cache_decode(cache, tokens.data(), std::ssize(tokens), rows, {0},
                                  row.data(), floats);
    };
    const std::string begin = "kvlab_cache_decode: ";
    check_refused(decode({}, 0, 256), KVLAB_BAD_ARGUMENT,
                  begin + "tokens: expected at least 1, found 0");
    check_refused(decode({256}, 0, 256), KVLAB_BAD_ARGUMENT,
                  begin + "token 0 of 1: expected 0 to 255, found 256");
    check_refused(decode({-1}, 0, 256), KVLAB_BAD_ARGUMENT,
                  begin + "token 0 of 1: expected 0 to 255, found -1");
    check_refused(decode({1}, 2, 256), KVLAB_BAD_ARGUMENT,
                  begin + "rows: expected KVLAB_LAST_ROW or KVLAB_ALL_ROWS, found 2");
    check_refused(decode({1}, 0, 255), KVLAB_BAD_ARGUMENT,
                  begin + "floats: expected 256 for [1, 256], found 255");
    check_refused(decode({1}, 0, -1), KVLAB_BAD_ARGUMENT,
                  begin + "logits: a size must not be negative, found -1");
    check_refused(decode({1, 2}, 1, 512), KVLAB_NO_ROOM,
                  begin + "tokens: 2 of them, the cache has room for 1");
    check_refused(kvlab_cache_decode(cache, good.data(), -3, 0, {0}, row.data(), 256),
                  KVLAB_BAD_ARGUMENT, begin + "tokens: a size must not be negative, found -3");
    check_refused(kvlab_cache_truncate(cache, 4), KVLAB_BAD_ARGUMENT,
                  "kvlab_cache_truncate: length: expected 0 to 3, found 4");
    CHECK(row == std::vector<float>(1024, 7.0f));  // nothing was written
    CHECK(cache.info().length == 3);
    kvlab_cache none{0};
    for (const int64_t capacity : {INT64_C(0), INT64_C(-1), INT64_C(513), INT64_MAX})
        check_refused(kvlab_cache_new(model, capacity, &none), KVLAB_BAD_ARGUMENT,
                      concat("kvlab_cache_new: capacity: expected 1 to 512, found ", capacity));
    CHECK(none.id == 0);
    const std::vector<int32_t> long_text(513, 1);
    std::vector<float> logits(513 * 256);
    check_refused(kvlab_model_logits(model, long_text.data(), 513, {0}, logits.data(),
                                     std::ssize(logits)),
                  KVLAB_NO_ROOM, "kvlab_model_logits: tokens: 513 of them, the context is 512");
}

TEST_CASE("api messages: files and names") {
    kvlab_model model{0};
    CHECK(kvlab_model_open("/no/such/model.gguf", &model) == KVLAB_BAD_FILE);
    CHECK(std::string(kvlab_last_error()).starts_with("kvlab_model_open: model '/no/such"));
    CHECK(kvlab_model_open(KVLAB_SOURCE_DIR "/README.md", &model) == KVLAB_BAD_FILE);
    CHECK(model.id == 0);
    const ModelHandle tiny;
    float x[64];
    check_refused(kvlab_model_tensor(tiny, "no.weight", x, 64), KVLAB_BAD_ARGUMENT,
                  "kvlab_model_tensor: name: the model has no tensor 'no.weight'");
    check_refused(kvlab_model_tensor(tiny, "output_norm.weight", x, 63), KVLAB_BAD_ARGUMENT,
                  "kvlab_model_tensor: floats: expected 64 for [64], found 63");
    kvlab_tensor_info info;
    CHECK(kvlab_model_tensor_info(tiny, -1, &info) == KVLAB_BAD_ARGUMENT);
    CHECK(kvlab_model_tensor_info(tiny, 1000, &info) == KVLAB_BAD_ARGUMENT);
}

TEST_CASE("api messages: recordings") {
    const ModelHandle model;
    CacheHandle cache(model);
    RecordingHandle recording(8), empty;
    const int64_t position = 0;
    const float row[4] = {1, 2, 3, 4};
    const auto add = [&](const char* op, int64_t layer, int64_t rows, int64_t width) {
        return kvlab_recording_add(recording, op, layer, &position, rows, row, width);
    };
    const std::string begin = "kvlab_recording_add: ";
    check_refused(add("softmax", 0, 1, 4), KVLAB_BAD_ARGUMENT,
                  begin + "no such operator: softmax");
    check_refused(add("key", -2, 1, 4), KVLAB_BAD_ARGUMENT,
                  begin + "layer: expected -1 or more, found -2");
    check_refused(add("key", 0, 0, 4), KVLAB_BAD_ARGUMENT,
                  begin + "rows and width: expected at least 1, found 0 and 4");
    check_refused(kvlab_recording_end_step(recording, 0), KVLAB_BAD_ARGUMENT,
                  "kvlab_recording_end_step: recording: a step without operators");
    must(add("key", 0, 1, 4));
    check_refused(add("key", 0, 1, 4), KVLAB_BAD_ARGUMENT,
                  begin + "op: key of layer 0 for the second time in this step");
    // The reference records whole steps, and only where its heads fit.
    const int32_t token = 1;
    float logits[256];
    const auto decode = [&](kvlab_recording into) {
        return kvlab_cache_decode(cache, &token, 1, 0, into, logits, 256);
    };
    check_refused(decode(recording), KVLAB_BAD_ARGUMENT,
                  "kvlab_cache_decode: recording: expected head_dim 16 or 0, found 8");
    must(kvlab_recording_add(empty, "key", 0, &position, 1, row, 4));
    check_refused(decode(empty), KVLAB_BAD_ARGUMENT,
                  "kvlab_cache_decode: recording: a step is open, end it first");
    CHECK(cache.info().length == 0);  // what cannot be recorded is not run
    kvlab_difference d;
    check_refused(kvlab_compare(empty, recording, 0, &d), KVLAB_BAD_ARGUMENT,
                  "kvlab_compare: recordings: 0 and 0 steps, expected at least one in each");
    must(kvlab_recording_end_step(recording, 0));
    must(kvlab_recording_end_step(empty, 0));
    for (const double wrong : {-1.0, std::nan(""), HUGE_VAL})
        CHECK(kvlab_compare(empty, recording, wrong, &d) == KVLAB_BAD_ARGUMENT);
    RecordingHandle heads(16), others;
    must(kvlab_recording_add(heads, "key", 0, &position, 1, row, 2));
    must(kvlab_recording_end_step(heads, 0));
    check_refused(kvlab_compare(heads, recording, 0, &d), KVLAB_BAD_ARGUMENT,
                  "kvlab_compare: head_dim: 16 in one recording and 8 in the other");
    check_refused(kvlab_compare(heads, empty, 0, &d), KVLAB_BAD_ARGUMENT,
                  "kvlab_compare: diverge: step 0: one run does 0 key [2] where the other does "
                  "0 key [4]");
    must(kvlab_recording_add(others, "value", 0, &position, 1, row, 4));
    must(kvlab_recording_end_step(others, 0));
    check_refused(kvlab_compare(others, empty, 0, &d), KVLAB_BAD_ARGUMENT,
                  "kvlab_compare: the runs have no operator in common");
    check_refused(kvlab_recording_new(-1, &empty), KVLAB_BAD_ARGUMENT,
                  "kvlab_recording_new: head_dim: expected 0 or more, found -1");
}

TEST_SUITE_END();
