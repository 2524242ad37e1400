// Step 3: a recorded run is read from whoever wrote it, and compared as far as both recorded,
// to the bit or within a tolerance. (tests/tools/trace_test.py damages files and
// asks the program.)
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include <unistd.h>

#include <kvlab/kvcache/diverge.hpp>
#include <kvlab/kvcache/read_trace.hpp>

using namespace kvlab;

namespace {

// A file of its own with this text, gone at the end.
struct TextFile {
    explicit TextFile(const std::string& text)
        : path(std::filesystem::temp_directory_path() /
               concat("kvlab_trace_", ::getpid(), "_", count++, ".jsonl")) {
        std::ofstream(path) << text;
    }

    ~TextFile() { std::filesystem::remove(path); }

    static inline int count = 0;
    std::filesystem::path path;
};

Trace read(const std::string& text) {
    return read_trace(TextFile(text).path.string());
}

OpRecord logits(std::vector<float> row) {
    const Index width = std::ssize(row);
    return {Op::logits, -1, {0}, width, std::move(row)};
}

// What a comparison of two rows finds.
Comparison compared(const std::vector<float>& a,
                    const std::vector<float>& b,
                    double tolerance) {
    Comparison comparison(0, tolerance);
    comparison.add({logits(a)}, {logits(b)});
    return comparison;
}

const std::string kStep =
    R"({"step": 0, "op": "logits", "positions": [0], "bits": "3f8000003f0000003e800000be000000"})"
    "\n";

}  // namespace

TEST_SUITE_BEGIN("step03");

TEST_CASE("trace: three lines are a run of one step") {
    const Trace trace = read("{\"kvlab_trace\": 1}\n" + kStep + "{\"step\": 0}\n");
    CHECK(trace.model == "unnamed");
    CHECK(trace.head_dim == 0);
    REQUIRE(trace.runs.size() == 1);
    CHECK(trace.runs[0].name == "run");
    CHECK(trace.runs[0].tokens == std::vector<Token>{-1});
    REQUIRE(trace.runs[0].steps.size() == 1);
    const OpRecord& record = trace.runs[0].steps[0].at(0);
    CHECK(record.op == Op::logits);
    CHECK(record.layer == -1);
    CHECK(record.positions == std::vector<Index>{0});
    CHECK(record.width == 4);
    CHECK(record.rows == std::vector<float>{1, 0.5f, 0.25f, -0.125f});
}

TEST_CASE("trace: rows that were recorded before need not come again") {
    const Trace trace = read(
        R"({"kvlab_trace": 1, "config": {"head_dim": 2}, "runs": [{"name": "a"}, {"name": "b"}]})"
        "\n"
        R"({"run": "b", "step": 0, "op": "key", "layer": 1, "positions": [0, 1], "bits": "000000003f800000"})"
        "\n"
        R"({"run": "b", "step": 0, "token": 7})"
        "\n"
        R"({"run": "b", "step": 1, "op": "key", "layer": 1, "positions": [0, 1, 2], "fresh": [2], "bits": "40000000"})"
        "\n"
        R"({"run": "b", "step": 1, "token": 8})"
        "\n"
        R"({"run": "a", "step": 0, "op": "key", "layer": 1, "positions": [1], "bits": "3f800000"})"
        "\n"
        R"({"run": "a", "step": 0})"
        "\n");
    CHECK(trace.head_dim == 2);
    const TraceRun& b = trace.run("b");
    CHECK(b.steps.at(1).at(0).rows == std::vector<float>{0, 1, 2});
    CHECK(b.tokens == std::vector<Token>{7, 8});
    CHECK(trace.run("").name == "a");
    CHECK_THROWS_WITH_AS(trace.run("c"), "no such run in this trace", Error);
}

TEST_CASE("trace: a run is chosen by its name behind the file's") {
    const TextFile file("{\"kvlab_trace\": 1, \"runs\": [{\"name\": \"mine\"}]}\n" + kStep +
                        "{\"step\": 0}\n");
    CHECK(read_trace_run(file.path.string()).runs.at(0).name == "mine");
    CHECK(read_trace_run(file.path.string() + "#mine").runs.at(0).name == "mine");
    const std::string wrong = file.path.string() + "#yours";
    CHECK_THROWS_WITH_AS(read_trace_run(wrong), (wrong + ": no such run in this trace").c_str(),
                         Error);
}

TEST_CASE("trace: of two recordings the operators that both have are kept in one order") {
    const auto record = [](Op op, Index layer) { return OpRecord{op, layer, {0}, 1, {1}}; };
    StepRecord a = {record(Op::key, 0), record(Op::key, 1), record(Op::logits, -1)};
    StepRecord b = {record(Op::logits, -1), record(Op::value, 0), record(Op::key, 1)};
    CHECK(keep_common(a, b) == 2);
    REQUIRE(a.size() == 2);
    REQUIRE(b.size() == 2);
    for (const StepRecord& step : {a, b}) {
        CHECK(step[0].op == Op::key);
        CHECK(step[0].layer == 1);
        CHECK(step[1].op == Op::logits);
    }
    CHECK(keep_common(a, b) == 0);
    StepRecord other = {record(Op::ffn_out, 0)};
    CHECK_THROWS_WITH_AS(keep_common(a, other), "the runs have no operator in common", Error);
}

TEST_CASE("trace: a tolerance is measured by the largest of the row") {
    const std::vector<float> a = {1, -8, 0x1p-20f, 0};
    const auto differ = [&](Index i, float by, double tolerance) {
        std::vector<float> b = a;
        at(b, i) += by;
        const Comparison comparison = compared(a, b, tolerance);
        CHECK(comparison.all().differ == 1);  // the bits are counted all the same
        CHECK(comparison.beyond() == Index{comparison.first().has_value()});
        if (comparison.first()) CHECK(comparison.first()->index == i);
        return comparison.first().has_value();
    };
    for (const Index i : {0, 2, 3}) {  // 8 x 2^-10 is the border, and still within
        CAPTURE(i);
        CHECK_FALSE(differ(i, 0x1p-7f, 0x1p-10));
        CHECK(differ(i, 0x1.01p-7f, 0x1p-10));
        CHECK(differ(i, -0x1.01p-7f, 0x1p-10));
        CHECK(differ(i, 0x1p-7f, 0));
    }
    CHECK(compared(a, a, 0x1p-10).beyond() == 0);
}

TEST_CASE(
    "trace: without a tolerance a zero of the other sign differs and with one it does not") {
    CHECK(compared({1, 0.0f}, {1, -0.0f}, 0).beyond() == 1);
    CHECK(compared({1, 0.0f}, {1, -0.0f}, 1e-9).beyond() == 0);
    CHECK(compared({0, 0}, {0, 1e-30f}, 0.5).beyond() == 1);  // a row of zeros has no room
}

TEST_CASE("trace: what is no number is within no tolerance") {
    const float infinity = std::numeric_limits<float>::infinity(), nan = std::nanf("");
    for (const float wrong : {infinity, -infinity, nan}) {
        CAPTURE(wrong);
        CHECK(compared({1, 2}, {1, wrong}, 1).beyond() == 1);
        CHECK(compared({wrong, 2}, {1, 2}, 1).beyond() == 1);
        CHECK(compared({wrong, 2}, {wrong, 2}, 1).beyond() == 0);
        // What is infinite does not lend its size to the rest of the row.
        CHECK(compared({wrong, 2}, {wrong, 5}, 1).beyond() == 1);
    }
}

TEST_CASE("trace: heads are told apart if their width is known") {
    const OpRecord a{Op::value, 3, {5}, 6, {0, 0, 0, 0, 0, 0}};
    OpRecord b = a;
    b.rows[5] = 1;
    for (const Index head_dim : {0, 2, 4}) {
        Comparison comparison(head_dim);
        comparison.add({a}, {b});
        REQUIRE(comparison.first().has_value());
        CHECK(comparison.first()->head == (head_dim == 0 ? -1 : 5 / head_dim));
        CHECK(comparison.first()->index == (head_dim == 0 ? 5 : 5 % head_dim));
    }
    CHECK_THROWS_WITH_AS(Comparison(-1), "diverge: head_dim is -1", Error);
    for (const double wrong : {-1.0, std::nan(""), HUGE_VAL})
        CHECK_THROWS_AS(Comparison(16, wrong), Error);
}

TEST_CASE("trace: operators are known by the names that are written") {
    for (int i = 0; i <= static_cast<int>(Op::logits); ++i)
        CHECK(parse_op(op_name(static_cast<Op>(i))) == static_cast<Op>(i));
    CHECK_THROWS_WITH_AS(parse_op("soft max"), "no such operator: soft max", Error);
}

TEST_SUITE_END();
