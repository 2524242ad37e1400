// kv_clock.cpp - chapter 6: the time of a decoded token behind a long text, by the format of
// the cache: fewer bytes are read, and expanding them costs time of its own.
#include <algorithm>
#include <cstdio>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/kvcache/subject.hpp>
#include <kvlab/quant/coded_rows.hpp>
#include <kvlab/tensor/report.hpp>

#include "kv_formats.hpp"

namespace kvlab::app {

namespace {

struct KvClockFlags {
    OpenOptions opened = cli::open_options("SmolLM2-135M-Instruct-Q4_1");
    std::vector<std::string> codes = {"f32", "f16", "q8_0", "q4_0"};
    std::vector<Index> lengths = {2048, 4096};
    Index tokens = 16, rounds = 5, warm_up = 2;
    bool rotate = false;
    std::shared_ptr<OutputFile> json;
};

struct KvClockRow {
    Format code{};
    Index length = 0;
    std::unique_ptr<KvStore> behind;   // `length` tokens; rounds work on forks of it
    std::vector<double> seconds = {};  // of a token, the median of each round
    Index bytes = 0;                   // of keys and values that the next token reads
    double to_first = 0;               // the time of the first row's token, in the same rounds
};

KvClockRow kv_clock_row(OpenedModel& opened,
                        const KvClockFlags& flags,
                        Format code,
                        Index length) {
    QuantOptions options{code, code};
    options.turn = flags.rotate;
    KvClockRow row{code, length,
                   std::make_unique<KvCache>(
                       opened.decoder.kv_shape(), length + flags.warm_up + flags.tokens,
                       coded_rows(options, opened.level), nullptr, opened.level)};
    const std::vector<Token> text = random_text(opened.model->config.vocab, length);
    constexpr std::size_t kPiece = 512;
    for (std::size_t begin = 0; begin < text.size(); begin += kPiece)
        opened.decoder.forward(
            *row.behind, std::span(text).subspan(begin, std::min(kPiece, text.size() - begin)));
    row.bytes = row.behind->bytes().logical;
    return row;
}

// A single thread is asked for its own processor time, in which other programs do not count.
double kv_clock_now(const KvClockFlags& flags) {
    return flags.opened.threads == 1 ? thread_cpu_seconds() : wall_seconds();
}

// A round that does not count warms up what is shared: the weights.
void clock_kv_round(OpenedModel& opened,
                    const KvClockFlags& flags,
                    KvClockRow& row,
                    bool counts) {
    const std::unique_ptr<KvStore> store = row.behind->fork();
    const std::vector<Token> text =
        random_text(opened.model->config.vocab, flags.warm_up + flags.tokens);
    std::vector<double> seconds;
    for (std::size_t t = 0; t < text.size(); ++t) {
        const double start = kv_clock_now(flags);
        opened.decoder.forward(*store, std::span(text).subspan(t, 1));
        if (static_cast<Index>(t) >= flags.warm_up)
            seconds.push_back(kv_clock_now(flags) - start);
    }
    if (counts) row.seconds.push_back(quartiles(std::move(seconds)).median);
}

// Rows of one round ran in the same minute, so ratios are taken within rounds.
double kv_clock_ratio(const KvClockRow& row, const KvClockRow& first) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < row.seconds.size(); ++i)
        ratios.push_back(row.seconds[i] / first.seconds[i]);
    return quartiles(std::move(ratios)).median;
}

std::vector<KvClockRow> clock_kv_length(OpenedModel& opened,
                                        const KvClockFlags& flags,
                                        Index length) {
    std::vector<KvClockRow> rows;
    for (const std::string& name : flags.codes)
        rows.push_back(
            kv_clock_row(opened, flags, find_kv_format(coded_formats(), name), length));
    for (Index round = -1; round < flags.rounds; ++round)
        for (KvClockRow& row : rows) clock_kv_round(opened, flags, row, round >= 0);
    for (KvClockRow& row : rows) {
        row.to_first = kv_clock_ratio(row, rows.front());
        row.behind.reset();
        const Quartiles ms = quartiles(row.seconds);
        std::printf(
            "  %-10s %6td %9.3f %17s %8.3f %14td\n", row.code->name, length, ms.median * 1e3,
            concat(format_number(ms.low * 1e3), " - ", format_number(ms.high * 1e3)).c_str(),
            row.to_first, row.bytes);
    }
    std::fflush(stdout);
    return rows;
}

int run_kv_clock(const KvClockFlags& flags) {
    OpenedModel opened(flags.opened);
    const Config& config = opened.model->config;
    for (const std::string& name : flags.codes) find_kv_format(coded_formats(), name);
    for (const Index length : flags.lengths)
        cli::check_fits("--lengths, --warm-up and --tokens",
                        length + flags.warm_up + flags.tokens, config);
    const char* const kind = flags.opened.threads == 1 ? "processor" : "wall";
    std::printf(
        "%s, %s: a token behind so many others, %s time, %td rounds in turn; weights %td "
        "bytes\n",
        config.name.c_str(), opened.engine->name().c_str(), kind, flags.rounds,
        opened.model->weight_bytes());
    std::printf("  %-10s %6s %9s %17s %8s %14s\n", "cache", "behind", "ms/token", "quartiles",
                "to first", "bytes read");
    Json report = new_report("step06_quant kv-clock", 42);
    report["model"] = config.name;
    report["engine"] = opened.engine->name();
    report["weight_bytes"] = opened.model->weight_bytes();
    report["time"] = kind;
    report["rotate"] = flags.rotate;
    for (const Index length : flags.lengths)
        for (const KvClockRow& row : clock_kv_length(opened, flags, length))
            report["rows"].push_back({{"cache", row.code->name},
                                      {"length", length},
                                      {"seconds", to_json(quartiles(row.seconds))},
                                      {"to_first", row.to_first},
                                      {"bytes_read", row.bytes}});
    std::printf(
        "  bytes read: the keys and values of all layers; ratios are medians of the rounds' "
        "own.\n");
    write_json(flags.json, report);
    std::cout << "RESULT rows=" << report["rows"].size() << std::endl;
    return cli::kHolds;  // times are the machine's; a slow one is no failed check
}

void add_kv_clock_flags(CLI::App& app, KvClockFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    app.add_option("--codes", flags.codes, "formats, a list; ratios are to the first")
        ->delimiter(',')
        ->check(CLI::IsMember(format_names(coded_formats())))
        ->capture_default_str();
    cli::add_count(app, "--lengths", flags.lengths, {1, 1 << 20},
                   "tokens behind which the clock starts, a list");
    cli::add_count(app, "--tokens", flags.tokens, {1, 1 << 20},
                   "tokens of a round, whose median counts");
    cli::add_count(app, "--rounds", flags.rounds, {1, 1 << 20},
                   "rounds, behind one that does not count");
    cli::add_count(app, "--warm-up", flags.warm_up, {0, 1 << 20},
                   "tokens of each round that do not count");
    app.add_flag("--rotate", flags.rotate, "rotate by a Hadamard matrix, too");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kKvClock{
    {.place = 40,
     .name = "kv-clock",
     .text = "time per token behind a long text, by the format of the cache"},
    add_kv_clock_flags,
    run_kv_clock};

}  // namespace

}  // namespace kvlab::app
