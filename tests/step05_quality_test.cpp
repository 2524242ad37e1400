// Step 5: measuring what forgetting costs, on the trained tiny model. Mistakes in mind:
// positions scored at which nothing is missing yet, a store that goes on with the last window,
// a question that is asked before the eviction, an oracle that looks at another text.
#include <doctest/doctest.h>

#include <fstream>
#include <iterator>

#include <kvlab/policies/policy_quality.hpp>
#include <kvlab/weights/gguf_file.hpp>

#include "policy_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

struct TrainedTiny {
    std::unique_ptr<Engine> engine = make_cpu_engine();
    GgufFile file = GgufFile::open(weights_file("tiny.gguf"));
    std::shared_ptr<const Model> model = load_model(file, *engine);
    Decoder decoder{model, *engine};

    // Windows of 96 bytes behind the first `skip` of the held-out text.
    TextWindows windows(Index skip, Index most) const {
        std::ifstream in(weights_file("heldout.txt"), std::ios::binary);
        REQUIRE(in.good());
        const std::string text((std::istreambuf_iterator<char>(in)), {});
        std::vector<Token> tokens;
        for (const char c : text.substr(usize(skip), 2000))
            tokens.push_back(static_cast<std::uint8_t>(c));
        return {tokens, 0, 96, most};
    }

    PolicyReport measure(const std::vector<std::string>& names,
                         Index skip,
                         Index most,
                         const PolicyOptions& options = small_budget()) const {
        return measure_policies(model, *engine, windows(skip, most), rows(names, options), 40);
    }

    static std::vector<Contender> rows(const std::vector<std::string>& names,
                                       const PolicyOptions& options) {
        std::vector<Contender> all;
        for (const std::string& name : names) all.push_back({name, name, options});
        return all;
    }

    bool recalls_with(const std::string& name, const RecallCase& recall) {
        const MakeForText make = [&](std::span<const Token> text, Index prompt) {
            PolicyContext context = policy_context(decoder, std::ssize(text));
            context.prompt = prompt;
            if (name == "oracle")
                context.future = std::make_shared<FutureShares>(decoder, text);
            return find_policy(name).make(context, small_budget(40));
        };
        return recalls(decoder, make, recall, 0);
    }
};

// "gf=4;" somewhere before, then "gf?" and the answer.
RecallCase question_at(std::size_t distance) {
    std::string text = "He said unto them, ja=8;gf=4;ey=c;km=b;";
    while (text.size() < 24 + distance) text += "and it came to pass ";
    text.resize(24 + distance);
    text += "gf?4";
    return {"recall", static_cast<Index>(distance), text, {std::ssize(text) - 1}};
}

}  // namespace

TEST_SUITE_BEGIN("step05");

TEST_CASE("quality: everything kept costs nothing and windows are independent") {
    const TrainedTiny tiny;
    const std::vector<std::string> names = {"window", "full", "oracle", "tova"};
    const PolicyReport both = tiny.measure(names, 0, 2), first = tiny.measure(names, 0, 1),
                       second = tiny.measure(names, 96, 1);
    CHECK(both.positions == 2 * 56);
    CHECK(both.full_bytes == 96 * 2 * 2 * 2 * 16 * 4);
    // The second window begins with BOS, as the first of the later text does.
    CHECK(both.full_bits == doctest::Approx(first.full_bits + second.full_bits).epsilon(1e-12));
    for (std::size_t i = 0; i < names.size(); ++i) {
        CAPTURE(names[i]);
        const PolicyQuality& quality = both.policies[i];
        CHECK(quality.contender.policy == names[i]);
        CHECK(quality.positions == both.positions);
        std::vector<double> kl = first.policies[i].kl;
        kl.insert(kl.end(), second.policies[i].kl.begin(), second.policies[i].kl.end());
        CHECK(quality.kl == kl);
        CHECK(quality.agree == first.policies[i].agree + second.policies[i].agree);
        const bool exact = names[i] == "full";
        CHECK((quality.mean_kl() == 0.0) == exact);
        CHECK((quality.bits == both.full_bits) == exact);
        CHECK(quality.kept_behind_prompt == (exact ? 40.0 : 24.0));
        CHECK(quality.kept_at_end == (exact ? 96.0 : 24.0));
        CHECK(quality.kl_quantile(1.0) >= quality.kl_quantile(0.99));
        CHECK(quality.kl_quantile(0.0) <= quality.mean_kl());
    }
    CHECK_THROWS_AS(tiny.measure({"nobody"}, 0, 1), Error);
    for (const Index prompt : {0, 96})
        CHECK_THROWS_AS(measure_policies(tiny.model, *tiny.engine, tiny.windows(0, 1),
                                         TrainedTiny::rows(names, {}), prompt),
                        Error);
}

// Mistakes in mind: a store that gets a neighbour's row, rows of the wrong position, windows
// that are counted together, more contenders than fit one batch.
TEST_CASE("quality: who runs beside a policy changes no bit of its figures") {
    const TrainedTiny tiny;
    std::vector<std::string> names;
    for (int round = 0; round < 9; ++round)
        for (const char* name : {"tova", "h2o", "full", "snapkv"}) names.push_back(name);
    const PolicyReport together = tiny.measure(names, 0, 2);
    REQUIRE(together.policies.size() == 36);  // more than one batch
    for (std::size_t i = 0; i < 4; ++i) {
        CAPTURE(names[i]);
        const PolicyReport report = tiny.measure({names[i]}, 0, 2);
        const PolicyQuality& alone = report.policies.front();
        CHECK(report.full_bits == together.full_bits);
        for (std::size_t j = i; j < names.size(); j += 4) {
            const PolicyQuality& beside = together.policies[j];
            CHECK(beside.kl == alone.kl);
            CHECK(beside.bits == alone.bits);
            CHECK(beside.logits.differ == alone.logits.differ);
            CHECK(beside.kept_at_end == alone.kept_at_end);
            CHECK(beside.bytes.logical == alone.bytes.logical);
        }
        REQUIRE(alone.windows.size() == 2);
        double kl = 0, bits = 0;
        Index agree = 0;
        for (const WindowShift& window : alone.windows) {
            CHECK(window.positions == 56);
            kl += window.kl;
            bits += window.bits;
            agree += window.agree;
        }
        CHECK(kl / 112 == doctest::Approx(alone.mean_kl()).epsilon(1e-12));
        CHECK(bits == doctest::Approx(alone.bits).epsilon(1e-12));
        CHECK(agree == alone.agree);
    }
    const PolicyReport second = tiny.measure({"tova"}, 96, 1);
    CHECK(second.policies[0].windows[0].kl == together.policies[0].windows[1].kl);
}

TEST_CASE("quality: a question behind the budget is answered by who kept the answer") {
    TrainedTiny tiny;
    for (const char* name : {"full", "window", "sinks", "oracle"}) {
        CAPTURE(std::string(name));
        CHECK(tiny.recalls_with(name, question_at(15)));
    }
    const RecallCase far = question_at(150);
    CHECK(tiny.recalls_with("full", far));
    CHECK(tiny.recalls_with("oracle", far));  // 40 of 178 tokens, the right ones
    CHECK_FALSE(tiny.recalls_with("window", far));
    CHECK_FALSE(tiny.recalls_with("sinks", far));
    RecallCase wrong = far;
    wrong.answers = {5, 6};
    CHECK_THROWS_AS(tiny.recalls_with("full", wrong), Error);
    wrong.answers = {std::ssize(wrong.text)};
    CHECK_THROWS_AS(tiny.recalls_with("full", wrong), Error);
}

TEST_SUITE_END();
