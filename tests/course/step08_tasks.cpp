// Chapter 8's tasks: bytes of memories, patterns, chosen tokens, two recurrences, and how one
// of them goes back.
#include <algorithm>
#include <optional>

#include <kvlab/architectures/draw_model.hpp>
#include <kvlab/architectures/mixed_model.hpp>
#include <kvlab/architectures/pattern.hpp>
#include <kvlab/architectures/recurrent.hpp>
#include <kvlab/architectures/registry.hpp>
#include <kvlab/attention/cpu_engine.hpp>

#include "edited_source.hpp"
#include "task_case.hpp"

using namespace kvlab;
using kvlab::course::Answer;
using kvlab::course::Given;

namespace {

Config layer_config(const Given& given) {
    Config c;
    c.vocab = 4;
    c.dim = given.has("C") ? given.number("C") : 8;
    c.layers = 1;
    c.heads = given.number("H");
    c.kv_heads = given.number("Hkv");
    c.head_dim = given.number("D");
    c.rope_dim = c.head_dim;
    c.ffn = 4;
    c.context = 512;
    return c;
}

// The mixer of one layer, without a model around it. Weights are drawn but for tensors that
// `given` has by their names.
struct Layer {
    explicit Layer(const Given& given) : engine(make_cpu_engine({.threads = 1})) {
        const std::string name = given.text("mixer");
        std::vector<std::pair<std::string, Index>> keys;
        for (const char* key : find_mixer(name).keys) keys.emplace_back(key, given.number(key));
        const auto drawn = draw_mixed_model(layer_config(given), {name}, keys, 8);
        test::EditedSource source(*drawn, drawn->metadata(),
                                  [](const std::string&) { return true; });
        for (const char* tensor :
             {"conv_q", "conv_k", "conv_v", "decay_a", "decay_b", "out_norm"})
            if (given.has(tensor))
                source.set(std::string("blk.0.") + tensor + ".weight", given.tensor(tensor));
        model = load_mixed_model(source, *engine);
    }

    const Mixer& mixer() const { return *model->mixers[0]; }

    std::unique_ptr<Engine> engine;
    std::shared_ptr<const MixedModel> model;
};

// What such a layer remembers of one text.
struct TextMemory {
    explicit TextMemory(const Layer& of, Index rewind = 0) : layer(of) {
        states.push_back(of.mixer().make_state(
            {.capacity = 512, .rewind = rewind, .engine = of.engine.get()}));
    }

    MixerState& state() { return *states[0]; }

    std::span<const float> floats() const {
        return dynamic_cast<const RecurrentState&>(*states[0]).floats();
    }

    // Takes rows [T, N] in as one step and puts what comes out, [T, K], behind `mixed`.
    void step(const View<const float>& rows, std::vector<float>& mixed) {
        const Index T = rows.dim(0), K = layer.mixer().mixed_width();
        std::vector<float> own(rows.flat().begin(), rows.flat().end()), out(usize(T * K));
        state().opened(T);
        layer.mixer().remember(
            {*layer.engine, layer.engine->pool(), layer.model->frame->rope, length, 0, states},
            View<float>(own.data(), {T, rows.dim(1)}), View<float>(out.data(), {T, K}));
        length += T;
        state().closed(length);
        mixed.insert(mixed.end(), out.begin(), out.end());
    }

    // Goes back, as a store does. Throws Error if the state cannot.
    void back(Index to) {
        state().check_truncate(length, to);
        state().dropped(to);
        length = to;
    }

    const Layer& layer;
    std::vector<std::unique_ptr<MixerState>> states;
    Index length = 0;
};

// All rows in the steps that `given` names.
std::vector<float> in_steps(const Given& given, TextMemory& memory) {
    const Tensor rows = given.tensor("rows");
    std::vector<float> mixed;
    for (const Index T : given.integers("steps"))
        memory.step(std::as_const(rows).view().slice(0, memory.length, memory.length + T),
                    mixed);
    return mixed;
}

void answer_recurrence(const Given& given, Answer& answer) {
    const Layer layer(given);
    TextMemory memory(layer), whole(layer);
    answer.floats("mixed", in_steps(given, memory));
    answer.floats("state", memory.floats().first(usize(given.number("state_floats"))));
    const Tensor rows = given.tensor("rows");
    std::vector<float> mixed;
    whole.step(rows.view(), mixed);
    answer.floats("mixed in one step", mixed);
}

}  // namespace

KVLAB_TASK_CASE("8.1 bytes: what so many tokens leave") {
    const Layer layer(given);
    std::vector<Index> bytes;
    for (const Index length : given.integers("lengths"))
        bytes.push_back(layer.mixer().state_bytes(length));
    answer.integers("bytes", bytes);
}

KVLAB_TASK_CASE("8.2 pattern: what is seen, who looks last, and how many are held") {
    const Layer layer(given);
    const Pattern& pattern = dynamic_cast<const PatternAttention&>(layer.mixer()).pattern();
    std::vector<Index> seen, readers, held;
    for (Index head = 0; head < given.number("Hkv"); ++head)
        for (const Index t : given.integers("tokens")) {
            std::vector<Index> list{-1};
            pattern.list(head, t, list);
            seen.insert(seen.end(), list.begin(), list.end());
            readers.push_back(pattern.last_reader(head, t).value_or(-1));
            held.push_back(pattern.held(head, t));
        }
    answer.integers("seen", seen);
    answer.integers("last reader", readers);
    answer.integers("held", held);
}

// Queries are zeros, so every token that is seen has the same weight. With values of which each
// token has a place of its own, the result says who was seen.
KVLAB_TASK_CASE("8.3 top k: the largest scores, and of equal ones the earlier") {
    const Layer layer(given);
    const Tensor index = given.tensor("index"), values = given.tensor("values");
    const Index N = index.dim(0), D = given.number("D"), width = 2 * D;  // N <= width
    Tensor marked({N, layer.mixer().projected_width()});
    for (Index t = 0; t < N; ++t)
        for (Index i = 0; i < index.dim(1); ++i) marked(t, 3 * width + i) = index(t, i);
    Tensor valued = marked.clone();
    for (Index t = 0; t < N; ++t) {
        marked(t, 2 * width + t) = 1.0f;
        for (Index i = 0; i < width; ++i) valued(t, 2 * width + i) = values(t, i);
    }
    std::vector<float> marks, mixed;
    TextMemory(layer).step(std::as_const(marked).view(), marks);
    TextMemory(layer).step(std::as_const(valued).view(), mixed);
    const Tensor zeros({N, D});
    std::vector<Index> chosen;
    std::vector<float> in_order(usize(N * width));
    for (Index t = 0; t < N; ++t) {
        std::vector<Index> list;
        for (Index s = 0; s <= t; ++s)
            if (at(marks, t * width + s) != 0.0f) list.push_back(s);
        chosen.push_back(-1);
        chosen.insert(chosen.end(), list.begin(), list.end());
        for (Index h = 0; h < 2 && !list.empty(); ++h)
            attend_list_plain(zeros.view()[0], zeros.view(),
                              values.view().slice(1, h * D, h * D + D), list,
                              View<float>(&at(in_order, t * width + h * D), {D}));
    }
    answer.integers("chosen", chosen);
    answer.floats("mixed", mixed);
    answer.floats("mixed in the order of the text", in_order);
}

KVLAB_TASK_CASE("8.4 linear: a token goes in, and then it is asked") {
    answer_recurrence(given, answer);
}

KVLAB_TASK_CASE("8.5 delta: fade, ask, write the difference") {
    answer_recurrence(given, answer);
}

KVLAB_TASK_CASE("8.6 back: the bits of a text that never was longer") {
    const Layer layer(given);
    const Tensor rows = given.tensor("rows");
    const Index N = rows.dim(0);
    TextMemory memory(layer, given.number("rewind"));
    in_steps(given, memory);
    std::vector<float> states, never, rest, whole_rest, ignored;
    for (const Index to : given.integers("backs")) {
        memory.back(to);
        TextMemory fresh(layer);
        fresh.step(std::as_const(rows).view().slice(0, 0, to), ignored);
        states.insert(states.end(), memory.floats().begin(), memory.floats().end());
        never.insert(never.end(), fresh.floats().begin(), fresh.floats().end());
        for (TextMemory* one : {&memory, &fresh})
            one->step(std::as_const(rows).view().slice(0, to, N),
                      one == &memory ? rest : whole_rest);
    }
    answer.floats("states", states);
    answer.floats("states of texts that ended there", never);
    answer.floats("mixed", rest);
    answer.floats("mixed without going back", whole_rest);
}

KVLAB_TASK_CASE("8.6 back: copies stand at borders") {
    const Layer layer(given);
    const Tensor rows = given.tensor("rows");
    TextMemory memory(layer, given.number("rewind"));
    std::vector<Index> furthest;
    std::vector<float> mixed;
    for (const Index T : given.integers("steps")) {
        memory.step(std::as_const(rows).view().slice(0, memory.length, memory.length + T),
                    mixed);
        std::optional<Index> to;
        for (Index length = 1; length <= memory.length && !to; ++length) try {
                memory.state().check_truncate(memory.length, length);
                to = length;
            } catch (const Error&) {
            }
        furthest.push_back(to.value_or(-1));
    }
    answer.integers("furthest", furthest);
}
