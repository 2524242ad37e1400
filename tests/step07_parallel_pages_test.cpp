// A cache that is sent: the text goes on elsewhere with the same bits, for so many bytes.
#include <doctest/doctest.h>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/decoder.hpp>
#include <kvlab/kvcache/kv_format.hpp>
#include <kvlab/kvcache/prefill.hpp>
#include <kvlab/serving/page_transfer.hpp>
#include <kvlab/serving/thread_ranks.hpp>
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/weights/gguf_file.hpp>

#include "models.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

constexpr Index kSentSteps = 12, kSentRoom = 300;

struct SentText {
    std::vector<float> logits;  // of the steps after the prompt
    std::vector<Token> tokens;
};

// The most likely tokens, one after the other; `next` is the first of them.
SentText go_on(Decoder& decoder, KvStore& store, Token next) {
    SentText text;
    for (Index i = 0; i < kSentSteps; ++i) {
        text.tokens.push_back(next);
        const View<const float> logits = decoder.forward(store, {&next, 1});
        text.logits.insert(text.logits.end(), logits.flat().begin(), logits.flat().end());
        next = static_cast<Token>(argmax(logits[0].flat()));
    }
    return text;
}

Token read_prompt(Decoder& decoder, KvStore& store, std::span<const Token> prompt) {
    return static_cast<Token>(argmax(prefill(decoder, store, prompt)[0].flat()));
}

// Rank 0 reads the prompt, rank 1 goes on, in pages with other numbers; then rank 0 does, too.
void check_handed_over(const std::shared_ptr<const Model>& model, Index tokens, Format format) {
    CAPTURE(tokens);
    CAPTURE(format->name);
    const std::vector<Token> prompt = random_tokens(tokens, model->config.vocab, 21);
    const std::unique_ptr<Engine> engine = make_cpu_engine();
    Decoder alone(model, *engine);
    const auto whole = make_cache(format, alone.kv_shape(), kSentRoom);
    const SentText expected = go_on(alone, *whole, read_prompt(alone, *whole, prompt));

    run_thread_ranks(2, [&](Ranks& ranks) {
        const std::unique_ptr<Engine> own = make_cpu_engine();
        Decoder decoder(model, *own);
        PagePool pool(decoder.kv_shape(),
                      {.pages = 9, .rows = rows_in(format), .poison = true});
        PagedCache cache(pool, kSentRoom);
        Token next = 0;
        if (ranks.rank() == 0) {
            next = read_prompt(decoder, cache, prompt);
            send_pages(ranks, 1, cache, next);
            CHECK(ranks.bytes_sent() == blocks_for(tokens, 64) * pool.page_bytes() + 72);
        } else {
            const PageId a = pool.take(), b = pool.take(), c = pool.take();
            pool.release(a);
            pool.release(c);
            next = receive_pages(ranks, 0, cache);
            CHECK(cache.next_position() == tokens);
            CHECK(cache.table()[0] == c);
            CHECK(pool.users(b) == 1);
            CHECK(ranks.bytes_sent() == 0);
        }
        const SentText text = go_on(decoder, cache, next);
        CHECK(text.tokens == expected.tokens);
        CHECK(compare_bits(text.logits, expected.logits).differ == 0);
    });
}

const KvShape kPageShape{2, 4, 2, 16};

// What rank 1 gets to hear when it receives into `cache` what rank 0 does.
std::string refusal(const std::function<void(Ranks&)>& send, PagedCache& cache) {
    std::string words = "nothing was refused";
    run_thread_ranks(2, [&](Ranks& ranks) {
        if (ranks.rank() == 0) return send(ranks);
        try {
            receive_pages(ranks, 0, cache);
        } catch (const Error& error) {
            words = error.what();
        }
    });
    return words;
}

}  // namespace

TEST_SUITE_BEGIN("step07");

TEST_CASE("pages: a text goes on where they were sent with the same bits") {
    const GgufFile tiny = GgufFile::open(weights_file("tiny.gguf"));
    const std::unique_ptr<Engine> engine = make_cpu_engine();
    const std::shared_ptr<const Model> model = load_model(tiny, *engine);
    for (const Index tokens : {1, 63, 64, 65, 200}) {
        check_handed_over(model, tokens, &formats::f32);
        check_handed_over(model, tokens, &formats::int8);
    }
    check_handed_over(model, 130, &formats::f16);
}

TEST_CASE("pages: an empty cache is a header alone") {
    run_thread_ranks(2, [](Ranks& ranks) {
        PagePool pool(kPageShape, {.pages = 2});
        PagedCache cache(pool, 100);
        if (ranks.rank() == 0) {
            send_pages(ranks, 1, cache, 17);
            CHECK(ranks.bytes_sent() == kPagesHeaderBytes);
        } else {
            CHECK(receive_pages(ranks, 0, cache) == 17);
            CHECK(cache.next_position() == 0);
        }
    });
}

TEST_CASE("pages: what does not fit where it arrives is refused") {
    PagePool pool(kPageShape, {.pages = 3});
    PagedCache cache(pool, 150);
    const auto send = [](const KvShape& shape, Index tokens, Format format) {
        return [=](Ranks& ranks) {
            PagePool from(shape, {.pages = 9, .rows = rows_in(format)});
            PagedCache text(from, 400);
            text.pretend(tokens);
            for (const PageId page : text.table()) from.rows(page, 0);  // memory, with zeros
            send_pages(ranks, 1, text, 0);
        };
    };
    CHECK(refusal(send(kPageShape, 151, &formats::f32), cache) ==
          "pages: 151 tokens were sent, there is room for 150");
    CHECK(refusal(send({3, 4, 2, 16}, 70, &formats::f32), cache) ==
          "pages: layers: expected 2, 3 were sent");
    CHECK(refusal(send({2, 4, 1, 16}, 70, &formats::f32), cache) ==
          "pages: KV heads: expected 2, 1 were sent");
    CHECK(refusal(send({2, 4, 2, 32}, 70, &formats::f32), cache) ==
          "pages: head_dim: expected 16, 32 were sent");
    CHECK(refusal(send(kPageShape, 70, &formats::int8), cache)
              .starts_with("pages: bytes of a page: expected 32768, "));
    const PageId one = pool.take(), two = pool.take();
    CHECK(refusal(send(kPageShape, 70, &formats::f32), cache)
              .starts_with("paged cache: a step of 70 tokens needs 2 pages"));
    pool.release(one);
    pool.release(two);
    CHECK(cache.next_position() == 0);
    CHECK(pool.free() == 3);
    CHECK(refusal([](Ranks& ranks) { ranks.send(1, std::vector<std::byte>(72)); }, cache) ==
          "pages: what arrived is no header of pages");
    // The same cache takes what fits, and then no second text.
    CHECK(refusal(send(kPageShape, 70, &formats::f32), cache) == "nothing was refused");
    CHECK(refusal(send(kPageShape, 70, &formats::f32), cache) ==
          "pages: they are received before the first token, not after 70");
}

TEST_CASE("pages: a changed byte is noticed and the cache stays empty") {
    PagePool pool(kPageShape, {.pages = 3});
    PagedCache cache(pool, 150);
    const auto send = [&](Ranks& ranks) {
        PagesHeader header{kPagesFormat, 70, 0, 2, pool.page_bytes(), 2, 2, 16, 0};
        ranks.send(1, std::as_bytes(std::span(&header, 1)));
        ranks.send(1, std::vector<std::byte>(usize(2 * pool.page_bytes())));
    };
    CHECK(refusal(send, cache).ends_with(" arrived, 0000000000000000 was sent"));
    CHECK(cache.next_position() == 0);
    CHECK(pool.free() == 3);
}

TEST_CASE("pages: none are sent in the middle of a step") {
    run_thread_ranks(2, [](Ranks& ranks) {
        if (ranks.rank() == 1) return;
        PagePool pool(kPageShape, {.pages = 3});
        PagedCache cache(pool, 150);
        cache.begin(5);
        CHECK_THROWS_WITH_AS(send_pages(ranks, 1, cache, 0),
                             "pages: 1 pages for 0 tokens: a step is open", Error);
        cache.abandon();
    });
}

TEST_SUITE_END();
