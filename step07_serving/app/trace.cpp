// trace.cpp - chapter 7: makes a trace of requests from published statistics, or shows how near
// a trace of full size comes to them.
#include <cstdio>
#include <iostream>

#include <kvlab/serving/latency.hpp>
#include <kvlab/serving/make_trace.hpp>
#include <kvlab/tensor/report.hpp>
#include <kvlab/tensor/subcommand.hpp>

#include "trace_flags.hpp"

namespace kvlab::app {

namespace {

struct TraceFlags {
    std::string kind = "azure-conversation";
    TraceScale scale;
    std::shared_ptr<OutputFile> output;
    std::shared_ptr<OutputFile> json;
};

Json lengths_line(const char* what,
                  const std::vector<Index>& tokens,
                  const PublishedLengths& published) {
    const LengthStatistics drawn = length_statistics(tokens);
    std::printf("  %-8s %9s %9s %9s %7s %7s\n", what, "mean", "median", "P90", "mu", "sigma");
    const auto row = [](const char* who, const LengthStatistics& s) {
        // A figure that the sources do not say is 0.
        const std::string p90 = s.p90 > 0 ? format_number(s.p90, 5) : "-";
        std::printf("  %8s %9.0f %9.0f %9s %7.2f %7.2f\n", who, s.mean, s.median, p90.c_str(),
                    s.mu, s.sigma);
    };
    row("drawn", drawn);
    row("said",
        {published.mean, published.median, published.p90, published.mu, published.sigma});
    return {{"mean", drawn.mean},
            {"median", drawn.median},
            {"p90", drawn.p90},
            {"mu", drawn.mu},
            {"sigma", drawn.sigma}};
}

int run_trace(const TraceFlags& flags) {
    const TraceKind& kind = find_trace_kind(flags.kind);
    const RequestTrace trace = make_trace(kind, flags.scale);
    std::vector<Index> inputs, outputs;
    for (const TracedRequest& request : trace.requests) {
        inputs.push_back(request.prompt_tokens());
        outputs.push_back(request.max_tokens);
    }
    const double seconds = trace.requests.back().arrival();
    std::printf("%s: %s\n  %zu requests in %.1f s; the longest text has %td tokens\n",
                kind.name, kind.what, trace.requests.size(), seconds, trace.longest());
    if (flags.scale.context > 0)
        std::printf("  scaled to a context of %td; what is said below is of the original\n",
                    flags.scale.context);
    Json report = new_report("step07_serving trace", flags.scale.seed);
    report["trace"] = kind.name;
    report["context"] = flags.scale.context;
    report["requests"] = trace.requests.size();
    report["seconds"] = seconds;
    report["longest"] = trace.longest();
    report["input"] = lengths_line("prompts", inputs, kind.published_input);
    report["output"] = lengths_line("answers", outputs, kind.published_output);
    if (flags.output) {
        flags.output->write(to_text(trace));
        flags.output->commit();
    }
    write_json(flags.json, report);
    std::cout << "RESULT requests=" << trace.requests.size() << " longest=" << trace.longest()
              << std::endl;
    return cli::kHolds;
}

void add_trace_flags(CLI::App& app, TraceFlags& flags) {
    add_kind_flag(app, flags.kind);
    cli::add_count(app, "--requests", flags.scale.requests, {0, 99999},
                   "how many; 0: as many as the original");
    cli::add_count(app, "--context", flags.scale.context, Index{0},
                   "scale all lengths to a model's context, 16 at least; 0: as they are");
    app.add_option("-s,--seed", flags.scale.seed, "of all draws")->capture_default_str();
    cli::add_output_flag(app, "-o,--output", flags.output, "write the trace to this file");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kTrace{
    {.place = 60,
     .name = "trace",
     .text = "make a trace of requests from published statistics of four services"},
    add_trace_flags,
    run_trace};

}  // namespace

}  // namespace kvlab::app
