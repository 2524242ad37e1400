// The C interface: recordings and the first difference.
#include "c_api.hpp"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <unistd.h>

#include <kvlab/tensor/error.hpp>

using namespace kvlab;
using namespace kvlab::test;

namespace {

// One step of one operator.
void add_step(kvlab_recording recording,
              const char* op,
              int64_t layer,
              const std::vector<float>& row,
              int64_t position = 0) {
    must(kvlab_recording_add(recording, op, layer, &position, 1, row.data(), std::ssize(row)));
    must(kvlab_recording_end_step(recording, -1));
}

int64_t steps_of(kvlab_recording recording) {
    int64_t steps = -1;
    must(kvlab_recording_steps(recording, &steps));
    return steps;
}

}  // namespace

TEST_SUITE_BEGIN("api");

TEST_CASE("api recording: cached and uncached runs of the reference agree in every float") {
    const ModelHandle model;
    RecordingHandle cached(16), uncached(16);
    const auto tokens = some_tokens(12);
    CacheHandle cache(model);
    cache.decode({tokens.begin(), tokens.begin() + 8}, KVLAB_LAST_ROW, cached);
    model.logits({tokens.begin(), tokens.begin() + 8}, uncached);
    for (std::ptrdiff_t i = 8; i < 12; ++i) {
        cache.decode({tokens[static_cast<std::size_t>(i)]}, KVLAB_LAST_ROW, cached);
        model.logits({tokens.begin(), tokens.begin() + i + 1}, uncached);
    }
    CHECK(steps_of(cached) == 5);
    const kvlab_difference d = cached.against(uncached);
    CHECK(d.differ == 0);
    CHECK(d.floats > 10000);
    CHECK(d.left_out == 0);
    CHECK(d.step == -1);
    CHECK(std::string(d.text).empty());
}

TEST_CASE("api recording: the first difference is told with both numbers to the bit") {
    RecordingHandle a(2), b(2);
    for (const RecordingHandle* r : {&a, &b}) add_step(*r, "key", 1, {1, 2, 3, 4}, 7);
    add_step(a, "value", 1, {1, 2, 3, 4}, 8);
    add_step(b, "value", 1, {1, 2, 3, 0x1.000002p2f}, 9);
    const kvlab_difference d = a.against(b);
    CHECK(d.floats == 8);
    CHECK(d.differ == 1);
    CHECK(d.step == 1);
    CHECK(d.layer == 1);
    CHECK(std::string(d.op) == "value");
    CHECK(d.head == 1);
    CHECK(d.element == 1);
    CHECK(d.position == 8);
    CHECK(d.position_b == 9);
    CHECK(d.a == 4.0f);
    CHECK(d.b == 0x1.000002p2f);
    CHECK(d.ulp == 1);
    CHECK(d.max_ulp == 1);
    CHECK(std::string(d.text) ==
          "step 1, layer 1, value, head 1, position 8 (9 in the second run), element 1: 0x1p+2 "
          "and 0x1.000002p+2, 1 ulp apart; 1.2e-07 of the row's largest");
    CHECK(std::string(d.likely).find("a matrix product") != std::string::npos);
    CHECK(a.against(b, 1e-6).differ == 0);
    CHECK(a.against(b, 1e-8).differ == 1);
}

TEST_CASE("api recording: what one side alone has is left out and told") {
    const ModelHandle model;
    RecordingHandle full(16), logits;
    const auto tokens = some_tokens(5);
    const auto rows = model.logits(tokens, full);
    const std::vector<int64_t> positions = {3, 4};
    must(kvlab_recording_add(logits, "logits", -1, positions.data(), 2, rows.data() + 3 * 256,
                             256));
    must(kvlab_recording_end_step(logits, 65));
    const kvlab_difference d = full.against(logits);
    CHECK(d.differ == 0);
    CHECK(d.floats == 512);
    CHECK(d.left_out == 24);
}

TEST_CASE("api recording: a file that another engine wrote") {
    const auto path =
        std::filesystem::temp_directory_path() / concat("kvlab_api_", ::getpid(), ".jsonl");
    std::ofstream(path) << "{\"kvlab_trace\": 1}\n"
                           "{\"step\": 0, \"op\": \"logits\", \"positions\": [0], \"bits\": "
                           "\"3f80000040000000\"}\n{\"step\": 0}\n";
    kvlab_recording read{0};
    must(kvlab_recording_read(path.c_str(), &read));
    RecordingHandle mine;
    add_step(mine, "logits", -1, {1, 2});
    CHECK(mine.against(read).differ == 0);
    CHECK(steps_of(read) == 1);
    must(kvlab_recording_free(read));
    check_refused(
        kvlab_recording_read((path.string() + "#second").c_str(), &read), KVLAB_BAD_FILE,
        concat("kvlab_recording_read: ", path.string(), "#second: no such run in this trace"));
    std::ofstream(path) << "{\"kvlab_trace\": 2}\n";
    check_refused(
        kvlab_recording_read(path.c_str(), &read), KVLAB_BAD_FILE,
        concat("kvlab_recording_read: ", path.string(), ", line 1: not a trace of version 1"));
    std::filesystem::remove(path);
}

TEST_CASE("api arrays: row and element of the first difference, bits or a tolerance") {
    const std::vector<float> a = {1, 2, 3, 4, 5, 6};
    std::vector<float> b = a;
    kvlab_difference d;
    must(kvlab_compare_arrays(a.data(), b.data(), 2, 3, 0, &d));
    CHECK(d.differ == 0);
    CHECK(d.floats == 6);
    CHECK(d.position == -1);
    b[4] = 5.001f;
    must(kvlab_compare_arrays(a.data(), b.data(), 2, 3, 0, &d));
    CHECK(d.differ == 1);
    CHECK(d.position == 1);
    CHECK(d.element == 1);
    CHECK(std::string(d.op) == "array");
    CHECK(std::string(d.text).find("row 1, element 1: 0x1.4p+2 and 0x1.40106") == 0);
    CHECK(std::string(d.likely).empty());
    must(kvlab_compare_arrays(a.data(), b.data(), 2, 3, 1e-3, &d));
    CHECK(d.differ == 0);
    CHECK(d.max_abs > 9e-4);
    must(kvlab_compare_arrays(nullptr, nullptr, 0, 3, 0, &d));
    CHECK(d.floats == 0);
    b[0] = std::nanf("");
    must(kvlab_compare_arrays(a.data(), b.data(), 2, 3, 1, &d));
    CHECK(d.differ == 1);
    CHECK(d.element == 0);
}

TEST_SUITE_END();
