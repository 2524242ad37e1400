// waste.cpp - chapter 7: how many of the slots that texts hold have no token in them, by the
// size of a page; the last size is a contiguous reservation of the context.
#include <cstdio>
#include <iostream>

#include <kvlab/serving/accounting.hpp>
#include <kvlab/serving/make_trace.hpp>
#include <kvlab/tensor/measure.hpp>
#include <kvlab/tensor/report.hpp>
#include <kvlab/tensor/subcommand.hpp>

namespace kvlab::app {

namespace {

struct WasteFlags {
    Index requests = 1000, context = 8192, contexts = 16;
    std::vector<Index> pages = {16, 64, 256};
    std::uint64_t seed = 1;
    std::shared_ptr<OutputFile> json;
};

Json waste_line(const WasteFlags& flags, const RequestTrace& trace, Index page_slots) {
    const PageWaste waste = count_waste(trace, flags.contexts * flags.context, page_slots);
    const std::string size =
        page_slots == flags.context ? "contiguous" : concat(page_slots, " slots");
    std::printf("  %-24s %12s %9.0f %9.0f %8.1f %% %7.1f %7td\n", trace.name.c_str(),
                size.c_str(), waste.held, waste.needed, 100 * waste.wasted(), waste.texts,
                waste.steps);
    return {{"trace", trace.name},    {"page_slots", page_slots},    {"held", waste.held},
            {"needed", waste.needed}, {"wasted", waste.wasted()},    {"texts", waste.texts},
            {"steps", waste.steps},   {"preempted", waste.preempted}};
}

int run_waste(const WasteFlags& flags) {
    std::printf(
        "%td requests of each trace, scaled to a context of %td, from memory for %td "
        "whole contexts\n",
        flags.requests, flags.context, flags.contexts);
    std::printf("  %-24s %12s %9s %9s %10s %7s %7s\n", "trace", "pages of", "held", "needed",
                "wasted", "texts", "steps");
    Json report = new_report("step07_serving waste", flags.seed);
    report["context"] = flags.context;
    report["slots"] = flags.contexts * flags.context;
    report["lines"] = Json::array();
    for (const TraceKind& kind : trace_kinds()) {
        const RequestTrace trace = make_trace(
            kind, {.requests = flags.requests, .context = flags.context, .seed = flags.seed});
        for (const Index page_slots : flags.pages)
            if (page_slots < flags.context)
                report["lines"].push_back(waste_line(flags, trace, page_slots));
        report["lines"].push_back(waste_line(flags, trace, flags.context));
    }
    std::fflush(stdout);
    write_json(flags.json, report);
    std::cout << "RESULT lines=" << report["lines"].size() << std::endl;
    return cli::kHolds;
}

void add_waste_flags(CLI::App& app, WasteFlags& flags) {
    cli::add_count(app, "--requests", flags.requests, {1, 99999}, "of each trace");
    cli::add_count(app, "--context", flags.context, {16, 1 << 18}, "to which they are scaled");
    cli::add_count(app, "--contexts", flags.contexts, {1, 1024},
                   "so many contexts fit in memory");
    cli::add_count(app, "--pages", flags.pages, {1, 1 << 18}, "slots of a page");
    app.add_option("-s,--seed", flags.seed, "of the traces")->capture_default_str();
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kWaste{{.place = 68,
                              .name = "waste",
                              .text = "slots that are held for nothing, by the size of a page"},
                             add_waste_flags,
                             run_waste};

}  // namespace

}  // namespace kvlab::app
