// table.cpp - chapter 6: its main table: every format of the cache, with the law that it keeps
// and with what it changes.
#include <algorithm>
#include <cstdio>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/quant/uncached_quant.hpp>
#include <kvlab/tensor/checksum.hpp>

#include "kv_formats.hpp"

namespace kvlab::app {

namespace {

struct TableFlags {
    TrialFlags trial;
    Index law = 192;  // more than KIVI's residual
};

// Logits of all rows of a text, `piece` tokens in a step; 0: all.
Tensor all_logits(Decoder& decoder, KvStore& store, std::span<const Token> text, Index piece) {
    const auto n = std::ssize(text);
    if (piece == 0) piece = n;
    Tensor all({n, decoder.config().vocab});
    for (Index begin = 0; begin < n; begin += piece) {
        const Index count = std::min(piece, n - begin);
        const View<const float> rows =
            decoder.forward(store, text.subspan(usize(begin), usize(count)), LogitsOf::all);
        const std::span<const float> from = rows.flat();
        std::copy(from.begin(), from.end(), &all(begin, 0));
    }
    return all;
}

// Floats that differ, of all logits of a text.
struct KvLaw {
    Index whole = 0, one_by_one = 0;  // with the cache, from the run without one
    Index from_f32 = 0;               // that run, from the float run

    // Rounded numbers that change nothing would be floats in disguise.
    bool holds(bool f32) const {
        return whole == 0 && one_by_one == 0 && (from_f32 == 0) == f32;
    }
};

class LawCourt {
public:
    LawCourt(OpenedModel& opened, std::span<const Token> text)
        : opened_(opened),
          text_(text),
          rope_(rope_of(*opened.model)),
          shape_(opened.decoder.kv_shape()) {
        WholeSequence no_cache(shape_, size(), opened.level);
        floats_ = all_logits(opened.decoder, no_cache, text_, 0);
    }

    // ANCHOR: law
    KvLaw judge(const QuantOptions& options) const {
        UncachedQuant no_cache(shape_, size(), options, rope_);
        const Tensor expected = all_logits(opened_.decoder, no_cache, text_, 0);
        KvLaw law;
        law.from_f32 = differing(expected, floats_);
        for (const Index piece : {Index{0}, Index{1}}) {
            KvCache cache(shape_, size(), coded_rows(options, opened_.level), rope_,
                          opened_.level);
            const Tensor cached = all_logits(opened_.decoder, cache, text_, piece);
            (piece == 0 ? law.whole : law.one_by_one) = differing(cached, expected);
        }
        return law;
    }

    // ANCHOR_END: law

    Index logits() const { return floats_.size(); }

private:
    static Index differing(const Tensor& a, const Tensor& b) {
        return compare_bits(a.flat(), b.flat()).differ;
    }

    Index size() const { return std::ssize(text_); }

    OpenedModel& opened_;
    std::span<const Token> text_;
    const RopeTable* rope_;
    KvShape shape_;
    Tensor floats_;
};

Json table_label(const KvRow& row,
                 const KvLaw& law,
                 Index logits,
                 const KvShape& shape,
                 const RopeTable* rope,
                 const Trial& trial) {
    Json label{{"format", row.code->name}};
    label.update(kv_sizes(shape, row.options, rope, trial.score_from, trial.text.window()));
    label["law"] = concat(law.whole + law.one_by_one, " of ", 2 * logits);
    label["from f32"] = law.from_f32;
    return label;
}

int run_table(const TableFlags& flags) {
    Trial trial(flags.trial);
    trial.score_from = QuantOptions{}.residual;
    OpenedModel& opened = trial.opened;
    const KvShape shape = opened.decoder.kv_shape();
    const RopeTable* const rope = rope_of(*opened.model);
    const Index window = trial.text.window();
    const std::vector<Token> text = trial.text.input(0);
    const std::span<const Token> tried =
        std::span(text).first(usize(std::min(flags.law, window)));
    const LawCourt court(opened, tried);
    const KvRows table = kv_rows(shape, {}, {}, {"both"});
    std::printf("%s, %s: %td windows of %td tokens; the law on %zu\n",
                opened.model->config.name.c_str(), opened.engine->name().c_str(),
                trial.text.count(), window, tried.size());
    bool laws = true;
    std::vector<KvLaw> verdicts;
    std::vector<Variant> variants;
    std::vector<Json> labels;
    for (const KvRow& row : table.rows) {
        const KvLaw law = court.judge(row.options);
        laws = laws && law.holds(row.code == &formats::f32);
        verdicts.push_back(law);
        variants.push_back(kv_variant(opened, row, rope));
        labels.push_back(table_label(row, law, court.logits(), shape, rope, trial));
    }
    trial.print_head(labels.front());
    trial.run(variants, labels);
    for (const std::string& reason : table.refused)
        std::printf("  refused: %s\n", reason.c_str());
    std::printf(
        "  law: floats of all logits that differ between this cache, token by token and whole, "
        "and a run\n"
        "  without a cache that rounds keys and values the same way. from f32: floats of that "
        "run, of %td,\n"
        "  that differ from the float run; a rounded cache without any would be no rounded "
        "cache.\n",
        court.logits());
    print_kv_footer(trial);
    trial.print_notes();
    if (flags.trial.json) {
        Json report = trial.report("step06_quant");
        for (std::size_t i = 0; i < verdicts.size(); ++i)
            report["rows"][i].update({{"law", verdicts[i].whole + verdicts[i].one_by_one}});
        report["law_tokens"] = tried.size();
        report["logits"] = court.logits();
        report["refused"] = table.refused;
        report["laws"] = laws;
        write_json(flags.trial.json, report);
    }
    std::cout << "RESULT rows=" << trial.rows().size() << " refused=" << table.refused.size()
              << " laws=" << (laws ? "yes" : "no") << std::endl;
    return laws ? cli::kHolds : cli::kFails;
}

void add_table_flags(CLI::App& app, TableFlags& flags) {
    flags.trial.opened.model = "deep";
    flags.trial.tokens = 1024;
    flags.trial.recall = 4;
    flags.trial.calibration = 0;
    flags.trial.baseline = "q4_0";
    add_trial_flags(app, flags.trial);
    cli::add_count(app, "--law", flags.law, {1, 1 << 20},
                   "tokens that the law is tried on, at most a window");
}

const cli::Subcommand kTable{{.by_default = true}, add_table_flags, run_table};

}  // namespace

}  // namespace kvlab::app
