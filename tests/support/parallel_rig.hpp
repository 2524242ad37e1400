// parallel_rig.hpp - the same texts on one engine and on several ranks, with all that can be
// compared: every logit, and the bytes that travelled.
#pragma once

#include <kvlab/attention/architecture.hpp>
#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/decoder.hpp>
#include <kvlab/kvcache/kv_format.hpp>
#include <kvlab/serving/head_store.hpp>
#include <kvlab/serving/parallel_engine.hpp>
#include <kvlab/serving/thread_ranks.hpp>
#include <kvlab/tensor/checksum.hpp>

#include "models.hpp"

namespace kvlab::test {

// A text of two sequences: prompts in one step with all their logits, a second piece, then one
// token of each sequence a step; one of them is cut short and goes on in between.
struct ParallelText {
    std::vector<Token> first, second;
    Index prompt = 70;  // more than one tile
    Index steps = 6;

    explicit ParallelText(Index vocab)
        : first(random_tokens(120, vocab, 11)), second(random_tokens(120, vocab, 12)) {}
};

// What a run of it computed. `bytes` and `expected`: sent by this rank, and by all by formula.
struct ParallelRun {
    std::vector<float> logits;
    Index bytes = 0, expected = 0;
};

using MakeText = std::function<std::unique_ptr<KvStore>()>;
using CountStep = std::function<Index(Index rows, Index wanted)>;

inline ParallelRun run_text(Decoder& decoder,
                            const ParallelText& text,
                            const MakeText& make,
                            const CountStep& count) {
    ParallelRun run;
    const std::unique_ptr<KvStore> a = make(), b = make();
    const auto step = [&](std::vector<SequenceStep> batch) {
        Index rows = 0, wanted = 0;
        for (const SequenceStep& part : batch) {
            rows += std::ssize(part.tokens);
            wanted += part.logits == LogitsOf::all ? std::ssize(part.tokens) : 1;
        }
        const View<const float> logits = decoder.forward(batch);
        run.logits.insert(run.logits.end(), logits.flat().begin(), logits.flat().end());
        run.expected += count(rows, wanted);
    };
    const std::span<const Token> one(text.first), two(text.second);
    const Index P = text.prompt;
    step({{a.get(), one.first(usize(P)), LogitsOf::all}});
    step({{a.get(), one.subspan(usize(P), 3)}, {b.get(), two.first(5), LogitsOf::all}});
    a->truncate(P + 1);
    for (Index i = 1; i < text.steps; ++i)
        step(
            {{a.get(), one.subspan(usize(P + i), 1)}, {b.get(), two.subspan(usize(4 + i), 1)}});
    const std::unique_ptr<KvStore> copy = a->fork();
    step({{copy.get(), two.first(2)}});
    return run;
}

inline ParallelRun run_alone(const WeightSource& source, Format format) {
    const std::unique_ptr<Engine> engine = make_cpu_engine();
    Decoder decoder(load_model(source, *engine), *engine);
    const auto make = [&] { return make_cache(format, decoder.kv_shape(), 120); };
    return run_text(decoder, ParallelText(decoder.config().vocab), make,
                    [](Index, Index) { return 0; });
}

inline ParallelRun run_rank(const WeightSource& source,
                            Ranks& ranks,
                            SumWay way,
                            Format format) {
    const ParallelPlan plan(read_config(source), ranks.size());
    const std::unique_ptr<Engine> engine =
        make_parallel_engine(make_cpu_engine(), ranks, plan, way);
    Decoder decoder(load_model(source, *engine), *engine);
    const auto make = [&] {
        return make_head_store(
            decoder.kv_shape(), plan.share(ranks.rank()), 120,
            [&](const KvShape& shape) { return make_cache(format, shape, 120); });
    };
    ParallelRun run =
        run_text(decoder, ParallelText(decoder.config().vocab), make,
                 [&](Index rows, Index wanted) { return step_bytes(plan, way, rows, wanted); });
    run.bytes = ranks.bytes_sent();
    return run;
}

inline std::vector<ParallelRun> run_on_ranks(const WeightSource& source,
                                             Index ranks,
                                             SumWay way,
                                             Format format = &formats::f32) {
    std::vector<ParallelRun> runs(usize(ranks));
    run_thread_ranks(ranks, [&](Ranks& mine) {
        at(runs, mine.rank()) = run_rank(source, mine, way, format);
    });
    return runs;
}

}  // namespace kvlab::test
