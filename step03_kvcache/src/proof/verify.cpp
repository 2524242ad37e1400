#include <kvlab/kvcache/verify.hpp>

#include <algorithm>

#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/kvcache/prefill.hpp>

namespace kvlab {

Difference VerifyReport::all() const {
    Difference total = prompt;
    total.merge(logits);
    total.merge(cache);
    return total;
}

namespace {

// Keys and values of all layers as the decoder hands them to its store.
class KeyValueRecorder final : public Observer {
public:
    void on(Op op,
            Index layer,
            const View<const float>& rows,
            std::span<const Index>) override {
        if (op == Op::key) keep(keys, layer, rows);
        if (op == Op::value) keep(values, layer, rows);
    }

    std::vector<Tensor> keys, values;  // [L] of [T, Hkv * D]

private:
    static void keep(std::vector<Tensor>& to, Index layer, const View<const float>& rows) {
        to.resize(std::max(to.size(), usize(layer) + 1));
        Tensor copy(rows.shape());
        for (Index t = 0; t < rows.dim(0); ++t)
            for (Index i = 0; i < rows.dim(1); ++i) copy(t, i) = rows(t, i);
        at(to, layer) = std::move(copy);
    }
};

void note_first(VerifyReport& report, const Difference& difference, const std::string& where) {
    if (difference.differ > 0 && report.first_difference.empty())
        report.first_difference = concat(where, ", float ", difference.first);
}

// The prompt in pieces against the prompt at once: every row of logits.
void compare_prompt(Decoder& decoder,
                    std::span<const Token> prompt,
                    Index number,
                    const VerifyOptions& options,
                    VerifyReport& report) {
    const Index P = std::ssize(prompt);
    WholeSequence none(decoder.kv_shape(), P, options.level);
    const auto whole = decoder.forward(none, prompt, LogitsOf::all).flat();
    const std::vector<float> expected(whole.begin(), whole.end());
    report.prompt_sum.add(expected);
    const Index V = decoder.config().vocab;
    for (const Index chunk : options.chunks) {
        KvCache cache(decoder.kv_shape(), P, options.level);
        const Index piece = chunk == 0 ? P : chunk;
        for (Index begin = 0; begin < P; begin += piece) {
            const auto count = usize(std::min(piece, P - begin));
            const auto rows =
                decoder.forward(cache, prompt.subspan(usize(begin), count), LogitsOf::all);
            const Difference difference = compare_bits(
                rows.flat(), std::span(expected).subspan(usize(begin * V), rows.flat().size()));
            note_first(
                report, difference,
                concat("prompt ", number, " in pieces of ", piece, ", piece at token ", begin));
            report.prompt.merge(difference);
        }
    }
}

// What the cache holds against what a forward pass over the whole text computes.
void compare_cache(Decoder& decoder,
                   const KvCache& cache,
                   std::span<const Token> text,
                   Index number,
                   const VerifyOptions& options,
                   VerifyReport& report) {
    const Index T = cache.next_position();
    KeyValueRecorder recorder;
    WholeSequence none(decoder.kv_shape(), T, options.level);
    {
        const Observing watched(decoder, recorder);
        decoder.forward(none, text.first(usize(T)));
    }
    // SOLUTION-BEGIN 3.7
    const KvShape shape = decoder.kv_shape();
    std::vector<float> held(usize(shape.kv_heads * shape.head_dim));
    for (Index layer = 0; layer < shape.layers; ++layer)
        for (Index t = 0; t < T; ++t)
            for (const bool is_key : {true, false}) {
                for (Index i = 0; i < std::ssize(held); ++i)
                    at(held, i) =
                        is_key ? cache.key(layer, i / shape.head_dim, t, i % shape.head_dim)
                               : cache.value(layer, i / shape.head_dim, t, i % shape.head_dim);
                const Tensor& recomputed =
                    (is_key ? recorder.keys : recorder.values)[usize(layer)];
                const Difference difference = compare_bits(held, recomputed.view()[t].flat());
                note_first(report, difference,
                           concat("cache of sequence ", number, ", layer ", layer,
                                  ", position ", t, is_key ? ", key" : ", value"));
                report.cache.merge(difference);
                report.cache_sum.add(held);
            }
    // SOLUTION-END 3.7
    report.cache_bytes += cache.bytes().logical;
}

// Two generators in lock-step: cached and uncached, the whole batch at once.
void compare_runs(Generator& cached, Generator& uncached, VerifyReport& report) {
    struct Row {
        Index sequence;
        Token token;
        std::vector<float> logits;
    };

    std::vector<Row> rows;  // of the cached step
    cached.set_on_token([&](Index sequence, Token token, const View<const float>& logits) {
        rows.push_back({sequence, token, {logits.flat().begin(), logits.flat().end()}});
    });
    std::size_t next = 0;
    uncached.set_on_token([&](Index sequence, Token token, const View<const float>& logits) {
        const Row& row = rows[next++];
        check(row.sequence == sequence, "verify: the runs lost step");
        const Difference difference = compare_bits(row.logits, logits.flat());
        const Index step = static_cast<Index>(cached.generated(sequence).size()) - 1;
        note_first(report, difference,
                   concat("step ", step, ", sequence ", sequence, ", logits"));
        report.logits.merge(difference);
        report.max_abs_by_step.back() =
            std::max(report.max_abs_by_step.back(), difference.max_abs);
        ++report.tokens;
        if (row.token != token) ++report.tokens_differ;
    });
    while (cached.step()) {
        report.max_abs_by_step.push_back(0);
        uncached.step();
        rows.clear();
        next = 0;
    }
}

}  // namespace

VerifyReport verify(Decoder& decoder,
                    std::span<const std::vector<Token>> prompts,
                    const VerifyOptions& options) {
    check(!prompts.empty(), "verify: no prompts");
    check(options.steps >= 1, "verify: ", options.steps, " steps");
    for (const Index chunk : options.chunks)
        check(chunk >= 0, "verify: a piece must not be negative, found ", chunk);
    VerifyReport report;
    std::vector<std::unique_ptr<KvCache>> caches;
    std::vector<std::unique_ptr<WholeSequence>> none;
    Generator cached(decoder), uncached(decoder);
    for (std::size_t i = 0; i < prompts.size(); ++i) {
        check(!prompts[i].empty(), "verify: prompt ", i, " is empty");
        const Index context = decoder.config().context,
                    length =
                        checked_sum("verify: prompt and steps",
                                    {static_cast<Index>(prompts[i].size()), options.steps});
        // The last token is generated and never fed: it needs no place.
        check(length <= context + 1, "verify: prompt ", i, " and ", options.steps,
              " steps do not fit the context of ", context);
        // ANCHOR: texts
        compare_prompt(decoder, prompts[i], static_cast<Index>(i), options, report);
        caches.push_back(std::make_unique<KvCache>(decoder.kv_shape(),
                                                   std::min(length, context), options.level));
        none.push_back(std::make_unique<WholeSequence>(
            decoder.kv_shape(), std::min(length, context), options.level));
        cached.add(*caches[i], prompts[i], options.steps, options.sampling);
        uncached.add(*none[i], prompts[i], options.steps, options.sampling);
        // ANCHOR_END: texts
    }
    // ANCHOR: runs
    compare_runs(cached, uncached, report);
    report.run_sum = cached.checksum();
    for (std::size_t i = 0; i < caches.size(); ++i)
        compare_cache(decoder, *caches[i], cached.tokens(static_cast<Index>(i)),
                      static_cast<Index>(i), options, report);
    // ANCHOR_END: runs
    return report;
}

}  // namespace kvlab
