// by_hand.cpp - chapter 3: the examples that the chapter works out on paper, by the code that
// it teaches. Numbers are small, so that a pencil can follow.
#include <cmath>
#include <cstdio>
#include <vector>

#include <kvlab/attention/attention.hpp>
#include <kvlab/attention/config.hpp>
#include <kvlab/attention/cost.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/kvcache/closed_forms.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/kvcache/narrow_tiles.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/tensor_kernels.hpp>
#include <kvlab/tensor/worked_examples.hpp>

namespace kvlab::app {

namespace {

constexpr KvShape kOneHead{.layers = 1, .heads = 1, .kv_heads = 1, .head_dim = 2};
constexpr KvShape kTiny{.layers = 2, .heads = 4, .kv_heads = 2, .head_dim = 16};

double wide(float x) {
    return static_cast<double>(x);
}

// Three tokens and the matrices of one head, as rows.
const float kX[3][2] = {{1, 0}, {1, 1}, {2, 1}};
const float kWq[2][2] = {{1, 1}, {0, 1}}, kWk[2][2] = {{0, 1}, {1, 0}},
            kWv[2][2] = {{4, -4}, {0, 4}};

// Rows [first, last) of x times a matrix.
Tensor product(Index first, Index last, const float (&w)[2][2]) {
    Tensor y({last - first, 1, 2});
    for (Index t = first; t < last; ++t)
        for (Index i = 0; i < 2; ++i) y(t - first, 0, i) = dot(kX[t], w[i], 2);
    return y;
}

// One step of the head: feeds the tokens [first, last) and returns what each of them gets.
Tensor run_step(KvStore& store, Index first, Index last, ThreadPool& pool, Index& pairs) {
    Tensor q = product(first, last, kWq), out({last - first, 1, 2});
    const float scale = log2e_over(std::sqrt(2.0));
    for (float& number : q.flat()) number = number * scale;
    store.begin(last - first);
    store.append(0, product(first, last, kWk).view(), product(first, last, kWv).view());
    pairs += store.attend(0, std::as_const(q).view(), out.view(), pool).pairs;
    store.commit();
    return out;
}

// Rows through the matrices and scores for a text of four tokens, one more in each step.
void show_work() {
    std::printf("              without a cache        with a cache\n");
    std::printf("  tokens      rows    scores         rows    scores\n");
    WholeSequence none(kOneHead, 4);
    KvCache cache(kOneHead, 4);
    ThreadPool pool(1);
    Index rows[2] = {}, pairs[2] = {};
    for (Index T = 1; T <= 4; ++T) {
        Index now[2] = {}, fed[2] = {T - none.next_position(), T - cache.next_position()};
        for (KvStore* store : {static_cast<KvStore*>(&none), static_cast<KvStore*>(&cache)}) {
            const Index which = store == &cache ? 1 : 0, T_new = fed[which];
            const Tensor ones({T_new, 1, 2});
            Tensor out({T_new, 1, 2});
            store->begin(T_new);
            store->append(0, ones.view(), ones.view());
            now[which] = store->attend(0, ones.view(), out.view(), pool).pairs;
            store->commit();
            rows[which] += T_new;
            pairs[which] += now[which];
        }
        std::printf("  %6td    %6td    %6td       %6td    %6td\n", T, fed[0], now[0], fed[1],
                    now[1]);
    }
    std::printf("  in all    %6td    %6td       %6td    %6td\n", rows[0], pairs[0], rows[1],
                pairs[1]);
}

void print_pairs(const char* name, const Tensor& rows) {
    std::printf("%s", name);
    for (Index t = 0; t < rows.dim(0); ++t)
        std::printf("  (%g, %g)", wide(rows(t, 0, 0)), wide(rows(t, 0, 1)));
}

// The last token's attention, from rows that were kept and from rows made again.
void show_attention() {
    WholeSequence none(kOneHead, 3);
    KvCache cache(kOneHead, 3);
    ThreadPool pool(1);
    Index pairs = 0;
    Tensor made_again, kept;
    for (Index T = 1; T <= 3; ++T) {
        print_pairs(concat("  round ", T, ": keys").c_str(), product(0, T, kWk));
        print_pairs("   values", product(0, T, kWv));
        std::printf("\n");
        made_again = run_step(none, 0, T, pool, pairs);
        kept = run_step(cache, T - 1, T, pool, pairs);
    }
    const Tensor q = product(2, 3, kWq), k = product(0, 3, kWk);
    print_pairs("  query of token 2:", q);
    float scores[3], weights[3];
    for (Index s = 0; s < 3; ++s) at(scores, s) = dot(&q(0, 0, 0), &k(s, 0, 0), 2);
    const float products[] = {scores[0], scores[1], scores[2]};
    for (float& score : scores) score *= log2e_over(std::sqrt(2.0));
    const float total = softmax_weights(scores, weights);
    for (std::size_t s = 0; s < 3; ++s)
        std::printf("\n    key %zu: q.k %g, / sqrt(2) %.3f, share %.3f", s, wide(products[s]),
                    wide(products[s]) / std::sqrt(2.0), wide(weights[s] / total));
    std::printf("\n  made again: (%.4f, %.4f) = (%a, %a)\n", wide(made_again(2, 0, 0)),
                wide(made_again(2, 0, 1)), wide(made_again(2, 0, 0)),
                wide(made_again(2, 0, 1)));
    std::printf("  kept:       (%.4f, %.4f) = (%a, %a)\n", wide(kept(0, 0, 0)),
                wide(kept(0, 0, 1)), wide(kept(0, 0, 0)), wide(kept(0, 0, 1)));
}

// What token 0 gets in each round if it looks to the left, and if it looked both ways.
void show_causal() {
    const Tensor k = product(0, 3, kWk), v = product(0, 3, kWv), q = product(0, 1, kWq);
    const float scale = log2e_over(std::sqrt(2.0));
    const float query[] = {q(0, 0, 0) * scale, q(0, 0, 1) * scale};
    std::printf("  token 0        looks left          looks both ways\n");
    for (Index S = 1; S <= 3; ++S) {
        Tensor left({2}), both({2});
        const View<const float> view(query, {2});
        for (const auto& [slots, out] : {std::pair(Index{1}, &left), std::pair(S, &both)})
            attention_plain(view, View<const float>(k.flat().data(), {slots, 2}),
                            View<const float>(v.flat().data(), {slots, 2}), out->view());
        std::printf("  round %td     (%.3f, %.3f)      (%.3f, %.3f)\n", S, wide(left(0)),
                    wide(left(1)), wide(both(0)), wide(both(1)));
    }
}

// A prompt of seven tokens in pieces of three.
void show_pieces() {
    KvCache whole(kOneHead, 7), cache(kOneHead, 7);
    ThreadPool pool(1);
    const auto feed = [&](KvCache& store, Index T) {
        const Tensor ones({T, 1, 2});
        Tensor out({T, 1, 2});
        store.begin(T);
        store.append(0, ones.view(), ones.view());
        const Index pairs = store.attend(0, ones.view(), out.view(), pool).pairs;
        store.commit();
        return pairs;
    };
    std::printf("  piece   tokens   its first token sees   its last sees   scores\n");
    Index pairs = 0;
    for (Index begin = 0, piece = 0; begin < 7; begin = cache.next_position(), ++piece) {
        const Index T = std::min<Index>(3, 7 - begin), now = feed(cache, T);
        pairs += now;
        std::printf("  %5td   %td to %td   %20td   %13td   %6td\n", piece, begin, begin + T - 1,
                    begin + 1, begin + T, now);
    }
    std::printf("  in pieces %td scores, whole %td\n", pairs, feed(whole, 7));
}

// A step that counts, one that does not, and a truncate.
void show_step() {
    KvCache cache(kOneHead, 12);
    const auto say = [&](const char* call) {
        std::printf("  %-36s %13td %7td\n", call, cache.next_position(), cache.room());
    };
    const auto rows = [&](Index T) {
        const Tensor ones({T, 1, 2});
        cache.begin(T);
        cache.append(0, ones.view(), ones.view());
    };
    std::printf("  call                                 next_position    room\n");
    rows(8);
    cache.commit();
    say("a prompt of 8: begin to commit");
    rows(2);
    say("begin(2), append(0, k, v)");
    cache.commit();
    say("commit()");
    rows(2);
    cache.abandon();
    say("begin(2), append(0, k, v), abandon()");
    cache.truncate(5);
    say("truncate(5)");
}

// At how many slots attention of one token costs as much as the layers' matrices.
void show_cost() {
    Config smollm2;
    smollm2.dim = 576, smollm2.layers = 30, smollm2.heads = 9, smollm2.kv_heads = 3;
    smollm2.head_dim = 64, smollm2.ffn = 1536;
    std::printf("  operations of one token    tiny    SmolLM2\n");
    Index matrices[2] = {}, slot[2] = {};
    Index i = 0;
    for (const Config& config : {Config(), smollm2}) {
        const Flops flops = step_flops(config, 0, 1);  // of a token that sees one slot
        matrices[i] = flops.projections + flops.ffn;
        slot[i++] = flops.attention;
    }
    std::printf("  matrices of the layers   %6td  %9td\n", matrices[0], matrices[1]);
    std::printf("  attention to a slot      %6td  %9td\n", slot[0], slot[1]);
    std::printf("  as much at               %6td  %9td slots\n", matrices[0] / slot[0],
                matrices[1] / slot[1]);
}

// Bytes of the tiny model's cache.
void show_bytes() {
    const CacheShape shape{.layers = 2, .kv_heads = 2, .head_dim = 16, .bytes = 4};
    std::printf("  tokens   2 L Hkv D 4 n       held   allocated\n");
    ThreadPool pool(1);
    for (const Index n : {1, 23, 54, 64, 65}) {
        KvCache cache(kTiny, n);
        const Tensor rows({n, kTiny.kv_heads, kTiny.head_dim});
        cache.begin(n);
        for (Index layer = 0; layer < kTiny.layers; ++layer)
            cache.append(layer, rows.view(), rows.view());
        cache.commit();
        std::printf("  %6td   %13td   %8td   %9td\n", n, n * shape.per_token(),
                    cache.bytes().logical, cache.bytes().allocated);
    }
}

// A key of three numbers in 8 bits.
void show_int8() {
    const float row[] = {0.5f, -2.0f, 1.01f};
    std::int8_t codes[3];
    const float scale = quantize_int8(row, 1, 3, codes, 1);
    std::printf("  scale 2 / 127 = %.6f\n  number     / scale   code   comes back as\n",
                wide(scale));
    for (std::size_t i = 0; i < 3; ++i)
        std::printf("  %6.2f   %9.3f   %4d   %13.5f\n", wide(row[i]), wide(row[i] / scale),
                    codes[i], wide(static_cast<float>(codes[i]) * scale));
}

const cli::Subcommand kByHand = cli::worked_examples(35,
                                                     {{"work", show_work},
                                                      {"attention", show_attention},
                                                      {"causal", show_causal},
                                                      {"cost", show_cost},
                                                      {"step", show_step},
                                                      {"pieces", show_pieces},
                                                      {"bytes", show_bytes},
                                                      {"int8", show_int8}});

}  // namespace

}  // namespace kvlab::app
