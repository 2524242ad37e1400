// handover.cpp - chapter 7: rank 0 reads the prompts, the other ranks continue them, and the
// pages of the cache travel in between.
#include <cstdio>
#include <deque>
#include <optional>

#include <kvlab/attention/generate.hpp>
#include <kvlab/kvcache/kv_format.hpp>
#include <kvlab/kvcache/prefill.hpp>
#include <kvlab/serving/page_transfer.hpp>
#include <kvlab/serving/thread_ranks.hpp>
#include <kvlab/tensor/measure.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "parallel.hpp"

namespace kvlab::app {

namespace {

struct HandoverFlags {
    ParallelFlags common;
    std::vector<std::string> prompts;
};

// Without -p: shorter than a page, and longer than one.
std::vector<std::string> default_prompts() {
    std::string verse;
    for (int i = 0; i < 6; ++i) verse += "And God saw that it was good. ";
    return {"In the beginning", verse, "The king said"};
}

// What every rank has: the whole model, and a pool that is large enough for all texts.
struct HandoverRank {
    OpenedModel opened;
    std::vector<std::vector<Token>> prompts;
    Format format;
    std::optional<PagePool> pool;
    Index capacity = 0;  // of the longest text

    explicit HandoverRank(const HandoverFlags& flags)
        : opened(flags.common.opened),
          format(find_kv_format(kv_formats(), flags.common.format)) {
        Index pages = 0;
        for (const std::string& prompt : flags.prompts) {
            prompts.push_back(opened.encode(prompt));
            check(!prompts.back().empty(), "handover: a prompt without tokens");
            const Index tokens = std::ssize(prompts.back()) + flags.common.steps;
            cli::check_fits("a prompt and -n", tokens, opened.model->config);
            capacity = std::max(capacity, tokens);
            pages += blocks_for(tokens, kTile);
        }
        PoolOptions options{.pages = pages};
        options.rows = rows_in(format);
        pool.emplace(opened.decoder.kv_shape(), options);
    }

    std::unique_ptr<PagedCache> make_paged() {
        return std::make_unique<PagedCache>(*pool, capacity, nullptr, opened.level);
    }
};

// Text i is continued by this rank.
Index decoder_of(Index text, Index ranks) {
    return 1 + text % (ranks - 1);
}

struct SentPages {
    Index pages = 0, bytes = 0, formula = 0;
    double reading = 0, sending = 0;  // seconds
};

SentPages read_and_send(Ranks& ranks, HandoverRank& own, Index text) {
    SentPages sent;
    const std::unique_ptr<PagedCache> cache = own.make_paged();
    Stopwatch watch;
    const View<const float> logits = prefill(own.opened.decoder, *cache, at(own.prompts, text));
    const Token next = static_cast<Token>(argmax(logits[0].flat()));
    sent.reading = watch.seconds();
    watch.restart();
    const Index before = ranks.bytes_sent();
    send_pages(ranks, decoder_of(text, ranks.size()), *cache, next);
    sent.sending = watch.seconds();
    sent.bytes = ranks.bytes_sent() - before;
    sent.pages = blocks_for(std::ssize(at(own.prompts, text)), kTile);
    sent.formula = kPagesHeaderBytes + sent.pages * own.pool->page_bytes();
    return sent;
}

// The texts of one rank, all in one batch. `rows`: the logits that each token was chosen from.
struct ContinuedTexts {
    std::vector<std::vector<Token>> tokens;
    std::vector<std::vector<float>> rows;
};

ContinuedTexts continue_texts(Decoder& decoder,
                              const std::vector<std::unique_ptr<KvStore>>& stores,
                              const std::vector<std::vector<Token>>& beginnings,
                              Index length) {
    ContinuedTexts texts;
    texts.rows.resize(stores.size());
    Generator generator(decoder);
    for (std::size_t i = 0; i < stores.size(); ++i)
        generator.add(*stores[i], beginnings[i], length);
    generator.set_on_token([&](Index text, Token, const View<const float>& logits) {
        auto& rows = at(texts.rows, text);
        rows.insert(rows.end(), logits.flat().begin(), logits.flat().end());
    });
    generator.run();
    for (std::size_t i = 0; i < stores.size(); ++i) {
        const auto generated = generator.generated(static_cast<Index>(i));
        texts.tokens.emplace_back(generated.begin(), generated.end());
    }
    return texts;
}

// What one process writes, from the prompt on.
ContinuedTexts write_alone(HandoverRank& own, std::span<const Index> mine, Index steps) {
    std::vector<std::unique_ptr<KvStore>> stores;
    std::vector<std::vector<Token>> prompts;
    for (const Index text : mine) {
        stores.push_back(make_cache(own.format, own.opened.decoder.kv_shape(), own.capacity,
                                    own.opened.level));
        prompts.push_back(at(own.prompts, text));
    }
    return continue_texts(own.opened.decoder, stores, prompts, steps);
}

// Receives this rank's texts, continues them, and returns how many tokens and floats differ
// from those of one process. The first token of each was chosen by rank 0.
Index receive_and_continue(Ranks& ranks, HandoverRank& own, Index steps) {
    std::vector<Index> mine;
    std::vector<std::unique_ptr<KvStore>> stores;
    std::vector<std::vector<Token>> beginnings;
    for (Index text = 0; text < std::ssize(own.prompts); ++text) {
        if (decoder_of(text, ranks.size()) != ranks.rank()) continue;
        std::unique_ptr<PagedCache> cache = own.make_paged();
        beginnings.push_back(at(own.prompts, text));
        beginnings.back().push_back(receive_pages(ranks, 0, *cache));
        stores.push_back(std::move(cache));
        mine.push_back(text);
    }
    if (mine.empty()) return 0;
    const ContinuedTexts continued =
        continue_texts(own.opened.decoder, stores, beginnings, steps - 1);
    const ContinuedTexts alone = write_alone(own, mine, steps);
    const auto V = own.opened.model->config.vocab;
    Index differ = 0;
    for (std::size_t i = 0; i < mine.size(); ++i) {
        std::vector<Token> tokens{beginnings[i].back()};
        tokens.insert(tokens.end(), continued.tokens[i].begin(), continued.tokens[i].end());
        differ += tokens != alone.tokens[i];
        const std::span<const float> rows(alone.rows[i]);
        differ += compare_bits(continued.rows[i], rows.subspan(usize(V))).differ;
    }
    return differ;
}

void print_sent(const HandoverRank& own, const std::vector<SentPages>& sent, Index ranks) {
    std::printf(
        "  text  tokens  pages  to rank    bytes sent    by formula  read, s   sent, s\n");
    for (Index text = 0; text < std::ssize(sent); ++text) {
        const SentPages& one = at(sent, text);
        std::printf("  %-4td  %6zu  %5td  %7td  %12td  %12td  %.5f  %.5f\n", text,
                    at(own.prompts, text).size(), one.pages, decoder_of(text, ranks), one.bytes,
                    one.formula, one.reading, one.sending);
    }
}

int report_handover(const HandoverRank& own,
                    const std::vector<SentPages>& sent,
                    Index differ,
                    Index ranks) {
    SentPages all;
    for (const SentPages& one : sent) {
        all.pages += one.pages;
        all.bytes += one.bytes;
        all.formula += one.formula;
    }
    print_sent(own, sent, ranks);
    const bool same = differ == 0, counted = all.bytes == all.formula;
    std::printf(
        "\n  a page of 64 tokens: %td bytes; a header: %td\n"
        "  same bits as one process: %s\n  bytes as by formula: %s\n\n",
        own.pool->page_bytes(), kPagesHeaderBytes, cli::verdict(same).c_str(),
        cli::verdict(counted).c_str());
    std::fflush(stdout);
    std::cout << "RESULT same=" << (same ? "yes" : "no") << " ranks=" << ranks
              << " texts=" << sent.size() << " pages=" << all.pages << " bytes=" << all.bytes
              << " formula=" << all.formula << std::endl;
    return same && counted ? cli::kHolds : cli::kFails;
}

// On every rank; they may be processes or threads.
int hand_over(Ranks& ranks, const HandoverFlags& flags) {
    std::optional<HandoverRank> own;
    if (!prepared(ranks, [&] { own.emplace(flags); })) return cli::kFails;
    if (ranks.rank() == 0)
        std::printf("%s: rank 0 reads %zu prompts, %td %s them\n\n",
                    own->opened.model->config.name.c_str(), flags.prompts.size(),
                    ranks.size() - 1,
                    ranks.size() == 2 ? "other continues" : "others continue");
    std::vector<SentPages> sent;
    Index differ = 0;
    if (ranks.rank() == 0)
        for (Index text = 0; text < std::ssize(own->prompts); ++text)
            sent.push_back(read_and_send(ranks, *own, text));
    else
        differ = receive_and_continue(ranks, *own, flags.common.steps);
    Index all = 0;
    for (const Index one : ranks.gather_numbers(differ)) all += one;
    return ranks.rank() == 0 ? report_handover(*own, sent, all, ranks.size()) : cli::kHolds;
}

int run_handover(const HandoverFlags& given) {
    HandoverFlags flags = given;
    if (flags.prompts.empty()) flags.prompts = default_prompts();
    MpiRanks ranks(static_cast<double>(flags.common.patience));
    if (!started_alike(ranks)) return cli::kFails;
    if (ranks.size() > 1) return together(ranks, [&] { return hand_over(ranks, flags); });
    // A single process has nobody to hand over to, but it has threads.
    int code = cli::kFails;
    run_thread_ranks(2, [&](Ranks& threads) {
        const int mine = hand_over(threads, flags);
        if (threads.rank() == 0) code = mine;
    });
    return code;
}

void add_handover_flags(CLI::App& app, HandoverFlags& flags) {
    add_parallel_flags(app, flags.common);
    cli::add_prompt_flags(app, flags.prompts, "text to go on with; repeated: one text more");
}

const cli::Subcommand kHandover{
    {.place = 20,
     .name = "handover",
     .text = "rank 0 reads prompts and sends their pages to those who continue"},
    add_handover_flags,
    run_handover};

}  // namespace

}  // namespace kvlab::app
