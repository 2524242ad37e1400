// Random schedules: whatever is asked for and in whatever way it is served, every request has
// the bits that it has alone. And what was to be tested did happen.
#include <doctest/doctest.h>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/kvcache/kv_format.hpp>
#include <kvlab/quant/coded_rows.hpp>
#include <kvlab/serving/laws.hpp>

#include "quant_rig.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// One thread: for models this small others only cost time, very much of it where processors are
// busy with something else.
struct LawRig {
    explicit LawRig(const Config& config)
        : engine(make_cpu_engine({1, default_simd_level()})),
          decoder(load_model(*make_synthetic(config, 5), *engine), *engine) {
        options.text = random_tokens(2000, config.vocab, 6);
    }

    LawReport check(Index schedules) {
        options.schedules = schedules;
        options.to_first_difference = true;
        LawReport report = check_laws(decoder, options);
        INFO(report.first_difference);
        CHECK(report.holds());
        CHECK(report.logits.count > 0);
        CHECK(report.schedules == schedules);
        return report;
    }

    std::unique_ptr<Engine> engine;
    Decoder decoder;
    LawOptions options;
};

}  // namespace

TEST_SUITE("step07") {
    TEST_CASE("laws: random schedules of the tiny model's shape") {
        LawRig rig(tiny_config());
        const LawReport report = rig.check(150);
        CHECK(report.counts.never() == "");
        CHECK(report.bounded_steps > 0);
        CHECK(report.bounded_steps < report.steps);  // there were static batches
    }

    TEST_CASE("laws: random schedules of a model with learned positions and biases") {
        LawRig rig(small_gpt2());
        rig.options.seed = 2;
        CHECK(rig.check(60).counts.cached > 0);
    }

    TEST_CASE("laws: random schedules with pages in every format of chapters 3 and 6") {
        LawRig rig(small_config(4, 2, 32));
        std::vector<LawRows>& all = rig.options.formats;
        all.clear();
        for (const Format format : kv_formats()) all.push_back({format->name, rows_in(format)});
        const auto add = [&](const QuantOptions& options) {
            all.push_back({"coded " + quant_name(options), coded_rows(options)});
        };
        for (const Format format : coded_formats())
            if (!format->waits) add(both(format));
        QuantOptions sinks = both(&formats::q4_0);
        sinks.sinks = 70;  // more than a page
        add(sinks);
        CHECK(all.size() > 20);
        rig.options.seed = 3;
        const LawReport report = rig.check(160);
        const LawCounts& counts = report.counts;
        for (const auto& [name, schedules] : report.drawn) CHECK(schedules > 0);
        CHECK(counts.cached > 0);
        CHECK(counts.copied > 0);
        CHECK(counts.recomputed + counts.swapped > 0);
    }

    TEST_CASE(
        "laws: a report is the same for the same seed, and each schedule can be drawn alone") {
        LawRig rig(tiny_config());
        const LawReport all = rig.check(8), again = rig.check(8);
        CHECK(again.logits.count == all.logits.count);
        CHECK(again.steps == all.steps);
        Index steps = 0;
        for (Index i = 0; i < 8; ++i) {
            rig.options.first = i;
            steps += rig.check(1).steps;
        }
        CHECK(steps == all.steps);
    }

    TEST_CASE("laws: what never happened is named") {
        LawCounts counts;
        CHECK(counts.never().starts_with("cached, copied, evicted, recomputed"));
        counts = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
        CHECK(counts.never() == "");
        counts.rejected = 0;
        CHECK(counts.never() == "rejected");
        LawReport report;
        report.counts = counts;
        report.drawn = {{"f32", 3}, {"q4_0", 0}};
        CHECK(report.never() == "rejected, pages of q4_0");
    }

    TEST_CASE("laws: too little text, and requests that do not fit, are refused") {
        LawRig rig(tiny_config());
        rig.options.most_prompt = 1001;
        CHECK_THROWS_AS(check_laws(rig.decoder, rig.options), Error);
        rig.options.most_prompt = 500;
        CHECK_THROWS_AS(check_laws(rig.decoder, rig.options), Error);
        rig.options.most_prompt = 10;
        rig.options.schedules = 0;
        CHECK_THROWS_AS(check_laws(rig.decoder, rig.options), Error);
    }
}
