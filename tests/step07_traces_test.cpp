// Step 7: requests from published statistics: the same bytes from a seed, as long and as bursty
// as the sources say, as often alike at their beginnings; and a reader that takes nothing else.
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <unistd.h>

#include <kvlab/serving/latency.hpp>
#include <kvlab/serving/make_trace.hpp>

using namespace kvlab;

namespace {

struct TraceFile {
    explicit TraceFile(const std::string& text)
        : path(std::filesystem::temp_directory_path() /
               concat("kvlab_requests_", ::getpid(), "_", count++, ".jsonl")) {
        std::ofstream(path, std::ios::binary) << text;
    }

    ~TraceFile() { std::filesystem::remove(path); }

    static inline int count = 0;
    std::filesystem::path path;
};

RequestTrace read_text(const std::string& text) {
    return read_request_trace(TraceFile(text).path.string());
}

std::string message_of(const std::string& text) {
    try {
        read_text(text);
    } catch (const Error& error) {
        const std::string message = error.what();
        return message.substr(message.find("line "));
    }
    return "no error";
}

const std::string kHead = "{\"kvlab_requests\":1,\"trace\":\"t\"}\n";

std::string line_with(const std::string& arrival = "0",
                      const std::string& prompt = "[[1,4]]",
                      const std::string& most = "2",
                      const std::string& scope = "\"\"",
                      const std::string& priority = "0") {
    return concat("{\"arrival_us\":", arrival, ",\"prompt\":", prompt, ",\"max_tokens\":", most,
                  ",\"scope\":", scope, ",\"priority\":", priority, "}\n");
}

std::vector<Index> lengths_of(const RequestTrace& trace, bool inputs) {
    std::vector<Index> lengths;
    for (const TracedRequest& r : trace.requests)
        lengths.push_back(inputs ? r.prompt_tokens() : r.max_tokens);
    return lengths;
}

// 0.1 for 10 %.
void check_near(const char* what, double found, double expected, double tolerance) {
    INFO(what, ": ", found, ", expected ", expected);
    CHECK(std::fabs(found - expected) <= tolerance * expected);
}

}  // namespace

TEST_SUITE_BEGIN("step07");

TEST_CASE("traces: the committed files are what the generator makes") {
    for (const TraceKind& kind : trace_kinds()) {
        CAPTURE(kind.name);
        const std::filesystem::path path = std::filesystem::path(KVLAB_SOURCE_DIR) /
                                           "step07_serving/traces" /
                                           concat(kind.name, ".jsonl");
        std::ifstream file(path, std::ios::binary);
        const std::string committed((std::istreambuf_iterator<char>(file)), {});
        const RequestTrace made = make_trace(kind, {.requests = 64, .context = 512});
        CHECK(committed == to_text(made));
        CHECK(read_request_trace(path.string()) == made);
    }
}

TEST_CASE("traces: at full size the lengths are as long as the sources say") {
    for (const TraceKind& kind : trace_kinds()) {
        CAPTURE(kind.name);
        const RequestTrace trace = make_trace(kind, {});
        CHECK(std::ssize(trace.requests) == kind.requests);
        const LengthStatistics in = length_statistics(lengths_of(trace, true));
        const LengthStatistics out = length_statistics(lengths_of(trace, false));
        // The median and P90 are fitted, so what is left is the draw's: at most three standard
        // errors. Mean and sigma come out as they do: a split normal distribution is not the
        // original's. What it misses is in the README's table.
        check_near("input median", in.median, kind.published_input.median, 0.05);
        check_near("input P90", in.p90, kind.published_input.p90, 0.07);
        check_near("input mean", in.mean, kind.published_input.mean, 0.15);
        check_near("input mu", in.mu, kind.published_input.mu, 0.02);
        check_near("input sigma", in.sigma, kind.published_input.sigma, 0.20);
        check_near("output median", out.median, kind.published_output.median, 0.08);
        check_near("output mean", out.mean, kind.published_output.mean, 0.15);
        check_near("output mu", out.mu, kind.published_output.mu, 0.02);
        check_near("output sigma", out.sigma, kind.published_output.sigma, 0.12);
    }
}

TEST_CASE("traces: the deviations follow from the published figures") {
    for (const TraceKind& kind : trace_kinds()) {
        CAPTURE(kind.name);
        const double root = std::sqrt(2 * std::acos(-1.0));
        const PublishedLengths& in = kind.published_input;
        const double above = std::log(in.p90 / in.median) / 1.2816;
        CHECK(static_cast<double>(kind.input.above) == doctest::Approx(above).epsilon(0.002));
        CHECK(static_cast<double>(kind.input.below) ==
              doctest::Approx(above + (std::log(in.median) - in.mu) * root).epsilon(0.005));
        // Of the two halves: mean of the logarithm, and its deviation.
        const PublishedLengths& out = kind.published_output;
        const double a = static_cast<double>(kind.output.above),
                     b = static_cast<double>(kind.output.below);
        const double shift = (a - b) / root;
        CHECK(std::log(out.median) + shift == doctest::Approx(out.mu).epsilon(0.005));
        CHECK(std::sqrt((a * a + b * b) / 2 - shift * shift) ==
              doctest::Approx(out.sigma).epsilon(0.005));
    }
}

TEST_CASE("traces: arrivals have the rate and the burstiness of the source") {
    for (const TraceKind& kind : trace_kinds()) {
        CAPTURE(kind.name);
        const ArrivalLaw law(kind.per_second, kind.cv);
        Rng rng(5);
        constexpr Index kDraws = 400000;
        double sum = 0, squares = 0;
        for (Index i = 0; i < kDraws; ++i) {
            const auto gap = static_cast<double>(law.draw(rng)) * 1e-6;
            sum += gap;
            squares += gap * gap;
        }
        const double mean = sum / kDraws;
        check_near("mean", mean, 1 / kind.per_second, 3 * kind.cv / std::sqrt(kDraws));
        const double cv = std::sqrt(squares / kDraws - mean * mean) / mean;
        check_near("CV", cv, kind.cv, 0.06);
    }
    CHECK_THROWS_WITH_AS(
        ArrivalLaw(1, 0.5),
        "arrivals: expected a coefficient of variation from 1 to 100, found 0.5", Error);
}

TEST_CASE("traces: the exponential draw has the right tail") {
    Rng rng(9);
    constexpr Index kDraws = 200000;
    std::map<int, Index> longer;  // than so many halves
    for (Index i = 0; i < kDraws; ++i) {
        const double x = static_cast<double>(draw_exponential(rng)) * 0x1p-32;
        for (int half = 1; half <= 8; ++half)
            if (x > half * 0.5) ++longer[half];
    }
    for (int half = 1; half <= 8; ++half) {
        const double expected = std::exp(-half * 0.5);
        const double error = std::sqrt(expected * (1 - expected) / kDraws);
        CHECK(std::fabs(static_cast<double>(longer[half]) / kDraws - expected) < 4 * error);
    }
}

TEST_CASE(
    "traces: one seed one trace, another seed another one, and a longer one begins alike") {
    const TraceKind& kind = find_trace_kind("mooncake-conversation");
    const RequestTrace a = make_trace(kind, {.requests = 40, .context = 256, .seed = 3});
    CHECK(a == make_trace(kind, {.requests = 40, .context = 256, .seed = 3}));
    const RequestTrace b = make_trace(kind, {.requests = 40, .context = 256, .seed = 4});
    CHECK_FALSE(a.requests == b.requests);
    RequestTrace longer = make_trace(kind, {.requests = 60, .context = 256, .seed = 3});
    longer.requests.resize(40);
    CHECK(a == longer);
}

TEST_CASE("traces: whatever the context every text fits it") {
    for (const TraceKind& kind : trace_kinds())
        for (const Index context : {16, 100, 256, 512, 8192}) {
            const RequestTrace trace = make_trace(kind, {.requests = 500, .context = context});
            CHECK(trace.longest() <= context);
            CHECK(trace.longest() >= context - context / 8);  // and does not stay far below
            for (const TracedRequest& r : trace.requests) {
                CHECK(r.prompt_tokens() >= 1);
                CHECK(r.max_tokens >= 1);
            }
        }
}

TEST_CASE("traces: prompts that begin alike share their first pieces and none is another's") {
    const RequestTrace trace =
        make_trace(find_trace_kind("mooncake-synthetic"), {.requests = 200, .context = 512});
    std::set<std::vector<Token>> prompts;  // of a token or two, some are the same by chance
    Index reused = 0, longer = 0;
    for (const TracedRequest& traced : trace.requests) {
        const Request request = to_request(traced, 256);
        CHECK(std::ssize(request.prompt) == traced.prompt_tokens());
        CHECK(request.arrival == traced.arrival());
        if (std::ssize(request.prompt) >= 8) {
            prompts.insert(request.prompt);
            ++longer;
        }
        reused += traced.prompt.size() > 1 ? 1 : 0;
    }
    CHECK(std::ssize(prompts) == longer);
    CHECK(longer > 100);
    CHECK(reused > 100);
    // Azure's say nothing of beginnings.
    for (const TracedRequest& traced :
         make_trace(find_trace_kind("azure-code"), {.requests = 50}).requests)
        CHECK(traced.prompt.size() == 1);
}

TEST_CASE("traces: a piece is the beginning of a longer one of its seed") {
    const std::vector<Token> all = piece_tokens({7, 100}, 256);
    const std::vector<Token> first = piece_tokens({7, 60}, 256);
    CHECK(std::equal(first.begin(), first.end(), all.begin()));
    CHECK_FALSE(piece_tokens({8, 60}, 256) == first);
    const Request request = to_request({.prompt = {{7, 60}, {9, 5}}, .max_tokens = 3}, 256);
    CHECK(std::equal(first.begin(), first.end(), request.prompt.begin()));
    const std::vector<Token> last = piece_tokens({9, 5}, 256);
    CHECK(std::equal(last.begin(), last.end(), request.prompt.begin() + 60));
    for (const Token token : piece_tokens({7, 500}, 90)) CHECK((token >= 0 && token < 90));
}

TEST_CASE("traces: what is written is read") {
    RequestTrace trace{"one \"two\"", {}};
    trace.requests.push_back({0, {{1, 5}, {2, 3}}, 4, "tenant", -2});
    trace.requests.push_back({17, {{std::int64_t{1} << 53, 1}}, 1, "", 0});
    trace.requests.push_back({17, {{0, 9}}, 7, "a,b", 3});
    CHECK(read_text(to_text(trace)) == trace);
    CHECK(trace.requests[1].arrival() * 1e6 == doctest::Approx(17));
}

TEST_CASE("traces: a file that is none is refused with its line") {
    const std::map<std::string, std::string> wrong = {
        {"", "line 1: expected a trace's name and a request, one in a line"},
        {kHead, "line 2: expected a trace's name and a request, one in a line"},
        {"x\n", "line 1: expected an object, found no JSON"},
        {"[1]\n", "line 1: expected an object, found '[1]'"},
        {"{\"trace\":\"t\"}\n",
         "line 1: kvlab_requests: expected in the object, found no such field"},
        {"{\"kvlab_requests\":2,\"trace\":\"t\"}\n", "line 1: not a trace of version 1"},
        {kHead + line_with() + "{\n", "line 3: expected an object, found no JSON"},
        {kHead + line_with("-1"),
         "line 2: arrival_us: expected a whole number from 0 to 9007199254740992, found '-1'"},
        {kHead + line_with("1.5"),
         "line 2: arrival_us: expected a whole number from 0 to 9007199254740992, found '1.5'"},
        {kHead + line_with("18446744073709551615"),
         "line 2: arrival_us: expected a whole number from 0 to 9007199254740992, found "
         "'18446744073709551615'"},
        {kHead + line_with("5") + line_with("4"),
         "line 3: arrival_us: 4 comes before the request above it"},
        {kHead + line_with("0", "[]"),
         "line 2: prompt: expected a list of pieces, one at least, found '[]'"},
        {kHead + line_with("0", "[[1]]"),
         "line 2: prompt: expected pieces [seed, count], found '[1]'"},
        {kHead + line_with("0", "[[1,0]]"),
         "line 2: prompt: count: expected a whole number from 1 to 16777216, found '0'"},
        {kHead + line_with("0", "[[1,16777216],[2,1]]"),
         "line 2: prompt: 16777217 tokens; at most 16777216"},
        {kHead + line_with("0", "[[-3,4]]"),
         "line 2: prompt: seed: expected a whole number from 0 to 9007199254740992, found "
         "'-3'"},
        {kHead + line_with("0", "[[1,4]]", "0"),
         "line 2: max_tokens: expected a whole number from 1 to 16777216, found '0'"},
        {kHead + line_with("0", "[[1,4]]", "2", "7"),
         "line 2: scope: expected a text, found '7'"},
        {kHead + line_with("0", "[[1,4]]", "2", "\"\"", "1001"),
         "line 2: priority: expected a whole number from -1000 to 1000, found '1001'"},
        {kHead + "{\"arrival_us\":0,\"prompts\":[[1,4]]}\n",
         "line 2: 'prompts': unknown field"},
        {kHead + "{\"arrival_us\":0,\"prompt\":[[1,4]],\"max_tokens\":1,\"scope\":\"\"}\n",
         "line 2: priority: expected in the object, found no such field"}};
    for (const auto& entry : wrong) {
        CAPTURE(entry.first);
        CHECK(message_of(entry.first) == entry.second);
    }
    CHECK_THROWS_AS(read_request_trace("/nowhere/at/all.jsonl"), Error);
}

TEST_CASE("traces: what cannot be made is refused") {
    const TraceKind& kind = find_trace_kind("azure-code");
    CHECK_THROWS_AS(make_trace(kind, {.requests = 100000}), Error);
    CHECK_THROWS_AS(make_trace(kind, {.requests = -1}), Error);
    CHECK_THROWS_AS(make_trace(kind, {.context = 15}), Error);
    CHECK_THROWS_WITH_AS(find_trace_kind("azure"),
                         "no such trace: 'azure'; there are azure-code, azure-conversation, "
                         "mooncake-conversation, mooncake-synthetic",
                         Error);
}

TEST_SUITE_END();
