// clock.cpp - chapter 3, experiments D4, L2, L3, R1, R2, R3: the time that each token takes,
// with the cache and without, by length and by batch.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <vector>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/kvcache/kv_format.hpp>
#include <kvlab/kvcache/subject.hpp>
#include <kvlab/tensor/measure.hpp>
#include <kvlab/tensor/report.hpp>

namespace kvlab::app {

namespace {

struct ClockFlags {
    OpenOptions opened = cli::open_options();
    Index prompt = 4, rounds = 5, warm_up = 1;
    std::vector<Index> steps = {32, 64, 128, 256};
    std::vector<Index> batch = {1};
    std::vector<std::string> caches = {"f32"};
    bool no_uncached = false;
    std::shared_ptr<OutputFile> json;
};

// One configuration and what was measured of it.
struct Row {
    std::string store;  // a format, or "none"
    Index steps = 0, batch = 1;
    std::vector<double> seconds;                  // of a whole generation, one per round
    std::vector<std::vector<double>> step_times;  // [steps][rounds]
    Index cache_bytes = 0, peak_bytes = 0;
    std::string checksum;  // of the last round's logits

    double tokens() const { return static_cast<double>(steps * batch); }
};

std::unique_ptr<KvStore> make_store(const Row& row, Subject& subject, Index capacity) {
    const KvShape shape = subject.decoder().kv_shape();
    if (row.store == "none")
        return std::make_unique<WholeSequence>(shape, capacity, subject.level());
    return make_cache(find_kv_format(kv_formats(), row.store), shape, capacity,
                      subject.level());
}

// One generation of every sequence of the batch, from nothing. The first step holds the prompt.
void run_round(Subject& subject, const ClockFlags& flags, Row& row, bool counts) {
    const Index before = memory_use().bytes;
    reset_memory_peak();
    Decoder decoder(subject.model(), subject.engine());  // its activations belong to the round
    Generator generator(decoder);
    std::vector<std::unique_ptr<KvStore>> stores;
    for (Index s = 0; s < row.batch; ++s) {
        stores.push_back(make_store(row, subject, flags.prompt + row.steps - 1));
        generator.add(*stores.back(), subject.random_text(flags.prompt), row.steps);
    }
    const Stopwatch whole;
    for (Index step = 0; step < row.steps; ++step) {
        const Stopwatch watch;
        generator.step();
        if (counts) at(row.step_times, step).push_back(watch.seconds());
    }
    if (!counts) return;
    row.seconds.push_back(whole.seconds());
    row.cache_bytes = 0;
    for (const auto& store : stores) row.cache_bytes += store->bytes().logical;
    row.peak_bytes = memory_use().peak - before;
    row.checksum = generator.checksum().hex();
}

// A percentile of all steps of all rounds after the first step, which is the prompt's.
double step_percentile(const Row& row, double p) {
    std::vector<double> all;
    for (std::size_t step = row.steps > 1 ? 1 : 0; step < row.step_times.size(); ++step)
        all.insert(all.end(), row.step_times[step].begin(), row.step_times[step].end());
    std::sort(all.begin(), all.end());
    return at(all, p * static_cast<double>(all.size() - 1) + 0.5);
}

void print_rows(const std::vector<Row>& rows) {
    // "per MB": tokens/s for each MB of the peak.
    std::printf("  %-5s %5s %6s %10s %17s %9s %9s %9s %9s %9s %8s\n", "cache", "batch",
                "tokens", "tokens/s", "quartiles", "P50, ms", "P95, ms", "last, ms", "held, MB",
                "peak, MB", "per MB");
    for (const Row& row : rows) {
        const Quartiles q = quartiles(row.seconds);
        const auto mb = [](Index bytes) { return static_cast<double>(bytes) / (1 << 20); };
        const std::string spread = concat(format_number(row.tokens() / q.high), " - ",
                                          format_number(row.tokens() / q.low));
        std::printf("  %-5s %5td %6td %10s %17s %9.3f %9.3f %9.3f %9.4f %9.2f %8s\n",
                    row.store.c_str(), row.batch, row.steps,
                    format_number(row.tokens() / q.median).c_str(), spread.c_str(),
                    step_percentile(row, 0.5) * 1e3, step_percentile(row, 0.95) * 1e3,
                    quartiles(row.step_times.back()).median * 1e3, mb(row.cache_bytes),
                    mb(row.peak_bytes),
                    format_number(row.tokens() / q.median / mb(row.peak_bytes)).c_str());
    }
}

Json to_json(const Row& row, Index prompt) {
    Json json;
    json["cache"] = row.store;
    json["batch"] = row.batch;
    json["steps"] = row.steps;
    json["seconds"] = kvlab::to_json(quartiles(row.seconds));
    json["tokens_per_second"] = row.tokens() / quartiles(row.seconds).median;
    json["step_seconds_p50"] = step_percentile(row, 0.5);
    json["step_seconds_p95"] = step_percentile(row, 0.95);
    for (const auto& times : row.step_times)
        json["median_step_seconds"].push_back(quartiles(times).median);
    json["cache_bytes"] = row.cache_bytes;
    json["peak_bytes"] = row.peak_bytes;
    json["tokens_held"] = row.cache_bytes == 0 ? 0 : row.batch * (prompt + row.steps - 1);
    json["checksum"] = row.checksum;
    return json;
}

// The float cache and no cache must have computed the same; says so for every pair.
bool same_bits(const std::vector<Row>& rows) {
    bool same = true;
    for (const Row& a : rows)
        for (const Row& b : rows)
            if (a.store == "f32" && b.store == "none" && a.steps == b.steps &&
                a.batch == b.batch) {
                std::printf(
                    "  %td tokens, batch %td: %.2f times as fast with the cache; checksum of "
                    "all logits %s\n",
                    a.steps, a.batch, quartiles(b.seconds).median / quartiles(a.seconds).median,
                    a.checksum == b.checksum ? "the same" : "NOT THE SAME");
                same = same && a.checksum == b.checksum;
            }
    return same;
}

// R3: bytes held against tokens held, a straight line for each format: slope by least squares,
// and the correlation r.
void print_fits(const ClockFlags& flags, const std::vector<Row>& rows, Json& report) {
    for (const std::string& cache : flags.caches) {
        double n = 0, x = 0, y = 0, xx = 0, xy = 0, yy = 0;
        for (const Row& row : rows) {
            if (row.store != cache || row.batch != 1) continue;
            const auto held = static_cast<double>(flags.prompt + row.steps - 1),
                       bytes = static_cast<double>(row.cache_bytes);
            n += 1, x += held, y += bytes, xx += held * held, xy += held * bytes,
                yy += bytes * bytes;
        }
        const double spread = n * xx - x * x;
        if (n < 2 || spread == 0) continue;
        const double slope = (n * xy - x * y) / spread;
        const double r = (n * xy - x * y) / std::sqrt(spread * (n * yy - y * y));
        std::printf("  cache %s: %.1f bytes (%.4f MB) for each token held, r = %.4f\n",
                    cache.c_str(), slope, slope / (1 << 20), r);
        report["fits"].push_back({{"cache", cache}, {"bytes_per_token", slope}, {"r", r}});
    }
}

int run_clock(const ClockFlags& flags) {
    Subject subject(flags.opened);
    std::vector<Row> rows;
    for (const Index batch : flags.batch)
        for (const Index steps : flags.steps) {
            cli::check_fits("--prompt and --steps", flags.prompt + steps - 1, subject.config());
            std::vector<std::string> stores = flags.caches;
            if (!flags.no_uncached) stores.emplace_back("none");
            for (const std::string& store : stores) {
                rows.push_back({store, steps, batch, {}, {}, 0, 0, {}});
                rows.back().step_times.resize(usize(steps));
            }
        }
    std::printf("%s, %s: a prompt of %td tokens, %td rounds\n", subject.config().name.c_str(),
                subject.engine_name().c_str(), flags.prompt, flags.rounds);
    std::fflush(stdout);
    // In turns, so that a machine that slows down slows all of them.
    for (Index round = -flags.warm_up; round < flags.rounds; ++round)
        for (Row& row : rows) run_round(subject, flags, row, round >= 0);
    print_rows(rows);
    const bool same = same_bits(rows);
    Json report = new_report("step03_kvcache clock", 42);
    report["model"] = subject.config().name;
    report["engine"] = subject.engine_name();
    report["prompt"] = flags.prompt;
    for (const Row& row : rows) report["rows"].push_back(to_json(row, flags.prompt));
    print_fits(flags, rows, report);
    report["same_bits"] = same;
    write_json(flags.json, report);
    std::cout << "RESULT rows=" << rows.size() << " identical=" << (same ? "yes" : "no")
              << std::endl;
    return same ? cli::kHolds : cli::kFails;
}

void add_clock_flags(CLI::App& app, ClockFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    cli::add_count(app, "--prompt", flags.prompt, 1, "tokens of the prompt");
    cli::add_count(app, "--rounds", flags.rounds, 1,
                   "measurements of each, of which medians are shown");
    cli::add_count(app, "--warm-up", flags.warm_up, 0, "rounds before them that do not count");
    cli::add_count(app, "-n,--steps", flags.steps, 1, "tokens to generate, a list");
    cli::add_count(app, "--batch", flags.batch, {1, 256}, "sequences at once, a list");
    app.add_option("--cache", flags.caches, "formats of the cache: f32, f16, int8")
        ->delimiter(',')
        ->check(CLI::IsMember(format_names(kv_formats())))
        ->capture_default_str();
    app.add_flag("--no-uncached", flags.no_uncached,
                 "leave out the runs without a cache, which take long");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kClock{
    {.place = 60,
     .name = "clock",
     .text = "time per token with the cache and without, by length and batch"},
    add_clock_flags,
    run_clock};

}  // namespace

}  // namespace kvlab::app
