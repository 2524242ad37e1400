// split.cpp - chapter 7: a text written by several processes that share every matrix, compared
// with one process in every bit, and its bytes with the formula.
#include <cstdio>
#include <optional>

#include <kvlab/attention/architecture.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/kvcache/kv_format.hpp>
#include <kvlab/serving/head_store.hpp>
#include <kvlab/serving/paged_cache.hpp>
#include <kvlab/serving/parallel_engine.hpp>
#include <kvlab/tensor/measure.hpp>

#include "parallel.hpp"

namespace kvlab::app {

namespace {

struct SplitFlags {
    ParallelFlags common;
    std::string way = "all", prompt = "In the beginning";
    Index rounds = 1;
};

struct WrittenText {
    std::vector<Token> tokens;  // without the prompt
    std::vector<float> logits;  // [tokens, V], from which they were chosen
    Checksum sum;
    double seconds = 0;
};

WrittenText write_text(OpenedModel& opened,
                       KvStore& store,
                       std::span<const Token> prompt,
                       Index steps) {
    WrittenText text;
    store.reset();
    Generator generator(opened.decoder);
    generator.add(store, prompt, steps);
    generator.set_is_end([&](Token token) { return opened.tokenizer->is_end(token); });
    generator.set_on_token([&](Index, Token, const View<const float>& logits) {
        text.logits.insert(text.logits.end(), logits.flat().begin(), logits.flat().end());
    });
    const Stopwatch watch;
    generator.run();
    text.seconds = watch.seconds();
    text.tokens.assign(generator.generated(0).begin(), generator.generated(0).end());
    text.sum = generator.checksum();
    return text;
}

// The whole model on rank 0, as chapter 3 runs it.
struct OneProcess {
    OpenedModel opened;
    std::vector<Token> prompt;
    std::unique_ptr<KvCache> cache;
    WrittenText text;

    explicit OneProcess(const SplitFlags& flags)
        : opened(flags.common.opened), prompt(opened.encode(flags.prompt)) {
        const Index tokens = std::ssize(prompt) + flags.common.steps;
        cli::check_fits("the prompt and -n", tokens, opened.model->config);
        cache = make_cache(find_kv_format(kv_formats(), flags.common.format),
                           opened.decoder.kv_shape(), tokens, opened.level);
        text = write_text(opened, *cache, prompt, flags.common.steps);
    }
};

// This rank's part of the model, and of the cache in pages of its own pool.
struct RankPart {
    ParallelPlan plan;
    OpenedModel opened;
    std::vector<Token> prompt;
    std::optional<PagePool> pool;
    std::unique_ptr<KvStore> store;

    RankPart(const SplitFlags& flags, Ranks& ranks, const ParallelPlan& of_all, SumWay way)
        : plan(of_all),
          opened(options(flags, ranks, of_all, way)),
          prompt(opened.encode(flags.prompt)) {
        const Index tokens = std::ssize(prompt) + flags.common.steps;
        cli::check_fits("the prompt and -n", tokens, opened.model->config);
        const auto make = [&](const KvShape& shape) {
            PoolOptions pages{.pages = blocks_for(tokens, kTile)};
            pages.rows = rows_in(find_kv_format(kv_formats(), flags.common.format));
            pool.emplace(shape, pages);
            return std::make_unique<PagedCache>(*pool, tokens, nullptr, opened.level);
        };
        store =
            make_head_store(opened.decoder.kv_shape(), plan.share(ranks.rank()), tokens, make);
    }

    static OpenOptions options(const SplitFlags& flags,
                               Ranks& ranks,
                               const ParallelPlan& plan,
                               SumWay way) {
        OpenOptions options = flags.common.opened;
        options.on_note = nullptr;  // the reference has said it
        const SimdLevel level =
            options.simd.empty() ? default_simd_level() : parse_simd_level(options.simd);
        const CpuOptions cpu{std::max(options.threads, Index{1}), level};
        options.make_engine = [=, &ranks] {
            return make_parallel_engine(make_cpu_engine(cpu), ranks, plan, way);
        };
        return options;
    }
};

ParallelPlan plan_for(const OpenOptions& options, Index ranks) {
    const GgufFile file = GgufFile::open(find_model(options.model, options.source_weights));
    return {read_config(file), ranks};
}

// What came of one way, the same on all ranks.
struct WayResult {
    SumWay way = SumWay::gather;
    Index bytes = 0, formula = 0, per_token = 0;  // of all rounds; of one token
    Difference logits;                            // from those of one process; on rank 0
    bool agree = true;                            // all ranks have the same bits
    bool same_text = true;
    Quartiles seconds;

    bool same() const { return agree && same_text && logits.differ == 0; }
};

// Bytes by formula: the prompt in one step, then a token a step.
Index text_bytes(const RankPart& part, SumWay way, Index tokens) {
    return step_bytes(part.plan, way, std::ssize(part.prompt), 1) +
           (tokens - 1) * step_bytes(part.plan, way, 1, 1);
}

// As far as both texts go.
Difference compare_texts(const WrittenText& a, const WrittenText& b) {
    const std::size_t floats = std::min(a.logits.size(), b.logits.size());
    return compare_bits(std::span(a.logits).first(floats), std::span(b.logits).first(floats));
}

WayResult run_way(Ranks& ranks,
                  RankPart& part,
                  const SplitFlags& flags,
                  SumWay way,
                  const OneProcess* alone) {
    WayResult result;
    result.way = way;
    result.per_token = step_bytes(part.plan, way, 1, 1);
    std::vector<double> seconds;
    const Index before = ranks.bytes_sent();
    for (Index round = 0; round < flags.rounds; ++round) {
        ranks.barrier();
        const WrittenText text =
            write_text(part.opened, *part.store, part.prompt, flags.common.steps);
        seconds.push_back(text.seconds);
        // Rank 0 compares every number; the sums of the others have to be those of rank 0.
        for (const Index sum : ranks.gather_numbers(static_cast<Index>(text.sum.value())))
            result.agree = result.agree && sum == static_cast<Index>(text.sum.value());
        if (alone != nullptr) {
            result.logits.merge(compare_texts(text, alone->text));
            result.same_text = result.same_text && text.tokens == alone->text.tokens;
        }
        result.formula += text_bytes(part, way, std::ssize(text.tokens));
    }
    for (const Index bytes : ranks.gather_numbers(ranks.bytes_sent() - before))
        result.bytes += bytes;
    result.seconds = quartiles(seconds);
    return result;
}

std::string range_text(Range range) {
    if (range.count == 0) return "none";
    if (range.count == 1) return concat(range.first);
    return concat(range.first, "-", range.end() - 1);
}

// Who has what; the bytes of weights and cache as each rank holds them.
void print_shares(Ranks& ranks, const RankPart& part) {
    const std::vector<Index> weights = ranks.gather_numbers(part.opened.model->weight_bytes());
    const std::vector<Index> caches = ranks.gather_numbers(part.store->bytes().allocated);
    if (ranks.rank() != 0) return;
    const Config& c = part.plan.config();
    std::printf(
        "  each rank has these numbers of the %td KV heads, %td query heads, width %td,\n"
        "  feed-forward %td and vocabulary %td\n\n",
        c.kv_heads, c.heads, c.dim, c.ffn, c.vocab);
    std::printf(
        "  rank  KV heads  queries     width       feed-forward  vocabulary   "
        "weights, bytes  cache, bytes\n");
    for (Index rank = 0; rank < ranks.size(); ++rank) {
        const RankShare& share = part.plan.share(rank);
        std::printf("  %-4td  %-8s  %-10s  %-10s  %-12s  %-11s  %14td  %12td\n", rank,
                    range_text(share.kv_heads).c_str(), range_text(share.heads).c_str(),
                    range_text(share.width).c_str(), range_text(share.ffn).c_str(),
                    range_text(share.vocab).c_str(), at(weights, rank), at(caches, rank));
    }
    std::printf("\n");
}

std::vector<SumWay> ways_of(const std::string& name) {
    std::vector<SumWay> ways;
    for (const SumWay way : {SumWay::gather, SumWay::blocks, SumWay::chain, SumWay::totals})
        if (name == "all" || name == way_name(way)) ways.push_back(way);
    return ways;
}

void print_head(const OneProcess& alone) {
    std::printf(
        "  way          floats that differ    bytes sent    by formula    per token  tokens/s\n"
        "  one process                  -             -             -            -  %8.1f\n",
        static_cast<double>(alone.text.tokens.size()) / alone.text.seconds);
}

void print_result(const WayResult& r, Index tokens) {
    std::printf("  %-11s  %18td  %12td  %12td  %11td  %8.1f\n", way_name(r.way),
                r.logits.differ, r.bytes, r.formula, r.per_token,
                static_cast<double>(tokens) / r.seconds.median);
    std::fflush(stdout);
}

// The totals of ranks are allowed to differ: that is what they show.
int report(const std::vector<WayResult>& results, const OneProcess& alone, Index ranks) {
    bool same = true, counted = true;
    for (const WayResult& result : results) {
        same = same && (result.same() || result.way == SumWay::totals);
        counted = counted && result.bytes == result.formula;
        if (result.way == SumWay::totals && !result.same())
            std::printf("\n  totals: %td of %td floats differ, by up to %s; the text is %s\n",
                        result.logits.differ, result.logits.count,
                        format_number(result.logits.max_abs).c_str(),
                        result.same_text ? "the same" : "another one");
    }
    std::printf("\n  same bits as one process%s: %s\n  bytes as by formula: %s\n\n",
                results.size() > 1 ? " (but for totals)" : "", cli::verdict(same).c_str(),
                cli::verdict(counted).c_str());
    std::fflush(stdout);
    std::cout << "RESULT same=" << (same ? "yes" : "no") << " ranks=" << ranks
              << " tokens=" << alone.text.tokens.size();
    for (const WayResult& result : results) {
        const char* const name = way_name(result.way);
        std::cout << ' ' << name << "_bytes=" << result.bytes << ' ' << name
                  << "_formula=" << result.formula << ' ' << name
                  << "_differ=" << result.logits.differ;
    }
    std::cout << " checksum=" << alone.text.sum.hex() << std::endl;
    return same && counted ? cli::kHolds : cli::kFails;
}

void print_text(const OneProcess& alone, const SplitFlags& flags, Index ranks) {
    std::printf("%s on %td %s, %s each\n\n", alone.opened.model->config.name.c_str(), ranks,
                ranks == 1 ? "rank" : "ranks", alone.opened.engine->name().c_str());
    std::cout << flags.prompt;
    cli::TextStream text(*alone.opened.tokenizer);
    for (const Token token : alone.text.tokens) text.push(token);
    text.finish();
    std::cout << std::endl;
}

int run_split(const SplitFlags& flags) {
    MpiRanks ranks(static_cast<double>(flags.common.patience));
    std::optional<OneProcess> alone;
    std::optional<ParallelPlan> plan;
    const bool ready = started_alike(ranks) && prepared(ranks, [&] {
                           plan = plan_for(flags.common.opened, ranks.size());
                           if (ranks.rank() == 0) alone.emplace(flags);
                       });
    if (!ready) return cli::kFails;
    if (alone) print_text(*alone, flags, ranks.size());
    std::vector<WayResult> results;
    for (const SumWay way : ways_of(flags.way)) {
        std::optional<RankPart> part;
        if (!prepared(ranks, [&] { part.emplace(flags, ranks, *plan, way); }))
            return cli::kFails;
        together(ranks, [&] {
            results.push_back(run_way(ranks, *part, flags, way, alone ? &*alone : nullptr));
            if (results.size() == 1) print_shares(ranks, *part);
            return cli::kHolds;
        });
        if (!alone) continue;
        if (results.size() == 1) print_head(*alone);
        print_result(results.back(), std::ssize(alone->text.tokens));
    }
    return alone ? report(results, *alone, ranks.size()) : cli::kHolds;
}

void add_split_flags(CLI::App& app, SplitFlags& flags) {
    add_parallel_flags(app, flags.common);
    cli::add_prompt_flags(app, flags.prompt, "text to go on with");
    app.add_option("--way", flags.way, "how sums over an input that is spread are computed")
        ->check(CLI::IsMember({"all", "gather", "blocks", "chain", "totals"}))
        ->capture_default_str();
    cli::add_count(app, "--rounds", flags.rounds, 1, "write the text so often");
}

const cli::Subcommand kSplit{
    {.place = 10, .by_default = true},  // its flags are the program's own
    add_split_flags,
    run_split};

}  // namespace

}  // namespace kvlab::app
