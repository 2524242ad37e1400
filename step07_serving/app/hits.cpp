// hits.cpp - chapter 7: how many blocks of prompts an index finds, by the size of its pool;
// beside it an index that never forgets, and plain LRU.
#include <algorithm>
#include <cstdio>
#include <iostream>

#include <kvlab/serving/accounting.hpp>
#include <kvlab/serving/make_trace.hpp>
#include <kvlab/tensor/measure.hpp>
#include <kvlab/tensor/report.hpp>
#include <kvlab/tensor/subcommand.hpp>

namespace kvlab::app {

namespace {

struct HitsFlags {
    Index requests = 0, block = 512;
    std::vector<Index> pages = {1000, 3000, 10000, 30000, 100000};
    std::uint64_t seed = 1;
    std::shared_ptr<OutputFile> json;
};

struct HitsOfSize {
    Index pages;
    PrefixHits chain, radix, lru;

    Json json() const {
        return {{"pages", pages},
                {"chain", chain.rate()},
                {"radix", radix.rate()},
                {"lru", lru.rate()},
                {"evicted", chain.evicted}};
    }
};

HitsOfSize hits_with(std::span<const std::vector<Token>> prompts, Index pages) {
    return {pages,
            count_hits(prompts, pages, [](PagePool& pool) { return make_chain_index(pool); }),
            count_hits(prompts, pages, make_radix_index), count_lru_hits(prompts, pages)};
}

// Blocks altogether, different ones, and those of them that come in one prompt alone.
struct BlockNumbers {
    Index all = 0, different = 0, once = 0, most = 0;

    explicit BlockNumbers(std::span<const std::vector<Token>> prompts) {
        std::vector<Index> uses;
        for (const std::vector<Token>& prompt : prompts) {
            all += std::ssize(prompt);
            most = std::max(most, std::ssize(prompt));
            for (const Token block : prompt) {
                if (block >= std::ssize(uses)) uses.resize(usize(block) + 1);
                ++at(uses, block);
            }
        }
        different = std::ssize(uses);
        once = std::count(uses.begin(), uses.end(), 1);
    }
};

bool hits_of_trace(const HitsFlags& flags, const TraceKind& kind, Json& report) {
    const RequestTrace trace =
        make_trace(kind, {.requests = flags.requests, .seed = flags.seed});
    const std::vector<std::vector<Token>> prompts = number_blocks(trace, flags.block);
    const BlockNumbers blocks(prompts);
    const PrefixHits endless = count_lru_hits(prompts, 0);
    std::printf(
        "%s: %zu requests, %td blocks of %td tokens, %td different ones, %.0f %% of them "
        "used once\n",
        kind.name, trace.requests.size(), blocks.all, flags.block, blocks.different,
        100 * static_cast<double>(blocks.once) / static_cast<double>(blocks.different));
    std::printf("  %10s %10s %10s %10s\n", "pages", "chain", "radix", "plain LRU");
    Json json{{"trace", kind.name},        {"requests", trace.requests.size()},
              {"blocks", blocks.all},      {"different", blocks.different},
              {"endless", endless.rate()}, {"published_endless", kind.published_hits},
              {"sizes", Json::array()}};
    bool alike = true;
    for (const Index pages : flags.pages) {
        if (pages < blocks.most) continue;  // not even one prompt
        const HitsOfSize hits = hits_with(prompts, pages);
        alike = alike && hits.chain.found == hits.radix.found;
        std::printf("  %10td %8.1f %% %8.1f %% %8.1f %%\n", pages, 100 * hits.chain.rate(),
                    100 * hits.radix.rate(), 100 * hits.lru.rate());
        json["sizes"].push_back(hits.json());
    }
    std::printf("  %10s %32.1f %%   (published: %.1f %%)\n", "endless", 100 * endless.rate(),
                100 * kind.published_hits);
    std::fflush(stdout);
    report["traces"].push_back(json);
    return alike;
}

int run_hits(const HitsFlags& flags) {
    Json report = new_report("step07_serving hits", flags.seed);
    report["block"] = flags.block;
    report["traces"] = Json::array();
    bool alike = true;
    for (const TraceKind& kind : trace_kinds())
        if (kind.reuse.per_mille > 0) alike = hits_of_trace(flags, kind, report) && alike;
    write_json(flags.json, report);
    std::cout << "RESULT indexes_alike=" << (alike ? "yes" : "no") << std::endl;
    return alike ? cli::kHolds : cli::kFails;
}

void add_hits_flags(CLI::App& app, HitsFlags& flags) {
    cli::add_count(app, "--requests", flags.requests, {0, 99999},
                   "of each trace; 0: as many as the original");
    cli::add_count(app, "--block", flags.block, {1, 1 << 16}, "tokens of a block");
    cli::add_count(app, "--pages", flags.pages, {1, 1 << 22},
                   "blocks that the pool has room for");
    app.add_option("-s,--seed", flags.seed, "of the traces")->capture_default_str();
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kHits{{.place = 70,
                             .name = "hits",
                             .text = "blocks that an index finds, by the size of its pool"},
                            add_hits_flags,
                            run_hits};

}  // namespace

}  // namespace kvlab::app
