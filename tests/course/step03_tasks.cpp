// Chapter 3's tasks: a cache, its copies, prompts in pieces, closed forms, fewer bits, and two
// ways to prove that nothing has changed.
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/kvcache/closed_forms.hpp>
#include <kvlab/kvcache/kv_format.hpp>
#include <kvlab/kvcache/naive_cache.hpp>
#include <kvlab/kvcache/narrow_tiles.hpp>
#include <kvlab/kvcache/prefill.hpp>

#include "task_model.hpp"

using namespace kvlab;
using namespace kvlab::course;

namespace {

KvShape shape_of(const Given& given) {
    return {given.number("L"), given.number("Hq"), given.number("Hkv"), given.number("D")};
}

}  // namespace

// Each number of `steps` is a step of so many tokens; a negative one takes tokens back, and 0
// goes on in a copy, as if nothing had happened.
KVLAB_TASK_CASE("3.1 cache: a token sees the rows before it and its own") {
    const KvShape shape = shape_of(given);
    const Tensor q = given.tensor("q"), k = given.tensor("k"), v = given.tensor("v");
    Tensor out(q.shape());
    std::unique_ptr<KvStore> cache = std::make_unique<NaiveCache>(shape, q.dim(1));
    ThreadPool pool(1);
    std::vector<Index> pairs;
    Index row = 0;  // of the question's arrays [L, N, heads, D]
    for (const Index T : given.integers("steps")) {
        if (T < 0) cache->truncate(cache->next_position() + T);
        if (T == 0) cache = cache->fork();
        if (T <= 0) continue;
        cache->begin(T);
        for (Index layer = 0; layer < shape.layers; ++layer) {
            const auto of = [&](const Tensor& all) {
                return all.view()[layer].slice(0, row, row + T);
            };
            cache->append(layer, of(k), of(v));
            pairs.push_back(
                cache->attend(layer, of(q), out.view()[layer].slice(0, row, row + T), pool)
                    .pairs);
        }
        cache->commit();
        row += T;
    }
    answer.floats("out", std::as_const(out).view());
    answer.integers("pairs", pairs);
}

// The text in steps through the cache; and each step again without one, the whole text so far.
KVLAB_TASK_CASE("3.1 cache: cached logits have the bits of uncached ones") {
    TaskModel tiny(given);
    const std::vector<Token> text = tokens_of(given, "tokens");
    NaiveCache cache(tiny.decoder.kv_shape(), std::ssize(text));
    WholeSequence none(tiny.decoder.kv_shape(), std::ssize(text));
    LogitRows cached, uncached;
    Index end = 0;
    for (const Index T : given.integers("steps")) {
        const auto step = std::span(text).subspan(usize(end), usize(T));
        cached.add(tiny.decoder.forward(cache, step, LogitsOf::all));
        end += T;
        const View<const float> rows =
            tiny.decoder.forward(none, std::span(text).first(usize(end)), LogitsOf::all);
        uncached.add(rows.slice(0, end - T, end));
    }
    cached.answer(answer, "cached");
    uncached.answer(answer, "uncached");
}

KVLAB_TASK_CASE("3.2 fork: two texts go on from one prompt") {
    TaskModel tiny(given);
    const Format format = find_kv_format(kv_formats(), given.text("format"));
    const auto new_cache = [&] {
        return make_cache(format, tiny.decoder.kv_shape(), given.number("capacity"));
    };
    const std::vector<Token> prompt = tokens_of(given, "prompt"),
                             left = tokens_of(given, "left"), right = tokens_of(given, "right");
    const auto feed = [&](KvStore& store, std::span<const Token> tokens) {
        LogitRows rows;
        rows.add(tiny.decoder.forward(store, tokens, LogitsOf::all));
        return rows;
    };
    const auto original = new_cache();
    if (!prompt.empty()) feed(*original, prompt);
    const std::unique_ptr<KvStore> first = original->fork(), second = first->fork();
    answer.number("room of the copy", second->room());
    // The original goes on before its copy, so that shared memory shows.
    feed(*original, left).answer(answer, "original");
    feed(*first, right).answer(answer, "copy");
    feed(*second, left).answer(answer, "copy of the copy");
    for (const auto& [name, continuation] :
         {std::pair("original alone", &left), std::pair("copy alone", &right)}) {
        const auto alone = new_cache();
        if (!prompt.empty()) feed(*alone, prompt);
        feed(*alone, *continuation).answer(answer, name);
    }
}

KVLAB_TASK_CASE("3.2 fork: tiles come along between rows of different lengths") {
    const Tensor k = given.tensor("k"), v = given.tensor("v");
    const Index count = k.dim(0), Hkv = k.dim(1), D = k.dim(2);
    F16Tiles from(given.number("slots"), Hkv, D), to(given.number("to"), Hkv, D);
    from.write(0, k.view(), v.view());
    to.copy_from(from, count);
    Tensor keys(k.shape()), values(k.shape());
    for (Index t = 0; t < count; ++t)
        for (Index h = 0; h < Hkv; ++h)
            for (Index i = 0; i < D; ++i) {
                keys(t, h, i) = to.key(h, t, i);
                values(t, h, i) = to.value(h, t, i);
            }
    answer.floats("keys", std::as_const(keys).view());
    answer.floats("values", std::as_const(values).view());
}

namespace {

// Rows that keep nothing and write down from where they are read.
class Listening final : public LayerRows {
public:
    Listening(std::vector<std::shared_ptr<Index>>& heard, Index slots, Index kv_heads, Index D)
        : LayerRows(slots, kv_heads, D), heard_(heard) {
        heard_.push_back(seen_);
    }

    std::unique_ptr<LayerRows> make(Index slots) const override {
        return std::make_unique<Listening>(heard_, slots, kv_heads_, head_dim_);
    }

    void see_from(Index position) noexcept override { *seen_ = position; }

    Index slot_bytes() const override { return 0; }

    Index allocated_bytes() const override { return 0; }

    void visit_memory(const VisitMemory&) override {}

    const float* read_keys(Index, Index, float* scratch) const override { return scratch; }

    const float* read_values(Index, Index, float* scratch) const override { return scratch; }

    float key(Index, Index, Index) const override { return 0; }

    float value(Index, Index, Index) const override { return 0; }

private:
    void write_slots(Index,
                     Index,
                     const View<const float>&,
                     const View<const float>&) override {}

    void copy_slots(const LayerRows&, Index) override {}

    void move_slot(Index, Index, Index) override {}

    std::vector<std::shared_ptr<Index>>& heard_;
    std::shared_ptr<Index> seen_ = std::make_shared<Index>(-1);
};

}  // namespace

KVLAB_TASK_CASE("3.2 fork: each layer of the copy hears from where it is read") {
    const Index T = given.number("tokens"), L = given.number("L");
    std::vector<std::shared_ptr<Index>> heard;  // of all rows that were ever made
    KvCache cache({L, 1, 1, 4}, 8, [&](const RowsShape& of) {
        return std::make_unique<Listening>(heard, of.slots, of.kv_heads, of.head_dim);
    });
    const Tensor rows({T, 1, 4});
    cache.begin(T);
    for (Index layer = 0; layer < L; ++layer) cache.append(layer, rows.view(), rows.view());
    cache.commit();
    const auto before = static_cast<std::ptrdiff_t>(heard.size());
    const std::unique_ptr<KvStore> copy = cache.fork();
    std::vector<Index> seen;
    for (auto of = heard.begin() + before; of != heard.end(); ++of) seen.push_back(**of);
    answer.integers("see_from of the copy", seen);
}

namespace {

// The sizes of a decoder's steps, and the positions of their tokens.
class StepSizes final : public Observer {
public:
    void on(Op op, Index, const View<const float>& rows, std::span<const Index> at) override {
        if (op != Op::embedding) return;
        sizes.push_back(rows.dim(0));
        positions.insert(positions.end(), at.begin(), at.end());
    }

    std::vector<Index> sizes, positions;
};

}  // namespace

KVLAB_TASK_CASE("3.3 prefill: pieces of a prompt give the bits of the whole") {
    TaskModel tiny(given);
    const std::vector<Token> before = tokens_of(given, "before"),
                             prompt = tokens_of(given, "prompt");
    KvCache in_pieces(tiny.decoder.kv_shape(), given.number("context")),
        at_once(tiny.decoder.kv_shape(), given.number("context"));
    for (KvCache* cache : {&in_pieces, &at_once})
        if (!before.empty()) tiny.decoder.forward(*cache, before);
    StepSizes steps;
    {
        const Observing watched(tiny.decoder, steps);
        answer.floats("logits",
                      prefill(tiny.decoder, in_pieces, prompt, given.number("chunk")));
    }
    answer.integers("steps", steps.sizes);
    answer.integers("positions", steps.positions);
    answer.number("next position", in_pieces.next_position());
    answer.floats("logits of the whole", tiny.decoder.forward(at_once, prompt));
}

KVLAB_TASK_CASE("3.4 closed forms: tokens that pass through the model") {
    const Index P = given.number("P"), n = given.number("n");
    for (const bool cached : {true, false}) {
        const std::string name = cached ? "cached" : "uncached";
        answer.number((name + ", last token not fed").c_str(), tokens_processed(P, n, cached));
        answer.number((name + ", last token fed").c_str(),
                      tokens_processed(P, n, cached, LastToken::fed));
    }
}

KVLAB_TASK_CASE("3.4 closed forms: where the cache outgrows the weights") {
    const CacheShape shape{given.number("L"), given.number("Hkv"), given.number("D"),
                           given.number("bytes")};
    answer.number("context",
                  shape.crossover(given.number("weight_bytes"), given.number("batch")));
}

KVLAB_TASK_CASE("3.4 closed forms: what does not fit in 64 bits is an error") {
    const Index P = given.number("P"), n = given.number("n");
    answer.error("uncached", [&] { tokens_processed(P, n, false); });
    answer.error("cached", [&] { tokens_processed(P, n, true); });
    answer.error("crossover", [&] { CacheShape{P, 8, 128}.crossover(P, n); });
}

KVLAB_TASK_CASE("3.5 int8: a row is one scale and its codes") {
    const std::vector<float> x = given.floats("x");
    const Index n = given.number("n"), stride = given.number("stride");
    std::vector<std::int8_t> codes(usize(n * stride), std::int8_t{99});
    const float scale =
        quantize_int8(x.data(), given.number("x_stride"), n, codes.data(), stride);
    answer.floats("scale", std::span(&scale, 1));
    answer.integers("codes", std::vector<Index>(codes.begin(), codes.end()));
}

KVLAB_TASK_CASE("3.5 int8: tiles give back what was written") {
    const Tensor k = given.tensor("k"), v = given.tensor("v");
    const Index first = given.number("first"), T = k.dim(0), Hkv = k.dim(1), D = k.dim(2);
    Int8Tiles tiles(first + T, Hkv, D);
    tiles.write(first, k.view(), v.view());
    Tensor keys({T, Hkv, D}), values({T, Hkv, D});
    std::vector<float> scratch(usize(64 * tiles.padded_dim()));
    for (Index h = 0; h < Hkv; ++h)
        for (Index t = 0; t < T; ++t) {
            const Index tile = (first + t) / 64, place = (first + t) % 64;
            const float* of = tiles.read_keys(h, tile, scratch.data());
            for (Index i = 0; i < D; ++i) keys(t, h, i) = of[i * 64 + place];
            of = tiles.read_values(h, tile, scratch.data());
            for (Index i = 0; i < D; ++i) values(t, h, i) = of[place * tiles.padded_dim() + i];
        }
    answer.floats("keys", std::as_const(keys).view());
    answer.floats("values", std::as_const(values).view());
    // What others read of the same tiles, one number at a time; and after the last slot was
    // moved to the place of the first.
    const auto answer_numbers = [&](const char* name, bool is_key, Index count) {
        Tensor rows({count, Hkv, D});
        for (Index t = 0; t < count; ++t)
            for (Index h = 0; h < Hkv; ++h)
                for (Index i = 0; i < D; ++i)
                    rows(t, h, i) =
                        is_key ? tiles.key(h, first + t, i) : tiles.value(h, first + t, i);
        answer.floats(name, std::as_const(rows).view());
    };
    answer_numbers("key()", true, T);
    answer_numbers("value()", false, T);
    for (Index h = 0; h < Hkv; ++h) tiles.copy_slot(h, first + T - 1, first);
    answer_numbers("key of a moved slot", true, 1);
    answer_numbers("value of a moved slot", false, 1);
}
