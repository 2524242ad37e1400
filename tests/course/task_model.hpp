// task_model.hpp - a tiny decoder for cases: its weights are drawn from the contract's random
// numbers, here and by the judge (decoder_in_double.py).
#pragma once

#include <memory>
#include <span>
#include <vector>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/decoder.hpp>
#include <kvlab/attention/synthetic.hpp>

#include "task_case.hpp"

namespace kvlab::course {

inline Config config_of(const Given& given) {
    Config config;
    config.vocab = given.number("V");
    config.dim = given.number("C");
    config.layers = given.number("L");
    config.heads = given.number("Hq");
    config.kv_heads = given.number("Hkv");
    config.head_dim = given.number("D");
    config.ffn = given.number("F");
    config.context = given.number("context");
    config.rope_dim = given.number("rope_dim");
    return config;
}

inline std::vector<Token> tokens_of(const Given& given, const char* name) {
    const std::vector<Index> numbers = given.integers(name);
    return {numbers.begin(), numbers.end()};
}

struct TaskModel {
    explicit TaskModel(const Given& given, std::unique_ptr<Engine> of = make_cpu_engine())
        : engine(std::move(of)),
          model(load_model(*make_synthetic(config_of(given),
                                           static_cast<std::uint64_t>(given.number("weights"))),
                           *engine)),
          decoder(model, *engine) {}

    std::unique_ptr<Engine> engine;
    std::shared_ptr<const Model> model;
    Decoder decoder;
};

// Rows of logits [n, V] one after the other, to be answered as one array.
struct LogitRows {
    void add(const View<const float>& rows) {
        vocab = rows.dim(1);
        for (Index r = 0; r < rows.dim(0); ++r)
            values.insert(values.end(), rows[r].flat().begin(), rows[r].flat().end());
    }

    void answer(Answer& answer, const char* name) const {
        answer.floats(name, values, {std::ssize(values) / vocab, vocab});
    }

    Index vocab = 1;
    std::vector<float> values;
};

}  // namespace kvlab::course
