// diverge.cpp - chapter 3: two runs in lock-step and the first number in which they differ; and
// why bits change, by breaking the contract in one way at a time.
#include <kvlab/kvcache/diverge.hpp>

#include <algorithm>
#include <cstdio>
#include <memory>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/kvcache/kv_format.hpp>
#include <kvlab/kvcache/loose_engine.hpp>
#include <kvlab/kvcache/read_trace.hpp>
#include <kvlab/kvcache/split_store.hpp>
#include <kvlab/tensor/report.hpp>

namespace kvlab::app {

namespace {

struct DivergeFlags {
    OpenOptions opened = cli::open_options();
    SamplingOptions sampling;
    std::string prompt = "In the beginning God created the heaven and the earth.";
    Index steps = 24;
    std::string a = "f32", b = "none", which = "none";
    std::vector<std::string> traces;
    double tolerance = 0;  // of two traces; 0: every bit
    std::shared_ptr<OutputFile> json;
};

// One comparison, ready to be printed.
struct Compared {
    std::string which, a, b;
    Comparison comparison;
    Index fork_step;
};

std::unique_ptr<KvStore> diverge_store(const std::string& cache,
                                       Switch which,
                                       const KvShape& shape,
                                       Index capacity,
                                       SimdLevel level) {
    const bool none = cache == "none";
    if (which == Switch::split) {
        check(none || cache == "f32", "--switch split: a cache in f32 or none, not ", cache);
        return std::make_unique<SplitStore>(shape, capacity, !none);
    }
    if (none) return std::make_unique<WholeSequence>(shape, capacity, level);
    return make_cache(find_kv_format(kv_formats(), cache), shape, capacity, level);
}

Compared run_pair(const OpenedModel& opened, const DivergeFlags& flags, Switch which) {
    const auto engine = make_loose_engine(
        make_cpu_engine({opened.engine->pool().threads(), opened.level}), which);
    // With the contract kept, the opened model's own model will do; a loose engine
    // wants its own.
    const auto model = which == Switch::none ? opened.model : load_model(opened.file, *engine);
    Engine& used = which == Switch::none ? *opened.engine : *engine;
    Decoder decoder_a(model, used), decoder_b(model, used);
    const auto prompt = opened.encode(flags.prompt);
    const Index capacity = std::ssize(prompt) + flags.steps;
    const auto store = [&](const std::string& cache) {
        return diverge_store(cache, which, decoder_a.kv_shape(), capacity, opened.level);
    };
    const auto a = store(flags.a), b = store(flags.b);
    DivergeReport report =
        diverge({decoder_a, *a}, {decoder_b, *b}, prompt, flags.steps, flags.sampling);
    return {switch_name(which), flags.a, flags.b, std::move(report.comparison),
            report.fork_step};
}

// The first step in which two recorded runs chose another token; -1 if none, or if a file does
// not say what was chosen.
Index first_fork(const TraceRun& a, const TraceRun& b) {
    for (std::size_t i = 0; i < std::min(a.tokens.size(), b.tokens.size()); ++i)
        if (a.tokens[i] != b.tokens[i] && a.tokens[i] >= 0 && b.tokens[i] >= 0)
            return static_cast<Index>(i);
    return -1;
}

Compared compare_traces(const DivergeFlags& flags) {
    Trace trace_a = read_trace_run(flags.traces[0]), trace_b = read_trace_run(flags.traces[1]);
    TraceRun &a = trace_a.runs.front(), &b = trace_b.runs.front();
    const Index D = std::max(trace_a.head_dim, trace_b.head_dim);
    check(std::min(trace_a.head_dim, trace_b.head_dim) == 0 ||
              trace_a.head_dim == trace_b.head_dim,
          "--traces: head_dim is ", trace_a.head_dim, " in one and ", trace_b.head_dim,
          " in the other");
    if (a.steps.size() != b.steps.size())
        std::cerr << "note: " << a.steps.size() << " steps and " << b.steps.size()
                  << "; the longer rest is not compared\n";
    Comparison comparison(D, flags.tolerance);
    Index left_out = 0;
    for (std::size_t i = 0; i < std::min(a.steps.size(), b.steps.size()); ++i) {
        left_out += keep_common(a.steps[i], b.steps[i]);
        comparison.add(a.steps[i], b.steps[i]);
    }
    if (left_out > 0)
        std::cerr << "note: " << left_out << " operators are in one recording alone; those in "
                  << "both are compared\n";
    return {"recorded", flags.traces[0], flags.traces[1], std::move(comparison),
            first_fork(a, b)};
}

void print_compared(const std::vector<Compared>& all) {
    std::printf("  %-12s %10s %10s %8s %12s %12s %6s\n", "switch", "floats", "differ",
                "max ulp", "logits, 1st", "logits, max", "forks");
    for (const Compared& one : all) {
        const Difference& d = one.comparison.all();
        double first = 0, most = 0;
        for (const double gap : one.comparison.max_abs_logits()) {
            if (first == 0) first = gap;
            most = std::max(most, gap);
        }
        const std::string fork = one.fork_step < 0 ? "-" : concat(one.fork_step);
        std::printf("  %-12s %10td %10td %8llu %12.3g %12.3g %6s\n", one.which.c_str(), d.count,
                    d.differ, static_cast<unsigned long long>(d.max_ulp), first, most,
                    fork.c_str());
    }
    for (const Compared& one : all) {
        const auto& first = one.comparison.first();
        if (!first) continue;
        std::printf("\n  %s: first difference at %s\n", one.which.c_str(),
                    describe(*first).c_str());
        std::printf("    %a and %a, %llu ulp apart; %.2g of the row's largest\n",
                    static_cast<double>(first->a), static_cast<double>(first->b),
                    static_cast<unsigned long long>(first->ulp), first->relative);
        std::printf("    likely: %s\n", likely_cause(*first).c_str());
    }
}

Json to_json(const Compared& one) {
    const Comparison& c = one.comparison;
    Json json;
    json["a"] = one.a;
    json["b"] = one.b;
    json["switch"] = one.which;
    json["steps"] = c.steps();
    json["floats"] = c.all().count;
    json["differ"] = c.all().differ;
    json["first"] = nullptr;
    if (const auto& d = c.first())
        json["first"] = {{"step", d->step},
                         {"layer", d->layer},
                         {"op", op_name(d->op)},
                         {"head", d->head},
                         {"position", d->position},
                         {"position_b", d->position_b},
                         {"index", d->index},
                         {"a", d->a},
                         {"b", d->b},
                         {"ulp", d->ulp},
                         {"relative", d->relative},
                         {"likely", likely_cause(*d)}};
    json["labels"] = c.labels();
    json["max_ulp"] = c.max_ulp();
    json["max_abs_logits"] = c.max_abs_logits();
    json["fork_step"] = nullptr;
    if (one.fork_step >= 0) json["fork_step"] = one.fork_step;
    return json;
}

// Whether two runs must agree in every bit. They must if they are the same twice, and, with the
// contract kept, if neither cache rounds. All others must differ: a switch that changes nothing
// would prove nothing. What was recorded must agree, whoever wrote it.
bool must_agree(const Compared& one) {
    const auto exact = [](const std::string& cache) {
        return cache == "none" || cache == "f32";
    };
    return one.which == "recorded" || one.a == one.b ||
           (one.which == "none" && exact(one.a) && exact(one.b));
}

bool as_expected(const std::vector<Compared>& all) {
    return std::all_of(all.begin(), all.end(), [](const Compared& one) {
        return (one.comparison.beyond() == 0) == must_agree(one);
    });
}

int run_diverge(const DivergeFlags& flags) {
    std::vector<Compared> all;
    Json report = new_report("step03_kvcache diverge", flags.sampling.seed);
    if (!flags.traces.empty()) {
        all.push_back(compare_traces(flags));
        std::printf("%s and %s\n", all[0].a.c_str(), all[0].b.c_str());
    } else {
        const OpenedModel opened(flags.opened);
        cli::check_fits(
            "--prompt and --steps",
            static_cast<Index>(opened.encode(flags.prompt).size()) + flags.steps - 1,
            opened.model->config);
        report["model"] = opened.model->config.name;
        report["engine"] = opened.engine->name();
        // Without the engine: with the contract, and with each switch, all give the same bits.
        std::printf("%s: cache %s and cache %s, %td steps\n", opened.model->config.name.c_str(),
                    flags.a.c_str(), flags.b.c_str(), flags.steps);
        std::fflush(stdout);
        if (flags.which == "all")
            for (const Switch which : kSwitches) all.push_back(run_pair(opened, flags, which));
        else
            all.push_back(run_pair(opened, flags, parse_switch(flags.which)));
    }
    print_compared(all);
    Difference total;
    for (const Compared& one : all) {
        report["runs"].push_back(to_json(one));
        total.merge(one.comparison.all());
    }
    const bool expected = as_expected(all);
    if (all.size() == 1)
        std::printf("\n  %td of %td floats differ\n", total.differ, total.count);
    if (flags.tolerance > 0)
        std::printf("  %td by more than %g of the largest in their row\n",
                    all[0].comparison.beyond(), flags.tolerance);
    write_json(flags.json, report);
    std::cout << "\nRESULT runs=" << all.size() << " floats=" << total.count
              << " differ=" << total.differ << " as_expected=" << (expected ? "yes" : "no")
              << std::endl;
    return expected ? cli::kHolds : cli::kFails;
}

void add_diverge_flags(CLI::App& app, DivergeFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    cli::add_sampling_flags(app, flags.sampling);
    cli::add_prompt_flags(app, flags.prompt, "text to go on with");
    cli::add_count(app, "-n,--steps", flags.steps, 1, "tokens to generate");
    std::vector<std::string> caches = format_names(kv_formats());
    caches.insert(caches.begin(), "none");
    const auto cache = CLI::IsMember(caches);
    app.add_option("-a,--cache-a", flags.a, "of the first run: none, f32, f16 or int8")
        ->check(cache)
        ->capture_default_str();
    app.add_option("-b,--cache-b", flags.b, "of the second run")
        ->check(cache)
        ->capture_default_str();
    app.add_option("--switch", flags.which,
                   "break the contract in both: none, order, contraction, f16, split; or all, "
                   "one after the other")
        ->check(CLI::IsMember({"none", "order", "contraction", "f16", "split", "all"}))
        ->capture_default_str();
    CLI::Option* const traces =
        app.add_option("--traces", flags.traces,
                       "compare two recorded runs (generate --trace) instead: FILE or FILE#run")
            ->expected(2);
    app.add_option("--tolerance", flags.tolerance,
                   "of two recorded runs: how far floats may be apart, in parts of the largest "
                   "in their row; 0: every bit")
        ->check(CLI::Range(0.0, 1.0))
        ->needs(traces)
        ->capture_default_str();
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kDiverge{
    {.place = 70,
     .name = "diverge",
     .text = "two runs in lock-step: the first number that differs, and why bits change"},
    add_diverge_flags,
    run_diverge};

}  // namespace

}  // namespace kvlab::app
